//! Readings a receiver refused for good, with what it said: never sent again as they are, and never
//! forgotten.
//!
//! A refusal is of one version: a correction is sent again.

use super::{ConnectionId, ReadingKey, Store, StoreError};
use crate::glucose::GlucoseUnit;
use rusqlite::{Connection, Transaction, params};

/// The quarantine's table. `outcome` is what the receiver said, as it said it.
/// `unknown` is 1 for what was sent and may or may not be at the receiver (`store::unknown`): it is
/// not sent again by itself either.
pub(super) const TABLES: &str = "
    CREATE TABLE quarantine (
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        unit INTEGER NOT NULL,
        key INTEGER NOT NULL,
        version INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        dismissed INTEGER NOT NULL DEFAULT 0,
        unknown INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (connection, unit, key, version)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX quarantine_by_key ON quarantine (key);
";

/// A refused reading.
#[derive(Clone, PartialEq, Eq)]
pub struct QuarantinedReading {
    /// The unit it was sent in.
    pub unit: GlucoseUnit,
    /// Which reading.
    pub key: ReadingKey,
    /// The version that was refused.
    pub version: u32,
    /// What the receiver said.
    pub outcome: String,
}

impl std::fmt::Debug for QuarantinedReading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuarantinedReading")
            .field("unit", &self.unit)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// The units in which some connection refused a version of a reading.
pub(super) fn refused_in(
    db: &Connection,
    key: ReadingKey,
    version: u32,
) -> Result<Vec<GlucoseUnit>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT unit FROM quarantine WHERE key = ? AND version = ?")?;
    let rows = statement.query_map(params![key, version], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Quarantines one version of a reading; said again, the later outcome stands.
pub(super) fn quarantine(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    unit: GlucoseUnit,
    (key, version): (ReadingKey, u32),
    outcome: &str,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO quarantine (connection, unit, key, version, outcome) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET outcome = excluded.outcome, dismissed = 0, unknown = 0",
    )?
    .execute(params![connection.0, unit, key, version, outcome])?;
    Ok(())
}

/// Lets a version out of quarantine.
pub(super) fn release(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    unit: GlucoseUnit,
    key: ReadingKey,
    version: u32,
) -> Result<bool, StoreError> {
    let released = tx
        .prepare_cached(
            "DELETE FROM quarantine WHERE connection = ? AND unit = ? AND key = ? AND version = ?",
        )?
        .execute(params![connection.0, unit, key, version])?;
    Ok(released > 0)
}

impl Store {
    /// Quarantines one version of a reading, with what the receiver said.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn quarantine(
        &mut self,
        connection: ConnectionId,
        unit: GlucoseUnit,
        key: ReadingKey,
        version: u32,
        outcome: &str,
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        quarantine(&tx, connection, unit, (key, version), outcome)?;
        tx.commit()?;
        Ok(())
    }

    /// What a connection refused and nobody dismissed, in key order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn quarantined(
        &self,
        connection: ConnectionId,
    ) -> Result<Vec<QuarantinedReading>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT unit, key, version, outcome FROM quarantine
             WHERE connection = ? AND dismissed = 0 AND unknown = 0
             ORDER BY unit, key, version",
        )?;
        let rows = statement.query_map([connection.0], |row| {
            Ok(QuarantinedReading {
                unit: row.get(0)?,
                key: row.get(1)?,
                version: row.get(2)?,
                outcome: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Lets everything a connection refused be sent again: readings, devices, summaries. How many
    /// there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn retry_refused(&mut self, connection: ConnectionId) -> Result<usize, StoreError> {
        let tx = self.write()?;
        let refused = "DELETE FROM quarantine WHERE connection = ? AND unknown = 0";
        let readings = tx.execute(refused, [connection.0])?;
        // What the receiver has although it refused what it belongs to is there already.
        let there = "UPDATE sent_resources SET refusal = NULL
                     WHERE connection = ? AND refusal IS NOT NULL AND location IS NOT NULL";
        let there = tx.execute(there, [connection.0])?;
        let refused = "DELETE FROM sent_resources WHERE connection = ? AND refusal IS NOT NULL";
        let resources = there + tx.execute(refused, [connection.0])?;
        tx.commit()?;
        Ok(readings + resources)
    }

    /// Lets a refused version be sent again.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where it is not in quarantine.
    pub fn retry_quarantined(
        &mut self,
        connection: ConnectionId,
        unit: GlucoseUnit,
        key: ReadingKey,
        version: u32,
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        if !release(&tx, connection, unit, key, version)? {
            return Err(StoreError::Missing("quarantined reading"));
        }
        tx.commit()?;
        Ok(())
    }

    /// Stops showing a refused version. It is still not sent again.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where it is not in quarantine.
    pub fn dismiss_quarantined(
        &mut self,
        connection: ConnectionId,
        unit: GlucoseUnit,
        key: ReadingKey,
        version: u32,
    ) -> Result<(), StoreError> {
        let changed = self.db.execute(
            "UPDATE quarantine SET dismissed = 1 WHERE connection = ? AND unit = ? AND key = ?
             AND version = ?",
            params![connection.0, unit, key, version],
        )?;
        if changed == 0 { Err(StoreError::Missing("quarantined reading")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::Window;
    use crate::store::testing::{Scratch, reading, value};

    #[test]
    fn a_refused_reading_waits_until_it_is_retried_or_corrected() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let id = scratch.ingest("s", [(0, value(100)), (300, value(100))].into_iter());
        let keys = [0, 300].map(|s| ReadingKey::new(id, scratch.at(s)).unwrap());
        for key in keys {
            scratch
                .store
                .quarantine(connection, GlucoseUnit::MgPerDl, key, 0, "not today")
                .unwrap();
        }
        let unsent = |scratch: &Scratch| -> Vec<(ReadingKey, u32)> {
            let all = Window::from_unix(0, i64::MAX).unwrap();
            let unsent =
                scratch.store.unsent(connection, GlucoseUnit::MgPerDl, all, None, 10).unwrap();
            unsent.into_iter().map(|u| (u.key, u.version)).collect()
        };
        assert_eq!(unsent(&scratch), []);
        scratch.store.retry_quarantined(connection, GlucoseUnit::MgPerDl, keys[0], 0).unwrap();
        assert_eq!(unsent(&scratch), [(keys[0], 0)]);
        scratch.take(&[reading("s", 300, value(101))]);
        assert_eq!(unsent(&scratch), [(keys[0], 0), (keys[1], 1)]);
        let shown = scratch.store.quarantined(connection).unwrap();
        assert_eq!(
            shown.iter().map(|q| (q.key, q.outcome.as_str())).collect::<Vec<_>>(),
            [(keys[1], "not today")]
        );
        scratch.store.dismiss_quarantined(connection, GlucoseUnit::MgPerDl, keys[1], 0).unwrap();
        assert_eq!(scratch.store.quarantined(connection).unwrap(), []);
        let again = scratch.store.retry_quarantined(connection, GlucoseUnit::MgPerDl, keys[0], 0);
        assert!(matches!(again, Err(StoreError::Missing(_))));
    }
}
