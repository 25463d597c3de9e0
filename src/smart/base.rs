//! A receiver's FHIR base URL, and which URLs are safe enough to carry a person's data.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use url::{Host, Url};

/// No base URL in the field comes near it.
const MAX_LENGTH: usize = 2048;

/// Why a text is no receiver's base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// Not an absolute URL with a host.
    #[error("the receiver's base is not a URL: write it like https://ehr.example/fhir")]
    Unreadable,
    /// A host with letters beyond ASCII.
    #[error("the receiver's host has letters beyond ASCII: write it as DNS has it, like xn--…")]
    HostLetters,
    /// Neither https nor http on this machine itself.
    #[error("the receiver's base is not https: health data goes only over https")]
    InsecureUrl,
    /// A query or fragment.
    #[error("the receiver's base has a query or fragment: leave off what follows ? or #")]
    Query,
    /// A user name or password.
    #[error("the receiver's base carries a user name or password: leave off what stands before @")]
    UserInfo,
    /// More than 2,048 characters.
    #[error("the receiver's base is longer than 2048 characters")]
    TooLong,
}

/// A receiver's FHIR base URL: https (http on loopback only), no query, fragment or user, no
/// trailing slash.
///
/// # Example
/// ```
/// use cgm_submitter::smart::ReceiverBase;
///
/// let base: ReceiverBase = "https://ehr.example/fhir/".parse()?;
/// assert_eq!(base.as_str(), "https://ehr.example/fhir");
/// assert_eq!(base.at("metadata"), "https://ehr.example/fhir/metadata");
/// # Ok::<(), cgm_submitter::smart::BaseError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReceiverBase {
    text: String,
    url: Url,
}

impl ReceiverBase {
    /// The URL, without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL of `path` below the base. `path` has no leading slash.
    pub fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.text)
    }

    /// Whether `url` has this base's scheme, host and port.
    pub fn same_origin(&self, url: &str) -> bool {
        Url::parse(url)
            .is_ok_and(|url| url.origin() == self.url.origin() && url.origin().is_tuple())
    }

    /// Its host, with the port if the URL has one.
    pub fn host(&self) -> String {
        host_of(&self.url)
    }

    /// Whether the base is on this machine, as in tests.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }

    /// `reference` as an absolute URL: relative ones are taken from below the base.
    pub(crate) fn resolve(&self, reference: &str) -> Option<Url> {
        let mut folder = self.url.clone();
        if !folder.path().ends_with('/') {
            folder.set_path(&format!("{}/", folder.path()));
        }
        folder.join(reference).ok()
    }
}

impl FromStr for ReceiverBase {
    type Err = BaseError;

    fn from_str(text: &str) -> Result<Self, BaseError> {
        if text.len() > MAX_LENGTH {
            return Err(BaseError::TooLong);
        }
        // By itself: whether the parser takes them depends on the tables it was built with.
        let host = text.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next());
        if host.is_some_and(|host| !host.is_ascii()) {
            return Err(BaseError::HostLetters);
        }
        let url = Url::parse(text.trim()).map_err(|_| BaseError::Unreadable)?;
        if url.host().is_none() {
            return Err(BaseError::Unreadable);
        }
        if !is_secure(&url) {
            return Err(BaseError::InsecureUrl);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BaseError::Query);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseError::UserInfo);
        }
        Ok(Self { text: url.as_str().trim_end_matches('/').to_owned(), url })
    }
}

impl TryFrom<String> for ReceiverBase {
    type Error = BaseError;

    fn try_from(text: String) -> Result<Self, BaseError> {
        text.parse()
    }
}

impl From<ReceiverBase> for String {
    fn from(base: ReceiverBase) -> Self {
        base.text
    }
}

impl fmt::Display for ReceiverBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ReceiverBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiverBase({})", self.text)
    }
}

/// The host of a URL, with the port if it has one: what an error may name.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether data may go to `url`: https, or http on this machine.
pub(crate) fn is_secure(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(url),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Those tables are 0.13 MB on a phone. If this fails after an update of `Cargo.lock`:
    /// `cargo update -p idna_adapter --precise 1.0.0`.
    #[test]
    fn the_url_parser_is_built_without_tables_for_letters_beyond_ascii() {
        assert!(Url::parse("https://klinik-münchen.example/").is_err());
    }

    #[test]
    fn only_https_or_loopback_without_extras_is_a_base() {
        let cases = [
            ("https://ehr.example/fhir/", Ok("https://ehr.example/fhir")),
            ("https://EHR.example:443", Ok("https://ehr.example")),
            ("http://127.0.0.1:8080/r4", Ok("http://127.0.0.1:8080/r4")),
            ("http://localhost:8080/", Ok("http://localhost:8080")),
            (
                "https://xn--klinik-mnchen-3ob.example/r4",
                Ok("https://xn--klinik-mnchen-3ob.example/r4"),
            ),
            ("https://klinik-münchen.example/r4", Err(BaseError::HostLetters)),
            ("https://ehr.example/münchen", Ok("https://ehr.example/m%C3%BCnchen")),
            ("http://[::1]:1/x", Ok("http://[::1]:1/x")),
            ("http://ehr.example/fhir", Err(BaseError::InsecureUrl)),
            ("http://localhost.ehr.example/fhir", Err(BaseError::InsecureUrl)),
            ("http://10.0.2.2/fhir", Err(BaseError::InsecureUrl)),
            ("ftp://ehr.example/fhir", Err(BaseError::InsecureUrl)),
            ("https://ehr.example/fhir?x=1", Err(BaseError::Query)),
            ("https://ehr.example/fhir#x", Err(BaseError::Query)),
            ("https://me:pw@ehr.example/fhir", Err(BaseError::UserInfo)),
            ("https://me@ehr.example/fhir", Err(BaseError::UserInfo)),
            ("ehr.example/fhir", Err(BaseError::Unreadable)),
            ("", Err(BaseError::Unreadable)),
        ];
        for (text, expected) in cases {
            let parsed = text.parse::<ReceiverBase>();
            assert_eq!(
                parsed.as_ref().map(ReceiverBase::as_str).map_err(|e| *e),
                expected,
                "{text}"
            );
        }
        assert_eq!(
            format!("https://a/{}", "x".repeat(3000)).parse::<ReceiverBase>(),
            Err(BaseError::TooLong)
        );
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let base: ReceiverBase = "https://ehr.example/fhir".parse().unwrap();
        for same in
            ["https://ehr.example", "https://ehr.example:443/other?x", "https://EHR.EXAMPLE/fhir"]
        {
            assert!(base.same_origin(same), "{same}");
        }
        for other in [
            "http://ehr.example/fhir",
            "https://ehr.example:8443/",
            "https://ehr.example.evil/",
            "x:y",
            "/fhir",
        ] {
            assert!(!base.same_origin(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in ".{0,200}") {
            if let Ok(base) = text.parse::<ReceiverBase>() {
                prop_assert_eq!(base.as_str().parse::<ReceiverBase>().unwrap(), base);
            }
        }
    }
}
