//! Connecting to a receiver, keeping its tokens fresh and ending it, against a small authorisation server in memory.
#![cfg(feature = "shell")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cgm_submitter::connect::{
    AuthorizationRequest, ConnectError, Connector, EndpointError, ForeignOrigin, ReauthorisationCause, Receiver,
    Revocation, TokenError,
};
use cgm_submitter::environment::{
    BoxFuture, Clock, Environment, EnvironmentError, LocalTime, Locks, SystemEntropy, Transport, TransportError, Vault,
    VaultError,
};
use cgm_submitter::glucose::{UtcOffset, ZoneOffsets};
use cgm_submitter::smart::{BaseError, CallbackError, DiscoveryError, ResourceType, SearchToken, TokenResponseError};
use cgm_submitter::store::{ConnectionId, ConnectionRecord, ConnectionState, Store, StoreHandle};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

const BASE: &str = "https://ehr.example/fhir";
const REDIRECT: &str = "com.example.app:/callback";

/// What a request looked like at the server.
#[derive(Clone, Debug)]
struct Seen {
    url: String,
    token: Option<String>,
    form: BTreeMap<String, String>,
}

/// How the server behaves, and what it knows.
struct State {
    configuration: Value,
    metadata: Value,
    patient: Option<&'static str>,
    refreshed_patient: Option<&'static str>,
    person_status: u16,
    expires_in: Option<i64>,
    offline: bool,
    rotates: bool,
    granular: bool,
    /// Acts on the next token request, and loses the answer.
    lose_next_answer: bool,
    /// Fails the next token request before acting on it.
    fail_next: Option<TransportError>,
    /// Answers the next token request with a status and body instead of acting on it.
    answer_next: Option<(u16, &'static str)>,
    codes: HashMap<String, (String, String)>,
    refresh: Option<String>,
    issued: u32,
    revoked: Vec<String>,
    seen: Vec<Seen>,
}

struct Server(Mutex<State>);

impl Server {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    fn seen(&self, path: &str) -> Vec<Seen> {
        self.with(|state| state.seen.iter().filter(|seen| seen.url.contains(path)).cloned().collect())
    }

    /// What the person does in the browser: sign in and allow.
    fn browser(&self, request: &AuthorizationRequest) -> String {
        let url = url::Url::parse(&request.url).unwrap();
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        self.with(|state| {
            if !state.granular && query["scope"].contains('?') {
                return format!("{REDIRECT}?error=invalid_scope&state={}", query["state"]);
            }
            assert_eq!((query["aud"].as_str(), query["code_challenge_method"].as_str()), (BASE, "S256"));
            state.issued += 1;
            let code = format!("code-{}", state.issued);
            state.codes.insert(code.clone(), (query["code_challenge"].clone(), query["scope"].clone()));
            format!("{REDIRECT}?code={code}&state={}", query["state"])
        })
    }
}

impl State {
    fn grant(&mut self, patient: Option<&str>, scope: Option<String>) -> (u16, Value) {
        self.issued += 1;
        let mut body =
            json!({"access_token": format!("access-{}", self.issued), "token_type": "bearer", "id_token": "x"});
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body[name] = value;
            }
        };
        set("expires_in", self.expires_in.map(Value::from));
        set("patient", patient.map(Value::from));
        set("scope", scope.map(Value::from));
        if self.offline && (self.refresh.is_none() || self.rotates) {
            let refresh = format!("refresh-{}", self.issued);
            set("refresh_token", Some(refresh.clone().into()));
            self.refresh = Some(refresh);
        }
        (200, body)
    }

    fn token(&mut self, form: &BTreeMap<String, String>) -> (u16, Value) {
        let refused = (400, json!({"error": "invalid_grant", "error_description": "for Jane Doe"}));
        assert_eq!(form.get("client_id").map(String::as_str), Some("my-app"));
        assert!(!form.contains_key("client_secret"));
        match form["grant_type"].as_str() {
            "authorization_code" => {
                let Some((challenge, scope)) = self.codes.remove(&form["code"]) else { return refused };
                let proof = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
                assert_eq!((proof, form["redirect_uri"].as_str()), (challenge, REDIRECT));
                self.refresh = None;
                self.grant(self.patient, Some(scope))
            }
            "refresh_token" if self.refresh.as_ref() == Some(&form["refresh_token"]) => {
                self.grant(self.refreshed_patient, None)
            }
            // A token that was replaced ends the whole family.
            "refresh_token" => {
                self.refresh = None;
                refused
            }
            _ => (400, json!({"error": "unsupported_grant_type"})),
        }
    }

    fn answer(&mut self, seen: &Seen) -> Result<(u16, Value), TransportError> {
        let path = url::Url::parse(&seen.url).unwrap().path().to_owned();
        Ok(match path.as_str() {
            "/fhir/.well-known/smart-configuration" => (200, self.configuration.clone()),
            "/fhir/metadata" => (200, self.metadata.clone()),
            "/token" => {
                if let Some(error) = self.fail_next.take() {
                    return Err(error);
                }
                if let Some((status, body)) = self.answer_next.take() {
                    return Ok((status, serde_json::from_str(body).unwrap_or_else(|_| body.into())));
                }
                let answer = self.token(&seen.form);
                if std::mem::take(&mut self.lose_next_answer) {
                    return Err(TransportError::Broken);
                }
                answer
            }
            "/revoke" => {
                self.revoked.push(seen.form["token"].clone());
                (200, json!({}))
            }
            _ => match path.strip_prefix("/fhir/Patient/") {
                Some(id) => (
                    self.person_status,
                    json!({"resourceType": "Patient", "id": id, "birthDate": "1980-02-29",
                        "name": [{"given": ["Ana"], "family": "Popescu"}]}),
                ),
                None => (404, json!({})),
            },
        })
    }
}

