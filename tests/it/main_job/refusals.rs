//! What a clinic will not have: set aside with its own words, the rest goes, nothing goes twice. A
//! refusal of everything is a message about us.

use crate::tape::Fate;
use crate::world::{
    AMY, MASS, SUMMARY, SUMMARY_ENTRIES, World, own, reading, reading_of, submit, submit_all,
};
use cgm_submitter::OutcomeStatus;
use cgm_submitter::fhir::EntryKind;
use cgm_submitter::outcome::LeftOut;
use cgm_submitter::submission::Part;
use chrono::{DateTime, Utc};
use sandbox_ehr::{Limits, Sandbox};
use serde_json::{Value, json};

const READINGS: usize = 30;
const WORDS: &str = "this refusal was asked for";

/// The clinic's answer to a bundle of this many entries, of which one differs.
fn answer(entries: usize, odd: usize, response: &Value) -> String {
    let of = |index| {
        if index == odd {
            response.clone()
        } else {
            json!({"status": "201", "location": format!("Observation/{index}")})
        }
    };
    let entry: Vec<_> = (0..entries).map(|index| json!({"response": of(index)})).collect();
    json!({"resourceType": "Bundle", "type": "transaction-response", "entry": entry}).to_string()
}

#[tokio::test]
async fn a_refused_summary_is_set_aside_with_the_clinics_words_and_the_readings_go() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.clinic.set_refusal(SUMMARY, Some(422)).unwrap();
    let outcome = submit_all(&app, connection).await;
    assert!(!outcome.is_complete());
    assert_eq!(
        (outcome.tally.entries.refused, outcome.tally.readings.accepted),
        (SUMMARY_ENTRIES, READINGS as u64),
        "its figures belong to it"
    );
    assert_eq!(outcome.refused.len() as u64, SUMMARY_ENTRIES);
    assert!(outcome.refused.iter().any(|item| item.kind == EntryKind::Summary));
    assert!(outcome.refused.iter().all(|item| item.reason.contains(WORDS)));
    assert_eq!(app.quarantine(connection).await.unwrap(), outcome.refused);
    world.assert_readings(READINGS);

    world.tape.clear();
    assert_eq!(
        submit_all(&app, connection).await.tally.requests,
        0,
        "what was refused does not go again"
    );
}

#[tokio::test]
async fn a_refused_device_is_set_aside_and_its_readings_go_without_it() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.clinic.set_refusal("Device", Some(422)).unwrap();
    let outcome = submit_all(&app, connection).await;
    assert_eq!(
        outcome.refused.iter().map(|item| item.kind).collect::<Vec<_>>(),
        [EntryKind::Device]
    );
    assert!(outcome.refused[0].reason.contains(WORDS));
    world.assert_readings(READINGS);
    assert!(world.holds(MASS).iter().all(|reading| reading.get("device").is_none()));
    assert_eq!(world.holds(SUMMARY).len(), 1);
}

#[tokio::test]
async fn one_refused_reading_is_set_aside_with_its_time_and_goes_again_only_when_corrected() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    let refusal = json!({"status": "422", "outcome": {"resourceType": "OperationOutcome", "issue": [
        {"severity": "error", "code": "business-rule", "diagnostics": "not on a Sunday"}]}});
    world.tape.at_bundle(3, Fate::Answer(200, answer(READINGS, 4, &refusal)));
    let outcome = submit_all(&app, connection).await;
    let readings = outcome.tally.readings;
    assert_eq!((readings.accepted, readings.refused), (READINGS as u64 - 1, 1));
    let time: DateTime<Utc> = "2024-05-01T00:20:00Z".parse().unwrap();
    assert_eq!(
        (outcome.refused[0].kind, outcome.refused[0].time),
        (EntryKind::Reading, Some(time))
    );
    assert!(outcome.refused[0].reason.contains("not on a Sunday"));

    world.tape.no_rule();
    world.tape.clear();
    submit_all(&app, connection).await;
    assert!(world.tape.bundles().is_empty(), "neither it nor the others go again");

    app.ingest(vec![reading_of(4, crate::world::mg(101))]).await.unwrap();
    let outcome = submit_all(&app, connection).await;
    assert_eq!(outcome.tally.readings.accepted, 1, "the correction goes");
}

