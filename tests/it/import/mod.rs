//! Files as people have them: real exports, cut ones, the same one twice under another zone, and
//! bytes that are no file at all.

mod clarity;
mod cuts;
mod open;
mod other_files;
mod properties;
mod real_file;
mod stamps;
mod units;

use cgm_submitter::glucose::{
    GlucoseError, Measurement, Reading, ReadingError, SensorKey, UtcOffset, ZoneOffsets,
};
use cgm_submitter::import::{Import, ImportOptions, import};
use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::LazyLock;

const SENSOR: &str = "dexcom-clarity:android G6";
/// A stamp after every other.
const NEVER: &str = "2025";
const HEADER: &str = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient \
    Info,Device Info,Source Device ID,\
    Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams),Duration (hh:mm:ss),Glucose Rate of \
    Change (mg/dL/min),\
    Transmitter Time (Long Integer),Transmitter ID\n";

fn sample(name: &str) -> Vec<u8> {
    let folder =
        std::env::var("CGM_SAMPLES_DIR").unwrap_or_else(|_| "../shared/samples".to_owned());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: set CGM_SAMPLES_DIR", path.display()))
}

static REAL_BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| sample("dexcom_clarity_90d_real.csv"));
static REAL_IMPORT: LazyLock<Import> = LazyLock::new(|| read(&REAL_BYTES, "Europe/Bucharest"));

/// The zone as a host would give it: every change of offset, found by the quarter hour.
fn zone(name: &str) -> ZoneOffsets {
    let tz: Tz = name.parse().unwrap();
    let offset = |at: i64| {
        let seconds = tz.timestamp_opt(at, 0).unwrap().offset().fix().local_minus_utc();
        UtcOffset::from_minutes(seconds / 60).unwrap()
    };
    let (from, to) = (unix("2016-01-01T00:00:00Z"), unix("2025-01-01T00:00:00Z"));
    let mut offsets = vec![(from, offset(from))];
    for second in (from..to).step_by(900) {
        if offsets.last().unwrap().1 != offset(second) {
            offsets.push((second, offset(second)));
        }
    }
    ZoneOffsets::new(name, offsets).unwrap()
}

static ZONES: LazyLock<BTreeMap<&str, ZoneOffsets>> = LazyLock::new(|| {
    let names = ["Europe/Bucharest", "Europe/Athens", "Europe/Berlin", "America/New_York", "UTC"];
    names.into_iter().map(|name| (name, zone(name))).collect()
});

fn options<'a>() -> ImportOptions<'a> {
    ImportOptions::new("2024-07-01T00:00:00Z".parse().unwrap())
}

fn within<'a>(zone: &str) -> ImportOptions<'a> {
    options().with_zone(ZONES[zone].clone())
}

fn read(bytes: &[u8], zone: &str) -> Import {
    import(bytes, &within(zone)).unwrap()
}

fn read_open(text: &str) -> Import {
    import(text.as_bytes(), &options()).unwrap()
}

/// What is stored on a phone, as the import sees it.
#[derive(Clone, Default)]
struct Stored {
    sensors: Vec<cgm_submitter::glucose::Sensor>,
    readings: HashMap<(SensorKey, String), Reading>,
}

impl Stored {
    fn of(import: &Import) -> Self {
        let mut stored = Self::default();
        stored.take(import);
        stored
    }

    /// Stores an import: a record has one place.
    fn take(&mut self, import: &Import) {
        for sensor in &import.sensors {
            self.sensors.retain(|known| known.key() != sensor.key());
            self.sensors.push(sensor.clone());
        }
        let readings = import.readings.iter().map(|found| &found.reading).chain(&import.mended);
        for reading in readings {
            let record = reading.record_key().unwrap().text().into_owned();
            self.readings.insert((reading.sensor().clone(), record), reading.clone());
        }
    }

    fn told(&self) -> Vec<String> {
        let mut told: Vec<_> = self.readings.values().map(one).collect();
        told.sort();
        told
    }

    fn within(&self, sensor: &SensorKey, from: i64, to: i64) -> Vec<Reading> {
        let of_sensor = self.readings.values().filter(|reading| reading.sensor() == sensor);
        of_sensor.filter(|reading| (from..=to).contains(&reading.seconds())).cloned().collect()
    }
}

