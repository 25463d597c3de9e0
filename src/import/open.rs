//! The open format: `time`, `value`, `unit` and perhaps `device`, `status`, as CSV or as one JSON
//! object a line.
//!
//! Times carry their UTC offset, so nothing here needs a time zone. `Z` and `-00:00` say the
//! instant and leave the person's offset open (RFC 9557, section 2): the person's zone gives it,
//! where known.

use super::scales::{self, Scales};
use super::text::{self, Line};
use super::times::TimesLike;
use super::{Gathered, ImportError, ImportOptions, MAX_SENSORS, header};
use crate::glucose::{
    AbsentReason, Device, GlucoseUnit, GlucoseValue, Measurement, Reading, ReadingError, Scale,
    Sensor, SensorKey, TimeError, UtcOffset,
};
use chrono::{DateTime, NaiveDateTime};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// Where the cells of a CSV stand.
pub(super) struct Columns {
    count: usize,
    time: usize,
    value: usize,
    unit: usize,
    device: Option<usize>,
    status: Option<usize>,
}

impl Columns {
    /// By the header; `None` unless it names time, value and unit.
    pub(super) fn of(line: &str, delimiter: char) -> Option<Result<Self, ImportError>> {
        let mut cells = Vec::new();
        text::split(line, delimiter, &mut cells);
        let names: Vec<_> = cells.iter().map(|cell| text::column_name(cell)).collect();
        let column = |name: &str| names.iter().position(|cell| cell == name);
        let columns = Self {
            count: names.len(),
            time: column("time")?,
            value: column("value")?,
            unit: column("unit")?,
            device: column("device"),
            status: column("status"),
        };
        Some(header::refuse_doubled(&names, &[]).map(|()| columns))
    }

    /// Refuses a row that a decimal comma without quotes, or a stray comma, has split: more cells
    /// than the header has, unless they are blank and the value was not split before them.
    fn refuse_split(&self, cells: &[Cow<'_, str>]) -> Result<(), ReadingError> {
        let surplus = cells.get(self.count..).unwrap_or_default();
        let says = |cell: &Cow<'_, str>| !cell.trim().is_empty();
        let digits =
            |cell: &Cow<'_, str>| says(cell) && cell.trim().bytes().all(|b| b.is_ascii_digit());
        let split = !surplus.is_empty() && cells.get(self.value + 1).is_some_and(digits);
        if split || surplus.iter().any(says) { Err(ReadingError::SurplusCells) } else { Ok(()) }
    }
}

/// One row's cells; absent and empty are the same.
#[derive(Default)]
struct Entry<'a> {
    time: Option<Cow<'a, str>>,
    value: Option<Cow<'a, str>>,
    unit: Option<Cow<'a, str>>,
    device: Option<Cow<'a, str>>,
    status: Option<Cow<'a, str>>,
}

/// The same as JSON: numbers keep their digits by staying text.
#[derive(Deserialize)]
struct JsonEntry<'a> {
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    unit: Option<&'a RawValue>,
    #[serde(borrow)]
    device: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

/// Whether the line is a JSON object with a time: the start of JSON lines.
pub(super) fn is_object_with_time(line: Line<'_>) -> bool {
    match JsonEntry::of(line.text) {
        Ok(entry) => entry.time.is_some(),
        Err(reason) => reason == ReadingError::DoubledField,
    }
}

/// Reads a CSV into `found`.
pub(super) fn read_csv(
    text: &str,
    columns: &Columns,
    header: usize,
    options: &ImportOptions<'_>,
    found: &mut Gathered,
) -> Result<(), ImportError> {
    let mut sensors = Sensors::default();
    let mut cells = Vec::new();
    for line in text::lines(text).filter(|line| line.number > header) {
        let quotes_in_place = text::split(line.text, ',', &mut cells);
        if !line.ended
            && (!quotes_in_place || cells.len() < columns.count || columns.may_go_on(line, &cells))
        {
            found.reject(line.number, ReadingError::CutOff);
            continue;
        }
        if !quotes_in_place {
            found.reject(line.number, ReadingError::StrayQuote);
            continue;
        }
        if let Err(reason) = columns.refuse_split(&cells) {
            found.reject(line.number, reason);
            continue;
        }
        let cell = |column: usize| {
            let cell = cells.get(column)?.trim();
            (!cell.is_empty()).then_some(Cow::Borrowed(cell))
        };
        let entry = Entry {
            time: cell(columns.time),
            value: cell(columns.value),
            unit: cell(columns.unit),
            device: columns.device.and_then(cell),
            status: columns.status.and_then(cell),
        };
        sensors.take(line, Ok(entry), options, found)?;
    }
    Ok(())
}

