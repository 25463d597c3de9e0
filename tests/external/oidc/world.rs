//! A person's phone before the real server: database, vault and clock of its own, a browser, and a
//! patient nobody else signs in as.

use crate::browser::{Browser, Person, get, post};
use crate::network::{Journal, JournalVault, Wire};
use cgm_submitter::environment::{Environment, FileLocks, NoLog, SystemEntropy, SystemTimer};
use cgm_submitter::glucose::{
    Device, GlucoseUnit, GlucoseValue, Measurement, Reading, Sensor, SensorKey, UtcOffset,
};
use cgm_submitter::store::{ConnectionId, ConnectionState};
use cgm_submitter::testing::{FixedClock, FixedZone};
use cgm_submitter::{
    Config, Connection, Error, OutcomeStatus, Receiver, SubmissionOutcome, SubmissionRequest,
    Submitter,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const REDIRECT: &str = "org.example.app:/callback";
pub(crate) const APP: &str = "cgm-app";
/// Readings of [`World::submit`].
pub(crate) const READINGS: usize = 12;

/// The tokens in the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

pub(crate) struct World {
    pub(crate) origin: String,
    /// The patient, and the name the person signs in with.
    pub(crate) patient: String,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) vault: Arc<JournalVault>,
    pub(crate) browser: Browser,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let origin = std::env::var("CGM_AUTHORISATION_SERVER").unwrap_or_default();
        assert!(
            !origin.is_empty(),
            "CGM_AUTHORISATION_SERVER is not set: run scripts/test authorisation"
        );
        let folder = tempfile::Builder::new().prefix("cgm-").tempdir().unwrap();
        let journal = Journal::new();
        Self {
            origin,
            patient: folder.path().file_name().unwrap().to_str().unwrap().to_owned(),
            clock: Arc::new(FixedClock::new("2024-07-01T08:00:00Z".parse().unwrap())),
            vault: JournalVault::new(&journal),
            journal,
            browser: Browser::default(),
            folder,
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("me.db")
    }

    /// A process of the app.
    pub(crate) fn app(&self) -> Submitter {
        let environment = Environment {
            clock: self.clock.clone(),
            timer: Arc::new(SystemTimer),
            entropy: Arc::new(SystemEntropy),
            local_time: Arc::new(FixedZone::default()),
            transport: Arc::new(Wire::new(&self.journal)),
            vault: self.vault.clone(),
            locks: Arc::new(FileLocks),
            log: Arc::new(NoLog),
        };
        Submitter::new(Config::new(self.database()), environment)
    }

    pub(crate) fn base(&self) -> String {
        format!("{}/fhir", self.origin)
    }

    pub(crate) fn token_endpoint(&self) -> String {
        format!("{}/token", self.origin)
    }

    pub(crate) fn receiver(&self, client: &str) -> Receiver {
        Receiver::new(&self.base(), client, REDIRECT).unwrap()
    }

    /// Begins, signs in and allows; what the browser came back with.
    pub(crate) async fn redirect(&self, app: &Submitter, client: &str) -> String {
        let request = app.begin_connection(self.receiver(client)).await.unwrap();
        self.browser.go(&request.url, &self.patient, Person::Allows).await.unwrap()
    }

    /// The same, and completes; confirms nothing.
    pub(crate) async fn authorise(
        &self,
        app: &Submitter,
        client: &str,
    ) -> Result<Connection, Error> {
        app.complete_connection(self.redirect(app, client).await).await
    }

    /// A confirmed connection, and readings to submit over it. The journal starts after that.
    pub(crate) async fn connected(&self, app: &Submitter, client: &str) -> ConnectionId {
        stock(app).await;
        let connection = self.authorise(app, client).await.unwrap();
        app.confirm_patient(connection.id).await.unwrap();
        self.journal.take();
        connection.id
    }

    /// The clock passes the end of every access token.
    pub(crate) fn tokens_end(&self) {
        self.clock.pass(TimeDelta::hours(1));
    }

    pub(crate) fn tokens(&self) -> Tokens {
        let entries = self.vault.entries("/token/");
        assert_eq!(entries.len(), 1, "one connection's tokens");
        let text = |field: &str| entries[0][field].as_str().unwrap().to_owned();
        Tokens { access: text("access"), refresh: text("refresh") }
    }

    pub(crate) async fn state(&self, app: &Submitter) -> ConnectionState {
        app.connections().await.unwrap()[0].state
    }

    /// What the server says happened to this patient.
    pub(crate) async fn log(&self) -> Vec<String> {
        let (status, lines) = get(&format!("{}/log/{}", self.origin, self.patient), "").await;
        assert_eq!(status, 200);
        serde_json::from_value(lines).unwrap()
    }

    /// How often the server's log has this line.
    pub(crate) async fn logged(&self, line: &str) -> usize {
        self.log().await.iter().filter(|found| *found == line).count()
    }

    /// That the server has everything, each once: the device, the readings and a summary with its
    /// members.
    pub(crate) async fn assert_taken_once(&self) {
        assert_eq!(self.logged("took Device").await, 1);
        assert_eq!(self.logged("took Observation").await, READINGS + 7);
    }

    /// Whether the server still stands by a token, by its own introspection.
    pub(crate) async fn stands_by(&self, token: &str) -> bool {
        let url = format!("{}/token/introspection", self.origin);
        let (status, answer) = post(&url, &[("client_id", APP), ("token", token)]).await;
        assert_eq!(status, 200, "{answer}");
        answer["active"].as_bool().unwrap()
    }

    /// What the FHIR base answers to this access token.
    pub(crate) async fn patient_with(&self, access: &str) -> (u16, Value) {
        get(&format!("{}/Patient/{}", self.base(), self.patient), access).await
    }

    /// A refresh as anybody makes it who has the token.
    pub(crate) async fn refresh_outside(&self, refresh: &str) -> (u16, Value) {
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", APP)];
        post(&self.token_endpoint(), &form).await
    }
}

