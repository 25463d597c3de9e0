//! A real person's ninety days, from the maker's export into the clinic's record.

use crate::world::{AMY, MASS, NO_WAIT, SUMMARY, SUMMARY_ENTRIES, World};
use crate::zone::zone;
use cgm_submitter::environment::Clock;
use cgm_submitter::glucose::{GlucoseUnit, Reading, SensorKey, Window};
use cgm_submitter::import::ClockAnswer;
use cgm_submitter::store::{ConnectionState, Store};
use cgm_submitter::{
    Connection, ImportChoices, ImportReport, OutcomeStatus, SubmissionRequest, Submitter,
};
use chrono::{DateTime, FixedOffset, NaiveDateTime};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::path::PathBuf;

const READINGS: u64 = 25_340;
const LOWS: usize = 166;
const DEVICES: u64 = 1;

fn file() -> Vec<u8> {
    let folder =
        std::env::var("CGM_SAMPLES_DIR").unwrap_or_else(|_| "../shared/samples".to_owned());
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder).join("dexcom_clarity_90d_real.csv");
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: set CGM_SAMPLES_DIR", path.display()))
}

/// The file's readings as anybody would read them: transmitter and tick, stamp, value.
fn rows(file: &[u8]) -> Vec<((String, i64), NaiveDateTime, String)> {
    let text = String::from_utf8(file.to_vec()).unwrap();
    let cells = |line: &str| {
        line.split(',').map(|cell| cell.trim_matches('"').to_owned()).collect::<Vec<_>>()
    };
    let of = |line| {
        let cells = cells(line);
        (cells[2] == "EGV").then(|| {
            let stamp = NaiveDateTime::parse_from_str(&cells[1], "%Y-%m-%dT%H:%M:%S").unwrap();
            ((cells[13].clone(), cells[12].parse().unwrap()), stamp, cells[7].clone())
        })
    };
    let mut rows: Vec<_> = text.lines().skip(1).filter_map(of).collect();
    rows.sort();
    rows
}

/// A reading at the clinic, its number as written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Held<'a> {
    effective_date_time: &'a str,
    #[serde(borrow)]
    value_quantity: Quantity<'a>,
    device: Option<Reference<'a>>,
}

#[derive(Deserialize)]
struct Quantity<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
    comparator: Option<&'a str>,
    code: &'a str,
}

#[derive(Deserialize)]
struct Reference<'a> {
    reference: &'a str,
}

