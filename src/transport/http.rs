//! The built-in transport: hyper over rustls and ring, trusting the bundled webpki roots and what
//! the host adds.
//!
//! No platform verifier (it needs JNI set up before it), no system proxy, no redirects, no cookies.
//! It sends a request once. Only one that was never written, because its kept connection turned out
//! to be closed, goes over a new connection.

use super::body;
use crate::environment::{BoxFuture, Redirects, Transport, TransportError};
use crate::smart::is_secure;
use http::header::{HeaderValue, USER_AGENT};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection is kept for the next request. Receivers close theirs after a minute or so.
const KEPT_IDLE: Duration = Duration::from_secs(30);

/// Why a transport cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportSetupError {
    /// An added root is not a certificate in DER.
    #[error("root certificate {0} (counted from 0) is not a certificate in DER form")]
    Root(usize),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up on this device")]
    Tls,
}

/// Settings of a [`HttpTransport`].
#[derive(Clone, Debug)]
#[must_use]
pub struct HttpTransportBuilder {
    roots: Vec<Vec<u8>>,
    connect_timeout: Duration,
    max_body: usize,
}

impl HttpTransportBuilder {
    /// Trusts one more root certificate, in DER form: a hospital's own, for example.
    pub fn root(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.roots.push(der.into());
        self
    }

    /// How long a connection may take to be made, TLS apart; 15 s unless told.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many bytes an answer may have; 16 MiB unless told.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// The transport.
    ///
    /// # Errors
    /// [`TransportSetupError`].
    pub fn build(self) -> Result<HttpTransport, TransportSetupError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for (i, der) in self.roots.into_iter().enumerate() {
            roots.add(der.into()).map_err(|_| TransportSetupError::Root(i))?;
        }
        // The provider is named here and installed nowhere: the app's own choice stays.
        let tls =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|_| TransportSetupError::Tls)?
                .with_root_certificates(roots)
                .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(self.connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_IDLE)
            .build(connector);
        Ok(HttpTransport { client, max_body: self.max_body })
    }
}

/// Sends requests by HTTP/1.1. Needs a tokio runtime around it, and somebody above who gives up a
/// request that takes too long: the [`Submitter`](crate::Submitter) does.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    max_body: usize,
}

impl HttpTransport {
    /// With the bundled roots and the usual limits.
    ///
    /// # Errors
    /// [`TransportSetupError`].
    pub fn new() -> Result<Self, TransportSetupError> {
        Self::builder().build()
    }

    /// With settings of one's own.
    pub fn builder() -> HttpTransportBuilder {
        HttpTransportBuilder {
            roots: Vec::new(),
            connect_timeout: Duration::from_secs(15),
            max_body: 16 << 20,
        }
    }

    async fn answer(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        let url =
            url::Url::parse(&request.uri().to_string()).map_err(|_| TransportError::Request)?;
        if !is_secure(&url) {
            return Err(TransportError::Request);
        }
        let mut request = request.map(|body| Full::new(Bytes::from(body)));
        let agent = concat!("cgm-submitter/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
        let answer = self.client.request(request).await.map_err(|error| classify(&error))?;
        body::read(answer, self.max_body).await
    }
}

impl Transport for HttpTransport {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        Box::pin(self.answer(request))
    }

    fn redirects(&self) -> Redirects {
        Redirects::Refused
    }
}

/// What a failure means for the request: only a failure to connect proves that nothing was sent.
fn classify(error: &legacy::Error) -> TransportError {
    if is_untrusted(error) {
        TransportError::Untrusted
    } else if error.is_connect() {
        TransportError::Unreachable
    } else {
        TransportError::Broken
    }
}

