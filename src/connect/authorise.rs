//! From "connect" to a connection: begin and complete.
//!
//! Between begin and complete the app may die: all that matters is in the vault. A code is used
//! once: the pending authorisation is taken out of the vault before the exchange.

use super::endpoint::{Endpoint, EndpointError, ExchangeError};
use super::in_time::InTime;
use super::receiver::{dialect, discover};
use super::{AccessToken, AuthorizationRequest, ConnectError, Connector, Inner, Receiver, host_of};
use crate::environment::{Deadline, Lock};
use crate::fhir::{Dialect, PatientIdentity};
use crate::smart::{
    AuthorizationState, CallbackError, PendingAuthorization, PkceVerifier, ScopeRequest,
    ScopesRefused, TokenHistory, TokenResponse, TokenState, refused_scopes, state_of, validate,
};
use crate::sorting::sort_by_key;
use crate::store::{ConnectionDetails, ConnectionRecord, ConnectionState, Store, StoreError};
use crate::submission::Policy;

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
    /// connection is new and unconfirmed, or the one there was, with new tokens. If the patient's
    /// name could not be read, it is left out: [`fetch_patient`](Self::fetch_patient) tries again.
    ///
    /// # Errors
    /// [`ConnectError::Callback`] for a refusal or a forgery,
    /// [`ConnectError::UnknownAuthorisation`] for a second use, [`ConnectError::OtherPatient`]
    /// if the connection is another patient's: it is blocked then; [`ConnectError::Ended`] if it
    /// was ended meanwhile.
    pub async fn complete(&self, redirect_url: &str) -> Result<ConnectionRecord, ConnectError> {
        let url = redirect_url.to_owned();
        self.detached(ConnectError::Stopped, async move |inner| inner.complete(&url).await).await
    }
}

impl Inner {
    async fn begin(&self, receiver: &Receiver) -> Result<AuthorizationRequest, ConnectError> {
        let deadline = self.end_of_call(Policy::default().call);
        let transport = InTime::new(&self.environment, deadline);
        let server = discover(&transport, receiver).await?;
        let (dialect, promises) = dialect(&transport, receiver).await?;
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
            sort_by_key(&mut by_end, |(end, _)| *end);
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
        let dialect = dialect.map_or("none", Dialect::code);
        let under_way = index.pending.len().into();
        let log = &self.environment.log;
        log.info("authorisation-begun", &[("dialect", dialect.into()), ("under-way", under_way)]);
        Ok(AuthorizationRequest {
            url: pending.url(),
            state: pending.state.expose().to_owned(),
            expires_at: pending.expires_at(),
        })
    }

