//! A person's phone and a clinic: the database and the vault in a folder of their own, a clock the
//! test sets, and a sandbox EHR on loopback. Each [`World::app`] is a process of the app.

use super::tape::{Tape, Wire};
use cgm_submitter::delivery::Event;
use cgm_submitter::environment::{
    BoxFuture, Clock, Entropy, Environment, FileLocks, LocalTime, LogEntry, LogSink, NamedZone,
    SystemEntropy, SystemTimer, Timer, Transport, Vault, VaultError,
};
use cgm_submitter::glucose::{
    Device, GlucoseUnit, GlucoseValue, Measurement, Reading, Sensor, SensorKey, UtcOffset,
};
use cgm_submitter::store::ConnectionId;
use cgm_submitter::testing::{FileVault, FixedClock, FixedZone};
use cgm_submitter::transport::HttpTransport;
use cgm_submitter::{
    Config, Connection, Error, OutcomeStatus, Receiver, SubmissionOutcome, SubmissionRequest,
    Submitter,
};
use chrono::{DateTime, TimeDelta, Utc};
use sandbox_ehr::{Sandbox, SandboxBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const REDIRECT: &str = "org.example.app:/callback";
pub(crate) const AMY: &str = "amy-shaw";
pub(crate) const BEN: &str = "ben-okafor";
/// Codes of what a receiver holds.
pub(crate) const MASS: &str = "99504-3";
pub(crate) const MOLAR: &str = "105272-9";
pub(crate) const SUMMARY: &str = "107931-8";
/// Entries of a summary: itself and its members.
pub(crate) const SUMMARY_ENTRIES: u64 = 7;
/// The sensor of generated readings.
pub(crate) const SENSOR: &str = "demo:CGM-0001";
/// When generated readings begin: a local midnight.
pub(crate) const START: &str = "2024-05-01T00:00:00Z";
/// Time enough for requests, which take none by the world's clock, and none for any wait.
pub(crate) const NO_WAIT: Duration = Duration::from_millis(1_001);

/// As long as a request that was given [`NO_WAIT`] may be at work after its sender died.
pub(crate) const LEASE: TimeDelta = TimeDelta::seconds(12);

/// The world's clock as an app sees it: no time passes but what the test lets pass.
struct Standing(Arc<FixedClock>);

impl Clock for Standing {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.passed()
    }
}

/// Waits in real time; but a request may take its time, however little the clock that stands has
/// left for it.
struct TestTimer;

impl Timer for TestTimer {
    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        SystemTimer.sleep(if wait == NO_WAIT { Duration::from_mins(1) } else { wait })
    }
}

/// A vault that forgets with the world.
#[derive(Default)]
pub(crate) struct MemoryVault(pub(crate) Mutex<BTreeMap<String, String>>);

impl Vault for MemoryVault {
    fn load(&self, name: &str) -> Result<Option<SecretString>, VaultError> {
        Ok(self.0.lock().unwrap().get(name).map(|text| SecretString::from(text.clone())))
    }

    fn save(&self, name: &str, value: &SecretString) -> Result<(), VaultError> {
        self.0.lock().unwrap().insert(name.to_owned(), value.expose_secret().to_owned());
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), VaultError> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
}

/// Every line that an app logged.
#[derive(Default)]
pub(crate) struct KeptLog(Mutex<Vec<String>>);

impl LogSink for KeptLog {
    fn log(&self, entry: &LogEntry<'_>) {
        self.0.lock().unwrap().push(format!("{:?} {entry}", entry.level));
    }
}

impl KeptLog {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Lines of this step.
    pub(crate) fn of(&self, step: &str) -> Vec<String> {
        let is = |line: &String| line.split(' ').nth(1) == Some(step);
        self.lines().into_iter().filter(is).collect()
    }
}

pub(crate) struct World {
    pub(crate) log: Arc<KeptLog>,
    pub(crate) clinic: Sandbox,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) tape: Arc<Tape>,
    vault: Arc<dyn Vault>,
    secrets: Arc<MemoryVault>,
    local_time: Arc<dyn LocalTime>,
}