/// Imports a file beside what is stored.
fn again(bytes: &[u8], stored: &Stored, zone: &str) -> Import {
    again_with(bytes, stored, zone, |options| options)
}

fn again_with(
    bytes: &[u8],
    stored: &Stored,
    zone: &str,
    more: impl for<'a> FnOnce(ImportOptions<'a>) -> ImportOptions<'a>,
) -> Import {
    let look = |sensor: &SensorKey, from: i64, to: i64| stored.within(sensor, from, to);
    let options = within(zone).with_known(stored.sensors.clone()).with_stored(&look);
    import(bytes, &more(options)).unwrap()
}

fn unix(text: &str) -> i64 {
    text.parse::<DateTime<Utc>>().unwrap().timestamp()
}

fn utc(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A reading as text: sensor, instant, offset, what it said.
fn one(reading: &Reading) -> String {
    let (kind, value) = match reading.measurement() {
        Measurement::Value(value) => ("", value.to_string()),
        Measurement::Below(value) => ("<", value.to_string()),
        Measurement::Above(value) => (">", value.to_string()),
        Measurement::Absent(reason) => ("-", reason.code().to_owned()),
    };
    let unit = reading.measurement().unit().map_or("", |unit| unit.ucum());
    let offset = reading.offset().map_or("?".to_owned(), |offset| offset.to_string());
    format!("{} {} {offset} {kind}{value}{unit}", reading.sensor().as_str(), utc(reading.seconds()))
}

fn told(import: &Import) -> Vec<String> {
    import.readings.iter().map(|found| one(&found.reading)).collect()
}

/// Instant and offset of every reading.
fn times(import: &Import) -> Vec<String> {
    told(import)
        .iter()
        .map(|told| told.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

fn reasons(import: &Import) -> Vec<(usize, ReadingError)> {
    import.rejected.iter().map(|row| (row.row, row.reason.clone())).collect()
}

fn value(row: usize, error: GlucoseError) -> (usize, ReadingError) {
    (row, ReadingError::Value(error))
}

/// The stretches of equal offset of a sensor: its first instant, its last, its offset.
fn stretches(import: &Import, sensor: &str) -> Vec<String> {
    let of_sensor = import
        .readings
        .iter()
        .map(|found| &found.reading)
        .filter(|r| r.sensor().as_str() == sensor);
    let readings: Vec<_> = of_sensor.collect();
    let ends = |r: &[&Reading]| {
        format!(
            "{}..{} {}",
            utc(r[0].seconds()),
            utc(r[r.len() - 1].seconds()),
            r[0].offset().unwrap()
        )
    };
    readings.chunk_by(|a, b| a.offset() == b.offset()).map(ends).collect()
}

/// The real file's lines with their stamps; those without one are in every cut.
static REAL_LINES: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
    let text = std::str::from_utf8(&REAL_BYTES).unwrap();
    let stamp = |line: &'static str| line.split('"').nth(3).filter(|stamp| stamp.starts_with("20"));
    text.split_inclusive('\n').map(|line| (stamp(line).unwrap_or_default(), line)).collect()
});

/// The real file with its rows stamped in this range.
fn real_within(stamps: std::ops::Range<&str>) -> Vec<u8> {
    let lines = REAL_LINES.iter().filter(|(stamp, _)| stamp.is_empty() || stamps.contains(stamp));
    lines.map(|(_, line)| *line).collect::<String>().into_bytes()
}

/// The real file with its rows stamped `from` on.
fn real_from(from: &str) -> Vec<u8> {
    real_within(from..NEVER)
}

/// Clarity rows `stamp, value, tick, transmitter` under the header.
fn clarity(rows: &[(&str, &str, &str, &str)]) -> String {
    let row = |(stamp, value, tick, id): &(&str, &str, &str, &str)| {
        format!("1,{stamp},EGV,,,,phone,{value},,,,,{tick},{id}\n")
    };
    HEADER.to_owned() + &rows.iter().map(row).collect::<String>()
}
