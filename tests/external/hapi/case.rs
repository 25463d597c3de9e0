//! One test's own person, phone and way to the server.

use crate::facts::{FIRST_SENSOR, Fact};
use crate::read_back::Record;
use crate::server::Server;
use crate::world::{NO_WAIT, World, sensor};
use cgm_submitter::glucose::GlucoseUnit;
use cgm_submitter::store::ConnectionId;
use cgm_submitter::{OutcomeStatus, SubmissionOutcome, SubmissionRequest, Submitter};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use sandbox_ehr::{Sandbox, SandboxBuilder};

/// Readings in mg/dL at the server.
pub(crate) const MASS: &str = "99504-3";
/// And in mmol/L.
pub(crate) const MOLAR: &str = "105272-9";
/// The dates of [`ordinary`](crate::facts::ordinary) facts.
pub(crate) const MAY: &str = "2024-05-01..2024-05-14";

pub(crate) struct Case {
    pub(crate) server: Server,
    pub(crate) world: World,
    pub(crate) patient: String,
}

impl Case {
    pub(crate) async fn new() -> Self {
        Self::with(|front| front).await
    }

    /// With something about the proxy in front changed.
    pub(crate) async fn with(change: impl FnOnce(SandboxBuilder) -> SandboxBuilder) -> Self {
        let server = Server::new();
        let patient = server.admit().await;
        let world = World::with(change(Sandbox::builder().in_front_of(&server.base))).await;
        Self { server, world, patient }
    }

    /// With a person of this zone, and at this time.
    pub(crate) fn living_in(mut self, zone: Tz, now: &str) -> Self {
        self.world = self.world.living_in(crate::zone::zone(zone));
        let now: DateTime<Utc> = now.parse().unwrap();
        self.world.clock.pass(now - cgm_submitter::environment::Clock::now(&*self.world.clock));
        self
    }

    /// A phone with these readings, its device showing `unit`, connected with leave to look at what
    /// was sent, and confirmed.
    pub(crate) async fn phone(
        &self,
        database: &str,
        facts: &[Fact],
        unit: GlucoseUnit,
    ) -> (Submitter, ConnectionId) {
        let app = self.world.app_on(database);
        store(&app, facts, unit).await;
        self.world.clinic.set_auto_approve(Some(&self.patient)).unwrap();
        let login = app.begin_connection(self.world.receiver().with_read_back()).await.unwrap();
        let connection =
            app.complete_connection(self.world.browse(&login.url).await).await.unwrap();
        assert_eq!(connection.patient.name.as_deref(), Some("Nora Nilsen"));
        app.confirm_patient(connection.id).await.unwrap();
        self.world.tape.clear();
        (app, connection.id)
    }

    /// A clock jump past the time in which a lost request may still be under way, then all that is
    /// due, until nothing is.
    pub(crate) async fn later(&self, app: &Submitter) -> cgm_submitter::submission::Tally {
        let mut tally = cgm_submitter::submission::Tally::default();
        for _ in 0..10 {
            self.world.clock.pass(TimeDelta::seconds(30));
            tally.add(&app.run_due(NO_WAIT, |_| ()).await.unwrap().tally);
        }
        tally
    }

    pub(crate) async fn record(&self) -> Record {
        Record::of(&self.server, &self.patient).await
    }

    /// That the server has exactly these readings, each once, with one device and one summary.
    pub(crate) async fn assert_holds(&self, code: &str, facts: &[Fact]) -> Record {
        let record = self.record().await;
        let mut expected = facts.to_vec();
        expected.sort();
        let found = record.facts(code);
        if let Some((expected, found)) =
            expected.iter().zip(&found).find(|(expected, found)| expected != found)
        {
            panic!("expected {expected:?}, found {found:?}");
        }
        assert_eq!(found.len(), expected.len(), "readings at the server");
        assert_eq!(
            (record.devices.as_slice(), record.summaries.len()),
            ([FIRST_SENSOR.to_owned()].as_slice(), 1)
        );
        record
    }
}

/// Stores facts, their sensors made known before.
pub(crate) async fn store(app: &Submitter, facts: &[Fact], unit: GlucoseUnit) {
    let mut keys: Vec<&str> = facts.iter().map(|fact| fact.sensor.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        app.register_sensor(sensor(key)).await.unwrap();
    }
    let report = app.ingest(facts.iter().map(|fact| fact.reading(unit)).collect()).await.unwrap();
    assert!(report.rejected.is_empty());
}

pub(crate) fn request(dates: &str, unit: GlucoseUnit) -> SubmissionRequest {
    SubmissionRequest::Own { dates: dates.parse().unwrap(), unit }
}

/// Submits, waiting for nothing.
pub(crate) async fn submit(
    app: &Submitter,
    connection: ConnectionId,
    request: SubmissionRequest,
) -> SubmissionOutcome {
    app.submit_now(connection, request, NO_WAIT, |_| ()).await.unwrap()
}

/// The same; everything gets an outcome.
pub(crate) async fn submit_all(
    app: &Submitter,
    connection: ConnectionId,
    request: SubmissionRequest,
) -> SubmissionOutcome {
    let outcome = submit(app, connection, request).await;
    assert_eq!(outcome.status, OutcomeStatus::Done);
    outcome
}
