//! After the fact: a reading that comes late, one that is corrected, and one that is corrected
//! while it is on its way.

use crate::tape::{Fate, Gate};
use crate::world::{
    MASS, NO_WAIT, SUMMARY, SUMMARY_ENTRIES, World, identifier, mg, own, reading, reading_of,
    submit_all,
};
use cgm_submitter::OutcomeStatus;
use chrono::TimeDelta;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

const REPLACES: &str = "http://hl7.org/fhir/StructureDefinition/observation-replaces";

/// What a resource says it replaces.
fn replaced(resource: &Value) -> Option<&Value> {
    let extensions = resource["extension"].as_array()?;
    let found: Vec<_> =
        extensions.iter().filter(|extension| extension["url"] == REPLACES).collect();
    assert!(found.len() <= 1);
    found.first().map(|extension| &extension["valueReference"])
}

fn value_of(reading: &Value) -> f64 {
    reading["valueQuantity"]["value"].as_f64().unwrap()
}

#[tokio::test]
async fn a_late_reading_goes_alone_with_a_summary_that_says_which_it_replaces() {
    let world = World::new().await;
    let app = world.app();
    app.register_sensor(crate::world::sensor(crate::world::SENSOR)).await.unwrap();
    let late = reading_of(15, mg(310));
    app.ingest((0..30).filter(|n| *n != 15).map(reading).collect()).await.unwrap();
    let connection = world.connect(&app).await;
    submit_all(&app, connection).await;
    let first = world.holds(SUMMARY)[0].clone();
    assert!(replaced(&first).is_none());

    app.ingest(vec![late]).await.unwrap();
    world.tape.clear();
    let preview = app.preview(connection, own()).await.unwrap();
    assert_eq!(
        (preview.readings_to_send(), preview.parts[0].entries_to_send),
        (1, 1 + SUMMARY_ENTRIES)
    );
    let tally = submit_all(&app, connection).await.tally;
    assert_eq!(tally.readings.accepted, 1);
    let sent: Vec<_> = world.tape.bundles().iter().flat_map(crate::tape::Sent::resources).collect();
    let readings: Vec<_> = sent.iter().filter(|r| r["code"]["coding"][0]["code"] == MASS).collect();
    assert_eq!(readings.len(), 1, "exactly that reading");
    assert_eq!((value_of(readings[0]), replaced(readings[0])), (310.0, None));

    let summaries = world.holds(SUMMARY);
    assert_eq!(summaries.len(), 2);
    let location = format!("Observation/{}", first["id"].as_str().unwrap());
    assert_eq!(replaced(&summaries[1]).unwrap()["reference"], location);
    assert_eq!(first["effectivePeriod"], summaries[1]["effectivePeriod"]);
    world.assert_readings(30);
    assert_eq!(submit_all(&app, connection).await.tally.requests, 0);
}

#[tokio::test]
async fn a_correction_of_a_sent_reading_goes_as_corrected_and_names_the_earlier_one() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    submit_all(&app, connection).await;
    let at_one = |held: &Value| text_of(held).starts_with("2024-05-01T01:00:00");
    let earlier = world.holds(MASS).into_iter().find(at_one).unwrap();

    let report = app.ingest(vec![reading_of(12, mg(240))]).await.unwrap();
    assert_eq!((report.corrected, report.stored), (1, 0));
    assert_eq!(submit_all(&app, connection).await.tally.readings.accepted, 1);
    let held = world.holds(MASS);
    assert_eq!(held.len(), 31);
    let corrected = &held[30];
    assert_eq!((corrected["status"].as_str(), value_of(corrected)), (Some("corrected"), 240.0));
    assert_eq!(replaced(corrected).unwrap()["identifier"]["value"], identifier(&earlier));
    assert_ne!(identifier(corrected), identifier(&earlier));
    assert_eq!(corrected["effectiveDateTime"], earlier["effectiveDateTime"]);

    // Corrected once more: the chain goes on from the correction.
    app.ingest(vec![reading_of(12, mg(241))]).await.unwrap();
    submit_all(&app, connection).await;
    let last = world.holds(MASS)[31].clone();
    assert_eq!(replaced(&last).unwrap()["identifier"]["value"], identifier(corrected));
    assert_eq!(submit_all(&app, connection).await.tally.requests, 0);
}

