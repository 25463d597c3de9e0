//! After a submission: does the clinic have what it accepted?

use crate::tape::Fate;
use crate::world::*;
use cgm_submitter::delivery::{CannotVerify, Event, Verification};
use cgm_submitter::fhir::EntryKind;
use cgm_submitter::store::{ConnectionId, SubmissionId};
use cgm_submitter::submission::Part;
use cgm_submitter::{Error, Submitter};
use sandbox_ehr::Sandbox;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Entries of this many readings: themselves, the device, the summary with its members.
const fn entries(readings: u64) -> u64 {
    readings + 1 + SUMMARY_ENTRIES
}

/// An app whose readings the clinic accepted, with leave to look.
async fn sent(world: &World, readings: usize) -> (Submitter, ConnectionId, SubmissionId) {
    let app = world.app();
    stock(&app, readings).await;
    let connection = world.connect_with_read_back(&app).await;
    let submission = submit_all(&app, connection).await.submissions[0];
    world.tape.clear();
    (app, connection, submission)
}

async fn verify(app: &Submitter, submission: SubmissionId) -> Verification {
    app.verify(submission, NO_WAIT, |_| ()).await.unwrap()
}

fn whys(verification: &Verification) -> Vec<(Part, CannotVerify)> {
    verification.not_verified.iter().map(|one| (one.part, one.why)).collect()
}

/// Every `n`th is lost.
fn every(n: usize) -> impl FnMut(Value) -> Option<Value> {
    let mut seen = 0;
    move |resource| {
        seen += 1;
        (seen % n != 0).then_some(resource)
    }
}

#[tokio::test]
async fn everything_that_was_accepted_is_found_again_as_it_was_sent() {
    let world = World::new().await;
    let (app, _, submission) = sent(&world, 150).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let verification = app
        .verify(submission, NO_WAIT, move |event| {
            if let Event::Verifying { done, total, .. } = event {
                hears.lock().unwrap().push((done, total));
            }
        })
        .await
        .unwrap();
    assert_eq!(verification, Verification { confirmed: entries(150), ..Verification::default() });
    assert!(verification.is_complete());
    let told = told.lock().unwrap();
    assert!(told.windows(2).all(|two| two[0].0 <= two[1].0), "progress never goes back");
    assert!(told.iter().all(|(_, total)| *total == entries(150)), "{told:?}");
    assert_eq!(told.last(), Some(&(entries(150), entries(150))));
    assert!(world.tape.bundles().is_empty(), "nothing is sent");
}

/// The searches for Observations of the app's, by date or not.
fn searches(world: &World, by_date: bool) -> usize {
    let searches = world.tape.sent_to("/Observation");
    searches.iter().filter(|one| one.query.contains("date=") == by_date).count()
}

#[tokio::test]
async fn many_readings_are_looked_for_by_date_in_few_large_pages() {
    let world = World::new().await;
    let (app, _, submission) = sent(&world, 4_000).await;
    let verification = verify(&app, submission).await;
    assert_eq!(verification, Verification { confirmed: entries(4_000), ..Verification::default() });
    // As many as 25,000 in a hundred.
    assert!(world.tape.requests() <= 16, "{} requests", world.tape.requests());
    assert_eq!(searches(&world, true), 4, "pages of a thousand");
}

#[tokio::test]
async fn what_other_apps_sent_for_the_same_dates_is_passed_over() {
    let world = World::new().await;
    let other = world.app_on("other.db");
    other.register_sensor(sensor("other")).await.unwrap();
    let key = || cgm_submitter::glucose::SensorKey::new("other").unwrap();
    let reading_of_other = |n: i64| {
        let time = START.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        cgm_submitter::glucose::Reading::new(
            key(),
            time + chrono::TimeDelta::minutes(5 * n),
            None,
            mg(100),
        )
    };
    other.ingest((0..200).map(reading_of_other).collect()).await.unwrap();
    let connection = world.connect(&other).await;
    submit_all(&other, connection).await;

    let (app, _, submission) = sent(&world, 150).await;
    world.clinic.rewrite(AMY, MASS, every(100)).unwrap();
    let verification = verify(&app, submission).await;
    assert_eq!(verification.confirmed + verification.to_send_again, entries(150));
    assert!((1..=3).contains(&verification.to_send_again), "{verification:?}");
    assert_eq!((verification.different, verification.missing), (0, 0));
    assert_eq!(searches(&world, true), 1);
}

