//! Readings a receiver refused for good, with what it said: never sent again as they are, and never
//! forgotten.
//!
//! A refusal is of one version: a correction is sent again.

use super::ledger::ReadingCode;
use super::{ConnectionId, ReadingKey, Store, StoreError, readings};
use crate::glucose::Window;
use rusqlite::{Connection, Transaction, params};

/// The quarantine's table. `outcome` is what the receiver said, as it said it.
/// `unknown` is 1 for what was sent and may or may not be at the receiver: it is not sent again by
/// itself either.
pub(super) const TABLES: &str = "
    CREATE TABLE quarantine (
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        code INTEGER NOT NULL,
        key INTEGER NOT NULL,
        version INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        dismissed INTEGER NOT NULL DEFAULT 0,
        unknown INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (connection, code, key, version)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX quarantine_by_key ON quarantine (key);
";

/// A refused reading.
#[derive(Clone, PartialEq, Eq)]
pub struct QuarantinedReading {
    /// The unit it was sent in.
    pub code: ReadingCode,
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
            .field("code", &self.code)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Whether a version of a reading is refused anywhere.
pub(super) fn holds(db: &Connection, key: ReadingKey, version: u32) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM quarantine WHERE key = ? AND version = ?")?
        .exists(params![key, version])?)
}

/// Quarantines one version of a reading; said again, the later outcome stands.
pub(super) fn quarantine(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    code: ReadingCode,
    (key, version): (ReadingKey, u32),
    outcome: &str,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO quarantine (connection, code, key, version, outcome) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET outcome = excluded.outcome, dismissed = 0, unknown = 0",
    )?
    .execute(params![connection.0, code, key, version, outcome])?;
    Ok(())
}

/// Something that was sent, and nobody can tell what became of it.
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownOutcome {
    /// What it is, if it is no reading.
    pub kind: Option<String>,
    /// Which reading.
    pub key: Option<ReadingKey>,
}

impl std::fmt::Debug for UnknownOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnknownOutcome").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// How much was sent to a connection that does not have it, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAside {
    /// It was refused.
    pub refused: u64,
    /// Nobody can tell.
    pub unknown: u64,
}

impl SetAside {
    fn count(&mut self, unknown: bool) {
        *if unknown { &mut self.unknown } else { &mut self.refused } += 1;
    }
}

/// Sets one version of a reading aside because nobody can tell whether the receiver has it.
pub(super) fn rest(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    code: ReadingCode,
    (key, version): (ReadingKey, u32),
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO quarantine (connection, code, key, version, outcome, unknown)
         VALUES (?, ?, ?, ?, '', 1)
         ON CONFLICT DO UPDATE SET outcome = '', dismissed = 0, unknown = 1",
    )?
    .execute(params![connection.0, code, key, version])?;
    Ok(())
}

