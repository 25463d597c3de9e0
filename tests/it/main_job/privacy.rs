//! Nothing of a person reaches a log: no token, name, birth date, patient id or glucose value in
//! what can be printed.

use crate::tape::Fate;
use crate::world::{AMY, BEN, NO_WAIT, SENSOR, World, own, reading_of, sensor, submit};
use cgm_submitter::glucose::{GlucoseUnit, GlucoseValue, Measurement};
use cgm_submitter::store::ConnectionId;
use cgm_submitter::{Receiver, SubmissionRequest, Submitter};
use serde_json::{Value, json};
use std::fmt::{Debug, Display};
use std::sync::{Arc, Mutex};

/// Everything that was printed.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn debug(&self, value: &impl Debug) {
        self.0.lock().unwrap().push(format!("{value:?} {value:#?}"));
    }

    fn error(&self, error: &(impl Debug + Display)) {
        self.debug(error);
        self.0.lock().unwrap().push(error.to_string());
    }

    fn assert_without(&self, secrets: &[String], logged: Vec<String>) {
        let mut lines = self.0.lock().unwrap();
        lines.extend(logged);
        assert!(lines.len() > 20);
        for secret in secrets {
            assert!(secret.len() > 2);
            let found = lines.iter().find(|line| line.contains(secret.as_str()));
            assert!(found.is_none(), "{secret} in {}", found.unwrap());
        }
    }
}

