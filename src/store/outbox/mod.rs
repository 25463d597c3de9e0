//! The outbox: submissions, and the frozen batch that is under way for a connection.
//!
//! A connection has at most one batch at a time, because a connection has at most one request in
//! flight. A batch keeps the exact bytes that were or will be sent, until every entry's outcome is
//! recorded; then it is gone. What an outcome means is decided elsewhere: here it is written down,
//! in one transaction with the ledger.

mod records;

pub use records::{
    BatchId, BatchRecord, EntryRecord, Item, Listed, NewBatch, Progress, Seen, SubmissionId,
    SubmissionRecord, SubmissionState,
};

use super::resources::{self, SentResource, SentStatus};
use super::unit::UNITS;
use super::{ConnectionId, ReadingKey, Store, StoreError, quarantine, settlement};
use crate::glucose::GlucoseUnit;
use crate::submission::Plan;
use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};
use serde::{Serialize, de::DeserializeOwned};

/// The outbox's tables.
pub(super) const TABLES: &str = "
    CREATE TABLE submissions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        created_at INTEGER NOT NULL,
        plan TEXT NOT NULL,
        state TEXT NOT NULL,
        progress TEXT NOT NULL
    ) STRICT;
    CREATE INDEX open_submissions ON submissions (connection, id) WHERE state = 'open';
    CREATE TABLE batches (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        submission INTEGER NOT NULL REFERENCES submissions (id) ON DELETE CASCADE,
        connection INTEGER NOT NULL UNIQUE REFERENCES connections (id) ON DELETE CASCADE,
        state TEXT NOT NULL,
        body BLOB NOT NULL,
        bytes INTEGER NOT NULL,
        manifest TEXT NOT NULL,
        conditional INTEGER NOT NULL,
        position_after TEXT NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0,
        not_before INTEGER NOT NULL DEFAULT 0,
        delay INTEGER NOT NULL DEFAULT 0,
        last_error TEXT
    ) STRICT;
    CREATE TABLE frozen_readings (
        key INTEGER NOT NULL,
        batch INTEGER NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
        PRIMARY KEY (batch, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX frozen_readings_by_key ON frozen_readings (key);
";

fn encode(value: &impl Serialize, what: &'static str) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Row(what))
}

fn decode<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Row(what))
}

fn submission(row: &Row<'_>) -> Result<SubmissionRecord, StoreError> {
    Ok(SubmissionRecord {
        id: SubmissionId(row.get("id")?),
        connection: ConnectionId(row.get("connection")?),
        created_at: row.get("created_at")?,
        plan: decode(&row.get::<_, String>("plan")?, "submission")?,
        state: SubmissionState::from_code(&row.get::<_, String>("state")?)?,
        progress: decode(&row.get::<_, String>("progress")?, "submission")?,
    })
}

fn batch(row: &Row<'_>) -> Result<BatchRecord, StoreError> {
    Ok(BatchRecord {
        id: BatchId(row.get("id")?),
        submission: SubmissionId(row.get("submission")?),
        body: row.get("body")?,
        bytes: usize::try_from(row.get::<_, i64>("bytes")?).unwrap_or_default(),
        manifest: decode(&row.get::<_, String>("manifest")?, "batch")?,
        conditional: row.get("conditional")?,
        position_after: decode(&row.get::<_, String>("position_after")?, "batch")?,
        attempt: row.get("attempt")?,
        not_before: (row.get("not_before")?, row.get("delay")?),
    })
}

fn save_progress(db: &Connection, id: SubmissionId, progress: &Progress) -> Result<(), StoreError> {
    db.execute(
        "UPDATE submissions SET progress = ? WHERE id = ?",
        params![encode(progress, "submission")?, id.0],
    )?;
    Ok(())
}

/// Whether a reading is part of a frozen batch: its version counts as sent, because it may be.
pub(super) fn is_frozen(db: &Connection, key: ReadingKey) -> Result<bool, StoreError> {
    let frozen = "SELECT 1 FROM frozen_readings WHERE key = ?";
    Ok(db.prepare_cached(frozen)?.exists([key])?)
}

