//! Access tokens: the valid one from the vault, refreshed when due, by one caller at a time across
//! processes. [`token_step`] decides; here it is asked, sent, and written down.
//!
//! The caller going away does not stop a refresh: what the receiver answers is recorded.

use super::endpoint::Endpoint;
use super::{Inner, TokenError};
use crate::environment::{Lock, LogValue, VaultError};
use crate::smart::{
    GrantedScopes, Held, Pause, ReauthorisationCause, ReceiverBase, Refresh, Secret, Settled,
    TokenHistory, TokenState, TokenStep, token_step,
};
use crate::store::{
    ConnectionDetails, ConnectionId, ConnectionRecord, ConnectionState, Store, StoreError,
};
use http::header::{AUTHORIZATION, HeaderValue};
use std::sync::PoisonError;
use std::time::Duration;

/// How long a lock held elsewhere is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// An access token that goes nowhere but to the receiver it was issued for.
#[derive(Clone)]
pub struct AccessToken {
    secret: Secret,
    base: ReceiverBase,
    scopes: GrantedScopes,
}

/// A request that would carry a token to another origin than the one it was issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request is for another origin than the token: nothing was sent")]
pub struct ForeignOrigin;

impl AccessToken {
    /// `request` with this token: the one place where a token gets onto a request.
    ///
    /// # Errors
    /// [`ForeignOrigin`] if the request goes to another scheme, host or port than the receiver's
    /// base.
    pub fn authorised_request(
        &self,
        mut request: http::Request<Vec<u8>>,
    ) -> Result<http::Request<Vec<u8>>, ForeignOrigin> {
        if !self.base.same_origin(&request.uri().to_string()) {
            return Err(ForeignOrigin);
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.secret.expose()))
            .map_err(|_| ForeignOrigin)?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(request)
    }

    /// What it allows.
    pub fn scopes(&self) -> &GrantedScopes {
        &self.scopes
    }

    /// The receiver it was issued for.
    pub fn base(&self) -> &ReceiverBase {
        &self.base
    }

    /// Whether it is the one of these tokens.
    pub(super) fn is_of(&self, state: &TokenState) -> bool {
        state.access().matches(self.secret.expose())
    }

    pub(super) fn new(state: &TokenState, base: ReceiverBase) -> Self {
        Self { secret: state.access().clone(), base, scopes: state.scopes() }
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken").field("base", &self.base).finish_non_exhaustive()
    }
}

/// What a refresh left to do after the lock.
enum Refreshed {
    Token(AccessToken),
    /// A token for another patient came: it goes back.
    GiveBack(Box<ConnectionRecord>, Secret),
}

impl Inner {
    /// The token in the vault if it can be used as it is; `None` if the lock has to be taken first.
    pub(super) async fn usable_token(
        &self,
        id: ConnectionId,
    ) -> Result<Option<AccessToken>, TokenError> {
        let (record, base) = self.receiver_of(id).await?;
        refuse_unusable(&record)?;
        let held = held(self.entries.token(&record).await)?;
        let now = self.environment.clock.now();
        let usable = match (token_step(&held, &record.details.tokens, None, now), held) {
            (TokenStep::Use, Held::Tokens(state)) => Some(AccessToken::new(&state, base)),
            _ => None,
        };
        Ok(usable)
    }

    /// Refreshes under the connection's lock, unless another caller did so meanwhile.
    pub(super) async fn refresh(
        &self,
        id: ConnectionId,
        rejected: Option<Secret>,
    ) -> Result<AccessToken, TokenError> {
        let refreshed = {
            let _lock = self.token_lock(id).await?;
            self.refresh_locked(id, rejected).await
        };
        match refreshed.inspect_err(|error| self.log_no_token(id, error))? {
            Refreshed::Token(token) => {
                self.environment.log.info("token-ready", &[("connection", id.into())]);
                Ok(token)
            }
            Refreshed::GiveBack(record, token) => {
                let details = &record.details;
                let endpoint = details.revocation_endpoint.as_deref();
                self.environment.log.error("other-patient", &[("connection", id.into())]);
                self.give_back(endpoint, &details.client_id, &token).await;
                Err(TokenError::OtherPatient)
            }
        }
    }