    async fn complete(&self, redirect_url: &str) -> Result<ConnectionRecord, ConnectError> {
        let deadline = self.end_of_call(Policy::default().call);
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
            let refused =
                (judged.as_ref().err() == Some(&CallbackError::InvalidScope)).then(|| {
                    let named = refused_scopes(redirect_url, &pending);
                    ask_simpler(&mut index.scopes, &pending, named)
                });
            self.entries.save_index(&index).await?;
            if let Some(refused) = refused {
                return Err(ConnectError::Scopes(refused));
            }
            (pending, judged?)
        };
        let log = &self.environment.log;
        log.info("callback-accepted", &[]);
        let endpoint = Endpoint {
            transport: &InTime::new(&self.environment, deadline),
            token_url: pending.token_endpoint.as_str(),
            client_id: &pending.client_id,
        };
        match endpoint.exchange(code.expose(), &pending.redirect_uri, &pending.verifier).await {
            Ok(response) => {
                log.info("code-exchanged", &[]);
                self.connect(&pending, response, deadline).await
            }
            Err(failed) => Err(self.after_failed_exchange(&name, &pending, failed).await?),
        }
    }

    /// A code that never reached the receiver can be used when the browser's answer is given again;
    /// refused scopes are remembered.
    async fn after_failed_exchange(
        &self,
        name: &str,
        pending: &PendingAuthorization,
        failed: ExchangeError,
    ) -> Result<ConnectError, ConnectError> {
        let ExchangeError { error, description } = failed;
        let host = host_of(pending.token_endpoint.as_str());
        let refused = error == EndpointError::InvalidScope;
        if !refused && !error.leaves_the_code_unused() {
            return Ok(ConnectError::Endpoint { host, error });
        }
        let _lock = self.index_lock().await?;
        let mut index = self.entries.index().await?;
        if refused {
            let named = pending.scopes_named_in(description.as_deref().unwrap_or_default());
            let refused = ask_simpler(&mut index.scopes, pending, named);
            self.entries.save_index(&index).await?;
            return Ok(ConnectError::Scopes(refused));
        }
        index.pending.insert(name.to_owned(), pending.expires_at().timestamp());
        self.entries.save_index(&index).await?;
        self.entries.save_pending(pending).await?;
        Ok(ConnectError::Endpoint { host, error })
    }

    /// Makes or renews the connection a token response is for.
    async fn connect(
        &self,
        pending: &PendingAuthorization,
        response: TokenResponse,
        deadline: Deadline,
    ) -> Result<ConnectionRecord, ConnectError> {
        let revocable = response.revocable().clone();
        let revocation = pending.revocation_endpoint.as_ref().map(url::Url::as_str);
        let result = self.keep(pending, response, deadline).await;
        if result.is_err() {
            self.environment.log.warn("tokens-not-kept", &[]);
            // Whatever went wrong: a token that is not kept is given back.
            self.give_back(revocation, &pending.client_id, &revocable).await;
        }
        result
    }

    async fn keep(
        &self,
        pending: &PendingAuthorization,
        response: TokenResponse,
        deadline: Deadline,
    ) -> Result<ConnectionRecord, ConnectError> {
        let host = || host_of(pending.token_endpoint.as_str());
        let now = self.environment.clock.now();
        let token = TokenState::granted(response, pending.scope(), now)
            .map_err(|error| ConnectError::Endpoint { host: host(), error: error.into() })?;
        let base = pending.base.as_str().to_owned();
        let existing = self
            .store
            .call(move |store| store.connection_to(&base).map_err(ConnectError::from))
            .await?;
        if let Some(existing) =
            existing.as_ref().filter(|existing| existing.patient != token.patient().as_str())
        {
            let id = existing.id;
            // One that was ended meanwhile stays so.
            let block = move |store: &mut Store| match store
                .set_connection_state(id, ConnectionState::OtherPatient)
            {
                Err(StoreError::Missing(_)) => Ok(()),
                blocked => blocked.map_err(ConnectError::from),
            };
            self.store.call(block).await?;
            self.environment.log.error("other-patient", &[("connection", id.into())]);
            return Err(ConnectError::OtherPatient);
        }
        let access = AccessToken::new(&token, pending.base.clone());
        // If it cannot be read now, it is read when it is needed: a good token is not thrown away.
        let person = self.read_patient(&access, token.patient(), deadline).await.ok();
        let (is_new, is_read) = (existing.is_none(), person.is_some());
        let record = match existing {
            Some(existing) => self.renew(existing, pending, token, person).await,
            None => self.add(pending, token, person).await,
        }?;
        let connection = ("connection", record.id.into());
        let fields = [connection, ("new", is_new.into()), ("patient-read", is_read.into())];
        self.environment.log.info("connected", &fields);
        Ok(record)
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
        let add = move |store: &mut Store| {
            let id =
                store.add_connection(&base, &patient, ConnectionState::Unconfirmed, &details)?;
            store.change_receiver(id, |receiver| receiver.authorised(promises))?;
            Ok::<_, ConnectError>(store.connection(id)?)
        };
        let record = self.store.call(add).await?;
        let id = record.id;
        let _lock = self.token_lock(id).await?;
        if let Err(error) = self.entries.save_token(&record, &token).await {
            self.store
                .call(move |store| store.remove_connection(id).map_err(ConnectError::from))
                .await?;
            return Err(error.into());
        }
        Ok(record)
    }

    async fn renew(
        &self,
        existing: ConnectionRecord,
        pending: &PendingAuthorization,
        token: TokenState,
        person: Option<PatientIdentity>,
    ) -> Result<ConnectionRecord, ConnectError> {
        let id = existing.id;
        let _lock = self.token_lock(id).await?;
        let ended = |record: &ConnectionRecord| {
            record.state == ConnectionState::Disconnected
                || record.generation != existing.generation
        };
        // The person may have ended it while the receiver answered: it stays so.
        let record = self.record(id).await?;
        if ended(&record) {
            return Err(ConnectError::Ended);
        }
        self.entries.save_token(&record, &token).await?;
        let (pending, generation) = (pending.clone(), existing.generation);
        let renew = move |store: &mut Store| {
            let renewed = store.renew_connection(id, |record| {
                if record.generation != generation {
                    return;
                }
                describe(&mut record.details, &pending, &token, person);
                record.receiver.authorised(pending.promises);
                record.state = if record.details.confirmed {
                    ConnectionState::Active
                } else {
                    ConnectionState::Unconfirmed
                };
            });
            match renewed {
                Ok(renewed) if renewed.generation == generation => Ok(renewed),
                Ok(_) | Err(StoreError::Missing(_)) => Err(ConnectError::Ended),
                Err(error) => Err(error.into()),
            }
        };
        self.store.call(renew).await
    }

    pub(super) async fn index_lock(&self) -> Result<Lock, ConnectError> {
        self.lock("authorisations").await?.ok_or(ConnectError::Busy)
    }
}

/// Notes that the server refused the scopes asked for. If none simpler are left, the next
/// authorisation begins anew with all: the server may allow them by then.
fn ask_simpler(
    scopes: &mut std::collections::BTreeMap<String, ScopeRequest>,
    pending: &PendingAuthorization,
    named: Vec<&'static str>,
) -> ScopesRefused {
    let base = pending.base.as_str();
    let most = scopes.get(base).copied().unwrap_or(ScopeRequest::WIDEST);
    let most = most.after_refusal_of(pending.scopes);
    let simpler_left = pending.scopes.at_most(most) != pending.scopes;
    if simpler_left {
        scopes.insert(base.to_owned(), most);
    } else {
        scopes.remove(base);
    }
    ScopesRefused { simpler_left, named }
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
    // What failed with the old tokens says nothing about the new ones.
    details.tokens = TokenHistory::default();
    details.dialect.clone_from(&pending.dialect);
    if let Some(person) = person {
        details.describe(person);
    }
}