#[tokio::test]
async fn a_search_by_date_that_is_in_doubt_gives_way_to_one_by_identifier() {
    let world = World::new().await;
    let (app, _, submission) = sent(&world, 150).await;
    let page = |more: Value| {
        let mut page = json!({"resourceType": "Bundle", "type": "searchset"});
        page.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        page.to_string()
    };
    let failed = json!({"entry": [{"resource": {"resourceType": "OperationOutcome",
        "issue": [{"severity": "error"}]}, "search": {"mode": "outcome"}}]});
    let endless = json!({"link": [{"relation": "next", "url": "Observation?date=x"}]});
    for (status, answer) in [
        (200, page(json!({}))),
        (200, page(failed)),
        (200, page(endless)),
        (200, "no JSON".to_owned()),
        (400, String::new()),
        (403, String::new()),
    ] {
        world.tape.clear();
        let said = answer.clone();
        world.tape.rule(move |request| {
            let by_date = request.query.contains("date=");
            if by_date { Fate::Answer(status, said.clone()) } else { Fate::Pass }
        });
        let verification = verify(&app, submission).await;
        let complete = Verification { confirmed: entries(150), ..Verification::default() };
        assert_eq!(verification, complete, "{status} {answer}");
        assert!((1..=2).contains(&searches(&world, true)), "{status} {answer}: asked once");
        assert!(searches(&world, false) > 7, "{status} {answer}");
    }
}

#[tokio::test]
async fn what_a_clinic_lost_is_sent_again_with_the_next_submission_and_nothing_else_is() {
    let world = World::new().await;
    let (app, connection, submission) = sent(&world, 60).await;
    world.clinic.rewrite(AMY, MASS, every(6)).unwrap();
    world.clinic.rewrite(AMY, "Device", |_| None).unwrap();
    world.assert_readings(50);

    let verification = verify(&app, submission).await;
    // The only device is gone: it is not at its address either.
    assert_eq!(
        (verification.confirmed, verification.to_send_again, verification.missing),
        (50 + 7, 11, 0)
    );
    assert!(verification.not_verified.is_empty() && !verification.is_complete());

    let outcome = submit_all(&app, connection).await;
    assert_eq!((outcome.tally.entries.accepted, outcome.tally.entries.already_there), (11, 0));
    world.assert_complete(60);
    let verification = verify(&app, outcome.submissions[0]).await;
    assert_eq!(verification, Verification { confirmed: entries(60), ..Verification::default() });
}

#[tokio::test]
async fn what_is_lost_again_is_said_and_left_alone() {
    let world = World::new().await;
    let (app, connection, submission) = sent(&world, 20).await;
    for (again, missing) in [(2, 0), (0, 2)] {
        let lost =
            |reading: &Value| [json!(95), json!(100)].contains(&reading["valueQuantity"]["value"]);
        world.clinic.rewrite(AMY, MASS, |reading| (!lost(&reading)).then_some(reading)).unwrap();
        let verification = verify(&app, submission).await;
        assert_eq!((verification.to_send_again, verification.missing), (again, missing));
        submit_all(&app, connection).await;
    }
    // A clinic that removes a reading, and again, means it.
    assert_eq!(world.holds(MASS).len(), 18);
}

