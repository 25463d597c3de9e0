//! The outbox: submissions, and the frozen batch that is under way for a connection.
//!
//! A connection has at most one batch at a time, because a connection has at most one request in flight. A batch keeps the exact
//! bytes that were or will be sent, until every entry's outcome is recorded; then it is gone. What an outcome means is
//! decided elsewhere: here it is written down, in one transaction with the ledger.

use super::ledger::{self, ReadingCode};
use super::resources::{self, SentResource, SentStatus};
use super::{ConnectionId, ReadingKey, Store, StoreError, quarantine};
use crate::submission::{Plan, Position, Stopped, Tally};
use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

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

/// A submission's number within one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubmissionId(pub i64);

/// A batch's number within one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub i64);

/// Whether a submission is still under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmissionState {
    /// Something may be left to send.
    Open,
    /// Everything has an outcome.
    Done,
    /// The person stopped it.
    Cancelled,
}

impl SubmissionState {
    const fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    fn from_code(code: &str) -> Result<Self, StoreError> {
        [Self::Open, Self::Done, Self::Cancelled]
            .into_iter()
            .find(|state| state.code() == code)
            .ok_or(StoreError::Row("submission state"))
    }
}

/// How far a submission has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What comes next.
    pub position: Position,
    /// The account so far.
    pub tally: Tally,
    /// How often everything was gone through; entries the receiver put off are sent in a later pass.
    pub pass: u32,
    /// Whether entries were put off in this pass.
    pub put_off: bool,
    /// Unix second before which the next pass does not start, and the wait it came from: a clock set back does not prolong it.
    pub not_before: (i64, i64),
    /// Units a batch may have while offending ones are being isolated.
    pub unit_limit: Option<usize>,
    /// How many batches in a row had entries put off: the wait grows with them.
    #[serde(default)]
    pub put_offs: u32,
    /// How many batches of readings in a row were refused alike, entry for entry.
    #[serde(default)]
    pub alike: u32,
    /// How many units sent without condition were refused all the same.
    #[serde(default)]
    pub probes_refused: u32,
    /// Whether the next batch asks, with one unit sent without condition, if the receiver knows conditional create at all.
    #[serde(default)]
    pub probe: bool,
    /// Parts the receiver will have nothing of.
    #[serde(default)]
    pub stopped: Vec<Stopped>,
    /// How many single units in a row were refused as whole requests with this status.
    pub lone_refusals: (u32, u16),
}

impl Progress {
    /// At the start of `plan`.
    pub fn start(plan: &Plan) -> Self {
        Self {
            position: Position::first(plan.wanted),
            tally: Tally::default(),
            pass: 1,
            put_off: false,
            not_before: (0, 0),
            unit_limit: None,
            put_offs: 0,
            alike: 0,
            probes_refused: 0,
            probe: false,
            stopped: Vec::new(),
            lone_refusals: (0, 0),
        }
    }
}

/// A submission as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmissionRecord {
    /// Its number.
    pub id: SubmissionId,
    /// Whose it is.
    pub connection: ConnectionId,
    /// When it was asked for.
    pub created_at: i64,
    /// What it sends.
    pub plan: Plan,
    /// Whether it is under way.
    pub state: SubmissionState,
    /// How far it has come.
    pub progress: Progress,
}

/// What one entry of a batch is, so that its outcome can be written down.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// A reading: its packed key, its version, and the unit it was sent in.
    Reading(i64, u32, ReadingCode),
    /// A device, summary or member: its identifier and its kind.
    Resource(String, String),
}

/// Hides identifiers.
impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reading(..) => "Reading(…)",
            Self::Resource(..) => "Resource(…)",
        })
    }
}

/// One entry of a batch: the unit it belongs to, and what it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Entries with the same number stay together.
    pub unit: u32,
    /// What it is.
    pub item: Item,
}

/// Hides identifiers.
impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listed").field("unit", &self.unit).finish_non_exhaustive()
    }
}

/// The state of the database as this process saw it: another one may change it at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(i64);

