//! The tables, and how an older file becomes a newer one.

use super::{
    StoreError, connections, history, imports, ledger, meta, orders, outbox, quarantine, read_back,
    readings, records, resources, revocations, schedules, sensors, versions,
};
use rusqlite::{Connection, TransactionBehavior};

/// Marks a file as ours in SQLite's header: `CGMs`.
pub(super) const APPLICATION_ID: i32 = 0x4347_4d73;

/// Every step, in order: step n brings a file from schema n to n + 1. Released steps never change.
const STEPS: &[&[&str]] = &[&[
    meta::TABLES,
    sensors::TABLES,
    imports::TABLES,
    records::TABLES,
    readings::TABLES,
    readings::RECORDS,
    connections::TABLES,
    revocations::TABLES,
    versions::TABLES,
    ledger::TABLES,
    quarantine::TABLES,
    read_back::TABLES,
    resources::TABLES,
    orders::TABLES,
    schedules::TABLES,
    outbox::TABLES,
    history::TABLES,
]];

/// The newest schema this version knows.
#[expect(clippy::cast_possible_truncation, reason = "a handful")]
pub(super) const KNOWN: u32 = STEPS.len() as u32;

/// Tries to switch to the write-ahead log: each other process can be in the way a few times.
const SWITCHES: u32 = 100;

/// Brings the file to the newest schema, or leaves it untouched. A new file gets marks and tables
/// in one transaction, before it has a write-ahead log: whoever finds it sees all or nothing.
pub(super) fn prepare(db: &mut Connection) -> Result<(), StoreError> {
    // In one transaction: between two statements another process may finish making the file.
    let found = state(&*db.transaction()?)?;
    if found != State::Ready {
        // Takes effect only while the file is still empty.
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let State::At(found) = state(&transaction)? {
            for statements in STEPS.iter().skip(found as usize) {
                for statement in *statements {
                    transaction.execute_batch(statement)?;
                }
            }
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", KNOWN)?;
            transaction.commit()?;
        }
    }
    keep_log(db)
}

/// Switches to the write-ahead log. SQLite does not wait for who writes just then, as it does
/// everywhere else: beginning to write does, and then it is tried again.
fn keep_log(db: &mut Connection) -> Result<(), StoreError> {
    for _ in 0..SWITCHES {
        match db.pragma_update(None, "journal_mode", "WAL").map_err(StoreError::from) {
            Err(StoreError::Busy) => {
                db.transaction_with_behavior(TransactionBehavior::Immediate)?.commit()?;
            }
            done => return done,
        }
    }
    Err(StoreError::Busy)
}

#[derive(PartialEq, Eq)]
enum State {
    /// At an older schema, 0 being none.
    At(u32),
    Ready,
}

fn state(db: &Connection) -> Result<State, StoreError> {
    let found: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let mark: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: u32 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (mark, tables, found) {
        (0, 0, 0) => Ok(State::At(0)),
        (APPLICATION_ID, _, found) if found > KNOWN => {
            Err(StoreError::NewerSchema { found, known: KNOWN })
        }
        (APPLICATION_ID, _, KNOWN) => Ok(State::Ready),
        (APPLICATION_ID, _, found) => Ok(State::At(found)),
        _ => Err(StoreError::Corrupt),
    }
}