impl Store {
    /// Asks for a submission.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_submission(
        &mut self,
        connection: ConnectionId,
        plan: &Plan,
        now: DateTime<Utc>,
    ) -> Result<SubmissionId, StoreError> {
        self.db.execute(
            "INSERT INTO submissions (connection, created_at, plan, state, progress) VALUES (?, ?, ?, 'open', ?)",
            params![
                connection.0,
                now.timestamp(),
                encode(plan, "submission")?,
                encode(&Progress::start(plan), "submission")?
            ],
        )?;
        Ok(SubmissionId(self.db.last_insert_rowid()))
    }

    /// One submission.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none.
    pub fn submission(&self, id: SubmissionId) -> Result<SubmissionRecord, StoreError> {
        self.db
            .prepare_cached("SELECT * FROM submissions WHERE id = ?")?
            .query([id.0])?
            .next()?
            .map_or(Err(StoreError::Missing("submission")), submission)
    }

    /// A connection's submissions, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn submissions(
        &self,
        connection: ConnectionId,
        limit: u32,
    ) -> Result<Vec<SubmissionRecord>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM submissions WHERE connection = ? ORDER BY id DESC LIMIT ?",
        )?;
        let mut rows = statement.query(params![connection.0, limit])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(submission(row)?);
        }
        Ok(all)
    }

    /// A connection's open submissions, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_submissions(
        &self,
        connection: ConnectionId,
    ) -> Result<Vec<SubmissionRecord>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM submissions WHERE connection = ? AND state = 'open' ORDER BY id",
        )?;
        let mut rows = statement.query([connection.0])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(submission(row)?);
        }
        Ok(all)
    }

    /// Writes down how far a submission has come.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_progress(
        &mut self,
        id: SubmissionId,
        progress: &Progress,
    ) -> Result<(), StoreError> {
        save_progress(&self.db, id, progress)
    }

    /// Ends a submission; a batch of it that was never sent is dropped.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn end_submission(
        &mut self,
        id: SubmissionId,
        state: SubmissionState,
    ) -> Result<(), StoreError> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute(
            "UPDATE submissions SET state = ? WHERE id = ?",
            params![state.code(), id.0],
        )?;
        transaction.execute("DELETE FROM batches WHERE submission = ? AND attempt = 0", [id.0])?;
        transaction.commit()?;
        Ok(())
    }

    /// The state of the database now. Take it before a batch is assembled.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn seen(&self) -> Result<Seen, StoreError> {
        seen(&self.db)
    }

    /// Freezes a batch: from here on these bytes, and no others, are sent under these identifiers.
    ///
    /// None where another process changed the database since the batch was assembled: a reading of
    /// it may have been corrected, which nobody would send any more once the old one counts as
    /// accepted. Assemble it anew.
    ///
    /// # Errors
    /// [`StoreError`], also where the connection has a batch already.
    pub fn freeze(
        &mut self,
        connection: ConnectionId,
        new: &NewBatch,
    ) -> Result<Option<BatchId>, StoreError> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if seen(&transaction)? != new.seen {
            return Ok(None);
        }
        transaction.execute(
            "INSERT INTO batches (submission, connection, state, body, bytes, manifest, conditional, position_after)
             VALUES (?, ?, 'ready', ?, ?, ?, ?, ?)",
            params![
                new.submission.0,
                connection.0,
                new.body,
                i64::try_from(new.bytes).unwrap_or(i64::MAX),
                encode(&new.manifest, "batch")?,
                new.conditional,
                encode(&new.position_after, "batch")?,
            ],
        )?;
        let id = transaction.last_insert_rowid();
        {
            let mut freeze = transaction
                .prepare_cached("INSERT INTO frozen_readings (key, batch) VALUES (?, ?)")?;
            for listed in &new.manifest {
                if let Item::Reading(key, ..) = listed.item {
                    freeze.execute([key, id])?;
                }
            }
        }
        transaction.commit()?;
        Ok(Some(BatchId(id)))
    }

    /// The batch a connection has, if any.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pending_batch(
        &self,
        connection: ConnectionId,
    ) -> Result<Option<BatchRecord>, StoreError> {
        self.db
            .prepare_cached("SELECT * FROM batches WHERE connection = ?")?
            .query([connection.0])?
            .next()?
            .map(batch)
            .transpose()
    }

    /// Marks a batch as being sent, before it is: a kill from here on leaves its outcome unknown.
    /// Counts the request.
    ///
    /// A request whose sender was killed may still be under way at the receiver: the batch is not
    /// claimed again within `lease` unless an answer is written down first.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where it is gone or its connection is not active.
    pub fn claim(
        &mut self,
        id: BatchId,
        now: DateTime<Utc>,
        lease: TimeDelta,
    ) -> Result<BatchRecord, StoreError> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let claimed = transaction
            .prepare_cached(
                "UPDATE batches SET state = 'sending', attempt = attempt + 1, not_before = ?2, delay = ?3
                 WHERE id = ?1 AND connection IN (SELECT id FROM connections WHERE state = 'active') RETURNING *",
            )?
            .query(params![id.0, (now + lease).timestamp(), lease.num_seconds()])?
            .next()?
            .map_or(Err(StoreError::Missing("batch")), batch)?;
        let mut progress = progress_of(&transaction, claimed.submission)?;
        progress.tally.requests += 1;
        progress.tally.bytes += claimed.bytes as u64;
        save_progress(&transaction, claimed.submission, &progress)?;
        transaction.commit()?;
        Ok(claimed)
    }

    /// Puts a batch back to be sent again, the same bytes, after a wait.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn postpone(
        &mut self,
        id: BatchId,
        now: DateTime<Utc>,
        wait: TimeDelta,
        error: &str,
    ) -> Result<(), StoreError> {
        // Whole seconds, upwards: a wait is never cut short.
        let seconds = wait.num_seconds() + i64::from(wait.subsec_nanos() > 0);
        self.db.execute(
            "UPDATE batches SET state = 'ready', not_before = ?, delay = ?, last_error = ? WHERE id = ?",
            params![now.timestamp() + seconds, seconds, error, id.0],
        )?;
        Ok(())
    }

    /// Puts a claimed batch back that was not sent after all: the attempt does not count.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unclaim(
        &mut self,
        batch: &BatchRecord,
        now: DateTime<Utc>,
        wait: TimeDelta,
    ) -> Result<(), StoreError> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute(
            "UPDATE batches SET state = 'ready', attempt = attempt - 1, not_before = ?, delay = ? WHERE id = ?",
            params![(now + wait).timestamp(), wait.num_seconds(), batch.id.0],
        )?;
        let mut progress = progress_of(&transaction, batch.submission)?;
        progress.tally.requests = progress.tally.requests.saturating_sub(1);
        progress.tally.bytes = progress.tally.bytes.saturating_sub(batch.bytes as u64);
        save_progress(&transaction, batch.submission, &progress)?;
        transaction.commit()?;
        Ok(())
    }

    /// Takes a batch apart: its content goes into a later, smaller one.
    ///
    /// Where it was sent more than once, an earlier attempt may have been taken although its answer
    /// was lost: its readings then count as seen, and a correction says what it corrects.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where it is gone already.
    pub fn take_apart(
        &mut self,
        connection: ConnectionId,
        batch: &BatchRecord,
        progress: &Progress,
    ) -> Result<(), StoreError> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if transaction.execute("DELETE FROM batches WHERE id = ?", [batch.id.0])? == 0 {
            return Err(StoreError::Missing("batch"));
        }
        if batch.attempt > 1 {
            for listed in &batch.manifest {
                if let Item::Reading(key, version, unit) = listed.item {
                    let to = (connection, unit);
                    settlement::remember(&transaction, to, reading_key(key)?, version)?;
                }
            }
        }
        save_progress(&transaction, batch.submission, progress)?;
        transaction.commit()?;
        Ok(())
    }

    /// Writes down what became of every entry of a batch, in one transaction: ledger, resources,
    /// what was refused, the submission's progress. Then the batch is gone.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where it is gone already.
    pub fn settle(
        &mut self,
        connection: ConnectionId,
        batch: &BatchRecord,
        records: &[EntryRecord],
        progress: &Progress,
    ) -> Result<(), StoreError> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if transaction.execute("DELETE FROM batches WHERE id = ?", [batch.id.0])? == 0 {
            return Err(StoreError::Missing("batch"));
        }
        write_outcomes(&transaction, connection, batch, records)?;
        save_progress(&transaction, batch.submission, progress)?;
        transaction.commit()?;
        Ok(())
    }
}