/// A batch about to be frozen.
#[derive(Clone)]
pub struct NewBatch {
    /// What it was assembled from.
    pub seen: Seen,
    /// The submission it is part of.
    pub submission: SubmissionId,
    /// The body, compressed with gzip.
    pub body: Vec<u8>,
    /// The body's size before compression.
    pub bytes: usize,
    /// What its entries are, in order.
    pub manifest: Vec<Listed>,
    /// Whether its entries are conditional creates.
    pub conditional: bool,
    /// Where the submission stands once it is settled.
    pub position_after: Position,
}

/// Hides body and identifiers.
impl std::fmt::Debug for NewBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewBatch")
            .field("submission", &self.submission)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// A batch as it waits.
#[derive(Clone)]
pub struct BatchRecord {
    /// Its number.
    pub id: BatchId,
    /// The submission it is part of.
    pub submission: SubmissionId,
    /// The body, compressed with gzip.
    pub body: Vec<u8>,
    /// The body's size before compression.
    pub bytes: usize,
    /// What its entries are, in order.
    pub manifest: Vec<Listed>,
    /// Whether its entries are conditional creates.
    pub conditional: bool,
    /// Where the submission stands once it is settled.
    pub position_after: Position,
    /// How often it was sent.
    pub attempt: u32,
    /// Unix second before which it is not sent again, and the wait it came from.
    pub not_before: (i64, i64),
}

/// Hides body and identifiers.
impl std::fmt::Debug for BatchRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchRecord")
            .field("id", &self.id)
            .field("submission", &self.submission)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// What became of an entry, to be written down.
#[derive(Clone, PartialEq, Eq)]
pub enum EntryRecord {
    /// The receiver has it; where, if it said so.
    Delivered {
        /// `Type/id` at the receiver.
        location: Option<String>,
    },
    /// The receiver will not have it, and its reason.
    Refused {
        /// The receiver's own words, capped.
        reason: String,
    },
    /// It is sent again in a later pass.
    PutOff,
}

/// Hides the receiver's words.
impl std::fmt::Debug for EntryRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Delivered { .. } => "Delivered",
            Self::Refused { .. } => "Refused",
            Self::PutOff => "PutOff",
        })
    }
}

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
    db.execute("UPDATE submissions SET progress = ? WHERE id = ?", params![encode(progress, "submission")?, id.0])?;
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
    pub fn submissions(&self, connection: ConnectionId, limit: u32) -> Result<Vec<SubmissionRecord>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT * FROM submissions WHERE connection = ? ORDER BY id DESC LIMIT ?")?;
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
    pub fn open_submissions(&self, connection: ConnectionId) -> Result<Vec<SubmissionRecord>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT * FROM submissions WHERE connection = ? AND state = 'open' ORDER BY id")?;
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
    pub fn save_progress(&mut self, id: SubmissionId, progress: &Progress) -> Result<(), StoreError> {
        save_progress(&self.db, id, progress)
    }

    /// Ends a submission; a batch of it that was never sent is dropped.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn end_submission(&mut self, id: SubmissionId, state: SubmissionState) -> Result<(), StoreError> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute("UPDATE submissions SET state = ? WHERE id = ?", params![state.code(), id.0])?;
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
    /// None where another process changed the database since the batch was assembled: a reading of it may have been corrected, which
    /// nobody would send any more once the old one counts as accepted. Assemble it anew.
    ///
    /// # Errors
    /// [`StoreError`], also where the connection has a batch already.
    pub fn freeze(&mut self, connection: ConnectionId, new: &NewBatch) -> Result<Option<BatchId>, StoreError> {
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
            let mut freeze = transaction.prepare_cached("INSERT INTO frozen_readings (key, batch) VALUES (?, ?)")?;
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
    pub fn pending_batch(&self, connection: ConnectionId) -> Result<Option<BatchRecord>, StoreError> {
        self.db
            .prepare_cached("SELECT * FROM batches WHERE connection = ?")?
            .query([connection.0])?
            .next()?
            .map(batch)
            .transpose()
    }

    /// Marks a batch as being sent, before it is: a kill from here on leaves its outcome unknown. Counts the request.
    ///
    /// A request whose sender was killed may still be under way at the receiver: the batch is not claimed again within
    /// `lease` unless an answer is written down first.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where it is gone or its connection is not active.
    pub fn claim(&mut self, id: BatchId, now: DateTime<Utc>, lease: TimeDelta) -> Result<BatchRecord, StoreError> {
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
    pub fn unclaim(&mut self, batch: &BatchRecord, now: DateTime<Utc>, wait: TimeDelta) -> Result<(), StoreError> {
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
    /// Where it was sent more than once, an earlier attempt may have been taken although its answer was lost: its readings then count as
    /// seen, and a correction says what it corrects.
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
                if let Item::Reading(key, version, code) = listed.item {
                    ledger::remember(&transaction, connection, code, reading_key(key)?, version)?;
                }
            }
        }
        save_progress(&transaction, batch.submission, progress)?;
        transaction.commit()?;
        Ok(())
    }

    /// Writes down what became of every entry of a batch, in one transaction: ledger, resources, what was refused, the
    /// submission's progress. Then the batch is gone.
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
    let text: String = db.query_row("SELECT progress FROM submissions WHERE id = ?", [id.0], |row| row.get(0))?;
    decode(&text, "submission")
}

