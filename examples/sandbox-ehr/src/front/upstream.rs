//! The server behind: its address, and one request to it. Plain HTTP on this machine only; a new
//! connection for each request, so that none ends under the next one.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, Request, header, request::Parts},
    response::Response,
};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use url::{Host, Url};

use super::readdressed;
use crate::SandboxError;

/// Headers that are about one connection (RFC 9110, section 7.6.1), not about the message.
const OF_A_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The server behind did not answer, or not to the end.
#[derive(Debug)]
pub(crate) struct Unanswered;

/// A FHIR server on loopback.
pub(crate) struct Upstream {
    /// `http://127.0.0.1:8080`
    origin: String,
    /// `/fhir`, or empty
    path: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Upstream {
    /// The server whose FHIR base this is.
    pub(crate) fn new(base: &str) -> Result<Self, SandboxError> {
        let refused = || SandboxError::Upstream(base.to_owned());
        let url = Url::parse(base).map_err(|_| refused())?;
        let on_loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let path = url.path().trim_end_matches('/');
        let nothing_more =
            url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if url.scheme() != "http" || !on_loopback || !nothing_more || !path.bytes().all(plain) {
            return Err(refused());
        }
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Ok(Self { origin: url.origin().ascii_serialization(), path: path.to_owned(), client })
    }

    /// The path of its base: the sandbox's own base has the same, so that a request's path need not
    /// change.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// `Observation/7` of `/fhir/Observation/7`; nothing of a path that is not below the base.
    pub(super) fn below_base<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(&self.path)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }

    /// Sends a request as it came, but for the token, which means nothing here. `Host` stays too:
    /// the server then writes links that lead through the sandbox.
    pub(super) async fn send(&self, head: Parts, body: Bytes) -> Result<Response, Unanswered> {
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = readdressed(&head.uri, &self.origin).ok_or(Unanswered)?;
        *request.method_mut() = head.method;
        *request.headers_mut() = head.headers;
        strip_connection(request.headers_mut());
        request.headers_mut().remove(header::AUTHORIZATION);
        let (mut head, body) =
            self.client.request(request).await.map_err(|_| Unanswered)?.into_parts();
        strip_connection(&mut head.headers);
        // To its end before anything of it goes back: an answer that is lost is lost after the
        // server is done.
        let body = body.collect().await.map_err(|_| Unanswered)?.to_bytes();
        Ok(Response::from_parts(head, Body::from(body)))
    }

    /// Reads JSON, on the sandbox's own behalf.
    pub(super) async fn get(&self, below_base: &str) -> Option<Value> {
        let uri = format!("{}{}/{below_base}", self.origin, self.path);
        let request = Request::get(uri)
            .header(header::ACCEPT, "application/fhir+json")
            .body(Full::default())
            .ok()?;
        let answer = self.client.request(request).await.ok()?;
        serde_json::from_slice(&answer.into_body().collect().await.ok()?.to_bytes()).ok()
    }
}

fn strip_connection(headers: &mut HeaderMap) {
    for name in OF_A_CONNECTION {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_on_this_machine_is_stood_in_front_of() {
        for (base, path) in [
            ("http://127.0.0.1:8080/fhir", "/fhir"),
            ("http://localhost:8080/hapi/r4/", "/hapi/r4"),
            ("http://[::1]:8080", ""),
        ] {
            assert_eq!(Upstream::new(base).unwrap().path(), path, "{base}");
        }
        for base in [
            "http://192.0.2.1/fhir",
            "https://127.0.0.1/fhir",
            "http://127.0.0.1.example/fhir",
            "http://127.0.0.1/fhir?tenant=1",
            "http://me@127.0.0.1/fhir",
            "http://127.0.0.1/{all}",
            "127.0.0.1:8080",
        ] {
            assert!(matches!(Upstream::new(base), Err(SandboxError::Upstream(_))), "{base}");
        }
    }

    #[test]
    fn a_path_is_below_the_base_or_nobodys() {
        let upstream = Upstream::new("http://127.0.0.1:1/fhir").unwrap();
        for (path, below) in [
            ("/fhir", Some("")),
            ("/fhir/", Some("")),
            ("/fhir/Patient/7", Some("Patient/7")),
            ("/fhirs/Patient", None),
            ("/", None),
        ] {
            assert_eq!(upstream.below_base(path), below, "{path}");
        }
        assert_eq!(
            Upstream::new("http://127.0.0.1:1").unwrap().below_base("/Patient"),
            Some("Patient")
        );
    }
}
