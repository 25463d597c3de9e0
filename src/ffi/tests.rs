//! The border as another language uses it: plain records in and out.

use super::CgmSubmitter;
use super::error::CgmError;
use super::host::{DeliveryEvent, HostError, HostLocalTime, HostObserver, HostVault};
use super::log::{HostLogSink, LogEntry, LogField, LogLevel, LogValue};
use super::records::connections::ConnectionState;
use super::records::dates::DateRange;
use super::records::imports::{
    ClockAnswer, ClockBasis, ClockEvent, ClockNote, FileFormat, FileZone, ImportChoices,
};
use super::records::orders::{OrderRefusal, Orders, StandingOrder};
use super::records::outcomes::{OutcomeStatus, UnknownItem, WaitReason};
use super::records::readings::{GlucoseUnit, Measurement, Reading, Scale};
use super::records::runs::{FailureKind, RunStatus};
use super::records::submissions::{ItemKind, SubmissionRequest};
use super::records::zone::OffsetChange;
use super::records::{ConnectionId, SubmissionId};
use crate::store::{self, ConnectionDetails, Store};
use crate::testing::ScriptedTransport;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What has another name at the border, and what is not there, with the reason.
const OTHERWISE: &[(&str, Option<&str>)] = &[
    ("new", Some("with_transport")),
    ("import", Some("import_file")),
    // UniFFI's own `close` lets the object go.
    ("close", Some("shut_down")),
    // The zone is the host's own: it gave it.
    ("local_zone", None),
];

fn calls(folder: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let object = ["impl Submitter {", "impl CgmSubmitter {"];
        for block in text.split("\nimpl").skip(1).map(|block| format!("impl{block}")) {
            if !object.iter().any(|begin| block.starts_with(begin)) {
                continue;
            }
            let body = block.split("\n}\n").next().unwrap();
            let of = |line: &str| {
                let line = line.strip_prefix("    pub ")?;
                let line = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
                Some(line.split(['(', '<']).next().unwrap().to_owned())
            };
            found.extend(body.lines().filter_map(of));
        }
    }
    found
}

#[test]
fn every_call_of_the_submitter_has_one_at_the_border() {
    let border: BTreeSet<_> = calls("ffi").into_iter().chain(calls("ffi/calls")).collect();
    let rust = calls("submitter");
    assert!(rust.len() > 25, "{rust:?}");
    for (name, _) in OTHERWISE {
        assert!(rust.contains(*name), "{name} is no call any more");
    }
    let lacking: Vec<_> = rust
        .iter()
        .filter(|name| match OTHERWISE.iter().find(|(other, _)| other == name) {
            Some((_, Some(there))) => !border.contains(*there),
            Some((_, None)) => false,
            None => !border.contains(*name),
        })
        .collect();
    assert!(lacking.is_empty(), "not at the border: {lacking:?}");
}

struct NoVault;

impl HostVault for NoVault {
    fn load(&self, _: String) -> Result<Option<String>, HostError> {
        Ok(None)
    }

    fn save(&self, _: String, _: String) -> Result<(), HostError> {
        Err(HostError::Failed)
    }

    fn delete(&self, _: String) -> Result<(), HostError> {
        Ok(())
    }
}

/// A device in UTC.
struct Greenwich;

impl HostLocalTime for Greenwich {
    fn zone_name(&self) -> Result<String, HostError> {
        Ok("UTC".to_owned())
    }

    fn transitions(&self, from: SystemTime, _: SystemTime) -> Result<Vec<OffsetChange>, HostError> {
        Ok(vec![OffsetChange { from, utc_offset_minutes: 0 }])
    }
}

struct App {
    folder: tempfile::TempDir,
    cgm: Arc<CgmSubmitter>,
}

/// Keeps what it hears, and says each time that it failed.
#[derive(Default)]
struct Heard(Mutex<Vec<LogEntry>>);

impl HostLogSink for Heard {
    fn log(&self, entry: LogEntry) -> Result<(), HostError> {
        self.0.lock().unwrap().push(entry);
        Err(HostError::Failed)
    }
}

impl App {
    fn new() -> Self {
        Self::with_log(None)
    }