    pub(super) fn log_no_token(&self, id: ConnectionId, error: &TokenError) {
        let blocks = error.blocks().map_or("none".into(), LogValue::from);
        let wait = error.retry_at().map(|until| until - self.environment.clock.now());
        let wait = wait.and_then(|wait| wait.to_std().ok()).unwrap_or_default();
        let fields = [
            ("connection", id.into()),
            ("because", error.into()),
            ("blocks", blocks),
            ("wait", wait.into()),
        ];
        self.environment.log.warn("no-token", &fields);
    }

    async fn refresh_locked(
        &self,
        id: ConnectionId,
        rejected: Option<Secret>,
    ) -> Result<Refreshed, TokenError> {
        let (record, base) = self.receiver_of(id).await?;
        refuse_unusable(&record)?;
        let held = held(self.recorded_token(&record).await)?;
        let now = self.environment.clock.now();
        match token_step(&held, &record.details.tokens, rejected.as_ref(), now) {
            TokenStep::Use => {
                let Held::Tokens(state) = held else { return Err(TokenError::Busy) };
                Ok(Refreshed::Token(AccessToken::new(&state, base)))
            }
            TokenStep::Refresh(refresh) => self.send_refresh(record, base, held, refresh).await,
            TokenStep::Pause(pause) => {
                let host = host_of(&record);
                Err(TokenError::Waiting { host, reason: pause.reason, until: pause.until })
            }
            TokenStep::WaitForVault => Err(VaultError::Unavailable.into()),
            TokenStep::Reauthorise(cause) => {
                self.note(id, |record| record.state = ConnectionState::NeedsReauthorisation)
                    .await?;
                Err(TokenError::NeedsReauthorisation(cause))
            }
        }
    }

    /// Sends one refresh, and writes down what came of it.
    async fn send_refresh(
        &self,
        record: ConnectionRecord,
        base: ReceiverBase,
        held: Held,
        refresh: Refresh,
    ) -> Result<Refreshed, TokenError> {
        // Drawn before the request: an answer is never lost for lack of randomness.
        let jitter = u32::from_be_bytes(self.random()?);
        if let Some(marked) = refresh.mark() {
            self.entries.save_token(&record, &marked).await?;
        }
        self.environment.log.info("token-refresh", &[("connection", record.id.into())]);
        let endpoint = Endpoint {
            transport: self.environment.transport.as_ref(),
            token_url: &record.details.token_endpoint,
            client_id: &record.details.client_id,
        };
        let answer = endpoint.refresh(refresh.refresh_token()).await;
        let settled = refresh.settle(answer, jitter, self.environment.clock.now());
        self.write_down(record, base, held, settled).await
    }

