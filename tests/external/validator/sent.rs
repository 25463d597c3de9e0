//! What the SDK sends: a person's readings through the `Submitter` to the sandbox, which takes
//! them.

use crate::bundles::Bundle;
use crate::plain::Front;
use crate::stories::{Ask, Story};
use crate::tape::Sent;
use crate::world::{AMY, NO_WAIT, World};
use crate::zone::zone;
use cgm_submitter::fhir::{Dialect, PROFILE_BASE};
use cgm_submitter::store::ConnectionId;
use cgm_submitter::{SubmissionRequest, Submitter};
use sandbox_ehr::Sandbox;
use serde_json::{Value, json};
use std::sync::Arc;

fn order(id: usize, schedule: &Value) -> Value {
    json!({
        "resourceType": "ServiceRequest", "id": format!("order-{id}"), "status": "active",
        "intent": "order",
        "code": {"coding": [{
            "system": "http://hl7.org/fhir/uv/cgm/CodeSystem/cgm",
            "code": "cgm-data-submission-standing-order",
        }]},
        "subject": {"reference": format!("Patient/{AMY}")},
        "extension": [{"url": format!("{PROFILE_BASE}data-submission-schedule"),
        "extension": schedule}],
    })
}

/// Asks for these profiles: every how many days, and how many days back.
fn schedule(days: u32, lookback: Option<u32>, profiles: &[&str]) -> Value {
    let quantity =
        |days: u32| json!({"value": days, "system": "http://unitsofmeasure.org", "code": "d"});
    let mut parts = vec![json!({"url": "submissionPeriod", "valueQuantity": quantity(days)})];
    parts.extend(
        lookback.map(|back| json!({"url": "lookbackPeriod", "valueQuantity": quantity(back)})),
    );
    let profile = |name: &&str| {
        json!({"url": "submissionDataProfile",
        "valueCanonical": format!("{PROFILE_BASE}{name}")})
    };
    parts.extend(profiles.iter().map(profile));
    parts.into()
}

/// The bundles in which what the story asks for is sent.
pub(crate) async fn send(dialect: Dialect, story: Story) -> Vec<Bundle> {
    let clinic = Sandbox::builder().supports_conditional_create(story.conditional);
    let world = World::with(clinic).await.living_in(zone(story.zone));
    let base = world.clinic.base_url();
    let app = world.app_with("me.db", |mut environment| {
        if dialect == Dialect::Plain {
            environment.transport = Arc::new(Front { base, behind: environment.transport });
        }
        environment
    });
    for sensor in &story.sensors {
        app.register_sensor(sensor.clone()).await.unwrap();
    }
    assert!(
        app.ingest(story.readings.clone()).await.unwrap().rejected.is_empty(),
        "{}",
        story.name
    );
    let connection = world.connect(&app).await;
    world.tape.clear();
    ask(&world, &app, connection, &story).await;
    if !story.later.is_empty() {
        assert!(
            app.ingest(story.later.clone()).await.unwrap().rejected.is_empty(),
            "{}",
            story.name
        );
        ask(&world, &app, connection, &story).await;
    }
    let bundle = |(number, sent): (usize, Sent)| {
        let text = sent.text();
        let conditional = text.contains(r#""ifNoneExist""#);
        // A receiver without conditional create is found out by a first request.
        assert!(
            conditional || !story.conditional && number > 1,
            "{}: sent without a condition",
            story.name
        );
        let known = known(&world, &text);
        Bundle::new(dialect, story.name, number, conditional, text.into_bytes()).referring_to(known)
    };
    (1..).zip(world.tape.bundles()).map(bundle).collect()
}

/// The figures at the clinic that a summary refers to.
fn known(world: &World, bundle: &str) -> Vec<Value> {
    let bundle: Value = serde_json::from_str(bundle).unwrap();
    let entries = bundle["entry"].as_array().unwrap().iter();
    let members = entries.filter_map(|entry| entry["resource"]["hasMember"].as_array()).flatten();
    let wanted: Vec<&str> = members.filter_map(|member| member["reference"].as_str()).collect();
    let held = world.clinic.resources(AMY, "Observation").unwrap().into_iter();
    let is_wanted = |resource: &Value| {
        let at = format!("Observation/{}", resource["id"].as_str().unwrap());
        wanted.contains(&at.as_str())
    };
    held.filter(is_wanted).collect()
}

async fn ask(world: &World, app: &Submitter, connection: ConnectionId, story: &Story) {
    for ask in &story.asks {
        let request = match *ask {
            Ask::Own(dates, unit) => SubmissionRequest::Own { dates: dates.parse().unwrap(), unit },
            Ask::Ordered { days, lookback, profiles } => {
                world
                    .clinic
                    .set_orders(AMY, &[order(1, &schedule(days, lookback, profiles))])
                    .unwrap();
                assert_eq!(app.refresh_orders(connection).await.unwrap().active.len(), 1);
                SubmissionRequest::Ordered
            }
        };
        let outcome = app.submit_now(connection, request, NO_WAIT, |_| ()).await.unwrap();
        assert!(outcome.is_complete(), "{}: {outcome:?}", story.name);
    }
}