/// Whether a refused certificate is somewhere in the chain of causes. An `io::Error` hides its
/// cause from `source`.
fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return true;
        }
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::Mutex;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener as TokioListener;

    /// A TLS server on loopback with a certificate of its own; its URL and that certificate.
    fn serve() -> (String, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().to_vec();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![CertificateDer::from(certificate.clone())], key)
                .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}/fhir", listener.local_addr().unwrap().port());
        let config = Arc::new(config);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(config.clone()).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 204 x\r\ncontent-length: 0\r\n\r\n");
            }
        });
        (url, certificate)
    }

    async fn get(transport: &HttpTransport, url: &str) -> Result<u16, TransportError> {
        send(transport, url).await.map(|answer| answer.status().as_u16())
    }

    async fn send(
        transport: &HttpTransport,
        url: &str,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        transport.send(http::Request::get(url).body(Vec::new()).unwrap()).await
    }

    #[tokio::test]
    async fn a_certificate_nobody_vouches_for_is_told_apart_and_one_the_host_trusts_is_taken() {
        let (url, certificate) = serve();
        assert_eq!(get(&HttpTransport::new().unwrap(), &url).await, Err(TransportError::Untrusted));
        let trusting = HttpTransport::builder().root(certificate).build().unwrap();
        assert_eq!(get(&trusting, &url).await, Ok(204));
        let other_name = url.replace("localhost", "127.0.0.1");
        assert_eq!(get(&trusting, &other_name).await, Err(TransportError::Untrusted));
    }

    /// A server on loopback that gives every connection the same bytes; its address, and how many
    /// came.
    async fn serve_bytes(answer: Vec<u8>) -> (String, Arc<Mutex<usize>>) {
        let listener = TokioListener::bind("127.0.0.1:0").await.unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(0)));
        let counter = count.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                *counter.lock().unwrap() += 1;
                let answer = answer.clone();
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let _ = stream.write_all(&answer).await;
                });
            }
        });
        (format!("http://{address}/fhir"), count)
    }

    #[tokio::test]
    async fn an_answer_comes_back_with_status_headers_and_body() {
        let (url, _) = serve_bytes(
            b"HTTP/1.1 429 x\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\nhi".to_vec(),
        )
        .await;
        let answer = send(&HttpTransport::new().unwrap(), &url).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()),
            (429, "7")
        );
        assert_eq!(answer.body(), b"hi");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let (target, reached) =
            serve_bytes(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        let redirect = format!("HTTP/1.1 307 x\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        let (url, _) = serve_bytes(redirect.into_bytes()).await;
        let answer = send(&HttpTransport::new().unwrap(), &url).await.unwrap();
        assert_eq!((answer.status().as_u16(), *reached.lock().unwrap()), (307, 0));
    }

    #[tokio::test]
    async fn an_oversized_body_is_refused_announced_or_not() {
        let transport = HttpTransport::builder().max_body(1000).build().unwrap();
        let mut chunked = b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..20 {
            chunked.extend(format!("64\r\n{}\r\n", "x".repeat(100)).into_bytes());
        }
        let announced = b"HTTP/1.1 200 x\r\ncontent-length: 999999999\r\n\r\n".to_vec();
        for answer in [chunked, announced] {
            let (url, _) = serve_bytes(answer).await;
            assert_eq!(
                send(&transport, &url).await.err(),
                Some(TransportError::TooLarge { limit: 1000 })
            );
        }
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_told_from_one_that_was_never_made() {
        let transport = HttpTransport::new().unwrap();
        for cut in [&b""[..], b"HTTP/1.1 200 x\r\ncontent-length: 10\r\n\r\nhalf", b"no http"] {
            let (url, count) = serve_bytes(cut.to_vec()).await;
            assert_eq!(send(&transport, &url).await.err(), Some(TransportError::Broken));
            assert_eq!(*count.lock().unwrap(), 1, "never sent again by itself");
        }
        let port = TokioListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let nobody = format!("http://127.0.0.1:{port}/");
        assert_eq!(send(&transport, &nobody).await.err(), Some(TransportError::Unreachable));
    }

    #[tokio::test]
    async fn plain_http_beyond_loopback_is_not_sent() {
        let transport = HttpTransport::new().unwrap();
        for url in ["http://192.0.2.1/fhir", "ftp://127.0.0.1/", "/fhir"] {
            assert_eq!(send(&transport, url).await.err(), Some(TransportError::Request), "{url}");
        }
    }

    #[test]
    fn a_root_that_is_no_certificate_is_named() {
        let result = HttpTransport::builder().root(b"no certificate".to_vec()).build();
        assert_eq!(result.err(), Some(TransportSetupError::Root(0)));
    }
}
