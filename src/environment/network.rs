//! The network as the environment brings it: one request, one answer.

use super::BoxFuture;

/// Sends one HTTP request.
///
/// The SDK puts a guard around every transport: it refuses plain HTTP beyond this machine, ends a
/// request that takes too long, and takes no answer that is too large or came from elsewhere.
pub trait Transport: Send + Sync {
    /// Sends `request` once and reads the whole response. Dropping the future ends the request.
    ///
    /// # Errors
    /// [`TransportError`]; a status of 300 and above is a response, not an error.
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>>;

    /// What becomes of a redirect.
    fn redirects(&self) -> Redirects;
}

/// What a [`Transport`] does about redirects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// None is followed: it is the answer.
    Refused,
    /// The HTTP stack may follow them: every answer carries a [`FinalUrl`].
    Told,
}

/// The URL an answer was finally read from, among the response's extensions.
///
/// # Example
/// ```
/// use cgm_submitter::environment::FinalUrl;
///
/// let mut response = http::Response::new(Vec::<u8>::new());
/// response.extensions_mut().insert(FinalUrl("https://ehr.example/fhir".to_owned()));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct FinalUrl(pub String);

impl std::fmt::Debug for FinalUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A query may name a patient.
        f.write_str("FinalUrl(…)")
    }
}

/// Why no response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection: offline, name not found, refused.
    #[error("no connection to the receiver")]
    Unreachable,
    /// The connection broke or timed out after the request was on its way: the receiver may have
    /// acted on it.
    #[error("the connection to the receiver broke before its answer was complete")]
    Broken,
    /// The receiver's certificate is not trusted.
    #[error("the receiver's certificate is not trusted on this device")]
    Untrusted,
    /// More bytes than a response may have.
    #[error("the receiver's answer is larger than {limit} bytes")]
    TooLarge {
        /// The cap.
        limit: usize,
    },
    /// The HTTP stack followed a redirect: what it answered is another place's answer, and the
    /// receiver may have acted on the request.
    #[error("the app's HTTP stack followed a redirect: set it up to follow none")]
    Redirected,
    /// The request could not be made.
    #[error("the request could not be made")]
    Request,
}