impl Transport for Server {
    fn send(&self, request: http::Request<Vec<u8>>) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        Box::pin(async move {
            // A server takes its time: two callers would meet here if nothing kept them apart.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let token = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
            let form = url::form_urlencoded::parse(request.body()).into_owned().collect();
            let seen = Seen { url: request.uri().to_string(), token, form };
            let (status, body) = self.with(|state| {
                state.seen.push(seen.clone());
                state.answer(&seen)
            })?;
            let response = http::Response::builder().status(status).header("content-type", "application/json");
            Ok(response.header("retry-after", "120").body(serde_json::to_vec(&body).unwrap()).unwrap())
        })
    }
}

#[derive(Default)]
struct MemoryVault {
    entries: Mutex<BTreeMap<String, String>>,
    locked: Mutex<bool>,
    /// How many saves still work; none where all do.
    saves: Mutex<Option<usize>>,
}

impl MemoryVault {
    fn names(&self, part: &str) -> Vec<String> {
        self.entries.lock().unwrap().keys().filter(|name| name.contains(part)).cloned().collect()
    }

    fn check(&self) -> Result<(), VaultError> {
        if *self.locked.lock().unwrap() { Err(VaultError::Unavailable) } else { Ok(()) }
    }
}

impl Vault for MemoryVault {
    fn load(&self, name: &str) -> Result<Option<SecretString>, VaultError> {
        self.check()?;
        Ok(self.entries.lock().unwrap().get(name).map(|text| SecretString::from(text.clone())))
    }

    fn save(&self, name: &str, value: &SecretString) -> Result<(), VaultError> {
        self.check()?;
        if let Some(left) = self.saves.lock().unwrap().as_mut() {
            *left = left.checked_sub(1).ok_or(VaultError::Failed)?;
        }
        self.entries.lock().unwrap().insert(name.to_owned(), value.expose_secret().to_owned());
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), VaultError> {
        self.check()?;
        self.entries.lock().unwrap().remove(name);
        Ok(())
    }
}

struct TestClock(Mutex<DateTime<Utc>>);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

struct Utc0;

impl LocalTime for Utc0 {
    fn offsets(&self, _: DateTime<Utc>, _: DateTime<Utc>) -> Result<ZoneOffsets, EnvironmentError> {
        Ok(ZoneOffsets::fixed(UtcOffset::from_minutes(0).unwrap()))
    }
}

/// A phone and a receiver. Each [`process`](Self::process) opens the same database and vault anew.
struct World {
    folder: tempfile::TempDir,
    server: Arc<Server>,
    vault: Arc<MemoryVault>,
    clock: Arc<TestClock>,
}

