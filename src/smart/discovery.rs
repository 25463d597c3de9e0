//! Reads a receiver's `.well-known/smart-configuration`: where to authorise, and what the server
//! can do.
//!
//! Source: SMART App Launch 2.2, "Conformance". It must not trust the document further than the
//! base it came from.

use super::{ReceiverBase, is_secure};
use serde_json::Value;
use url::Url;

/// Bytes of an endpoint or issuer.
const MAX_URL: usize = 2048;

/// Why a discovery document cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// More than 256 KiB.
    #[error(
        "the receiver's SMART configuration is larger than {} bytes",
        SmartConfiguration::MAX_BYTES
    )]
    TooLarge,
    /// Not a JSON object.
    #[error("the receiver's SMART configuration is not a JSON object: check the base URL")]
    Unreadable,
    /// A required field is missing.
    #[error("the receiver's SMART configuration has no {0}: the receiver must state it")]
    Missing(&'static str),
    /// A field has the wrong form.
    #[error("the receiver's SMART configuration has an unreadable {0}")]
    Malformed(&'static str),
    /// A URL is longer than 2,048 bytes.
    #[error("the receiver's {0} is longer than {MAX_URL} bytes")]
    TooLong(&'static str),
    /// An endpoint that is not https.
    #[error("the receiver's {0} is not https: nothing is sent there")]
    InsecureUrl(&'static str),
    /// No PKCE with S256, which SMART requires.
    #[error(
        "the receiver does not state S256 in code_challenge_methods_supported, which SMART requires"
    )]
    NoS256,
    /// The endpoints are at two origins, and nobody says whose they are.
    #[error(
        "the receiver's authorization_endpoint and token_endpoint are at different origins, and \
            its SMART configuration has no issuer: the receiver must state it"
    )]
    NoIssuer,
    /// Only apps with a secret get a token.
    #[error(
        "the receiver gives tokens only to apps that keep a secret, which an app on a phone \
            cannot: check the app's registration there, it must be a public client"
    )]
    NoPublicClients,
}

/// What a receiver says about its authorisation server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmartConfiguration {
    authorization_endpoint: Url,
    token_endpoint: Url,
    revocation_endpoint: Option<Url>,
    issuer: Option<String>,
    names_issuer: bool,
    capabilities: Vec<String>,
    scopes_supported: Vec<String>,
}

impl SmartConfiguration {
    /// No document in the field comes near it. Read as JSON values it takes up to a hundred times
    /// as much for a moment.
    pub const MAX_BYTES: usize = 256 << 10;

    /// Reads the document of the receiver at `base`. Relative endpoints are taken from below the
    /// base.
    ///
    /// # Errors
    /// [`DiscoveryError`], which names the field. An unusable revocation endpoint is left out
    /// instead: it is optional.
    pub fn parse(base: &ReceiverBase, body: &[u8]) -> Result<Self, DiscoveryError> {
        if body.len() > Self::MAX_BYTES {
            return Err(DiscoveryError::TooLarge);
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(body) else {
            return Err(DiscoveryError::Unreadable);
        };
        let document = Document { base, fields };
        let authorization_endpoint = document.endpoint("authorization_endpoint")?;
        let token_endpoint = document.endpoint("token_endpoint")?;
        let methods = document.strings("code_challenge_methods_supported")?;
        if !methods.iter().any(|method| method == "S256") {
            return Err(DiscoveryError::NoS256);
        }
        let capabilities = document.strings("capabilities")?;
        document.takes_public_clients(&capabilities)?;
        let same_origin = authorization_endpoint.origin() == token_endpoint.origin();
        let (issuer, names_issuer) = document.issuer(same_origin)?;
        Ok(Self {
            authorization_endpoint,
            token_endpoint,
            revocation_endpoint: document.endpoint("revocation_endpoint").ok(),
            issuer,
            names_issuer,
            capabilities,
            scopes_supported: document.strings("scopes_supported")?,
        })
    }

    /// Where the browser goes.
    pub fn authorization_endpoint(&self) -> &Url {
        &self.authorization_endpoint
    }

    /// Where codes and refresh tokens go.
    pub fn token_endpoint(&self) -> &Url {
        &self.token_endpoint
    }

    /// Where tokens are given back, if there is such a place.
    pub fn revocation_endpoint(&self) -> Option<&Url> {
        self.revocation_endpoint.as_ref()
    }

    /// The authorisation server's own name, compared with `iss` in the callback (RFC 9207).
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether the server says that every callback carries `iss` (RFC 9207): one without is not its
    /// own then.
    pub fn names_issuer(&self) -> bool {
        self.names_issuer
    }

    /// Whether the server states a SMART capability, for example `permission-v2`.
    pub fn has_capability(&self, name: &str) -> bool {
        self.capabilities.iter().any(|capability| capability == name)
    }

    /// The scopes the server lists; it may know more.
    pub fn scopes_supported(&self) -> &[String] {
        &self.scopes_supported
    }
}

/// The document as JSON.
struct Document<'a> {
    base: &'a ReceiverBase,
    fields: serde_json::Map<String, Value>,
}

