//! Steps the machine: gives it tokens, the network and time, and tells what happens.

use super::batch::Outgoing;
use super::machine::{Answer, Machine, Step};
use crate::connect::{AccessToken, Connector, TokenError};
use crate::environment::{Environment, EnvironmentError, Lock, LockFolder, TransportError};
use crate::error::Error;
use crate::store::{ConnectionId, ConnectionState, StoreHandle, SubmissionId, SubmissionState};
use crate::submission::{RetryAfter, Tally};
use chrono::{DateTime, TimeDelta, Utc};
use http::header;
use std::sync::Arc;
use std::time::Duration;

/// How long another delivery of the same connection is waited for.
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
        /// The submission.
        submission: SubmissionId,
        /// Its account so far.
        tally: Tally,
    },
    /// Nothing can be sent before this instant.
    Waiting {
        /// When it goes on.
        until: DateTime<Utc>,
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

/// Why a delivery stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing is left to send.
    Finished,
    /// The time given is over; it goes on at this instant at the earliest.
    WaitUntil(DateTime<Utc>),
    /// The connection cannot go on by itself.
    Blocked(ConnectionState),
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

    /// Delivers what a connection's outbox holds, or until submission `only` is done, waiting at
    /// most `patience` in all.
    ///
    /// Dropping the future stops it where it is: the same as a kill, and as safe.
    ///
    /// # Errors
    /// [`Error`] where the store, the vault or the lock fails. What was sent stays written down.
    pub async fn run(
        &self,
        connection: ConnectionId,
        only: Option<SubmissionId>,
        patience: Duration,
        on_event: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<Stopped, Error> {
        // Work on a blocking thread outlives a dropped future: it keeps the lock until it is done.
        let lock = Arc::new(self.lock(connection).await?);
        let mut machine = Machine::new(connection);
        let mut used: Option<AccessToken> = None;
        let mut left = patience;
        loop {
            if let Some(id) = only
                && self.store.call(move |store| store.submission(id)).await?.state
                    != SubmissionState::Open
            {
                return Ok(Stopped::Finished);
            }
            let now = self.environment.clock.now();
            let held = Arc::clone(&lock);
            let step = self.store.call(move |store| {
                let step = machine.next(store, now);
                drop(held);
                step
            });
            match step.await? {
                Step::Idle => return Ok(Stopped::Finished),
                Step::Blocked(state) => return Ok(Stopped::Blocked(state)),
                Step::WaitUntil(until) => {
                    let wait = (until - now).to_std().unwrap_or_default();
                    if wait > left {
                        return Ok(Stopped::WaitUntil(until));
                    }
                    on_event(Event::Waiting { until });
                    left -= wait;
                    self.environment.timer.sleep(wait).await;
                }
                Step::Refresh => {
                    let refreshed = match &used {
                        Some(rejected) => {
                            self.connector.refresh_after_401(connection, rejected).await
                        }
                        None => self.connector.access_token(connection).await,
                    };
                    match refreshed {
                        Ok(_) => machine.refreshed(),
                        Err(error) => return self.without_token(error),
                    }
                }
                Step::Send(outgoing) => {
                    let (batch, submission) = (outgoing.batch, outgoing.submission);
                    // Drawn before the send: an answer is never lost for lack of randomness.
                    let jitter = self.jitter()?;
                    on_event(Event::Sending { submission, entries: outgoing.entries });
                    let (answer, no_token) = match self.connector.access_token(connection).await {
                        Ok(token) => (self.send(used.insert(token), *outgoing).await, None),
                        Err(error) => (Answer::NotSent(until(&error)), Some(error)),
                    };
                    let now = self.environment.clock.now();
                    let held = Arc::clone(&lock);
                    let applied = self.store.call(move |store| {
                        let applied =
                            machine.apply(store, now, jitter, batch, &answer).map(|()| machine);
                        drop(held);
                        applied
                    });
                    machine = applied.await?;
                    if let Some(error) = no_token {
                        return self.without_token(error);
                    }
                    if let Ok(record) =
                        self.store.call(move |store| store.submission(submission)).await
                    {
                        on_event(Event::Progress { submission, tally: record.progress.tally });
                    }
                }
            }
        }
    }

    async fn send(&self, token: &AccessToken, outgoing: Outgoing) -> Answer {
        let mut request = http::Request::post(&outgoing.url)
            .header(header::CONTENT_TYPE, "application/fhir+json")
            .header(header::ACCEPT, "application/fhir+json");
        if outgoing.gzip {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        let Ok(request) = request.body(outgoing.body) else {
            return Answer::Nothing {
                why: "the receiver's address is malformed",
                under_way: false,
            };
        };
        let Ok(request) = token.authorised_request(request) else {
            return Answer::Nothing { why: "the token is for another origin", under_way: false };
        };
        match self.environment.transport.send(request).await {
            Ok(response) => {
                let asked = response
                    .headers()
                    .get(header::RETRY_AFTER)
                    .and_then(|value| value.to_str().ok());
                let retry_after = asked.and_then(RetryAfter::parse);
                Answer::Response {
                    status: response.status().as_u16(),
                    retry_after,
                    body: response.into_body(),
                }
            }
            Err(error) => {
                let under_way = matches!(
                    error,
                    TransportError::Broken
                        | TransportError::TooLarge { .. }
                        | TransportError::Redirected
                );
                Answer::Nothing { why: word(error), under_way }
            }
        }
    }

    /// What becomes of a delivery that has no token.
    fn without_token(&self, error: TokenError) -> Result<Stopped, Error> {
        match error {
            TokenError::NeedsReauthorisation(_) => {
                Ok(Stopped::Blocked(ConnectionState::NeedsReauthorisation))
            }
            TokenError::OtherPatient => Ok(Stopped::Blocked(ConnectionState::OtherPatient)),
            TokenError::Misconfigured => Ok(Stopped::Blocked(ConnectionState::Misconfigured)),
            TokenError::Unavailable { not_before: Some(not_before), .. } => {
                Ok(Stopped::WaitUntil(not_before))
            }
            other if other.retryable() => {
                Ok(Stopped::WaitUntil(self.environment.clock.now() + TimeDelta::minutes(1)))
            }
            other => Err(other.into()),
        }
    }

    fn jitter(&self) -> Result<u8, Error> {
        let mut byte = [0];
        self.environment.entropy.fill(&mut byte)?;
        Ok(byte[0])
    }

    /// One delivery of a connection at a time, whichever process or task it runs in.
    pub(super) async fn lock(&self, connection: ConnectionId) -> Result<Lock, Error> {
        let name = format!("send-{}", connection.0);
        let lock = self.locks.acquire_within(&name, LOCK_PATIENCE).await?;
        lock.ok_or(EnvironmentError::LockHeld.into())
    }
}

/// Until when a token endpoint asks to be left alone.
const fn until(error: &TokenError) -> Option<DateTime<Utc>> {
    match error {
        TokenError::Unavailable { not_before, .. } => *not_before,
        _ => None,
    }
}

const fn word(error: TransportError) -> &'static str {
    match error {
        TransportError::Unreachable => "no connection",
        TransportError::Broken => "connection broke",
        TransportError::Untrusted => "certificate not trusted",
        TransportError::TooLarge { .. } => "answer too large",
        TransportError::Redirected => "redirect followed",
        TransportError::Request => "request malformed",
    }
}