    fn with_log(log: Option<Arc<dyn HostLogSink>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let offline =
            ScriptedTransport::new(|_| Err(crate::environment::TransportError::Unreachable));
        let database = folder.path().join("me.db").to_str().unwrap().to_owned();
        let cgm = CgmSubmitter::over(
            Arc::new(offline),
            database,
            Arc::new(NoVault),
            Arc::new(Greenwich),
            log,
        );
        Self { folder, cgm }
    }

    fn database(&self) -> std::path::PathBuf {
        self.folder.path().join("me.db")
    }
}

fn utc(text: &str) -> SystemTime {
    text.parse::<DateTime<Utc>>().unwrap().into()
}

/// A zone two hours east of UTC that never changes its clocks.
fn two_hours_east() -> FileZone {
    let change = OffsetChange { from: UNIX_EPOCH, utc_offset_minutes: 120 };
    FileZone::Other { name: "Africa/Tripoli".to_owned(), offsets: vec![change] }
}

fn in_zone(zone: FileZone) -> ImportChoices {
    ImportChoices { zone: Some(zone), ..ImportChoices::default() }
}

fn code(error: &CgmError) -> &str {
    match error {
        CgmError::TryAgain { code, .. }
        | CgmError::NeedsPerson { code, .. }
        | CgmError::Invalid { code, .. }
        | CgmError::Unavailable { code, .. }
        | CgmError::Internal { code, .. } => code,
    }
}

const HEADER: &str = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient \
    Info,Device Info,Source Device ID,Glucose Value (mg/dL),Insulin Value (u),Carb Value \
    (grams),Duration (hh:mm:ss),Glucose Rate of Change (mg/dL/min),Transmitter Time (Long \
    Integer),Transmitter ID\n";

/// A Clarity export of an hourly row: ten days two hours east of UTC, then three days an hour
/// further east.
fn travelled() -> Vec<u8> {
    let start: DateTime<Utc> = "2024-01-10T00:00:00Z".parse().unwrap();
    let row = |hour: i64| {
        let local = start + chrono::TimeDelta::hours(hour + if hour < 240 { 2 } else { 3 });
        let stamp = local.format("%Y-%m-%dT%H:%M:%S");
        format!("1,{stamp},EGV,,,,phone,110,,,,,{},TX\n", hour * 3_600)
    };
    (HEADER.to_owned() + &(0..312).map(row).collect::<String>()).into_bytes()
}

#[tokio::test]
async fn a_file_of_local_times_is_read_by_the_clock_the_app_names() {
    let file = format!("{HEADER}1,2024-01-10T08:00:00,EGV,,,,phone,110,,,,,100,TX\n");
    for (zone, expected) in [
        (FileZone::OfThisDevice, "2024-01-10T08:00:00Z"),
        (two_hours_east(), "2024-01-10T06:00:00Z"),
    ] {
        let app = App::new();
        let refused = app.cgm.import_file(file.clone().into(), None).await.unwrap_err();
        assert_eq!(code(&refused), "file-needs-answer");
        let report = app.cgm.import_file(file.clone().into(), Some(in_zone(zone))).await.unwrap();
        assert_eq!((report.stored, report.format), (1, FileFormat::DexcomClarity));
        let day = DateRange { first: "2024-01-10".to_owned(), last: "2024-01-10".to_owned() };
        assert_eq!((report.dates, app.cgm.dates().await.unwrap()), (Some(day.clone()), Some(day)));
        let latest = app.cgm.latest_reading("dexcom-clarity:phone".to_owned()).await.unwrap();
        assert_eq!(latest, Some(utc(expected)));
    }
}

#[tokio::test]
async fn a_clock_that_moved_is_told_and_the_answer_moves_the_readings() {
    let app = App::new();
    let import = async |choices| app.cgm.import_file(travelled(), choices).await.unwrap();
    let latest = async || app.cgm.latest_reading("dexcom-clarity:phone".to_owned()).await.unwrap();

    let report = import(Some(in_zone(two_hours_east()))).await;
    let [note] = report.clock_notes.as_slice() else { panic!("{}", report.clock_notes.len()) };
    assert_eq!((note.event, note.open), (ClockEvent::Moved, true));
    assert_eq!(note.at, "2024-01-20T03:00:00");
    assert_eq!(note.minutes_after - note.minutes_before, 60);
    assert!(note.explanation.contains("2024-01-20"), "{}", note.explanation);
    let before = latest().await.unwrap();

    let other = note.alternative_minutes[0];
    let moved = i64::from(note.minutes_after - other) * 60;
    let mut choices = in_zone(two_hours_east());
    choices.clock_answers = vec![ClockAnswer { at: note.at.clone(), utc_offset_minutes: other }];
    let told = import(Some(choices)).await;
    assert!(told.replaced > 0);
    assert_eq!(told.clock_notes[0].basis, ClockBasis::Told);
    assert!(!told.clock_notes[0].open);
    let seconds = |time: SystemTime| DateTime::<Utc>::from(time).timestamp();
    assert_eq!(seconds(latest().await.unwrap()) - seconds(before), moved);
}

