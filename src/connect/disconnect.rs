//! From a connection to none: it ends here at once, and its token is given back until the receiver
//! took it.
//!
//! The row that says so is written in the transaction that ends the connection, so that a kill or a
//! failing vault leaves nothing behind that nobody looks for.

use super::endpoint::Endpoint;
use super::entries::{token_entry, token_entry_of};
use super::in_time::InTime;
use super::{ConnectError, Connector, Inner, Revocation, RevocationsLeft, TokenError};
use crate::environment::{Deadline, Environment, VaultError};
use crate::smart::{FailureReason, Failures, Secret};
use crate::store::{ConnectionId, NewRevocation, Store, StoreError, StoredRevocation};
use crate::submission::{Policy, RetryAfter};
use chrono::TimeDelta;
use std::time::Duration;

/// The longest pause of our own choosing before a token is given back again.
const LONGEST_PAUSE: TimeDelta = TimeDelta::days(1);
/// How long a refresh under way is waited for before its token is given back.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

impl Connector {
    /// Ends a connection: name, birth date, orders and everything queued go at once, then the
    /// tokens are given back and removed. What of that fails is tried again by
    /// [`revoke_pending`](Self::revoke_pending); a failing vault or network does not prevent
    /// ending.
    ///
    /// # Errors
    /// [`ConnectError::Token`] if there is no such connection, [`ConnectError::Store`].
    pub async fn disconnect(&self, id: ConnectionId) -> Result<Revocation, ConnectError> {
        self.detached(ConnectError::Stopped, async move |inner| inner.disconnect(id).await).await
    }

    /// Gives back the tokens of ended connections that could not be given back yet, if it is time
    /// to try again, until `deadline`; returns what is left.
    ///
    /// Dropping the future stops it where it is, which harms nothing: a token that the receiver
    /// took already is given back once more, and it says yes again.
    ///
    /// # Errors
    /// [`ConnectError::Store`], [`ConnectError::Environment`].
    pub async fn revoke_pending(
        &self,
        deadline: Deadline,
    ) -> Result<RevocationsLeft, ConnectError> {
        self.0.revoke_pending(deadline).await
    }

    /// Removes all vault entries of this database: tokens, also those to be given back, and
    /// authorisations under way. For `erase`; nothing is revoked.
    ///
    /// # Errors
    /// [`ConnectError::Vault`], [`ConnectError::Store`].
    pub async fn forget_secrets(&self) -> Result<(), ConnectError> {
        self.detached(ConnectError::Stopped, async move |inner| {
            let both = |store: &mut Store| {
                Ok::<_, ConnectError>((store.generations()?, store.revocations()?))
            };
            let (connections, revocations) = inner.store.call(both).await?;
            for connection in connections {
                let _lock = inner.token_lock(connection.0).await?;
                inner.entries.delete_entry(&token_entry_of(connection)).await?;
                inner.forget_unsaved(connection);
            }
            for revocation in revocations {
                inner.entries.delete_entry(&revocation.what.entry).await?;
                let id = revocation.id;
                inner
                    .store
                    .call(move |store| store.remove_revocation(id).map_err(ConnectError::from))
                    .await?;
            }
            let _lock = inner.index_lock().await?;
            for name in inner.entries.index().await?.pending.keys() {
                inner.entries.delete_pending(name).await?;
            }
            Ok(inner.entries.delete_index().await?)
        })
        .await
    }
}

impl Inner {
    async fn disconnect(&self, id: ConnectionId) -> Result<Revocation, ConnectError> {
        let deadline = self.end_of_call(Policy::default().disconnect);
        let end = move |store: &mut Store| {
            let record = store.connection(id)?;
            let revocation = store.end_connection(id, |record| NewRevocation {
                entry: token_entry(record),
                endpoint: record.details.revocation_endpoint.clone(),
                client_id: record.details.client_id.clone(),
            })?;
            let all = store.revocations()?;
            Ok::<_, StoreError>((record, all.into_iter().find(|one| one.id == revocation)))
        };
        let (record, revocation) = self.store.call(end).await.map_err(TokenError::from)?;
        self.environment.log.info("disconnected", &[("connection", id.into())]);
        // A refresh under way ends first, and what it brought is given back.
        let name = super::tokens::lock_name(id);
        let held = self.locks.acquire_within(&name, LOCK_PATIENCE).await;
        // It is ended: whatever fails from here on is tried again later.
        let (Some(revocation), Ok(Some(lock))) = (revocation, held) else {
            return Ok(Revocation::Pending);
        };
        let known = self.take_unsaved(&record).map(|state| state.revocable().clone());
        let found = self.entry_of(&revocation, known).await;
        drop(lock);
        let revoked = self.revoke(revocation, found, deadline).await;
        Ok(revoked.unwrap_or(Revocation::Pending))
    }