impl Columns {
    /// Whether the last cell of a line without end could be a part of a longer one: a value, a
    /// device's name, an empty status. A time, a unit and a status tell by themselves whether
    /// they are whole.
    fn may_go_on(&self, line: Line<'_>, cells: &[Cow<'_, str>]) -> bool {
        let last = cells.len().saturating_sub(1);
        let open = last == self.value || Some(last) == self.device;
        let empty = cells.last().is_none_or(|cell| cell.trim().is_empty());
        (open || empty) && !line.text.ends_with('"')
    }
}

/// Reads JSON lines into `found`.
pub(super) fn read_ndjson(
    text: &str,
    options: &ImportOptions<'_>,
    found: &mut Gathered,
) -> Result<(), ImportError> {
    let mut sensors = Sensors::default();
    for line in text::lines(text) {
        let entry = match JsonEntry::of(line.text) {
            Ok(entry) => entry.cells(),
            Err(ReadingError::NotJson) if !line.ended => Err(ReadingError::CutOff),
            Err(reason) => Err(reason),
        };
        sensors.take(line, entry, options, found)?;
    }
    Ok(())
}

impl<'a> JsonEntry<'a> {
    /// The fields of an object. Every field takes any JSON, so that an object which is no entry has
    /// one of them twice.
    fn of(line: &'a str) -> Result<Self, ReadingError> {
        // An array would be read as the fields in their order.
        if !line.trim_start().starts_with('{') {
            return Err(ReadingError::NotJson);
        }
        serde_json::from_str(line).map_err(|_| {
            let is_json = serde_json::from_str::<IgnoredAny>(line).is_ok();
            if is_json { ReadingError::DoubledField } else { ReadingError::NotJson }
        })
    }

    fn cells(&self) -> Result<Entry<'a>, ReadingError> {
        let text = |field: Option<&'a RawValue>, name| {
            text_of(field).map_err(|()| ReadingError::Column(name))
        };
        let value = match self.value.map(RawValue::get) {
            Some(number)
                if number.starts_with(|first: char| first == '-' || first.is_ascii_digit()) =>
            {
                Some(Cow::Borrowed(number))
            }
            _ => text(self.value, "value")?,
        };
        Ok(Entry {
            time: text(self.time, "time")?,
            value,
            unit: text(self.unit, "unit")?,
            device: text(self.device, "device")?,
            status: text(self.status, "status")?,
        })
    }
}

/// A JSON string; none for null, absent and empty.
fn text_of(field: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, ()> {
    let Some(raw) = field else { return Ok(None) };
    let text: Option<String> = serde_json::from_str(raw.get()).map_err(|_| ())?;
    Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).map(Cow::Owned))
}

/// The sensors of a file by the name its `device` column gives.
#[derive(Default)]
struct Sensors(HashMap<String, Sensor>);

impl Sensors {
    fn take(
        &mut self,
        line: Line<'_>,
        entry: Result<Entry<'_>, ReadingError>,
        options: &ImportOptions<'_>,
        found: &mut Gathered,
    ) -> Result<(), ImportError> {
        let entry = match entry {
            Ok(entry) => entry,
            Err(reason) => {
                found.reject(line.number, reason);
                return Ok(());
            }
        };
        let sensor = self.of(entry.device.as_deref(), options, found);
        let needs_scale = sensor.as_ref().is_ok_and(|sensor| entry.needs_scale(sensor));
        let reading = sensor.and_then(|sensor| entry.reading(sensor, options, found.scales()));
        match &reading {
            Err(ReadingError::Column("value")) if needs_scale => {
                return Err(ImportError::ScaleRequired { row: line.number });
            }
            Err(ReadingError::Time(TimeError::NoOffset)) => {
                found.unreadable_time(Some(TimesLike::NoOffset));
            }
            Err(ReadingError::Time(TimeError::Unreadable)) => {
                found.unreadable_time(entry.time.as_deref().and_then(TimesLike::of));
            }
            _ => {}
        }
        found.row(line.number, reading);
        if self.0.len() > MAX_SENSORS { Err(ImportError::TooManySensors) } else { Ok(()) }
    }

