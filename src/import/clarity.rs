//! Dexcom Clarity's CSV export: local stamps, and in the 14-column form the transmitter's id and
//! count.
//!
//! Rows with a count are placed by it (see `ticks`). Rows without are placed by their stamp in the
//! person's time zone, and carry the stamp as record key: the same row under another time zone is
//! then seen to be the same, and refused.

use super::text::{self, Line};
use super::ticks::{self, TickRow, Transmitter};
use super::{Found, ImportError, ImportOptions, MAX_SENSORS};
use crate::glucose::{
    Device, GlucoseError, GlucoseUnit, GlucoseValue, Measurement, Reading, ReadingError, RecordKey,
    Sensor, SensorKey, TimeError, UtcOffset, ZoneOffsets,
};
use chrono::{DateTime, NaiveDate};
use std::borrow::Cow;
use std::collections::HashMap;

/// The event type of a reading, in every language.
const READING: &str = "EGV";
/// How many columns the known forms have.
const COLUMNS: std::ops::RangeInclusive<usize> = 12..=14;
/// What the export says beyond the device's scale, by language.
const LOW: [&str; 9] = ["low", "niedrig", "bas", "bajo", "basso", "baixo", "laag", "låg", "lav"];
const HIGH: [&str; 9] = ["high", "hoch", "haut", "alto", "élevé", "hoog", "hög", "høj", "høy"];
/// What follows the model's name in a `Device` row.
const NAME_ENDS: [&str; 4] = [" Mobile App", " Mobile", " Receiver", " App"];

/// Where the cells of a Clarity file stand.
pub(super) struct Layout {
    delimiter: char,
    columns: usize,
    stamp: usize,
    event: usize,
    device: usize,
    source: usize,
    glucose: usize,
    tick: Option<usize>,
    transmitter: Option<usize>,
    unit: GlucoseUnit,
    /// Another language than English: the decimal point may be a comma.
    localised: bool,
}

impl Layout {
    /// By the English column names; none where it has others.
    pub(super) fn by_name(header: &str, delimiter: char) -> Option<Result<Self, ImportError>> {
        let mut cells = Vec::new();
        text::split(header, delimiter, &mut cells);
        let names: Vec<_> = cells.iter().map(|cell| text::column_name(cell)).collect();
        let column = |name: &str| names.iter().position(|cell| cell.starts_with(name));
        let (stamp, event, glucose) =
            (column("timestamp (")?, column("event type")?, column("glucose value")?);
        let unit = unit(names.get(glucose)?);
        Some(unit.map(|unit| Self {
            delimiter,
            columns: names.len(),
            stamp,
            event,
            device: column("device info").unwrap_or(usize::MAX),
            source: column("source device id").unwrap_or(usize::MAX),
            glucose,
            tick: column("transmitter time"),
            transmitter: column("transmitter id"),
            unit,
            localised: false,
        }))
    }

    /// By the positions of the known forms, for a header in another language; none for another
    /// number of columns.
    pub(super) fn by_position(header: &str, delimiter: char) -> Option<Result<Self, ImportError>> {
        let mut cells = Vec::new();
        text::split(header, delimiter, &mut cells);
        let columns = cells.len();
        let unit = unit(&text::column_name(cells.get(7)?));
        let ticks = columns == *COLUMNS.end();
        COLUMNS.contains(&columns).then(|| {
            unit.map(|unit| Self {
                delimiter,
                columns,
                stamp: 1,
                event: 2,
                device: 5,
                source: 6,
                glucose: 7,
                tick: ticks.then_some(12),
                transmitter: ticks.then_some(13),
                unit,
                localised: true,
            })
        })
    }

    /// Whether a row is a reading by the positions of the known forms.
    pub(super) fn is_reading(row: &str, delimiter: char) -> bool {
        let mut cells = Vec::new();
        text::split(row, delimiter, &mut cells);
        COLUMNS.contains(&cells.len()) && cells.get(2).is_some_and(|event| event == READING)
    }

