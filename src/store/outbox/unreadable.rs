//! A batch whose row cannot be read: it ends with its submission, and what may have been sent of it
//! rests. Nothing is left to decide by, and nothing else waits for it.

use super::decode;
use super::outcomes::write_outcomes;
use super::records::SubmissionId;
use super::submissions::{cancel, find};
use crate::store::unit::UNITS;
use crate::store::{ConnectionId, ReadingKey, Store, StoreError, readings, settlement};
use crate::submission::{Attempts, EntryRecord, ManifestEntry};
use rusqlite::{OptionalExtension, Transaction, params};

impl Store {
    /// Ends the batch of a connection, which cannot be read, and its submission. What may have been
    /// sent of it rests with unknown outcome.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn end_unreadable_batch(&mut self, connection: ConnectionId) -> Result<(), StoreError> {
        let tx = self.write()?;
        set_aside(&tx, connection)?;
        let submission: Option<i64> = tx
            .prepare_cached("SELECT submission FROM batches WHERE connection = ?")?
            .query_row([connection.0], |row| row.get(0))
            .optional()?;
        if let Some(id) = submission {
            cancel(&tx, SubmissionId(id))?;
        }
        tx.execute("DELETE FROM batches WHERE connection = ?", [connection.0])?;
        tx.commit()?;
        Ok(())
    }
}

/// Lets everything rest that the batch of a connection holds, as far as that can be told.
pub(super) fn set_aside(tx: &Transaction<'_>, connection: ConnectionId) -> Result<(), StoreError> {
    let sql = "SELECT id, submission, manifest, attempts, state FROM batches WHERE connection = ?";
    let row = tx.prepare_cached(sql)?.query_row([connection.0], |row| {
        let text = |at: usize| row.get::<_, String>(at);
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, text(2)?, text(3)?, text(4)?))
    });
    let Some((id, submission, manifest, attempts, state)) = row.optional()? else { return Ok(()) };
    let sent = decode::<Attempts>(&attempts, "batch").map_or(1, |attempts| attempts.sent);
    if sent == 0 && state == "ready" {
        return Ok(());
    }
    if let Ok(manifest) = decode::<Vec<ManifestEntry>>(&manifest, "batch") {
        let records = vec![EntryRecord::Unknown; manifest.len()];
        return write_outcomes(tx, connection, &manifest, &records);
    }
    let wanted = find(tx, SubmissionId(submission)).map(|found| found.plan.wanted.unit);
    let keys: Vec<ReadingKey> = tx
        .prepare_cached("SELECT key FROM frozen_readings WHERE batch = ?")?
        .query_map(params![id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for unit in UNITS.into_iter().filter(|unit| wanted.as_ref().map_or(true, |one| one == unit)) {
        for key in &keys {
            let Some(reading) = readings::at(tx, *key)? else { continue };
            settlement::set_aside(tx, (connection, unit), (*key, reading.version(tx)?))?;
        }
    }
    Ok(())
}