    fn of(
        &mut self,
        device: Option<&str>,
        options: &ImportOptions<'_>,
        found: &mut Gathered,
    ) -> Result<&Sensor, ReadingError> {
        let name = device.unwrap_or_default();
        if !self.0.contains_key(name) {
            let key = SensorKey::new(format!("open:{}", device.unwrap_or("unnamed")))?;
            let device = Device::new(device.unwrap_or("Unnamed sensor"), None)?;
            let sensor = options.known_or(Sensor::new(key, device));
            let scale = Scale::of_model(name, GlucoseUnit::MgPerDl)
                .or_else(|| options.scale())
                .or_else(|| sensor.scale());
            let sensor = match scale {
                Some(scale) => sensor.with_scale(scale),
                None => sensor,
            };
            found.sensor(sensor.clone());
            self.0.insert(name.to_owned(), sensor);
        }
        self.0.get(name).ok_or(ReadingError::UnknownSensor)
    }
}

impl Entry<'_> {
    fn reading(
        &self,
        sensor: &Sensor,
        options: &ImportOptions<'_>,
        scales: &mut Scales,
    ) -> Result<Reading, ReadingError> {
        let (time, offset) = time(self.time.as_deref().ok_or(ReadingError::Column("time"))?)?;
        let offset =
            offset.or_else(|| options.zone.as_ref().map(|zone| zone.offset_at(time.timestamp())));
        let measurement = self.measurement(sensor, scales)?;
        let measurement = scales.check(scales::clipped(measurement, sensor.scale()), sensor)?;
        Ok(Reading::new(sensor.key().clone(), time.to_utc(), offset, measurement))
    }

    /// Whether it says "low" or "high" without the limit, and the sensor has no scale.
    fn needs_scale(&self, sensor: &Sensor) -> bool {
        let status = self.status.as_deref().unwrap_or_default();
        let clipped = ["low", "high"].iter().any(|clipped| status.eq_ignore_ascii_case(clipped));
        clipped && self.value.is_none() && sensor.scale().is_none()
    }

    fn measurement(
        &self,
        sensor: &Sensor,
        scales: &mut Scales,
    ) -> Result<Measurement, ReadingError> {
        let status = self.status.as_deref().unwrap_or("ok").to_ascii_lowercase();
        let mut limit = |of: fn(Scale) -> GlucoseValue| {
            if self.value.is_some() {
                return self.value(scales);
            }
            let scale = sensor.scale().ok_or(ReadingError::Column("value"))?;
            let unit = self.unit.as_deref().map(str::parse).transpose()?;
            Ok(of(unit.map_or(scale, |unit| scale.to_unit(unit))))
        };
        match status.as_str() {
            "ok" => self.value(scales).map(Measurement::Value),
            "low" => limit(Scale::lowest).map(Measurement::Below),
            "high" => limit(Scale::highest).map(Measurement::Above),
            "error" => Ok(Measurement::Absent(AbsentReason::Error)),
            "unknown" => Ok(Measurement::Absent(AbsentReason::Unknown)),
            _ => Err(ReadingError::Status),
        }
    }

    fn value(&self, scales: &mut Scales) -> Result<GlucoseValue, ReadingError> {
        let value = self.value.as_deref().ok_or(ReadingError::Column("value"))?;
        let unit: GlucoseUnit =
            self.unit.as_deref().ok_or(ReadingError::Column("unit"))?.parse()?;
        let parsed = GlucoseValue::parse(value, unit).map_err(ReadingError::Value);
        parsed.map_err(|reason| scales.impossible(value, unit, reason))
    }
}

/// An RFC 3339 time and the person's offset, if it says one.
fn time(text: &str) -> Result<(DateTime<chrono::FixedOffset>, Option<UtcOffset>), TimeError> {
    let Ok(time) = DateTime::parse_from_rfc3339(text) else {
        let local = |format| NaiveDateTime::parse_from_str(text, format).is_ok();
        let without_offset = local("%Y-%m-%dT%H:%M:%S%.f") || local("%Y-%m-%d %H:%M:%S%.f");
        return Err(if without_offset { TimeError::NoOffset } else { TimeError::Unreadable });
    };
    if text.ends_with(['Z', 'z']) || text.ends_with("-00:00") {
        return Ok((time, None));
    }
    let offset = UtcOffset::from_minutes(time.offset().local_minus_utc() / 60)?;
    Ok((time, Some(offset)))
}