    /// The lowest and highest value the device shows.
    fn scale(&self) -> Result<(GlucoseValue, GlucoseValue), GlucoseError> {
        let (lowest, highest, decimals) = match self.unit {
            GlucoseUnit::MgPerDl => (40, 400, 0),
            GlucoseUnit::MmolPerL => (22, 222, 1),
        };
        Ok((
            GlucoseValue::new(lowest, decimals, self.unit)?,
            GlucoseValue::new(highest, decimals, self.unit)?,
        ))
    }

    fn measurement(&self, cell: &str) -> Result<Measurement, ReadingError> {
        if cell.is_empty() {
            return Err(ReadingError::Column("Glucose Value"));
        }
        if cell.starts_with(char::is_alphabetic) {
            let word = cell.to_lowercase();
            let (lowest, highest) = self.scale()?;
            if LOW.contains(&word.as_str()) {
                return Ok(Measurement::Below(lowest));
            }
            if HIGH.contains(&word.as_str()) {
                return Ok(Measurement::Above(highest));
            }
        }
        let value = if self.localised {
            Cow::Owned(cell.replacen(',', ".", 1))
        } else {
            Cow::Borrowed(cell)
        };
        Ok(Measurement::Value(GlucoseValue::parse(&value, self.unit)?))
    }
}

fn unit(header: &str) -> Result<GlucoseUnit, ImportError> {
    match (header.contains("mmol"), header.contains("mg")) {
        (true, _) => Ok(GlucoseUnit::MmolPerL),
        (false, true) => Ok(GlucoseUnit::MgPerDl),
        (false, false) => Err(ImportError::Unit),
    }
}

/// Reads a Clarity file into `found`.
pub(super) fn read(
    text: &str,
    layout: &Layout,
    header: usize,
    options: &ImportOptions<'_>,
    found: &mut Found,
) -> Result<(), ImportError> {
    let zone = options.zone.as_ref().ok_or(ImportError::TimeZoneRequired)?;
    let mut file = File {
        layout,
        sources: Sources::default(),
        transmitters: Vec::new(),
        ids: HashMap::new(),
        stamped: Vec::new(),
    };
    let mut cells = Vec::new();
    for line in text::lines(text).filter(|line| line.number > header) {
        let closed = text::split(line.text, layout.delimiter, &mut cells);
        let row = Row { line, cells: &cells, closed };
        match row.cell(layout.event) {
            Some(READING) => {
                file.reading(&row).unwrap_or_else(|reason| found.reject(line.number, reason));
            }
            _ if row.is_cut_at(layout.event) => found.reject(line.number, ReadingError::CutOff),
            None if !closed => found.reject(line.number, ReadingError::Column("Event Type")),
            Some("Device") => {
                file.sources.name(row.cell(layout.source), row.cell(layout.device));
                found.import.skipped.other += 1;
            }
            Some("Alert") => found.import.skipped.alerts += 1,
            Some("Calibration") => found.import.skipped.calibrations += 1,
            Some("Insulin") => found.import.skipped.insulin += 1,
            _ => found.import.skipped.other += 1,
        }
        if file.transmitters.len() + file.sources.ids.len() > MAX_SENSORS {
            return Err(ImportError::TooManySensors);
        }
    }
    file.place_stamped(zone, options, found);
    file.place_counted(zone, options, found);
    Ok(())
}

/// One row, split.
struct Row<'c, 'a> {
    line: Line<'a>,
    cells: &'c [Cow<'a, str>],
    closed: bool,
}

impl Row<'_, '_> {
    fn cell(&self, column: usize) -> Option<&str> {
        self.cells.get(column).map(|cell| cell.trim())
    }

    /// Whether the file ends in or before this cell.
    fn is_cut_at(&self, column: usize) -> bool {
        let whole = self.closed && self.line.text.ends_with('"');
        !self.line.ended
            && (self.cells.len() <= column || (self.cells.len() == column + 1 && !whole))
    }
}

/// The phones and receivers of a file.
#[derive(Default)]
struct Sources {
    ids: HashMap<String, usize>,
    /// Source id and model, as the `Device` rows say.
    names: Vec<(String, String)>,
}

impl Sources {
    fn number(&mut self, id: &str) -> usize {
        if let Some(number) = self.ids.get(id) {
            return *number;
        }
        let number = self.ids.len();
        self.ids.insert(id.to_owned(), number);
        number
    }

