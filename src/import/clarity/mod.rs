//! Dexcom Clarity's CSV export: local stamps, and in the 14-column form the transmitter's id and
//! count.
//!
//! Both forms name the phone or receiver that a row came from; that is the sensor, so that the same
//! row of either form is the same reading. A row's instant is its stamp less the UTC offset of that
//! device's clock: rows with a count have it from [`clock`](super::clock), others from the person's
//! time zone. Record keys (transmitter and count, else the stamp) only match rows with what is
//! stored.

mod counted;
mod layout;
mod sources;
mod stamped;
mod stored;

pub(super) use layout::Layout;

use super::scales::Scales;
use super::text::{self, Line};
use super::times::TimesLike;
use super::{Gathered, ImportError, ImportOptions, MAX_SENSORS};
use crate::glucose::{
    Measurement, Reading, ReadingError, Sensor, TimeError, UtcOffset, ZoneOffsets,
};
use chrono::{DateTime, NaiveDate};
use layout::{GlucoseCell, READING};
use sources::Sources;
use std::borrow::Cow;
use std::collections::HashMap;

/// Reads a Clarity file into `found`.
pub(super) fn read(
    text: &str,
    layout: &Layout,
    header: usize,
    options: &ImportOptions<'_>,
    found: &mut Gathered,
) -> Result<(), ImportError> {
    let zone = options.zone.as_ref().ok_or(ImportError::TimeZoneRequired)?;
    let mut file = File::new(layout);
    let mut cells = Vec::new();
    for line in text::lines(text).filter(|line| line.number > header) {
        let quotes_in_place = text::split(line.text, layout.delimiter, &mut cells);
        file.row(&Row { line, cells: &cells, quotes_in_place }, found);
        if file.transmitters.len() + file.sources.len() > MAX_SENSORS {
            return Err(ImportError::TooManySensors);
        }
    }
    file.sources.add_known(options.known_keys());
    let placing = Placing::new(&file, zone, options);
    placing.register(found);
    placing.counted(found)?;
    placing.stamped(found)
}

/// One row, split.
struct Row<'c, 'a> {
    line: Line<'a>,
    cells: &'c [Cow<'a, str>],
    quotes_in_place: bool,
}

impl Row<'_, '_> {
    fn cell(&self, column: usize) -> Option<&str> {
        self.cells.get(column).map(|cell| cell.trim())
    }

    /// Whether the file ends in or before this cell.
    fn is_cut_at(&self, column: usize) -> bool {
        let whole = self.quotes_in_place && self.line.text.ends_with('"');
        !self.line.ended
            && (self.cells.len() <= column || (self.cells.len() == column + 1 && !whole))
    }
}

/// A reading's row, not yet placed in time.
struct FileRow {
    line: usize,
    source: usize,
    /// The local stamp, as if it were UTC.
    stamp: i64,
    cell: GlucoseCell,
    /// The transmitter's number in the file and its count, if the row has them.
    count: Option<(usize, i64)>,
}

/// The readings of a file, not yet placed in time.
struct File<'l> {
    layout: &'l Layout,
    sources: Sources,
    transmitters: Vec<String>,
    numbers: HashMap<String, usize>,
    rows: Vec<FileRow>,
}

impl<'l> File<'l> {
    fn new(layout: &'l Layout) -> Self {
        Self {
            layout,
            sources: Sources::default(),
            transmitters: Vec::new(),
            numbers: HashMap::new(),
            rows: Vec::new(),
        }
    }

    fn row(&mut self, row: &Row<'_, '_>, found: &mut Gathered) {
        let (layout, number) = (self.layout, row.line.number);
        match row.cell(layout.event) {
            // It may be a reading, whatever its cells seem to say.
            _ if row.line.ended && !row.quotes_in_place => {
                found.reject(number, ReadingError::StrayQuote);
            }
            Some(READING) => match self.reading(row, found.scales()) {
                Ok(reading) => self.rows.push(reading),
                Err(reason) => {
                    if reason == ReadingError::Time(TimeError::Unreadable) {
                        let stamp = row.cell(layout.stamp).unwrap_or_default();
                        found.unreadable_time(TimesLike::of(stamp));
                    }
                    found.reject(number, reason);
                }
            },
            _ if row.is_cut_at(layout.event) => found.reject(number, ReadingError::CutOff),
            Some("Device") => {
                self.sources.name(row.cell(layout.source), row.cell(layout.device));
                found.skipped().other += 1;
            }
            Some("Alert") => found.skipped().alerts += 1,
            Some("Calibration") => found.skipped().calibrations += 1,
            Some("Insulin") => found.skipped().insulin += 1,
            _ => found.skipped().other += 1,
        }
    }