impl World {
    fn new() -> Self {
        let state = State {
            configuration: json!({
                "authorization_endpoint": "https://auth.example/authorize", "token_endpoint": "https://auth.example/token",
                "revocation_endpoint": "https://auth.example/revoke", "code_challenge_methods_supported": ["S256"],
                "capabilities": ["launch-standalone", "client-public", "permission-v2"],
            }),
            metadata: json!({"resourceType": "CapabilityStatement",
                "instantiates": ["http://hl7.org/fhir/uv/cgm/CapabilityStatement/cgm-data-receiver"]}),
            patient: Some("patient-1"),
            refreshed_patient: Some("patient-1"),
            person_status: 200,
            expires_in: Some(3600),
            offline: true,
            rotates: true,
            granular: true,
            lose_next_answer: false,
            fail_next: None,
            answer_next: None,
            codes: HashMap::new(),
            refresh: None,
            issued: 0,
            revoked: Vec::new(),
            seen: Vec::new(),
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            server: Arc::new(Server(Mutex::new(state))),
            vault: Arc::default(),
            clock: Arc::new(TestClock(Mutex::new("2024-05-01T08:00:00Z".parse().unwrap()))),
        }
    }

    fn store(&self) -> StoreHandle {
        StoreHandle::new(Store::open(&self.folder.path().join("cgm.db")).unwrap())
    }

    fn process(&self) -> Connector {
        let environment = Environment {
            clock: self.clock.clone(),
            entropy: Arc::new(SystemEntropy),
            local_time: Arc::new(Utc0),
            transport: self.server.clone(),
            vault: self.vault.clone(),
        };
        Connector::new(self.store(), environment, Locks::new(self.folder.path().join("locks")), "db-1")
    }

    fn pass(&self, delta: TimeDelta) {
        *self.clock.0.lock().unwrap() += delta;
    }

    async fn connect(&self, connector: &Connector) -> Result<ConnectionRecord, ConnectError> {
        let request = connector.begin(&receiver()).await?;
        connector.complete(&self.server.browser(&request)).await
    }

    async fn record(&self, id: ConnectionId) -> ConnectionRecord {
        self.store().call(move |store| store.connection(id)).await.unwrap()
    }

    fn refreshes(&self) -> Vec<String> {
        let tokens = self.server.seen("/token").into_iter();
        tokens.filter_map(|seen| seen.form.get("refresh_token").cloned()).collect()
    }
}

fn receiver() -> Receiver {
    Receiver::new(BASE, "my-app", REDIRECT).unwrap()
}

/// The token a request would carry.
fn carried(token: &cgm_submitter::connect::AccessToken) -> String {
    let request = http::Request::get(format!("{BASE}/ServiceRequest")).body(Vec::new()).unwrap();
    let request = token.authorised_request(request).unwrap();
    request.headers()["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned()
}

#[tokio::test]
async fn a_connection_begun_in_one_process_is_completed_in_another() {
    let world = World::new();
    let request = world.process().begin(&receiver()).await.unwrap();
    assert_eq!(request.expires_at, world.clock.now() + TimeDelta::hours(1));
    let back = world.server.browser(&request);

    let connector = world.process();
    let record = connector.complete(&back).await.unwrap();
    assert_eq!((record.state, record.patient.as_str()), (ConnectionState::Unconfirmed, "patient-1"));
    assert_eq!(record.details.patient_name.as_deref(), Some("Ana Popescu"));
    assert_eq!(record.details.birth_date.as_deref(), Some("1980-02-29"));
    assert_eq!(record.details.dialect.as_deref(), Some("hl7-cgm"));
    assert!(record.details.scopes.contains("patient/Observation.cu?category=laboratory"));

    let record = connector.confirm(record.id).await.unwrap();
    assert_eq!((record.state, record.details.confirmed), (ConnectionState::Active, true));
    assert!(world.record(record.id).await == record);
    let token = world.process().access_token(record.id).await.unwrap();
    assert!(token.scopes().may_create(ResourceType::Observation, Some(SearchToken::LABORATORY)));
    assert_eq!(world.vault.names("pending"), Vec::<String>::new());
    assert_eq!(world.vault.names("token"), ["cgm/db-1/token/1"]);
}

#[tokio::test]
async fn a_callback_counts_once() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = world.server.browser(&request);
    let (one, two) = tokio::join!(connector.complete(&back), connector.complete(&back));
    assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|ok| **ok).count(), 1);
    assert!(matches!(connector.complete(&back).await, Err(ConnectError::UnknownAuthorisation)));
    assert_eq!(world.server.seen("/token").len(), 1);
}

