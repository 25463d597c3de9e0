//! What the SDK puts around every transport: what a host's HTTP stack must not undo.
//!
//! A request goes to https or to this machine, names no user in its URL, and ends in time. An
//! answer is no larger than its limit and comes from where it was asked for. That a token goes to
//! no other origin is decided where it is put on a request, in `connect`.

use crate::environment::{
    BoxFuture, Clock, Deadline, Environment, FinalUrl, Redirects, Timer, Transport, TransportError,
};
use crate::smart::is_secure;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use url::Url;

/// A timer may stand still while the device sleeps: the clock, which does not, is looked at this
/// often.
const LOOK_AT_THE_CLOCK: Duration = Duration::from_secs(5);

/// What a request and its answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Time from the first byte sent to the last byte read.
    pub time: Duration,
    /// Bytes of the answer's body.
    pub body: usize,
}

impl Default for RequestLimits {
    /// A minute and 16 MiB.
    fn default() -> Self {
        Self { time: Duration::from_mins(1), body: 16 << 20 }
    }
}

/// A transport behind the guard.
pub struct Guard {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    limits: RequestLimits,
}

impl Guard {
    /// A guard around `transport`.
    pub fn new(
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        timer: Arc<dyn Timer>,
        limits: RequestLimits,
    ) -> Self {
        Self { transport, clock, timer, limits }
    }

    /// `environment` with a guard around its transport.
    pub fn around(environment: Environment, limits: RequestLimits) -> Environment {
        let (clock, timer) = (Arc::clone(&environment.clock), Arc::clone(&environment.timer));
        let guard = Self::new(Arc::clone(&environment.transport), clock, timer, limits);
        Environment { transport: Arc::new(guard), ..environment }
    }

    async fn answer(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        let asked = admitted(request.uri())?;
        let sent = self.transport.send(request);
        let answer = self.in_time(sent).await.unwrap_or(Err(TransportError::Broken))?;
        if answer.body().len() > self.limits.body {
            return Err(TransportError::TooLarge { limit: self.limits.body });
        }
        came_from(&answer, asked, self.transport.redirects())?;
        Ok(answer)
    }

    /// What `work` gives; `None` if it took too long, and was dropped.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let deadline = Deadline::after(self.clock.as_ref(), self.limits.time);
        let mut work = pin!(work);
        loop {
            let left = deadline.left(self.clock.monotonic());
            if left.is_zero() {
                return None;
            }
            let mut pause = self.timer.sleep(left.min(LOOK_AT_THE_CLOCK));
            let done = std::future::poll_fn(|context| match work.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => pause.as_mut().poll(context).map(|()| None),
            });
            if let Some(done) = done.await {
                return Some(done);
            }
        }
    }
}

impl Transport for Guard {
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

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The URL of a request that may be sent.
fn admitted(uri: &http::Uri) -> Result<Url, TransportError> {
    let url = Url::parse(&uri.to_string()).map_err(|_| TransportError::Request)?;
    let names_user = !url.username().is_empty() || url.password().is_some();
    if names_user || !is_secure(&url) {
        return Err(TransportError::Request);
    }
    Ok(url)
}

/// Refuses an answer from elsewhere, and one that does not say where it is from although its
/// transport may follow redirects.
fn came_from(
    answer: &http::Response<Vec<u8>>,
    mut asked: Url,
    redirects: Redirects,
) -> Result<(), TransportError> {
    let Some(FinalUrl(url)) = answer.extensions().get() else {
        return match redirects {
            Redirects::Refused => Ok(()),
            Redirects::Told => Err(TransportError::Redirected),
        };
    };
    let mut url = Url::parse(url).map_err(|_| TransportError::Redirected)?;
    // Fragments are not sent; some stacks leave them out.
    asked.set_fragment(None);
    url.set_fragment(None);
    if url == asked { Ok(()) } else { Err(TransportError::Redirected) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Waker};

    const ASKED: &str = "https://ehr.example/fhir/Patient/1?_format=json";

    /// What a transport does with a request.
    #[derive(Clone)]
    struct Stack {
        redirects: Redirects,
        from: Option<&'static str>,
        bytes: usize,
        answers: bool,
        sent: Arc<AtomicUsize>,
        /// Requests under way.
        open: Arc<()>,
    }

    impl Default for Stack {
        fn default() -> Self {
            Self {
                redirects: Redirects::Refused,
                from: None,
                bytes: 0,
                answers: true,
                sent: Arc::default(),
                open: Arc::default(),
            }
        }
    }

    impl Transport for Stack {
        fn send(
            &self,
            _: http::Request<Vec<u8>>,
        ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
            self.sent.fetch_add(1, Ordering::Relaxed);
            let open = Arc::clone(&self.open);
            Box::pin(async move {
                if !self.answers {
                    std::future::pending::<()>().await;
                }
                let mut answer = http::Response::new(vec![b' '; self.bytes]);
                if let Some(url) = self.from {
                    answer.extensions_mut().insert(FinalUrl(url.to_owned()));
                }
                drop(open);
                Ok(answer)
            })
        }

        fn redirects(&self) -> Redirects {
            self.redirects
        }
    }

    /// Time that a sleep moves, by more than it was asked for if the device sleeps then.
    #[derive(Clone, Default)]
    struct Virtual {
        now: Arc<Mutex<Duration>>,
        sleeps: Arc<Mutex<Vec<Duration>>>,
        suspended_for: Duration,
    }

    impl Clock for Virtual {
        fn now(&self) -> DateTime<Utc> {
            DateTime::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            *self.now.lock().unwrap()
        }
    }

    impl Timer for Virtual {
        fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
            let this = self.clone();
            Box::pin(async move {
                *this.now.lock().unwrap() += wait + this.suspended_for;
                this.sleeps.lock().unwrap().push(wait);
            })
        }
    }

