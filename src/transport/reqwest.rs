//! The transport over reqwest, rustls and ring, trusting the bundled webpki roots and what the host adds.
//!
//! No platform verifier (it needs JNI set up before it), no system proxy, no redirects, no retries, no cookies.

use crate::environment::{BoxFuture, Transport, TransportError};
use crate::smart::is_secure;
use reqwest::{Client, redirect, retry};
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// Why a transport cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportSetupError {
    /// An added root is not a certificate in DER.
    #[error("root certificate {0} (counted from 0) is not a certificate in DER form")]
    Root(usize),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up on this device")]
    Tls,
}

/// Settings of a [`ReqwestTransport`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ReqwestTransportBuilder {
    roots: Vec<Vec<u8>>,
    connect_timeout: Duration,
    timeout: Duration,
    max_body: usize,
}

impl ReqwestTransportBuilder {
    /// Trusts one more root certificate, in DER form: a hospital's own, for example.
    pub fn root(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.roots.push(der.into());
        self
    }

    /// How long a connection may take to be made; 15 s unless told.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a request may take in all; 60 s unless told.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
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
    pub fn build(self) -> Result<ReqwestTransport, TransportSetupError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for (i, der) in self.roots.into_iter().enumerate() {
            roots.add(der.into()).map_err(|_| TransportSetupError::Root(i))?;
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| TransportSetupError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(self.connect_timeout)
            .timeout(self.timeout)
            .user_agent(concat!("cgm-submitter/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| TransportSetupError::Tls)?;
        Ok(ReqwestTransport { client, max_body: self.max_body })
    }
}

/// Sends requests with reqwest. Needs a tokio runtime around it.
#[derive(Clone, Debug)]
pub struct ReqwestTransport {
    client: Client,
    max_body: usize,
}

impl ReqwestTransport {
    /// With the bundled roots and the usual limits.
    ///
    /// # Errors
    /// [`TransportSetupError`].
    pub fn new() -> Result<Self, TransportSetupError> {
        Self::builder().build()
    }

    /// With settings of one's own.
    pub fn builder() -> ReqwestTransportBuilder {
        ReqwestTransportBuilder {
            roots: Vec::new(),
            connect_timeout: Duration::from_secs(15),
            timeout: Duration::from_mins(1),
            max_body: 16 << 20,
        }
    }

    async fn answer(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, TransportError> {
        let url = url::Url::parse(&request.uri().to_string()).map_err(|_| TransportError::Request)?;
        if !is_secure(&url) {
            return Err(TransportError::Request);
        }
        let request = reqwest::Request::try_from(request).map_err(|_| TransportError::Request)?;
        let mut response = self.client.execute(request).await.map_err(|error| classify(&error))?;
        let too_large = TransportError::TooLarge { limit: self.max_body };
        if response.content_length().is_some_and(|length| length > self.max_body as u64) {
            return Err(too_large);
        }
        let mut answer = http::Response::builder().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            std::mem::swap(headers, response.headers_mut());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| TransportError::Broken)? {
            if body.len() + chunk.len() > self.max_body {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        answer.body(body).map_err(|_| TransportError::Broken)
    }
}

impl Transport for ReqwestTransport {
    fn send(&self, request: http::Request<Vec<u8>>) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        Box::pin(self.answer(request))
    }
}

/// What a failure means for the request: only a failure to connect proves that nothing was sent.
fn classify(error: &reqwest::Error) -> TransportError {
    if is_untrusted(error) {
        TransportError::Untrusted
    } else if error.is_connect() {
        TransportError::Unreachable
    } else if error.is_builder() {
        TransportError::Request
    } else {
        TransportError::Broken
    }
}

/// Whether a refused certificate is somewhere in the chain of causes. An `io::Error` hides its cause from `source`.
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