#[tokio::test]
async fn a_callback_from_elsewhere_is_refused_and_the_right_one_still_counts() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = world.server.browser(&request);
    let forged = format!("{REDIRECT}?code=evil&state=other");
    assert!(matches!(connector.complete(&forged).await, Err(ConnectError::UnknownAuthorisation)));
    let elsewhere = back.replace("com.example.app", "com.evil.app");
    let error = connector.complete(&elsewhere).await.unwrap_err();
    assert!(matches!(error, ConnectError::Callback(CallbackError::OtherRedirectUri)), "{error}");
    assert_eq!(world.server.seen("/token").len(), 0);
    assert!(connector.complete(&back).await.is_ok());
}

#[tokio::test]
async fn a_refusal_in_the_browser_is_told_apart_and_ends_the_authorisation() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = format!("{REDIRECT}?error=access_denied&state={}", request.state);
    let error = connector.complete(&back).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("access-denied", false));
    assert_eq!(world.vault.names("pending"), Vec::<String>::new());
}

#[tokio::test]
async fn a_late_callback_is_refused_and_leaves_nothing_behind() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = world.server.browser(&request);
    world.pass(TimeDelta::hours(2));
    assert!(matches!(connector.complete(&back).await, Err(ConnectError::Callback(CallbackError::Expired))));
    assert_eq!(world.vault.names("pending"), Vec::<String>::new());
}

#[tokio::test]
async fn authorisations_nobody_finished_are_removed() {
    let world = World::new();
    let connector = world.process();
    for _ in 0..20 {
        connector.begin(&receiver()).await.unwrap();
    }
    assert_eq!(world.vault.names("pending").len(), 16);
    world.pass(TimeDelta::hours(2));
    connector.begin(&receiver()).await.unwrap();
    assert_eq!(world.vault.names("pending").len(), 1);
    connector.forget_secrets().await.unwrap();
    assert_eq!(world.vault.names(""), Vec::<String>::new());
}

#[tokio::test]
async fn scopes_the_receiver_does_not_know_are_asked_for_more_simply_next_time() {
    let world = World::new();
    world.server.with(|state| state.granular = false);
    let connector = world.process();
    let error = world.connect(&connector).await.unwrap_err();
    assert!(matches!(error, ConnectError::Callback(CallbackError::InvalidScope)), "{error}");
    let record = world.connect(&world.process()).await.unwrap();
    assert!(record.details.scopes.contains("patient/Observation.cu") && !record.details.scopes.contains('?'));
}

#[tokio::test]
async fn a_token_without_patient_is_an_error_and_never_a_search() {
    let world = World::new();
    world.server.with(|state| state.patient = None);
    let error = world.connect(&world.process()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Endpoint(EndpointError::Response(TokenResponseError::NoPatient))), "{error}");
    assert_eq!(error.code(), "no-patient");
    assert_eq!(world.server.seen("/Patient").len(), 0);
    assert_eq!(world.server.with(|state| state.revoked.clone()), ["refresh-2"]);
    assert_eq!(world.vault.names("token"), Vec::<String>::new());
    assert!(world.store().call(|store| store.connections()).await.unwrap().is_empty());
}

#[tokio::test]
async fn authorising_anew_for_the_same_patient_makes_the_connection_active_again() {
    let world = World::new();
    let connector = world.process();
    let first = world.connect(&connector).await.unwrap();
    connector.confirm(first.id).await.unwrap();
    let reauthorise = ConnectionState::NeedsReauthorisation;
    world.store().call(move |store| store.set_connection_state(first.id, reauthorise)).await.unwrap();
    let again = world.connect(&connector).await.unwrap();
    assert_eq!((again.id, again.state), (first.id, ConnectionState::Active));
    assert_eq!(carried(&connector.access_token(first.id).await.unwrap()), "access-4");
}

#[tokio::test]
async fn authorising_for_another_patient_blocks_the_connection_and_keeps_no_token() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    connector.confirm(id).await.unwrap();
    world.server.with(|state| state.patient = Some("patient-2"));
    assert!(matches!(world.connect(&connector).await, Err(ConnectError::OtherPatient)));
    assert_eq!(world.record(id).await.state, ConnectionState::WrongPatient);
    assert_eq!(world.server.with(|state| state.revoked.clone()), ["refresh-4"]);
    assert!(matches!(connector.access_token(id).await, Err(TokenError::OtherPatient)));
    assert!(matches!(connector.confirm(id).await, Err(ConnectError::OtherPatient)));
    let kept = world.vault.entries.lock().unwrap().values().any(|text| text.contains("access-4"));
    assert!(!kept && world.server.seen("/Patient/patient-2").is_empty());
}

