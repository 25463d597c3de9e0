//! Steps the machine: gives it tokens, the network and time, and tells what happens. Every decision
//! is the machine's.

use super::account::Account;
use super::batch::Outgoing;
use super::look_up::LookUp;
use super::machine::{Machine, Moment, Step};
use crate::connect::{AccessToken, Connector};
use crate::environment::{
    Deadline, Environment, EnvironmentError, Lock, LockFolder, Timer, TransportError,
};
use crate::error::Error;
use crate::store::{ConnectionId, ConnectionState, StoreHandle, SubmissionId, SubmissionState};
use crate::submission::{
    Answer, LookedUp, NoAnswer, Policy, Response, RetryAfter, Tally, WaitReason,
};
use chrono::{DateTime, TimeDelta, Utc};
use http::header;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How long another delivery of the same connection is waited for by a verification.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);

/// What happens during a delivery, for a progress display. Carries no data of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A request is on its way.
    Sending {
        /// Its submission.
        submission: SubmissionId,
        /// Entries in it.
        entries: usize,
    },
    /// An answer was written down.
    Progress {
        /// The submission it is of.
        submission: SubmissionId,
        /// What this call delivered so far, for whichever submission.
        tally: Tally,
        /// Entries this call has to deliver in all: never fewer than have an outcome.
        total: u64,
    },
    /// Nothing can be sent before this instant.
    Waiting {
        /// When it goes on.
        until: DateTime<Utc>,
        /// Why.
        reason: WaitReason,
    },
    /// The receiver was asked for more of what it accepted.
    Verifying {
        /// The submission.
        submission: SubmissionId,
        /// Entries that were looked for so far.
        done: u64,
        /// Entries to look for in all.
        total: u64,
    },
}

/// Hears what happens during a delivery.
pub type OnEvent = dyn Fn(Event) + Send + Sync;

/// Why a delivery stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing is left to send.
    Finished,
    /// The time given is over, or does not suffice; it goes on at this instant at the earliest.
    WaitUntil {
        /// The instant.
        until: DateTime<Utc>,
        /// Why.
        reason: WaitReason,
    },
    /// The connection cannot go on by itself.
    Blocked(ConnectionState),
}

/// What a delivery did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Why it stopped.
    pub stopped: Stopped,
    /// What it delivered, for whichever submission of the connection.
    pub tally: Tally,
    /// The part of it that is not of the submissions it was asked for.
    pub others: Tally,
}

/// What a delivery works with.
#[derive(Clone)]
pub struct Delivery {
    pub(super) store: StoreHandle,
    pub(super) environment: Environment,
    pub(super) connector: Connector,
    locks: LockFolder,
}

impl Delivery {
    /// A delivery over these.
    pub const fn new(
        store: StoreHandle,
        environment: Environment,
        connector: Connector,
        locks: LockFolder,
    ) -> Self {
        Self { store, environment, connector, locks }
    }

    /// Delivers what a connection's outbox holds until `deadline`, or until the submissions `only`
    /// are done, if any are named.
    ///
    /// Dropping the future stops it where it is: the same as a kill, and as safe.
    ///
    /// # Errors
    /// [`Error`] if the store, the vault or the lock fails. What was sent stays written down.
    pub async fn run(
        &self,
        connection: ConnectionId,
        only: &[SubmissionId],
        deadline: Deadline,
        on_event: &OnEvent,
    ) -> Result<Run, Error> {
        let asked = only.to_vec();
        let account = self.store.call(move |store| Account::open(store, connection, asked)).await?;
        let mut work = Work {
            delivery: self,
            connection,
            machine: Machine::new(connection),
            account: Arc::new(account),
            deadline,
            token: None,
            on_event,
        };
        let stopped = work.deliver().await?;
        let account = Arc::clone(&work.account);
        let counted = self.store.call(move |store| Ok::<_, Error>(account.count(store))).await?;
        Ok(Run { stopped, tally: counted.all, others: counted.others })
    }

    /// The lock of a connection's requests, waited for a while.
    pub(super) async fn lock(&self, connection: ConnectionId) -> Result<Lock, Error> {
        let deadline = Deadline::after(self.environment.clock.as_ref(), LOCK_PATIENCE);
        let lock = self.acquire(connection, deadline).await?;
        lock.ok_or_else(|| EnvironmentError::LockHeld.into())
    }

    /// One delivery of a connection at a time, whichever process or task it runs in.
    async fn acquire(
        &self,
        connection: ConnectionId,
        deadline: Deadline,
    ) -> Result<Option<Lock>, Error> {
        Ok(self.locks.acquire(&format!("send-{}", connection.0), deadline).await?)
    }

