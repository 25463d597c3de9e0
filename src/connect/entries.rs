//! What connections keep in the vault: pending authorisations, tokens, and an index of the
//! authorisations under way.
//!
//! Every name starts with the database's own, so that two databases never meet. A vault cannot be
//! listed, so the index names the pending entries: that is how they are found again to be removed.

use crate::blocking::blocking;
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

    pub(super) async fn save_index(&self, index: &PendingIndex) -> Result<(), VaultError> {
        self.save(self.index_name(), index).await
    }

    pub(super) async fn delete_index(&self) -> Result<(), VaultError> {
        self.delete(self.index_name()).await
    }

    pub(super) async fn pending(
        &self,
        name: &str,
    ) -> Result<Option<PendingAuthorization>, VaultError> {
        self.load(self.pending_name(name)).await
    }

    pub(super) async fn save_pending(
        &self,
        pending: &PendingAuthorization,
    ) -> Result<(), VaultError> {
        let name = AuthorizationState::name_of(pending.state.expose());
        self.save(self.pending_name(&name), pending).await
    }

    pub(super) async fn delete_pending(&self, name: &str) -> Result<(), VaultError> {
        self.delete(self.pending_name(name)).await
    }

    pub(super) async fn token(
        &self,
        connection: &ConnectionRecord,
    ) -> Result<Option<TokenState>, VaultError> {
        self.load(self.full_name(&token_entry(connection))).await
    }

    pub(super) async fn save_token(
        &self,
        connection: &ConnectionRecord,
        token: &TokenState,
    ) -> Result<(), VaultError> {
        self.save(self.full_name(&token_entry(connection)), token).await
    }

    pub(super) async fn delete_token(
        &self,
        connection: &ConnectionRecord,
    ) -> Result<(), VaultError> {
        self.delete(self.full_name(&token_entry(connection))).await
    }

    /// The token to give back in an entry of either kind.
    pub(super) async fn revocable(&self, entry: &str) -> Result<Option<Secret>, VaultError> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Entry {
            Tokens(Box<TokenState>),
            Token(Secret),
        }
        let found = self.load(self.full_name(entry)).await?;
        Ok(found.map(|found| match found {
            Entry::Tokens(state) => state.revocable().clone(),
            Entry::Token(token) => token,
        }))
    }

    pub(super) async fn save_revocable(
        &self,
        entry: &str,
        token: &Secret,
    ) -> Result<(), VaultError> {
        self.save(self.full_name(entry), token).await
    }

    pub(super) async fn delete_entry(&self, entry: &str) -> Result<(), VaultError> {
        self.delete(self.full_name(entry)).await
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
    async fn load<T: DeserializeOwned>(&self, name: String) -> Result<Option<T>, VaultError> {
        let found = self.load_text(name).await?;
        Ok(found.and_then(|text| serde_json::from_str(text.expose_secret()).ok()))
    }

    async fn load_text(&self, name: String) -> Result<Option<SecretString>, VaultError> {
        self.run(move |vault| vault.load(&name)).await
    }

    async fn save<T: Serialize>(&self, name: String, value: &T) -> Result<(), VaultError> {
        let text = serde_json::to_string(value).map_err(|_| VaultError::Failed)?;
        self.save_text(name, SecretString::from(text)).await
    }

    async fn save_text(&self, name: String, text: SecretString) -> Result<(), VaultError> {
        self.run(move |vault| vault.save(&name, &text)).await
    }

    async fn delete(&self, name: String) -> Result<(), VaultError> {
        self.run(move |vault| vault.delete(&name)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let vault = Arc::clone(&self.vault);
        blocking(move || work(vault.as_ref()), |_| Err(VaultError::Failed)).await
    }
}
