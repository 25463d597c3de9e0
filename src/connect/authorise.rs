//! From "connect" to a confirmed connection and back: begin, complete, confirm, disconnect.
//!
//! Between begin and complete the app may die: all that matters is in the vault. A code is used
//! once: the pending authorisation is taken out of the vault before the exchange.

use super::endpoint::EndpointError;
use super::receiver::{dialect, discover, request};
use super::{
    AccessToken, AuthorizationRequest, ConnectError, Connector, Inner, Receiver, Revocation,
    TokenError,
};
use crate::environment::{EnvironmentError, Lock};
use crate::fhir::{PatientId, PatientIdentity, parse_patient};
use crate::smart::{
    AuthorizationState, CallbackError, PendingAuthorization, PkceVerifier, ScopeRequest,
    TokenResponse, TokenState, state_of, validate,
};
use crate::store::{ConnectionDetails, ConnectionId, ConnectionRecord, ConnectionState};

/// More authorisations than this are not kept open: the oldest go first.
const MAX_PENDING: usize = 16;

impl Connector {
    /// Starts an authorisation at `receiver`: asks it how it authorises and what it speaks, and
    /// keeps in the vault what must outlive the process. Open the URL in the system's browser.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn begin(&self, receiver: &Receiver) -> Result<AuthorizationRequest, ConnectError> {
        let receiver = receiver.clone();
        self.detached(ConnectError::Stopped, async move |inner| inner.begin(&receiver).await).await
    }

    /// Ends an authorisation with what the browser brought back, also in a new process. The
    /// connection is new and unconfirmed, or the one there was, with new tokens. Where the
    /// patient's name could not be read, it is left out: [`fetch_patient`](Self::fetch_patient)
    /// tries again.
    ///
    /// # Errors
    /// [`ConnectError::Callback`] for a refusal or a forgery,
    /// [`ConnectError::UnknownAuthorisation`] for a second use, [`ConnectError::OtherPatient`]
    /// where the connection is another patient's: it is blocked then.
    pub async fn complete(&self, redirect_url: &str) -> Result<ConnectionRecord, ConnectError> {
        let url = redirect_url.to_owned();
        self.detached(ConnectError::Stopped, async move |inner| inner.complete(&url).await).await
    }

    /// The person saw the patient's name and birth date and said "this is me". What an unconfirmed
    /// connection waits for.
    ///
    /// # Errors
    /// [`ConnectError::PatientUnknown`] before either was read, [`ConnectError::OtherPatient`] on a
    /// blocked connection.
    pub async fn confirm(&self, id: ConnectionId) -> Result<ConnectionRecord, ConnectError> {
        // Nobody blocks the connection between the look at its state and the change.
        let _lock = self.0.token_lock(id).await?;
        self.0
            .store
            .call(move |store| {
                let mut record = store.connection(id)?;
                if record.state == ConnectionState::OtherPatient {
                    return Err(ConnectError::OtherPatient);
                }
                if record.details.patient_name.is_none() && record.details.birth_date.is_none() {
                    return Err(ConnectError::PatientUnknown);
                }
                store.change_connection(id, |details| details.confirmed = true)?;
                record.details.confirmed = true;
                if record.state == ConnectionState::Unconfirmed {
                    store.set_connection_state(id, ConnectionState::Active)?;
                    record.state = ConnectionState::Active;
                }
                Ok(record)
            })
            .await
    }

    /// Reads the patient's name and birth date anew.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn fetch_patient(&self, id: ConnectionId) -> Result<ConnectionRecord, ConnectError> {
        let record = self
            .0
            .store
            .call(move |store| store.connection(id).map_err(ConnectError::from))
            .await?;
        let patient =
            PatientId::new(record.patient).map_err(|_| ConnectError::Unreadable("patient"))?;
        let token = self.access_token(id).await?;
        let found = match self.0.read_patient(&token, &patient).await {
            Err(ConnectError::Status { status: 401, .. }) => {
                let token = self.refresh_after_401(id, &token).await?;
                self.0.read_patient(&token, &patient).await?
            }
            found => found?,
        };
        self.0
            .store
            .call(move |store| {
                store.change_connection(id, |details| {
                    details.patient_name = found.name;
                    details.birth_date = found.birth_date;
                })?;
                Ok(store.connection(id)?)
            })
            .await
    }

    /// Ends a connection: tokens and everything queued go at once, then the token is given back.
    /// That this fails is reported, and changes nothing.
    ///
    /// # Errors
    /// [`ConnectError::Vault`] where the tokens cannot be removed: the connection stays then, to be
    /// disconnected again.
    pub async fn disconnect(&self, id: ConnectionId) -> Result<Revocation, ConnectError> {
        self.detached(ConnectError::Stopped, async move |inner| inner.disconnect(id).await).await
    }

    /// Removes all vault entries of this database: tokens and authorisations under way. For
    /// `erase`; nothing is revoked.
    ///
    /// # Errors
    /// [`ConnectError::Vault`], [`ConnectError::Store`].
    pub async fn forget_secrets(&self) -> Result<(), ConnectError> {
        self.detached(ConnectError::Stopped, async move |inner| {
            let connections =
                inner.store.call(|store| store.connections().map_err(ConnectError::from)).await?;
            for connection in connections {
                let _lock = inner.token_lock(connection.id).await?;
                inner.entries.delete_token(connection.id).await?;
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
    async fn begin(&self, receiver: &Receiver) -> Result<AuthorizationRequest, ConnectError> {
        let transport = self.environment.transport.as_ref();
        let server = discover(transport, receiver).await?;
        let (dialect, promises) = dialect(transport, receiver).await?;
        let now = self.environment.clock.now();
        let _lock = self.index_lock().await?;
        let mut index = self.entries.index().await?;
        let most =
            index.scopes.get(receiver.base.as_str()).copied().unwrap_or(ScopeRequest::WIDEST);
        let scopes =
            ScopeRequest::for_server(&server).with_read_back(receiver.read_back).at_most(most);
        let mut pending = PendingAuthorization::new(
            receiver.base.clone(),
            &server,
            receiver.client_id.clone(),
            receiver.redirect_uri.clone(),
            scopes,
            AuthorizationState::from_bytes(self.random()?),
            PkceVerifier::from_bytes(self.random()?),
            now,
        );
        pending.dialect = dialect.map(|dialect| dialect.code().to_owned());
        pending.promises = promises;
        let void: Vec<String> = {
            let mut by_end: Vec<_> =
                index.pending.iter().map(|(name, end)| (*end, name.clone())).collect();
            by_end.sort();
            let surplus = (by_end.len() + 1).saturating_sub(MAX_PENDING);
            let is_void =
                |(i, (end, _)): &(usize, (i64, String))| *i < surplus || *end <= now.timestamp();
            by_end.into_iter().enumerate().filter(is_void).map(|(_, (_, name))| name).collect()
        };
        for name in void {
            self.entries.delete_pending(&name).await?;
            index.pending.remove(&name);
        }
        // The index first: it may name an entry that was never made, but an entry it does not name
        // is never found again.
        index.pending.insert(
            AuthorizationState::name_of(pending.state.expose()),
            pending.expires_at().timestamp(),
        );
        self.entries.save_index(&index).await?;
        self.entries.save_pending(&pending).await?;
        Ok(AuthorizationRequest {
            url: pending.url(),
            state: pending.state.expose().to_owned(),
            expires_at: pending.expires_at(),
        })
    }

    async fn complete(&self, redirect_url: &str) -> Result<ConnectionRecord, ConnectError> {
        let name = AuthorizationState::name_of(state_of(redirect_url)?.expose());
        let now = self.environment.clock.now();
        let (pending, code) = {
            let _lock = self.index_lock().await?;
            let pending =
                self.entries.pending(&name).await?.ok_or(ConnectError::UnknownAuthorisation)?;
            let judged = validate(redirect_url, &pending, now);
            // Another app may have sent this one: the browser's own answer can still come.
            if let Err(error @ (CallbackError::OtherRedirectUri | CallbackError::OtherState)) =
                judged
            {
                return Err(error.into());
            }
            self.entries.delete_pending(&name).await?;
            let mut index = self.entries.index().await?;
            index.pending.remove(&name);
            if judged.as_ref().err() == Some(&CallbackError::InvalidScope) {
                ask_simpler(&mut index.scopes, &pending);
            }
            self.entries.save_index(&index).await?;
            (pending, judged?)
        };
        let endpoint = self.endpoint(pending.token_endpoint.as_str(), &pending.client_id);
        match endpoint.exchange(code.expose(), &pending.redirect_uri, &pending.verifier).await {
            Ok(response) => self.connect(&pending, response).await,
            Err(error) => {
                self.after_failed_exchange(&name, &pending, &error).await?;
                Err(error.into())
            }
        }
    }

    /// A code that never reached the receiver can be used when the browser's answer is given again;
    /// refused scopes are remembered.
    async fn after_failed_exchange(
        &self,
        name: &str,
        pending: &PendingAuthorization,
        error: &EndpointError,
    ) -> Result<(), ConnectError> {
        let refused = *error == EndpointError::InvalidScope;
        if !refused && !error.retryable() {
            return Ok(());
        }
        let _lock = self.index_lock().await?;
        let mut index = self.entries.index().await?;
        if refused {
            ask_simpler(&mut index.scopes, pending);
        } else {
            index.pending.insert(name.to_owned(), pending.expires_at().timestamp());
        }
        self.entries.save_index(&index).await?;
        if !refused {
            self.entries.save_pending(pending).await?;
        }
        Ok(())
    }

    /// Makes or renews the connection a token response is for.
    async fn connect(
        &self,
        pending: &PendingAuthorization,
        response: TokenResponse,
    ) -> Result<ConnectionRecord, ConnectError> {
        let revocable = response.revocable().clone();
        let revocation = pending.revocation_endpoint.as_ref().map(url::Url::as_str);
        let result = self.keep(pending, response).await;
        if result.is_err() {
            // Whatever went wrong: a token that is not kept is given back.
            self.give_back(revocation, &pending.client_id, &revocable).await;
        }
        result
    }

    async fn keep(
        &self,
        pending: &PendingAuthorization,
        response: TokenResponse,
    ) -> Result<ConnectionRecord, ConnectError> {
        let token =
            TokenState::granted(response, pending.scopes.text(), self.environment.clock.now())
                .map_err(EndpointError::from)?;
        let base = pending.base.as_str().to_owned();
        let existing = self
            .store
            .call(move |store| store.connection_to(&base).map_err(ConnectError::from))
            .await?;
        if let Some(existing) =
            existing.as_ref().filter(|existing| existing.patient != token.patient().as_str())
        {
            let id = existing.id;
            let _lock = self.token_lock(id).await?;
            let blocked = move |store: &mut crate::store::Store| {
                // One that was ended meanwhile stays so.
                if store.connection(id)?.state != ConnectionState::Disconnected {
                    store.set_connection_state(id, ConnectionState::OtherPatient)?;
                }
                Ok::<_, ConnectError>(())
            };
            self.store.call(blocked).await?;
            return Err(ConnectError::OtherPatient);
        }
        let access = AccessToken::new(&token, pending.base.clone());
        let person = self.read_patient(&access, token.patient()).await.ok();
        match existing {
            Some(existing) => self.renew(existing.id, pending, token, person).await,
            None => self.add(pending, token, person).await,
        }
    }

    async fn add(
        &self,
        pending: &PendingAuthorization,
        token: TokenState,
        person: Option<PatientIdentity>,
    ) -> Result<ConnectionRecord, ConnectError> {
        let mut details = ConnectionDetails::default();
        describe(&mut details, pending, &token, person);
        let (base, patient) =
            (pending.base.as_str().to_owned(), token.patient().as_str().to_owned());
        let promises = pending.promises;
        let add = move |store: &mut crate::store::Store| {
            let id =
                store.add_connection(&base, &patient, ConnectionState::Unconfirmed, &details)?;
            store.change_receiver(id, |receiver| receiver.authorised(promises))?;
            Ok::<_, ConnectError>(store.connection(id)?)
        };
        let record = self.store.call(add).await?;
        let id = record.id;
        let _lock = self.token_lock(id).await?;
        if let Err(error) = self.entries.save_token(id, &token).await {
            self.store
                .call(move |store| store.remove_connection(id).map_err(ConnectError::from))
                .await?;
            return Err(error.into());
        }
        Ok(record)
    }

    async fn renew(
        &self,
        id: ConnectionId,
        pending: &PendingAuthorization,
        token: TokenState,
        person: Option<PatientIdentity>,
    ) -> Result<ConnectionRecord, ConnectError> {
        let _lock = self.token_lock(id).await?;
        self.entries.save_token(id, &token).await?;
        let pending = pending.clone();
        self.store
            .call(move |store| {
                store
                    .change_connection(id, |details| describe(details, &pending, &token, person))?;
                store.change_receiver(id, |receiver| receiver.authorised(pending.promises))?;
                let confirmed = store.connection(id)?.details.confirmed;
                let state =
                    if confirmed { ConnectionState::Active } else { ConnectionState::Unconfirmed };
                store.set_connection_state(id, state)?;
                Ok(store.connection(id)?)
            })
            .await
    }

    async fn read_patient(
        &self,
        token: &AccessToken,
        patient: &PatientId,
    ) -> Result<PatientIdentity, ConnectError> {
        let url = token.base().at(&format!("Patient/{}", patient.as_str()));
        let request = token
            .authorised_request(request(&url, "application/fhir+json")?)
            .map_err(|_| ConnectError::Unreadable("base URL"))?;
        let response = self.environment.transport.send(request).await?;
        match response.status().as_u16() {
            200 => Ok(parse_patient(response.body(), patient)?),
            status => Err(ConnectError::Status { what: "patient", status }),
        }
    }

    async fn disconnect(&self, id: ConnectionId) -> Result<Revocation, ConnectError> {
        let (record, token) = {
            let _lock = self.token_lock(id).await?;
            let record = self
                .store
                .call(move |store| store.connection(id).map_err(ConnectError::from))
                .await?;
            if record.state == ConnectionState::Disconnected {
                return Err(TokenError::NoConnection.into());
            }
            let token = self.entries.token(id).await?;
            self.entries.delete_token(id).await?;
            self.unsaved.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&id);
            self.store
                .call(move |store| store.remove_connection(id).map_err(ConnectError::from))
                .await?;
            (record, token)
        };
        let Some(token) = token else { return Ok(Revocation::NothingToRevoke) };
        let details = &record.details;
        Ok(self
            .give_back(
                details.revocation_endpoint.as_deref(),
                &details.client_id,
                token.revocable(),
            )
            .await)
    }

    fn random(&self) -> Result<[u8; 32], EnvironmentError> {
        let mut bytes = [0; 32];
        self.environment.entropy.fill(&mut bytes)?;
        Ok(bytes)
    }

    async fn index_lock(&self) -> Result<Lock, ConnectError> {
        self.lock("authorisations").await?.ok_or(ConnectError::Busy)
    }
}

fn ask_simpler(
    scopes: &mut std::collections::BTreeMap<String, ScopeRequest>,
    pending: &PendingAuthorization,
) {
    let most = scopes.entry(pending.base.as_str().to_owned()).or_insert(ScopeRequest::WIDEST);
    *most = most.after_refusal_of(pending.scopes);
}

/// Writes what an authorisation tells into a connection's details. What was learnt of the receiver
/// otherwise stays.
fn describe(
    details: &mut ConnectionDetails,
    pending: &PendingAuthorization,
    token: &TokenState,
    person: Option<PatientIdentity>,
) {
    details.client_id.clone_from(&pending.client_id);
    pending.redirect_uri.as_str().clone_into(&mut details.redirect_uri);
    details.authorization_endpoint = pending.authorization_endpoint.to_string();
    details.token_endpoint = pending.token_endpoint.to_string();
    details.revocation_endpoint = pending.revocation_endpoint.as_ref().map(url::Url::to_string);
    token.scopes_text().clone_into(&mut details.scopes);
    details.dialect.clone_from(&pending.dialect);
    if let Some(person) = person {
        details.patient_name = person.name;
        details.birth_date = person.birth_date;
    }
}
