//! What the store must bear over years: corrections, a kill, readings one by one.

use super::syncs;
use crate::{Data, ROUNDS, TEN_YEARS, connection, filled, now, row, store, timed, zone};
use cgm_submitter::glucose::{GlucoseUnit, GlucoseValue, Measurement, Reading, Window};
use cgm_submitter::store::{ConnectionId, Store};
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Readings of the correction that must take at most a second.
const CORRECTED: usize = 20_000;
/// Readings a phone takes a day.
const A_DAY: usize = 288;
/// Size of a page, and of what precedes it in the log.
const PAGE: u64 = 4096;
const FRAME_HEADER: u64 = 24;
const LOG_HEADER: u64 = 32;

/// A figure beside its limit.
fn figure(what: &str, figure: f64, unit: &str, limit: f64) {
    let word = if figure <= limit { "reached" } else { "MISSED" };
    println!("{what:<58} {figure:>7.1} {unit:<2} {:>10} {:>7}  ≤ {limit} {unit} {word}", "", "");
}

fn fastest_ms(times: &[Duration]) -> f64 {
    times.iter().min().map_or(f64::NAN, Duration::as_secs_f64) * 1e3
}

/// The window of all time.
fn always() -> Window {
    Window::from_unix(0, i64::MAX).unwrap()
}

/// Every row of the store's own table, read as bare as rusqlite allows.
pub(crate) fn scan_own_layout(path: &Path) -> (Duration, u64) {
    let db = Connection::open(path).unwrap();
    let mut statement = db.prepare("SELECT key, measurement FROM readings ORDER BY key").unwrap();
    timed(|| {
        let mut rows = statement.query([]).unwrap();
        let (mut count, mut sum) = (0, 0_i64);
        while let Some(row) = rows.next().unwrap() {
            let (key, measurement): (i64, i64) = (row.get(0).unwrap(), row.get(1).unwrap());
            count += 1;
            sum = sum.wrapping_add(key ^ measurement);
        }
        std::hint::black_box(sum);
        count
    })
}

/// The same readings with every value raised.
fn raised(readings: &[Reading], by: u32) -> Vec<Reading> {
    let raise = |reading: &Reading| {
        let mantissa = reading.measurement().value().map_or(100, GlucoseValue::mantissa) + by;
        let value = GlucoseValue::new(mantissa, 0, GlucoseUnit::MgPerDl).unwrap();
        let time = chrono::DateTime::from_timestamp(reading.seconds(), 0).unwrap();
        let sensor = reading.sensor().clone();
        Reading::new(sensor, time, reading.offset(), Measurement::Value(value))
    };
    readings.iter().map(raise).collect()
}

fn accept_all(store: &mut Store, to: ConnectionId) {
    let unit = GlucoseUnit::MgPerDl;
    let unsent = store.unsent(to, unit, always(), None, CORRECTED).unwrap();
    let versions: Vec<_> = unsent.iter().map(|reading| (reading.key, reading.version)).collect();
    store.record_accepted(to, unit, &versions).unwrap();
}

/// The write transaction of a second correction of sent readings.
pub(crate) fn second_correction(data: &Data) {
    let mut times = Vec::new();
    let readings = &data.readings[..CORRECTED];
    for _ in 0..ROUNDS / 3 {
        let folder = TempDir::new().unwrap();
        let mut store = store(&folder, data);
        let to = connection(&mut store).id;
        store.ingest(readings, &zone(), now()).unwrap();
        accept_all(&mut store, to);
        store.ingest(&raised(readings, 1), &zone(), now()).unwrap();
        accept_all(&mut store, to);
        let second = raised(readings, 2);
        let (taken, report) = timed(|| store.ingest(&second, &zone(), now()).unwrap());
        assert_eq!(report.corrected, CORRECTED);
        times.push(taken);
    }
    figure("second correction of 20,000 sent readings", fastest_ms(&times), "ms", 1_000.0);
}

/// Opening ten years whose log was left behind by a kill.
pub(crate) fn opening_after_a_kill(data: &Data) {
    assert_eq!(data.readings.len(), TEN_YEARS);
    let folder = TempDir::new().unwrap();
    let killed = filled(&folder, data);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        // As the disk has it while the process dies: without the index, which is memory.
        let copy = TempDir::new().unwrap();
        for name in ["me.db", "me.db-wal"] {
            std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }
        let path = copy.path().join("me.db");
        let (taken, opened) = timed(|| Store::open(&path).unwrap());
        assert_eq!(opened.count(always()).unwrap(), TEN_YEARS as u64);
        times.push(taken);
    }
    drop(killed);
    figure("opening a 10-year store after a kill", fastest_ms(&times), "ms", 50.0);
}

/// One reading at a time, as a phone takes them, at the end of ten years.
pub(crate) fn one_live_reading(data: &Data) {
    let folder = TempDir::new().unwrap();
    let (before, day) = data.readings.split_at(data.readings.len() - A_DAY);
    let years = Data { sensors: data.sensors.clone(), readings: before.to_vec() };
    drop(filled(&folder, &years));
    syncs::count();
    let path = folder.path().join("me.db");
    let mut store = Store::open(&path).unwrap();
    let log = || std::fs::metadata(folder.path().join("me.db-wal")).map_or(0, |file| file.len());
    let (mut times, mut most_pages, mut pages, mut synced) = (Vec::new(), 0, 0, 0);
    for (number, reading) in day.iter().enumerate() {
        store.checkpoint().unwrap();
        // The first frame after the log was emptied also writes and syncs its header.
        store.set_meta("bench", &number.to_string()).unwrap();
        let (length, syncs) = (log().max(LOG_HEADER), syncs::syncs());
        let one = std::slice::from_ref(reading);
        times.push(timed(|| store.ingest(one, &zone(), now()).unwrap()).0);
        let written = (log() - length) / (PAGE + FRAME_HEADER);
        most_pages = most_pages.max(written);
        pages += written;
        synced += syncs::syncs() - syncs;
    }
    let each = |sum: f64| sum / A_DAY as f64;
    times.sort_unstable();
    figure("one live reading: pages written, on average", each(pages as f64), "", 4.0);
    println!("{:<58} {most_pages:>7}", "one live reading: pages written if a page splits");
    figure("one live reading: syncs", each(synced as f64), "", 1.0);
    let median = times.get(A_DAY / 2).map_or(f64::NAN, Duration::as_secs_f64) * 1e6;
    println!("{:<58} {median:>7.0} µs", "one live reading: median time on this disk");
}

/// Taking readings in newest first, in one call, against bare rows in the same order.
pub(crate) fn newest_first(data: &Data) -> Data {
    let mut readings = data.readings.clone();
    readings.reverse();
    Data { sensors: data.sensors.clone(), readings }
}

/// A row whose limit is a ratio to a scan of the same table.
pub(crate) fn beside_own_layout(what: &str, ours: &[Duration], path: &Path, count: u64) {
    let mut limit = Vec::new();
    for _ in 0..ROUNDS {
        let (taken, rows) = scan_own_layout(path);
        assert_eq!(rows, count);
        limit.push(taken);
    }
    row(what, ours, &limit, 1.4);
}