/// Every text in the vault's entries that could be a secret.
fn secrets_in(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= 20 && !text.contains("://") && !text.contains(' ') => {
            found.push(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| secrets_in(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| secrets_in(field, found)),
        _ => {}
    }
}

/// A value that is nowhere else.
fn value() -> GlucoseValue {
    GlucoseValue::parse("173.25", GlucoseUnit::MgPerDl).unwrap()
}

/// A day of the app: all that can be printed is, and all that must not be in it is known.
struct Day {
    log: Log,
    world: World,
    app: Submitter,
    secrets: Vec<String>,
}

impl Day {
    async fn new() -> Self {
        let world = World::new().await;
        let secrets = ["Amy", "Shaw", "1987-02-20", AMY, BEN, "173.25", "173,25", "17325"];
        Self {
            log: Log::default(),
            app: world.app(),
            world,
            secrets: secrets.map(str::to_owned).to_vec(),
        }
    }

    async fn takes_readings_in(&self) {
        let Self { log, app, .. } = self;
        app.register_sensor(sensor(SENSOR)).await.unwrap();
        let readings: Vec<_> =
            (0..30).map(|n| reading_of(n, Measurement::Value(value()))).collect();
        log.debug(&readings[0].measurement());
        log.debug(&value());
        log.debug(app);
        log.debug(&app.ingest(readings).await.unwrap());
        let file = "time,value,unit\n2024-05-02T08:15:00+02:00,173.25,mg/dL\n\
            2024-05-02T08:20:00+02:00,1732500,mg/dL\n";
        log.debug(&app.import(file.as_bytes().to_vec(), None).await.unwrap());
        log.error(&app.import(b"Amy Shaw;173.25\n".to_vec(), None).await.unwrap_err());
        log.error(
            &Receiver::new("http://Amy:Shaw@ehr.example.org/173.25", "amy-shaw", "x").unwrap_err(),
        );
    }

    /// Connecting, well and badly.
    async fn connects(&mut self) -> ConnectionId {
        let Self { log, world, app, .. } = &*self;
        let mut found = Vec::new();
        let receiver = world.receiver();
        let request = app.begin_connection(receiver).await.unwrap();
        log.debug(&request);
        found.push(request.state.clone());
        for text in world.vault_texts() {
            secrets_in(&serde_json::from_str(&text).unwrap_or_default(), &mut found);
        }
        let redirect = world.browse(&request.url).await;
        let code = redirect.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        found.push(code);
        log.error(
            &app.complete_connection(redirect.replace("code=", "error=amy-shaw&x="))
                .await
                .unwrap_err(),
        );
        let connection = world.authorise(app, AMY).await.unwrap();
        log.debug(&connection);
        log.debug(&connection.patient);
        log.error(&app.submit_now(connection.id, own(), NO_WAIT, |_| ()).await.unwrap_err());
        log.error(&app.confirm_patient(ConnectionId(77)).await.unwrap_err());
        app.confirm_patient(connection.id).await.unwrap();
        for text in world.vault_texts() {
            secrets_in(&serde_json::from_str(&text).unwrap_or_default(), &mut found);
        }
        assert!(found.len() > 3, "the tokens in the vault were found");
        let id = connection.id;
        self.secrets.append(&mut found);
        id
    }

    /// Sending: events, a preview, an outcome with the receiver's own, tactless words.
    async fn sends(&self, id: ConnectionId) {
        let Self { log, world, app, .. } = self;
        log.debug(&app.refresh_orders(id).await.unwrap());
        log.debug(&app.preview(id, own()).await.unwrap());
        log.debug(&app.summary("2024-05-01..2024-05-14".parse().unwrap()).await.unwrap());
        let words = json!({"resourceType": "OperationOutcome", "issue": [
            {"severity": "error", "code": "invalid", "diagnostics": "Amy Shaw's 173.25 is too \
                high"}]});
        let entries: Vec<_> = (0..31)
            .map(|n| match n {
                0 => json!({"response": {"status": "422", "outcome": words}}),
                n => json!({"response": {"status": "201", "location": format!("Observation/{n}")}}),
            })
            .collect();
        let answer =
            json!({"resourceType": "Bundle", "type": "transaction-response", "entry": entries})
                .to_string();
        world.tape.at_bundle(3, Fate::Answer(200, answer));
        let events = log.clone();
        let outcome =
            app.submit_now(id, own(), NO_WAIT, move |event| events.debug(&event)).await.unwrap();
        assert!(
            outcome.refused[0].reason.contains("173.25"),
            "the person sees the receiver's own words"
        );
        log.debug(&outcome);
        log.debug(&outcome.refused[0]);
        log.debug(&app.quarantine(id).await.unwrap());
        log.debug(&app.run_due(NO_WAIT, |_| ()).await.unwrap());
    }

    async fn fails(&self, id: ConnectionId) {
        let Self { log, world, app, .. } = self;
        world.tape.rule(|_| Fate::Answer(500, "Amy Shaw 173.25".to_owned()));
        log.error(&app.refresh_orders(id).await.unwrap_err());
        log.error(&app.begin_connection(world.receiver()).await.unwrap_err());
        world.tape.rule(|_| Fate::Answer(200, "Amy Shaw 173.25".to_owned()));
        log.error(&app.refresh_orders(id).await.unwrap_err());
        log.error(&app.begin_connection(world.receiver()).await.unwrap_err());
        world.tape.no_rule();
        world.clinic.set_orders(AMY, &[]).unwrap();
        app.refresh_orders(id).await.unwrap();
        log.error(
            &app.submit_now(id, SubmissionRequest::Ordered, NO_WAIT, |_| ()).await.unwrap_err(),
        );
        world.clinic.revoke_all_tokens().unwrap();
        app.ingest(vec![reading_of(40, Measurement::Value(value()))]).await.unwrap();
        log.debug(&submit(app, id).await);
        log.error(&app.refresh_orders(id).await.unwrap_err());
        log.error(&world.authorise(app, BEN).await.unwrap_err());
        log.debug(&app.connections().await.unwrap());
        log.debug(&app.disconnect(id).await.unwrap());
        log.error(&app.submit_now(id, own(), NO_WAIT, |_| ()).await.unwrap_err());
    }
}

#[tokio::test]
async fn nothing_of_a_person_is_in_what_can_be_printed() {
    let mut day = Day::new().await;
    day.takes_readings_in().await;
    let connection = day.connects().await;
    day.sends(connection).await;
    day.fails(connection).await;
    day.log.assert_without(&day.secrets, day.world.log.lines());
}