fn seen(db: &Connection) -> Result<Seen, StoreError> {
    Ok(Seen(db.query_row("PRAGMA data_version", [], |row| row.get(0))?))
}

fn progress_of(db: &Connection, id: SubmissionId) -> Result<Progress, StoreError> {
    let text: String =
        db.query_row("SELECT progress FROM submissions WHERE id = ?", [id.0], |row| row.get(0))?;
    decode(&text, "submission")
}

/// Entry outcomes to ledger, resources and quarantine.
fn write_outcomes(
    transaction: &Transaction<'_>,
    connection: ConnectionId,
    batch: &BatchRecord,
    records: &[EntryRecord],
) -> Result<(), StoreError> {
    let mut delivered: Vec<(GlucoseUnit, (ReadingKey, u32))> = Vec::new();
    for (listed, record) in batch.manifest.iter().zip(records) {
        match (&listed.item, record) {
            (Item::Reading(key, version, unit), EntryRecord::Delivered { .. }) => {
                delivered.push((*unit, (reading_key(*key)?, *version)));
            }
            (Item::Reading(key, version, unit), EntryRecord::Refused { reason }) => {
                quarantine::quarantine(
                    transaction,
                    connection,
                    *unit,
                    (reading_key(*key)?, *version),
                    reason,
                )?;
            }
            (Item::Resource(identifier, kind, covered), EntryRecord::Delivered { location }) => {
                let status = SentStatus::Delivered;
                let what = (identifier.as_str(), *kind, *covered);
                let sent = SentResource::new(what, location.clone(), status);
                resources::record_resource(transaction, connection, &sent)?;
            }
            (Item::Resource(identifier, kind, covered), EntryRecord::Refused { reason }) => {
                let what = (identifier.as_str(), *kind, *covered);
                let sent = SentResource::new(what, None, SentStatus::Refused(reason.clone()));
                resources::record_resource(transaction, connection, &sent)?;
            }
            (_, EntryRecord::PutOff) => {}
        }
    }
    for unit in UNITS {
        let of_unit: Vec<_> =
            delivered.iter().filter(|(u, _)| *u == unit).map(|(_, reading)| *reading).collect();
        if !of_unit.is_empty() {
            settlement::record_accepted(transaction, connection, unit, &of_unit)?;
        }
    }
    Ok(())
}