impl Document<'_> {
    fn endpoint(&self, field: &'static str) -> Result<Url, DiscoveryError> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Err(DiscoveryError::Missing(field)),
            Some(Value::String(text)) => resolve(self.base, field, text),
            Some(_) => Err(DiscoveryError::Malformed(field)),
        }
    }

    fn strings(&self, field: &'static str) -> Result<Vec<String>, DiscoveryError> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
                .ok_or(DiscoveryError::Malformed(field)),
            Some(_) => Err(DiscoveryError::Malformed(field)),
        }
    }

    /// The list of methods need not be complete: servers that state `client-public` leave `none`
    /// out of it.
    fn takes_public_clients(&self, capabilities: &[String]) -> Result<(), DiscoveryError> {
        let methods = self.strings("token_endpoint_auth_methods_supported")?;
        let public = methods.is_empty()
            || methods.iter().any(|method| method == "none")
            || capabilities.iter().any(|capability| capability == "client-public");
        if public { Ok(()) } else { Err(DiscoveryError::NoPublicClients) }
    }

    /// The issuer, and whether every callback names it.
    ///
    /// SMART lets a server leave out its issuer. A callback that carries it can only be judged with
    /// it (RFC 9207); and if the code goes to another origin than the person signed in at, somebody
    /// has to say that they are one server.
    fn issuer(&self, same_origin: bool) -> Result<(Option<String>, bool), DiscoveryError> {
        let issuer = match self.fields.get("issuer").and_then(Value::as_str) {
            Some(issuer) if issuer.len() > MAX_URL => {
                return Err(DiscoveryError::TooLong("issuer"));
            }
            issuer => issuer.filter(|issuer| !issuer.is_empty()).map(str::to_owned),
        };
        let promise = "authorization_response_iss_parameter_supported";
        let names_issuer = self.fields.get(promise) == Some(&Value::Bool(true));
        match issuer {
            None if names_issuer => Err(DiscoveryError::Missing("issuer")),
            None if !same_origin => Err(DiscoveryError::NoIssuer),
            issuer => Ok((issuer, names_issuer)),
        }
    }
}

