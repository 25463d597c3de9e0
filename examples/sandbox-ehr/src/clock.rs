//! The sandbox's only source of time and randomness. Everything else asks here, so that a reader
//! can see at once what is not reproducible. It must not hold state.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, SecondsFormat, Utc};
use sha2::{Digest as _, Sha256};

use crate::SandboxError;

/// Milliseconds since 1970, UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox is a server: it lives in real time, and reads it only here"
)]
pub(crate) fn now_millis() -> i64 {
    Utc::now().timestamp_millis()
}

/// An instant as FHIR writes it: `2026-05-01T08:00:00.000Z`.
pub(crate) fn instant_text(millis: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(millis)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A secret of 256 random bits, as base64url without padding (43 characters).
#[expect(
    clippy::disallowed_methods,
    reason = "tokens must not be guessable; this is the only random number in the sandbox"
)]
pub(crate) fn random_secret() -> Result<String, SandboxError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|_| SandboxError::Entropy)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// SHA-256 as base64url without padding: the form of a PKCE S256 challenge, and how secrets are
/// kept in the database.
pub(crate) fn sha256_base64url(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()))
}