#[tokio::test]
async fn a_summary_of_a_day_under_way_says_until_when_and_is_the_same_all_day() {
    let world = World::new().await;
    // From 2024-07-01T08:00 back to noon of 14 May.
    world.clock.pass(TimeDelta::hours(4) - TimeDelta::days(48));
    let (app, connection) = world.ready(30).await;
    let midnight = 13 * 288;
    let today = (midnight..midnight + 143).map(|n| reading_of(n, mg(140)));
    app.ingest(today.collect()).await.unwrap();
    submit_all(&app, connection).await;
    let summary = world.holds(SUMMARY)[0].clone();
    let note = summary["note"][0]["text"].as_str().unwrap();
    assert!(note.starts_with("The last day is not complete: readings until 2024-05-14T11:50:00Z."));
    for member in ["97507-8", "104637-4"] {
        assert_eq!(world.holds(member)[0]["note"], summary["note"], "{member}");
    }
    world.clock.pass(TimeDelta::hours(6));
    world.tape.clear();
    assert_eq!(submit_all(&app, connection).await.tally.requests, 0, "nothing new was measured");

    // The day is over: what is missing of it is missing now.
    world.clock.pass(TimeDelta::hours(12));
    submit_all(&app, connection).await;
    let summaries = world.holds(SUMMARY);
    assert_eq!(summaries.len(), 2);
    assert!(replaced(&summaries[1]).is_some());
}

#[tokio::test]
async fn a_summary_that_returns_to_earlier_figures_is_a_new_one_that_replaces_the_last() {
    const MEAN: &str = "97507-8";
    const DAYS_OF_WEAR: &str = "104636-6";
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    for value in [102, 240, 102] {
        app.ingest(vec![reading_of(12, mg(value))]).await.unwrap();
        submit_all(&app, connection).await;
    }
    for code in [SUMMARY, MEAN] {
        let held = world.holds(code);
        assert_eq!(held.len(), 3, "{code}");
        for (earlier, later) in held.iter().zip(&held[1..]) {
            let location = format!("Observation/{}", earlier["id"].as_str().unwrap());
            assert_eq!(replaced(later).unwrap()["reference"], location, "{code}");
        }
    }
    let means = world.holds(MEAN);
    assert_eq!(means[0]["valueQuantity"], means[2]["valueQuantity"]);
    assert_eq!(world.holds(DAYS_OF_WEAR).len(), 1, "what did not change is one");
    assert_eq!(submit_all(&app, connection).await.tally.requests, 0);
}

fn text_of(reading: &Value) -> &str {
    reading["effectiveDateTime"].as_str().unwrap()
}

#[tokio::test]
async fn a_correction_of_an_unsent_reading_just_takes_its_place() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    let report = app.ingest(vec![reading_of(12, mg(240))]).await.unwrap();
    assert_eq!((report.replaced, report.corrected), (1, 0));
    submit_all(&app, connection).await;
    world.assert_complete(30);
    assert!(
        world
            .holds(MASS)
            .iter()
            .all(|reading| reading["status"] == "final" && replaced(reading).is_none())
    );
}

#[tokio::test]
async fn what_changes_while_its_batch_is_on_its_way_goes_afterwards() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    let app = Arc::new(app);
    let gate = Gate::new();
    // The third bundle carries the readings.
    world.tape.at_bundle(3, Fate::Hold(Arc::clone(&gate)));
    let submitting = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.submit_now(connection, own(), NO_WAIT, |_| ()).await.unwrap() }
    });
    gate.reached().await;
    // One is corrected, one comes late; both while the old state is on its way.
    let report = app.ingest(vec![reading_of(12, mg(240)), reading(30)]).await.unwrap();
    assert_eq!((report.corrected, report.stored), (1, 1));
    gate.open();
    let outcome = submitting.await.unwrap();
    assert_eq!((outcome.status, outcome.tally.readings.accepted), (OutcomeStatus::Done, 32));

    let mut by_instant: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for held in world.holds(MASS) {
        by_instant.entry(text_of(&held).to_owned()).or_default().push(held);
    }
    assert_eq!(by_instant.len(), 31);
    let twice: Vec<_> = by_instant.values().filter(|versions| versions.len() > 1).collect();
    assert_eq!(twice.len(), 1);
    assert_eq!(
        twice[0].iter().map(value_of).collect::<Vec<_>>(),
        [102.0, 240.0],
        "the old version, then the new"
    );
    assert_eq!(replaced(&twice[0][1]).unwrap()["identifier"]["value"], identifier(&twice[0][0]));
    let summaries = world.holds(SUMMARY);
    assert_eq!(summaries.len(), 2, "and a summary of how it is now");
    assert!(replaced(&summaries[1]).is_some());
    assert_eq!(app.preview(connection, own()).await.unwrap().parts[0].entries_to_send, 0);
    world.tape.assert_only_same_bytes_again();
}
