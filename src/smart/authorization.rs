//! The authorisation request: state, PKCE and the URL the browser opens.
//!
//! Source: SMART App Launch 2.2, "Obtain authorization code"; RFC 7636 for PKCE. Randomness comes
//! in as bytes.

use super::{PendingAuthorization, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The `state` of one authorisation: 256 random bits, which only this app and the browser's answer
/// know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuthorizationState(Secret);

impl AuthorizationState {
    /// From 32 random bytes.
    pub fn from_bytes(random: [u8; 32]) -> Self {
        Self(Secret::new(URL_SAFE_NO_PAD.encode(random)))
    }

    /// The text that goes over the wire.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Whether `text` is this state.
    pub fn matches(&self, text: &str) -> bool {
        self.0.matches(text)
    }

    /// A name for it that does not give it away: half of its SHA-256, in hexadecimal.
    pub fn name_of(text: &str) -> String {
        Sha256::digest(text.as_bytes()).iter().take(16).fold(String::new(), |mut name, byte| {
            let _ = write!(name, "{byte:02x}");
            name
        })
    }
}

/// The PKCE code verifier of one authorisation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PkceVerifier(Secret);

impl PkceVerifier {
    /// From 32 random bytes, as RFC 7636 recommends: 43 characters.
    pub fn from_bytes(random: [u8; 32]) -> Self {
        Self(Secret::new(URL_SAFE_NO_PAD.encode(random)))
    }

    /// The text that goes to the token endpoint.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The S256 code challenge.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.expose().as_bytes()))
    }
}

impl PendingAuthorization {
    /// The URL to open in the system's browser (RFC 8252: never in a web view). It holds the state:
    /// show it to nobody else.
    pub fn url(&self) -> String {
        let mut url = self.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", self.redirect_uri.as_str())
            .append_pair("scope", self.scope())
            .append_pair("state", self.state.expose())
            .append_pair("aud", self.base.as_str())
            .append_pair("code_challenge", &self.verifier.challenge())
            .append_pair("code_challenge_method", "S256");
        url.into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::pending::tests::pending;
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let octets = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212,
            37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
        ];
        let verifier = PkceVerifier::from_bytes(octets);
        assert_eq!(verifier.expose(), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn the_url_carries_all_that_smart_requires_and_keeps_the_endpoints_own_query() {
        let pending = pending();
        let url = url::Url::parse(&pending.url()).unwrap();
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let expected = [
            ("tenant", "1"),
            ("response_type", "code"),
            ("client_id", "my app"),
            ("redirect_uri", "com.example.app:/callback"),
            ("scope", pending.scope()),
            ("state", pending.state.expose()),
            ("aud", "https://ehr.example/fhir"),
            ("code_challenge", &pending.verifier.challenge()),
            ("code_challenge_method", "S256"),
        ];
        assert_eq!(query, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert!(pending.state.expose().len() * 6 >= 122);
    }
}