async fn import_and_connect(
    world: &World,
    app: &Submitter,
    file: Vec<u8>,
) -> (ImportReport, Connection) {
    let bucharest = zone(chrono_tz::Europe::Bucharest).whole(world.clock.now()).unwrap();
    let report = app.import(file, Some(bucharest)).await.unwrap();
    let connection = world.authorise(app, AMY).await.unwrap();
    assert_eq!(connection.state, ConnectionState::Unconfirmed);
    assert_eq!(connection.patient.name.as_deref(), Some("Amy Shaw"));
    app.confirm_patient(connection.id).await.unwrap();
    (report, connection)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninety_real_days_arrive_once_digit_for_digit_and_never_twice() {
    let world = World::new().await.with_file_vault().living_in(zone(chrono_tz::Europe::Bucharest));
    let file = file();
    let app = world.app();
    let (report, connection) = import_and_connect(&world, &app, file.clone()).await;
    assert_eq!((report.stored as u64, report.rejected.len()), (READINGS, 0));
    let request =
        SubmissionRequest::Own { dates: report.dates.unwrap(), unit: GlucoseUnit::MgPerDl };

    let preview = app.preview(connection.id, request).await.unwrap();
    assert_eq!(preview.readings_to_send(), READINGS);
    assert_eq!(preview.parts[0].entries_to_send, READINGS + DEVICES + SUMMARY_ENTRIES);
    assert!(
        world.clinic.resources(AMY, "Observation").unwrap().is_empty(),
        "a preview sends nothing"
    );

    let outcome = app.submit_now(connection.id, request, NO_WAIT, |_| ()).await.unwrap();
    assert!(outcome.is_complete() && outcome.left_out.is_empty(), "{:?}", outcome.status);
    let readings = outcome.tally.readings;
    assert_eq!((readings.accepted, readings.already_there, readings.refused), (READINGS, 0, 0));
    assert_eq!(outcome.tally.entries.accepted, READINGS + DEVICES + SUMMARY_ENTRIES);
    world.tape.assert_only_same_bytes_again();
    assert_what_the_clinic_holds(&world, &file);

    // Again: there is nothing to say.
    let before = world.tape.requests();
    let again = app.submit_now(connection.id, request, NO_WAIT, |_| ()).await.unwrap();
    assert_eq!((again.status, again.tally.entries.total()), (OutcomeStatus::Done, 0));
    assert_eq!(world.tape.requests(), before, "a second submission sends no request");
    assert_eq!(app.preview(connection.id, request).await.unwrap().parts[0].entries_to_send, 0);

    // A new phone that knows nothing of the old one.
    let new_phone = world.app_on("new-phone.db");
    let (_, connection) = import_and_connect(&world, &new_phone, file).await;
    let outcome = new_phone.submit_now(connection.id, request, NO_WAIT, |_| ()).await.unwrap();
    let all = outcome.tally.entries;
    assert_eq!((all.accepted, all.already_there), (0, READINGS + DEVICES + SUMMARY_ENTRIES));
    assert!(outcome.is_complete());
    world.assert_readings(usize::try_from(READINGS).unwrap());
    assert_eq!(world.holds("Device").len() as u64, DEVICES);
    assert_eq!(world.holds(SUMMARY).len(), 1);
}

fn assert_what_the_clinic_holds(world: &World, file: &[u8]) {
    world.assert_readings(usize::try_from(READINGS).unwrap());
    let texts = world.clinic.resource_texts(AMY, MASS).unwrap();
    let mut all: Vec<(DateTime<FixedOffset>, String)> = Vec::new();
    let mut devices = HashSet::new();
    let mut lows = 0;
    for text in &texts {
        let held: Held<'_> = serde_json::from_str(text).unwrap();
        let quantity = &held.value_quantity;
        assert_eq!(quantity.code, "mg/dL");
        let value = match quantity.comparator {
            None => quantity.value.get().to_owned(),
            Some("<") => {
                lows += 1;
                assert_eq!(quantity.value.get(), "40");
                "Low".to_owned()
            }
            Some(other) => panic!("no reading of the file is {other}"),
        };
        let device = held.device.as_ref().unwrap().reference;
        let at = DateTime::parse_from_rfc3339(held.effective_date_time).unwrap();
        devices.insert(device);
        all.push((at, value));
    }
    assert_eq!(lows, LOWS);

    // In order of time they are the file's in order of the transmitter's tick, and every local time
    // is the row's own, to the second.
    all.sort();
    let held = all.iter().map(|(at, value)| (at.naive_local(), value));
    let rows = rows(file);
    assert!(held.eq(rows.iter().map(|(_, stamp, value)| (*stamp, value))), "digit for digit");
    assert_eq!(devices.len() as u64, DEVICES);
}

/// The real file's rows with stamps in this range.
fn part(file: &[u8], stamps: std::ops::Range<&str>) -> Vec<u8> {
    let text = std::str::from_utf8(file).unwrap();
    let kept = text.split_inclusive('\n').filter(|line| {
        let stamp = line.split('"').nth(3).filter(|stamp| stamp.starts_with("20"));
        stamp.is_none_or(|stamp| stamps.contains(&stamp))
    });
    kept.collect::<String>().into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fuller_export_corrects_what_a_receiver_has_of_a_cut_that_stood_elsewhere() {
    let world = World::new().await.living_in(zone(chrono_tz::Europe::Bucharest));
    let file = file();
    let app = world.app();
    // Two days abroad alone: nothing in them speaks against the zone, and they are sent so.
    let abroad = part(&file, "2024-05-17".."2024-05-19");
    let (cut, connection) = import_and_connect(&world, &app, abroad).await;
    assert!(cut.stored > 500 && cut.clock_notes.is_empty());
    let request = SubmissionRequest::Own {
        dates: "2024-05-17..2024-05-19".parse().unwrap(),
        unit: GlucoseUnit::MgPerDl,
    };
    let submit = async || app.submit_now(connection.id, request, NO_WAIT, |_| ()).await.unwrap();
    assert_eq!(submit().await.tally.readings.accepted, cut.stored as u64);

    // The days before show that the clock was an hour behind.
    let zone = zone(chrono_tz::Europe::Bucharest).whole(world.clock.now()).unwrap();
    let fuller = app.import(part(&file, "2024-03-30".."2024-05-19"), zone.clone()).await.unwrap();
    assert_eq!((fuller.corrected, fuller.rejected.len()), (cut.stored, 0));
    assert_eq!(fuller.clock_notes.len(), 1);
    submit().await;

    // Each of them is at the receiver as it was, and once more an hour later, which says what it
    // replaces; its local time is that of its row.
    let corrected: Vec<_> =
        world.holds(MASS).into_iter().filter(|held| held["status"] == "corrected").collect();
    assert_eq!(corrected.len(), cut.stored);
    assert!(corrected.iter().all(|held| {
        let time = held["effectiveDateTime"].as_str().unwrap();
        time.ends_with("+02:00") && held["extension"].as_array().is_some_and(|all| all.len() == 1)
    }));

    // The same again changes nothing, and has nothing to send.
    let again = app.import(part(&file, "2024-05-17".."2024-05-19"), zone).await.unwrap();
    assert_eq!((again.already_there, again.corrected, again.replaced), (cut.stored, 0, 0));
    assert_eq!(submit().await.tally.requests, 0);
}

#[tokio::test]
async fn what_the_host_says_of_the_clock_is_kept_for_later_imports() {
    let world = World::new().await.living_in(zone(chrono_tz::Europe::Bucharest));
    let app = world.app();
    let zone = zone(chrono_tz::Europe::Bucharest).whole(world.clock.now()).unwrap();
    let cut = part(&file(), "2024-06-03".."2024-06-14");
    let first = app.import(cut.clone(), zone.clone()).await.unwrap();
    let [note] = first.clock_notes.as_slice() else { panic!("one note") };
    assert!(note.open);
    let answer = ClockAnswer { at: note.at, offset: note.alternatives[0] };
    let choices =
        ImportChoices { clock_answers: vec![answer], ..ImportChoices::from(zone.clone()) };
    let answered = app.import(cut.clone(), choices).await.unwrap();
    assert_eq!((answered.replaced, answered.rejected.len()), (first.stored, 0));
    // A later import says nothing of it: the answer stands.
    let later = app.import(cut, zone).await.unwrap();
    assert_eq!((later.already_there, later.replaced), (first.stored, 0));
    assert!(later.clock_notes.iter().all(|note| !note.open));
}

/// What a database holds of the file's sensor: instant, offset and record of each reading.
fn stored(world: &World, database: &str) -> Vec<(i64, i64, String)> {
    let store = Store::open(&world.database(database)).unwrap();
    let sensor = SensorKey::new("dexcom-clarity:android G6").unwrap();
    let all = Window::from_unix(0, i64::MAX).unwrap();
    let readings = store.readings_within(&sensor, all).unwrap();
    let told = |reading: &Reading| {
        let record = reading.record_key().unwrap().text().into_owned();
        (reading.seconds(), reading.offset().unwrap().seconds(), record)
    };
    readings.iter().map(told).collect()
}

#[tokio::test]
async fn importing_the_whole_leaves_a_stored_cut_as_the_whole_alone_would() {
    let world = World::new().await.living_in(zone(chrono_tz::Europe::Bucharest));
    let bucharest = zone(chrono_tz::Europe::Bucharest).whole(world.clock.now()).unwrap();
    let file = file();
    let cut = part(&file, "2024-05-21".."2024-06-01");
    let app = world.app_on("cut.db");
    let first = app.import(cut, bucharest.clone()).await.unwrap();
    let mended = app.import(file.clone(), bucharest.clone()).await.unwrap();
    assert_eq!((mended.replaced, mended.rejected.len()), (first.stored, 0));
    drop(app);
    let app = world.app_on("whole.db");
    app.import(file, bucharest).await.unwrap();
    drop(app);
    let whole = stored(&world, "whole.db");
    assert_eq!(whole.len() as u64, READINGS);
    assert!(stored(&world, "cut.db") == whole);
}
