//! Batches that were frozen and never sent: they can be dropped, and nothing is lost by it.

use super::decode;
use super::records::{BatchId, SubmissionId};
use crate::store::StoreError;
use crate::submission::Attempts;
use rusqlite::Transaction;

/// Drops a batch if it was never sent.
pub(super) fn drop_batch(tx: &Transaction<'_>, batch: BatchId) -> Result<(), StoreError> {
    drop_where(tx, "id", batch.0)
}

/// Drops the batch of a submission if it was never sent.
pub(super) fn drop_batch_of(
    tx: &Transaction<'_>,
    submission: SubmissionId,
) -> Result<(), StoreError> {
    drop_where(tx, "submission", submission.0)
}

fn drop_where(tx: &Transaction<'_>, column: &'static str, number: i64) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(&format!(
        "SELECT id, attempts FROM batches WHERE {column} = ? AND state = 'ready'"
    ))?;
    let rows = statement.query_map([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for row in rows.collect::<Result<Vec<(i64, String)>, _>>()? {
        // Decoded here: a phone's SQLite may be built without functions for JSON.
        if decode::<Attempts>(&row.1, "batch")?.sent == 0 {
            tx.execute("DELETE FROM batches WHERE id = ?", [row.0])?;
        }
    }
    Ok(())
}
