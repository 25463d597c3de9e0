//! The readings' rows: their tables, one row's life, and the history of those that were corrected
//! after a receiver had seen them.
//!
//! A reading's version is 0 until a version someone has seen is corrected; the earlier one then
//! moves to `superseded`. Only such rows carry the history mark, so that ordinary ones cost
//! nothing. Readings that a maker's record key shows to have moved to another instant take their
//! history along.

use super::form::{self, HISTORY};
use super::{ReadingKey, StoreError, claims, ledger};
use crate::glucose::{Measurement, RecordKey, SensorId, UtcOffset};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// The readings' tables. `measurement` is packed as [`form`] says, with the UTC offset but in
/// `superseded`. `superseded.moved_to` is the key at which the record stands now, where that
/// is another; while a batch of moves is under way it is written negative, so that one move does
/// not drag along another's.
pub(super) const TABLES: &str = "
    CREATE TABLE readings (
        key INTEGER PRIMARY KEY,
        measurement INTEGER NOT NULL,
        record TEXT
    ) STRICT;
    CREATE UNIQUE INDEX readings_by_record ON readings (key >> 34, record) WHERE record IS NOT NULL;
    CREATE TABLE superseded (
        id INTEGER PRIMARY KEY,
        key INTEGER NOT NULL,
        version INTEGER NOT NULL,
        measurement INTEGER NOT NULL,
        moved_to INTEGER,
        UNIQUE (key, version)
    ) STRICT;
    CREATE INDEX superseded_by_target ON superseded (moved_to) WHERE moved_to IS NOT NULL;
";

/// A row of `readings`.
pub(super) struct StoredReading {
    pub(super) key: ReadingKey,
    packed: i64,
    record: Option<String>,
}

impl StoredReading {
    pub(super) fn measurement(&self) -> Result<Measurement, StoreError> {
        form::decode(self.packed)
    }

    pub(super) fn record(&self) -> Option<&str> {
        self.record.as_deref()
    }

    /// Its current version.
    pub(super) fn version(&self, db: &Connection) -> Result<u32, StoreError> {
        version(db, self.key, self.packed)
    }
}

const SELECT: &str = "SELECT key, measurement, record FROM readings";

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredReading> {
    Ok(StoredReading { key: row.get(0)?, packed: row.get(1)?, record: row.get(2)? })
}

/// The reading at a key.
pub(super) fn at(db: &Connection, key: ReadingKey) -> Result<Option<StoredReading>, StoreError> {
    Ok(db
        .prepare_cached(&format!("{SELECT} WHERE key = ?"))?
        .query_row([key], stored)
        .optional()?)
}

/// A sensor's reading with a maker's record key.
pub(super) fn by_record(
    db: &Connection,
    sensor: SensorId,
    record: &RecordKey,
) -> Result<Option<StoredReading>, StoreError> {
    Ok(db
        .prepare_cached(&format!("{SELECT} WHERE key >> 34 = ? AND record = ?"))?
        .query_row(params![sensor.0, record.as_str()], stored)
        .optional()?)
}

/// The current version of a row with this packed measurement.
pub(super) fn version(db: &Connection, key: ReadingKey, packed: i64) -> Result<u32, StoreError> {
    if packed & HISTORY == 0 {
        return Ok(0);
    }
    let last: Option<u32> = db
        .prepare_cached("SELECT max(version) FROM superseded WHERE key = ?")?
        .query_row([key], |row| row.get(0))?;
    Ok(last.map_or(0, |last| last + 1))
}

/// [`HISTORY`] where the key has earlier versions, or a reading that moved there has.
fn history(db: &Connection, key: ReadingKey) -> Result<i64, StoreError> {
    let known = db
        .prepare_cached("SELECT 1 FROM superseded WHERE key = ?1 OR moved_to = ?1")?
        .exists([key])?;
    Ok(if known { HISTORY } else { 0 })
}

