//! The host's own HTTP stack: a request is started here and completed later, from any thread.

use super::host::HostError;
use super::records::{count, hidden};
use crate::environment::TransportError;
use crate::transport::{self, Completion, HostAnswer};
use std::sync::Arc;
use std::time::Duration;

hidden!(HttpHeader, HttpRequest, HttpResponse);

/// One header. Its value may be a secret.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct HttpHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A request to send: once, and following no redirect.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct HttpRequest {
    /// Its number, unique in this process.
    pub id: i64,
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The headers.
    pub headers: Vec<HttpHeader>,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
    /// Time from the first byte sent to the last byte read.
    pub timeout: Duration,
    /// Bytes the answer's body may have.
    pub max_response_bytes: i64,
}

/// What was read.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: i32,
    /// The URL it was finally read from.
    pub url: String,
    /// The headers.
    pub headers: Vec<HttpHeader>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why no response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum HttpFailure {
    /// No connection: offline, name not found, refused. Nothing was sent.
    Unreachable,
    /// The connection broke or timed out after the request was on its way.
    Broken,
    /// The receiver's certificate is not trusted.
    Untrusted,
    /// More bytes than the response may have.
    TooLarge,
    /// The request cannot be made. Nothing was sent.
    Request,
}

/// Takes what becomes of one request. Only the first call counts; dropped unused it counts as a
/// broken connection.
#[derive(Debug, uniffi::Object)]
pub struct HttpCompletion {
    completion: Completion,
    limit: usize,
}

#[uniffi::export]
impl HttpCompletion {
    /// The request was answered, with any status.
    pub fn answered(&self, response: HttpResponse) {
        let Ok(status) = u16::try_from(response.status) else {
            return self.completion.failed(TransportError::Broken);
        };
        let headers = response.headers.into_iter().map(|header| (header.name, header.value));
        self.completion.answered(HostAnswer {
            status,
            url: response.url,
            headers: headers.collect(),
            body: response.body,
        });
    }

    /// The request failed.
    pub fn failed(&self, failure: HttpFailure) {
        self.completion.failed(match failure {
            HttpFailure::Unreachable => TransportError::Unreachable,
            HttpFailure::Broken => TransportError::Broken,
            HttpFailure::Untrusted => TransportError::Untrusted,
            HttpFailure::TooLarge => TransportError::TooLarge { limit: self.limit },
            HttpFailure::Request => TransportError::Request,
        });
    }
}

/// An HTTP stack that the host brings: the platform decides on trust.
#[uniffi::export(foreign)]
pub trait HostTransport: Send + Sync {
    /// Starts a request and returns at once. `completion` takes what becomes of it.
    fn start(&self, request: HttpRequest, completion: Arc<HttpCompletion>)
    -> Result<(), HostError>;

    /// Nobody waits for this request any more: end it if it still runs, and return at once.
    fn cancel(&self, id: i64) -> Result<(), HostError>;
}

/// A host's stack as the SDK has it.
pub(super) struct ForeignTransport(pub(super) Arc<dyn HostTransport>);

impl transport::HostTransport for ForeignTransport {
    fn start(
        &self,
        request: transport::HostRequest,
        completion: Completion,
    ) -> Result<(), TransportError> {
        let limit = request.limits.body;
        let headers = request.headers.into_iter().map(|(name, value)| HttpHeader { name, value });
        let request = HttpRequest {
            id: count(request.id),
            method: request.method,
            url: request.url,
            headers: headers.collect(),
            body: request.body,
            timeout: request.limits.time,
            max_response_bytes: count(limit),
        };
        // Whether a stack that failed to start has sent anything, nobody knows.
        self.0
            .start(request, Arc::new(HttpCompletion { completion, limit }))
            .map_err(|_| TransportError::Broken)
    }

    fn cancel(&self, id: u64) {
        // It may end by itself all the same.
        let _ = self.0.cancel(count(id));
    }
}
