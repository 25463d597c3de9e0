//! What a clinic's standing orders ask for: that, over those days, in that unit, once; and nothing
//! without an order that runs.

use crate::world::{
    AMY, BEN, MASS, MOLAR, NO_WAIT, SENSOR, SUMMARY, World, mg, molar, reading_of, sensor,
};
use crate::zone::zone;
use cgm_submitter::glucose::{Measurement, Reading, SensorKey};
use cgm_submitter::orders::{OrderError, OrderStatus, PeriodError};
use cgm_submitter::outcome::LeftOut;
use cgm_submitter::store::ConnectionId;
use cgm_submitter::{Error, OutcomeStatus, SubmissionOutcome, SubmissionRequest, Submitter};
use chrono::{DateTime, TimeDelta, Utc};
use sandbox_ehr::Sandbox;
use serde_json::{Value, json};

const PROFILES: &str = "http://hl7.org/fhir/uv/cgm/StructureDefinition";
const MASS_READINGS: &str = "cgm-sensor-reading-mass-per-volume";
const MOLAR_READINGS: &str = "cgm-sensor-reading-moles-per-volume";

/// A standing order: every so often, so far back, these profiles.
fn order(id: &str, period: (u32, &str), lookback: Option<(u32, &str)>, profiles: &[&str]) -> Value {
    let quantity = |(value, code): (u32, &str)| {
        json!({"value": value,
        "system": "http://unitsofmeasure.org", "code": code})
    };
    let mut schedule = vec![json!({"url": "submissionPeriod", "valueQuantity": quantity(period)})];
    schedule.extend(
        lookback.map(|back| json!({"url": "lookbackPeriod", "valueQuantity": quantity(back)})),
    );
    let profile = |name: &&str| {
        json!({"url": "submissionDataProfile",
        "valueCanonical": format!("{PROFILES}/{name}")})
    };
    schedule.extend(profiles.iter().map(profile));
    let mut order = bare_order(id);
    order["extension"] =
        json!([{"url": format!("{PROFILES}/data-submission-schedule"), "extension": schedule}]);
    order
}

/// A standing order without a schedule.
fn bare_order(id: &str) -> Value {
    json!({
        "resourceType": "ServiceRequest", "id": id, "status": "active", "intent": "order",
        "code": {"coding": [{
            "system": "http://hl7.org/fhir/uv/cgm/CodeSystem/cgm",
            "code": "cgm-data-submission-standing-order",
        }]},
        "subject": {"reference": format!("Patient/{AMY}")},
    })
}

/// The local noon this many days before the clock's 1 July.
fn noon(days_ago: i64) -> DateTime<Utc> {
    "2024-07-01T12:00:00Z".parse::<DateTime<Utc>>().unwrap() - TimeDelta::days(days_ago)
}

fn at(time: DateTime<Utc>, measurement: Measurement) -> Reading {
    Reading::new(SensorKey::new(SENSOR).unwrap(), time, None, measurement)
}

/// An app with these readings, connected to a clinic with these orders.
async fn with_orders(
    world: &World,
    orders: &[Value],
    readings: Vec<Reading>,
) -> (Submitter, ConnectionId) {
    world.clinic.set_orders(AMY, orders).unwrap();
    let app = world.app();
    app.register_sensor(sensor(SENSOR)).await.unwrap();
    assert!(app.ingest(readings).await.unwrap().rejected.is_empty());
    let connection = world.connect(&app).await;
    app.refresh_orders(connection).await.unwrap();
    (app, connection)
}

async fn submit(app: &Submitter, connection: ConnectionId) -> SubmissionOutcome {
    let outcome =
        app.submit_now(connection, SubmissionRequest::Ordered, NO_WAIT, |_| ()).await.unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Done);
    outcome
}

