//! `cargo run --example summary -- --import FILE`: the consensus statistics of a file of glucose
//! readings.

#[macro_use]
#[path = "shared/say.rs"]
mod say;

#[path = "shared/file.rs"]
mod file;
#[path = "shared/refused.rs"]
mod refused;
#[path = "shared/scale.rs"]
mod scale;
#[path = "shared/zone.rs"]
mod zone;

use cgm_submitter::environment::{Clock, NamedZone, SystemClock};
use cgm_submitter::import::{Import, ImportError, ImportOptions, import};
use cgm_submitter::reading::{Sample, SensorId};
use cgm_submitter::statistics::{Sufficiency, Summary, SummaryBuilder};
use cgm_submitter::{DateRange, Scale, ZoneOffsets};
use chrono::{DateTime, Utc};
use clap::Parser;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

type Failure = Box<dyn std::error::Error>;

/// Prints the consensus statistics of a file of glucose readings.
#[derive(Parser)]
struct Args {
    /// Dexcom Clarity CSV, or CSV or NDJSON with time, value and unit.
    #[arg(long, value_name = "FILE")]
    import: PathBuf,
    /// The person's time zone, for example Europe/Bucharest: when their days begin, and what places
    /// the local times of a Dexcom Clarity file, which requires it.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<NamedZone>,
    /// The lowest and highest value the device shows. Required for a file in which a device of no
    /// known model says Low or High.
    #[arg(long, value_name = "40..400mg/dL", value_parser = scale::scale)]
    scale: Option<Scale>,
    /// Local dates, both included: 2024-05-01..2024-05-14. Default: all dates of the file.
    #[arg(long, value_name = "DATES")]
    window: Option<DateRange>,
    /// JSON, unrounded.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            warn!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let now = SystemClock.now();
    let given = args.time_zone.map(|zone| zone.whole(now)).transpose()?;
    let zone = zone::of_person(args.time_zone).whole(now)?;
    let file = read(args, &file::read(&args.import)?, given.as_ref(), now)?;
    let samples = samples(&file, &zone)?;
    let stored = zone.dates_of(samples.values().map(|sample| sample.seconds));
    let none = || format!("--import {}: the file holds no readings", args.import.display());
    let stored = stored.ok_or_else(none)?;
    let dates = args.window.unwrap_or(stored);

    let mut starts = BTreeMap::new();
    for sample in samples.values() {
        starts.entry(sample.sensor).or_insert(sample.seconds);
    }
    let mut builder = SummaryBuilder::new(dates, dates.window(&zone)?, starts);
    for sample in samples.into_values() {
        builder.push(sample);
    }
    let summary = builder.finish().map_err(|error| {
        let file = args.import.display();
        format!("--import {file}: {error}; its readings are from {stored}")
    })?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&json(&summary))?);
    } else {
        print(&summary);
    }
    Ok(())
}

/// The file's readings; rows that are none are told of.
fn read(
    args: &Args,
    bytes: &[u8],
    zone: Option<&ZoneOffsets>,
    now: DateTime<Utc>,
) -> Result<Import, Failure> {
    let mut options = ImportOptions::new(now);
    if let Some(zone) = zone {
        options = options.with_zone(zone.clone());
    }
    if let Some(scale) = args.scale {
        options = options.with_scale(scale);
    }
    let file = import(bytes, &options).map_err(|error| {
        let option = match error {
            ImportError::TimeZoneRequired => ", with --time-zone Europe/Bucharest",
            ImportError::ScaleRequired { .. } => ", with --scale 40..400mg/dL",
            _ => "",
        };
        format!("--import {}: {error}{option}", args.import.display())
    })?;
    let refused = file.rejected.iter().map(|refused| (refused.row, &refused.reason));
    for line in refused::by_reason(refused) {
        warn!("{line}");
    }
    for note in file.clock_notes.iter().filter(|note| note.open) {
        warn!("{note}");
    }
    Ok(file)
}

/// One sample a sensor and second, in time order. A time without UTC offset has the zone's.
fn samples(
    file: &Import,
    zone: &ZoneOffsets,
) -> Result<BTreeMap<(i64, SensorId), Sample>, Failure> {
    let mut ids = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for row in &file.readings {
        let reading = &row.reading;
        let next = SensorId(u32::try_from(ids.len())?);
        let sensor = *ids.entry(reading.sensor().clone()).or_insert(next);
        let seconds = reading.seconds();
        let offset = reading.offset().unwrap_or_else(|| zone.offset_at(seconds));
        samples.insert(
            (seconds, sensor),
            Sample { sensor, seconds, offset, measurement: reading.measurement() },
        );
    }
    Ok(samples)
}

fn json(summary: &Summary) -> serde_json::Value {
    let ranges = summary.ranges();
    serde_json::json!({
        "readings": summary.readings(),
        "mean_mg_dl": summary.mean_mg_dl(),
        "sd_mg_dl": summary.sd_mg_dl(),
        "cv_percent": summary.cv_percent(),
        "gmi_percent": summary.gmi_percent(),
        "very_low_percent": ranges.very_low_percent(),
        "low_percent": ranges.low_percent(),
        "in_range_percent": ranges.in_range_percent(),
        "high_percent": ranges.high_percent(),
        "very_high_percent": ranges.very_high_percent(),
        "days_of_wear": summary.days_of_wear(),
        "sensor_active_percent": summary.sensor_active_percent(),
    })
}

fn print(summary: &Summary) {
    let ranges = summary.ranges();
    say!("{} readings, {}", summary.readings(), summary.dates());
    say!(
        "mean {:.1} mg/dL, SD {:.1}, CV {:.1} %, GMI {:.1} %",
        summary.mean_mg_dl(),
        summary.sd_mg_dl(),
        summary.cv_percent(),
        summary.gmi_percent()
    );
    say!(
        "<54 {:.2} %, 54-69 {:.2} %, 70-180 {:.2} %, 181-250 {:.2} %, >250 {:.2} %",
        ranges.very_low_percent(),
        ranges.low_percent(),
        ranges.in_range_percent(),
        ranges.high_percent(),
        ranges.very_high_percent()
    );
    say!(
        "{} days of wear, sensor active {:.2} %",
        summary.days_of_wear(),
        summary.sensor_active_percent()
    );
    if summary.sufficiency() != Sufficiency::Sufficient {
        say!("fewer data than the 14 days and 70 % the consensus asks for");
    }
}
