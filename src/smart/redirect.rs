//! The app's redirect URI, compared exactly when the browser comes back (RFC 8252, section 8.10).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use url::Url;

/// Why a text cannot be a native app's redirect URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// Not an absolute URI.
    #[error(
        "the redirect URI is not a URI: write it like com.example.app:/callback or \
            https://app.example/callback"
    )]
    Unreadable,
    /// Plain http off this machine, or a scheme a browser or the system takes for itself.
    #[error("the redirect URI is neither https, nor the app's own scheme, nor http on loopback")]
    Scheme,
    /// A query, fragment or user name.
    #[error(
        "the redirect URI has a query, fragment or user name: leave it off, state carries what \
            must come back"
    )]
    Extras,
}

/// The app's redirect URI, as registered at the receiver: sent letter by letter as it was given.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri {
    text: String,
    url: Url,
}

impl RedirectUri {
    /// The URI as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `returned` has this scheme, host, port and path.
    pub(crate) fn is_of(&self, returned: &Url) -> bool {
        let place = |url: &Url| {
            (
                url.scheme().to_owned(),
                url.host_str().map(str::to_owned),
                url.port_or_known_default(),
                url.path().to_owned(),
            )
        };
        place(&self.url) == place(returned)
            && returned.username().is_empty()
            && returned.password().is_none()
    }
}

impl FromStr for RedirectUri {
    type Err = RedirectError;

    fn from_str(text: &str) -> Result<Self, RedirectError> {
        let url = Url::parse(text).map_err(|_| RedirectError::Unreadable)?;
        if text.len() > 2048 {
            return Err(RedirectError::Unreadable);
        }
        let taken = matches!(
            url.scheme(),
            "javascript" | "data" | "file" | "about" | "blob" | "ftp" | "ws" | "wss"
        );
        if taken || (matches!(url.scheme(), "http" | "https") && !super::is_secure(&url)) {
            return Err(RedirectError::Scheme);
        }
        let user = !url.username().is_empty() || url.password().is_some();
        if url.query().is_some() || url.fragment().is_some() || user {
            return Err(RedirectError::Extras);
        }
        Ok(Self { text: text.to_owned(), url })
    }
}

impl TryFrom<String> for RedirectUri {
    type Error = RedirectError;

    fn try_from(text: String) -> Result<Self, RedirectError> {
        text.parse()
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.text
    }
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedirectUri({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_schemes_https_and_loopback_are_taken() {
        for uri in [
            "com.example.app:/callback",
            "myapp://callback",
            "https://app.example/cb",
            "http://127.0.0.1:7000/cb",
        ] {
            assert_eq!(
                uri.parse::<RedirectUri>().map(|u| u.as_str().to_owned()).as_deref(),
                Ok(uri)
            );
        }
        for (uri, error) in [
            ("http://app.example/cb", RedirectError::Scheme),
            ("javascript:alert(1)", RedirectError::Scheme),
            ("https://app.example/cb?x=1", RedirectError::Extras),
            ("https://app.example/cb#x", RedirectError::Extras),
            ("https://me@app.example/cb", RedirectError::Extras),
            ("callback", RedirectError::Unreadable),
        ] {
            assert_eq!(uri.parse::<RedirectUri>(), Err(error), "{uri}");
        }
    }

    #[test]
    fn only_the_same_scheme_host_port_and_path_come_back() {
        let uri: RedirectUri = "https://app.example/cb".parse().unwrap();
        assert!(uri.is_of(&Url::parse("https://app.example/cb?code=1#_=_").unwrap()));
        for other in [
            "https://app.example/cb/",
            "https://app.example/CB",
            "https://app.example:8443/cb",
            "https://evil.example/cb",
            "http://app.example/cb",
            "https://me@app.example/cb",
        ] {
            assert!(!uri.is_of(&Url::parse(other).unwrap()), "{other}");
        }
        let own: RedirectUri = "com.example.app:/cb".parse().unwrap();
        assert!(own.is_of(&Url::parse("com.example.app:/cb?code=1").unwrap()));
        assert!(!own.is_of(&Url::parse("com.example.app://cb?code=1").unwrap()));
    }
}
