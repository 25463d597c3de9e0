//! The network between app and server, and the phone's secure storage: both write down what passes,
//! in one order, and a test can cut the network while a token is refreshed.

use cgm_submitter::environment::{
    BoxFuture, Redirects, Transport, TransportError, Vault, VaultError,
};
use cgm_submitter::transport::HttpTransport;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Something that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// A request to the token endpoint, by its grant type.
    TokenRequest(String),
    /// The token endpoint gave this access and refresh token.
    Given(String, String),
    /// Tokens were put into the vault: the refresh token.
    Kept(String),
    /// A request carried this access token.
    Used(String),
}

/// What becomes of the next refresh.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    /// It never leaves, and nobody says so.
    HangUnsent,
    /// The server acts on it; the answer never comes.
    HangAnswered,
    /// The server acts on it; the connection breaks under the answer.
    LoseAnswer,
}

/// All that passed, and what is to happen.
pub(crate) struct Journal {
    passed: Mutex<Vec<Passed>>,
    fate: Mutex<Option<Fate>>,
    delay: Mutex<Duration>,
    /// Gets a permit for each request that hangs.
    pub(crate) hung: Semaphore,
    killed: Semaphore,
}

impl Journal {
    pub(crate) fn new() -> Arc<Self> {
        let (passed, fate, delay) = (Mutex::default(), Mutex::default(), Mutex::default());
        Arc::new(Self { passed, fate, delay, hung: Semaphore::new(0), killed: Semaphore::new(0) })
    }

    /// The process whose request hangs is killed: its work does not go on.
    pub(crate) fn kill(&self) {
        self.killed.add_permits(1);
    }

    /// What happens to the next refresh.
    pub(crate) fn at_refresh(&self, fate: Fate) {
        *self.fate.lock().unwrap() = Some(fate);
    }

    /// How long a refresh takes before it reaches the server: time for another to start.
    pub(crate) fn delay_refreshes(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// All that passed since the start or the last time this was asked.
    pub(crate) fn take(&self) -> Vec<Passed> {
        std::mem::take(&mut self.passed.lock().unwrap())
    }

    fn add(&self, passed: Passed) {
        self.passed.lock().unwrap().push(passed);
    }
}

/// How many of these are requests to the token endpoint.
pub(crate) fn token_requests(passed: &[Passed]) -> usize {
    passed.iter().filter(|one| matches!(one, Passed::TokenRequest(_))).count()
}

/// One process's way to the network.
pub(crate) struct Wire {
    journal: Arc<Journal>,
    network: HttpTransport,
}

impl Wire {
    pub(crate) fn new(journal: &Arc<Journal>) -> Self {
        Self { journal: Arc::clone(journal), network: HttpTransport::new().unwrap() }
    }

    async fn hang(&self) -> ! {
        self.journal.hung.add_permits(1);
        self.journal.killed.acquire().await.unwrap().forget();
        panic!("killed")
    }

    async fn pass(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        if let Some(token) = request.headers().get("authorization") {
            self.journal.add(Passed::Used(
                token.to_str().unwrap().trim_start_matches("Bearer ").to_owned(),
            ));
        }
        let form: BTreeMap<String, String> =
            url::form_urlencoded::parse(request.body()).into_owned().collect();
        let Some(grant_type) = form.get("grant_type") else {
            return self.network.send(request).await;
        };
        self.journal.add(Passed::TokenRequest(grant_type.clone()));
        let refresh = grant_type == "refresh_token";
        let fate = if refresh { self.journal.fate.lock().unwrap().take() } else { None };
        if let Some(Fate::HangUnsent) = fate {
            self.hang().await;
        }
        if refresh {
            let delay = *self.journal.delay.lock().unwrap();
            tokio::time::sleep(delay).await;
        }
        let response = self.network.send(request).await?;
        match fate {
            Some(Fate::HangAnswered) => self.hang().await,
            Some(Fate::LoseAnswer) => Err(TransportError::Broken),
            _ => {
                let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
                if let Some(access) = body["access_token"].as_str() {
                    let refresh = body["refresh_token"].as_str().unwrap_or_default();
                    self.journal.add(Passed::Given(access.to_owned(), refresh.to_owned()));
                }
                Ok(response)
            }
        }
    }
}

impl Transport for Wire {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        Box::pin(self.pass(request))
    }

    fn redirects(&self) -> Redirects {
        Redirects::Refused
    }
}

/// A vault that lives as long as the world.
pub(crate) struct JournalVault {
    pub(crate) entries: Mutex<BTreeMap<String, String>>,
    journal: Arc<Journal>,
}

impl JournalVault {
    pub(crate) fn new(journal: &Arc<Journal>) -> Arc<Self> {
        Arc::new(Self { entries: Mutex::default(), journal: Arc::clone(journal) })
    }

    /// The entries whose name contains `part`, as JSON.
    pub(crate) fn entries(&self, part: &str) -> Vec<Value> {
        let entries = self.entries.lock().unwrap();
        let named = entries.iter().filter(|(name, _)| name.contains(part));
        named.map(|(_, text)| serde_json::from_str(text).unwrap()).collect()
    }
}

impl Vault for JournalVault {
    fn load(&self, name: &str) -> Result<Option<SecretString>, VaultError> {
        Ok(self.entries.lock().unwrap().get(name).map(|text| SecretString::from(text.clone())))
    }

    fn save(&self, name: &str, value: &SecretString) -> Result<(), VaultError> {
        let text = value.expose_secret().to_owned();
        if name.contains("/token/") {
            let entry: Value = serde_json::from_str(&text).unwrap();
            self.journal
                .add(Passed::Kept(entry["refresh"].as_str().unwrap_or_default().to_owned()));
        }
        self.entries.lock().unwrap().insert(name.to_owned(), text);
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), VaultError> {
        self.entries.lock().unwrap().remove(name);
        Ok(())
    }
}