    fn sent_by(stack: &Stack, time: &Virtual, url: &str) -> Result<usize, TransportError> {
        let limits = RequestLimits { time: Duration::from_secs(12), body: 1000 };
        let (clock, timer) = (Arc::new(time.clone()), Arc::new(time.clone()));
        let guard = Guard::new(Arc::new(stack.clone()), clock, timer, limits);
        let mut sent = guard.send(http::Request::get(url).body(Vec::new()).unwrap());
        match sent.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer.map(|answer| answer.body().len()),
            Poll::Pending => panic!("virtual time never waits"),
        }
    }

    fn sent(stack: &Stack, url: &str) -> Result<usize, TransportError> {
        sent_by(stack, &Virtual::default(), url)
    }

    #[test]
    fn only_https_and_this_machine_are_reached_and_no_user_is_named() {
        let stack = Stack::default();
        for url in [
            "http://ehr.example/fhir",
            "http://192.0.2.1/fhir",
            "http://localhost.ehr.example/fhir",
            "ftp://127.0.0.1/",
            "/fhir",
            "https://user@ehr.example/fhir",
            "https://user:password@ehr.example/fhir",
        ] {
            assert_eq!(sent(&stack, url), Err(TransportError::Request), "{url}");
        }
        assert_eq!(stack.sent.load(Ordering::Relaxed), 0, "none was sent");
        for url in [ASKED, "http://127.0.0.1:8080/", "http://[::1]/", "http://localhost/"] {
            assert_eq!(sent(&stack, url), Ok(0), "{url}");
        }
    }

    #[test]
    fn an_answer_from_another_url_is_refused() {
        for (from, expected) in [
            (ASKED, Ok(0)),
            ("HTTPS://EHR.EXAMPLE:443/fhir/Patient/1?_format=json", Ok(0)),
            ("https://ehr.example/fhir/Patient/1?_format=json#top", Ok(0)),
            ("https://ehr.example/fhir/Patient/2?_format=json", Err(TransportError::Redirected)),
            ("https://ehr.example/fhir/Patient/1", Err(TransportError::Redirected)),
            ("https://other.example/fhir/Patient/1?_format=json", Err(TransportError::Redirected)),
            ("http://ehr.example/fhir/Patient/1?_format=json", Err(TransportError::Redirected)),
            ("no url", Err(TransportError::Redirected)),
        ] {
            for redirects in [Redirects::Told, Redirects::Refused] {
                let stack = Stack { redirects, from: Some(from), ..Stack::default() };
                assert_eq!(sent(&stack, ASKED), expected, "{from}");
            }
        }
    }

    #[test]
    fn a_stack_that_may_follow_redirects_must_say_where_its_answer_is_from() {
        let silent = Stack { redirects: Redirects::Told, ..Stack::default() };
        assert_eq!(sent(&silent, ASKED), Err(TransportError::Redirected));
        assert_eq!(sent(&Stack::default(), ASKED), Ok(0));
    }

    #[test]
    fn an_answer_over_the_size_limit_is_refused() {
        let stack = Stack { bytes: 1000, ..Stack::default() };
        assert_eq!(sent(&stack, ASKED), Ok(1000));
        let stack = Stack { bytes: 1001, ..Stack::default() };
        assert_eq!(sent(&stack, ASKED), Err(TransportError::TooLarge { limit: 1000 }));
    }

    #[test]
    fn a_request_without_an_answer_is_ended_at_its_deadline() {
        let (stack, time) = (Stack { answers: false, ..Stack::default() }, Virtual::default());
        assert_eq!(sent_by(&stack, &time, ASKED), Err(TransportError::Broken));
        assert_eq!(time.monotonic(), Duration::from_secs(12));
        assert_eq!(*time.sleeps.lock().unwrap(), [5, 5, 2].map(Duration::from_secs));
        assert_eq!(Arc::strong_count(&stack.open), 1, "the request was dropped");
    }

    #[test]
    fn a_suspension_counts_against_the_deadline() {
        let stack = Stack { answers: false, ..Stack::default() };
        let time = Virtual { suspended_for: Duration::from_hours(1), ..Virtual::default() };
        assert_eq!(sent_by(&stack, &time, ASKED), Err(TransportError::Broken));
        assert_eq!(time.sleeps.lock().unwrap().len(), 1);
    }
}
