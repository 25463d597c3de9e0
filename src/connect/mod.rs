//! Drives the SMART flows: discovery, authorisation, token refresh, revocation.
//!
//! The core in [`smart`] decides; here it is asked, sent, and kept: secrets in the
//! vault, connections in the store. Nothing is kept in memory that a new process would need.

mod ask;
mod authorise;
mod disconnect;
mod endpoint;
mod entries;
mod error;
mod in_time;
mod logged;
mod patient;
mod receiver;
mod token_error;
mod tokens;
mod unfinished;

pub use crate::smart::ReauthorisationCause;
pub use endpoint::EndpointError;
pub use error::ConnectError;
pub use token_error::TokenError;
pub use tokens::{AccessToken, ForeignOrigin};
pub use unfinished::Unfinished;

use crate::environment::{Deadline, Environment, EnvironmentError, LockFolder};
use crate::fhir::Dialect;
use crate::smart::{self, ReceiverBase, RedirectUri, TokenState};
use crate::store::{ConnectionId, StoreHandle};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

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
    /// let redirect = "com.example.app:/callback";
    /// assert!(Receiver::new("https://ehr.example/fhir", "my-app", redirect).is_ok());
    /// assert!(Receiver::new("http://ehr.example/fhir", "my-app", redirect).is_err());
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

/// What became of a token that is to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// The receiver took it.
    Done,
    /// There was no token.
    NothingToRevoke,
    /// The receiver has no place to give tokens back: the token ends by itself.
    NotOffered,
    /// It could not be given back yet: it is tried again until the receiver took it.
    Pending,
}

/// Tokens that are still to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationsLeft {
    /// How many.
    pub count: usize,
    /// When the next is tried again at the earliest; `None` if none is left.
    pub next: Option<DateTime<Utc>>,
}

/// Makes, keeps and ends connections. Cheap to clone.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    store: StoreHandle,
    environment: Environment,
    locks: LockFolder,
    entries: entries::Entries,
    /// Tokens the vault refused to take, by connection and generation.
    unsaved: Mutex<HashMap<(ConnectionId, i64), TokenState>>,
    unfinished: Unfinished,
}

impl Connector {
    /// A connector for one database. `namespace` is the database's own id: it starts every vault
    /// entry's name. What must not be cut is counted in `unfinished`.
    pub fn new(
        store: StoreHandle,
        environment: Environment,
        locks: LockFolder,
        namespace: &str,
        unfinished: Unfinished,
    ) -> Self {
        let entries = entries::Entries::new(Arc::clone(&environment.vault), namespace);
        Self(Arc::new(Inner {
            store,
            environment,
            locks,
            entries,
            unsaved: Mutex::default(),
            unfinished,
        }))
    }

    /// Waits until what was begun has ended, also if its caller went away: no lock of this
    /// connector is held then. For a host that is about to be suspended. The transport's own
    /// time limits bound it.
    pub async fn settle(&self) {
        self.0.unfinished.settle().await;
    }

    /// Runs `work` to its end, also if the caller goes away: a token that was received is kept
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
        let running = inner.unfinished.begin().await;
        let (give, done) = oneshot::channel();
        // One type of task for all work: of each type the runtime's code is compiled once more.
        let work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            let result = work(inner).await;
            drop(running);
            drop(give.send(result));
        });
        tokio::spawn(work);
        done.await.unwrap_or(Err(stopped))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl Inner {
    /// The end of a call that may take `limit` in all.
    fn end_of_call(&self, limit: TimeDelta) -> Deadline {
        Deadline::after(self.environment.clock.as_ref(), limit.to_std().unwrap_or_default())
    }

    /// Random bytes.
    fn random<const N: usize>(&self) -> Result<[u8; N], EnvironmentError> {
        let mut bytes = [0; N];
        self.environment.entropy.fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// The host of an endpoint, as an error may name it.
fn host_of(url: &str) -> String {
    url::Url::parse(url).map_or_else(|_| "the receiver".to_owned(), |url| smart::host_of(&url))
}
