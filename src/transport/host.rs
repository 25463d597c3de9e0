//! The host's own HTTP stack as a transport: a request is started, and completed later from any
//! thread.
//!
//! On phones the platform decides on trust: hospital roots, pinning, proxies. The trait is
//! synchronous, so that it can cross the border. Whatever the host does or does not do, a request
//! ends once: the first completion counts, a completion that is dropped unused is a broken
//! connection, and the guard ends what is never completed.

use super::RequestLimits;
use crate::blocking::{Work, blocking};
use crate::environment::{BoxFuture, FinalUrl, Redirects, Transport, TransportError};
use http::{HeaderName, HeaderValue, StatusCode};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A request for the host to send: once, and following no redirect.
#[derive(Clone)]
pub struct HostRequest {
    /// Its number, unique in this process.
    pub id: u64,
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
    /// What it and its answer may take.
    pub limits: RequestLimits,
}

/// What a host read.
#[derive(Clone)]
pub struct HostAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The URL it was finally read from.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for HostRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostRequest").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for HostAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// An HTTP stack that the host brings.
pub trait HostTransport: Send + Sync {
    /// Starts a request and returns at once. `completion` takes what becomes of it, later and from
    /// any thread.
    ///
    /// # Errors
    /// [`TransportError`] if it cannot be started.
    fn start(&self, request: HostRequest, completion: Completion) -> Result<(), TransportError>;

    /// Nobody waits for this request any more: end it if it still runs, and return at once. It
    /// may have been completed, never started, or cancelled before.
    fn cancel(&self, id: u64);
}

type Outcome = Result<HostAnswer, TransportError>;

/// Takes what becomes of one request. Only the first call counts.
pub struct Completion(Mutex<Option<oneshot::Sender<Outcome>>>);

impl Completion {
    /// The request was answered, with any status.
    pub fn answered(&self, answer: HostAnswer) {
        self.complete(Ok(answer));
    }

    /// The request failed.
    pub fn failed(&self, error: TransportError) {
        self.complete(Err(error));
    }

    fn complete(&self, outcome: Outcome) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiting) = waiting {
            // Whoever waited may have gone: the outcome is nobody's then.
            let _ = waiting.send(outcome);
        }
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Completion")
    }
}

/// The host's stack, as the SDK's transport.
pub struct HostedTransport {
    host: Arc<dyn HostTransport>,
    limits: RequestLimits,
}

impl HostedTransport {
    /// A transport over the host's stack.
    pub fn new(host: Arc<dyn HostTransport>, limits: RequestLimits) -> Self {
        Self { host, limits }
    }

    async fn answer(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        let request = self.outgoing(request)?;
        let (completed, outcome) = oneshot::channel();
        let completion = Completion(Mutex::new(Some(completed)));
        let mut under_way = UnderWay::new(request.id, &self.host);
        let (host, abandoned) = (Arc::clone(&self.host), Arc::clone(&under_way.abandoned));
        // On a thread that may block: the host's code is not known, and others wait for this one.
        let start = move || start(host.as_ref(), request, completion, &abandoned);
        let outcome = match blocking(start, |_| Err(TransportError::Broken)).await {
            Ok(()) => outcome.await.unwrap_or(Err(TransportError::Broken)),
            Err(error) => Err(error),
        };
        under_way.host = None;
        response(outcome?, self.limits.body)
    }

    fn outgoing(&self, request: http::Request<Vec<u8>>) -> Result<HostRequest, TransportError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (head, body) = request.into_parts();
        let headers = head.headers.iter().map(|(name, value)| {
            let value = value.to_str().map_err(|_| TransportError::Request)?;
            Ok((name.as_str().to_owned(), value.to_owned()))
        });
        Ok(HostRequest {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            method: head.method.as_str().to_owned(),
            url: head.uri.to_string(),
            headers: headers.collect::<Result<_, TransportError>>()?,
            body,
            limits: self.limits,
        })
    }
}

impl Transport for HostedTransport {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        Box::pin(self.answer(request))
    }

    fn redirects(&self) -> Redirects {
        Redirects::Told
    }
}

impl fmt::Debug for HostedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostedTransport").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A request that the host is told to end if it is no longer waited for.
struct UnderWay {
    id: u64,
    /// `None` once it ended.
    host: Option<Arc<dyn HostTransport>>,
    /// Nobody waits any more.
    abandoned: Arc<AtomicBool>,
}

