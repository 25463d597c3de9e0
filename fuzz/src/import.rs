//! Files: any bytes, and rows below the header of each accepted format.

use super::{quotes_nothing, shows_nothing};
use cgm_submitter::glucose::{
    AbsentReason, Device, GlucoseUnit, GlucoseValue, Measurement, Reading, RecordKey, Scale,
    Sensor, SensorKey, UtcOffset, ZoneOffsets,
};
use cgm_submitter::import::{Format, Import, ImportOptions, MAX_SENSORS, import};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::LazyLock;

const CLARITY: &str = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,\
    Patient Info,Device Info,\
    Source Device ID,Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams),\
    Duration (hh:mm:ss),\
    Glucose Rate of Change (mg/dL/min),Transmitter Time (Long Integer),Transmitter ID\n";
const CSV: &str = "time,value,unit,device,status\n";
const NDJSON: &str = "{\"time\":0}\n";

/// The person's zone, which changes its offset.
static ZONE: LazyLock<ZoneOffsets> = LazyLock::new(|| {
    let changes = [(1_698_541_200, 120), (1_711_846_800, 180), (1_729_990_800, 120)];
    let offsets = changes.map(|(at, minutes)| (at, UtcOffset::from_minutes(minutes).unwrap()));
    ZoneOffsets::new("Europe/Bucharest", offsets.to_vec()).unwrap()
});
/// A sensor that is stored already, by the clock of another zone.
static KNOWN: LazyLock<Sensor> = LazyLock::new(|| {
    let sensor = Sensor::new(
        SensorKey::new("dexcom-clarity:android G6").unwrap(),
        Device::new("Dexcom G6", None).unwrap(),
    );
    sensor.with_zone("Europe/Paris")
});
/// Rows of it: one with a count and one without.
static STORED: LazyLock<Vec<Reading>> = LazyLock::new(|| {
    [("2024-05-02T08:00:00", 1_714_629_600), ("82AJ0D/1300", 1_714_636_800)]
        .map(|(record, seconds)| {
            let time = DateTime::from_timestamp(seconds, 0).unwrap();
            let value = GlucoseValue::new(100, 0, GlucoseUnit::MgPerDl).unwrap();
            let offset = UtcOffset::from_minutes(120).unwrap();
            Reading::new(KNOWN.key().clone(), time, Some(offset), Measurement::Value(value))
                .with_record_key(RecordKey::new(record).unwrap())
        })
        .to_vec()
});

fn options() -> ImportOptions<'static> {
    let at = |mg_dl| GlucoseValue::new(mg_dl, 0, GlucoseUnit::MgPerDl).unwrap();
    ImportOptions::new(now())
        .with_zone(ZONE.clone())
        .with_known([KNOWN.clone()])
        .with_stored(&stored)
        .with_scale(Scale::new(at(40), at(400)).unwrap())
}

fn stored(sensor: &SensorKey, from: i64, to: i64) -> Vec<Reading> {
    let of_sensor = STORED.iter().filter(|reading| reading.sensor() == sensor);
    of_sensor.filter(|reading| (from..=to).contains(&reading.seconds())).cloned().collect()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_717_200_000, 0).unwrap()
}

/// Any bytes, as a person may choose any file.
pub(super) fn any(data: &[u8]) {
    check(data, None);
}

/// Rows of a Clarity file.
pub(super) fn clarity(data: &[u8]) {
    below(CLARITY, data, Format::DexcomClarity);
}

/// Rows of the open CSV.
pub(super) fn csv(data: &[u8]) {
    below(CSV, data, Format::Csv);
}

/// JSON lines.
pub(super) fn ndjson(data: &[u8]) {
    below(NDJSON, data, Format::Ndjson);
}

fn below(header: &str, rows: &[u8], format: Format) {
    check(&[header.as_bytes(), rows].concat(), Some(format));
}

fn check(file: &[u8], format: Option<Format>) {
    let found = match import(file, &options()) {
        Ok(found) => found,
        Err(error) => return quotes_nothing(&error),
    };
    assert!(format.is_none_or(|format| found.format == format));
    shows_nothing(&found);
    check_rows(file, &found);
    let mut named = BTreeSet::new();
    for sensor in &found.sensors {
        assert!(named.insert(sensor.key()), "a sensor twice");
    }
    assert!(named.len() <= MAX_SENSORS);
    let mut read = BTreeSet::new();
    for pair in found.readings.windows(2) {
        let place = |at: usize| (pair[at].reading.seconds(), pair[at].reading.sensor());
        assert!(place(0) < place(1), "not in order, or two readings of a sensor at one instant");
    }
    for one in &found.readings {
        assert!(one.reading.check(now()).is_ok());
        if let Some(value) = written(one.reading.measurement()).1 {
            assert!((10.0..=1_000.0).contains(&value.mg_dl()));
        }
        read.insert(one.reading.sensor());
    }
    assert_eq!(read, named, "sensors and readings");
    if found.format != Format::DexcomClarity && !found.readings.is_empty() {
        check_again(&found);
    }
}

/// Every line is told about once at most.
fn check_rows(file: &[u8], found: &Import) {
    let lines = file.split(|byte| *byte == b'\n').count();
    let skipped = found.skipped;
    let skipped =
        skipped.alerts + skipped.calibrations + skipped.insulin + skipped.other + skipped.repeated;
    assert!(found.readings.len() + found.rejected.len() + skipped <= lines, "more rows than lines");
    let mut rows = BTreeSet::new();
    let told =
        found.readings.iter().map(|one| one.row).chain(found.rejected.iter().map(|one| one.row));
    for row in told {
        assert!(
            (1..=lines).contains(&row) && rows.insert(row),
            "a row twice, or none of the file's"
        );
    }
    for rejected in &found.rejected {
        quotes_nothing(&rejected.reason);
    }
}

/// What was read from the open format, written in the open format, is read as the same.
fn check_again(found: &Import) {
    let mut file = CSV.to_owned();
    let devices: BTreeMap<_, _> =
        found.sensors.iter().map(|sensor| (sensor.key(), sensor.key().as_str())).collect();
    for one in &found.readings {
        let reading = &one.reading;
        let offset = reading.offset().expect("the zone's, at least");
        let Some(time) = DateTime::from_timestamp(reading.seconds(), 0) else { continue };
        let time = time.with_timezone(&offset.fixed()).to_rfc3339();
        let (status, value) = written(reading.measurement());
        let (value, unit) =
            value.map_or((String::new(), ""), |value| (value.to_string(), value.unit().ucum()));
        let device = devices[reading.sensor()]
            .strip_prefix("open:")
            .expect("an open sensor")
            .replace('"', "\"\"");
        let _ = writeln!(file, "{time},{value},{unit},\"{device}\",{status}");
    }
    let again = import(file.as_bytes(), &options()).expect("our own file");
    let readings = |found: &Import| {
        found.readings.iter().map(|one| one.reading.clone()).collect::<Vec<Reading>>()
    };
    assert!(
        again.rejected.is_empty() && readings(&again) == readings(found),
        "read again, it is another"
    );
}

/// A measurement's status, and its value.
fn written(measurement: Measurement) -> (&'static str, Option<GlucoseValue>) {
    match measurement {
        Measurement::Value(value) => ("ok", Some(value)),
        Measurement::Below(value) => ("low", Some(value)),
        Measurement::Above(value) => ("high", Some(value)),
        Measurement::Absent(AbsentReason::Error) => ("error", None),
        Measurement::Absent(_) => ("unknown", None),
    }
}
