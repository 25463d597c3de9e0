//! What must survive the app's death while the browser is open. It goes into the vault, and nowhere
//! else.

use super::{
    AuthorizationState, PkceVerifier, ReceiverBase, RedirectUri, ScopeRequest, SmartConfiguration,
};
use crate::fhir::{Dialect, Promises};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use url::Url;

/// An authorisation the person has not finished in the browser.
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingAuthorization {
    /// The receiver.
    pub base: ReceiverBase,
    /// Where the browser goes.
    pub authorization_endpoint: Url,
    /// Where the code goes.
    pub token_endpoint: Url,
    /// Where tokens are given back.
    pub revocation_endpoint: Option<Url>,
    /// The app's client id at the receiver.
    pub client_id: String,
    /// The app's redirect URI at the receiver.
    pub redirect_uri: RedirectUri,
    /// What the browser must bring back.
    pub state: AuthorizationState,
    /// What proves to the token endpoint that the same app asks.
    pub verifier: PkceVerifier,
    /// The scopes asked for.
    pub scopes: ScopeRequest,
    /// The authorisation server's name, if it states one.
    pub issuer: Option<String>,
    /// Whether the callback must name it (RFC 9207).
    #[serde(default)]
    pub names_issuer: bool,
    /// The guide the receiver speaks, as its `/metadata` says.
    pub dialect: Option<String>,
    /// What its `/metadata` promises.
    #[serde(default)]
    pub promises: Promises,
    created_at: i64,
    expires_at: i64,
}

impl PendingAuthorization {
    /// A person may have to find a password or register first.
    pub const LIFETIME: TimeDelta = TimeDelta::hours(1);

    /// An authorisation at `base`, which described itself as `server`.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of the request, and none has a default"
    )]
    pub fn new(
        base: ReceiverBase,
        server: &SmartConfiguration,
        client_id: String,
        redirect_uri: RedirectUri,
        scopes: ScopeRequest,
        state: AuthorizationState,
        verifier: PkceVerifier,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            base,
            authorization_endpoint: server.authorization_endpoint().clone(),
            token_endpoint: server.token_endpoint().clone(),
            revocation_endpoint: server.revocation_endpoint().cloned(),
            client_id,
            redirect_uri,
            state,
            verifier,
            scopes,
            issuer: server.issuer().map(str::to_owned),
            names_issuer: server.names_issuer(),
            dialect: None,
            promises: Promises::default(),
            created_at: now.timestamp(),
            expires_at: now.timestamp() + Self::LIFETIME.num_seconds(),
        }
    }

    /// The `scope` that is asked for.
    pub fn scope(&self) -> &'static str {
        self.scopes.text(self.dialect())
    }

    /// The scopes asked for that the server's own words name.
    pub fn scopes_named_in(&self, reason: &str) -> Vec<&'static str> {
        self.scopes.named_in(self.dialect(), reason)
    }

    /// A receiver without a known guide is asked for HL7 CGM's scopes: it may be updated.
    fn dialect(&self) -> Dialect {
        self.dialect.as_deref().and_then(Dialect::from_code).unwrap_or_default()
    }

    /// When it started.
    pub fn created_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.created_at, 0).unwrap_or_default()
    }

    /// When it is no longer accepted.
    pub fn expires_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.expires_at, 0).unwrap_or_default()
    }

    /// Whether it is too old to be accepted.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        now.timestamp() >= self.expires_at
    }
}

impl fmt::Debug for PendingAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAuthorization")
            .field("base", &self.base)
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::ScopeForm;
    use super::*;

    pub(in super::super) fn now() -> DateTime<Utc> {
        "2024-05-01T08:00:00Z".parse().unwrap()
    }

    pub(in super::super) fn pending() -> PendingAuthorization {
        let base: ReceiverBase = "https://ehr.example/fhir".parse().unwrap();
        let server = br#"{"issuer": "https://auth.example",
            "authorization_endpoint": "https://auth.example/a?tenant=1",
            "token_endpoint": "t", "code_challenge_methods_supported": ["S256"]}"#;
        PendingAuthorization::new(
            base.clone(),
            &SmartConfiguration::parse(&base, server).unwrap(),
            "my app".to_owned(),
            "com.example.app:/callback".parse().unwrap(),
            ScopeRequest::new(ScopeForm::Granular),
            AuthorizationState::from_bytes([7; 32]),
            PkceVerifier::from_bytes([9; 32]),
            now(),
        )
    }

    #[test]
    fn it_comes_back_from_the_vault_as_it_was() {
        let text = serde_json::to_string(&pending()).unwrap();
        let back: PendingAuthorization = serde_json::from_str(&text).unwrap();
        assert_eq!(back.url(), pending().url());
        assert_eq!(back.verifier.expose(), pending().verifier.expose());
        assert_eq!(back.expires_at(), pending().expires_at());
    }

    #[test]
    fn it_lasts_an_hour() {
        assert!(!pending().is_expired(now() + TimeDelta::minutes(59)));
        assert!(pending().is_expired(now() + TimeDelta::minutes(60)));
        assert!(
            !pending().is_expired(now() - TimeDelta::days(1)),
            "a clock set back does not end it"
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", pending());
        for secret in [pending().state.expose(), pending().verifier.expose(), &pending().url()] {
            assert!(!shown.contains(secret));
        }
    }
}
