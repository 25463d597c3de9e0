//! SMART: discovery, callback, token response, scopes.

use super::{quotes_nothing, shows_nothing};
use cgm_submitter::fhir::{Dialect, ResourceType, SearchToken};
use cgm_submitter::smart::{
    AuthorizationState, GrantedScopes, PendingAuthorization, PkceVerifier, ReceiverBase,
    RedirectUri, ScopeForm, ScopeRequest, SmartConfiguration, TokenResponse, TokenState, state_of,
    validate,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::LazyLock;
use url::Url;

const RESOURCES: [ResourceType; 5] = [
    ResourceType::Patient,
    ResourceType::ServiceRequest,
    ResourceType::DiagnosticReport,
    ResourceType::Observation,
    ResourceType::Device,
];
const TOKENS: [Option<SearchToken>; 4] = [
    None,
    Some(SearchToken::LABORATORY),
    Some(SearchToken::LAB),
    Some(SearchToken::STANDING_ORDER),
];

static BASE: LazyLock<ReceiverBase> = LazyLock::new(|| "https://ehr.example/fhir".parse().unwrap());
static REDIRECT: LazyLock<RedirectUri> =
    LazyLock::new(|| "com.example.app:/callback".parse().unwrap());
/// Two authorisations under way at once; the callbacks of the seeds are for the first.
static PENDING: LazyLock<[PendingAuthorization; 2]> = LazyLock::new(|| {
    let document = br#"{"issuer": "https://auth.example", "authorization_endpoint": "authorize",
            "token_endpoint": "token",
        "code_challenge_methods_supported": ["S256"]}"#;
    let server = SmartConfiguration::parse(&BASE, document).unwrap();
    [pending(&server, 7), pending(&server, 8)]
});

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_714_550_400, 0).unwrap()
}

fn pending(server: &SmartConfiguration, state: u8) -> PendingAuthorization {
    PendingAuthorization::new(
        BASE.clone(),
        server,
        "app".to_owned(),
        REDIRECT.clone(),
        ScopeRequest::for_server(server),
        AuthorizationState::from_bytes([state; 32]),
        PkceVerifier::from_bytes([9; 32]),
        now(),
    )
}

/// Endpoints are https without user and fragment, and the authorisation request carries what this
/// app says.
pub(super) fn discovery(data: &[u8]) {
    let server = match SmartConfiguration::parse(&BASE, data) {
        Ok(server) => server,
        Err(error) => return quotes_nothing(&error),
    };
    let endpoints = [
        Some(server.authorization_endpoint()),
        Some(server.token_endpoint()),
        server.revocation_endpoint(),
    ];
    for endpoint in endpoints.into_iter().flatten() {
        assert_eq!(endpoint.scheme(), "https");
        assert!(
            endpoint.username().is_empty()
                && endpoint.password().is_none()
                && endpoint.fragment().is_none()
        );
    }
    let pending = pending(&server, 7);
    let url = pending.url();
    let read = Url::parse(&url).expect("a URL");
    assert_eq!(read.origin(), server.authorization_endpoint().origin());
    let carries =
        |name: &str, value: &str| read.query_pairs().any(|(n, v)| n == name && v == value);
    assert!(carries("state", pending.state.expose()) && carries("code_challenge_method", "S256"));
    let kept: PendingAuthorization =
        serde_json::from_str(&serde_json::to_string(&pending).unwrap()).expect("kept");
    assert_eq!((kept.url(), kept.issuer), (url, pending.issuer));
}