    /// Writes down what a refresh changed: the vault first, if there are new tokens.
    async fn write_down(
        &self,
        record: ConnectionRecord,
        base: ReceiverBase,
        held: Held,
        settled: Settled,
    ) -> Result<Refreshed, TokenError> {
        let (id, host) = (record.id, host_of(&record));
        match settled {
            Settled::Keep(fresh) => {
                self.persist(&record, &fresh).await?;
                self.note_fresh(&record, &fresh).await?;
                Ok(Refreshed::Token(AccessToken::new(&fresh, base)))
            }
            Settled::GiveBack(token) => {
                self.note(id, |record| record.state = ConnectionState::OtherPatient).await?;
                // What a failing vault keeps goes when the connection is ended.
                let _ = self.entries.delete_token(&record).await;
                Ok(Refreshed::GiveBack(Box::new(record), token))
            }
            Settled::Later { history, unmarked, usable, misconfigured } => {
                self.unmark(&record, unmarked).await;
                self.note(id, move |record| {
                    record.details.tokens = history;
                    if misconfigured {
                        record.state = ConnectionState::Misconfigured;
                    }
                })
                .await?;
                let pause = history.failures.pause(self.environment.clock.now());
                match held {
                    Held::Tokens(state) if usable => {
                        Ok(Refreshed::Token(AccessToken::new(&state, base)))
                    }
                    _ => Err(put_off(host, pause, misconfigured)),
                }
            }
            Settled::AppRefused { unmarked } => {
                self.unmark(&record, unmarked).await;
                self.note(id, |record| record.state = ConnectionState::Misconfigured).await?;
                Err(TokenError::AppRefused { host })
            }
            Settled::Ended(history) => {
                self.note(id, move |record| {
                    record.details.tokens = history;
                    record.state = ConnectionState::NeedsReauthorisation;
                })
                .await?;
                // The record says that it ended, whatever a failing vault keeps.
                let _ = self.entries.delete_token(&record).await;
                let cause = history.ended.unwrap_or(ReauthorisationCause::Refused);
                Err(TokenError::NeedsReauthorisation(cause))
            }
        }
    }

    /// Takes the mark off. If this fails, a later refusal reads `Interrupted`.
    async fn unmark(&self, record: &ConnectionRecord, unmarked: Option<TokenState>) {
        if let Some(unmarked) = unmarked {
            let _ = self.entries.save_token(record, &unmarked).await;
        }
    }

    /// Puts fresh tokens into the vault. If it refuses, they stay in memory, and the next call
    /// tries again first: the receiver may never give these tokens again.
    async fn persist(
        &self,
        record: &ConnectionRecord,
        fresh: &TokenState,
    ) -> Result<(), VaultError> {
        let saved = self.entries.save_token(record, fresh).await;
        let key = (record.id, record.generation);
        let mut unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        match saved {
            Ok(()) => drop(unsaved.remove(&key)),
            Err(_) => drop(unsaved.insert(key, fresh.clone())),
        }
        saved
    }

    /// The tokens in the vault, after those that an earlier call could not put there. Only under
    /// the lock.
    pub(super) async fn recorded_token(
        &self,
        record: &ConnectionRecord,
    ) -> Result<Option<TokenState>, VaultError> {
        let recorded = self.entries.token(record).await?;
        match (recorded, self.take_unsaved(record)) {
            // The mark is still there: nobody authorised anew since.
            (Some(recorded), Some(fresh)) if recorded.is_refreshing() => {
                self.persist(record, &fresh).await?;
                Ok(Some(fresh))
            }
            (recorded, _) => Ok(recorded),
        }
    }

    /// Tokens the vault refused to take.
    pub(super) fn take_unsaved(&self, record: &ConnectionRecord) -> Option<TokenState> {
        self.forget_unsaved((record.id, record.generation))
    }

