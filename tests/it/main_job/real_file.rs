//! A real person's ninety days, from the maker's export into the clinic's record.

use crate::world::{AMY, MASS, NO_WAIT, SUMMARY, SUMMARY_ENTRIES, World};
use crate::zone::zone;
use cgm_submitter::environment::Clock;
use cgm_submitter::glucose::GlucoseUnit;
use cgm_submitter::store::ConnectionState;
use cgm_submitter::{Connection, ImportReport, OutcomeStatus, SubmissionRequest, Submitter};
use chrono::{DateTime, FixedOffset, NaiveDateTime};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

const READINGS: u64 = 25_340;
const LOWS: usize = 166;
const DEVICES: u64 = 2;

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
    assert_eq!(world.holds("Device").len(), 2);
    assert_eq!(world.holds(SUMMARY).len(), 1);
}

fn assert_what_the_clinic_holds(world: &World, file: &[u8]) {
    world.assert_readings(usize::try_from(READINGS).unwrap());
    let texts = world.clinic.resource_texts(AMY, MASS).unwrap();
    let mut by_device: BTreeMap<&str, Vec<(DateTime<FixedOffset>, String)>> = BTreeMap::new();
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
        by_device.entry(device).or_default().push((at, value));
    }
    assert_eq!(lows, LOWS);

    // One device a transmitter; its readings in order of time are the file's in order of the
    // transmitter's tick.
    let mut by_transmitter: BTreeMap<String, Vec<(NaiveDateTime, String)>> = BTreeMap::new();
    for ((transmitter, _), stamp, value) in rows(file) {
        by_transmitter.entry(transmitter).or_default().push((stamp, value));
    }
    assert_eq!(by_device.len(), by_transmitter.len());
    let mut matched = HashSet::new();
    for (transmitter, rows) in &by_transmitter {
        let (device, held) =
            by_device.iter_mut().find(|(_, held)| held.len() == rows.len()).unwrap();
        held.sort();
        let values = |pair: &(DateTime<FixedOffset>, String)| pair.1.clone();
        let held_values: Vec<_> = held.iter().map(values).collect();
        let row_values: Vec<_> = rows.iter().map(|(_, value)| value.clone()).collect();
        assert!(held_values == row_values, "{transmitter}: every value, digit for digit, in order");
        // Instants follow the transmitter's count, which drifts against the phone's clock by up to
        // two minutes.
        let far = rows
            .iter()
            .zip(held.iter())
            .filter(|((stamp, _), (at, _))| (at.naive_local() - *stamp).num_seconds().abs() > 120);
        assert_eq!(far.count(), 0, "{transmitter}: every local time is the file's");
        matched.insert(*device);
    }
    assert_eq!(matched.len(), by_device.len());
}
