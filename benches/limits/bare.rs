//! The limit of the store: a minimal table of (instant, value, offset), as bare as rusqlite allows.

use cgm_submitter::glucose::{Reading, Window};
use rusqlite::{Connection, params};
use std::path::Path;

/// What the minimal table holds of a reading.
pub(crate) type Row = (i64, i64, i64);

/// Readings as rows.
pub(crate) fn rows(readings: &[Reading]) -> Vec<Row> {
    let row = |reading: &Reading| {
        let value = reading.measurement().value().map_or(0, |value| i64::from(value.mantissa()));
        (reading.seconds(), value, reading.offset().map_or(0, |offset| i64::from(offset.minutes())))
    };
    readings.iter().map(row).collect()
}

/// A database with the minimal table.
pub(crate) struct Minimal(Connection);

impl Minimal {
    /// With the same durability as the store.
    pub(crate) fn open(path: &Path) -> Self {
        let db = Connection::open(path).unwrap();
        db.pragma_update(None, "journal_mode", "WAL").unwrap();
        db.pragma_update(None, "synchronous", "FULL").unwrap();
        db.execute_batch(
            "CREATE TABLE readings (instant INTEGER PRIMARY KEY, value INTEGER, \
            utc_offset INTEGER)",
        )
        .unwrap();
        Self(db)
    }

    /// A prepared INSERT for each row, in one transaction.
    pub(crate) fn insert(&mut self, rows: &[Row]) {
        let transaction = self.0.transaction().unwrap();
        {
            let mut statement =
                transaction.prepare("INSERT INTO readings VALUES (?, ?, ?)").unwrap();
            for (instant, value, offset) in rows {
                statement.execute(params![instant, value, offset]).unwrap();
            }
        }
        transaction.commit().unwrap();
    }

    /// Every row of a window, its columns read; how many, and their sum.
    pub(crate) fn scan(&self, window: Window) -> (u64, i64) {
        let sql = "SELECT instant, value, utc_offset FROM readings WHERE instant >= ? AND instant \
            < ? ORDER BY instant";
        let mut statement = self.0.prepare(sql).unwrap();
        let mut rows = statement.query([window.start(), window.end()]).unwrap();
        let (mut count, mut sum) = (0, 0_i64);
        while let Some(row) = rows.next().unwrap() {
            let (instant, value, offset): Row =
                (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap());
            count += 1;
            sum = sum.wrapping_add(instant ^ value ^ offset);
        }
        (count, std::hint::black_box(sum))
    }
}
