//! Makers' record keys as they are stored, and finding the reading that has one.
//!
//! A host's key is text, found by an index. A count within a series, of which a file has tens of
//! thousands, is one integer beside the reading and in no index: that would double what a reading
//! costs. The readings that a batch may mean are looked through once instead; a count runs on for
//! no longer than [`AROUND`].

use super::record::Record;
use super::{ReadingKey, StoreError, key, readings, sensors};
use crate::glucose::{Reading, RecordKey, SensorId, SensorKey, Window};
use rusqlite::{Connection, OptionalExtension, Transaction};
use std::collections::HashMap;

/// The table of series. A count is stored with the number of its series.
pub(super) const TABLES: &str = "
    CREATE TABLE record_series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
";

/// Bits of a series' number, below the count.
const SERIES_BITS: u32 = 20;
const SERIES_END: i64 = 1 << SERIES_BITS;
/// Seconds around a batch in which a count may stand already: longer than a transmitter lives.
const AROUND: i64 = 130 * 86_400;

/// The record keys of a batch, and where its counts stand.
#[derive(Default)]
pub(super) struct Records<'a> {
    series: HashMap<&'a str, i64>,
    last: Option<(&'a str, i64)>,
    counts: HashMap<(SensorId, i64), ReadingKey>,
}

impl<'a> Records<'a> {
    /// Those of a batch, with what is stored around it.
    pub(super) fn of(tx: &Transaction<'_>, batch: &[Reading]) -> Result<Self, StoreError> {
        let mut all = Self::default();
        let mut stretches: HashMap<&SensorKey, (i64, i64)> = HashMap::new();
        for reading in batch {
            if reading.record_key().and_then(RecordKey::count).is_some() {
                let at = reading.seconds();
                let stretch = stretches.entry(reading.sensor()).or_insert((at, at));
                *stretch = (stretch.0.min(at), stretch.1.max(at));
            }
        }
        for (sensor, (first, last)) in stretches {
            if let Some(sensor) = sensors::id(tx, sensor)? {
                let (from, to) = (first.saturating_sub(AROUND), last.saturating_add(AROUND));
                let window = Window::from_unix(from, to).map_err(|_| StoreError::Internal)?;
                all.look_through(tx, sensor, window)?;
            }
        }
        Ok(all)
    }

    fn look_through(
        &mut self,
        tx: &Transaction<'_>,
        sensor: SensorId,
        window: Window,
    ) -> Result<(), StoreError> {
        let Some((first, last)) = key::range(sensor, window) else { return Ok(()) };
        let mut statement = tx.prepare_cached(
            "SELECT key, record FROM readings
             WHERE key BETWEEN ? AND ? AND typeof(record) = 'integer'",
        )?;
        let mut rows = statement.query([first, last])?;
        while let Some(row) = rows.next()? {
            self.counts.insert((sensor, row.get(1)?), row.get(0)?);
        }
        Ok(())
    }

    /// A record key as it is stored.
    pub(super) fn pack(
        &mut self,
        tx: &Transaction<'_>,
        record: &'a RecordKey,
    ) -> Result<Record<'a>, StoreError> {
        let Some((name, count)) = record.count() else {
            return Ok(Record::Text(record.text()));
        };
        let last = self.last.filter(|(last, _)| *last == name).map(|(_, number)| number);
        let number = if let Some(known) = last.or_else(|| self.series.get(name).copied()) {
            known
        } else {
            let number = series(tx, name)?;
            self.series.insert(name, number);
            number
        };
        self.last = Some((name, number));
        Ok(Record::Count(i64::from(count) << SERIES_BITS | number))
    }

    /// Notes that a count stands at a key, unless it stands elsewhere: then false.
    pub(super) fn note(&mut self, key: ReadingKey, record: &Record<'_>) -> bool {
        match record {
            Record::Count(count) => {
                *self.counts.entry((key.sensor(), *count)).or_insert(key) == key
            }
            Record::Text(_) => true,
        }
    }

    /// The reading of a sensor that has a record key.
    pub(super) fn holder(
        &self,
        tx: &Transaction<'_>,
        sensor: SensorId,
        record: &Record<'_>,
    ) -> Result<Option<readings::StoredReading>, StoreError> {
        let Record::Count(count) = record else { return readings::by_record(tx, sensor, record) };
        let Some(key) = self.counts.get(&(sensor, *count)) else { return Ok(None) };
        Ok(readings::at(tx, *key)?.filter(|there| there.record() == Some(record)))
    }
}

/// The number of a series, which may be a new one.
fn series(tx: &Transaction<'_>, name: &str) -> Result<i64, StoreError> {
    let known = tx
        .prepare_cached("SELECT id FROM record_series WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    let number = if let Some(number) = known {
        number
    } else {
        tx.prepare_cached("INSERT INTO record_series (name) VALUES (?)")?.execute([name])?;
        tx.last_insert_rowid()
    };
    if (0..SERIES_END).contains(&number) { Ok(number) } else { Err(StoreError::Row("record")) }
}