#[tokio::test]
async fn nothing_is_confirmed_before_the_patient_was_read() {
    let world = World::new();
    world.server.with(|state| state.person_status = 503);
    let connector = world.process();
    let record = world.connect(&connector).await.unwrap();
    assert_eq!(record.details.patient_name, None);
    assert!(matches!(connector.confirm(record.id).await, Err(ConnectError::PatientUnknown)));
    assert!(matches!(connector.fetch_patient(record.id).await, Err(ConnectError::Status { status: 503, .. })));
    world.server.with(|state| state.person_status = 200);
    let record = connector.fetch_patient(record.id).await.unwrap();
    assert_eq!(record.details.patient_name.as_deref(), Some("Ana Popescu"));
    assert!(connector.confirm(record.id).await.is_ok());
}

#[tokio::test]
async fn a_code_that_never_reached_the_receiver_can_be_used_when_the_network_is_back() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = world.server.browser(&request);
    world.server.with(|state| state.fail_next = Some(TransportError::Unreachable));
    let error = connector.complete(&back).await.unwrap_err();
    assert!(error.retryable());
    assert!(world.process().complete(&back).await.is_ok());
}

#[tokio::test]
async fn a_code_whose_answer_was_lost_is_not_sent_again() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = world.server.browser(&request);
    world.server.with(|state| state.lose_next_answer = true);
    assert!(!connector.complete(&back).await.unwrap_err().retryable());
    assert!(matches!(connector.complete(&back).await, Err(ConnectError::UnknownAuthorisation)));
    assert_eq!(world.server.seen("/token").len(), 1);
}

#[tokio::test]
async fn a_token_is_refreshed_when_due_and_replaced() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    let first = carried(&connector.access_token(id).await.unwrap());
    world.pass(TimeDelta::minutes(57));
    assert_eq!(carried(&connector.access_token(id).await.unwrap()), first);
    world.pass(TimeDelta::minutes(2));
    let second = carried(&connector.access_token(id).await.unwrap());
    assert_ne!(second, first);
    world.pass(TimeDelta::hours(1));
    connector.access_token(id).await.unwrap();
    assert_eq!(world.refreshes(), ["refresh-2", "refresh-3"]);
}

#[tokio::test]
async fn callers_in_two_processes_make_one_refresh() {
    let world = World::new();
    let (app, extension) = (world.process(), world.process());
    let id = world.connect(&app).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    let (a, b, c) = tokio::join!(app.access_token(id), extension.access_token(id), app.access_token(id));
    let tokens = [a, b, c].map(|token| carried(&token.unwrap()));
    assert_eq!(tokens, ["access-3", "access-3", "access-3"]);
    assert_eq!(world.refreshes().len(), 1);
}

#[tokio::test]
async fn after_a_401_one_refresh_serves_everybody_who_held_the_refused_token() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    let refused = connector.access_token(id).await.unwrap();
    let (a, b) = tokio::join!(connector.refresh_after_401(id, &refused), connector.refresh_after_401(id, &refused));
    assert_eq!(carried(&a.unwrap()), carried(&b.unwrap()));
    assert_eq!(world.refreshes().len(), 1);
}

#[tokio::test]
async fn a_refresh_whose_caller_went_away_is_recorded() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    let short = std::time::Duration::from_millis(10);
    assert!(tokio::time::timeout(short, connector.access_token(id)).await.is_err());
    assert_eq!(carried(&connector.access_token(id).await.unwrap()), "access-3");
    assert_eq!(world.refreshes().len(), 1);
}

#[tokio::test]
async fn a_refresh_that_was_cut_off_before_it_arrived_is_made_again() {
    let world = World::new();
    let id = world.connect(&world.process()).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.fail_next = Some(TransportError::Broken));
    let error = world.process().access_token(id).await.unwrap_err();
    assert!(error.retryable());
    assert!(world.process().access_token(id).await.is_ok());
    assert_eq!(world.record(id).await.state, ConnectionState::Unconfirmed);
}

#[tokio::test]
async fn a_refresh_whose_answer_was_lost_ends_in_needs_reauthorisation_and_says_why() {
    let world = World::new();
    let id = world.connect(&world.process()).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.lose_next_answer = true);
    assert!(matches!(world.process().access_token(id).await, Err(TokenError::Transport(TransportError::Broken))));
    let error = world.process().access_token(id).await.unwrap_err();
    assert!(matches!(error, TokenError::NeedsReauthorisation(ReauthorisationCause::Interrupted)), "{error}");
    assert_eq!(world.record(id).await.state, ConnectionState::NeedsReauthorisation);
    assert!(world.process().access_token(id).await.is_err());
    assert_eq!(world.refreshes().len(), 2, "once refused, it is not sent any more");
}

