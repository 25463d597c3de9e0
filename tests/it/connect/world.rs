//! A phone and a receiver in memory: the test double all tests here share.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cgm_submitter::ErrorKind;
use cgm_submitter::connect::{AuthorizationRequest, ConnectError, Connector, Receiver, Unfinished};
use cgm_submitter::environment::{
    BoxFuture, Environment, FileLocks, LockFolder, NoLog, Redirects, SystemEntropy, SystemTimer,
    Transport, TransportError, Vault, VaultError,
};
use cgm_submitter::store::{ConnectionId, ConnectionRecord, Store, StoreHandle};
use cgm_submitter::testing::{FixedClock, FixedZone};
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const BASE: &str = "https://ehr.example/fhir";
pub(crate) const REDIRECT: &str = "com.example.app:/callback";

/// What a request looked like at the server.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) form: BTreeMap<String, String>,
}

/// How the server behaves, and what it knows.
#[expect(clippy::struct_excessive_bools, reason = "each is a habit some server has")]
pub(crate) struct State {
    pub(crate) configuration: Value,
    pub(crate) metadata: Value,
    pub(crate) patient: Option<&'static str>,
    pub(crate) refreshed_patient: Option<&'static str>,
    pub(crate) person_status: u16,
    pub(crate) expires_in: Option<i64>,
    pub(crate) offline: bool,
    pub(crate) rotates: bool,
    pub(crate) granular: bool,
    /// Acts on the next token request, and loses the answer.
    pub(crate) lose_next_answer: bool,
    /// Fails the next token request before acting on it.
    pub(crate) fail_next: Option<TransportError>,
    /// Answers the next token request with a status and body instead of acting on it.
    pub(crate) answer_next: Option<(u16, &'static str)>,
    /// Answers every token request so.
    pub(crate) answer_all: Option<(u16, &'static str)>,
    /// What `Retry-After` asks for in every answer.
    pub(crate) retry_after: Option<&'static str>,
    /// How long an answer takes on its way back, by a part of the URL.
    pub(crate) slow: Option<(&'static str, Duration)>,
    /// Nothing reaches the server.
    pub(crate) offline_for_all: Option<TransportError>,
    /// What the server says instead of the status 200 of a revocation.
    pub(crate) revocation: Result<(u16, &'static str), TransportError>,
    /// Refuses all scopes in the browser, with this description.
    pub(crate) refuses_scopes: Option<&'static str>,
    pub(crate) birth_date: Option<&'static str>,
    pub(crate) codes: HashMap<String, (String, String)>,
    pub(crate) refresh: Option<String>,
    pub(crate) issued: u32,
    pub(crate) revoked: Vec<String>,
    pub(crate) seen: Vec<Seen>,
}

pub(crate) struct Server(Mutex<State>);

impl Server {
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        self.with(|state| {
            state.seen.iter().filter(|seen| seen.url.contains(path)).cloned().collect()
        })
    }

    /// What the person does in the browser: sign in and allow.
    pub(crate) fn browser(&self, request: &AuthorizationRequest) -> String {
        let url = url::Url::parse(&request.url).unwrap();
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        self.with(|state| {
            if let Some(why) = state.refuses_scopes {
                let why: String = url::form_urlencoded::byte_serialize(why.as_bytes()).collect();
                let back = format!("{REDIRECT}?error=invalid_scope&error_description={why}");
                return format!("{back}&state={}", query["state"]);
            }
            if !state.granular && query["scope"].contains('?') {
                return format!("{REDIRECT}?error=invalid_scope&state={}", query["state"]);
            }
            assert_eq!(
                (query["aud"].as_str(), query["code_challenge_method"].as_str()),
                (BASE, "S256")
            );
            state.issued += 1;
            let code = format!("code-{}", state.issued);
            state
                .codes
                .insert(code.clone(), (query["code_challenge"].clone(), query["scope"].clone()));
            format!("{REDIRECT}?code={code}&state={}", query["state"])
        })
    }
}

impl State {
    fn grant(&mut self, patient: Option<&str>, scope: Option<String>) -> (u16, Value) {
        self.issued += 1;
        let mut body = json!({"access_token": format!("access-{}", self.issued),
            "token_type": "bearer", "id_token": "x"});
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
                let Some((challenge, scope)) = self.codes.remove(&form["code"]) else {
                    return refused;
                };
                let proof =
                    URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
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
                if let Some((status, body)) = self.answer_next.take().or(self.answer_all) {
                    return Ok((
                        status,
                        serde_json::from_str(body).unwrap_or_else(|_| body.into()),
                    ));
                }
                let answer = self.token(&seen.form);
                if std::mem::take(&mut self.lose_next_answer) {
                    return Err(TransportError::Broken);
                }
                answer
            }
            "/revoke" => {
                let (status, body) = self.revocation?;
                if status == 200 {
                    self.revoked.push(seen.form["token"].clone());
                }
                (status, serde_json::from_str(body).unwrap_or_else(|_| body.into()))
            }
            _ => match path.strip_prefix("/fhir/Patient/") {
                Some(id) => (
                    self.person_status,
                    json!({"resourceType": "Patient", "id": id, "birthDate": self.birth_date,
                        "name": [{"given": ["Ana"], "family": "Popescu"}]}),
                ),
                None => (404, json!({})),
            },
        })
    }
}

