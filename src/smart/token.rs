//! Token responses, and the token state kept between them.
//!
//! Source: RFC 6749 section 5.1 and SMART App Launch 2.2, "Obtain access token". A response is read
//! as granted, not as asked for; whom it is for is compared at every response.

use super::{GrantedScopes, Secret};
use crate::fhir::PatientId;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// A token that claims to last longer is taken to last a year.
const MAX_LIFETIME: i64 = 366 * 86_400;

/// Why a token response cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenResponseError {
    /// More than 256 KiB.
    #[error("the receiver's token response is larger than {} bytes", TokenResponse::MAX_BYTES)]
    TooLarge,
    /// Not a JSON object.
    #[error("the receiver's token response is not a JSON object")]
    Unreadable,
    /// A required field is missing.
    #[error("the receiver's token response has no {0}")]
    Missing(&'static str),
    /// A field has the wrong form.
    #[error("the receiver's token response has an unreadable {0}")]
    Malformed(&'static str),
    /// Not a bearer token.
    #[error("the receiver gave a token that is not a bearer token")]
    NotBearer,
    /// The response names no patient: a person is never searched for.
    #[error(
        "the receiver did not say whose record the token is for: ask it to give the patient with launch/patient"
    )]
    NoPatient,
}

/// What a token endpoint granted.
#[derive(Clone)]
pub struct TokenResponse {
    access: Secret,
    refresh: Option<Secret>,
    expires_in: Option<i64>,
    scope: Option<String>,
    patient: Option<PatientId>,
}

impl TokenResponse {
    /// No token response in the field comes near it. Read as JSON values it takes up to a hundred
    /// times as much for a moment.
    pub const MAX_BYTES: usize = 256 << 10;

    /// Reads a token endpoint's answer. Unknown fields are ignored.
    ///
    /// # Errors
    /// [`TokenResponseError`], which names the field.
    pub fn parse(body: &[u8]) -> Result<Self, TokenResponseError> {
        if body.len() > Self::MAX_BYTES {
            return Err(TokenResponseError::TooLarge);
        }
        Self::from_json(&serde_json::from_slice(body).map_err(|_| TokenResponseError::Unreadable)?)
    }

    /// Reads a token endpoint's answer that is JSON already.
    ///
    /// # Errors
    /// [`TokenResponseError`], which names the field.
    pub fn from_json(body: &Value) -> Result<Self, TokenResponseError> {
        let Value::Object(fields) = body else {
            return Err(TokenResponseError::Unreadable);
        };
        let text = |field: &'static str| match fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(TokenResponseError::Malformed(field)),
        };
        // What goes into an Authorization header: RFC 6750's characters are a part of the visible
        // ones.
        let token = |field: &'static str| match text(field)? {
            Some(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(TokenResponseError::Malformed(field))
            }
            found => Ok(found.map(Secret::new)),
        };
        let kind = text("token_type")?.ok_or(TokenResponseError::Missing("token_type"))?;
        if !kind.eq_ignore_ascii_case("bearer") {
            return Err(TokenResponseError::NotBearer);
        }
        Ok(Self {
            access: token("access_token")?.ok_or(TokenResponseError::Missing("access_token"))?,
            refresh: token("refresh_token")?,
            expires_in: lifetime(fields.get("expires_in"))?,
            scope: text("scope")?.map(str::to_owned),
            patient: text("patient")?
                .map(PatientId::new)
                .transpose()
                .map_err(|_| TokenResponseError::Malformed("patient"))?,
        })
    }

    /// The token to give back where the response is not used: the refresh token where there is one.
    pub fn revocable(&self) -> &Secret {
        self.refresh.as_ref().unwrap_or(&self.access)
    }

    /// Whose record it is for.
    ///
    /// # Errors
    /// [`TokenResponseError::NoPatient`].
    pub fn patient(&self) -> Result<&PatientId, TokenResponseError> {
        self.patient.as_ref().ok_or(TokenResponseError::NoPatient)
    }
}