#[tokio::test]
async fn a_receiver_that_does_not_rotate_keeps_its_refresh_token() {
    let world = World::new();
    world.server.with(|state| state.rotates = false);
    let id = world.connect(&world.process()).await.unwrap().id;
    for _ in 0..3 {
        world.pass(TimeDelta::hours(2));
        world.process().access_token(id).await.unwrap();
    }
    assert_eq!(world.refreshes(), ["refresh-2", "refresh-2", "refresh-2"]);
}

#[tokio::test]
async fn a_refused_refresh_needs_reauthorisation_and_is_not_tried_again() {
    let world = World::new();
    let id = world.connect(&world.process()).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.refresh = None);
    for cause in [ReauthorisationCause::Refused, ReauthorisationCause::NoToken] {
        let error = world.process().access_token(id).await.unwrap_err();
        assert!(matches!(error, TokenError::NeedsReauthorisation(found) if found == cause), "{error}");
    }
    assert_eq!(world.refreshes().len(), 1);
}

#[tokio::test]
async fn without_a_refresh_token_the_end_of_the_access_is_a_state() {
    let world = World::new();
    world.server.with(|state| state.offline = false);
    let id = world.connect(&world.process()).await.unwrap().id;
    world.pass(TimeDelta::minutes(59));
    assert!(world.process().access_token(id).await.is_ok(), "still good for a minute");
    world.pass(TimeDelta::minutes(1));
    let error = world.process().access_token(id).await.unwrap_err();
    assert!(matches!(error, TokenError::NeedsReauthorisation(ReauthorisationCause::NoRefreshToken)), "{error}");
    assert_eq!(world.record(id).await.state, ConnectionState::NeedsReauthorisation);
}

#[tokio::test]
async fn a_refresh_for_another_patient_is_given_back_and_blocks() {
    let world = World::new();
    let id = world.connect(&world.process()).await.unwrap().id;
    world.server.with(|state| state.refreshed_patient = Some("patient-2"));
    world.pass(TimeDelta::hours(2));
    assert!(matches!(world.process().access_token(id).await, Err(TokenError::OtherPatient)));
    assert_eq!(world.record(id).await.state, ConnectionState::WrongPatient);
    assert_eq!(world.server.with(|state| state.revoked.clone()), ["refresh-3"]);
    assert_eq!(world.vault.names("token"), Vec::<String>::new());
}

#[tokio::test]
async fn a_locked_vault_means_wait_and_changes_nothing() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    *world.vault.locked.lock().unwrap() = true;
    let error = connector.access_token(id).await.unwrap_err();
    assert!(matches!(error, TokenError::VaultUnavailable) && error.retryable(), "{error}");
    assert!(matches!(connector.begin(&receiver()).await, Err(ConnectError::Vault(VaultError::Unavailable))));
    assert!(connector.disconnect(id).await.unwrap_err().retryable());
    assert_eq!((world.record(id).await.state, world.refreshes().len()), (ConnectionState::Unconfirmed, 0));
    *world.vault.locked.lock().unwrap() = false;
    assert!(connector.access_token(id).await.is_ok());
}

#[tokio::test]
async fn tokens_the_vault_refused_are_saved_before_they_are_used() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    // The mark is saved; the new tokens are not.
    *world.vault.saves.lock().unwrap() = Some(1);
    assert!(matches!(connector.access_token(id).await, Err(TokenError::VaultFailed)));
    *world.vault.saves.lock().unwrap() = None;
    assert_eq!(carried(&connector.access_token(id).await.unwrap()), "access-3");
    assert_eq!(carried(&world.process().access_token(id).await.unwrap()), "access-3");
    assert_eq!(world.refreshes().len(), 1);
}

#[tokio::test]
async fn a_busy_token_endpoint_is_waited_for() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::minutes(59));
    world.server.with(|state| state.answer_next = Some((503, "busy")));
    assert_eq!(carried(&connector.access_token(id).await.unwrap()), "access-2", "good for another minute");
    world.pass(TimeDelta::minutes(1));
    world.server.with(|state| state.answer_next = Some((429, "busy")));
    let error = connector.access_token(id).await.unwrap_err();
    let expected = world.clock.now() + TimeDelta::seconds(120);
    assert!(
        matches!(error, TokenError::Unavailable { status: 429, not_before: Some(at) } if at == expected),
        "{error}"
    );
    assert!(connector.access_token(id).await.is_ok());
}