    fn reading(&mut self, row: &Row<'_, '_>, scales: &mut Scales) -> Result<FileRow, ReadingError> {
        let layout = self.layout;
        if !row.line.ended && (!row.quotes_in_place || row.cells.len() < layout.columns) {
            return Err(ReadingError::CutOff);
        }
        layout.refuse_split(row.cells)?;
        let optional = |column: Option<usize>| {
            column.and_then(|column| row.cell(column)).filter(|cell| !cell.is_empty())
        };
        let (tick, id) = (optional(layout.tick), optional(layout.transmitter));
        // A last cell that could have been longer is one that another row has too, or it may be
        // cut.
        let whole = row.line.ended
            || row.line.text.ends_with('"')
            || id.is_some_and(|id| self.numbers.contains_key(id));
        if tick.is_some() && !(whole && (row.line.ended || id.is_some())) {
            return Err(ReadingError::CutOff);
        }
        let stamp = row.cell(layout.stamp).ok_or(ReadingError::Column("Timestamp"))?;
        let stamp = local_seconds(stamp).ok_or(TimeError::Unreadable)?;
        let cell = row.cell(layout.glucose).ok_or(ReadingError::Column("Glucose Value"))?;
        let cell = layout.glucose(cell, scales)?;
        let count = match (tick, id) {
            (Some(tick), Some(id)) => {
                let tick: u32 =
                    tick.parse().map_err(|_| ReadingError::Column("Transmitter Time"))?;
                stored::record(id, tick.into())?;
                Some((self.transmitter(id), tick.into()))
            }
            _ => None,
        };
        let source = self.sources.number(row.cell(layout.source).unwrap_or_default());
        Ok(FileRow { line: row.line.number, source, stamp, cell, count })
    }

    fn transmitter(&mut self, id: &str) -> usize {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        self.numbers.insert(id.to_owned(), self.transmitters.len());
        self.transmitters.push(id.to_owned());
        self.transmitters.len() - 1
    }
}

/// A file about to be placed in time: its sensors, and what is stored of them around its dates.
struct Placing<'a> {
    file: &'a File<'a>,
    zone: &'a ZoneOffsets,
    options: &'a ImportOptions<'a>,
    sensors: Vec<Result<Sensor, ReadingError>>,
    stored: stored::Stored,
}

impl<'a> Placing<'a> {
    fn new(file: &'a File<'a>, zone: &'a ZoneOffsets, options: &'a ImportOptions<'a>) -> Self {
        let unit = file.layout.unit;
        let sensors: Vec<_> = (0..file.sources.len())
            .map(|number| file.sources.sensor(number, unit, options))
            .collect();
        let stamps = || file.rows.iter().map(|row| row.stamp);
        let around = stamps().min().zip(stamps().max());
        let stored = stored::Stored::around(around, &sensors, options);
        Self { file, zone, options, sensors, stored }
    }

    /// Whether the readings of a sensor are stored by the clock of another zone, which stays unless
    /// the host says otherwise.
    fn is_of_another_zone(&self, sensor: &Sensor) -> bool {
        !self.options.replace && sensor.zone() != Some(self.zone.name())
    }

    /// Makes the sensors known that readings may be taken from.
    fn register(&self, found: &mut Gathered) {
        for sensor in self.sensors.iter().flatten() {
            let keeps = self.options.known(sensor.key()).is_some() && !self.options.replace;
            let zone = sensor.zone().filter(|_| keeps).unwrap_or(self.zone.name()).to_owned();
            found.sensor(sensor.clone().with_zone(zone));
        }
    }

    fn sensor(&self, source: usize) -> Result<&Sensor, ReadingError> {
        match self.sensors.get(source) {
            Some(sensor) => sensor.as_ref().map_err(Clone::clone),
            None => Err(ReadingError::UnknownSensor),
        }
    }

    /// What an earlier import's zone is called: by name if it is stored, else by its offset.
    fn earlier(&self, sensor: &Sensor, offset: Option<UtcOffset>) -> ReadingError {
        let named = sensor.zone().filter(|name| *name != self.zone.name()).map(str::to_owned);
        let offset = || offset.map(|offset| offset.to_string());
        let earlier = named.or_else(offset).unwrap_or_else(|| "another time zone".to_owned());
        ReadingError::AlreadyImportedElsewhere { earlier }
    }
}

fn reading(
    sensor: &Sensor,
    instant: i64,
    offset: UtcOffset,
    measurement: Measurement,
) -> Result<Reading, ReadingError> {
    let time = DateTime::from_timestamp(instant, 0).ok_or(TimeError::Unreadable)?;
    Ok(Reading::new(sensor.key().clone(), time, Some(offset), measurement))
}

/// A local stamp, `2024-05-01T08:15:00` or with a space, as unix seconds as if it were UTC.
/// Fractions are left off.
fn local_seconds(stamp: &str) -> Option<i64> {
    let (whole, fraction) = stamp.split_at_checked(19)?;
    let fraction_fits = fraction.is_empty()
        || fraction
            .strip_prefix('.')
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let bytes = whole.as_bytes();
    let mark = |at: usize, marks: &[u8]| bytes.get(at).is_some_and(|byte| marks.contains(byte));
    let number = |from: usize, to: usize| {
        let digits = whole.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u32>().ok())?
    };
    let marked =
        mark(4, b"-") && mark(7, b"-") && mark(10, b"T ") && mark(13, b":") && mark(16, b":");
    if !marked || !fraction_fits {
        return None;
    }
    let date =
        NaiveDate::from_ymd_opt(i32::try_from(number(0, 4)?).ok()?, number(5, 7)?, number(8, 10)?)?;
    Some(date.and_hms_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?)?.and_utc().timestamp())
}