#[tokio::test]
async fn readings_refused_alike_are_set_aside_and_go_again_when_the_person_says_so() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.clinic.set_refusal(MASS, Some(422)).unwrap();
    let outcome = submit(&app, connection).await;
    assert_eq!(outcome.status, OutcomeStatus::Done);
    assert!(!outcome.is_complete());
    assert_eq!(outcome.refused.len(), READINGS);
    assert_eq!(app.preview(connection, own()).await.unwrap().readings_to_send(), 0);

    world.clinic.set_refusal(MASS, None).unwrap();
    assert_eq!(app.retry_refused(connection).await.unwrap(), READINGS);
    assert!(submit(&app, connection).await.is_complete());
    world.assert_complete(READINGS);
}

/// A receiver that takes no readings at all is not asked about every one of them, and a submission
/// after it goes on behind them.
#[tokio::test]
async fn after_three_batches_refused_alike_the_rest_of_the_readings_is_not_tried() {
    let world = World::new().await;
    let (app, connection) = world.ready(2_400).await;
    world.clinic.set_refusal(MASS, Some(422)).unwrap();
    let outcome = submit(&app, connection).await;
    assert_eq!(
        outcome.stopped.iter().map(|s| (s.part, s.for_consent)).collect::<Vec<_>>(),
        [(Part::Readings, false)]
    );
    assert_eq!((outcome.refused.len(), outcome.tally.readings.refused), (1_500, 1_500));
    assert!(!world.holds(SUMMARY).is_empty(), "other parts go on");
    assert_eq!(app.preview(connection, own()).await.unwrap().readings_to_send(), 900);

    world.clinic.set_refusal(MASS, None).unwrap();
    assert_eq!(submit(&app, connection).await.tally.readings.accepted, 900);
    app.retry_refused(connection).await.unwrap();
    assert!(submit(&app, connection).await.is_complete());
    world.assert_complete(2_400);
}

/// After a batch was halved the limit grows back, however many batches follow.
#[tokio::test]
async fn a_small_receiver_gets_everything_over_many_batches() {
    let limits = Limits { max_entries: 32, ..Limits::default() };
    let world = World::with(Sandbox::builder().limits(limits)).await;
    let (app, connection) = world.ready(2_400).await;
    assert!(submit_all(&app, connection).await.is_complete());
    world.assert_complete(2_400);
}

/// A unit stays together: a summary whose member goes later is not yet sent.
#[tokio::test]
async fn a_summary_with_a_member_put_off_goes_again_as_a_whole() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.clinic.set_refusal("97506-0", Some(503)).unwrap();
    assert!(matches!(submit(&app, connection).await.status, OutcomeStatus::Waiting { .. }));
    world.clinic.set_refusal("97506-0", None).unwrap();
    world.later(&app).await;
    world.assert_complete(READINGS);
    assert_eq!(world.holds("97506-0").len(), 1);
    assert_eq!(app.preview(connection, own()).await.unwrap().parts[0].entries_to_send, 0);
}

#[tokio::test]
async fn entries_the_clinic_puts_off_go_later_in_a_new_batch() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.clinic.set_refusal(MASS, Some(503)).unwrap();
    let outcome = submit(&app, connection).await;
    assert!(matches!(outcome.status, OutcomeStatus::Waiting { .. }), "{:?}", outcome.status);
    assert_eq!(outcome.tally.readings.total(), 0);
    assert!(outcome.refused.is_empty());
    world.clinic.set_refusal(MASS, None).unwrap();
    world.later(&app).await;
    world.assert_complete(READINGS);
}

#[tokio::test]
async fn an_entry_that_is_read_but_not_kept_counts_as_received_and_never_goes_again() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.tape.at_bundle(3, Fate::Answer(200, answer(READINGS, 7, &json!({"status": "200"}))));
    let outcome = submit_all(&app, connection).await;
    assert!(outcome.keeps_no_copies, "nobody takes it for stored");
    let readings = outcome.tally.readings;
    assert_eq!((readings.accepted, readings.received), (READINGS as u64 - 1, 1));
    world.tape.clear();
    submit_all(&app, connection).await;
    assert!(world.tape.bundles().is_empty());
}

