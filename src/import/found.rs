//! What has been found in a file so far, and what is made of it at the end.

use super::scales::Scales;
use super::{
    ClockNote, Format, Import, ImportError, ImportedReading, RejectedRow, SkippedRows, TimesLike,
};
use crate::glucose::{GlucoseValue, Measurement, Reading, ReadingError, Sensor, SensorKey};
use crate::sorting::sort_by_key;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashSet};

/// What has been found in a file so far.
pub(super) struct Gathered {
    now: DateTime<Utc>,
    sensors: BTreeMap<SensorKey, Sensor>,
    unreadable: BTreeMap<TimesLike, usize>,
    scales: Scales,
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
        Self {
            now,
            sensors: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            scales: Scales::default(),
            import,
        }
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

    pub(super) fn notes(&mut self, notes: impl IntoIterator<Item = ClockNote>) {
        self.import.clock_notes.extend(notes);
    }

    pub(super) fn skipped(&mut self) -> &mut SkippedRows {
        &mut self.import.skipped
    }

    /// How the values lie on their devices' scales.
    pub(super) fn scales(&mut self) -> &mut Scales {
        &mut self.scales
    }

    /// Counts a row whose time is written so.
    pub(super) fn unreadable_time(&mut self, like: Option<TimesLike>) {
        if let Some(like) = like {
            *self.unreadable.entry(like).or_default() += 1;
        }
    }

    /// The whole of it; one sentence instead of an error a row if most times are written in a way
    /// that is not taken, or the values cannot be.
    pub(super) fn finish(mut self) -> Result<Import, ImportError> {
        let most = self.unreadable.iter().max_by_key(|(_, rows)| **rows);
        if let Some((like, rows)) = most
            && *rows > self.import.readings.len()
        {
            return Err(ImportError::Times { like: *like });
        }
        self.scales.refuse_wrong_unit()?;
        self.keep_one_of_each();
        let mut import = self.import;
        sort_by_key(&mut import.rejected, |rejected| rejected.row);
        let read: HashSet<_> = import.readings.iter().map(|found| found.reading.sensor()).collect();
        import.sensors =
            self.sensors.into_values().filter(|sensor| read.contains(sensor.key())).collect();
        Ok(import)
    }

    /// Orders the readings, and keeps one of each sensor and instant, if all that the file says of
    /// it says the same: the finest. Nothing tells which of two different values is right, or came
    /// later, so that none of them is taken.
    fn keep_one_of_each(&mut self) {
        let place = |found: &ImportedReading| (found.reading.seconds(), found.row);
        self.import.readings.sort_by(|a, b| {
            let by_sensor = a.reading.sensor().cmp(b.reading.sensor());
            (place(a).0).cmp(&place(b).0).then(by_sensor).then(place(a).1.cmp(&place(b).1))
        });
        let is_one = |a: &ImportedReading, b: &ImportedReading| {
            a.reading.seconds() == b.reading.seconds() && a.reading.sensor() == b.reading.sensor()
        };
        let mut kept: Vec<ImportedReading> = Vec::with_capacity(self.import.readings.len());
        for of_instant in self.import.readings.chunk_by(is_one) {
            let Some(finest) = finest(of_instant) else { continue };
            let contradictions = contradictions(of_instant, finest);
            if contradictions.is_empty() {
                self.import.skipped.repeated += of_instant.len() - 1;
                kept.push(finest.clone());
            }
            self.import.rejected.extend(contradictions);
        }
        self.import.readings = kept;
    }
}

/// The row with the finest digits; of several the first.
fn finest(rows: &[ImportedReading]) -> Option<&ImportedReading> {
    rows.iter().reduce(|kept, row| {
        let (new, old) = (row.reading.measurement(), kept.reading.measurement());
        let more_digits = new.unit() == old.unit() && decimals(new) > decimals(old);
        if more_digits || new.is_finer_than(old) { row } else { kept }
    })
}

fn decimals(measurement: Measurement) -> Option<u8> {
    measurement.value().map(GlucoseValue::scale)
}

/// Each row of one sensor and instant with one that says something else; none if all say what the
/// finest says.
fn contradictions(rows: &[ImportedReading], finest: &ImportedReading) -> Vec<RejectedRow> {
    let differs = |row: &&ImportedReading| {
        !row.reading.measurement().says_the_same_as(finest.reading.measurement())
    };
    let Some(other) = rows.iter().find(differs) else { return Vec::new() };
    let first = rows.iter().find(|row| !differs(row)).unwrap_or(finest);
    let refused = |row: &ImportedReading| {
        let against = if differs(&row) { first } else { other };
        RejectedRow { row: row.row, reason: ReadingError::Contradiction { row: against.row } }
    };
    rows.iter().map(refused).collect()
}
