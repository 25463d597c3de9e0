//! The files readings came by: what each held, and when it was read.

use super::{ReadingKey, Store, StoreError, sensors};
use crate::glucose::SensorKey;
use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, params};

/// The imports' table. A reading refers to the import that it, as it now is, came by; what a host
/// handed over itself refers to none.
pub(super) const TABLES: &str = "
    CREATE TABLE imports (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        format TEXT NOT NULL,
        digest BLOB NOT NULL,
        stored INTEGER NOT NULL,
        already_there INTEGER NOT NULL,
        replaced INTEGER NOT NULL,
        corrected INTEGER NOT NULL,
        rejected INTEGER NOT NULL
    ) STRICT;
";

/// An import's number within one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImportId(pub i64);

/// A file that is about to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportSource<'a> {
    /// Its format.
    pub format: &'a str,
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
    /// Rows that say again what another row of it says: they count as already there.
    pub repeated: usize,
    /// Rows that were refused before anything was stored.
    pub rejected: usize,
}

/// A file whose readings were stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRecord {
    /// Its number.
    pub id: ImportId,
    /// Unix second at which it was stored.
    pub at: i64,
    /// Its format.
    pub format: String,
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
    /// Readings that were new.
    pub stored: u64,
    /// Readings that were there before.
    pub already_there: u64,
    /// Readings that took the place of one nobody had been sent.
    pub replaced: u64,
    /// Readings that correct one a receiver has.
    pub corrected: u64,
    /// Readings not taken.
    pub rejected: u64,
}

/// Begins an import, so that its readings can refer to it.
pub(super) fn begin(
    tx: &Transaction<'_>,
    source: ImportSource<'_>,
    now: DateTime<Utc>,
) -> Result<ImportId, StoreError> {
    tx.prepare_cached(
        "INSERT INTO imports
         (at, format, digest, stored, already_there, replaced, corrected, rejected)
         VALUES (?, ?, ?, 0, 0, 0, 0, 0)",
    )?
    .execute(params![now.timestamp(), source.format, source.digest])?;
    Ok(ImportId(tx.last_insert_rowid()))
}

/// Writes down what became of its readings: stored, already there, replaced, corrected, rejected.
pub(super) fn end(
    tx: &Transaction<'_>,
    id: ImportId,
    counts: [usize; 5],
) -> Result<(), StoreError> {
    let [stored, there, replaced, corrected, rejected] =
        counts.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    tx.prepare_cached(
        "UPDATE imports SET stored = ?, already_there = ?, replaced = ?, corrected = ?, rejected = ?
         WHERE id = ?",
    )?
    .execute(params![stored, there, replaced, corrected, rejected, id.0])?;
    Ok(())
}

fn record(row: &Row<'_>) -> rusqlite::Result<ImportRecord> {
    let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    Ok(ImportRecord {
        id: ImportId(row.get("id")?),
        at: row.get("at")?,
        format: row.get("format")?,
        digest: row.get("digest")?,
        stored: count("stored")?,
        already_there: count("already_there")?,
        replaced: count("replaced")?,
        corrected: count("corrected")?,
        rejected: count("rejected")?,
    })
}

impl Store {
    /// Every import, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn imports(&self) -> Result<Vec<ImportRecord>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM imports ORDER BY id DESC")?;
        let rows = statement.query_map([], record)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The import by which a sensor's reading at a unix second came, as it now is; `None` if the
    /// host handed it over itself, or there is no such reading.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn import_of(
        &self,
        sensor: &SensorKey,
        seconds: i64,
    ) -> Result<Option<ImportId>, StoreError> {
        let Some(sensor) = sensors::id(&self.db, sensor)? else { return Ok(None) };
        let Some(key) = ReadingKey::new(sensor, seconds) else { return Ok(None) };
        let found: Option<Option<i64>> = self
            .db
            .prepare_cached("SELECT import FROM readings WHERE key = ?")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        Ok(found.flatten().map(ImportId))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::{UtcOffset, ZoneOffsets};
    use crate::store::testing::{Scratch, reading, value};

    #[test]
    fn a_reading_knows_the_import_it_came_by() {
        let mut scratch = Scratch::new();
        scratch.register("s");
        scratch.take(&[reading("s", 0, value(100)), reading("s", 300, value(100))]);
        let (now, zone) = (scratch.now(), ZoneOffsets::fixed(UtcOffset::UTC));
        for (number, format) in [(1_u8, "clarity"), (2, "open")] {
            let rows = [
                reading("s", 300, value(100 + u32::from(number))),
                reading("s", 600, value(100)),
                reading("s", 600 + 300 * i64::from(number), value(100)),
            ];
            let source = ImportSource { format, digest: [number; 32], repeated: 2, rejected: 3 };
            scratch.store.ingest_import(source, &[], &rows, &zone, now).unwrap();
        }
        let key = SensorKey::new("s").unwrap();
        let of =
            |seconds| scratch.store.import_of(&key, scratch.at(seconds)).unwrap().map(|id| id.0);
        assert_eq!([0, 300, 600, 900, 1_200].map(of), [None, Some(2), Some(1), Some(1), Some(2)]);
        let imports = scratch.store.imports().unwrap();
        let counts: Vec<_> = imports
            .iter()
            .map(|i| (i.format.as_str(), i.digest[0], i.stored, i.already_there, i.replaced))
            .collect();
        // Two rows of each file said again what another said.
        assert_eq!(counts, [("open", 2, 1, 3, 1), ("clarity", 1, 2, 2, 1)]);
        assert!(imports.iter().all(|import| import.rejected == 3));
    }

    #[test]
    fn of_two_files_the_later_one_corrects_what_both_say_of_one_second() {
        use crate::store::testing::with_record;
        let mut scratch = Scratch::new();
        scratch.register("s");
        let (now, zone) = (scratch.now(), ZoneOffsets::fixed(UtcOffset::UTC));
        let named = |mg_dl, record| with_record(reading("s", 300, value(mg_dl)), record);
        let files = [
            [reading("s", 0, value(100)), named(100, "r1")],
            [reading("s", 0, value(101)), named(101, "r2")],
        ];
        let replaced = files.each_ref().map(|rows| {
            let source = ImportSource { format: "open", digest: [1; 32], repeated: 0, rejected: 0 };
            scratch.store.ingest_import(source, &[], rows, &zone, now).unwrap().replaced
        });
        assert_eq!(replaced, [0, 2], "and the report says so");
        let mut said = Vec::new();
        let all = crate::glucose::Window::from_unix(0, i64::MAX).unwrap();
        scratch.store.scan(all, |sample| said.push(sample.measurement)).unwrap();
        assert_eq!(said, [value(101); 2]);
    }
}