#[tokio::test]
async fn an_app_the_receiver_no_longer_knows_is_a_matter_of_configuration() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.answer_next = Some((401, r#"{"error":"invalid_client"}"#)));
    assert!(matches!(connector.access_token(id).await, Err(TokenError::Misconfigured)));
    assert_eq!(world.record(id).await.state, ConnectionState::Misconfigured);
}

#[tokio::test]
async fn an_answer_that_is_no_token_changes_nothing() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    for answer in
        [(200, "<html>sign in to this wireless network</html>"), (302, ""), (200, r#"{"token_type":"bearer"}"#)]
    {
        world.server.with(|state| state.answer_next = Some(answer));
        assert!(matches!(connector.access_token(id).await, Err(TokenError::Unreadable)), "{answer:?}");
    }
    assert_eq!(world.record(id).await.state, ConnectionState::Unconfirmed);
    assert!(connector.access_token(id).await.is_ok());
}

#[tokio::test]
async fn a_token_goes_to_no_other_origin() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    let token = connector.access_token(id).await.unwrap();
    for url in [
        "https://auth.example/fhir",
        "http://ehr.example/fhir",
        "https://ehr.example:8443/fhir",
        "https://ehr.example@evil.example/",
    ] {
        let request = http::Request::get(url).body(Vec::new()).unwrap();
        assert_eq!(token.authorised_request(request).err(), Some(ForeignOrigin), "{url}");
    }
    connector.disconnect(id).await.unwrap();
    for seen in world.server.seen("") {
        assert!(seen.token.is_none() || seen.url.starts_with("https://ehr.example/fhir/"), "{}", seen.url);
    }
}

#[tokio::test]
async fn disconnecting_removes_everything_here_and_gives_the_token_back() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    assert_eq!(connector.disconnect(id).await.unwrap(), Revocation::Done);
    assert_eq!(world.server.with(|state| state.revoked.clone()), ["refresh-2"]);
    assert_eq!(world.vault.names("token"), Vec::<String>::new());
    assert!(matches!(connector.access_token(id).await, Err(TokenError::NoConnection)));
    assert!(connector.disconnect(id).await.is_err());
}

#[tokio::test]
async fn a_receiver_that_takes_no_token_back_does_not_hold_up_disconnecting() {
    let world = World::new();
    world.server.with(|state| state.configuration["revocation_endpoint"] = Value::Null);
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    assert_eq!(connector.disconnect(id).await.unwrap(), Revocation::NotOffered);
}

#[test]
fn plain_http_is_refused() {
    let error = Receiver::new("http://ehr.example/fhir", "my-app", REDIRECT).unwrap_err();
    assert!(matches!(error, ConnectError::Base(BaseError::InsecureUrl)));
    assert_eq!(error.code(), "insecure-url");
    assert!(matches!(Receiver::new(BASE, " ", REDIRECT), Err(ConnectError::ClientId)));
    assert!(matches!(Receiver::new(BASE, "my-app", "callback"), Err(ConnectError::Redirect(_))));
}