/// Date and number, as written, of what the clinic holds under a code.
fn held(world: &World, code: &str) -> Vec<(String, String)> {
    let mut held: Vec<_> = world
        .clinic
        .resource_texts(AMY, code)
        .unwrap()
        .iter()
        .map(|text| {
            let after = |key: &str| {
                text.split(key).nth(1).unwrap().split(['"', ',', '}']).next().unwrap().to_owned()
            };
            let value = text
                .split("\"valueQuantity\":")
                .nth(1)
                .unwrap()
                .split("\"value\":")
                .nth(1)
                .unwrap();
            let number = value.split([',', '}']).next().unwrap().to_owned();
            (after("\"effectiveDateTime\":\"").chars().take(10).collect(), number)
        })
        .collect();
    held.sort();
    held
}

#[tokio::test]
async fn an_order_about_another_patient_is_refused_and_shown_and_sends_nothing() {
    let world = World::new().await;
    let mut foreign = order("not-amys", (2, "wk"), None, &[MASS_READINGS]);
    foreign["subject"]["reference"] = json!(format!("Patient/{BEN}"));
    let page =
        json!({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": foreign}]})
            .to_string();
    world.tape.answer_at("/ServiceRequest", 200, page);
    let app = world.app();
    crate::world::stock(&app, 30).await;
    let connection = world.connect(&app).await;
    let orders = app.refresh_orders(connection).await.unwrap();
    assert!(orders.active.is_empty());
    assert_eq!(orders.refused.len(), 1);
    assert_eq!(orders.refused[0].reason, OrderError::OtherPatient);
    assert_eq!(orders.refused[0].id.as_ref().unwrap().as_str(), "not-amys");
    let error =
        app.submit_now(connection, SubmissionRequest::Ordered, NO_WAIT, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::NoOrder), "{error}");
    assert!(world.tape.bundles().is_empty());
}

#[tokio::test]
async fn only_an_active_order_with_a_schedule_makes_anything_be_sent() {
    let full = || order("o", (2, "wk"), None, &[MASS_READINGS]);
    let with_status = |status: &str| {
        let mut order = full();
        order["status"] = json!(status);
        order
    };
    let mut proposal = full();
    proposal["intent"] = json!("proposal");
    let cases = [
        vec![],
        vec![bare_order("o")],
        vec![with_status("revoked")],
        vec![with_status("on-hold")],
        vec![with_status("completed")],
        vec![proposal],
        vec![order("o", (0, "wk"), None, &[MASS_READINGS])],
        vec![order("o", (2, "wk"), None, &[])],
    ];
    let world = World::new().await;
    let (app, connection) = with_orders(&world, &[full()], vec![at(noon(1), mg(100))]).await;
    for orders in cases {
        world.clinic.set_orders(AMY, &orders).unwrap();
        let read = app.refresh_orders(connection).await.unwrap();
        assert!(read.active.is_empty(), "{orders:?}");
        for asked in [app.preview(connection, SubmissionRequest::Ordered).await.map(drop), {
            app.submit_now(connection, SubmissionRequest::Ordered, NO_WAIT, |_| ()).await.map(drop)
        }] {
            assert!(matches!(asked, Err(Error::NoOrder)), "{orders:?}");
        }
        world.later(&app).await;
    }
    assert!(world.tape.bundles().is_empty());
    // A person may send what they choose all the same.
    assert_eq!(crate::world::submit_all(&app, connection).await.tally.entries.refused, 0);
}

#[tokio::test]
async fn an_order_does_not_run_after_its_time_and_is_shown_with_its_reason() {
    let world = World::new().await;
    let during = |start: &str, end: &str| {
        let mut order = order(end, (2, "wk"), None, &[MASS_READINGS]);
        order["occurrencePeriod"] = json!({"start": start, "end": end});
        order
    };
    let orders = [
        during("2023-01-01", "2024-06-30"),
        during("2024-01-01", "2024-07-01"),
        during("2024-07-02", "2024-12-31"),
    ];
    let (app, connection) = with_orders(&world, &orders, vec![at(noon(1), mg(100))]).await;
    let said = |orders: &cgm_submitter::order::Orders| {
        let running: Vec<_> = orders.active.iter().map(|one| one.id.as_str().to_owned()).collect();
        let refused = orders.refused.iter();
        let refused: Vec<_> =
            refused.map(|one| (one.id.as_ref().unwrap().as_str().to_owned(), one.reason)).collect();
        (running, refused)
    };
    let read = said(&app.orders(connection).await.unwrap());
    assert_eq!(read.0, ["2024-07-01"]);
    let expected = [("2024-06-30", OrderError::Over), ("2024-12-31", OrderError::NotYet)];
    assert_eq!(read.1, expected.map(|(id, reason)| (id.to_owned(), reason)));
    // The next day brings another order, without asking the clinic again.
    world.clock.pass(TimeDelta::days(1));
    assert_eq!(said(&app.orders(connection).await.unwrap()).0, ["2024-12-31"]);
}

#[tokio::test]
async fn orders_that_are_refused_are_kept_as_they_came_and_those_that_are_gone_run_no_more() {
    let world = World::new().await;
    let mut paused = order("paused", (2, "wk"), None, &[MASS_READINGS]);
    paused["status"] = json!("on-hold");
    let bad = order("bad", (0, "wk"), None, &[MASS_READINGS]);
    let good = order("good", (2, "wk"), None, &[MASS_READINGS]);
    let orders = [paused, bad, good];
    let (app, connection) = with_orders(&world, &orders, vec![at(noon(1), mg(100))]).await;
    let refreshed = app.refresh_orders(connection).await.unwrap();
    let kept = app.orders(connection).await.unwrap();
    assert_eq!(refreshed, kept);
    assert_eq!((kept.active.len(), kept.refused.len()), (1, 2));
    assert_eq!(kept.refused[0].reason, OrderError::NotActive(OrderStatus::OnHold));
    assert_eq!(kept.refused[1].reason, OrderError::Period(PeriodError::NotPositive));
    assert_eq!(kept.refused[1].schedule, Some(0));

    world.clinic.set_orders(AMY, &orders[..1]).unwrap();
    app.refresh_orders(connection).await.unwrap();
    let kept = app.orders(connection).await.unwrap();
    assert_eq!((kept.active.len(), kept.refused.len()), (0, 1));

    // A search that failed in part, or has no end, changes nothing.
    world.clinic.set_orders(AMY, &orders).unwrap();
    let failed = json!({"resource": {"resourceType": "OperationOutcome",
        "issue": [{"severity": "error"}]}, "search": {"mode": "outcome"}});
    let circle = json!([{"relation": "next", "url": "ServiceRequest?page=2"}]);
    for (links, entries) in [(json!([]), json!([failed])), (circle, json!([]))] {
        let page =
            json!({"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries});
        world.tape.answer_at("/ServiceRequest", 200, page.to_string());
        let error = app.refresh_orders(connection).await.unwrap_err();
        assert!(matches!(error, Error::Unreadable { what: "orders", .. }), "{error}");
        assert_eq!(app.orders(connection).await.unwrap(), kept);
    }
    world.tape.no_rule();
    assert_eq!(app.refresh_orders(connection).await.unwrap(), refreshed);
}

#[tokio::test]
async fn readings_go_in_the_persons_own_unit_where_the_order_lists_it_and_converted_where_not() {
    let both = [MOLAR_READINGS, MASS_READINGS];
    let cases: [(&[&str], Measurement, &str, &str); 6] = [
        (&[MASS_READINGS], molar("6.7"), MASS, "121"),
        (&[MOLAR_READINGS], mg(121), MOLAR, "6.7"),
        (&[MOLAR_READINGS], molar("6.7"), MOLAR, "6.7"),
        (&both, molar("6.70"), MOLAR, "6.70"),
        (&both, mg(121), MASS, "121"),
        (&[MASS_READINGS], mg(99), MASS, "99"),
    ];
    for (profiles, measurement, code, expected) in cases {
        let world = World::new().await;
        let orders = [order("o", (2, "wk"), None, profiles)];
        let (app, connection) = with_orders(&world, &orders, vec![at(noon(1), measurement)]).await;
        assert_eq!(submit(&app, connection).await.tally.entries.accepted, 1, "{expected}: once");
        assert_eq!(held(&world, code), [("2024-06-30".to_owned(), expected.to_owned())]);
        let other = if code == MASS { MOLAR } else { MASS };
        assert!(world.holds(other).is_empty());
        assert_eq!(submit(&app, connection).await.tally.requests, 0);
    }
}

#[tokio::test]
async fn digits_arrive_as_they_came() {
    let world = World::new().await;
    let orders = [order("o", (2, "wk"), None, &[MOLAR_READINGS])];
    let texts = ["5.60", "6.7", "10.05", "7", "12.345"];
    let readings = texts.iter().zip(1..).map(|(text, days)| at(noon(days), molar(text))).collect();
    let (app, connection) = with_orders(&world, &orders, readings).await;
    submit(&app, connection).await;
    let mut arrived: Vec<_> = held(&world, MOLAR).into_iter().map(|(_, number)| number).collect();
    arrived.reverse();
    assert_eq!(arrived, texts);
}

#[tokio::test]
async fn a_lookback_means_so_many_local_days_of_which_today_is_the_last() {
    let world = World::new().await;
    let profiles = ["cgm-summary", MASS_READINGS, "cgm-device"];
    let orders = [order("o", (2, "wk"), Some((7, "d")), &profiles)];
    let readings = (0..20).map(|days| at(noon(days) - TimeDelta::hours(6), mg(100))).collect();
    let (app, connection) = with_orders(&world, &orders, readings).await;
    let outcome = submit(&app, connection).await;
    assert!(outcome.is_complete() && outcome.left_out.is_empty());
    let dates: Vec<_> = held(&world, MASS).into_iter().map(|(date, _)| date).collect();
    let mut expected: Vec<_> = (25..=30).map(|day| format!("2024-06-{day}")).collect();
    expected.push("2024-07-01".to_owned());
    assert_eq!(dates, expected);
    let period = &world.holds(SUMMARY)[0]["effectivePeriod"];
    assert_eq!(*period, json!({"start": "2024-06-25", "end": "2024-07-01"}));
}

#[tokio::test]
async fn without_a_lookback_it_is_one_period_and_for_a_summary_at_least_fourteen_days() {
    let world = World::new().await;
    let orders = [order("o", (1, "d"), None, &["cgm-summary", MASS_READINGS])];
    let readings = (0..20).map(|days| at(noon(days) - TimeDelta::hours(6), mg(100))).collect();
    let (app, connection) = with_orders(&world, &orders, readings).await;
    submit(&app, connection).await;
    assert_eq!(held(&world, MASS), [("2024-07-01".to_owned(), "100".to_owned())]);
    let period = &world.holds(SUMMARY)[0]["effectivePeriod"];
    assert_eq!(*period, json!({"start": "2024-06-18", "end": "2024-07-01"}));
}

#[tokio::test]
async fn days_begin_and_end_where_the_person_lives() {
    let world = World::new().await.living_in(zone(chrono_tz::America::New_York));
    let orders = [order("o", (1, "d"), Some((2, "d")), &[MASS_READINGS])];
    // Yesterday and today in New York: from 04:00 UTC on.
    let cases = [("06-30T03:55", 1), ("06-30T04:00", 2), ("07-01T03:55", 3), ("07-01T04:00", 4)];
    let readings = cases
        .map(|(time, n)| at(format!("2024-{time}:00Z").parse().unwrap(), mg(100 + n)))
        .to_vec();
    let (app, connection) = with_orders(&world, &orders, readings).await;
    submit(&app, connection).await;
    let expected = [("2024-06-30", "102"), ("2024-06-30", "103"), ("2024-07-01", "104")];
    assert_eq!(held(&world, MASS), expected.map(|(date, number)| (date.into(), number.into())));
}

#[tokio::test]
async fn two_orders_on_the_same_data_do_not_send_it_twice_and_all_pages_are_read() {
    let world = World::with(Sandbox::builder().page_size(1)).await;
    let orders = [
        order("a", (2, "wk"), Some((7, "d")), &[MASS_READINGS, "cgm-device"]),
        order("b", (1, "mo"), Some((10, "d")), &[MASS_READINGS, "cgm-device"]),
        order("c", (2, "wk"), Some((7, "d")), &[MASS_READINGS, "cgm-device"]),
    ];
    let readings = (1..15).map(|days| at(noon(days), mg(100))).collect();
    let (app, connection) = with_orders(&world, &orders, readings).await;
    assert_eq!(app.orders(connection).await.unwrap().active.len(), 3);
    let outcome = submit(&app, connection).await;
    assert_eq!((outcome.tally.entries.accepted, outcome.tally.entries.already_there), (9 + 1, 0));
    world.assert_readings(9);
    world.tape.assert_only_same_bytes_again();
}

#[tokio::test]
async fn an_order_that_changes_changes_what_is_sent() {
    let world = World::new().await;
    let narrow = [order("o", (2, "wk"), Some((3, "d")), &[MASS_READINGS])];
    let wide = [order("o", (2, "wk"), Some((5, "d")), &[MASS_READINGS])];
    let (app, connection) =
        with_orders(&world, &narrow, (1..15).map(|d| at(noon(d), mg(100))).collect()).await;
    assert_eq!(submit(&app, connection).await.tally.readings.accepted, 2);
    world.clinic.set_orders(AMY, &wide).unwrap();
    app.refresh_orders(connection).await.unwrap();
    assert_eq!(submit(&app, connection).await.tally.readings.accepted, 2, "what it adds");
    world.assert_readings(4);
}

#[tokio::test]
async fn what_an_order_asks_for_and_this_version_does_not_make_is_said() {
    let world = World::new().await;
    let orders = [order(
        "o",
        (2, "wk"),
        None,
        &["cgm-summary-pdf", "cgm-summary-mean-glucose-mass-per-volume", MASS_READINGS],
    )];
    let (app, connection) = with_orders(&world, &orders, vec![at(noon(1), mg(100))]).await;
    let outcome = submit(&app, connection).await;
    assert!(
        outcome
            .left_out
            .contains(&LeftOut::NotSupported(cgm_submitter::outcome::Unsupported::Report)),
        "{:?}",
        outcome.left_out
    );
    assert_eq!(outcome.left_out.len(), 2, "{:?}", outcome.left_out);
    assert_eq!(outcome.tally.readings.accepted, 1);
}

#[tokio::test]
async fn of_two_units_an_order_asks_for_one_is_sent_and_the_other_is_said() {
    let world = World::new().await;
    let orders = [order("o", (2, "wk"), None, &[MOLAR_READINGS, MASS_READINGS])];
    let (app, connection) = with_orders(&world, &orders, vec![at(noon(1), molar("6.7"))]).await;
    let said = [LeftOut::OtherUnit { sent: cgm_submitter::glucose::GlucoseUnit::MmolPerL }];
    let preview = app.preview(connection, SubmissionRequest::Ordered).await.unwrap();
    assert_eq!(preview.left_out, said);
    let outcome = submit(&app, connection).await;
    assert_eq!((outcome.tally.readings.accepted, &outcome.left_out[..]), (1, &said[..]));
}

#[tokio::test]
async fn what_a_person_chose_says_nothing_about_orders() {
    let world = World::new().await;
    world.clinic.set_orders(AMY, &[]).unwrap();
    let app = world.app();
    app.register_sensor(sensor(SENSOR)).await.unwrap();
    app.ingest(vec![reading_of(0, molar("6.7"))]).await.unwrap();
    let connection = world.connect(&app).await;
    let dates = "2024-05-01..2024-05-01".parse().unwrap();
    for (unit, code, expected) in [
        (cgm_submitter::glucose::GlucoseUnit::MgPerDl, MASS, "121"),
        (cgm_submitter::glucose::GlucoseUnit::MmolPerL, MOLAR, "6.7"),
    ] {
        let request = SubmissionRequest::Own { dates, unit };
        let outcome = app.submit_now(connection, request, NO_WAIT, |_| ()).await.unwrap();
        assert_eq!(outcome.tally.readings.accepted, 1);
        assert_eq!(held(&world, code), [("2024-05-01".to_owned(), expected.to_owned())]);
    }
}
