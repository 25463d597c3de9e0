//! Makers' record keys as they are stored, and finding the reading that has one.
//!
//! A host's key is text, in a table of its own. A count within a series, of which a file has tens
//! of thousands, is one integer beside the reading and in no index: that would double what a
//! reading costs. The readings that a batch may mean are looked through once instead; a count runs
//! on for no longer than [`AROUND`].
//!
//! Counts keep step with the seconds at which their readings stand, but for what clocks drift: what
//! is stored is how far a count lags behind its reading's second, which takes two bytes.

use super::counts::Counts;
use super::record::{Record, StoredRecord};
use super::{ReadingKey, StoreError, key, readings, sensors};
use crate::glucose::{Reading, RecordKey, SensorId, SensorKey, Window};
use rusqlite::{Connection, Transaction};
use std::collections::HashMap;

/// The parts of series: of a series, the counts whose lag is the same but for its last
/// [`LAG_BITS`]. A stored count is the number of its part above these.
pub(super) const TABLES: &str = "
    CREATE TABLE record_series (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        part INTEGER NOT NULL,
        UNIQUE (name, part)
    ) STRICT;
";

/// Low bits of a lag: four minutes, more than clocks drift in a transmitter's life.
const LAG_BITS: u32 = 8;
const LAGS: i64 = (1 << LAG_BITS) - 1;
/// Seconds around a batch in which a count may stand already: longer than a transmitter lives.
const AROUND: i64 = 130 * 86_400;

/// The parts of all series, by their numbers and back.
#[derive(Default)]
struct AllSeries {
    names: Vec<String>,
    places: HashMap<String, usize>,
    by_number: HashMap<i64, (usize, i64)>,
    numbers: HashMap<(usize, i64), i64>,
    /// The one asked for last.
    last: Option<((usize, i64), i64)>,
}

impl AllSeries {
    fn read(db: &Connection) -> Result<Self, StoreError> {
        let mut all = Self::default();
        let mut statement = db.prepare_cached("SELECT id, name, part FROM record_series")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let series = all.series(row.get_ref(1)?.as_str().map_err(|_| UNREADABLE)?);
            all.add(row.get(0)?, (series, row.get(2)?));
        }
        Ok(all)
    }

    fn add(&mut self, number: i64, part: (usize, i64)) {
        self.by_number.insert(number, part);
        self.numbers.insert(part, number);
    }

    /// The place of a series, which may be a new one.
    fn series(&mut self, name: &str) -> usize {
        if let Some(known) = self.places.get(name) {
            return *known;
        }
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }

    /// Series and count behind what is stored with a reading.
    fn count(&self, key: ReadingKey, stored: i64) -> Result<(usize, u32), StoreError> {
        let (series, part) = self.by_number.get(&(stored >> LAG_BITS)).ok_or(UNREADABLE)?;
        let lag = part << LAG_BITS | stored & LAGS;
        let count = key.seconds().checked_sub(lag).and_then(|count| u32::try_from(count).ok());
        Ok((*series, count.ok_or(UNREADABLE)?))
    }

    /// A count as it is stored with the reading at a key. Its part may be a new one.
    fn stored(
        &mut self,
        tx: &Transaction<'_>,
        key: ReadingKey,
        (series, count): (usize, u32),
    ) -> Result<i64, StoreError> {
        let lag = key.seconds() - i64::from(count);
        let part = (series, lag >> LAG_BITS);
        let last = self.last.filter(|(last, _)| *last == part).map(|(_, number)| number);
        let number = match last.or_else(|| self.numbers.get(&part).copied()) {
            Some(known) => known,
            None => self.begin(tx, part)?,
        };
        self.last = Some((part, number));
        Ok(number << LAG_BITS | lag & LAGS)
    }

    fn begin(&mut self, tx: &Transaction<'_>, part: (usize, i64)) -> Result<i64, StoreError> {
        let name = self.names.get(part.0).ok_or(StoreError::Internal)?;
        tx.prepare_cached("INSERT INTO record_series (name, part) VALUES (?, ?)")?
            .execute((name, part.1))?;
        self.add(tx.last_insert_rowid(), part);
        Ok(tx.last_insert_rowid())
    }
}

const UNREADABLE: StoreError = StoreError::Row("record");

/// The record keys of a batch, and where its counts stand.
#[derive(Default)]
pub(super) struct Records {
    parts: AllSeries,
    /// The place of the series asked for last.
    last: usize,
    counts: Counts,
}

