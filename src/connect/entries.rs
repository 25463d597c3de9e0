//! What connections keep in the vault: pending authorisations, tokens, and an index of the
//! authorisations under way.
//!
//! Every name starts with the database's own, so that two databases never meet. A vault cannot be
//! listed, so the index names the pending entries: that is how they are found again to be removed.

use crate::blocking::{Blocking, blocking};
use crate::environment::{Vault, VaultError};
use crate::smart::{AuthorizationState, PendingAuthorization, ScopeRequest, Secret, TokenState};
use crate::store::{ConnectionId, ConnectionRecord};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The vault, as connections use it: off the runtime's threads, because a vault may take its time.
#[derive(Clone)]
pub(super) struct Entries {
    vault: Arc<dyn Vault>,
    namespace: String,
}

/// Which authorisations are under way, and which receivers refused what scopes.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PendingIndex {
    /// The pending entry's name, and the unix second from which it is void.
    pub(super) pending: BTreeMap<String, i64>,
    /// By base URL: what to ask for since the receiver answered `invalid_scope`.
    pub(super) scopes: BTreeMap<String, ScopeRequest>,
}

/// The entry of a connection's tokens. A connection that was ended and taken up again has another
/// one, so that giving back the old tokens never meets the new ones.
pub(super) fn token_entry(connection: &ConnectionRecord) -> String {
    token_entry_of((connection.id, connection.generation))
}

/// The same by the connection's number and generation.
pub(super) fn token_entry_of((id, generation): (ConnectionId, i64)) -> String {
    format!("token/{}-{generation}", id.0)
}

impl Entries {
    pub(super) fn new(vault: Arc<dyn Vault>, namespace: &str) -> Self {
        Self { vault, namespace: namespace.to_owned() }
    }

    pub(super) async fn index(&self) -> Result<PendingIndex, VaultError> {
        // An unreadable index is begun anew: it only speeds up what a person can do again.
        Ok(self.load(self.index_name()).await?.unwrap_or_default())
    }

    pub(super) fn save_index(&self, index: &PendingIndex) -> Blocking<Result<(), VaultError>> {
        self.save(self.index_name(), index)
    }

    pub(super) fn delete_index(&self) -> Blocking<Result<(), VaultError>> {
        self.delete(self.index_name())
    }

    pub(super) fn pending(
        &self,
        name: &str,
    ) -> Blocking<Result<Option<PendingAuthorization>, VaultError>> {
        self.load(self.pending_name(name))
    }

    pub(super) fn save_pending(
        &self,
        pending: &PendingAuthorization,
    ) -> Blocking<Result<(), VaultError>> {
        let name = AuthorizationState::name_of(pending.state.expose());
        self.save(self.pending_name(&name), pending)
    }

    pub(super) fn delete_pending(&self, name: &str) -> Blocking<Result<(), VaultError>> {
        self.delete(self.pending_name(name))
    }

    pub(super) fn token(
        &self,
        connection: &ConnectionRecord,
    ) -> Blocking<Result<Option<TokenState>, VaultError>> {
        self.load(self.full_name(&token_entry(connection)))
    }

    pub(super) fn save_token(
        &self,
        connection: &ConnectionRecord,
        token: &TokenState,
    ) -> Blocking<Result<(), VaultError>> {
        self.save(self.full_name(&token_entry(connection)), token)
    }

    pub(super) fn delete_token(
        &self,
        connection: &ConnectionRecord,
    ) -> Blocking<Result<(), VaultError>> {
        self.delete(self.full_name(&token_entry(connection)))
    }

    /// The token to give back in an entry of either kind.
    pub(super) fn revocable(&self, entry: &str) -> Blocking<Result<Option<Secret>, VaultError>> {
        let name = self.full_name(entry);
        self.run(move |vault| {
            let Some(text) = vault.load(&name)? else { return Ok(None) };
            let text = text.expose_secret();
            let tokens: Result<TokenState, _> = serde_json::from_str(text);
            Ok(match tokens {
                Ok(tokens) => Some(tokens.revocable().clone()),
                Err(_) => serde_json::from_str(text).ok(),
            })
        })
    }

    pub(super) fn save_revocable(
        &self,
        entry: &str,
        token: &Secret,
    ) -> Blocking<Result<(), VaultError>> {
        self.save(self.full_name(entry), token)
    }

    pub(super) fn delete_entry(&self, entry: &str) -> Blocking<Result<(), VaultError>> {
        self.delete(self.full_name(entry))
    }

    fn index_name(&self) -> String {
        self.full_name("authorisations")
    }

    fn pending_name(&self, name: &str) -> String {
        self.full_name(&format!("pending/{name}"))
    }

    fn full_name(&self, entry: &str) -> String {
        format!("cgm/{}/{entry}", self.namespace)
    }

    /// An entry this version cannot read counts as absent: the person authorises again.
    fn load<T>(&self, name: String) -> Blocking<Result<Option<T>, VaultError>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.run(move |vault| {
            let found = vault.load(&name)?;
            Ok(found.and_then(|text| serde_json::from_str(text.expose_secret()).ok()))
        })
    }

    fn save<T: Serialize>(&self, name: String, value: &T) -> Blocking<Result<(), VaultError>> {
        let text = serde_json::to_string(value).map(SecretString::from);
        self.run(move |vault| vault.save(&name, &text.map_err(|_| VaultError::Failed)?))
    }

    fn delete(&self, name: String) -> Blocking<Result<(), VaultError>> {
        self.run(move |vault| vault.delete(&name))
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Blocking<Result<T, VaultError>> {
        let vault = Arc::clone(&self.vault);
        blocking(move || work(vault.as_ref()), |_| Err(VaultError::Failed))
    }
}
