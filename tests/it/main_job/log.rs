//! The log of a main job with faults tells each step and decision, and nothing of the person.

use crate::tape::Fate;
use crate::world::{AMY, BEN, NO_WAIT, SENSOR, World, own, reading_of, sensor, submit};
use cgm_submitter::environment::{Environment, LogEntry, LogSink};
use cgm_submitter::glucose::{GlucoseUnit, GlucoseValue, Measurement};
use cgm_submitter::store::ConnectionId;
use cgm_submitter::{Connection, Submitter};
use sandbox_ehr::Sandbox;
use serde_json::Value;
use std::sync::Arc;

const VALUE: &str = "173.25";

/// A value that is nowhere else.
fn value() -> Measurement {
    Measurement::Value(GlucoseValue::parse(VALUE, GlucoseUnit::MgPerDl).unwrap())
}

/// Every text below a value that is long enough to be a secret.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= 16 => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

/// What must not be in a log, as far as it is known by now: what the vault holds, what was sent as
/// a token, and the identifiers of what the clinic has.
fn secrets(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for text in world.vault_texts() {
        texts(&serde_json::from_str(&text).unwrap_or_default(), &mut found);
    }
    for sent in world.tape.requests_sent() {
        found.extend(sent.token.map(|token| token.replace("Bearer ", "")));
        found.extend(sent.query.split('&').map(str::to_owned));
    }
    for resource in world.holds("Observation") {
        texts(&resource["identifier"], &mut found);
        found.push(resource["id"].as_str().unwrap().to_owned());
    }
    found.retain(|secret| secret.len() >= 16);
    found
}

async fn takes_readings_in(app: &Submitter) {
    app.register_sensor(sensor(SENSOR)).await.unwrap();
    app.ingest((0..600).map(|n| reading_of(n, value())).collect()).await.unwrap();
    let file = "time,value,unit\n2024-05-12T08:15:00+02:00,173.25,mg/dL\nAmy Shaw,1,mg/dL\n";
    app.import(file.into(), None).await.unwrap();
    app.import("Amy Shaw;173.25\n".into(), None).await.unwrap_err();
}

/// A denial, a failing code, a patient that cannot be read at first, and then a connection.
async fn connects(world: &World, app: &Submitter) -> Connection {
    let denied = app.begin_connection(world.receiver()).await.unwrap();
    let denied = world.browse(&denied.url).await.replace("code=", "error=access_denied&x=");
    app.complete_connection(denied).await.unwrap_err();
    world.tape.answer_at("/oauth/token", 500, "Amy Shaw".to_owned());
    world.authorise(app, AMY).await.unwrap_err();
    world.tape.answer_at("/Patient/amy-shaw", 503, "Amy Shaw".to_owned());
    let connection = world.authorise(app, AMY).await.unwrap();
    world.tape.no_rule();
    app.confirm_patient(connection.id).await.unwrap_err();
    let connection = app.fetch_patient(connection.id).await.unwrap();
    app.confirm_patient(connection.id).await.unwrap();
    app.refresh_orders(connection.id).await.unwrap();
    connection
}

/// A lost answer, a busy receiver, a refused token, an unreadable answer, and then all of it.
async fn sends(world: &World, app: &Submitter, id: ConnectionId) {
    world.tape.at_bundle(1, Fate::LoseAnswer);
    submit(app, id).await;
    world.later(app).await;
    world.tape.at_bundle(1, Fate::Answer(200, "Amy Shaw 173.25".to_owned()));
    app.ingest(vec![reading_of(700, value())]).await.unwrap();
    submit(app, id).await;
    world.later(app).await;
    world.tape.no_rule();
    world.clinic.fail_next(1, 503, Some("5")).unwrap();
    app.ingest(vec![reading_of(701, value())]).await.unwrap();
    submit(app, id).await;
    world.later(app).await;
    let outcome = submit(app, id).await;
    assert!(outcome.is_complete(), "{outcome:?}");
    let submission = outcome.submissions[0];
    app.verify(submission, NO_WAIT, |_| ()).await.unwrap();
}

/// Tokens that end, another patient's, and the end.
async fn ends(world: &World, app: &Submitter, id: ConnectionId) {
    world.clinic.revoke_all_tokens().unwrap();
    app.ingest(vec![reading_of(702, value())]).await.unwrap();
    submit(app, id).await;
    world.tape.answer_at("/oauth/revoke", 503, "Amy Shaw".to_owned());
    world.authorise(app, BEN).await.unwrap_err();
    app.disconnect(id).await.unwrap();
    world.tape.no_rule();
    app.submit_now(id, own(), NO_WAIT, |_| ()).await.unwrap_err();
    app.pause().await.unwrap();
    app.resume().unwrap();
    app.erase().await.unwrap();
    app.close().await.unwrap();
}

#[tokio::test]
async fn the_log_of_a_main_job_with_faults_has_every_step_and_nothing_of_the_person() {
    let world = World::with(Sandbox::builder()).await;
    let app = world.app();
    takes_readings_in(&app).await;
    let connection = connects(&world, &app).await;
    let mut secrets_seen = secrets(&world);
    sends(&world, &app, connection.id).await;
    secrets_seen.extend(secrets(&world));
    ends(&world, &app, connection.id).await;
    secrets_seen.extend(secrets(&world));

    let steps = [
        "opened",
        "ingested",
        "imported",
        "authorisation-begun",
        "callback-accepted",
        "code-exchanged",
        "connected",
        "patient-read",
        "patient-confirmed",
        "orders-read",
        "planned",
        "delivery-begun",
        "token-needed",
        "sending",
        "no-answer",
        "answered",
        "settled",
        "waiting",
        "delivery-ended",
        "verified",
        "token-refresh",
        "no-token",
        "blocked",
        "other-patient",
        "disconnected",
        "revocation-failed",
        "pause",
        "resume",
        "erase",
        "close",
        "call-ended",
        "call-failed",
    ];
    for step in steps {
        assert!(!world.log.of(step).is_empty(), "{step} is not in {:#?}", world.log.lines());
    }
    let answered = world.log.of("answered");
    assert!(answered.iter().any(|line| line.contains("status=503")), "{answered:#?}");
    let waits = world.log.of("waiting");
    assert!(waits.iter().any(|line| line.contains("because=receiver-asked wait=")), "{waits:#?}");
    let failed = world.log.of("call-failed");
    assert!(failed.iter().any(|line| line.contains("code=patient-unknown")), "{failed:#?}");

    assert!(secrets_seen.len() > 600, "tokens and identifiers were found");
    let person = ["Amy", "Shaw", "amy", "1987-02", AMY, BEN, VALUE, "17325", SENSOR, "http"];
    secrets_seen.extend(person.map(str::to_owned));
    for line in world.log.lines() {
        let found = secrets_seen.iter().find(|secret| line.contains(secret.as_str()));
        assert_eq!(found, None, "in {line}");
    }
}

/// A sink that panics.
struct Broken;

impl LogSink for Broken {
    fn log(&self, _: &LogEntry<'_>) {
        panic!("the app's log is full");
    }
}

#[tokio::test]
async fn an_app_whose_log_panics_delivers_all_the_same() {
    let world = World::new().await;
    let with_log = |environment: Environment| environment.with_log(Arc::new(Broken));
    let app = world.app_with("me.db", with_log);
    app.register_sensor(sensor(SENSOR)).await.unwrap();
    app.ingest((0..30).map(|n| reading_of(n, value())).collect()).await.unwrap();
    let connection = world.connect(&app).await;
    assert!(submit(&app, connection).await.is_complete());
}