    fn id(&self, number: usize) -> &str {
        self.ids.iter().find(|(_, n)| **n == number).map_or("", |(id, _)| id)
    }

    fn name(&mut self, id: Option<&str>, device: Option<&str>) {
        let Some(device) = device.filter(|device| !device.is_empty()) else { return };
        let model = NAME_ENDS.iter().find_map(|end| device.strip_suffix(end)).unwrap_or(device);
        if self.names.len() < MAX_SENSORS {
            self.names.push((id.unwrap_or_default().to_owned(), model.to_owned()));
        }
    }

    /// The model a source says it is, else the file's first, else the maker.
    fn model(&self, number: usize) -> &str {
        let id = self.id(number);
        let named = self.names.iter().find(|(source, _)| source == id).or(self.names.first());
        named.map_or("Dexcom", |(_, model)| model)
    }
}

/// A row with nothing but its local stamp.
struct Stamped {
    row: usize,
    source: usize,
    stamp: i64,
    measurement: Measurement,
}

/// The readings of a file, not yet placed in time.
struct File<'l> {
    layout: &'l Layout,
    sources: Sources,
    transmitters: Vec<(String, Transmitter)>,
    ids: HashMap<String, usize>,
    stamped: Vec<Stamped>,
}

impl File<'_> {
    fn reading(&mut self, row: &Row<'_, '_>) -> Result<(), ReadingError> {
        let layout = self.layout;
        if !row.line.ended && (!row.closed || row.cells.len() < layout.columns) {
            return Err(ReadingError::CutOff);
        }
        let optional = |column: Option<usize>| {
            column.and_then(|column| row.cell(column)).filter(|cell| !cell.is_empty())
        };
        let (tick, id) = (optional(layout.tick), optional(layout.transmitter));
        // A last cell that could have been longer is one that another row has too, or it may be
        // cut.
        let whole = row.line.ended
            || row.line.text.ends_with('"')
            || id.is_some_and(|id| self.ids.contains_key(id));
        if tick.is_some() && !(whole && (row.line.ended || id.is_some())) {
            return Err(ReadingError::CutOff);
        }
        let stamp = row.cell(layout.stamp).ok_or(ReadingError::Column("Timestamp"))?;
        let stamp = local_seconds(stamp).ok_or(TimeError::Unreadable)?;
        let measurement = layout
            .measurement(row.cell(layout.glucose).ok_or(ReadingError::Column("Glucose Value"))?)?;
        let source = self.sources.number(row.cell(layout.source).unwrap_or_default());
        let number = row.line.number;
        let (Some(tick), Some(id)) = (tick, id) else {
            self.stamped.push(Stamped { row: number, source, stamp, measurement });
            return Ok(());
        };
        let tick = tick.parse::<u32>().map_err(|_| ReadingError::Column("Transmitter Time"))?;
        let counted = TickRow { row: number, tick: tick.into(), stamp, source, measurement };
        self.transmitter(id)?.rows.push(counted);
        Ok(())
    }

    fn transmitter(&mut self, id: &str) -> Result<&mut Transmitter, ReadingError> {
        let index = self.ids.get(id).copied().unwrap_or(self.transmitters.len());
        if index == self.transmitters.len() {
            let key = SensorKey::new(format!("dexcom:{id}"))?;
            self.ids.insert(id.to_owned(), index);
            self.transmitters.push((id.to_owned(), Transmitter { key, rows: Vec::new() }));
        }
        self.transmitters
            .get_mut(index)
            .map(|(_, transmitter)| transmitter)
            .ok_or(ReadingError::UnknownSensor)
    }

    /// The sensor a file describes.
    fn sensor(
        &self,
        key: SensorKey,
        source: usize,
        serial: Option<&str>,
        zone: &ZoneOffsets,
    ) -> Result<Sensor, ReadingError> {
        let device = Device::new(self.sources.model(source), serial)
            .or_else(|_| Device::new("Dexcom", serial))?;
        let (lowest, highest) = self.layout.scale()?;
        Ok(Sensor::new(key, device).with_scale(lowest, highest)?.with_zone(zone.name()))
    }

    fn place_counted(mut self, zone: &ZoneOffsets, options: &ImportOptions<'_>, found: &mut Found) {
        let transmitters = std::mem::take(&mut self.transmitters);
        let serials: HashMap<_, _> =
            transmitters.iter().map(|(id, t)| (t.key.clone(), id.clone())).collect();
        let transmitters = transmitters.into_iter().map(|(_, transmitter)| transmitter).collect();
        for placed in ticks::place(transmitters, zone, |key| options.known(key)) {
            let key = placed.key.clone();
            let serial = serials.get(&key).map(String::as_str);
            let sensor =
                self.sensor(key.clone(), placed.source().unwrap_or_default(), serial, zone);
            if let (Ok(sensor), Some(epoch)) = (&sensor, placed.epoch()) {
                let sensor = options.known_or(sensor.clone());
                let zone = sensor.zone().unwrap_or(zone.name()).to_owned();
                found.sensor(sensor.with_tick_epoch(epoch).with_zone(zone));
            }
            for (row, placed) in placed.into_rows() {
                let reading = sensor.as_ref().map_err(Clone::clone).and(placed).and_then(
                    |(instant, offset)| reading(key.clone(), instant, offset, row.measurement),
                );
                found.row(row.row, reading);
            }
        }
    }

    fn place_stamped(
        &mut self,
        zone: &ZoneOffsets,
        options: &ImportOptions<'_>,
        found: &mut Found,
    ) {
        let mut stamped = std::mem::take(&mut self.stamped);
        stamped.sort_by_key(|row| (row.source, row.stamp, row.row));
        for of_source in stamped.chunk_by(|a, b| a.source == b.source) {
            let Some(source) = of_source.first().map(|row| row.source) else { continue };
            let id = self.sources.id(source);
            let key = SensorKey::new(format!(
                "dexcom-clarity:{}",
                if id.is_empty() { "unnamed" } else { id }
            ));
            let sensor = key
                .map_err(ReadingError::Sensor)
                .and_then(|key| self.sensor(key, source, None, zone));
            let sensor = sensor.map(|sensor| options.known_or(sensor));
            if let Ok(sensor) = &sensor {
                found.sensor(sensor.clone());
            }
            for of_stamp in of_source.chunk_by(|a, b| a.stamp == b.stamp) {
                // Different readings under one stamp: the person travelled west, and nothing tells
                // which came first.
                let twice = of_stamp.windows(2).any(|pair| match pair {
                    [a, b] => !a.measurement.says_the_same_as(b.measurement),
                    _ => false,
                });
                for row in of_stamp {
                    let reading = match &sensor {
                        Err(reason) => Err(reason.clone()),
                        Ok(_) if twice => Err(TimeError::Ambiguous.into()),
                        Ok(sensor) => place_by_stamp(row, sensor, zone, options),
                    };
                    found.row(row.row, reading);
                }
            }
        }
    }
}

fn place_by_stamp(
    row: &Stamped,
    sensor: &Sensor,
    zone: &ZoneOffsets,
    options: &ImportOptions<'_>,
) -> Result<Reading, ReadingError> {
    let offset = ticks::resolve(zone, row.stamp)?;
    let instant = row.stamp - offset.seconds();
    let local = DateTime::from_timestamp(row.stamp, 0).ok_or(TimeError::Unreadable)?;
    let record = RecordKey::new(&local.format("%Y-%m-%dT%H:%M:%S").to_string())?;
    if let Some(stored) =
        options.stored.and_then(|stored| stored(sensor.key(), &record)).filter(|at| *at != instant)
    {
        let earlier = ticks::earlier(sensor, zone, row.stamp - stored);
        return Err(ReadingError::AlreadyImportedElsewhere { earlier });
    }
    Ok(reading(sensor.key().clone(), instant, offset, row.measurement)?.with_record_key(record))
}

fn reading(
    key: SensorKey,
    instant: i64,
    offset: UtcOffset,
    measurement: Measurement,
) -> Result<Reading, ReadingError> {
    let time = DateTime::from_timestamp(instant, 0).ok_or(TimeError::Unreadable)?;
    Ok(Reading::new(key, time, Some(offset), measurement))
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
