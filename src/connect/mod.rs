//! Drives the SMART flows: discovery, authorisation, token refresh, revocation.
//!
//! The core in [`smart`](crate::smart) decides; here it is asked, sent, and kept: secrets in the
//! vault, connections in the store. Nothing is kept in memory that a new process would need.

mod ask;
mod authorise;
mod endpoint;
mod entries;
mod error;
mod receiver;
mod tokens;

pub use endpoint::EndpointError;
pub use error::{ConnectError, ReauthorisationCause, TokenError};
pub use tokens::{AccessToken, ForeignOrigin};

use crate::environment::{Environment, LockFolder};
use crate::fhir::Dialect;
use crate::smart::{ReceiverBase, RedirectUri, Secret, TokenState};
use crate::store::{ConnectionId, StoreHandle};
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::RwLock;

/// A receiver to connect to, as the app is registered there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    base: ReceiverBase,
    client_id: String,
    redirect_uri: RedirectUri,
    read_back: bool,
    dialect: Option<Dialect>,
}

impl Receiver {
    /// The receiver at a FHIR base URL, where the app is `client_id` and is called back at
    /// `redirect_uri`.
    ///
    /// # Errors
    /// [`ConnectError::Base`], [`ConnectError::Redirect`], [`ConnectError::ClientId`].
    ///
    /// # Example
    /// ```
    /// use cgm_submitter::connect::Receiver;
    ///
    /// let receiver = Receiver::new("https://ehr.example/fhir", "my-app", "com.example.app:/callback");
    /// assert!(receiver.is_ok());
    /// assert!(Receiver::new("http://ehr.example/fhir", "my-app", "com.example.app:/callback").is_err());
    /// ```
    pub fn new(base: &str, client_id: &str, redirect_uri: &str) -> Result<Self, ConnectError> {
        if client_id.trim().is_empty() || client_id.len() > 512 {
            return Err(ConnectError::ClientId);
        }
        Ok(Self {
            base: base.parse()?,
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.parse()?,
            read_back: false,
            dialect: None,
        })
    }

    /// The same, and the person is asked for leave to look at what was sent, so that submissions
    /// can be verified.
    #[must_use]
    pub fn with_read_back(self) -> Self {
        Self { read_back: true, ..self }
    }

    /// The same, spoken to in this dialect whatever its `CapabilityStatement` tells.
    #[must_use]
    pub fn with_dialect(self, dialect: Dialect) -> Self {
        Self { dialect: Some(dialect), ..self }
    }

    /// Its base URL.
    pub fn base(&self) -> &ReceiverBase {
        &self.base
    }
}

/// What the host opens in the system's browser.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorizationRequest {
    /// The URL to open. It holds the state: open it, and show or log it nowhere.
    pub url: String,
    /// The state the browser brings back.
    pub state: String,
    /// When the answer is no longer accepted.
    pub expires_at: DateTime<Utc>,
}

impl std::fmt::Debug for AuthorizationRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizationRequest")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What became of a token that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// The receiver took it.
    Done,
    /// There was no token.
    NothingToRevoke,
    /// The receiver has no place to give tokens back: the token ends by itself.
    NotOffered,
    /// The receiver did not take it: the token ends by itself, or the person ends it in the
    /// receiver's portal.
    Failed,
}

/// Makes, keeps and ends connections. Cheap to clone.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    store: StoreHandle,
    environment: Environment,
    locks: LockFolder,
    entries: entries::Entries,
    /// Tokens the vault refused to take.
    unsaved: Mutex<HashMap<ConnectionId, TokenState>>,
    /// Read-held by work under way.
    running: Arc<RwLock<()>>,
}

impl Connector {
    /// A connector for one database. `namespace` is the database's own id: it starts every vault
    /// entry's name.
    pub fn new(
        store: StoreHandle,
        environment: Environment,
        locks: LockFolder,
        namespace: &str,
    ) -> Self {
        let entries = entries::Entries::new(Arc::clone(&environment.vault), namespace);
        Self(Arc::new(Inner {
            store,
            environment,
            locks,
            entries,
            unsaved: Mutex::default(),
            running: Arc::default(),
        }))
    }

    /// Waits until what was begun has ended, also where its caller went away: no lock of this
    /// connector is held then. For a host that is about to be suspended. The transport's own
    /// time limits bound it.
    pub async fn settle(&self) {
        drop(self.0.running.write().await);
    }

    /// Runs `work` to its end, also where the caller goes away: a token that was received is kept
    /// or given back.
    async fn detached<T, E, F>(
        &self,
        stopped: E,
        work: impl FnOnce(Arc<Inner>) -> F + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send,
    {
        let inner = Arc::clone(&self.0);
        let running = Arc::clone(&inner.running).read_owned().await;
        let work = async move {
            let _running = running;
            work(inner).await
        };
        tokio::spawn(work).await.unwrap_or(Err(stopped))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl Inner {
    fn endpoint<'a>(&'a self, token_url: &'a str, client_id: &'a str) -> endpoint::Endpoint<'a> {
        endpoint::Endpoint {
            transport: self.environment.transport.as_ref(),
            token_url,
            client_id,
            now: self.environment.clock.now(),
        }
    }

    /// Gives a token back, three times over a broken network. Best effort: the token is gone here
    /// already.
    async fn give_back(
        &self,
        revocation_endpoint: Option<&str>,
        client_id: &str,
        token: &Secret,
    ) -> Revocation {
        let Some(url) = revocation_endpoint else { return Revocation::NotOffered };
        for pause in [500, 1500, 0] {
            match self.endpoint("", client_id).revoke(url, token).await {
                Ok(true) => return Revocation::Done,
                Ok(false) => return Revocation::Failed,
                Err(_) => self.environment.timer.sleep(Duration::from_millis(pause)).await,
            }
        }
        Revocation::Failed
    }
}