    async fn revoke_pending(&self, deadline: Deadline) -> Result<RevocationsLeft, ConnectError> {
        let all = || self.store.call(|store| store.revocations().map_err(ConnectError::from));
        for revocation in all().await? {
            let clock = &self.environment.clock;
            if deadline.has_passed(clock.monotonic()) {
                break;
            }
            if revocation.failures.pause(clock.now()).is_none() {
                let found = self.entry_of(&revocation, None).await;
                self.revoke(revocation, found, deadline).await?;
            }
        }
        let (left, now) = (all().await?, self.environment.clock.now());
        // What waits for the vault has no time of its own.
        let soon = now + TimeDelta::minutes(1);
        let next = left.iter().map(|one| one.failures.pause(now).map_or(soon, |p| p.until)).min();
        Ok(RevocationsLeft { count: left.len(), next })
    }

    /// The token to give back: `known`, or what the vault holds. `Err` if the vault does not say.
    async fn entry_of(
        &self,
        revocation: &StoredRevocation,
        known: Option<Secret>,
    ) -> Result<Option<Secret>, VaultError> {
        match known {
            Some(token) => Ok(Some(token)),
            None => self.entries.revocable(&revocation.what.entry).await,
        }
    }

    /// Gives one token back, once; forgets it if that is done, and else notes when to try again,
    /// also if no answer came before `deadline`. Under no lock: the receiver may take its time.
    async fn revoke(
        &self,
        revocation: StoredRevocation,
        token: Result<Option<Secret>, VaultError>,
        deadline: Deadline,
    ) -> Result<Revocation, ConnectError> {
        let StoredRevocation { id, what, failures } = revocation;
        let Environment { clock, log, .. } = &self.environment;
        let outcome = match (&token, &what.endpoint) {
            (Err(_), _) => return Ok(Revocation::Pending),
            (Ok(None), _) => Revocation::NothingToRevoke,
            (Ok(Some(_)), None) => Revocation::NotOffered,
            (Ok(Some(token)), Some(url)) => {
                let jitter = u32::from_be_bytes(self.random()?);
                let transport = InTime::new(&self.environment, deadline);
                match revoke(&transport, &what.client_id, url, token).await {
                    Ok(()) => Revocation::Done,
                    Err((reason, asked)) => {
                        let now = clock.now();
                        let failures = failures.and(reason, asked, LONGEST_PAUSE, jitter, now);
                        let pause = failures.pause(now).map_or(now, |pause| pause.until) - now;
                        let wait = pause.to_std().unwrap_or_default();
                        let fields = [("because", reason.into()), ("wait", wait.into())];
                        log.warn("revocation-failed", &fields);
                        let defer = move |store: &mut Store| {
                            store.defer_revocation(id, &failures).map_err(ConnectError::from)
                        };
                        self.store.call(defer).await?;
                        return Ok(Revocation::Pending);
                    }
                }
            }
        };
        // The entry first: a row without an entry ends by itself, an entry without a row stays.
        if self.entries.delete_entry(&what.entry).await.is_err() {
            return Ok(Revocation::Pending);
        }
        self.store
            .call(move |store| store.remove_revocation(id).map_err(ConnectError::from))
            .await?;
        log.info("revocation", &[("outcome", outcome.into())]);
        Ok(outcome)
    }

    /// Gives back a token that is not kept: now, or later if that fails.
    pub(super) async fn give_back(
        &self,
        revocation_endpoint: Option<&str>,
        client_id: &str,
        token: &Secret,
    ) -> Revocation {
        let Some(url) = revocation_endpoint else { return Revocation::NotOffered };
        let deadline = self.end_of_call(Policy::default().disconnect);
        if let Ok(revocation) = self.note_and_revoke(url, client_id, token, deadline).await {
            return revocation;
        }
        // It cannot be kept: then at least it is tried once.
        let transport = InTime::new(&self.environment, deadline);
        match revoke(&transport, client_id, url, token).await {
            Ok(()) => Revocation::Done,
            Err(_) => Revocation::Pending,
        }
    }

    async fn note_and_revoke(
        &self,
        url: &str,
        client_id: &str,
        token: &Secret,
        deadline: Deadline,
    ) -> Result<Revocation, ConnectError> {
        let number = u128::from_be_bytes(self.random()?);
        let what = NewRevocation {
            entry: format!("revoke/{number:032x}"),
            endpoint: Some(url.to_owned()),
            client_id: client_id.to_owned(),
        };
        let new = what.clone();
        let add = move |store: &mut Store| store.add_revocation(&new).map_err(ConnectError::from);
        let id = self.store.call(add).await?;
        self.entries.save_revocable(&what.entry, token).await?;
        let failures = Failures::default();
        let revocation = StoredRevocation { id, what, failures };
        self.revoke(revocation, Ok(Some(token.clone())), deadline).await
    }
}

/// Asks the receiver to take a token back.
async fn revoke(
    transport: &InTime<'_>,
    client_id: &str,
    url: &str,
    token: &Secret,
) -> Result<(), (FailureReason, Option<RetryAfter>)> {
    Endpoint { transport, token_url: "", client_id }.revoke(url, token).await
}