#[tokio::test]
async fn a_lost_figure_brings_back_its_summary_as_a_whole() {
    let world = World::new().await;
    let (app, connection, submission) = sent(&world, 20).await;
    world.clinic.rewrite(AMY, "97506-0", |_| None).unwrap();
    let verification = verify(&app, submission).await;
    assert_eq!((verification.confirmed, verification.to_send_again), (entries(20) - 1, 1));
    let outcome = submit_all(&app, connection).await;
    assert_eq!(
        (outcome.tally.entries.accepted, outcome.tally.entries.already_there),
        (1, SUMMARY_ENTRIES - 1)
    );
    assert_eq!((world.holds("97506-0").len(), world.holds(SUMMARY).len()), (1, 1));
}

#[tokio::test]
async fn what_stands_otherwise_at_the_clinic_is_named_and_never_sent_over_it() {
    let world = World::new().await;
    let (app, connection, submission) = sent(&world, 20).await;
    let mut number = 0;
    world
        .clinic
        .rewrite(AMY, MASS, |mut reading| {
            number += 1;
            match number {
                1 => reading["valueQuantity"]["value"] = json!(400),
                2 => reading["subject"]["reference"] = json!("Patient/ben-okafor"),
                3 => reading["status"] = json!("entered-in-error"),
                _ => {}
            }
            Some(reading)
        })
        .unwrap();
    let verification = verify(&app, submission).await;
    assert_eq!((verification.different, verification.to_send_again), (3, 0));
    let named: Vec<_> =
        verification.differences.iter().map(|one| (one.what, one.element.as_deref())).collect();
    let expected = [
        (EntryKind::Reading, Some("valueQuantity.value")),
        (EntryKind::Reading, Some("subject.reference")),
        (EntryKind::Reading, None),
    ];
    assert_eq!(named, expected);
    assert!(verification.differences.iter().all(|one| one.time.is_some()));
    assert!(!format!("{verification:?}").contains("2024"), "a time is the person's");
    assert_eq!(submit_all(&app, connection).await.tally.requests, 0);
}

#[tokio::test]
async fn without_leave_or_a_search_it_says_that_it_cannot_verify() {
    let world = World::new().await;
    let (app, connection) = world.ready(20).await;
    let submission = submit_all(&app, connection).await.submissions[0];
    let all = |why| [(Part::Devices, why), (Part::Summary, why), (Part::Readings, why)];
    assert_eq!(whys(&verify(&app, submission).await), all(CannotVerify::NotGranted));

    let world = World::new().await;
    let (app, _, submission) = sent(&world, 20).await;
    let offers = json!({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
        "rest": [{"mode": "server",
        "resource": [{"type": "Observation", "interaction": [{"code": "search-type"}]}]}]});
    world.tape.answer_at("/metadata", 200, offers.to_string());
    assert_eq!(whys(&verify(&app, submission).await), all(CannotVerify::NotOffered));
}

#[tokio::test]
async fn a_search_that_answers_something_else_or_nothing_proves_nothing() {
    let world = World::new().await;
    let (app, connection, submission) = sent(&world, 20).await;
    let page = |entries: Value| {
        json!({"resourceType": "Bundle", "type": "searchset", "entry": entries}).to_string()
    };
    let other = json!([{"resource": {"resourceType": "Observation", "id": "1"}}]);
    for (entries, why) in
        [(other, CannotVerify::NotHonoured), (json!([]), CannotVerify::NothingFound)]
    {
        world.tape.answer_at("/Observation", 200, page(entries));
        let verification = verify(&app, submission).await;
        assert_eq!(whys(&verification), [(Part::Summary, why), (Part::Readings, why)]);
        assert_eq!(
            (verification.confirmed, verification.to_send_again),
            (1, 0),
            "the device is found"
        );
    }
    world.tape.no_rule();
    assert_eq!(submit_all(&app, connection).await.tally.requests, 0, "nothing was marked");
}

