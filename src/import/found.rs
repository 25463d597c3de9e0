//! What has been found in a file so far, and what is made of it at the end.

use super::{
    ClockNote, Format, Import, ImportError, ImportedReading, RejectedRow, SkippedRows, TimesLike,
};
use crate::glucose::{Reading, ReadingError, Sensor, SensorKey, TimeError};
use crate::sorting::sort_by_key;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashSet};

/// What has been found in a file so far.
pub(super) struct Gathered {
    now: DateTime<Utc>,
    sensors: BTreeMap<SensorKey, Sensor>,
    unreadable: BTreeMap<TimesLike, usize>,
    import: Import,
}

impl Gathered {
    pub(super) fn new(format: Format, now: DateTime<Utc>) -> Self {
        let import = Import {
            format,
            sensors: Vec::new(),
            readings: Vec::new(),
            mended: Vec::new(),
            rejected: Vec::new(),
            skipped: SkippedRows::default(),
            clock_notes: Vec::new(),
        };
        Self { now, sensors: BTreeMap::new(), unreadable: BTreeMap::new(), import }
    }

    pub(super) fn sensor(&mut self, sensor: Sensor) {
        self.sensors.insert(sensor.key().clone(), sensor);
    }

    pub(super) fn row(&mut self, row: usize, reading: Result<Reading, ReadingError>) {
        match reading.and_then(|reading| reading.check(self.now).map(|()| reading)) {
            Ok(reading) => self.import.readings.push(ImportedReading { row, reading }),
            Err(reason) => self.reject(row, reason),
        }
    }

    pub(super) fn reject(&mut self, row: usize, reason: ReadingError) {
        self.import.rejected.push(RejectedRow { row, reason });
    }

    /// A stored reading that the file shows to stand elsewhere.
    pub(super) fn mended(&mut self, reading: Reading) {
        if reading.check(self.now).is_ok() {
            self.import.mended.push(reading);
        }
    }

    pub(super) fn notes(&mut self, notes: Vec<ClockNote>) {
        self.import.clock_notes.extend(notes);
    }

    pub(super) fn skipped(&mut self) -> &mut SkippedRows {
        &mut self.import.skipped
    }

    /// Counts a row whose time is written so.
    pub(super) fn unreadable_time(&mut self, like: Option<TimesLike>) {
        if let Some(like) = like {
            *self.unreadable.entry(like).or_default() += 1;
        }
    }

    /// The whole of it; one sentence instead of an error a row if most times are written in a way
    /// that is not taken.
    pub(super) fn finish(mut self) -> Result<Import, ImportError> {
        let most = self.unreadable.iter().max_by_key(|(_, rows)| **rows);
        if let Some((like, rows)) = most
            && *rows > self.import.readings.len()
        {
            return Err(ImportError::Times { like: *like });
        }
        self.keep_one_of_each();
        let mut import = self.import;
        sort_by_key(&mut import.rejected, |rejected| rejected.row);
        let read: HashSet<_> = import.readings.iter().map(|found| found.reading.sensor()).collect();
        import.sensors =
            self.sensors.into_values().filter(|sensor| read.contains(sensor.key())).collect();
        Ok(import)
    }

    /// Orders the readings, and keeps one of each sensor and instant: the later row stands, what a
    /// file says last is its correction. Only where the maker says that they are two records and
    /// they differ does nothing tell which to take.
    fn keep_one_of_each(&mut self) {
        self.import.readings.sort_by(|a, b| {
            let place = |found: &ImportedReading| (found.reading.seconds(), found.row);
            let by_sensor = a.reading.sensor().cmp(b.reading.sensor());
            (place(a).0).cmp(&place(b).0).then(by_sensor).then(place(a).1.cmp(&place(b).1))
        });
        let mut kept: Vec<ImportedReading> = Vec::with_capacity(self.import.readings.len());
        for found in std::mem::take(&mut self.import.readings) {
            let same = kept.last_mut().filter(|kept| {
                kept.reading.seconds() == found.reading.seconds()
                    && kept.reading.sensor() == found.reading.sensor()
            });
            let Some(there) = same else {
                kept.push(found);
                continue;
            };
            if are_two(&there.reading, &found.reading) {
                let reason = TimeError::Ambiguous.into();
                self.import.rejected.push(RejectedRow { row: found.row, reason });
            } else {
                self.import.skipped.repeated += 1;
                *there = found;
            }
        }
        self.import.readings = kept;
    }
}

/// Whether two readings of one instant are two of the maker's records that say different things.
fn are_two(a: &Reading, b: &Reading) -> bool {
    let keys = a.record_key().zip(b.record_key());
    keys.is_some_and(|(a, b)| a != b) && !a.measurement().says_the_same_as(b.measurement())
}
