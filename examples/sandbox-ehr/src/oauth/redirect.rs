//! Redirect URIs: which ones a native app may register (RFC 8252), and how an answer is attached to
//! one. Answers are appended to the text as registered, never to a re-serialised URL.

use url::{Host, Url, form_urlencoded};

/// Whether an app with these registered URIs may use this one. No registered URI means any redirect
/// of a native app.
pub(crate) fn is_allowed(redirect_uri: &str, registered: &[String]) -> bool {
    if registered.is_empty() {
        is_native(redirect_uri)
    } else {
        registered.iter().any(|known| known == redirect_uri)
    }
}

/// A loopback address with any port, or a private-use scheme named after a domain
/// (`com.example.app:/callback`).
fn is_native(redirect_uri: &str) -> bool {
    let Ok(url) = Url::parse(redirect_uri) else { return false };
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    match url.scheme() {
        "http" => match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        },
        scheme => scheme.contains('.'),
    }
}

/// The redirect URI with the answer's parameters.
pub(crate) fn with_answer(redirect_uri: &str, answer: &[(&str, &str)]) -> String {
    let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(answer).finish();
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    format!("{redirect_uri}{separator}{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_redirects_of_native_apps_are_open_to_any_client() {
        for good in [
            "http://127.0.0.1:4567/callback",
            "http://[::1]:1/",
            "http://localhost:9/cb",
            "com.example.app:/callback",
        ] {
            assert!(is_allowed(good, &[]), "{good}");
        }
        for bad in [
            "https://attacker.example/cb",
            "http://10.0.0.1/cb",
            "http://127.0.0.1.attacker.example/cb",
            "http://user@127.0.0.1/cb",
            "http://127.0.0.1/cb#fragment",
            "javascript:alert(1)",
            "nonsense",
        ] {
            assert!(!is_allowed(bad, &[]), "{bad}");
        }
        let registered = ["https://app.example/cb".to_owned()];
        assert!(is_allowed("https://app.example/cb", &registered));
        assert!(!is_allowed("https://app.example/cb/", &registered));
        assert!(!is_allowed("http://127.0.0.1:4567/callback", &registered));
    }

    #[test]
    fn an_answer_is_appended_to_the_uri_as_it_is() {
        assert_eq!(
            with_answer("com.example.app:/cb?a=1", &[("state", "x y")]),
            "com.example.app:/cb?a=1&state=x+y"
        );
    }
}
