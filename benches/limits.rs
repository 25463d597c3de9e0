//! `cargo bench`: what this crate does, each figure beside the limit it is held against: bare
//! SQLite, bare `serde_json`.
//!
//! Both sides of a pair run in turn, nine times, and the fastest of each is shown: what else runs
//! on the machine only ever adds. Ratios carry over between machines, times do not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark stops at the first surprise"
)]

mod limits {
    pub(crate) mod bare;
    pub(crate) mod delivering;
    pub(crate) mod lasting;
    pub(crate) mod memory;
    pub(crate) mod plain;
    pub(crate) mod syncs;
}

use cgm_submitter::delivery::{next_body, summarise};
use cgm_submitter::glucose::{
    DateRange, Device, GlucoseUnit, GlucoseValue, Measurement, Reading, Sensor, SensorKey,
    UtcOffset, Window, ZoneOffsets,
};
use cgm_submitter::import::{ImportOptions, import};
use cgm_submitter::store::{
    ConnectionDetails, ConnectionRecord, ConnectionState, Store, SubmissionId, SubmissionRecord,
    SubmissionState,
};
use cgm_submitter::submission::{Origin, Plan, Position, Progress, Wanted};
use chrono::{DateTime, TimeDelta, Utc};
use limits::{bare, delivering, lasting, memory::Counting, plain};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 9;
/// Ten years of five-minute readings, less the gaps of a real wearer.
const TEN_YEARS: usize = 930_990;

/// `cargo bench -- ingest size` runs the groups of these names alone.
fn asked(group: &str) -> bool {
    let all = std::env::args().skip(1);
    let names: Vec<String> = all.filter(|argument| !argument.starts_with('-')).collect();
    names.is_empty() || names.iter().any(|name| name == group)
}

fn main() {
    println!("{:<58} {:>10} {:>10} {:>7}  goal", "", "ours", "limit", "ratio");
    let generated = generated(TEN_YEARS);
    let newest_first = lasting::newest_first(&generated);
    let real = real();
    if asked("ingest") {
        ingest("ingest 930,990 readings | bare INSERT", &generated);
        if let Some(real) = &real {
            ingest("ingest the real file's 25,340 | bare INSERT", real);
        }
        ingest("ingest 930,990, newest first | bare INSERT, newest first", &newest_first);
    }
    if asked("summary") {
        summaries(&generated);
        if let Some(real) = &real {
            summary_of("summary of the real file | bare scan", real);
        }
    }
    if let Some(real) = &real {
        if asked("assembly") {
            assembly(real);
        }
        if asked("batch") {
            delivering::a_batch(real);
        }
    }
    if asked("lasting") {
        lasting::second_correction(&generated);
        lasting::opening_after_a_kill(&generated);
    }
    if asked("size") {
        size("bytes a reading on disk, 930,990", &generated, 20.0);
        size("bytes a reading on disk, newest first", &newest_first, 20.0);
        if let Some(real) = &real {
            // Each has its transmitter's count beside it.
            size("bytes a reading on disk, real file", real, 20.0);
        }
    }
    // Last: it counts in every file that is opened after it.
    if asked("live") {
        lasting::one_live_reading(&generated);
    }
}

/// Readings with the sensors they came from.
struct Data {
    sensors: Vec<Sensor>,
    readings: Vec<Reading>,
}

fn now() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn zone() -> ZoneOffsets {
    ZoneOffsets::fixed(UtcOffset::from_minutes(120).unwrap())
}

fn generated(count: usize) -> Data {
    let key = SensorKey::new("bench:1").unwrap();
    let start = now() - TimeDelta::minutes(5) * i32::try_from(count).unwrap();
    let offset = zone().offset_at(0);
    let reading = |n: usize| {
        let time = start + TimeDelta::minutes(5) * i32::try_from(n).unwrap();
        let value = 60 + u32::try_from((n * 7919) % 240).unwrap();
        let value = GlucoseValue::new(value, 0, GlucoseUnit::MgPerDl).unwrap();
        Reading::new(key.clone(), time, Some(offset), Measurement::Value(value))
    };
    let sensor = Sensor::new(key.clone(), Device::new("Bench", Some("1")).unwrap());
    Data { sensors: vec![sensor], readings: (0..count).map(reading).collect() }
}