impl World {
    /// A clinic that follows the guide, and approves as Amy by itself.
    pub(crate) async fn new() -> Self {
        Self::with(Sandbox::builder()).await
    }

    /// A clinic of another kind.
    pub(crate) async fn with(builder: SandboxBuilder) -> Self {
        let vault = Arc::new(MemoryVault::default());
        Self {
            clinic: builder.auto_approve(AMY).start().await.unwrap(),
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(FixedClock::new("2024-07-01T08:00:00Z".parse().unwrap())),
            tape: Arc::default(),
            log: Arc::default(),
            vault: vault.clone(),
            secrets: vault,
            local_time: Arc::new(FixedZone::default()),
        }
    }

    /// With the vault in files: each process reads it anew.
    pub(crate) fn with_file_vault(mut self) -> Self {
        self.vault = Arc::new(FileVault::new(self.folder.path().join("vault")));
        self
    }

    /// With a person who lives in this zone.
    pub(crate) fn living_in(mut self, zone: NamedZone) -> Self {
        self.local_time = Arc::new(zone);
        self
    }

    pub(crate) fn database(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A process of the app, over the person's database.
    pub(crate) fn app(&self) -> Submitter {
        self.app_on("me.db")
    }

    pub(crate) fn app_on(&self, database: &str) -> Submitter {
        self.app_with(database, |environment| environment)
    }

    /// The same, with parts of its environment changed.
    pub(crate) fn app_with(
        &self,
        database: &str,
        change: impl FnOnce(Environment) -> Environment,
    ) -> Submitter {
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let transport: Arc<dyn Transport> = Arc::new(Wire::new(&self.tape));
        let environment = Environment {
            clock: Arc::new(Standing(self.clock.clone())),
            timer: Arc::new(TestTimer),
            entropy,
            local_time: self.local_time.clone(),
            transport,
            vault: self.vault.clone(),
            locks: Arc::new(FileLocks),
            log: self.log.clone(),
        };
        Submitter::new(Config::new(self.database(database)), change(environment))
    }

    pub(crate) fn receiver(&self) -> Receiver {
        Receiver::new(&self.clinic.base_url(), &self.clinic.client_id(), REDIRECT).unwrap()
    }

    /// What the browser comes back with, the clinic approving by itself.
    pub(crate) async fn browse(&self, url: &str) -> String {
        let request = http::Request::get(url).body(Vec::new()).unwrap();
        let response = HttpTransport::new().unwrap().send(request).await.unwrap();
        response.headers()["location"].to_str().unwrap().to_owned()
    }

    /// Authorises as this patient; confirms nothing.
    pub(crate) async fn authorise(
        &self,
        app: &Submitter,
        patient: &str,
    ) -> Result<Connection, Error> {
        self.clinic.set_auto_approve(Some(patient)).unwrap();
        let request = app.begin_connection(self.receiver()).await?;
        app.complete_connection(self.browse(&request.url).await).await
    }

    /// Authorises as Amy, with leave to look at what was sent, and confirms.
    pub(crate) async fn connect_with_read_back(&self, app: &Submitter) -> ConnectionId {
        let request = app.begin_connection(self.receiver().with_read_back()).await.unwrap();
        let connection = app.complete_connection(self.browse(&request.url).await).await.unwrap();
        app.confirm_patient(connection.id).await.unwrap();
        connection.id
    }

    /// Authorises as Amy and confirms.
    pub(crate) async fn connect(&self, app: &Submitter) -> ConnectionId {
        let connection = self.authorise(app, AMY).await.unwrap();
        app.confirm_patient(connection.id).await.unwrap();
        connection.id
    }

    /// An app with `count` readings and a confirmed connection; the tape starts after that.
    pub(crate) async fn ready(&self, count: usize) -> (Submitter, ConnectionId) {
        let app = self.app();
        stock(&app, count).await;
        let connection = self.connect(&app).await;
        self.tape.clear();
        (app, connection)
    }

    /// What the clinic holds of Amy, by type or code.
    pub(crate) fn holds(&self, code: &str) -> Vec<Value> {
        self.clinic.resources(AMY, code).unwrap()
    }

    /// That the clinic has Amy's generated readings, each once, with the device and one summary.
    pub(crate) fn assert_complete(&self, readings: usize) {
        self.assert_readings(readings);
        assert_eq!(self.holds("Device").len(), 1, "one device");
        assert_eq!(self.holds(SUMMARY).len(), 1, "one summary");
    }

    /// Asserts that the clinic has this many readings of Amy's in mg/dL, no identifier and no
    /// instant twice.
    pub(crate) fn assert_readings(&self, count: usize) {
        let held = self.holds(MASS);
        assert_eq!(held.len(), count, "readings at the clinic");
        let unique: HashSet<_> = held.iter().map(identifier).collect();
        assert_eq!(unique.len(), count, "identifiers are unique");
        let instants: HashSet<_> =
            held.iter().map(|r| r["effectiveDateTime"].as_str().unwrap().to_owned()).collect();
        assert_eq!(instants.len(), count, "instants are unique");
    }

    /// The secrets in the vault, as text.
    pub(crate) fn vault_texts(&self) -> Vec<String> {
        self.secrets.0.lock().unwrap().values().cloned().collect()
    }

    /// A clock jump past the time in which a request of a killed process may still arrive, then all
    /// that is due.
    pub(crate) async fn later(&self, app: &Submitter) {
        for _ in 0..10 {
            self.clock.pass(TimeDelta::seconds(30));
            app.run_due(NO_WAIT, |_| ()).await.unwrap();
        }
    }
}

pub(crate) fn identifier(resource: &Value) -> String {
    resource["identifier"][0]["value"].as_str().unwrap().to_owned()
}

/// The request of all generated readings: what the person chose.
pub(crate) fn own() -> SubmissionRequest {
    SubmissionRequest::Own {
        dates: "2024-05-01..2024-05-14".parse().unwrap(),
        unit: GlucoseUnit::MgPerDl,
    }
}

/// Submits what the person chose, waiting for nothing.
pub(crate) async fn submit(app: &Submitter, connection: ConnectionId) -> SubmissionOutcome {
    app.submit_now(connection, own(), NO_WAIT, |_: Event| ()).await.unwrap()
}

/// The same; everything goes.
pub(crate) async fn submit_all(app: &Submitter, connection: ConnectionId) -> SubmissionOutcome {
    let outcome = submit(app, connection).await;
    assert_eq!(outcome.status, OutcomeStatus::Done);
    outcome
}

pub(crate) fn sensor(key: &str) -> Sensor {
    Sensor::new(SensorKey::new(key).unwrap(), Device::new("Demo CGM", Some(key)).unwrap())
}

pub(crate) fn mg(value: u32) -> Measurement {
    Measurement::Value(GlucoseValue::new(value, 0, GlucoseUnit::MgPerDl).unwrap())
}

pub(crate) fn molar(text: &str) -> Measurement {
    Measurement::Value(GlucoseValue::parse(text, GlucoseUnit::MmolPerL).unwrap())
}

/// The reading number `n`, five minutes after the one before.
pub(crate) fn reading_of(n: usize, measurement: Measurement) -> Reading {
    let start: DateTime<Utc> = START.parse().unwrap();
    let time = start + TimeDelta::minutes(5 * i64::try_from(n).unwrap());
    Reading::new(SensorKey::new(SENSOR).unwrap(), time, Some(UtcOffset::UTC), measurement)
}

pub(crate) fn reading(n: usize) -> Reading {
    reading_of(n, mg(90 + u32::try_from(n % 70).unwrap()))
}

/// Stores this many readings.
pub(crate) async fn stock(app: &Submitter, count: usize) {
    app.register_sensor(sensor(SENSOR)).await.unwrap();
    let report = app.ingest((0..count).map(reading).collect()).await.unwrap();
    assert_eq!(report.stored, count);
}