/// Lets a version out of quarantine.
pub(super) fn release(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    code: ReadingCode,
    key: ReadingKey,
    version: u32,
) -> Result<bool, StoreError> {
    let released = tx
        .prepare_cached(
            "DELETE FROM quarantine WHERE connection = ? AND code = ? AND key = ? AND version = ?",
        )?
        .execute(params![connection.0, code, key, version])?;
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
        code: ReadingCode,
        key: ReadingKey,
        version: u32,
        outcome: &str,
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        quarantine(&tx, connection, code, (key, version), outcome)?;
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
            "SELECT code, key, version, outcome FROM quarantine
             WHERE connection = ? AND dismissed = 0 AND unknown = 0
             ORDER BY code, key, version",
        )?;
        let rows = statement.query_map([connection.0], |row| {
            Ok(QuarantinedReading {
                code: row.get(0)?,
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
        let refused = "DELETE FROM sent_resources WHERE connection = ? AND refusal IS NOT NULL";
        let resources = tx.execute(refused, [connection.0])?;
        tx.commit()?;
        Ok(readings + resources)
    }

    /// What was sent to a connection with unknown outcome, and nobody dismissed: resources, then
    /// readings in key order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unknown_outcomes(
        &self,
        connection: ConnectionId,
    ) -> Result<Vec<UnknownOutcome>, StoreError> {
        let mut resources = self.db.prepare_cached(
            "SELECT kind FROM sent_resources WHERE connection = ? AND unknown = 1 ORDER BY id",
        )?;
        let resources = resources.query_map([connection.0], |row| {
            Ok(UnknownOutcome { kind: Some(row.get(0)?), key: None })
        })?;
        let mut all = resources.collect::<Result<Vec<_>, _>>()?;
        let mut readings = self.db.prepare_cached(
            "SELECT key FROM quarantine WHERE connection = ? AND unknown = 1 AND dismissed = 0
             ORDER BY code, key, version",
        )?;
        let readings = readings.query_map([connection.0], |row| {
            Ok(UnknownOutcome { kind: None, key: Some(row.get(0)?) })
        })?;
        for reading in readings {
            all.push(reading?);
        }
        Ok(all)
    }

    /// How many readings of a window, as they now are, a connection does not have although they
    /// were sent, and nobody dismissed that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_aside(
        &self,
        connection: ConnectionId,
        code: ReadingCode,
        window: Window,
    ) -> Result<SetAside, StoreError> {
        let tx = self.read()?;
        let mut statement = tx.prepare_cached(
            "SELECT key, version, unknown FROM quarantine
             WHERE connection = ? AND code = ? AND dismissed = 0",
        )?;
        let mut rows = statement.query(params![connection.0, code])?;
        let mut counted = SetAside::default();
        while let Some(row) = rows.next()? {
            let (key, version): (ReadingKey, u32) = (row.get(0)?, row.get(1)?);
            let current = readings::at(&tx, key)?.map(|stored| stored.version(&tx)).transpose()?;
            if current == Some(version) && window.contains(key.seconds()) {
                counted.count(row.get::<_, i64>(2)? > 0);
            }
        }
        Ok(counted)
    }

    /// How many devices, and resources of a kind that ends with `of_dates`, a connection does not
    /// have although they were sent, and nobody dismissed that. A summary that a later one took the
    /// place of is no longer lacking.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn resources_set_aside(
        &self,
        connection: ConnectionId,
        of_dates: &str,
    ) -> Result<SetAside, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT unknown FROM sent_resources r
             WHERE connection = ?1 AND (refusal IS NOT NULL OR unknown = 1)
             AND (kind = 'device' OR (substr(kind, -length(?2)) = ?2 AND NOT EXISTS (
                SELECT 1 FROM sent_resources later WHERE later.connection = ?1
                AND later.kind = r.kind AND later.id > r.id AND later.refusal IS NULL
                AND later.unknown = 0)))",
        )?;
        let mut rows = statement.query(params![connection.0, of_dates])?;
        let mut counted = SetAside::default();
        while let Some(row) = rows.next()? {
            counted.count(row.get::<_, i64>(0)? > 0);
        }
        Ok(counted)
    }

    /// Lets everything that was sent with unknown outcome be sent again; returns how much that is.
    /// The receiver may then have it twice.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn retry_unknown(&mut self, connection: ConnectionId) -> Result<usize, StoreError> {
        let tx = self.write()?;
        let readings = "DELETE FROM quarantine WHERE connection = ? AND unknown = 1";
        let readings = tx.execute(readings, [connection.0])?;
        let resources = "DELETE FROM sent_resources WHERE connection = ? AND unknown > 0";
        let resources = tx.execute(resources, [connection.0])?;
        tx.commit()?;
        Ok(readings + resources)
    }

    /// Stops showing what was sent with unknown outcome; returns how much that is. It is still not
    /// sent again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn dismiss_unknown(&mut self, connection: ConnectionId) -> Result<usize, StoreError> {
        let tx = self.write()?;
        let readings = "UPDATE quarantine SET dismissed = 1
                        WHERE connection = ? AND unknown = 1 AND dismissed = 0";
        let readings = tx.execute(readings, [connection.0])?;
        let resources =
            "UPDATE sent_resources SET unknown = 2 WHERE connection = ? AND unknown = 1";
        let resources = tx.execute(resources, [connection.0])?;
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
        code: ReadingCode,
        key: ReadingKey,
        version: u32,
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        if !release(&tx, connection, code, key, version)? {
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
        code: ReadingCode,
        key: ReadingKey,
        version: u32,
    ) -> Result<(), StoreError> {
        let changed = self.db.execute(
            "UPDATE quarantine SET dismissed = 1 WHERE connection = ? AND code = ? AND key = ? AND version = ?",
            params![connection.0, code, key, version],
        )?;
        if changed == 0 { Err(StoreError::Missing("quarantined reading")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Scratch, reading, value};

    #[test]
    fn a_refused_reading_waits_until_it_is_retried_or_corrected() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let id = scratch.ingest("s", [(0, value(100)), (300, value(100))].into_iter());
        let keys = [0, 300].map(|s| ReadingKey::new(id, scratch.at(s)).unwrap());
        for key in keys {
            scratch.store.quarantine(connection, ReadingCode::Mass, key, 0, "not today").unwrap();
        }
        let unsent = |scratch: &Scratch| -> Vec<(ReadingKey, u32)> {
            let all = Window::from_unix(0, i64::MAX).unwrap();
            let unsent =
                scratch.store.unsent(connection, ReadingCode::Mass, all, None, 10).unwrap();
            unsent.into_iter().map(|u| (u.key, u.version)).collect()
        };
        assert_eq!(unsent(&scratch), []);
        scratch.store.retry_quarantined(connection, ReadingCode::Mass, keys[0], 0).unwrap();
        assert_eq!(unsent(&scratch), [(keys[0], 0)]);
        scratch.take(&[reading("s", 300, value(101))]);
        assert_eq!(unsent(&scratch), [(keys[0], 0), (keys[1], 1)]);
        let shown = scratch.store.quarantined(connection).unwrap();
        assert_eq!(
            shown.iter().map(|q| (q.key, q.outcome.as_str())).collect::<Vec<_>>(),
            [(keys[1], "not today")]
        );
        scratch.store.dismiss_quarantined(connection, ReadingCode::Mass, keys[1], 0).unwrap();
        assert_eq!(scratch.store.quarantined(connection).unwrap(), []);
        let again = scratch.store.retry_quarantined(connection, ReadingCode::Mass, keys[0], 0);
        assert!(matches!(again, Err(StoreError::Missing(_))));
    }
}