/// The series by their numbers: what stored counts are read with.
pub(super) struct Series(HashMap<i64, String>);

impl Series {
    /// All of them.
    pub(super) fn read(db: &Connection) -> Result<Self, StoreError> {
        let mut statement = db.prepare_cached("SELECT id, name FROM record_series")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self(rows.collect::<Result<_, _>>()?))
    }

    /// The record key behind a stored one.
    pub(super) fn unpack(&self, record: &Record<'_>) -> Result<RecordKey, StoreError> {
        const UNREADABLE: StoreError = StoreError::Row("record");
        match record {
            Record::Text(text) => RecordKey::new(text).map_err(|_| UNREADABLE),
            Record::Count(packed) => {
                let name = self.0.get(&(packed & (SERIES_END - 1))).ok_or(UNREADABLE)?;
                let count = u32::try_from(packed >> SERIES_BITS).map_err(|_| UNREADABLE)?;
                RecordKey::counted(name, count).map_err(|_| UNREADABLE)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{BASE, Scratch, reading, value};

    fn counted(seconds: i64, mg_dl: u32, series: &str, count: u32) -> Reading {
        let key = RecordKey::counted(series, count).unwrap();
        reading("s", seconds, value(mg_dl)).with_record_key(key)
    }

    fn stored(scratch: &Scratch) -> Vec<(i64, RecordKey)> {
        let all = Window::from_unix(0, i64::MAX).unwrap();
        let readings = scratch.store.readings_within(&SensorKey::new("s").unwrap(), all).unwrap();
        readings.iter().map(|r| (r.seconds() - BASE, r.record_key().unwrap().clone())).collect()
    }

    fn key(series: &str, count: u32) -> RecordKey {
        RecordKey::counted(series, count).unwrap()
    }

    #[test]
    fn a_count_that_stood_elsewhere_moves_its_reading_in_whichever_call_or_batch() {
        let mut scratch = Scratch::new();
        scratch.register("s");
        scratch.take(&[counted(0, 100, "8A", 7), counted(300, 101, "8A", u32::MAX)]);
        scratch.take(&[counted(600, 102, "8B", 7), counted(900, 103, "8A", 8)]);
        let moved = scratch.take(&[counted(3_600, 100, "8A", 7)]);
        assert_eq!((moved.stored, moved.replaced), (0, 1));
        let twins = [counted(1_200, 104, "8A", 9), counted(1_500, 104, "8A", 9)];
        scratch.take(&twins);
        assert_eq!(scratch.take(&twins).already_there, 2);
        let expected = [
            (300, key("8A", u32::MAX)),
            (600, key("8B", 7)),
            (900, key("8A", 8)),
            (1_500, key("8A", 9)),
            (3_600, key("8A", 7)),
        ];
        assert_eq!(stored(&scratch), expected);
    }

    #[test]
    fn a_whole_series_of_counts_shifts_by_one_place_and_back() {
        let mut scratch = Scratch::new();
        scratch.register("s");
        let at = |shift: i64| -> Vec<Reading> {
            (0..20).map(|i| counted(i64::from(i) * 300 + shift, 100 + i, "8A", i * 300)).collect()
        };
        scratch.take(&at(0));
        for shift in [300, 0, -300] {
            let report = scratch.take(&at(shift));
            assert_eq!((report.replaced, report.stored), (20, 0));
            let expected: Vec<_> =
                (0..20).map(|i| (i64::from(i) * 300 + shift, key("8A", i * 300))).collect();
            assert_eq!(stored(&scratch), expected);
        }
    }

    #[test]
    fn a_reading_without_a_key_takes_the_count_its_maker_names_later() {
        let mut scratch = Scratch::new();
        scratch.register("s");
        scratch.take(&[reading("s", 0, value(100))]);
        assert_eq!(scratch.take(&[counted(0, 100, "8A", 7)]).already_there, 1);
        assert_eq!(scratch.take(&[counted(300, 100, "8A", 7)]).replaced, 1);
        assert_eq!(stored(&scratch), [(300, key("8A", 7))]);
    }

    #[test]
    fn a_text_that_looks_like_a_count_is_another_key() {
        let mut scratch = Scratch::new();
        scratch.register("s");
        let text = RecordKey::new("8A/7").unwrap();
        scratch.take(&[counted(0, 100, "8A", 7)]);
        let other = reading("s", 300, value(101)).with_record_key(text.clone());
        assert_eq!(scratch.take(&[other]).stored, 1);
        assert_eq!(stored(&scratch), [(0, key("8A", 7)), (300, text)]);
    }
}