#[tokio::test]
async fn an_index_that_lags_is_looked_at_twice() {
    let world = World::new().await;
    let (app, _, submission) = sent(&world, 20).await;
    let empty = json!({"resourceType": "Bundle", "type": "searchset"}).to_string();
    let asked = Arc::new(Mutex::new(0));
    world.tape.rule(move |request| {
        let mut asked = asked.lock().unwrap();
        *asked += usize::from(request.path.ends_with("/Observation"));
        // The summary is found; the readings are there a moment later.
        if request.path.ends_with("/Observation") && *asked == 2 {
            Fate::Answer(200, empty.clone())
        } else {
            Fate::Pass
        }
    });
    let verification = verify(&app, submission).await;
    assert_eq!(verification, Verification { confirmed: entries(20), ..Verification::default() });
}

#[tokio::test]
async fn a_receiver_without_conditional_create_is_never_sent_anything_twice() {
    let world = World::with(Sandbox::builder().supports_conditional_create(false)).await;
    let (app, connection, submission) = sent(&world, 20).await;
    world.clinic.rewrite(AMY, MASS, every(10)).unwrap();
    let verification = verify(&app, submission).await;
    assert_eq!((verification.to_send_again, verification.missing), (0, 2));
    submit_all(&app, connection).await;
    assert_eq!(world.holds(MASS).len(), 18);
}

/// A receiver that says nothing of conditional create.
fn says_nothing_of_it(world: &World) {
    let search = |kind: &str| {
        json!({"type": kind, "interaction": [{"code": "search-type"}],
        "searchParam": [{"name": "identifier"}]})
    };
    let statement = json!({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
        "rest": [{"mode": "server", "resource": [search("Observation"), search("Device")]}]});
    world.tape.answer_at("/metadata", 200, statement.to_string());
}

#[tokio::test]
async fn a_receiver_that_may_ignore_if_none_exist_gets_nothing_again_until_it_showed_that_it_looks()
{
    let world = World::new().await;
    let (app, connection, submission) = sent(&world, 20).await;
    world.clinic.rewrite(AMY, MASS, every(10)).unwrap();
    says_nothing_of_it(&world);
    let verification = verify(&app, submission).await;
    assert_eq!((verification.to_send_again, verification.missing), (0, 2));

    // Another phone of the same person: everything that goes is there already.
    let other = world.app_on("other.db");
    stock(&other, 18).await;
    world.tape.no_rule();
    world.clinic.rewrite(AMY, SUMMARY, |_| None).unwrap();
    let connection_of_other = world.connect_with_read_back(&other).await;
    let outcome = submit_all(&other, connection_of_other).await;
    assert!(outcome.tally.entries.already_there > 0);
    world.clinic.rewrite(AMY, MASS, every(6)).unwrap();
    says_nothing_of_it(&world);
    assert!(
        verify(&other, outcome.submissions[0]).await.to_send_again > 0,
        "it answered that things were there"
    );
    assert_eq!(submit_all(&app, connection).await.tally.requests, 0);
}

#[tokio::test]
async fn a_summary_that_would_be_another_now_is_not_called_verified() {
    let world = World::new().await;
    let (app, connection, submission) = sent(&world, 20).await;
    app.ingest(vec![reading(20)]).await.unwrap();
    let verification = verify(&app, submission).await;
    assert_eq!(whys(&verification), [(Part::Summary, CannotVerify::Changed)]);
    assert_eq!((verification.confirmed, verification.is_complete()), (20 + 1, false));
    let outcome = submit_all(&app, connection).await;
    assert!(verify(&app, outcome.submissions[0]).await.is_complete());
}

#[tokio::test]
async fn a_busy_receiver_is_waited_for_as_long_as_it_asks_and_the_caller_has_patience() {
    let world = World::new().await;
    let (app, _, submission) = sent(&world, 20).await;
    // The first search is put off, and whoever has no patience hears so at once.
    let asked = Arc::new(Mutex::new(0));
    world.tape.rule(move |request| {
        let mut asked = asked.lock().unwrap();
        *asked += usize::from(request.path.ends_with("/Observation"));
        let put_off = request.path.ends_with("/Observation") && *asked == 1;
        if put_off { Fate::Answer(429, String::new()) } else { Fate::Pass }
    });
    let waited = Arc::new(AtomicUsize::new(0));
    let hears = Arc::clone(&waited);
    let clock = Arc::clone(&world.clock);
    let verification = app
        .verify(submission, Duration::from_secs(10), move |event| {
            if matches!(event, Event::Waiting { .. }) {
                hears.fetch_add(1, Ordering::Relaxed);
                clock.pass(chrono::TimeDelta::seconds(2));
            }
        })
        .await
        .unwrap();
    assert_eq!((verification.confirmed, waited.load(Ordering::Relaxed)), (entries(20), 1));
}

