//! The readings' rows: their table, and one row's life.

use super::packing;
use super::record::Record;
use super::{ImportId, ReadingKey, StoreError, versions};
use crate::glucose::{Measurement, SensorId, UtcOffset};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// The readings' table. `measurement` is packed as [`packing`] says, with the UTC offset; `record`
/// is a maker's key, a text or a packed count, `import` the file it came by. The index has the texts
/// alone: every number is less than they.
pub(super) const TABLES: &str = "
    CREATE TABLE readings (
        key INTEGER PRIMARY KEY,
        measurement INTEGER NOT NULL,
        record ANY,
        import INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX readings_by_record ON readings (key >> 34, record)
        WHERE record > '';
";

/// A row of `readings`.
pub(super) struct StoredReading {
    pub(super) key: ReadingKey,
    packed: i64,
    record: Option<Record<'static>>,
}

impl StoredReading {
    pub(super) fn measurement(&self) -> Result<Measurement, StoreError> {
        packing::decode(self.packed)
    }

    pub(super) const fn record(&self) -> Option<&Record<'static>> {
        self.record.as_ref()
    }

    /// Whether it has earlier versions.
    pub(super) const fn has_history(&self) -> bool {
        packing::has_history(self.packed)
    }

    /// Its current version.
    pub(super) fn version(&self, db: &Connection) -> Result<u32, StoreError> {
        versions::current(db, self.key, self.packed)
    }

    /// Keeps it as an earlier version.
    pub(super) fn keep_as(&self, tx: &Transaction<'_>, version: u32) -> Result<(), StoreError> {
        versions::add(tx, self.key, version, self.packed)
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

/// A sensor's reading with a maker's record key that is text.
pub(super) fn by_record(
    db: &Connection,
    sensor: SensorId,
    record: &Record<'_>,
) -> Result<Option<StoredReading>, StoreError> {
    let sql = format!("{SELECT} WHERE key >> 34 = ? AND record = ? AND record > ''");
    Ok(db.prepare_cached(&sql)?.query_row(params![sensor.0, record], stored).optional()?)
}

/// Adds a reading where there is none, with the history of its key.
pub(super) fn insert(
    tx: &Transaction<'_>,
    key: ReadingKey,
    measurement: Measurement,
    offset: UtcOffset,
    record: Option<&Record<'_>>,
    import: Option<ImportId>,
) -> Result<(), StoreError> {
    let packed = packing::encode(measurement) | packing::offset(offset) | versions::mark(tx, key)?;
    tx.prepare_cached(
        "INSERT INTO readings (key, measurement, record, import) VALUES (?, ?, ?, ?)",
    )?
    .execute(params![key, packed, record, import.map(|import| import.0)])?;
    Ok(())
}

/// Puts a new measurement in a reading's place; offset and record key change only where given.
pub(super) fn overwrite(
    tx: &Transaction<'_>,
    key: ReadingKey,
    measurement: Measurement,
    offset: Option<UtcOffset>,
    record: Option<&Record<'_>>,
    import: Option<ImportId>,
) -> Result<(), StoreError> {
    let packed = packing::encode(measurement) | versions::mark(tx, key)?;
    tx.prepare_cached(
        "UPDATE readings SET measurement = ?2 | coalesce(?3, measurement & ?5),
         record = coalesce(?4, record), import = ?6 WHERE key = ?1",
    )?
    .execute(params![
        key,
        packed,
        offset.map(packing::offset),
        record,
        packing::OFFSET_MASK,
        import.map(|import| import.0),
    ])?;
    Ok(())
}

/// Gives a reading without record key the one its maker now names.
pub(super) fn adopt_record(
    tx: &Transaction<'_>,
    key: ReadingKey,
    record: &Record<'_>,
) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE readings SET record = ? WHERE key = ?")?
        .execute(params![record, key])?;
    Ok(())
}

/// Marks a reading that stays as it is but was joined by another's history.
pub(super) fn mark_history(tx: &Transaction<'_>, key: ReadingKey) -> Result<(), StoreError> {
    let mark = versions::mark(tx, key)?;
    tx.prepare_cached("UPDATE readings SET measurement = measurement | ? WHERE key = ?")?
        .execute(params![mark, key])?;
    Ok(())
}

/// Takes a reading away.
pub(super) fn remove(tx: &Transaction<'_>, key: ReadingKey) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM readings WHERE key = ?")?.execute([key])?;
    Ok(())
}
