//! Access tokens: the valid one from the vault, refreshed when due, by one caller at a time across
//! processes.
//!
//! A refresh is: take the connection's file lock, read the vault again, mark the entry, ask,
//! persist, and only then use. The caller going away does not stop it: what the receiver answers is
//! recorded.
//!
//! The mark tells a refresh whose answer was never recorded: killed, or cut off. The same refresh
//! token is then sent again, for the same refresh: where the first request never arrived, or the
//! receiver allows for lost answers, the connection lives on; where the token was replaced, the
//! receiver answers `invalid_grant` (and may end the whole family, whose newest token nobody has
//! any more), and the person authorises again, told so. Not asking would log a person out on every
//! lost answer and save nothing. After an answer was recorded, its predecessor is never sent again.

use super::endpoint::EndpointError;
use super::{Inner, ReauthorisationCause, TokenError};
use crate::environment::{Lock, VaultError};
use crate::smart::{GrantedScopes, ReceiverBase, Secret, TokenState};
use crate::store::{ConnectionId, ConnectionRecord, ConnectionState};
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
    /// [`ForeignOrigin`] where the request goes to another scheme, host or port than the receiver's
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

    pub(super) fn new(state: &TokenState, base: ReceiverBase) -> Self {
        Self { secret: state.access().clone(), base, scopes: state.scopes() }
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Inner {
    /// The token in the vault where it is good by the clock; none where it has to be refreshed,
    /// under the lock.
    pub(super) async fn usable_token(
        &self,
        id: ConnectionId,
    ) -> Result<Option<AccessToken>, TokenError> {
        let (record, base) = self.receiver_of(id).await?;
        refuse_unusable(&record)?;
        let found = self.entries.token(id).await?;
        let usable = found.filter(|state| {
            !state.is_refreshing() && !state.needs_refresh(self.environment.clock.now())
        });
        Ok(usable.map(|state| AccessToken::new(&state, base)))
    }

    /// Refreshes under the connection's lock, unless another caller did so meanwhile.
    pub(super) async fn refresh(
        &self,
        id: ConnectionId,
        rejected: Option<Secret>,
    ) -> Result<AccessToken, TokenError> {
        let _lock = self.token_lock(id).await?;
        let (record, base) = self.receiver_of(id).await?;
        refuse_unusable(&record)?;
        let Some(state) = self.recorded_token(id).await? else {
            return Err(self.needs_reauthorisation(id, ReauthorisationCause::NoToken).await);
        };
        let now = self.environment.clock.now();
        let refused =
            rejected.as_ref().is_some_and(|rejected| state.access().matches(rejected.expose()));
        if !refused && !state.is_refreshing() && !state.needs_refresh(now) {
            return Ok(AccessToken::new(&state, base));
        }
        let usable = !refused && !state.is_expired(now);
        let Some(refresh) = state.refresh().cloned() else {
            if usable {
                return Ok(AccessToken::new(&state, base));
            }
            return Err(self.needs_reauthorisation(id, ReauthorisationCause::NoRefreshToken).await);
        };
        let interrupted = state.is_refreshing();
        if !interrupted {
            self.entries.save_token(id, &state.clone().with_refreshing(true)).await?;
        }
        let endpoint = self.endpoint(&record.details.token_endpoint, &record.details.client_id);
        match endpoint.refresh(&refresh).await {
            Ok(response) => {
                let revocable = response.revocable().clone();
                let Ok(fresh) = state.refreshed(response, now) else {
                    return Err(self.block_other_patient(&record, &revocable).await);
                };
                self.persist(id, &fresh).await?;
                self.note_scopes(&record, &fresh).await?;
                Ok(AccessToken::new(&fresh, base))
            }
            Err(error) => {
                if error.proves_unused() && !interrupted {
                    // Where this fails, the mark stays and only makes the next reason less sharp.
                    let _ =
                        self.entries.save_token(id, &state.clone().with_refreshing(false)).await;
                }
                let unavailable = matches!(error, EndpointError::Unavailable { .. });
                match self.refresh_failed(id, error, interrupted).await {
                    _ if unavailable && usable => Ok(AccessToken::new(&state, base)),
                    error => Err(error),
                }
            }
        }
    }

    /// What a failed refresh means for the connection.
    async fn refresh_failed(
        &self,
        id: ConnectionId,
        error: EndpointError,
        interrupted: bool,
    ) -> TokenError {
        match error {
            EndpointError::Transport(error) => TokenError::Transport(error),
            EndpointError::Unavailable { status, not_before } => {
                TokenError::Unavailable { status, not_before }
            }
            EndpointError::InvalidClient | EndpointError::Status { status: 404 | 405 | 410 } => {
                match self.set_state(id, ConnectionState::Misconfigured).await {
                    Ok(()) => TokenError::Misconfigured,
                    Err(error) => error,
                }
            }
            EndpointError::InvalidGrant
            | EndpointError::InvalidScope
            | EndpointError::Refused
            | EndpointError::Status { status: 400 | 401 } => {
                if let Err(error) = self.entries.delete_token(id).await {
                    return error.into();
                }
                let cause = if interrupted {
                    ReauthorisationCause::Interrupted
                } else {
                    ReauthorisationCause::Refused
                };
                self.needs_reauthorisation(id, cause).await
            }
            EndpointError::Response(_) | EndpointError::Status { .. } => TokenError::Unreadable,
        }
    }

    /// Puts fresh tokens into the vault. Where it refuses, they stay in memory, and the next call
    /// tries again first: the receiver may never give these tokens again.
    async fn persist(&self, id: ConnectionId, fresh: &TokenState) -> Result<(), VaultError> {
        let saved = self.entries.save_token(id, fresh).await;
        let mut unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        match saved {
            Ok(()) => drop(unsaved.remove(&id)),
            Err(_) => drop(unsaved.insert(id, fresh.clone())),
        }
        saved
    }

    /// The tokens in the vault, after those that an earlier call could not put there. Only under
    /// the lock.
    async fn recorded_token(&self, id: ConnectionId) -> Result<Option<TokenState>, VaultError> {
        let recorded = self.entries.token(id).await?;
        let unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        match (recorded, unsaved) {
            // The mark is still there: nobody authorised anew since.
            (Some(recorded), Some(fresh)) if recorded.is_refreshing() => {
                self.persist(id, &fresh).await?;
                Ok(Some(fresh))
            }
            (recorded, _) => Ok(recorded),
        }
    }

    /// The receiver answered for somebody else: the token is given back where that is possible,
    /// none is kept, and the connection is blocked.
    async fn block_other_patient(
        &self,
        record: &ConnectionRecord,
        revocable: &Secret,
    ) -> TokenError {
        if let Err(error) = self.set_state(record.id, ConnectionState::OtherPatient).await {
            return error;
        }
        let deleted = self.entries.delete_token(record.id).await;
        self.give_back(
            record.details.revocation_endpoint.as_deref(),
            &record.details.client_id,
            revocable,
        )
        .await;
        deleted.err().map_or(TokenError::OtherPatient, TokenError::from)
    }

    /// Scopes may change with a refresh.
    async fn note_scopes(
        &self,
        record: &ConnectionRecord,
        fresh: &TokenState,
    ) -> Result<(), TokenError> {
        if record.details.scopes == fresh.scopes_text() {
            return Ok(());
        }
        let (id, scopes) = (record.id, fresh.scopes_text().to_owned());
        self.store
            .call(move |store| {
                store
                    .change_connection(id, |details| details.scopes = scopes)
                    .map_err(TokenError::from)
            })
            .await
    }

    async fn needs_reauthorisation(
        &self,
        id: ConnectionId,
        cause: ReauthorisationCause,
    ) -> TokenError {
        match self.set_state(id, ConnectionState::NeedsReauthorisation).await {
            Ok(()) => TokenError::NeedsReauthorisation(cause),
            Err(error) => error,
        }
    }

    async fn set_state(&self, id: ConnectionId, state: ConnectionState) -> Result<(), TokenError> {
        self.store
            .call(move |store| store.set_connection_state(id, state).map_err(TokenError::from))
            .await
    }

    /// The connection and the base its token may go to.
    async fn receiver_of(
        &self,
        id: ConnectionId,
    ) -> Result<(ConnectionRecord, ReceiverBase), TokenError> {
        let record =
            self.store.call(move |store| store.connection(id).map_err(TokenError::from)).await?;
        let base = record.base.parse().map_err(|_| TokenError::Misconfigured)?;
        Ok((record, base))
    }

    /// The lock of a connection's tokens, shared with other processes.
    pub(super) async fn token_lock(&self, id: ConnectionId) -> Result<Lock, TokenError> {
        self.lock(&format!("token-{}", id.0)).await?.ok_or(TokenError::Busy)
    }

    /// The lock `name`, waited for; none where it stays taken.
    pub(super) async fn lock(
        &self,
        name: &str,
    ) -> Result<Option<Lock>, crate::environment::EnvironmentError> {
        self.locks.acquire_within(name, LOCK_PATIENCE).await
    }
}

impl super::Connector {
    /// A valid access token: the one in the vault, refreshed where it is about to end.
    ///
    /// # Errors
    /// [`TokenError`]; the connection's state is set where the person or the receiver has to act.
    pub async fn access_token(&self, id: ConnectionId) -> Result<AccessToken, TokenError> {
        match self.0.usable_token(id).await? {
            Some(token) => Ok(token),
            None => self.refreshed(id, None).await,
        }
    }

    /// A new access token after the receiver answered 401 to `rejected`; the one another caller got
    /// meanwhile, where one did.
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

/// No token is fetched for a connection that is blocked, or was ended and must stay so.
fn refuse_unusable(record: &ConnectionRecord) -> Result<(), TokenError> {
    match record.state {
        ConnectionState::OtherPatient => Err(TokenError::OtherPatient),
        ConnectionState::Disconnected => Err(TokenError::NoConnection),
        _ => Ok(()),
    }
}