    /// Sends a request with `token`, and reads the answer within `timeout`.
    async fn exchange(
        &self,
        token: &AccessToken,
        request: http::Request<Vec<u8>>,
        timeout: Duration,
    ) -> Answer {
        let Ok(request) = token.authorised_request(request) else {
            return Answer::None(NoAnswer::NotMade);
        };
        let clock = &self.environment.clock;
        let begun = clock.monotonic();
        let sent = self.environment.transport.send(request);
        match within(self.environment.timer.as_ref(), timeout, sent).await {
            Some(Ok(response)) => {
                let took = clock.monotonic().saturating_sub(begun);
                Answer::Response(Response {
                    status: response.status().as_u16(),
                    retry_after: RetryAfter::of(response.headers()),
                    body: response.into_body(),
                    took: TimeDelta::from_std(took).unwrap_or(TimeDelta::MAX),
                })
            }
            Some(Err(error)) => Answer::None(match error {
                TransportError::Unreachable | TransportError::Untrusted => NoAnswer::NotArrived,
                TransportError::Broken | TransportError::Redirected => NoAnswer::Lost,
                TransportError::TooLarge { .. } => NoAnswer::TooLarge,
                TransportError::Request => NoAnswer::NotMade,
            }),
            None => Answer::None(NoAnswer::Lost),
        }
    }

    pub(super) fn jitter(&self) -> Result<u32, Error> {
        let mut bytes = [0; 4];
        self.environment.entropy.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

/// A delivery under way.
struct Work<'a> {
    delivery: &'a Delivery,
    connection: ConnectionId,
    machine: Machine,
    account: Arc<Account>,
    deadline: Deadline,
    token: Option<AccessToken>,
    on_event: &'a OnEvent,
}

/// What follows a step.
enum Next {
    Step,
    Stop(Stopped),
    /// Nothing before this instant.
    Wait(DateTime<Utc>, WaitReason),
}

impl Work<'_> {
    async fn deliver(&mut self) -> Result<Stopped, Error> {
        let environment = &self.delivery.environment;
        loop {
            // Work on a blocking thread outlives a dropped future: it keeps the lock until it is
            // done. Nothing is locked while waiting.
            let lock = self.delivery.acquire(self.connection, self.deadline).await?;
            let Some(lock) = lock.map(Arc::new) else {
                let until = environment.clock.now();
                return Ok(Stopped::WaitUntil { until, reason: WaitReason::OutOfTime });
            };
            let (until, reason) = loop {
                match self.step(&lock).await? {
                    Next::Step => {}
                    Next::Stop(stopped) => return Ok(stopped),
                    Next::Wait(until, reason) => break (until, reason),
                }
            };
            drop(lock);
            let wait = (until - environment.clock.now()).to_std().unwrap_or_default();
            let least = Policy::default().least_request.to_std().unwrap_or_default();
            let needed = wait.saturating_add(least);
            if reason == WaitReason::OutOfTime
                || !self.deadline.allows(environment.clock.monotonic(), needed)
            {
                return Ok(Stopped::WaitUntil { until, reason });
            }
            (self.on_event)(Event::Waiting { until, reason });
            environment.timer.sleep(wait).await;
        }
    }

    async fn step(&mut self, lock: &Arc<Lock>) -> Result<Next, Error> {
        if self.is_done().await? {
            return Ok(Next::Stop(Stopped::Finished));
        }
        let clock = &self.delivery.environment.clock;
        let at = Moment { now: clock.now(), monotonic: clock.monotonic() };
        let (mut machine, deadline, held) = (self.machine, self.deadline, Arc::clone(lock));
        let stepped = self.delivery.store.call(move |store| {
            let step = machine.next(store, at, deadline).map(|step| (machine, step));
            drop(held);
            step
        });
        let (machine, step) = stepped.await?;
        self.machine = machine;
        Ok(match step {
            Step::Idle => Next::Stop(Stopped::Finished),
            Step::Blocked(state) => Next::Stop(Stopped::Blocked(state)),
            Step::WaitUntil { until, reason } => Next::Wait(until, reason),
            Step::Token { refused } => self.get_token(refused).await?,
            Step::Send(outgoing) => {
                self.send(lock, *outgoing).await?;
                Next::Step
            }
            Step::LookUp(look_up) => {
                self.look_up(lock, *look_up).await?;
                Next::Step
            }
        })
    }

    /// Whether the submissions that were asked for are done.
    async fn is_done(&self) -> Result<bool, Error> {
        if self.account.asked().is_empty() {
            return Ok(false);
        }
        let account = Arc::clone(&self.account);
        let done = self.delivery.store.call(move |store| {
            for id in account.asked() {
                if store.submission(*id)?.state == SubmissionState::Open {
                    return Ok(false);
                }
            }
            Ok::<_, Error>(true)
        });
        done.await
    }

