//! The readings' rows: their table, and one row's life.

use super::packing;
use super::record::StoredRecord;
use super::{ImportId, ReadingKey, StoreError, versions};
use crate::glucose::{Measurement, SensorId, UtcOffset};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// The readings' table. `measurement` is packed as [`packing`] says, with the UTC offset; `record`
/// is a maker's count as [`records`](super::records) says, `import` the file it came by. Makers'
/// keys that are texts are in a table of their own: an index here would cost every reading that is
/// inserted a third, if it has such a key or not.
pub(super) const TABLES: &str = "
    CREATE TABLE readings (
        key INTEGER PRIMARY KEY,
        measurement INTEGER NOT NULL,
        record INTEGER,
        import INTEGER
    ) STRICT;
";

/// Readings' record keys that are texts. Unique within a sensor.
pub(super) const RECORDS: &str = "
    CREATE TABLE reading_records (key INTEGER PRIMARY KEY, record TEXT NOT NULL) STRICT;
    CREATE UNIQUE INDEX reading_by_record ON reading_records (record, key >> 34);
";

/// A row of `readings`.
pub(super) struct StoredReading {
    pub(super) key: ReadingKey,
    packed: i64,
    record: Option<StoredRecord<'static>>,
}

impl StoredReading {
    pub(super) fn measurement(&self) -> Result<Measurement, StoreError> {
        packing::decode(self.packed)
    }

    pub(super) const fn record(&self) -> Option<&StoredRecord<'static>> {
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

/// Readings with their record keys, whichever these are.
pub(super) const SELECT: &str = "SELECT r.key, r.measurement,
    coalesce(r.record, (SELECT t.record FROM reading_records t WHERE t.key = r.key))
    FROM readings r";

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredReading> {
    Ok(StoredReading { key: row.get(0)?, packed: row.get(1)?, record: row.get(2)? })
}

/// The reading at a key.
pub(super) fn at(db: &Connection, key: ReadingKey) -> Result<Option<StoredReading>, StoreError> {
    Ok(db
        .prepare_cached(&format!("{SELECT} WHERE r.key = ?"))?
        .query_row([key], stored)
        .optional()?)
}

/// A sensor's reading with a maker's record key that is text.
pub(super) fn by_record(
    db: &Connection,
    sensor: SensorId,
    record: &str,
) -> Result<Option<StoredReading>, StoreError> {
    let found: Option<ReadingKey> = db
        .prepare_cached("SELECT key FROM reading_records WHERE record = ? AND key >> 34 = ?")?
        .query_row(params![record, sensor.0], |row| row.get(0))
        .optional()?;
    found.map_or(Ok(None), |key| at(db, key))
}

/// Adds a reading where there is none, with the history of its key.
pub(super) fn insert(
    tx: &Transaction<'_>,
    key: ReadingKey,
    measurement: Measurement,
    offset: UtcOffset,
    record: Option<&StoredRecord<'_>>,
    import: Option<ImportId>,
) -> Result<(), StoreError> {
    let packed = packing::encode(measurement) | packing::offset(offset) | versions::mark(tx, key)?;
    tx.prepare_cached("INSERT INTO readings (key, measurement, import) VALUES (?, ?, ?)")?
        .execute(params![key, packed, import.map(|import| import.0)])?;
    record.map_or(Ok(()), |record| set_record(tx, key, record))
}

/// What takes a reading's place. `None`: as it is.
pub(super) struct Change<'a> {
    pub(super) measurement: Measurement,
    pub(super) offset: Option<UtcOffset>,
    pub(super) record: Option<&'a StoredRecord<'a>>,
    pub(super) import: Option<ImportId>,
}

/// Puts a new measurement in a reading's place. `superseded` if what stood there was just kept as
/// an earlier version: then nobody need ask whether there is one.
pub(super) fn overwrite(
    tx: &Transaction<'_>,
    there: &StoredReading,
    change: &Change<'_>,
    superseded: bool,
) -> Result<(), StoreError> {
    let mark = if superseded || there.has_history() {
        packing::HISTORY
    } else {
        versions::mark(tx, there.key)?
    };
    let offset = change.offset.map_or(there.packed & packing::OFFSET_MASK, packing::offset);
    tx.prepare_cached("UPDATE readings SET measurement = ?2, import = ?3 WHERE key = ?1")?
        .execute(params![
            there.key,
            packing::encode(change.measurement) | mark | offset,
            change.import.map(|import| import.0),
        ])?;
    change.record.map_or(Ok(()), |record| set_record(tx, there.key, record))
}

/// Gives a reading the record key its maker now names, in place of any other.
pub(super) fn set_record(
    tx: &Transaction<'_>,
    key: ReadingKey,
    record: &StoredRecord<'_>,
) -> Result<(), StoreError> {
    let count = match record {
        StoredRecord::Count(count) => Some(count),
        StoredRecord::Text(_) => None,
    };
    tx.prepare_cached("UPDATE readings SET record = ? WHERE key = ?")?
        .execute(params![count, key])?;
    forget_text(tx, key)?;
    if let StoredRecord::Text(text) = record { add_text(tx, key, text) } else { Ok(()) }
}

/// Adds the record key of a reading that has none yet.
pub(super) fn add_text(
    tx: &Transaction<'_>,
    key: ReadingKey,
    text: &str,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO reading_records (key, record) VALUES (?, ?)")?
        .execute(params![key, text])?;
    Ok(())
}

fn forget_text(tx: &Transaction<'_>, key: ReadingKey) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM reading_records WHERE key = ?")?.execute([key])?;
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
    forget_text(tx, key)
}