impl UnderWay {
    fn new(id: u64, host: &Arc<dyn HostTransport>) -> Self {
        Self { id, host: Some(Arc::clone(host)), abandoned: Arc::default() }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(host) = self.host.take() else { return };
        self.abandoned.store(true, Ordering::SeqCst);
        let cancel = Cancel { id: self.id, host };
        let cancel: Work = Box::new(move || drop(cancel));
        match Handle::try_current() {
            // A runtime that shuts down drops the closure, and the host hears of it all the same.
            Ok(runtime) => drop(runtime.spawn_blocking(cancel)),
            Err(_) => cancel(),
        }
    }
}

/// Tells the host when it is dropped.
struct Cancel {
    id: u64,
    host: Arc<dyn HostTransport>,
}

impl Drop for Cancel {
    fn drop(&mut self) {
        self.host.cancel(self.id);
    }
}

/// Starts a request, unless nobody waits for it any more. The wait may end while the host starts:
/// the host heard of it before it knew the request, and is told again.
fn start(
    host: &dyn HostTransport,
    request: HostRequest,
    completion: Completion,
    abandoned: &AtomicBool,
) -> Result<(), TransportError> {
    if abandoned.load(Ordering::SeqCst) {
        return Err(TransportError::Broken);
    }
    let id = request.id;
    host.start(request, completion)?;
    if abandoned.load(Ordering::SeqCst) {
        host.cancel(id);
    }
    Ok(())
}