/// The one parameter `name` of `url`.
pub(crate) fn parameter(url: &str, name: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(found, _)| found == name).unwrap().1.into_owned()
}

/// `url` with its parameter `name` changed, or without it.
pub(crate) fn with_parameter(url: &str, name: &str, value: Option<&str>) -> String {
    let mut changed = url::Url::parse(url).unwrap();
    let pairs: Vec<(String, String)> =
        changed.query_pairs().into_owned().filter(|(found, _)| found != name).collect();
    changed
        .query_pairs_mut()
        .clear()
        .extend_pairs(pairs)
        .extend_pairs(value.map(|value| (name, value)));
    changed.into()
}

async fn stock(app: &Submitter) {
    let key = SensorKey::new("demo:CGM-0001").unwrap();
    app.register_sensor(Sensor::new(
        key.clone(),
        Device::new("Demo CGM", Some("CGM-0001")).unwrap(),
    ))
    .await
    .unwrap();
    let start: DateTime<Utc> = "2024-05-01T00:00:00Z".parse().unwrap();
    let reading = |n: usize| {
        let time = start + TimeDelta::minutes(5 * i64::try_from(n).unwrap());
        let value =
            GlucoseValue::new(100 + u32::try_from(n).unwrap(), 0, GlucoseUnit::MgPerDl).unwrap();
        Reading::new(key.clone(), time, Some(UtcOffset::UTC), Measurement::Value(value))
    };
    app.ingest((0..READINGS).map(reading).collect()).await.unwrap();
}

/// Submits everything there is, waiting for nothing.
pub(crate) async fn submit(
    app: &Submitter,
    connection: ConnectionId,
) -> Result<SubmissionOutcome, Error> {
    let request = SubmissionRequest::Own {
        dates: "2024-05-01..2024-05-01".parse().unwrap(),
        unit: GlucoseUnit::MgPerDl,
    };
    // Time for a request, and too little for a wait that anybody asks for.
    app.submit_now(connection, request, Duration::from_secs(2), |_| ()).await
}

/// The same; everything goes.
pub(crate) async fn submit_all(app: &Submitter, connection: ConnectionId) {
    let outcome = submit(app, connection).await.unwrap();
    assert!(outcome.is_complete(), "{outcome:?}");
}

/// The same; the person has to authorise again.
pub(crate) async fn submit_blocked(app: &Submitter, connection: ConnectionId) {
    let outcome = submit(app, connection).await.unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Blocked(ConnectionState::NeedsReauthorisation));
}