/// Plain http is taken on loopback only, and only from a receiver that is there itself.
fn resolve(base: &ReceiverBase, field: &'static str, text: &str) -> Result<Url, DiscoveryError> {
    if text.len() > MAX_URL {
        return Err(DiscoveryError::TooLong(field));
    }
    let url = base
        .resolve(text)
        .filter(|url| url.fragment().is_none())
        .ok_or(DiscoveryError::Malformed(field))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(DiscoveryError::Malformed(field));
    }
    let safe = is_secure(&url) && (url.scheme() == "https" || base.is_loopback());
    if safe { Ok(url) } else { Err(DiscoveryError::InsecureUrl(field)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn base() -> ReceiverBase {
        "https://ehr.example/fhir".parse().unwrap()
    }

    fn document(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Vec<u8> {
        let mut document = json!({
            "issuer": "https://auth.example",
            "authorization_endpoint": "https://auth.example/authorize?tenant=1",
            "token_endpoint": "token",
            "revocation_endpoint": "/oauth/revoke",
            "code_challenge_methods_supported": ["S256"],
            "capabilities": ["launch-standalone", "permission-v2"],
            "unknown": {"deep": [1]}
        });
        change(document.as_object_mut().unwrap());
        serde_json::to_vec(&document).unwrap()
    }

    #[test]
    fn relative_endpoints_are_taken_from_below_the_base() {
        let found = SmartConfiguration::parse(&base(), &document(|_| ())).unwrap();
        assert_eq!(
            found.authorization_endpoint().as_str(),
            "https://auth.example/authorize?tenant=1"
        );
        assert_eq!(found.token_endpoint().as_str(), "https://ehr.example/fhir/token");
        assert_eq!(
            found.revocation_endpoint().unwrap().as_str(),
            "https://ehr.example/oauth/revoke"
        );
        assert!(found.has_capability("permission-v2") && !found.has_capability("permission-v1"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases: [(&str, Value, DiscoveryError); 9] = [
            ("token_endpoint", Value::Null, DiscoveryError::Missing("token_endpoint")),
            ("token_endpoint", json!(7), DiscoveryError::Malformed("token_endpoint")),
            (
                "token_endpoint",
                json!("http://auth.example/t"),
                DiscoveryError::InsecureUrl("token_endpoint"),
            ),
            (
                "token_endpoint",
                json!("http://127.0.0.1/t"),
                DiscoveryError::InsecureUrl("token_endpoint"),
            ),
            (
                "authorization_endpoint",
                json!("javascript:x"),
                DiscoveryError::InsecureUrl("authorization_endpoint"),
            ),
            (
                "authorization_endpoint",
                json!("https://a:b@c/"),
                DiscoveryError::Malformed("authorization_endpoint"),
            ),
            ("code_challenge_methods_supported", json!(["plain"]), DiscoveryError::NoS256),
            ("code_challenge_methods_supported", Value::Null, DiscoveryError::NoS256),
            ("capabilities", json!("permission-v2"), DiscoveryError::Malformed("capabilities")),
        ];
        for (field, value, expected) in cases {
            let body = document(|d| {
                d.insert(field.to_owned(), value);
            });
            assert_eq!(SmartConfiguration::parse(&base(), &body), Err(expected));
        }
        assert_eq!(SmartConfiguration::parse(&base(), b"<html>"), Err(DiscoveryError::Unreadable));
        let large = vec![b' '; SmartConfiguration::MAX_BYTES + 1];
        assert_eq!(SmartConfiguration::parse(&base(), &large), Err(DiscoveryError::TooLarge));
    }

    #[test]
    fn only_true_promises_the_issuer_in_callbacks() {
        for (value, promised) in [
            (Value::Null, false),
            (json!(false), false),
            (json!("true"), false),
            (json!(true), true),
        ] {
            let body = document(|d| {
                d.insert("authorization_response_iss_parameter_supported".to_owned(), value);
            });
            assert_eq!(SmartConfiguration::parse(&base(), &body).unwrap().names_issuer(), promised);
        }
    }

    #[test]
    fn an_issuer_is_required_if_the_endpoints_are_at_two_origins_or_callbacks_carry_it() {
        let parsed = |change: fn(&mut serde_json::Map<String, Value>)| {
            SmartConfiguration::parse(&base(), &document(change)).map(drop)
        };
        // The person signs in at auth.example, the code goes to ehr.example.
        assert_eq!(parsed(|_| ()), Ok(()));
        assert_eq!(parsed(|d| drop(d.remove("issuer"))), Err(DiscoveryError::NoIssuer));
        assert_eq!(
            parsed(|d| drop(d.insert("issuer".to_owned(), json!("")))),
            Err(DiscoveryError::NoIssuer)
        );
        // Both at auth.example, away from the base: SMART asks for no issuer.
        let at_one: fn(&mut serde_json::Map<String, Value>) = |d| {
            d.remove("issuer");
            d.insert("token_endpoint".to_owned(), json!("https://auth.example/token"));
        };
        assert_eq!(parsed(at_one), Ok(()));
        let promised: fn(&mut serde_json::Map<String, Value>) = |d| {
            d.remove("issuer");
            d.insert("token_endpoint".to_owned(), json!("https://auth.example/token"));
            let promise = "authorization_response_iss_parameter_supported";
            d.insert(promise.to_owned(), json!(true));
        };
        assert_eq!(parsed(promised), Err(DiscoveryError::Missing("issuer")));
    }

    #[test]
    fn a_server_for_confidential_apps_only_is_told_apart() {
        let cases = [
            (json!(["none"]), "launch-standalone", Ok(())),
            (json!(["private_key_jwt", "none"]), "client-confidential-asymmetric", Ok(())),
            (json!(["client_secret_basic"]), "client-public", Ok(())),
            (json!([]), "launch-standalone", Ok(())),
            (Value::Null, "client-confidential-symmetric", Ok(())),
            (
                json!(["client_secret_basic", "private_key_jwt"]),
                "client-confidential-symmetric",
                Err(DiscoveryError::NoPublicClients),
            ),
        ];
        for (methods, capability, expected) in cases {
            let body = document(|d| {
                d.insert("capabilities".to_owned(), json!([capability]));
                d.insert("token_endpoint_auth_methods_supported".to_owned(), methods.clone());
            });
            let parsed = SmartConfiguration::parse(&base(), &body).map(drop);
            assert_eq!(parsed, expected, "{methods} {capability}");
        }
    }

    #[test]
    fn an_unusable_revocation_endpoint_is_left_out() {
        let body = document(|d| {
            d.insert("revocation_endpoint".to_owned(), json!("http://auth.example/revoke"));
        });
        assert_eq!(SmartConfiguration::parse(&base(), &body).unwrap().revocation_endpoint(), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = SmartConfiguration::parse(&base(), &bytes);
        }
    }
}