fn real() -> Option<Data> {
    let folder =
        std::env::var("CGM_SAMPLES_DIR").unwrap_or_else(|_| "../shared/samples".to_owned());
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("dexcom_clarity_90d_real.csv");
    let Ok(bytes) = std::fs::read(&path) else {
        println!("no real file: set CGM_SAMPLES_DIR to a folder with dexcom_clarity_90d_real.csv");
        return None;
    };
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap().timestamp();
    let offset = |minutes| UtcOffset::from_minutes(minutes).unwrap();
    let bucharest = ZoneOffsets::new(
        "Europe/Bucharest",
        vec![(at("2023-10-29T01:00:00Z"), offset(120)), (at("2024-03-31T01:00:00Z"), offset(180))],
    );
    let file = import(&bytes, &ImportOptions::new(now()).with_zone(bucharest.unwrap())).unwrap();
    Some(Data {
        sensors: file.sensors,
        readings: file.readings.into_iter().map(|row| row.reading).collect(),
    })
}

fn store(folder: &TempDir, data: &Data) -> Store {
    let mut store = Store::open(&folder.path().join("me.db")).unwrap();
    for sensor in &data.sensors {
        store.register_sensor(sensor).unwrap();
    }
    store
}

fn filled(folder: &TempDir, data: &Data) -> Store {
    let mut store = store(folder, data);
    store.ingest(&data.readings, &zone(), now()).unwrap();
    store
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    let start = Instant::now();
    let value = work();
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    let taken = start.elapsed();
    (taken, value)
}

fn fastest(times: &[Duration]) -> f64 {
    times.iter().min().map_or(f64::NAN, Duration::as_secs_f64)
}

fn row(what: &str, ours: &[Duration], limit: &[Duration], goal: f64) {
    let (ours, limit) = (fastest(ours), fastest(limit));
    let ratio = ours / limit;
    let word = if ratio <= goal { "reached" } else { "MISSED" };
    println!(
        "{what:<58} {:>7.1} ms {:>7.1} ms {ratio:>6.2}×  ≤ {goal}× {word}",
        ours * 1e3,
        limit * 1e3
    );
}

fn ingest(what: &str, data: &Data) {
    let rows = bare::rows(&data.readings);
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let folder = TempDir::new().unwrap();
        let mut store = store(&folder, data);
        ours.push(timed(|| store.ingest(&data.readings, &zone(), now()).unwrap()).0);
        let folder = TempDir::new().unwrap();
        let mut table = bare::Minimal::open(&folder.path().join("bare.db"));
        limit.push(timed(|| table.insert(&rows)).0);
    }
    row(what, &ours, &limit, 1.4);
}

/// All the local dates of some readings.
fn dates(data: &Data) -> DateRange {
    let seconds = data.readings.iter().map(Reading::seconds);
    DateRange::new(
        zone().date_at(seconds.clone().min().unwrap()),
        zone().date_at(seconds.max().unwrap()),
    )
    .unwrap()
}

fn last_14_days(data: &Data) -> DateRange {
    let last = dates(data).last();
    DateRange::new(last - TimeDelta::days(13), last).unwrap()
}

fn summary_of(what: &str, data: &Data) {
    let (folder, bare_folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = filled(&folder, data);
    let mut table = bare::Minimal::open(&bare_folder.path().join("bare.db"));
    table.insert(&bare::rows(&data.readings));
    let dates = dates(data);
    let window = dates.window(&zone()).unwrap();
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (taken, summary) = timed(|| summarise(&store, dates, window, None).unwrap());
        assert_eq!(summary.readings(), data.readings.len() as u64);
        ours.push(taken);
        let (taken, (count, _)) = timed(|| table.scan(window));
        assert_eq!(count, data.readings.len() as u64);
        limit.push(taken);
    }
    row(what, &ours, &limit, 1.0);
    let own = format!("{} | scan of its own table", what.split(" | ").next().unwrap_or(what));
    let count = data.readings.len() as u64;
    lasting::beside_own_layout(&own, &ours, &folder.path().join("me.db"), count);
}

