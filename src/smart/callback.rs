//! Judges what the browser brought back: the right place, the right state, in time, and a code.
//!
//! Source: RFC 6749 section 4.1.2, RFC 9207 for `iss`: if the server promises it, it must be there;
//! if it is there, it must be the name the server gave in its configuration, so one from a server
//! that gave none is refused. That a callback counts once is the caller's part: the pending
//! authorisation is taken out of the vault before the code is used.

use super::{PendingAuthorization, Secret};
use chrono::{DateTime, Utc};
use url::Url;

/// No callback in the field comes near it.
const MAX_LENGTH: usize = 16 * 1024;

/// Error codes of RFC 6749 section 4.1.2.1 and `OpenID` Connect that may be repeated to a host. Any
/// other text is the server's own.
const KNOWN_ERRORS: [&str; 8] = [
    "invalid_request",
    "unsupported_response_type",
    "server_error",
    "temporarily_unavailable",
    "interaction_required",
    "login_required",
    "consent_required",
    "invalid_target",
];

/// Why a callback is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallbackError {
    /// Not a URL, or an overlong one.
    #[error("what the browser brought back is not a URL")]
    Unreadable,
    /// Another scheme, host, port or path than the redirect URI.
    #[error("what the browser brought back is not for the redirect URI of this authorisation")]
    OtherRedirectUri,
    /// A parameter is missing.
    #[error("what the browser brought back has no {0}: begin the connection again")]
    Missing(&'static str),
    /// A parameter is there twice.
    #[error("what the browser brought back has {0} twice: begin the connection again")]
    Duplicate(&'static str),
    /// Not the state of this authorisation.
    #[error(
        "what the browser brought back is not from this authorisation: begin the connection again"
    )]
    OtherState,
    /// From another authorisation server.
    #[error(
        "what the browser brought back is from another authorisation server: begin the connection \
            again"
    )]
    OtherIssuer,
    /// From an authorisation server that says its name, while the receiver's SMART configuration
    /// gives none to compare it with.
    #[error(
        "the authorisation server says its name, and the receiver's SMART configuration has no \
            issuer to compare it with: the receiver must state it"
    )]
    UnknownIssuer,
    /// More than an hour old.
    #[error("the authorisation took longer than an hour: begin the connection again")]
    Expired,
    /// The person, or the receiver for them, said no.
    #[error("access was not granted in the browser")]
    AccessDenied,
    /// The server refuses the scopes.
    #[error("the receiver refuses the scopes asked for")]
    InvalidScope,
    /// The server does not accept the app.
    #[error(
        "the receiver does not accept this app: check the app's registration there (client id, \
            redirect URI, public client without a secret)"
    )]
    AppRefused,
    /// Another error, by its code if it is a known one.
    #[error("the receiver refused the authorisation ({0})")]
    Refused(&'static str),
}

/// An authorisation code, good for one exchange.
#[derive(Clone, Debug)]
pub struct AuthorizationCode(Secret);

impl AuthorizationCode {
    /// The code, for the token endpoint.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

#[derive(Default)]
struct Parameters {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

fn parameters(url: &Url) -> Result<Parameters, CallbackError> {
    let mut found = Parameters::default();
    for (name, value) in url.query_pairs() {
        let (name, slot) = match name.as_ref() {
            "code" => ("code", &mut found.code),
            "state" => ("state", &mut found.state),
            "error" => ("error", &mut found.error),
            "iss" => ("iss", &mut found.iss),
            _ => continue,
        };
        if slot.replace(value.into_owned()).is_some() {
            return Err(CallbackError::Duplicate(name));
        }
    }
    Ok(found)
}

fn read(redirect_url: &str) -> Result<Url, CallbackError> {
    if redirect_url.len() > MAX_LENGTH {
        return Err(CallbackError::Unreadable);
    }
    Url::parse(redirect_url).map_err(|_| CallbackError::Unreadable)
}

/// The state a callback claims, by which the pending authorisation is found.
///
/// # Errors
/// [`CallbackError`] if there is none, or more than one.
pub fn state_of(redirect_url: &str) -> Result<Secret, CallbackError> {
    let state = parameters(&read(redirect_url)?)?.state.ok_or(CallbackError::Missing("state"))?;
    Ok(Secret::new(state))
}

/// Which of the scopes asked for the server names in its reason for a refusal.
pub fn refused_scopes(redirect_url: &str, asked: &PendingAuthorization) -> Vec<&'static str> {
    let Ok(url) = read(redirect_url) else { return Vec::new() };
    let reason = url.query_pairs().find(|(name, _)| name == "error_description");
    reason.map_or_else(Vec::new, |(_, reason)| asked.scopes_named_in(&reason))
}

/// The code of a callback that belongs to `pending`.
///
/// # Errors
/// [`CallbackError`]: state and place are judged before anything else the callback says.
pub fn validate(
    redirect_url: &str,
    pending: &PendingAuthorization,
    now: DateTime<Utc>,
) -> Result<AuthorizationCode, CallbackError> {
    let url = read(redirect_url)?;
    if !pending.redirect_uri.is_of(&url) {
        return Err(CallbackError::OtherRedirectUri);
    }
    let found = parameters(&url)?;
    let state = found.state.ok_or(CallbackError::Missing("state"))?;
    if !pending.state.matches(&state) {
        return Err(CallbackError::OtherState);
    }
    if pending.is_expired(now) {
        return Err(CallbackError::Expired);
    }
    match (&found.iss, &pending.issuer) {
        (Some(iss), Some(issuer)) if iss.trim_end_matches('/') != issuer.trim_end_matches('/') => {
            return Err(CallbackError::OtherIssuer);
        }
        (Some(_), None) => return Err(CallbackError::UnknownIssuer),
        (None, _) if pending.names_issuer => return Err(CallbackError::Missing("iss")),
        _ => {}
    }
    match found.error.as_deref() {
        Some("access_denied") => return Err(CallbackError::AccessDenied),
        Some("invalid_scope") => return Err(CallbackError::InvalidScope),
        Some("unauthorized_client" | "invalid_client") => return Err(CallbackError::AppRefused),
        Some(error) => {
            let known = KNOWN_ERRORS.iter().find(|known| **known == error);
            return Err(CallbackError::Refused(known.copied().unwrap_or("an unknown error")));
        }
        None => {}
    }
    let code = found.code.filter(|code| !code.is_empty()).ok_or(CallbackError::Missing("code"))?;
    Ok(AuthorizationCode(Secret::new(code)))
}

#[cfg(test)]
mod tests {
    use super::super::pending::tests::{now, pending};
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn back(query: &str) -> Result<String, CallbackError> {
        let query = query.replace("STATE", pending().state.expose());
        validate(&format!("com.example.app:/callback?{query}"), &pending(), now())
            .map(|code| code.expose().to_owned())
    }