#[tokio::test]
async fn low_on_a_device_of_an_unknown_model_needs_its_scale() {
    let app = App::new();
    let file = "time,value,unit,device,status\n\
        2024-05-01T08:15:00+02:00,,mg/dL,acme,low\n\
        2024-05-01T08:20:00+02:00,110,mg/dL,acme,ok\n";
    let refused = app.cgm.import_file(file.into(), None).await.unwrap_err();
    assert_eq!(code(&refused), "file-needs-answer");
    let scale = |lowest: &str, highest: &str| {
        let (lowest, highest) = (lowest.to_owned(), highest.to_owned());
        let scale = Scale { lowest, highest, unit: GlucoseUnit::MgPerDl };
        Some(ImportChoices { scale: Some(scale), ..ImportChoices::default() })
    };
    for bad in [scale("400", "40"), scale("forty", "400"), scale("40", "")] {
        let refused = app.cgm.import_file(file.into(), bad).await.unwrap_err();
        assert_eq!(code(&refused), "invalid-sensor");
    }
    let report = app.cgm.import_file(file.into(), scale("40", "400")).await.unwrap();
    assert_eq!(report.stored, 2);
    let day = DateRange { first: "2024-05-01".to_owned(), last: "2024-05-01".to_owned() };
    let summary = app.cgm.summary(day).await.unwrap();
    assert_eq!((summary.readings, summary.clipped), (2, 1));
    // "Low" counts 1 mg/dL below the scale.
    assert!((summary.mean_mg_dl - 74.5).abs() < 1e-9 && !summary.sufficient);
    assert!((summary.ranges.in_range - 50.0).abs() < 1e-9);
}

#[tokio::test]
async fn what_names_no_time_is_refused() {
    let app = App::new();
    let answer = |at: &str, minutes| {
        let answer = ClockAnswer { at: at.to_owned(), utc_offset_minutes: minutes };
        ImportChoices { clock_answers: vec![answer], ..ImportChoices::default() }
    };
    let no_offsets = FileZone::Other { name: String::new(), offsets: Vec::new() };
    for choices in [
        answer("yesterday", 60),
        answer("2024-01-20", 60),
        answer("2024-01-20T00:00:00", i32::MAX),
        in_zone(no_offsets),
    ] {
        let refused = app.cgm.import_file(travelled(), Some(choices)).await.unwrap_err();
        assert_eq!(code(&refused), "invalid-time");
    }
    for (first, last) in [("2024-05-02", "2024-05-01"), ("", ""), ("2024-5", "2024-05-01")] {
        let dates = DateRange { first: first.to_owned(), last: last.to_owned() };
        assert_eq!(code(&app.cgm.summary(dates).await.unwrap_err()), "invalid-time");
    }
}

/// Writes down that a reading's outcome is not known, as a lost answer does at last.
fn lose_an_outcome(database: &Path, id: store::ConnectionId) {
    let second = "2024-05-01T06:15:00Z".parse::<DateTime<Utc>>().unwrap().timestamp();
    let db = rusqlite::Connection::open(database).unwrap();
    let key: i64 = db
        .query_row("SELECT key FROM readings ORDER BY key LIMIT 1", [], |row| row.get(0))
        .unwrap();
    assert_eq!(store::ReadingKey::from_packed(key).unwrap().seconds(), second);
    db.execute(
        "INSERT INTO quarantine (connection, unit, key, version, outcome, unknown)
         VALUES (?, 0, ?, 0, '', 1)",
        [id.0, key],
    )
    .unwrap();
}