/// Entry outcomes to ledger, resources and quarantine.
fn write_outcomes(
    transaction: &Transaction<'_>,
    connection: ConnectionId,
    batch: &BatchRecord,
    records: &[EntryRecord],
) -> Result<(), StoreError> {
    let mut delivered: Vec<(ReadingCode, (ReadingKey, u32))> = Vec::new();
    for (listed, record) in batch.manifest.iter().zip(records) {
        match (&listed.item, record) {
            (Item::Reading(key, version, code), EntryRecord::Delivered { .. }) => {
                delivered.push((*code, (reading_key(*key)?, *version)));
            }
            (Item::Reading(key, version, code), EntryRecord::Refused { reason }) => {
                quarantine::quarantine(transaction, connection, *code, (reading_key(*key)?, *version), reason)?;
            }
            (Item::Resource(identifier, kind), EntryRecord::Delivered { location }) => {
                let status = SentStatus::Delivered;
                let sent = SentResource::new(identifier, kind, location.clone(), status);
                resources::record_resource(transaction, connection, &sent)?;
            }
            (Item::Resource(identifier, kind), EntryRecord::Refused { reason }) => {
                let sent = SentResource::new(identifier, kind, None, SentStatus::Refused(reason.clone()));
                resources::record_resource(transaction, connection, &sent)?;
            }
            (_, EntryRecord::PutOff) => {}
        }
    }
    for code in [ReadingCode::Mass, ReadingCode::Molar] {
        let of_code: Vec<_> = delivered.iter().filter(|(c, _)| *c == code).map(|(_, reading)| *reading).collect();
        if !of_code.is_empty() {
            ledger::record_accepted(transaction, connection, code, &of_code)?;
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
    use crate::glucose::{GlucoseUnit, ZoneOffsets};
    use crate::store::testing::Scratch;
    use crate::submission::Wanted;

    #[test]
    fn a_batch_is_not_frozen_where_another_process_wrote_since_it_was_assembled() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let now = "2024-07-01T08:00:00Z".parse().unwrap();
        let zone = ZoneOffsets::fixed(crate::glucose::UtcOffset::UTC);
        let dates: crate::glucose::DateRange = "2024-05-01..2024-05-02".parse().unwrap();
        let wanted = Wanted { devices: false, summary: false, readings: true, unit: GlucoseUnit::MgPerDl };
        let plan = Plan { wanted, dates, window: dates.window(&zone).unwrap() };
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
        let mut other = Store::open(std::path::Path::new(scratch.store.db.path().unwrap())).unwrap();
        other.set_meta("anything", "changed").unwrap();
        assert_eq!(scratch.store.freeze(connection, &stale).unwrap(), None);
        assert!(scratch.store.pending_batch(connection).unwrap().is_none());

        let fresh = assembled(&scratch.store);
        scratch.store.set_meta("anything", "by ourselves").unwrap();
        assert!(scratch.store.freeze(connection, &fresh).unwrap().is_some(), "our own writes are no surprise");
    }
}