#[tokio::test]
async fn a_malformed_discovery_document_is_named() {
    let world = World::new();
    let cases = [
        (json!([]), DiscoveryError::Unreadable),
        (json!({"authorization_endpoint": "https://a.example/"}), DiscoveryError::Missing("token_endpoint")),
    ];
    for (document, expected) in cases {
        world.server.with(|state| state.configuration = document);
        let error = world.process().begin(&receiver()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Discovery(found) if found == expected), "{error}");
    }
    let nowhere = Receiver::new("https://ehr.example/other", "my-app", REDIRECT).unwrap();
    let error = world.process().begin(&nowhere).await.unwrap_err();
    assert!(matches!(error, ConnectError::Status { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn nothing_shown_holds_a_secret_or_a_name() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let pending = world.vault.entries.lock().unwrap().values().last().cloned().unwrap();
    let verifier = serde_json::from_str::<Value>(&pending).unwrap()["verifier"].as_str().unwrap().to_owned();
    let back = world.server.browser(&request);
    let record = connector.complete(&back).await.unwrap();
    let token = connector.access_token(record.id).await.unwrap();
    let mut shown = format!("{request:?} {record:?} {:?} {token:?} {connector:?} {:?}", record.details, receiver());

    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.refresh = None);
    let refused = connector.access_token(record.id).await.unwrap_err();
    let replayed = connector.complete(&back).await.unwrap_err();
    let denied = connector.begin(&receiver()).await.unwrap();
    let url = format!("{REDIRECT}?error=Ana+Popescu&state={}", denied.state);
    let named = connector.complete(&url).await.unwrap_err();
    shown += &format!("{refused} {refused:?} {replayed} {replayed:?} {named} {named:?}");
    let wire = http::Request::get(format!("{BASE}/Patient")).body(Vec::new()).unwrap();
    shown += &format!("{:?}", token.authorised_request(wire).unwrap());

    let secrets = [
        request.state.as_str(),
        &verifier,
        "access-",
        "refresh-",
        "code-",
        "Ana",
        "Popescu",
        "Jane",
        "patient-1",
        "1980",
    ];
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[cfg(feature = "reqwest")]
mod reqwest_transport {
    use super::*;
    use cgm_submitter::transport::{ReqwestTransport, TransportSetupError};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// A server on loopback that gives every connection the same bytes; its address, and how many came.
    async fn serve(answer: Vec<u8>) -> (String, Arc<Mutex<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(0)));
        let counter = count.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                *counter.lock().unwrap() += 1;
                let answer = answer.clone();
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let _ = stream.write_all(&answer).await;
                });
            }
        });
        (format!("http://{address}/fhir"), count)
    }

    async fn get(transport: &ReqwestTransport, url: &str) -> Result<http::Response<Vec<u8>>, TransportError> {
        transport.send(http::Request::get(url).body(Vec::new()).unwrap()).await
    }

    #[tokio::test]
    async fn an_answer_comes_back_with_status_headers_and_body() {
        let (url, _) = serve(b"HTTP/1.1 429 x\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let answer = get(&ReqwestTransport::new().unwrap(), &url).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "7"));
        assert_eq!(answer.body(), b"hi");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let (target, reached) = serve(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        let redirect = format!("HTTP/1.1 307 x\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        let (url, _) = serve(redirect.into_bytes()).await;
        let answer = get(&ReqwestTransport::new().unwrap(), &url).await.unwrap();
        assert_eq!((answer.status().as_u16(), *reached.lock().unwrap()), (307, 0));
    }

    #[tokio::test]
    async fn an_oversized_body_is_refused_announced_or_not() {
        let transport = ReqwestTransport::builder().max_body(1000).build().unwrap();
        let mut chunked = b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..20 {
            chunked.extend(format!("64\r\n{}\r\n", "x".repeat(100)).into_bytes());
        }
        let announced = b"HTTP/1.1 200 x\r\ncontent-length: 999999999\r\n\r\n".to_vec();
        for answer in [chunked, announced] {
            let (url, _) = serve(answer).await;
            assert_eq!(get(&transport, &url).await.err(), Some(TransportError::TooLarge { limit: 1000 }));
        }
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_told_from_one_that_was_never_made() {
        let transport = ReqwestTransport::new().unwrap();
        for cut in [&b""[..], b"HTTP/1.1 200 x\r\ncontent-length: 10\r\n\r\nhalf", b"no http"] {
            let (url, count) = serve(cut.to_vec()).await;
            assert_eq!(get(&transport, &url).await.err(), Some(TransportError::Broken));
            assert_eq!(*count.lock().unwrap(), 1, "never sent again by itself");
        }
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let nobody = format!("http://127.0.0.1:{port}/");
        assert_eq!(get(&transport, &nobody).await.err(), Some(TransportError::Unreachable));
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let transport = ReqwestTransport::builder().timeout(Duration::from_millis(100)).build().unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        assert_eq!(get(&transport, &url).await.err(), Some(TransportError::Broken));
    }

    #[tokio::test]
    async fn plain_http_beyond_loopback_is_not_sent() {
        let transport = ReqwestTransport::new().unwrap();
        for url in ["http://192.0.2.1/fhir", "ftp://127.0.0.1/", "/fhir"] {
            assert_eq!(get(&transport, url).await.err(), Some(TransportError::Request), "{url}");
        }
    }

    #[test]
    fn a_root_that_is_no_certificate_is_named() {
        let result = ReqwestTransport::builder().root(b"no certificate".to_vec()).build();
        assert_eq!(result.err(), Some(TransportSetupError::Root(0)));
    }
}
