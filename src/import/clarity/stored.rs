//! What is stored of a file's sensors around its dates, to match its rows with.

use super::super::ImportOptions;
use crate::glucose::{Reading, ReadingError, RecordKey, Sensor};
use std::collections::{HashMap, HashSet};

/// How far around a file's dates stored readings are looked at: longer than a transmitter lives.
const AROUND: i64 = 130 * 86_400;

/// The series of rows with nothing but their stamp.
const STAMPS: &str = "stamp";
/// What the name of a transmitter's series begins with.
const TRANSMITTER: &str = "transmitter ";

/// The record key of a row with a count.
pub(super) fn record(transmitter: &str, tick: i64) -> Result<RecordKey, ReadingError> {
    let tick = u32::try_from(tick).map_err(|_| ReadingError::Column("Transmitter Time"))?;
    RecordKey::counted(&format!("{TRANSMITTER}{transmitter}"), tick)
}

/// Transmitter and count of a stored record; `None` for one without.
fn count(record: &RecordKey) -> Option<(&str, i64)> {
    let (series, tick) = record.count()?;
    Some((series.strip_prefix(TRANSMITTER)?, tick.into()))
}

/// The record key of a row with nothing but its stamp, in seconds as if it were UTC.
pub(super) fn record_of_stamp(stamp: i64) -> Result<RecordKey, ReadingError> {
    match u32::try_from(stamp) {
        Ok(stamp) => RecordKey::counted(STAMPS, stamp),
        Err(_) if stamp < 0 => Err(ReadingError::TooOld),
        Err(_) => Err(ReadingError::InTheFuture),
    }
}

/// The stored readings of the sources of a file.
#[derive(Default)]
pub(super) struct Stored {
    readings: Vec<(usize, Reading)>,
    by_count: HashMap<(usize, String, i64), usize>,
    by_stamp: HashMap<(usize, i64), Vec<usize>>,
    instants: HashSet<(usize, i64)>,
}

impl Stored {
    /// Those within a margin of a file's first and last stamp.
    pub(super) fn around(
        stamps: Option<(i64, i64)>,
        sensors: &[Result<Sensor, ReadingError>],
        options: &ImportOptions<'_>,
    ) -> Self {
        let mut all = Self::default();
        let (Some((first, last)), Some(stored)) = (stamps, options.stored) else { return all };
        for (source, sensor) in sensors.iter().enumerate() {
            let Ok(sensor) = sensor else { continue };
            for reading in stored(sensor.key(), first - AROUND, last + AROUND) {
                all.add(source, reading);
            }
        }
        all
    }

    fn add(&mut self, source: usize, reading: Reading) {
        let Some(stamp) = stamp(&reading) else { return };
        let place = self.readings.len();
        if let Some((transmitter, tick)) = reading.record_key().and_then(count) {
            self.by_count.insert((source, transmitter.to_owned(), tick), place);
        }
        self.by_stamp.entry((source, stamp)).or_default().push(place);
        self.instants.insert((source, reading.seconds()));
        self.readings.push((source, reading));
    }

    /// The reading at a place.
    pub(super) fn reading(&self, place: usize) -> Option<&Reading> {
        self.readings.get(place).map(|(_, reading)| reading)
    }

    /// The place of the reading with this count.
    pub(super) fn by_count(&self, source: usize, transmitter: &str, tick: i64) -> Option<usize> {
        self.by_count.get(&(source, transmitter.to_owned(), tick)).copied()
    }

    /// The readings of this local stamp.
    pub(super) fn by_stamp(&self, source: usize, stamp: i64) -> impl Iterator<Item = usize> {
        self.by_stamp.get(&(source, stamp)).into_iter().flatten().copied()
    }

    /// Whether there is a reading at this instant.
    pub(super) fn has_instant(&self, source: usize, instant: i64) -> bool {
        self.instants.contains(&(source, instant))
    }

    /// Whether a reading has no count.
    pub(super) fn is_stamped(&self, place: usize) -> bool {
        self.reading(place).is_some_and(|reading| reading.record_key().and_then(count).is_none())
    }

    /// Every reading with a count: its place, source, transmitter and count.
    pub(super) fn counted(&self) -> impl Iterator<Item = (usize, usize, &str, i64)> {
        self.readings.iter().enumerate().filter_map(|(place, (source, reading))| {
            let (transmitter, tick) = reading.record_key().and_then(count)?;
            Some((place, *source, transmitter, tick))
        })
    }
}

/// The local stamp of a stored reading.
pub(super) fn stamp(reading: &Reading) -> Option<i64> {
    Some(reading.seconds() + reading.offset()?.seconds())
}