    /// The same by the connection's number and generation.
    pub(super) fn forget_unsaved(&self, of: (ConnectionId, i64)) -> Option<TokenState> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).remove(&of)
    }

    /// Scopes may change with a refresh, and what failed before is over.
    async fn note_fresh(
        &self,
        record: &ConnectionRecord,
        fresh: &TokenState,
    ) -> Result<(), TokenError> {
        let unchanged = |details: &ConnectionDetails| {
            details.scopes == fresh.scopes_text() && details.tokens == TokenHistory::default()
        };
        if unchanged(&record.details) {
            // It may have been ended meanwhile: then these tokens are given back, not used.
            let (record, _) = self.receiver_of(record.id).await?;
            return refuse_unusable(&record);
        }
        let scopes = fresh.scopes_text().to_owned();
        self.note(record.id, move |record| {
            record.details.scopes = scopes;
            record.details.tokens = TokenHistory::default();
        })
        .await
    }

    pub(super) async fn note(
        &self,
        id: ConnectionId,
        change: impl FnOnce(&mut ConnectionRecord) + Send + 'static,
    ) -> Result<(), TokenError> {
        let edit = move |store: &mut Store| store.edit_connection(id, change).map(drop);
        self.store.call(edit).await.map_err(TokenError::from)
    }

    /// The connection and the base its token may go to.
    pub(super) async fn receiver_of(
        &self,
        id: ConnectionId,
    ) -> Result<(ConnectionRecord, ReceiverBase), TokenError> {
        let record =
            self.store.call(move |store| store.connection(id).map_err(TokenError::from)).await?;
        let base = record
            .base
            .parse()
            .map_err(|_| TokenError::Store(StoreError::Row("connection's base URL")))?;
        Ok((record, base))
    }

    /// The lock of a connection's tokens, shared with other processes.
    pub(super) async fn token_lock(&self, id: ConnectionId) -> Result<Lock, TokenError> {
        self.lock(&lock_name(id)).await?.ok_or(TokenError::Busy)
    }

    /// The lock `name`, waited for; `None` if it stays taken.
    pub(super) async fn lock(
        &self,
        name: &str,
    ) -> Result<Option<Lock>, crate::environment::EnvironmentError> {
        self.locks.acquire_within(name, LOCK_PATIENCE).await
    }
}

impl super::Connector {
    /// A valid access token: the one in the vault, refreshed if it is about to end.
    ///
    /// # Errors
    /// [`TokenError`]; the connection's state is set if the person or the receiver has to act.
    pub async fn access_token(&self, id: ConnectionId) -> Result<AccessToken, TokenError> {
        match self.0.usable_token(id).await? {
            Some(token) => Ok(token),
            None => self.refreshed(id, None).await,
        }
    }

    /// A new access token after the receiver answered 401 to `rejected`; the one another caller got
    /// meanwhile, if one did.
    ///
    /// # Errors
    /// [`TokenError`], as for [`access_token`](Self::access_token).
    pub async fn refresh_after_401(
        &self,
        id: ConnectionId,
        rejected: &AccessToken,
    ) -> Result<AccessToken, TokenError> {
        self.refreshed(id, Some(rejected.secret.clone())).await
    }

    async fn refreshed(
        &self,
        id: ConnectionId,
        rejected: Option<Secret>,
    ) -> Result<AccessToken, TokenError> {
        self.detached(TokenError::Busy, async move |inner| inner.refresh(id, rejected).await).await
    }
}

pub(super) fn held(loaded: Result<Option<TokenState>, VaultError>) -> Result<Held, VaultError> {
    match loaded {
        Ok(Some(state)) => Ok(Held::Tokens(state)),
        Ok(None) => Ok(Held::Absent),
        Err(VaultError::Unavailable) => Ok(Held::Locked),
        Err(VaultError::Failed) => Err(VaultError::Failed),
    }
}

/// The name of the lock of a connection's tokens.
pub(super) fn lock_name(id: ConnectionId) -> String {
    format!("token-{}", id.0)
}

/// Why there is no token until the endpoint is asked again.
fn put_off(host: String, pause: Option<Pause>, misconfigured: bool) -> TokenError {
    match pause {
        Some(Pause { reason, .. }) if misconfigured => TokenError::Misconfigured { host, reason },
        Some(Pause { reason, until }) => TokenError::Waiting { host, reason, until },
        None => TokenError::Busy,
    }
}

/// The token endpoint's host.
fn host_of(record: &ConnectionRecord) -> String {
    super::host_of(&record.details.token_endpoint)
}

/// No token is fetched for a connection that is blocked, or was ended and must stay so.
fn refuse_unusable(record: &ConnectionRecord) -> Result<(), TokenError> {
    match record.state {
        ConnectionState::OtherPatient => Err(TokenError::OtherPatient),
        ConnectionState::Disconnected => Err(TokenError::NoConnection),
        _ => Ok(()),
    }
}