/// Seconds, as a number or, from some servers, as text.
fn lifetime(field: Option<&Value>) -> Result<Option<i64>, TokenResponseError> {
    let seconds = match field {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => {
            number.as_i64().or_else(|| number.as_u64().map(|_| i64::MAX))
        }
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    let seconds = seconds.ok_or(TokenResponseError::Malformed("expires_in"))?;
    Ok(Some(seconds.clamp(0, MAX_LIFETIME)))
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse")
            .field("expires_in", &self.expires_in)
            .field("refresh", &self.refresh.is_some())
            .finish_non_exhaustive()
    }
}

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
            // RFC 6749: left out where it is what was asked for.
            scopes: response.scope.unwrap_or_else(|| requested.to_owned()),
            patient,
            refreshing: false,
        })
    }

    /// The tokens after a refresh. Without a new refresh token the old one stays good (RFC 6749
    /// section 6).
    ///
    /// # Errors
    /// [`OtherPatient`] where the response names another patient; one that names none is for the
    /// same.
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

    /// When the access token ends; none where the receiver does not say, and a 401 tells.
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
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2024-05-01T08:00:00Z".parse().unwrap()
    }

    fn response(text: &str) -> TokenResponse {
        TokenResponse::parse(text.as_bytes()).unwrap()
    }

    fn hour() -> TokenState {
        let text = r#"{"access_token":"a1","token_type":"Bearer","expires_in":3600,"refresh_token":"r1","patient":"p1"}"#;
        TokenState::granted(response(text), "patient/*.cu", now()).unwrap()
    }

    #[test]
    fn what_a_server_may_leave_out_is_left_out() {
        let state = TokenState::granted(
            response(r#"{"access_token":"a","token_type":"BEARER","patient":"p","need_patient_banner":true}"#),
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
    fn what_is_wrong_is_named() {
        let cases = [
            ("[]", TokenResponseError::Unreadable),
            ("<html>", TokenResponseError::Unreadable),
            (r#"{"token_type":"bearer"}"#, TokenResponseError::Missing("access_token")),
            (r#"{"access_token":"a"}"#, TokenResponseError::Missing("token_type")),
            (
                r#"{"access_token":"a\r\nb","token_type":"bearer"}"#,
                TokenResponseError::Malformed("access_token"),
            ),
            (r#"{"access_token":"a","token_type":"mac"}"#, TokenResponseError::NotBearer),
            (
                r#"{"access_token":"a","token_type":"bearer","expires_in":[]}"#,
                TokenResponseError::Malformed("expires_in"),
            ),
            (
                r#"{"access_token":"a","token_type":"bearer","patient":"../x"}"#,
                TokenResponseError::Malformed("patient"),
            ),
            (
                r#"{"access_token":"a","token_type":"bearer","patient":".."}"#,
                TokenResponseError::Malformed("patient"),
            ),
            (
                r#"{"access_token":"a","token_type":"bearer","patient":7}"#,
                TokenResponseError::Malformed("patient"),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(TokenResponse::parse(text.as_bytes()).err(), Some(expected), "{text}");
        }
        let no_patient = response(r#"{"access_token":"a","token_type":"bearer"}"#);
        assert_eq!(
            TokenState::granted(no_patient, "", now()).err(),
            Some(TokenResponseError::NoPatient)
        );
    }

    #[test]
    fn lifetimes_come_as_numbers_or_text() {
        let read = |written: &str| {
            let text =
                format!(r#"{{"access_token":"a","token_type":"bearer","expires_in":{written}}}"#);
            TokenResponse::parse(text.as_bytes()).map(|response| response.expires_in)
        };
        let cases =
            [("3600", Some(3600)), ("\"3600\"", Some(3600)), ("-5", Some(0)), ("null", None)];
        for (written, expected) in cases {
            assert_eq!(read(written).ok(), Some(expected), "{written}");
        }
        assert_eq!(read("9223372036854775807").ok(), Some(Some(MAX_LIFETIME)));
        assert_eq!(read("18446744073709551615").ok(), Some(Some(MAX_LIFETIME)));
        assert_eq!(read("\"soon\"").err(), Some(TokenResponseError::Malformed("expires_in")));
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
            r#"{"access_token":"a2","token_type":"bearer","refresh_token":"r2","scope":"patient/*.rs"}"#,
        );
        let state = hour().refreshed(rotated, later).unwrap();
        assert_eq!(state.refresh().unwrap().expose(), "r2");
        assert_eq!(state.scopes_text(), "patient/*.rs");
        let kept = response(r#"{"access_token":"a2","token_type":"bearer","patient":"p1"}"#);
        assert_eq!(hour().refreshed(kept, later).unwrap().refresh().unwrap().expose(), "r1");
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
        let text = r#"{"access_token":"tok-1","token_type":"Bearer","refresh_token":"ref-1","patient":"pat-1"}"#;
        let state = TokenState::granted(response(text), "", now()).unwrap();
        let shown = format!("{:?} {state:?} {:?}", response(text), state.patient());
        assert!(
            !["tok-1", "ref-1", "pat-1"].iter().any(|secret| shown.contains(secret)),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = TokenResponse::parse(&bytes);
        }

        #[test]
        fn no_clock_makes_it_panic(lifetime in any::<i64>(), at in -8_000_000_000_000i64..8_000_000_000_000) {
            let text = format!(r#"{{"access_token":"a","token_type":"bearer","patient":"p","expires_in":{lifetime}}}"#);
            let state = TokenState::granted(response(&text), "", now()).unwrap();
            let _ = state.needs_refresh(DateTime::from_timestamp(at, 0).unwrap_or_default());
        }
    }
}
