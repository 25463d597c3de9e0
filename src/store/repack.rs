//! Filling the pages of readings that came before older neighbours: newest first, page by page of a
//! history. SQLite leaves such pages half empty; once there are many the table is written anew, in
//! order.

use super::{StoreError, readings};
use rusqlite::{Connection, OptionalExtension, Transaction};

/// The name in `meta` under which such readings are counted.
const LOOSE: &str = "loose-readings";
/// Fewer are not worth it.
const LEAST_LOOSE: i64 = 1_000;
/// The part of all readings from which it is: then writing all costs each of them eight rows.
const PART: i64 = 8;

/// Counts readings that were inserted before a later one of their sensor.
pub(super) fn note_loose(tx: &Transaction<'_>, loose: usize) -> Result<(), StoreError> {
    if loose > 0 {
        tx.prepare_cached(
            "INSERT INTO meta (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = CAST(value AS INTEGER) + ?2",
        )?
        .execute((LOOSE, i64::try_from(loose).unwrap_or(i64::MAX)))?;
    }
    Ok(())
}

fn loose(db: &Connection) -> Result<i64, StoreError> {
    let sql = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = ?";
    Ok(db.prepare_cached(sql)?.query_row([LOOSE], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Whether enough are loose.
pub(super) fn is_due(db: &Connection) -> Result<bool, StoreError> {
    let loose = loose(db)?;
    if loose < LEAST_LOOSE {
        return Ok(false);
    }
    let all: i64 = db.query_row("SELECT count(*) FROM readings", [], |row| row.get(0))?;
    Ok(loose.saturating_mul(PART) >= all)
}

/// Writes the readings' table anew, if another process did not do so meanwhile.
pub(super) fn repack(tx: &Transaction<'_>) -> Result<(), StoreError> {
    if !is_due(tx)? {
        return Ok(());
    }
    tx.execute_batch("ALTER TABLE readings RENAME TO loose")?;
    tx.execute_batch(readings::TABLES)?;
    tx.execute_batch("INSERT INTO readings SELECT * FROM loose ORDER BY key; DROP TABLE loose")?;
    tx.execute("DELETE FROM meta WHERE name = ?", [LOOSE])?;
    Ok(())
}