/// Only a callback to this app, in time, with the right state and a code, and without an error, is
/// accepted.
pub(super) fn callback(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let [ours, other] = &*PENDING;
    for refused in [validate(text, other, now()), validate(text, ours, now() + TimeDelta::hours(2))]
    {
        // The other authorisation's state is in the seeds too: then it is the one that counts.
        match refused {
            Ok(_) => assert!(state_of(text).is_ok_and(|state| other.state.matches(state.expose()))),
            Err(error) => quotes_nothing(&error),
        }
    }
    let code = match validate(text, ours, now()) {
        Ok(code) => code,
        Err(error) => return quotes_nothing(&error),
    };
    let url = Url::parse(text).expect("a URL");
    let all = |name: &str| {
        url.query_pairs()
            .filter(|(n, _)| n == name)
            .map(|(_, v)| v.into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!((url.scheme(), url.host_str(), url.path()), ("com.example.app", None, "/callback"));
    assert_eq!(all("state"), [ours.state.expose()]);
    assert_eq!(all("code"), [code.expose()]);
    assert!(!code.expose().is_empty() && all("error").is_empty());
    assert!(all("iss").iter().all(|iss| iss.trim_end_matches('/') == "https://auth.example"));
    shows_nothing(&code);
}

/// Tokens fit into a header, last a year at most, and come back from the vault as they were.
pub(super) fn token(data: &[u8]) {
    let response = match TokenResponse::parse(data) {
        Ok(response) => response,
        Err(error) => return quotes_nothing(&error),
    };
    shows_nothing(&response);
    let asked = ScopeRequest::new(ScopeForm::Granular).text(Dialect::Hl7Cgm);
    let state = match TokenState::granted(response.clone(), asked, now()) {
        Ok(state) => state,
        Err(error) => return quotes_nothing(&error),
    };
    shows_nothing(&state);
    for token in [Some(state.access()), state.refresh()].into_iter().flatten() {
        assert!(
            !token.expose().is_empty()
                && token.expose().bytes().all(|byte| byte.is_ascii_graphic())
        );
    }
    if let Some(end) = state.expires_at() {
        assert!(end >= now() && end <= now() + TimeDelta::days(366));
    }
    assert_eq!(state.scopes(), GrantedScopes::parse(state.scopes_text()));
    let text = serde_json::to_string(&state).unwrap();
    let kept: TokenState = serde_json::from_str(&text).expect("kept");
    assert_eq!(serde_json::to_string(&kept).unwrap(), text);
    // The same answer to a refresh is for the same patient.
    let refreshed =
        state.refreshed(response, now() + TimeDelta::hours(1)).expect("the same patient");
    assert_eq!(refreshed.patient(), state.patient());
}

/// What all scopes together grant is what one of them grants alone, and its text says so.
pub(super) fn scopes(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let granted = GrantedScopes::parse(text);
    let words = text.split_ascii_whitespace().take(GrantedScopes::MAX_SCOPES);
    let alone: Vec<_> = words.map(|word| (word, GrantedScopes::parse(word))).collect();
    for resource in RESOURCES {
        for has in TOKENS {
            type May = fn(&GrantedScopes, ResourceType, Option<SearchToken>) -> bool;
            let rights: [(May, &[&str]); 3] = [
                (GrantedScopes::may_create, &["c", "*", "write"]),
                (GrantedScopes::may_read, &["r", "*", "read"]),
                (GrantedScopes::may_search, &["s", "*", "read"]),
            ];
            for (may, letters) in rights {
                let by = alone.iter().find(|(_, one)| may(one, resource, has));
                assert_eq!(may(&granted, resource, has), by.is_some());
                let Some((word, _)) = by else { continue };
                let (what, query) = word.split_once('?').unwrap_or((word, ""));
                let (compartment, permission) = what.split_once('.').expect("a permission");
                let named = |context: &str| {
                    compartment
                        .strip_prefix(context)
                        .is_some_and(|name| name == resource.name() || name == "*")
                };
                assert!(named("patient/") || named("user/"));
                assert!(letters.iter().any(|letter| permission.contains(letter)));
                // What is restricted covers only what says it fits.
                let fits = |has: SearchToken| query.contains(has.parameter);
                assert!(query.trim_matches('&').is_empty() || has.is_some_and(fits));
            }
        }
    }
}