/// The host's answer as the SDK's. A header that is none is left out.
fn response(answer: HostAnswer, limit: usize) -> Result<http::Response<Vec<u8>>, TransportError> {
    if answer.body.len() > limit {
        return Err(TransportError::TooLarge { limit });
    }
    let mut response = http::Response::new(answer.body);
    *response.status_mut() =
        StatusCode::from_u16(answer.status).map_err(|_| TransportError::Broken)?;
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response.extensions_mut().insert(FinalUrl(answer.url));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{SystemClock, SystemTimer};
    use crate::transport::Guard;
    use std::sync::mpsc;
    use std::time::Duration;

    /// A host that hands what it is given to the test.
    struct Host {
        started: mpsc::Sender<(HostRequest, Completion)>,
        cancelled: mpsc::Sender<u64>,
        refuses: Option<TransportError>,
    }

    impl HostTransport for Host {
        fn start(
            &self,
            request: HostRequest,
            completion: Completion,
        ) -> Result<(), TransportError> {
            if let Some(error) = self.refuses {
                return Err(error);
            }
            self.started.send((request, completion)).unwrap();
            Ok(())
        }

        fn cancel(&self, id: u64) {
            self.cancelled.send(id).unwrap();
        }
    }

    struct Phone {
        transport: HostedTransport,
        started: mpsc::Receiver<(HostRequest, Completion)>,
        cancelled: mpsc::Receiver<u64>,
    }

    fn phone(refuses: Option<TransportError>) -> Phone {
        let (started, starts) = mpsc::channel();
        let (cancelled, cancels) = mpsc::channel();
        let host = Arc::new(Host { started, cancelled, refuses });
        let limits = RequestLimits { body: 10, ..RequestLimits::default() };
        let transport = HostedTransport::new(host, limits);
        Phone { transport, started: starts, cancelled: cancels }
    }

    const URL: &str = "https://ehr.example/fhir";

    fn request() -> http::Request<Vec<u8>> {
        http::Request::post(URL).header("accept", "text/plain").body(b"ask".to_vec()).unwrap()
    }

    fn answer(body: &[u8]) -> HostAnswer {
        HostAnswer {
            status: 429,
            url: URL.to_owned(),
            headers: vec![
                ("Retry-After".to_owned(), "7".to_owned()),
                ("no header".to_owned(), "line\nbreak".to_owned()),
            ],
            body: body.to_vec(),
        }
    }

    type Answer = Result<http::Response<Vec<u8>>, TransportError>;

    /// What comes of a request whose completion `host` gets on a thread of its own.
    async fn completed_by(host: impl FnOnce(Completion) + Send + 'static) -> (Answer, Phone) {
        let mut phone = phone(None);
        let (nothing, started) = (mpsc::channel().1, &mut phone.started);
        let starts = std::mem::replace(started, nothing);
        std::thread::spawn(move || host(starts.recv().unwrap().1));
        let answer = phone.transport.send(request()).await;
        (answer, phone)
    }

    #[tokio::test]
    async fn a_request_is_handed_over_whole_and_completed_later_from_another_thread() {
        let (seen, saw) = mpsc::channel();
        let phone = phone(None);
        let starts = phone.started;
        std::thread::spawn(move || {
            let (request, completion) = starts.recv().unwrap();
            seen.send(request).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            completion.answered(answer(b"hi"));
        });
        let response = phone.transport.send(request()).await.unwrap();
        let seen = saw.recv().unwrap();
        assert_eq!((seen.method.as_str(), seen.url.as_str()), ("POST", URL));
        assert_eq!(seen.headers, [("accept".to_owned(), "text/plain".to_owned())]);
        assert_eq!((seen.body.as_slice(), seen.limits.body), (&b"ask"[..], 10));
        assert_eq!((response.status().as_u16(), response.body().as_slice()), (429, &b"hi"[..]));
        assert_eq!(response.headers().len(), 1, "a header that is none is left out");
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.extensions().get::<FinalUrl>().unwrap().0, URL);
        assert!(phone.cancelled.try_recv().is_err(), "what ended is not cancelled");
    }

    #[tokio::test]
    async fn of_two_completions_the_first_counts() {
        let (done, _) = completed_by(|completion| {
            completion.failed(TransportError::Untrusted);
            completion.answered(answer(b"late"));
        })
        .await;
        assert_eq!(done.err(), Some(TransportError::Untrusted));
    }

    #[tokio::test]
    async fn a_completion_that_is_dropped_unused_is_a_broken_connection() {
        let (done, phone) = completed_by(drop).await;
        assert_eq!(done.err(), Some(TransportError::Broken));
        assert!(phone.cancelled.try_recv().is_err());
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_or_no_answer_is_refused() {
        let (done, _) = completed_by(|completion| completion.answered(answer(&[0; 11]))).await;
        assert_eq!(done.err(), Some(TransportError::TooLarge { limit: 10 }));
        let unreal = HostAnswer { status: 7, ..answer(b"") };
        let (done, _) = completed_by(move |completion| completion.answered(unreal)).await;
        assert_eq!(done.err(), Some(TransportError::Broken));
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_started_fails_with_the_hosts_reason() {
        let phone = phone(Some(TransportError::Unreachable));
        let done = phone.transport.send(request()).await;
        assert_eq!(done.err(), Some(TransportError::Unreachable));
    }

    #[tokio::test]
    async fn a_request_nobody_waits_for_is_cancelled_and_its_completion_is_nobodys() {
        let phone = phone(None);
        let wait = Duration::from_millis(50);
        assert!(tokio::time::timeout(wait, phone.transport.send(request())).await.is_err());
        let (request, completion) = phone.started.recv().unwrap();
        let cancelled = tokio::task::spawn_blocking(move || phone.cancelled.recv().unwrap()).await;
        assert_eq!(cancelled.unwrap(), request.id);
        completion.answered(answer(b"late"));
        completion.failed(TransportError::Broken);
    }

    /// A host that nobody waits for any more once it has started a request.
    #[derive(Default)]
    struct Abandoning {
        abandoned: AtomicBool,
        calls: Mutex<Vec<&'static str>>,
    }

    impl HostTransport for Abandoning {
        fn start(&self, _: HostRequest, _: Completion) -> Result<(), TransportError> {
            self.calls.lock().unwrap().push("start");
            self.abandoned.store(true, Ordering::SeqCst);
            Ok(())
        }

        fn cancel(&self, _: u64) {
            self.calls.lock().unwrap().push("cancel");
        }
    }

    #[test]
    fn a_request_abandoned_before_it_starts_never_starts_and_one_abandoned_meanwhile_is_cancelled()
    {
        let host = Abandoning::default();
        let go = || {
            let request = phone(None).transport.outgoing(request()).unwrap();
            start(&host, request, Completion(Mutex::default()), &host.abandoned)
        };
        assert_eq!(go(), Ok(()));
        assert_eq!(*host.calls.lock().unwrap(), ["start", "cancel"]);
        assert_eq!(go(), Err(TransportError::Broken));
        assert_eq!(*host.calls.lock().unwrap(), ["start", "cancel"]);
    }

    #[tokio::test]
    async fn a_request_that_is_never_completed_ends_at_the_guards_deadline_and_is_cancelled() {
        let phone = phone(None);
        let limits = RequestLimits { time: Duration::from_millis(50), body: 10 };
        let guard = Guard::new(
            Arc::new(phone.transport),
            Arc::new(SystemClock),
            Arc::new(SystemTimer),
            limits,
        );
        assert_eq!(guard.send(request()).await.err(), Some(TransportError::Broken));
        let (request, _completion) = phone.started.recv().unwrap();
        let cancelled = tokio::task::spawn_blocking(move || phone.cancelled.recv().unwrap()).await;
        assert_eq!(cancelled.unwrap(), request.id);
    }
}
