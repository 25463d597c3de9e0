//! What the crate says of readings drawn at random, held against `oracle.py`,
//! which works the same out from the published definitions with exact fractions: the summary as
//! built, the summary of what was stored, and the digits that are sent.
//!
//! `CGM_CASES` is how many cases are drawn; a case that fails once is kept in
//! `tests/proptest-regressions` and tried first from then on.

use super::cases::{self, Case, Series};
use super::oracle::Oracle;
use super::{Fixture, compare, fixtures};
use crate::share_of;
use cgm_submitter::Error;
use cgm_submitter::delivery::{next_body, summarise};
use cgm_submitter::glucose::{Device, Reading, Sensor, SensorKey};
use cgm_submitter::statistics::{Summary, SummaryError};
use cgm_submitter::store::{ConnectionDetails, ConnectionState, Store};
use cgm_submitter::submission::{Origin, Plan, Wanted};
use chrono::{DateTime, Utc};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::json;
use std::cell::RefCell;
use std::path::Path;

/// Cases drawn unless `CGM_CASES` says how many; at the desk a third.
const CASES: u32 = 400;
/// The first second a reading that is stored can have: 1990-01-01.
const EARLIEST_STORED: i64 = 631_152_000;

fn sensor(number: u32) -> SensorKey {
    SensorKey::new(format!("sensor {number}")).unwrap()
}

/// What the person's phone says of the same readings: stored out of order, in batches, those at
/// home without an offset of their own.
struct Phone {
    store: Store,
    _folder: tempfile::TempDir,
}

impl Phone {
    fn with(case: &Case) -> Self {
        // In memory if that can be: a case would mostly wait for the disk.
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
                .unwrap();
        let mut store = Store::open(&folder.path().join("cgm.db")).unwrap();
        for number in 0..4 {
            let device = Device::new("a sensor", None).unwrap();
            store.register_sensor(&Sensor::new(sensor(number), device)).unwrap();
        }
        // The last of several in one second is what a store keeps, the first is what counts: so,
        // backwards.
        let readings: Vec<Reading> = case
            .series
            .samples
            .iter()
            .rev()
            .map(|sample| {
                let own = (sample.seconds % 2 == 0
                    || sample.offset != case.zone.offset_at(sample.seconds))
                .then_some(sample.offset);
                let time = DateTime::from_timestamp(sample.seconds, 0).unwrap();
                Reading::new(sensor(sample.sensor.0), time, own, sample.measurement)
            })
            .collect();
        for batch in readings.chunks(case.batch) {
            let report = store.ingest(batch, &case.zone, Self::now()).unwrap();
            assert_eq!(report.rejected, []);
        }
        Self { store, _folder: folder }
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(4_102_444_800, 0).unwrap()
    }

    fn summary(&self, case: &Case) -> Result<Summary, SummaryError> {
        let Series { dates, window, day_under_way, .. } = case.series;
        match summarise(&self.store, dates, window, day_under_way) {
            Ok(summary) => Ok(summary),
            Err(Error::Summary(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    /// The bundle with the summary, if there is one.
    fn bundle(&mut self, case: &Case) -> Option<Vec<u8>> {
        let details = ConnectionDetails {
            dialect: Some("hl7-cgm".to_owned()),
            ..ConnectionDetails::default()
        };
        let id = self
            .store
            .add_connection("https://ehr.example", "p1", ConnectionState::Active, &details)
            .unwrap();
        let wanted = Wanted { devices: false, summary: true, readings: false, unit: case.unit };
        let (dates, window) = (case.series.dates, case.series.window);
        let day_under_way = case.series.day_under_way;
        let plan = Plan { wanted, dates, window, day_under_way };
        let submission =
            self.store.open_submission(id, Origin::Person, &plan, Self::now()).unwrap();
        let (connection, submission) =
            (self.store.connection(id).unwrap(), self.store.submission(submission).unwrap());
        next_body(&self.store, &connection, &submission, Self::now()).unwrap().map(|body| body.json)
    }
}

fn check(case: &Case, oracle: &mut Oracle) -> Result<(), String> {
    let answer = oracle.ask(&case.request());
    let window = case.series.window;
    if answer["window"] != json!([window.start(), window.end()]) {
        return Err(format!("the window: {window:?} instead of {}", answer["window"]));
    }
    let figures =
        |summary: &Result<Summary, SummaryError>| compare::figures(summary, &answer["figures"]);
    figures(&case.series.summarise(case.series.starts()))
        .map_err(|difference| format!("as built: {difference}"))?;
    if case.series.samples.first().is_some_and(|first| first.seconds < EARLIEST_STORED) {
        return Ok(());
    }
    let mut phone = Phone::with(case);
    figures(&phone.summary(case)).map_err(|difference| format!("as stored: {difference}"))?;
    match phone.bundle(case) {
        Some(json) => compare::wire(&json, &answer["wire"]),
        None if answer.get("wire").is_none() => Ok(()),
        None => Err("nothing to send".to_owned()),
    }
}

/// Compares this share of every hundred cases asked for.
fn compare_cases(of_hundred: u32, cases: &impl Strategy<Value = Case>) {
    let asked =
        std::env::var("CGM_CASES").map_or_else(|_| share_of(CASES), |text| text.parse().unwrap());
    let config = Config { max_shrink_time: 20_000, ..Config::with_cases(asked * of_hundred / 100) };
    let oracle = RefCell::new(Oracle::start());
    let result = TestRunner::new(Config { source_file: Some(file!()), ..config })
        .run(cases, |case| check(&case, &mut oracle.borrow_mut()).map_err(TestCaseError::fail));
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn some_days_of_readings_give_what_the_definitions_give() {
    compare_cases(64, &cases::some_days());
}

#[test]
fn a_few_readings_give_what_the_definitions_give() {
    compare_cases(35, &cases::a_few_readings());
}

#[test]
fn months_of_wear_give_what_the_definitions_give() {
    compare_cases(1, &cases::long_wear());
}

/// That the fixtures were written by the definitions as they now stand.
#[test]
fn the_fixtures_say_what_the_definitions_say() {
    let mut oracle = Oracle::start();
    for Fixture { name, series, sensor_starts, expected } in fixtures() {
        let mut request = series.request();
        request["sensor_starts"] = sensor_starts;
        assert_eq!(
            oracle.ask(&request)["figures"],
            expected,
            "{name}: run tests/it/statistics/fixtures.py"
        );
    }
}
