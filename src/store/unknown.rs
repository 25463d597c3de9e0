//! What was sent, and nobody can tell whether the receiver has it: never sent again by itself,
//! shown until somebody decides. And how much of some dates a receiver does not have, for which
//! reason.

use super::{ConnectionId, ReadingKey, Store, StoreError, readings, resources};
use crate::fhir::EntryKind;
use crate::glucose::{DateRange, GlucoseUnit, Window};
use rusqlite::{Transaction, params};

/// Something that was sent, and nobody can tell what became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UnknownOutcome {
    /// What it is.
    pub kind: EntryKind,
    /// Which reading, if it is one.
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
    unit: GlucoseUnit,
    (key, version): (ReadingKey, u32),
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO quarantine (connection, unit, key, version, outcome, unknown)
         VALUES (?, ?, ?, ?, '', 1)
         ON CONFLICT DO UPDATE SET outcome = '', dismissed = 0, unknown = 1",
    )?
    .execute(params![connection.0, unit, key, version])?;
    Ok(())
}

/// Lets a version that rests do so as a later one that says the same.
pub(super) fn rest_on(
    tx: &Transaction<'_>,
    (connection, unit): (ConnectionId, GlucoseUnit),
    key: ReadingKey,
    version: u32,
    later: u32,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE OR REPLACE quarantine SET version = ?5
         WHERE connection = ?1 AND unit = ?2 AND key = ?3 AND version = ?4 AND unknown = 1",
    )?
    .execute(params![connection.0, unit, key, version, later])?;
    Ok(())
}

/// Ends a version's rest: it is known now what became of it.
pub(super) fn release(
    tx: &Transaction<'_>,
    (connection, unit): (ConnectionId, GlucoseUnit),
    (key, version): (ReadingKey, u32),
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "DELETE FROM quarantine
         WHERE connection = ? AND unit = ? AND key = ? AND version = ? AND unknown = 1",
    )?
    .execute(params![connection.0, unit, key, version])?;
    Ok(())
}

impl Store {
    /// What was sent to a connection with unknown outcome, and nobody dismissed: resources, then
    /// readings in key order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unknown_outcomes(
        &self,
        connection: ConnectionId,
    ) -> Result<Vec<UnknownOutcome>, StoreError> {
        let mut all = Vec::new();
        let mut others = self.db.prepare_cached(
            "SELECT kind FROM sent_resources WHERE connection = ? AND unknown = 1 ORDER BY id",
        )?;
        let mut rows = others.query([connection.0])?;
        while let Some(row) = rows.next()? {
            all.push(UnknownOutcome { kind: resources::kind(row, 0)?, key: None });
        }
        let mut readings = self.db.prepare_cached(
            "SELECT key FROM quarantine WHERE connection = ? AND unknown = 1 AND dismissed = 0
             ORDER BY unit, key, version",
        )?;
        let mut rows = readings.query([connection.0])?;
        while let Some(row) = rows.next()? {
            all.push(UnknownOutcome { kind: EntryKind::Reading, key: Some(row.get(0)?) });
        }
        Ok(all)
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
        let others = "DELETE FROM sent_resources WHERE connection = ? AND unknown > 0";
        let others = tx.execute(others, [connection.0])?;
        tx.commit()?;
        Ok(readings + others)
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
        let others = "UPDATE sent_resources SET unknown = 2 WHERE connection = ? AND unknown = 1";
        let others = tx.execute(others, [connection.0])?;
        tx.commit()?;
        Ok(readings + others)
    }

    /// How many readings of a window, as they now are, a connection does not have although they
    /// were sent, and nobody dismissed that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn readings_set_aside(
        &self,
        connection: ConnectionId,
        unit: GlucoseUnit,
        window: Window,
    ) -> Result<SetAside, StoreError> {
        let tx = self.read()?;
        let mut statement = tx.prepare_cached(
            "SELECT key, version, unknown FROM quarantine
             WHERE connection = ? AND unit = ? AND dismissed = 0",
        )?;
        let mut rows = statement.query(params![connection.0, unit])?;
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

    /// How many devices, and summaries and figures over these dates, a connection does not have
    /// although they were sent, and nobody dismissed that. One that a later one took the place of
    /// is no longer lacking.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn resources_set_aside(
        &self,
        connection: ConnectionId,
        dates: DateRange,
    ) -> Result<SetAside, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT unknown FROM sent_resources r
             WHERE connection = ?1 AND (refusal IS NOT NULL OR unknown = 1)
             AND (first_date IS NULL OR (first_date = ?2 AND last_date = ?3 AND NOT EXISTS (
                SELECT 1 FROM sent_resources later WHERE later.connection = ?1
                AND later.kind = r.kind AND later.first_date = ?2 AND later.last_date = ?3
                AND later.unit = r.unit AND later.id > r.id AND later.refusal IS NULL
                AND later.unknown = 0)))",
        )?;
        let (first, last) = (dates.first().to_string(), dates.last().to_string());
        let mut rows = statement.query(params![connection.0, first, last])?;
        let mut counted = SetAside::default();
        while let Some(row) = rows.next()? {
            counted.count(row.get::<_, i64>(0)? > 0);
        }
        Ok(counted)
    }
}