/// First and last key of a sensor's `superseded` rows and their targets, where there are any.
pub(super) fn superseded_range(
    db: &Connection,
    (first, last): (i64, i64),
) -> Result<Option<(i64, i64)>, StoreError> {
    let edges: (Option<i64>, Option<i64>) = db
        .prepare_cached(
            "SELECT min(at), max(at) FROM (SELECT key AS at FROM superseded WHERE key BETWEEN ?1 AND ?2
             UNION ALL SELECT moved_to FROM superseded WHERE moved_to BETWEEN ?1 AND ?2)",
        )?
        .query_row([first, last], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(edges.0.zip(edges.1))
}

/// Adds a reading where there is none, with the history of its key.
pub(super) fn insert(
    tx: &Transaction<'_>,
    key: ReadingKey,
    measurement: Measurement,
    offset: UtcOffset,
    record: Option<&RecordKey>,
) -> Result<(), StoreError> {
    let packed = form::encode(measurement) | form::offset(offset) | history(tx, key)?;
    tx.prepare_cached("INSERT INTO readings (key, measurement, record) VALUES (?, ?, ?)")?
        .execute(params![key, packed, record.map(RecordKey::as_str)])?;
    Ok(())
}

/// Keeps the current version as an earlier one, where someone has seen it. True where so.
pub(super) fn supersede(tx: &Transaction<'_>, reading: &StoredReading) -> Result<bool, StoreError> {
    let version = reading.version(tx)?;
    if !claims::is_claimed(tx, reading.key, version)? {
        return Ok(false);
    }
    tx.prepare_cached("INSERT INTO superseded (key, version, measurement) VALUES (?, ?, ?)")?
        .execute(params![reading.key, version, reading.packed & !HISTORY & !form::OFFSET_MASK])?;
    ledger::forget(tx, reading.key, version)?;
    Ok(true)
}

/// Puts a new measurement in a reading's place; offset and record key change only where given.
pub(super) fn overwrite(
    tx: &Transaction<'_>,
    key: ReadingKey,
    measurement: Measurement,
    offset: Option<UtcOffset>,
    record: Option<&RecordKey>,
) -> Result<(), StoreError> {
    let packed = form::encode(measurement) | history(tx, key)?;
    tx.prepare_cached(
        "UPDATE readings SET measurement = ?2 | coalesce(?3, measurement & ?5), record = coalesce(?4, record)
         WHERE key = ?1",
    )?
    .execute(params![key, packed, offset.map(form::offset), record.map(RecordKey::as_str), form::OFFSET_MASK])?;
    Ok(())
}

/// Gives a reading without record key the one its maker now names.
pub(super) fn adopt_record(
    tx: &Transaction<'_>,
    key: ReadingKey,
    record: &RecordKey,
) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE readings SET record = ? WHERE key = ?")?
        .execute(params![record.as_str(), key])?;
    Ok(())
}

/// Marks a reading that stays as it is but was joined by another's history.
pub(super) fn mark_history(tx: &Transaction<'_>, key: ReadingKey) -> Result<(), StoreError> {
    let mark = history(tx, key)?;
    tx.prepare_cached("UPDATE readings SET measurement = measurement | ? WHERE key = ?")?
        .execute(params![mark, key])?;
    Ok(())
}

/// Takes a reading away because its record now stands at `target`. True where someone has seen it.
pub(super) fn move_away(
    tx: &Transaction<'_>,
    reading: &StoredReading,
    target: ReadingKey,
) -> Result<bool, StoreError> {
    let seen = supersede(tx, reading)?;
    tx.prepare_cached("DELETE FROM readings WHERE key = ?")?.execute([reading.key])?;
    tx.prepare_cached("UPDATE superseded SET moved_to = ?2 WHERE (key = ?1 AND moved_to IS NULL) OR moved_to = ?1")?
        .execute(params![reading.key, -target.packed()])?;
    Ok(seen)
}

/// Ends a batch of moves: their histories now belong to where they moved.
pub(super) fn settle_moves(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("UPDATE superseded SET moved_to = -moved_to WHERE moved_to < 0", [])?;
    Ok(())
}

/// Whether a version is one of the earlier ones.
pub(super) fn was_superseded(
    db: &Connection,
    key: ReadingKey,
    version: u32,
) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM superseded WHERE key = ? AND version = ?")?
        .exists(params![key, version])?)
}