fn summaries(ten_years: &Data) {
    summary_of("summary of 930,990 readings from disk | bare scan", ten_years);

    let dates = last_14_days(ten_years);
    let window = dates.window(&zone()).unwrap();
    let inside = |reading: &&Reading| window.contains(reading.seconds());
    let short = Data {
        sensors: ten_years.sensors.clone(),
        readings: ten_years.readings.iter().filter(inside).cloned().collect(),
    };
    let (long_folder, short_folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (long, short) = (filled(&long_folder, ten_years), filled(&short_folder, &short));
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS * 10 {
        ours.push(timed(|| summarise(&long, dates, window, None).unwrap()).0);
        limit.push(timed(|| summarise(&short, dates, window, None).unwrap()).0);
    }
    row("14-day summary in a 10-year store | in a 14-day store", &ours, &limit, 1.5);
}

fn connection(store: &mut Store) -> ConnectionRecord {
    let details =
        ConnectionDetails { dialect: Some("hl7-cgm".to_owned()), ..ConnectionDetails::default() };
    let id = store
        .add_connection(
            "https://ehr.example.org/fhir",
            "amy-shaw",
            ConnectionState::Active,
            &details,
        )
        .unwrap();
    store.connection(id).unwrap()
}

fn submission(connection: &ConnectionRecord, dates: DateRange, window: Window) -> SubmissionRecord {
    let wanted =
        Wanted { devices: false, summary: false, readings: true, unit: GlucoseUnit::MgPerDl };
    let plan = Plan { wanted, dates, window, day_under_way: None };
    let progress = Progress::start();
    SubmissionRecord {
        id: SubmissionId(1),
        connection: connection.id,
        created_at: 0,
        origin: Origin::Person,
        plan,
        state: SubmissionState::Open,
        progress,
    }
}

/// Every batch of the window, one after the other; what each is handed to `each`.
fn assemble(
    store: &Store,
    connection: &ConnectionRecord,
    dates: DateRange,
    mut each: impl FnMut(Vec<u8>),
) {
    let mut submission = submission(connection, dates, dates.window(&zone()).unwrap());
    while let Some(body) = next_body(store, connection, &submission, now()).unwrap() {
        submission.progress.position = body.position_after;
        assert!(matches!(body.position_after, Position::Readings(_)));
        each(body.json);
    }
}

fn assembly(real: &Data) {
    let folder = TempDir::new().unwrap();
    let mut store = filled(&folder, real);
    let connection = connection(&mut store);
    let mut bodies = Vec::new();
    assemble(&store, &connection, dates(real), |json| bodies.push(json));
    let structs: Vec<plain::Bundle> =
        bodies.iter().map(|json| serde_json::from_slice(json).unwrap()).collect();
    for (body, plain) in bodies.iter().zip(&structs) {
        assert_eq!(
            &serde_json::to_vec(plain).unwrap(),
            body,
            "the plain structs write the same bytes"
        );
    }
    drop(bodies);

    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(timed(|| assemble(&store, &connection, dates(real), drop)).0);
        let write = || {
            for bundle in &structs {
                drop(std::hint::black_box(serde_json::to_vec(bundle).unwrap()));
            }
        };
        limit.push(timed(write).0);
    }
    row("assemble the real file's batches | bare serde_json", &ours, &limit, 1.35);

    let peak = |dates: DateRange| {
        Counting::restart();
        let before = Counting::current();
        assemble(&store, &connection, dates, drop);
        (Counting::peak() - before) as f64 / 1024.0
    };
    let (short, long) = (peak(last_14_days(real)), peak(dates(real)));
    let word = if long <= short * 1.1 { "reached" } else { "MISSED" };
    println!(
        "{:<58} {long:>6.0} KiB {short:>6.0} KiB {:>6.2}×  flat {word}",
        "peak memory assembling 90 days | 14 days",
        long / short
    );
}

fn size(what: &str, data: &Data, goal: f64) {
    let (folder, empty_folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut filled = filled(&folder, data);
    let mut empty = store(&empty_folder, data);
    filled.checkpoint().unwrap();
    empty.checkpoint().unwrap();
    let bytes = (filled.size_on_disk().unwrap() - empty.size_on_disk().unwrap()) as f64
        / data.readings.len() as f64;
    let word = if bytes <= goal { "reached" } else { "MISSED" };
    println!("{what:<58} {bytes:>10.1} {:>10} {:>7}  ≤ {goal} {word}", "", "");
}
