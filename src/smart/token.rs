//! The tokens of a connection, as they are kept between two answers of the token endpoint.
//!
//! Whom a token is for is compared at every response.

use super::{GrantedScopes, Secret, TokenResponse, TokenResponseError};
use crate::fhir::PatientId;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A refresh that answered with a token for another patient: it must be given back, never kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiver refreshed the token for another patient")]
pub struct OtherPatient;

/// A connection's tokens, as one vault entry holds them.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenState {
    access: Secret,
    refresh: Option<Secret>,
    obtained_at: i64,
    expires_at: Option<i64>,
    scopes: String,
    patient: PatientId,
    /// A refresh was begun, and its answer is not recorded.
    #[serde(default)]
    refreshing: bool,
}

impl TokenState {
    /// How far a clock may be set back before a token's age counts as unknown.
    const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

    /// The first tokens of an authorisation that asked for `requested`.
    ///
    /// # Errors
    /// [`TokenResponseError::NoPatient`].
    pub fn granted(
        response: TokenResponse,
        requested: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, TokenResponseError> {
        let patient = response.patient.ok_or(TokenResponseError::NoPatient)?;
        Ok(Self {
            access: response.access,
            refresh: response.refresh,
            obtained_at: now.timestamp(),
            expires_at: response.expires_in.map(|seconds| now.timestamp() + seconds),
            // RFC 6749: left out if it is what was asked for.
            scopes: response.scope.unwrap_or_else(|| requested.to_owned()),
            patient,
            refreshing: false,
        })
    }

    /// The tokens after a refresh. Without a new refresh token the old one stays good (RFC 6749
    /// section 6).
    ///
    /// # Errors
    /// [`OtherPatient`] if the response names another patient; one that names none is for the same.
    pub fn refreshed(
        &self,
        response: TokenResponse,
        now: DateTime<Utc>,
    ) -> Result<Self, OtherPatient> {
        if response.patient.as_ref().is_some_and(|patient| *patient != self.patient) {
            return Err(OtherPatient);
        }
        Ok(Self {
            access: response.access,
            refresh: response.refresh.or_else(|| self.refresh.clone()),
            obtained_at: now.timestamp(),
            expires_at: response.expires_in.map(|seconds| now.timestamp() + seconds),
            scopes: response.scope.unwrap_or_else(|| self.scopes.clone()),
            patient: self.patient.clone(),
            refreshing: false,
        })
    }

    /// The access token.
    pub fn access(&self) -> &Secret {
        &self.access
    }

    /// The refresh token; some receivers give public apps none.
    pub fn refresh(&self) -> Option<&Secret> {
        self.refresh.as_ref()
    }

    /// The token to give back on disconnecting.
    pub fn revocable(&self) -> &Secret {
        self.refresh.as_ref().unwrap_or(&self.access)
    }

    /// Whose record it is for.
    pub fn patient(&self) -> &PatientId {
        &self.patient
    }

    /// The scopes as text, as granted.
    pub fn scopes_text(&self) -> &str {
        &self.scopes
    }

    /// The scopes as granted.
    pub fn scopes(&self) -> GrantedScopes {
        GrantedScopes::parse(&self.scopes)
    }

    /// When the access token ends; `None` if the receiver does not say: then a 401 tells.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at.and_then(|seconds| DateTime::from_timestamp(seconds, 0))
    }

    /// Whether to refresh before use: the token ends within two minutes (a quarter of its life if
    /// that is shorter), or the clock was set back to before it was given, so that its age is
    /// unknown.
    pub fn needs_refresh(&self, now: DateTime<Utc>) -> bool {
        let Some(expires_at) = self.expires_at else { return false };
        let leeway = (expires_at.saturating_sub(self.obtained_at) / 4).clamp(0, 120);
        now.timestamp() >= expires_at - leeway
            || now.timestamp() < self.obtained_at - Self::CLOCK_TOLERANCE.num_seconds()
    }

    /// Whether the access token ended by the clock.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|expires_at| now.timestamp() >= expires_at)
    }

    /// Whether a refresh was begun whose answer was never recorded.
    pub fn is_refreshing(&self) -> bool {
        self.refreshing
    }

    /// The same with or without the mark of a refresh under way.
    #[must_use]
    pub fn with_refreshing(mut self, refreshing: bool) -> Self {
        self.refreshing = refreshing;
        self
    }
}