impl Records {
    /// Those of a batch, with what is stored around it.
    pub(super) fn of(tx: &Transaction<'_>, batch: &[Reading]) -> Result<Self, StoreError> {
        let mut all = Self::default();
        let mut stretches: HashMap<&SensorKey, (i64, i64)> = HashMap::new();
        let counted = |r: &&Reading| r.record_key().and_then(RecordKey::count).is_some();
        for run in batch.chunk_by(|one, next| one.sensor() == next.sensor()) {
            let times = || run.iter().filter(counted).map(Reading::seconds);
            let (Some(first), Some(last)) = (times().min(), times().max()) else { continue };
            if let Some(sensor) = run.first().map(Reading::sensor) {
                let stretch = stretches.entry(sensor).or_insert((first, last));
                *stretch = (stretch.0.min(first), stretch.1.max(last));
            }
        }
        if !stretches.is_empty() {
            all.parts = AllSeries::read(tx)?;
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
             WHERE key BETWEEN ? AND ? AND record IS NOT NULL",
        )?;
        let mut rows = statement.query([first, last])?;
        while let Some(row) = rows.next()? {
            let key: ReadingKey = row.get(0)?;
            let (series, count) = self.parts.count(key, row.get(1)?)?;
            self.counts.note((sensor, series), count, key);
        }
        Ok(())
    }

    /// What a record key is.
    pub(super) fn identify<'a>(&mut self, record: &'a RecordKey) -> Record<'a> {
        let Some((name, count)) = record.count() else { return Record::Text(record.text()) };
        if self.parts.names.get(self.last).is_none_or(|last| last != name) {
            self.last = self.parts.series(name);
        }
        Record::Count(self.last, count)
    }

    /// A record key as it is stored with the reading at a key.
    pub(super) fn stored<'a>(
        &mut self,
        tx: &Transaction<'_>,
        key: ReadingKey,
        record: &Record<'a>,
    ) -> Result<StoredRecord<'a>, StoreError> {
        Ok(match record {
            Record::Text(text) => StoredRecord::Text(text.clone()),
            Record::Count(series, count) => {
                StoredRecord::Count(self.parts.stored(tx, key, (*series, *count))?)
            }
        })
    }

    /// Whether a record stands at a key or nowhere; a count that stood nowhere is noted there.
    pub(super) fn stays(
        &mut self,
        tx: &Transaction<'_>,
        key: ReadingKey,
        record: &Record<'_>,
    ) -> Result<bool, StoreError> {
        match record {
            Record::Count(series, count) => {
                Ok(self.counts.note((key.sensor(), *series), *count, key) == key)
            }
            Record::Text(text) => {
                let known = readings::by_record(tx, key.sensor(), text)?;
                Ok(known.is_none_or(|there| there.key == key))
            }
        }
    }

    /// The reading of a sensor that has a record key.
    pub(super) fn holder(
        &self,
        tx: &Transaction<'_>,
        sensor: SensorId,
        record: &Record<'_>,
    ) -> Result<Option<readings::StoredReading>, StoreError> {
        let (series, count) = match record {
            Record::Text(text) => return readings::by_record(tx, sensor, text),
            Record::Count(series, count) => (*series, *count),
        };
        let Some(key) = self.counts.get((sensor, series), count) else { return Ok(None) };
        let Some(there) = readings::at(tx, key)? else { return Ok(None) };
        let Some(StoredRecord::Count(stored)) = there.record() else { return Ok(None) };
        Ok((self.parts.count(key, *stored)? == (series, count)).then_some(there))
    }
}

/// What stored counts are read with.
pub(super) struct Series(AllSeries);

impl Series {
    /// All of them.
    pub(super) fn read(db: &Connection) -> Result<Self, StoreError> {
        AllSeries::read(db).map(Self)
    }

    /// The record key behind what is stored with a reading.
    pub(super) fn unpack(
        &self,
        key: ReadingKey,
        record: &StoredRecord<'_>,
    ) -> Result<RecordKey, StoreError> {
        match record {
            StoredRecord::Text(text) => RecordKey::new(text).map_err(|_| UNREADABLE),
            StoredRecord::Count(stored) => {
                let (series, count) = self.0.count(key, *stored)?;
                let name = self.0.names.get(series).ok_or(UNREADABLE)?;
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
