//! Reads a token endpoint's answer.
//!
//! Source: RFC 6749 section 5.1 and SMART App Launch 2.2, "Obtain access token". A response is read
//! as granted, not as asked for.

use super::Secret;
use crate::fhir::PatientId;
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
        "the receiver did not say whose record the token is for: ask it to give the patient with \
            launch/patient"
    )]
    NoPatient,
}

/// What a token endpoint granted.
#[derive(Clone)]
pub struct TokenResponse {
    pub(super) access: Secret,
    pub(super) refresh: Option<Secret>,
    pub(super) expires_in: Option<i64>,
    pub(super) scope: Option<String>,
    pub(super) patient: Option<PatientId>,
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
        let written = |field: &'static str| match fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(TokenResponseError::Malformed(field)),
        };
        let text = |field| Ok(written(field)?.filter(|text| !text.is_empty()));
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
            // RFC 6749 lets a server leave out a scope that is what was asked for. One that is
            // there says what was granted (SMART requires it): an empty one grants nothing.
            scope: written("scope")?.map(str::to_owned),
            patient: text("patient")?
                .map(PatientId::new)
                .transpose()
                .map_err(|_| TokenResponseError::Malformed("patient"))?,
        })
    }

    /// The token to give back if the response is not used: the refresh token if there is one.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn response(text: &str) -> TokenResponse {
        TokenResponse::parse(text.as_bytes()).unwrap()
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
        assert_eq!(no_patient.patient().err(), Some(TokenResponseError::NoPatient));
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

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = TokenResponse::parse(&bytes);
        }
    }
}