#[tokio::test]
async fn many_devices_are_verified_also_where_few_entries_are_taken_at_once() {
    let limits = sandbox_ehr::Limits { max_entries: 25, ..sandbox_ehr::Limits::default() };
    let world = World::with(Sandbox::builder().limits(limits)).await;
    let app = world.app();
    for number in 0..60 {
        let key = format!("demo:{number}");
        app.register_sensor(sensor(&key)).await.unwrap();
        let time = START.parse::<chrono::DateTime<chrono::Utc>>().unwrap()
            + chrono::TimeDelta::hours(number);
        let key = cgm_submitter::glucose::SensorKey::new(key).unwrap();
        app.ingest(vec![cgm_submitter::glucose::Reading::new(key, time, None, mg(100))])
            .await
            .unwrap();
    }
    let connection = world.connect_with_read_back(&app).await;
    let submission = submit_all(&app, connection).await.submissions[0];
    let verification = verify(&app, submission).await;
    assert_eq!(verification, Verification { confirmed: 60 + 60 + 7, ..Verification::default() });
}

#[tokio::test]
async fn an_unfinished_submission_is_not_verified_and_a_failing_search_is_an_error() {
    let world = World::new().await;
    let (app, connection, submission) = sent(&world, 20).await;
    world.tape.answer_at("/Observation", 503, String::new());
    let error = app.verify(submission, NO_WAIT, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Waiting { .. }) && error.retryable(), "{error}");
    world.tape.no_rule();
    // The receiver is left alone for a while, by searches too, and whoever asks hears how long.
    world.tape.clear();
    let tried_soon = app.verify(submission, NO_WAIT, |_| ()).await.unwrap_err();
    assert_eq!(tried_soon.retry_at(), error.retry_at());
    assert!(error.retry_at().is_some());
    assert_eq!(world.tape.requests(), 0, "not even its capability statement is asked for");
    world.clock.pass(chrono::TimeDelta::seconds(3));
    assert_eq!(verify(&app, submission).await.confirmed, entries(20));

    app.ingest(vec![reading(20)]).await.unwrap();
    world.clinic.fail_next(1, 503, Some("60")).unwrap();
    let waiting = submit(&app, connection).await.submissions[0];
    assert!(
        whys(&verify(&app, waiting).await).contains(&(Part::Readings, CannotVerify::Unfinished))
    );
}

#[tokio::test]
async fn an_access_token_that_ends_meanwhile_is_renewed_once() {
    let world = World::new().await;
    let (app, _, submission) = sent(&world, 20).await;
    world.clinic.expire_access_tokens().unwrap();
    assert_eq!(verify(&app, submission).await.confirmed, entries(20));
}

#[tokio::test]
async fn a_receiver_that_keeps_no_copies_is_not_sent_them_again() {
    let world = World::new().await;
    let (app, connection, _) = sent(&world, 20).await;
    app.ingest(vec![reading(20)]).await.unwrap();
    let readings = json!({"resourceType": "Bundle", "type": "transaction-response",
        "entry": [{"response": {"status": "200"}}]});
    // The summary goes first, for it has changed.
    world.tape.at_bundle(2, Fate::Answer(200, readings.to_string()));
    let outcome = submit_all(&app, connection).await;
    assert_eq!(outcome.tally.readings.received, 1);
    let verification = verify(&app, outcome.submissions[0]).await;
    assert_eq!((verification.missing, verification.to_send_again), (1, 0));
    assert_eq!(submit_all(&app, connection).await.tally.requests, 0);
}
