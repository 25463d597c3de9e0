//! A network that answers from a script.

use crate::environment::{BoxFuture, Redirects, Transport, TransportError};
use std::sync::{Mutex, PoisonError};

type Request = http::Request<Vec<u8>>;
type Answer = Result<http::Response<Vec<u8>>, TransportError>;

/// Answers each request by a function, and remembers the requests.
pub struct ScriptedTransport {
    script: Box<dyn Fn(&Request) -> Answer + Send + Sync>,
    sent: Mutex<Vec<Request>>,
}

impl ScriptedTransport {
    /// A network that answers as `script` says.
    pub fn new(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self { script: Box::new(script), sent: Mutex::default() }
    }

    /// The requests so far.
    pub fn sent(&self) -> Vec<Request> {
        self.with(|sent| sent.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<Request>) -> T) -> T {
        work(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Transport for ScriptedTransport {
    fn send(&self, request: Request) -> BoxFuture<'_, Answer> {
        let answer = (self.script)(&request);
        self.with(|sent| sent.push(request));
        Box::pin(std::future::ready(answer))
    }

    fn redirects(&self) -> Redirects {
        Redirects::Refused
    }
}

impl std::fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScriptedTransport")
    }
}

/// An answer with a JSON body.
///
/// # Errors
/// [`TransportError::Broken`] if `status` is no HTTP status.
pub fn answer(status: u16, json: &str) -> Answer {
    http::Response::builder()
        .status(status)
        .header("content-type", "application/fhir+json")
        .body(json.as_bytes().to_vec())
        .map_err(|_| TransportError::Broken)
}
