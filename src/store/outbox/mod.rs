//! The outbox: submissions, and the frozen batch that is under way for a connection.
//!
//! A connection has at most one batch at a time, because a connection has at most one request in
//! flight. A batch keeps the exact bytes that were or will be sent, and where to, until every
//! entry's outcome is recorded; then it is gone. What an outcome means is decided elsewhere: here
//! it is written down, in one transaction with the ledger.

mod batches;
mod never_sent;
mod outcomes;
mod records;
mod settle;
mod submissions;
mod unreadable;

pub use records::{
    BatchId, BatchRecord, BatchState, DataVersion, NewBatch, SubmissionId, SubmissionRecord,
    SubmissionState,
};
pub use settle::Pending;
pub(super) use settle::set_aside_pending;

use super::{ReadingKey, StoreError, json};
use rusqlite::Connection;
use serde::{Serialize, de::DeserializeOwned};

/// The outbox's tables. `wait`, `attempts`, `looked_up`, `manifest`, `plan` and `progress` are
/// JSON.
pub(super) const TABLES: &str = "
    CREATE TABLE submissions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        created_at INTEGER NOT NULL,
        origin TEXT NOT NULL,
        key TEXT NOT NULL,
        plan TEXT NOT NULL,
        state TEXT NOT NULL,
        progress TEXT NOT NULL
    ) STRICT;
    CREATE INDEX open_submissions ON submissions (connection, id) WHERE state = 'open';
    CREATE UNIQUE INDEX one_open_submission_of_a_key ON submissions (connection, key)
        WHERE state = 'open';
    CREATE TABLE batches (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        submission INTEGER NOT NULL REFERENCES submissions (id) ON DELETE CASCADE,
        connection INTEGER NOT NULL UNIQUE REFERENCES connections (id) ON DELETE CASCADE,
        state TEXT NOT NULL,
        url TEXT NOT NULL,
        dialect TEXT NOT NULL,
        part TEXT NOT NULL,
        body BLOB NOT NULL,
        bytes INTEGER NOT NULL,
        manifest TEXT NOT NULL,
        conditional INTEGER NOT NULL,
        position_after TEXT NOT NULL,
        attempts TEXT NOT NULL,
        looked_up TEXT NOT NULL,
        wait TEXT NOT NULL,
        wait_reason TEXT NOT NULL
    ) STRICT;
    CREATE TABLE frozen_readings (
        key INTEGER NOT NULL,
        batch INTEGER NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
        PRIMARY KEY (batch, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX frozen_readings_by_key ON frozen_readings (key);
";

/// The version of the columns of JSON; raise it with every incompatible change.
const VERSION: u32 = 1;

fn encode(value: &impl Serialize, what: &'static str) -> Result<String, StoreError> {
    json::encode(value, VERSION, what)
}

fn decode<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, StoreError> {
    json::decode(text, VERSION, what)
}

/// Whether a reading is part of a frozen batch: its version counts as sent, because it may be.
pub(super) fn is_frozen(db: &Connection, key: ReadingKey) -> Result<bool, StoreError> {
    let frozen = "SELECT 1 FROM frozen_readings WHERE key = ?";
    Ok(db.prepare_cached(frozen)?.exists([key])?)
}

fn reading_key(packed: i64) -> Result<ReadingKey, StoreError> {
    ReadingKey::from_packed(packed).ok_or(StoreError::Row("batch"))
}