impl fmt::Debug for TokenState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenState")
            .field("expires_at", &self.expires_at)
            .field("refresh", &self.refresh.is_some())
            .field("refreshing", &self.refreshing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::ResourceType;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2024-05-01T08:00:00Z".parse().unwrap()
    }

    fn response(text: &str) -> TokenResponse {
        TokenResponse::parse(text.as_bytes()).unwrap()
    }

    fn hour() -> TokenState {
        let text = r#"{"access_token":"a1","token_type":"Bearer","expires_in":3600,
            "refresh_token":"r1","patient":"p1"}"#;
        TokenState::granted(response(text), "patient/*.cu", now()).unwrap()
    }

    #[test]
    fn what_a_server_may_leave_out_is_left_out() {
        let state = TokenState::granted(
            response(
                r#"{"access_token":"a","token_type":"BEARER","patient":"p",
                "need_patient_banner":true}"#,
            ),
            "patient/*.cu",
            now(),
        )
        .unwrap();
        assert_eq!(state.expires_at(), None);
        assert!(state.refresh().is_none());
        assert_eq!(state.scopes_text(), "patient/*.cu");
        assert!(
            !state.needs_refresh(now() + TimeDelta::days(30)),
            "without an end only a 401 tells"
        );
    }

    #[test]
    fn a_token_is_refreshed_before_it_ends_and_when_the_clock_went_back() {
        let cases =
            [(0, false), (3479, false), (3480, true), (3600, true), (-299, false), (-301, true)];
        for (seconds, due) in cases {
            assert_eq!(hour().needs_refresh(now() + TimeDelta::seconds(seconds)), due, "{seconds}");
        }
        assert!(
            !hour().is_expired(now() + TimeDelta::seconds(3599))
                && hour().is_expired(now() + TimeDelta::hours(1))
        );
    }

    #[test]
    fn a_refresh_replaces_the_refresh_token_where_a_new_one_comes() {
        let later = now() + TimeDelta::hours(1);
        let rotated = response(
            r#"{"access_token":"a2","token_type":"bearer","refresh_token":"r2",
            "scope":"patient/*.rs"}"#,
        );
        let state = hour().refreshed(rotated, later).unwrap();
        assert_eq!(state.refresh().unwrap().expose(), "r2");
        assert_eq!(state.scopes_text(), "patient/*.rs");
        let kept = response(r#"{"access_token":"a2","token_type":"bearer","patient":"p1"}"#);
        assert_eq!(hour().refreshed(kept, later).unwrap().refresh().unwrap().expose(), "r1");
    }

    #[test]
    fn a_scope_left_out_is_as_before_and_an_empty_one_grants_nothing() {
        let with = |scope: &str| {
            response(&format!(
                r#"{{"access_token":"a2","token_type":"bearer","patient":"p1"{scope}}}"#
            ))
        };
        for (scope, first, refreshed) in [
            ("", "patient/*.rs", "patient/*.cu"),
            (r#","scope":null"#, "patient/*.rs", "patient/*.cu"),
            (r#","scope":"""#, "", ""),
            (r#","scope":"patient/Device.c""#, "patient/Device.c", "patient/Device.c"),
        ] {
            let granted = TokenState::granted(with(scope), "patient/*.rs", now()).unwrap();
            assert_eq!(granted.scopes_text(), first, "{scope}");
            let again = hour().refreshed(with(scope), now()).unwrap();
            assert_eq!(again.scopes_text(), refreshed, "{scope}");
        }
        let nothing = TokenState::granted(with(r#","scope":"""#), "patient/*.cu", now()).unwrap();
        assert!(!nothing.scopes().may_create(ResourceType::Device, None));
    }

    #[test]
    fn a_refresh_for_another_patient_is_refused() {
        let other = response(r#"{"access_token":"a2","token_type":"bearer","patient":"p2"}"#);
        assert!(hour().refreshed(other, now()).is_err());
    }

    #[test]
    fn tokens_come_back_from_the_vault_as_they_were() {
        let text = serde_json::to_string(&hour().with_refreshing(true)).unwrap();
        let back: TokenState = serde_json::from_str(&text).unwrap();
        assert!(back.is_refreshing());
        assert_eq!((back.access().expose(), back.patient().as_str()), ("a1", "p1"));
    }

    #[test]
    fn debug_shows_no_token() {
        let text = r#"{"access_token":"tok-1","token_type":"Bearer","refresh_token":"ref-1",
            "patient":"pat-1"}"#;
        let state = TokenState::granted(response(text), "", now()).unwrap();
        let shown = format!("{:?} {state:?} {:?}", response(text), state.patient());
        assert!(
            !["tok-1", "ref-1", "pat-1"].iter().any(|secret| shown.contains(secret)),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn no_clock_makes_it_panic(
            lifetime in any::<i64>(),
            at in -8_000_000_000_000i64..8_000_000_000_000
        ) {
            let text = format!(
                r#"{{"access_token":"a","token_type":"bearer","patient":"p",
                "expires_in":{lifetime}}}"#
            );
            let state = TokenState::granted(response(&text), "", now()).unwrap();
            let _ = state.needs_refresh(DateTime::from_timestamp(at, 0).unwrap_or_default());
        }
    }
}