#[tokio::test]
async fn an_ambiguous_match_is_set_aside_as_a_duplicate_at_the_receiver() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.tape.at_bundle(3, Fate::Answer(200, answer(READINGS, 0, &json!({"status": "412"}))));
    let outcome = submit_all(&app, connection).await;
    assert_eq!(outcome.tally.readings.refused, 1);
    assert!(
        outcome.refused[0].reason.contains("duplicate at the receiver"),
        "{}",
        outcome.refused[0].reason
    );
}

#[tokio::test]
async fn one_unit_that_makes_the_clinic_refuse_whole_requests_is_isolated_and_the_rest_goes() {
    for (status, ours) in [(422, ""), (412, "duplicate at the receiver: ")] {
        let world = World::new().await;
        let (app, connection) = world.ready(READINGS).await;
        // A receiver that answers for the request what is wrong with one entry.
        let poison = "2024-05-01T01:05:00";
        let said = json!({"resourceType": "OperationOutcome", "issue": [
            {"severity": "error", "code": "invalid", "diagnostics": "entry is no good"}]})
        .to_string();
        world.tape.rule(move |sent| {
            let poisoned = sent.is_bundle && sent.text().contains(poison);
            if poisoned { Fate::Answer(status, said.clone()) } else { Fate::Pass }
        });
        let outcome = submit_all(&app, connection).await;
        assert_eq!(
            (outcome.tally.readings.accepted, outcome.tally.readings.refused),
            (READINGS as u64 - 1, 1)
        );
        assert_eq!(outcome.refused[0].time, Some("2024-05-01T01:05:00Z".parse().unwrap()));
        let reason = &outcome.refused[0].reason;
        assert!(reason.starts_with(ours) && reason.contains("entry is no good"), "{reason}");
        world.assert_readings(READINGS - 1);
    }
}

#[tokio::test]
async fn what_the_person_granted_no_permission_for_is_left_out_and_said() {
    let world = World::new().await;
    let scopes = ["launch/patient", "offline_access", "patient/Patient.r", "patient/Device.cu"];
    world.clinic.set_scope_ceiling(Some(&scopes));
    let (app, connection) = world.ready(READINGS).await;
    let left_out = [LeftOut::NotGranted(Part::Summary), LeftOut::NotGranted(Part::Readings)];
    assert_eq!(app.preview(connection, own()).await.unwrap().left_out, left_out);
    let outcome = submit_all(&app, connection).await;
    assert_eq!(outcome.left_out, left_out);
    assert_eq!((outcome.tally.entries.accepted, outcome.tally.entries.refused), (1, 0));
    assert_eq!(world.holds("Device").len(), 1);
    assert!(world.holds("Observation").is_empty());

    // Granted after all: what was left out goes.
    world.clinic.set_scope_ceiling(None);
    world.authorise(&app, AMY).await.unwrap();
    assert!(submit_all(&app, connection).await.left_out.is_empty());
    world.assert_complete(READINGS);
}

/// Such a receiver refuses each conditional entry with 400. One unit sent without the condition
/// proves it; from then on none is sent with it, and the ledger alone keeps things from going
/// twice.
#[tokio::test]
async fn a_receiver_without_if_none_exist_is_found_out_and_gets_everything_once() {
    let world = World::with(Sandbox::builder().supports_conditional_create(false)).await;
    let (app, connection) = world.ready(READINGS).await;
    assert!(submit_all(&app, connection).await.is_complete());
    world.assert_complete(READINGS);

    app.ingest(vec![reading(READINGS)]).await.unwrap();
    let again = submit_all(&app, connection).await;
    assert!(again.is_complete());
    assert_eq!(again.tally.readings.accepted, 1, "only what the ledger lacks");
    assert_eq!(world.holds(MASS).len(), READINGS + 1);
    assert_eq!(world.holds("Device").len(), 1);
}