impl Transport for Server {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        Box::pin(async move {
            // A server takes its time: two callers would meet here if nothing kept them apart.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let token = request
                .headers()
                .get("authorization")
                .map(|value| value.to_str().unwrap().to_owned());
            let form = url::form_urlencoded::parse(request.body()).into_owned().collect();
            let seen = Seen { url: request.uri().to_string(), token, form };
            let (answer, retry_after, slow) = self.with(|state| {
                if let Some(error) = state.offline_for_all {
                    return (Err(error), None, None);
                }
                state.seen.push(seen.clone());
                let slow = state.slow.filter(|(part, _)| seen.url.contains(part));
                (state.answer(&seen), state.retry_after, slow)
            });
            if let Some((_, slow)) = slow {
                tokio::time::sleep(slow).await;
            }
            let (status, body) = answer?;
            let mut response =
                http::Response::builder().status(status).header("content-type", "application/json");
            if let Some(retry_after) = retry_after {
                response = response.header("retry-after", retry_after);
            }
            Ok(response.body(serde_json::to_vec(&body).unwrap()).unwrap())
        })
    }

    fn redirects(&self) -> Redirects {
        Redirects::Refused
    }
}

#[derive(Default)]
pub(crate) struct MemoryVault {
    pub(crate) entries: Mutex<BTreeMap<String, String>>,
    pub(crate) locked: Mutex<bool>,
    /// How many saves still work; `None` if all do.
    pub(crate) saves: Mutex<Option<usize>>,
}

impl MemoryVault {
    pub(crate) fn names(&self, part: &str) -> Vec<String> {
        self.entries.lock().unwrap().keys().filter(|name| name.contains(part)).cloned().collect()
    }

    pub(crate) fn check(&self) -> Result<(), VaultError> {
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

/// A phone and a receiver. Each [`process`](Self::process) opens the same database and vault anew.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: Arc<Server>,
    pub(crate) vault: Arc<MemoryVault>,
    pub(crate) clock: Arc<FixedClock>,
}

impl World {
    pub(crate) fn new() -> Self {
        let state = State {
            configuration: json!({
                "authorization_endpoint": "https://auth.example/authorize",
                "token_endpoint": "https://auth.example/token",
                "revocation_endpoint": "https://auth.example/revoke",
                "code_challenge_methods_supported": ["S256"],
                "capabilities": ["launch-standalone", "client-public", "permission-v2"],
            }),
            metadata: json!({"resourceType": "CapabilityStatement",
            "instantiates": [
                "http://hl7.org/fhir/uv/cgm/CapabilityStatement/cgm-data-receiver"
            ]}),
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
            answer_all: None,
            retry_after: None,
            slow: None,
            offline_for_all: None,
            revocation: Ok((200, "{}")),
            refuses_scopes: None,
            birth_date: Some("1980-02-29"),
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
            clock: Arc::new(FixedClock::new("2024-05-01T08:00:00Z".parse().unwrap())),
        }
    }

    pub(crate) fn store(&self) -> StoreHandle {
        StoreHandle::new(Store::open(&self.folder.path().join("cgm.db")).unwrap())
    }

    pub(crate) fn environment(&self) -> Environment {
        Environment {
            clock: self.clock.clone(),
            timer: Arc::new(SystemTimer),
            entropy: Arc::new(SystemEntropy),
            local_time: Arc::new(FixedZone::default()),
            transport: self.server.clone(),
            vault: self.vault.clone(),
            locks: Arc::new(FileLocks),
            log: Arc::new(NoLog),
        }
    }

    pub(crate) fn process(&self) -> Connector {
        let environment = self.environment();
        Connector::new(
            self.store(),
            environment.clone(),
            LockFolder::new(self.folder.path().join("locks"), &environment),
            "db-1",
            Unfinished::default(),
        )
    }

    pub(crate) fn pass(&self, delta: TimeDelta) {
        self.clock.pass(delta);
    }

    pub(crate) async fn connect(
        &self,
        connector: &Connector,
    ) -> Result<ConnectionRecord, ConnectError> {
        let request = connector.begin(&receiver()).await?;
        connector.complete(&self.server.browser(&request)).await
    }

    pub(crate) async fn record(&self, id: ConnectionId) -> ConnectionRecord {
        self.store().call(move |store| store.connection(id)).await.unwrap()
    }

    pub(crate) fn refreshes(&self) -> Vec<String> {
        let tokens = self.server.seen("/token").into_iter();
        tokens.filter_map(|seen| seen.form.get("refresh_token").cloned()).collect()
    }
}

pub(crate) fn receiver() -> Receiver {
    Receiver::new(BASE, "my-app", REDIRECT).unwrap()
}

/// The token a request would carry.
pub(crate) fn carried(token: &cgm_submitter::connect::AccessToken) -> String {
    let request = http::Request::get(format!("{BASE}/ServiceRequest")).body(Vec::new()).unwrap();
    let request = token.authorised_request(request).unwrap();
    request.headers()["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned()
}

/// What an app is told of an error.
pub(crate) fn judged(error: impl Into<cgm_submitter::Error>) -> (&'static str, ErrorKind) {
    let code = error.into().code();
    (code.word(), code.kind())
}