    #[test]
    fn a_code_with_the_right_state_is_accepted() {
        assert_eq!(back("code=a%2Bb&state=STATE&session_state=x").as_deref(), Ok("a+b"));
        assert_eq!(back("code=c&state=STATE&iss=https%3A%2F%2Fauth.example").as_deref(), Ok("c"));
    }

    #[test]
    fn everything_else_is_refused_by_its_reason() {
        let cases = [
            ("code=c", CallbackError::Missing("state")),
            ("state=STATE", CallbackError::Missing("code")),
            ("state=STATE&code=", CallbackError::Missing("code")),
            ("code=c&state=other", CallbackError::OtherState),
            ("error=access_denied&state=other", CallbackError::OtherState),
            ("code=c&code=d&state=STATE", CallbackError::Duplicate("code")),
            ("code=c&state=STATE&state=STATE", CallbackError::Duplicate("state")),
            ("error=access_denied&state=STATE", CallbackError::AccessDenied),
            ("error=invalid_scope&state=STATE&code=c", CallbackError::InvalidScope),
            ("error=unauthorized_client&state=STATE", CallbackError::AppRefused),
            ("error=invalid_client&state=STATE", CallbackError::AppRefused),
            ("error=server_error&state=STATE", CallbackError::Refused("server_error")),
            ("error=Jane+Doe+is+locked&state=STATE", CallbackError::Refused("an unknown error")),
            ("code=c&state=STATE&iss=https%3A%2F%2Fevil.example", CallbackError::OtherIssuer),
        ];
        for (query, expected) in cases {
            assert_eq!(back(query), Err(expected), "{query}");
        }
    }

    #[test]
    fn a_server_that_promises_its_name_must_give_it() {
        let mut pending = pending();
        pending.names_issuer = true;
        let judge = |query: &str| {
            let url = format!("com.example.app:/callback?{query}&state={}", pending.state.expose());
            validate(&url, &pending, now()).map(drop)
        };
        assert_eq!(judge("code=c"), Err(CallbackError::Missing("iss")));
        assert_eq!(judge("error=access_denied"), Err(CallbackError::Missing("iss")));
        assert_eq!(judge("code=c&iss=https%3A%2F%2Fauth.example"), Ok(()));

        pending.names_issuer = false;
        pending.issuer = None;
        let judge = |query: &str| {
            let url = format!("com.example.app:/callback?{query}&state={}", pending.state.expose());
            validate(&url, &pending, now()).map(drop)
        };
        assert_eq!(judge("code=c"), Ok(()));
        let named = judge("code=c&iss=https%3A%2F%2Fauth.example");
        assert_eq!(named, Err(CallbackError::UnknownIssuer), "there is nothing to compare it with");
    }

    #[test]
    fn only_scopes_that_were_asked_for_are_taken_from_a_servers_reason() {
        let asked = pending();
        let named = |reason: &str| {
            let mut url = Url::parse("com.example.app:/callback?error=invalid_scope").unwrap();
            url.query_pairs_mut().append_pair("error_description", reason);
            refused_scopes(url.as_str(), &asked)
        };
        assert_eq!(
            named(
                "Jane Doe may not: 'patient/Device.cu', patient/Observation.cu?category=laboratory."
            ),
            ["patient/Observation.cu?category=laboratory", "patient/Device.cu"],
            "in the order they were asked for"
        );
        assert_eq!(named("patient/Device.cux and patient/Encounter.rs for Jane"), [""; 0]);
        assert_eq!(refused_scopes("no url", &asked), [""; 0]);
    }

    #[test]
    fn another_place_is_refused_before_its_state_is_looked_at() {
        let url = format!("com.evil.app:/callback?code=c&state={}", pending().state.expose());
        assert_eq!(validate(&url, &pending(), now()).err(), Some(CallbackError::OtherRedirectUri));
        assert_eq!(validate("no url", &pending(), now()).err(), Some(CallbackError::Unreadable));
    }

    #[test]
    fn a_late_callback_is_refused() {
        let url = format!("com.example.app:/callback?code=c&state={}", pending().state.expose());
        let late = now() + TimeDelta::hours(2);
        assert_eq!(validate(&url, &pending(), late).err(), Some(CallbackError::Expired));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_passes(
            text in "(com.example.app:/callback\\?)?((code|state|error|iss)=?&?){0,6}.{0,60}"
        ) {
            prop_assert!(validate(&text, &pending(), now()).is_err());
            let _ = state_of(&text);
        }
    }
}
