//! The tables, and how an older file becomes a newer one.

use super::{StoreError, outbox};
use rusqlite::{Connection, TransactionBehavior};

/// Every step, in order: step n brings a file from schema n to n + 1. Released steps never change.
const STEPS: &[&[&str]] = &[&[CONNECTIONS, outbox::TABLES]];

const CONNECTIONS: &str = "
    CREATE TABLE connections (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        base TEXT NOT NULL UNIQUE,
        patient TEXT NOT NULL,
        state TEXT NOT NULL,
        details TEXT NOT NULL
    ) STRICT;
";

/// Brings the file to the newest schema, or leaves it untouched.
pub(super) fn prepare(db: &mut Connection) -> Result<(), StoreError> {
    let known = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    let found: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for statements in STEPS.iter().skip(found as usize) {
        for statement in *statements {
            transaction.execute_batch(statement)?;
        }
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}