fn reading_key(packed: i64) -> Result<ReadingKey, StoreError> {
    ReadingKey::from_packed(packed).ok_or(StoreError::Row("batch"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::ZoneOffsets;
    use crate::store::testing::Scratch;
    use crate::submission::Position;
    use crate::submission::Wanted;

    #[test]
    fn a_batch_is_not_frozen_where_another_process_wrote_since_it_was_assembled() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let now = "2024-07-01T08:00:00Z".parse().unwrap();
        let zone = ZoneOffsets::fixed(crate::glucose::UtcOffset::UTC);
        let dates: crate::glucose::DateRange = "2024-05-01..2024-05-02".parse().unwrap();
        let wanted =
            Wanted { devices: false, summary: false, readings: true, unit: GlucoseUnit::MgPerDl };
        let window = dates.window(&zone).unwrap();
        let plan = Plan { wanted, dates, window, day_under_way: None };
        let submission = scratch.store.open_submission(connection, &plan, now).unwrap();
        let assembled = |store: &Store| NewBatch {
            seen: store.seen().unwrap(),
            submission,
            body: Vec::new(),
            bytes: 0,
            manifest: Vec::new(),
            conditional: true,
            position_after: Position::End,
        };
        let stale = assembled(&scratch.store);
        let mut other =
            Store::open(std::path::Path::new(scratch.store.db.path().unwrap())).unwrap();
        other.set_meta("anything", "changed").unwrap();
        assert_eq!(scratch.store.freeze(connection, &stale).unwrap(), None);
        assert!(scratch.store.pending_batch(connection).unwrap().is_none());

        let fresh = assembled(&scratch.store);
        scratch.store.set_meta("anything", "by ourselves").unwrap();
        assert!(
            scratch.store.freeze(connection, &fresh).unwrap().is_some(),
            "our own writes are no surprise"
        );
    }
}