#[tokio::test]
async fn an_unknown_outcome_is_shown_until_the_person_dismisses_it_or_lets_it_go_again() {
    let app = App::new();
    let file = "time,value,unit\n2024-05-01T08:15:00+02:00,6.7,mmol/L\n";
    app.cgm.import_file(file.into(), None).await.unwrap();
    let id = Store::open(&app.database())
        .unwrap()
        .add_connection(
            "https://ehr.example/fhir",
            "p1",
            store::ConnectionState::Active,
            &ConnectionDetails::default(),
        )
        .unwrap();
    lose_an_outcome(&app.database(), id);
    let connection = ConnectionId::from(id);
    let [item] = &app.cgm.unknown_outcomes(connection).await.unwrap()[..] else { panic!() };
    assert_eq!(item.kind, ItemKind::Reading);
    assert_eq!(item.time, Some(utc("2024-05-01T06:15:00Z")));
    assert_eq!(app.cgm.dismiss_unknown(connection).await.unwrap(), 1);
    assert!(app.cgm.unknown_outcomes(connection).await.unwrap().is_empty());
    assert_eq!(app.cgm.dismiss_unknown(connection).await.unwrap(), 0);
    assert_eq!(app.cgm.retry_unknown(connection).await.unwrap(), 1);
    assert_eq!(app.cgm.retry_unknown(connection).await.unwrap(), 0);
}

struct Deaf;