    /// Gets the token for the next request: before anything is claimed for it.
    async fn get_token(&mut self, refused: bool) -> Result<Next, Error> {
        let (connector, environment) = (&self.delivery.connector, &self.delivery.environment);
        let left = self.deadline.left(environment.clock.monotonic());
        let got = async {
            match self.token.as_ref().filter(|_| refused) {
                Some(rejected) => connector.refresh_after_401(self.connection, rejected).await,
                None => connector.access_token(self.connection).await,
            }
        };
        let until = match within(environment.timer.as_ref(), left, got).await {
            Some(Ok(token)) => {
                self.token = Some(token);
                self.machine.token_ready();
                return Ok(Next::Step);
            }
            // A refresh under way goes on by itself, and is found in the vault the next time.
            None => return Ok(Next::Wait(environment.clock.now(), WaitReason::OutOfTime)),
            Some(Err(error)) => {
                if error.blocks().is_some() {
                    let id = self.connection;
                    let connection = self.delivery.store.call(move |s| s.connection(id)).await?;
                    if connection.state == ConnectionState::Active {
                        return Err(error.into());
                    }
                    return Ok(Next::Stop(Stopped::Blocked(connection.state)));
                }
                let until = error.retry_at();
                let error = Error::from(error);
                if !error.retryable() {
                    return Err(error);
                }
                until
            }
        };
        let (now, jitter) = (environment.clock.now(), self.delivery.jitter()?);
        let mut machine = self.machine;
        let noted = move |store: &mut crate::store::Store| {
            machine.no_token(store, now, jitter, until).map(|()| machine)
        };
        self.machine = self.delivery.store.call(noted).await?;
        Ok(Next::Step)
    }

    async fn send(&mut self, lock: &Arc<Lock>, outgoing: Outgoing) -> Result<(), Error> {
        let (batch, submission) = (outgoing.batch, outgoing.submission);
        // Drawn before the send: an answer is never lost for lack of randomness.
        let jitter = self.delivery.jitter()?;
        (self.on_event)(Event::Sending { submission, entries: outgoing.entries });
        let timeout = outgoing.timeout;
        let answer = match (request(outgoing), &self.token) {
            (Ok(request), Some(token)) => self.delivery.exchange(token, request, timeout).await,
            _ => Answer::None(NoAnswer::NotMade),
        };
        let now = self.delivery.environment.clock.now();
        let (mut machine, held) = (self.machine, Arc::clone(lock));
        let account = Arc::clone(&self.account);
        let applied = self.delivery.store.call(move |store| {
            let applied = machine.apply(store, now, jitter, batch, &answer);
            drop(held);
            applied?;
            Ok::<_, Error>((machine, account.count(store)))
        });
        let (machine, counted) = applied.await?;
        self.machine = machine;
        let total = self.account.expected().max(counted.all.entries.total());
        (self.on_event)(Event::Progress { submission, tally: counted.all, total });
        Ok(())
    }

    /// Searches for what was sent with unknown outcome.
    async fn look_up(&mut self, lock: &Arc<Lock>, mut look_up: LookUp) -> Result<(), Error> {
        let (batch, jitter) = (look_up.batch, self.delivery.jitter()?);
        let clock = Arc::clone(&self.delivery.environment.clock);
        let longest = Policy::default().request_timeout.to_std().unwrap_or_default();
        let looked_up = loop {
            let request = look_up.request()?;
            let Some(token) = &self.token else { break LookedUp::Failed(None) };
            let timeout = self.deadline.left(clock.monotonic()).min(longest);
            let answer = match self.delivery.exchange(token, request, timeout).await {
                Answer::Response(response) => response,
                Answer::None(NoAnswer::NotMade) => break LookedUp::Impossible,
                Answer::None(_) => break LookedUp::Failed(None),
            };
            let Response { status, retry_after, body, .. } = answer;
            if let Some(looked_up) = look_up.answer(status, retry_after, &body) {
                break looked_up;
            }
        };
        let now = clock.now();
        let (mut machine, held) = (self.machine, Arc::clone(lock));
        let written = self.delivery.store.call(move |store| {
            let written = machine.looked_up(store, now, jitter, batch, &looked_up);
            drop(held);
            written.map(|()| machine)
        });
        self.machine = written.await?;
        Ok(())
    }
}

fn request(outgoing: Outgoing) -> Result<http::Request<Vec<u8>>, http::Error> {
    let mut request = http::Request::post(&outgoing.url)
        .header(header::CONTENT_TYPE, "application/fhir+json")
        .header(header::ACCEPT, "application/fhir+json");
    if outgoing.gzip {
        request = request.header(header::CONTENT_ENCODING, "gzip");
    }
    request.body(outgoing.body)
}

/// What `work` comes to within `limit`; `None` if it does not end in time, and is dropped.
async fn within<T>(timer: &dyn Timer, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut over) = (pin!(work), timer.sleep(limit));
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        over.as_mut().poll(context).map(|()| None)
    })
    .await
}