impl HostObserver for Deaf {
    fn delivery_event(&self, _: DeliveryEvent) -> Result<(), HostError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_call_about_what_is_not_there_fails_by_one_code() {
    let App { cgm, folder: _folder } = App::new();
    let (connection, submission) = (ConnectionId { value: 7 }, SubmissionId { value: 7 });
    let (request, patience) = (SubmissionRequest::Ordered, Duration::from_secs(1));
    let missing = [
        ("cancel", cgm.cancel(submission).await.err()),
        ("verify", cgm.verify(submission, patience, Arc::new(Deaf), None).await.err()),
        ("fetch_patient", cgm.fetch_patient(connection).await.err()),
        ("confirm_patient", cgm.confirm_patient(connection).await.err()),
        ("disconnect", cgm.disconnect(connection).await.err()),
        ("orders", cgm.orders(connection).await.err()),
        ("refresh_orders", cgm.refresh_orders(connection).await.err()),
        ("preview", cgm.preview(connection, request.clone()).await.err()),
        (
            "submit_now",
            cgm.submit_now(connection, request, patience, Arc::new(Deaf), None).await.err(),
        ),
        ("quarantine", cgm.quarantine(connection).await.err()),
        ("retry_refused", cgm.retry_refused(connection).await.err()),
        ("unknown_outcomes", cgm.unknown_outcomes(connection).await.err()),
        ("retry_unknown", cgm.retry_unknown(connection).await.err()),
        ("dismiss_unknown", cgm.dismiss_unknown(connection).await.err()),
    ];
    let found = missing.each_ref().map(|(call, error)| (*call, error.as_ref().map(code)));
    assert_eq!(found, missing.each_ref().map(|(call, _)| (*call, Some("not-found"))));
}

#[tokio::test]
async fn a_host_hears_each_step_and_may_fail_over_it() {
    let heard = Arc::new(Heard::default());
    let app = App::with_log(Some(Arc::clone(&heard) as Arc<dyn HostLogSink>));
    let file = "time,value,unit\n2024-05-01T08:15:00+02:00,6.7,mmol/L\n";
    app.cgm.import_file(file.into(), None).await.unwrap();
    let entries = heard.0.lock().unwrap();
    let imported = entries.iter().find(|entry| entry.step == "imported").unwrap();
    assert_eq!(imported.level, LogLevel::Info);
    let stored = LogField { name: "stored".to_owned(), value: LogValue::Count { count: 1 } };
    assert!(imported.fields.contains(&stored), "{imported:?}");
    assert!(imported.line.starts_with("imported ") && imported.line.contains(" stored=1"));
}

#[tokio::test]
async fn the_log_of_an_ingest_counts_what_its_report_counts() {
    let heard = Arc::new(Heard::default());
    let app = App::with_log(Some(Arc::clone(&heard) as Arc<dyn HostLogSink>));
    let reading = |value: &str| Reading {
        sensor: "acme:4711".to_owned(),
        time: utc("2024-05-01T08:15:00Z"),
        utc_offset_minutes: None,
        measurement: Measurement::Value { value: value.to_owned(), unit: GlucoseUnit::MgPerDl },
        record_key: None,
    };
    // One that is no reading, and one whose sensor nobody registered.
    let given = vec![reading("much"), reading("100")];
    let report = app.cgm.ingest(given).await.unwrap();
    assert_eq!(report.rejected.len(), 2);
    let entries = heard.0.lock().unwrap();
    let ingested = entries.iter().find(|entry| entry.step == "ingested").unwrap();
    let rejected = LogField { name: "rejected".to_owned(), value: LogValue::Count { count: 2 } };
    assert!(ingested.fields.contains(&rejected), "{ingested:?}");
}

#[test]
fn a_field_of_the_log_keeps_what_it_is() {
    use crate::environment::LogValue as Value;
    let wait = Duration::from_millis(1500);
    for (value, expected) in [
        (Value::Id(-7), LogValue::Id { id: -7 }),
        (Value::Count(u64::MAX), LogValue::Count { count: i64::MAX }),
        (Value::Status(503), LogValue::Status { status: 503 }),
        (Value::Word("busy"), LogValue::Word { word: "busy".to_owned() }),
        (Value::Duration(wait), LogValue::Lasting { duration: wait }),
    ] {
        assert_eq!(LogValue::from(value), expected);
    }
}

#[test]
fn a_record_of_the_person_prints_its_name_alone() {
    let note = ClockNote {
        at: "2024-01-20T03:00:00".to_owned(),
        until: None,
        event: ClockEvent::Moved,
        minutes_before: 120,
        minutes_after: 180,
        alternative_minutes: vec![60],
        basis: ClockBasis::LastStretch,
        open: true,
        explanation: "taken as UTC+03:00".to_owned(),
    };
    let answer = ClockAnswer { at: note.at.clone(), utc_offset_minutes: 60 };
    let unknown = UnknownItem { kind: ItemKind::Reading, time: Some(UNIX_EPOCH) };
    let order = StandingOrder {
        id: "order-4711".to_owned(),
        first_date: None,
        last_date: None,
        schedules: Vec::new(),
    };
    assert_eq!(format!("{note:?} {note}"), "ClockNote(…) ClockNote(…)");
    assert_eq!(format!("{answer:?} {answer}"), "ClockAnswer(…) ClockAnswer(…)");
    assert_eq!(format!("{unknown:?} {unknown}"), "UnknownItem(…) UnknownItem(…)");
    let orders = Orders { active: vec![order], refused: Vec::new() };
    assert_eq!(format!("{orders:?}"), "Orders { active: [StandingOrder(…)], refused: [] }");
}

#[test]
fn a_failed_run_says_what_to_do_as_the_error_of_a_call_does() {
    let retry_at = Some(UNIX_EPOCH + Duration::from_hours(476_256));
    let code = "receiver-unavailable".to_owned();
    let error = CgmError::TryAgain { code, explanation: "later".to_owned(), retry_at };
    let RunStatus::Failed { kind, code, explanation, retry_at: told } = error.into() else {
        panic!("a failure is no service")
    };
    assert_eq!((kind, code.as_str()), (FailureKind::TryAgain, "receiver-unavailable"));
    assert_eq!((explanation.as_str(), told), ("later", retry_at));
}

#[test]
fn a_status_keeps_its_instant_reason_and_state() {
    let until: DateTime<Utc> = "2024-05-01T08:15:00Z".parse().unwrap();
    let reason = crate::outcome::WaitReason::LookUp;
    let waiting = crate::OutcomeStatus::Waiting { until, reason };
    let blocked = crate::OutcomeStatus::Blocked(crate::ConnectionState::NeedsConsent);
    let state = ConnectionState::NeedsConsent;
    assert_eq!(
        OutcomeStatus::from(waiting),
        OutcomeStatus::Waiting { until: until.into(), reason: WaitReason::LookUp }
    );
    assert_eq!(OutcomeStatus::from(blocked), OutcomeStatus::Blocked { state });
    assert_eq!(OrderRefusal::from(crate::errors::OrderError::Over), OrderRefusal::NotInForce);
}
