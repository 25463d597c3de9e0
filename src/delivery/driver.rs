//! Steps the machine: gives it tokens, the network and time, and tells what happens. Every decision
//! is the machine's.

use super::account::Account;
use super::event::{Event, Interrupted, OnEvent, Run, Stopped};
use super::machine::{Machine, Moment, Step};
use crate::connect::{AccessToken, Connector};
use crate::environment::{
    Deadline, Environment, EnvironmentError, Lock, LockFolder, LogSink, within,
};
use crate::error::{Error, ErrorCode};
use crate::store::{
    ConnectionId, ConnectionState, StoreError, StoreHandle, SubmissionId, SubmissionState,
};
use crate::submission::{Policy, WaitReason};
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;

/// How long another delivery of the same connection is waited for by a verification.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);

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
    /// [`Interrupted`] if the store, the vault or the lock fails, with what was delivered until
    /// then. It stays written down.
    pub async fn run(
        &self,
        connection: ConnectionId,
        only: &[SubmissionId],
        deadline: Deadline,
        on_event: &OnEvent,
    ) -> Result<Run, Interrupted> {
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
            told: None,
        };
        let log = &self.environment.log;
        log.info("delivery-begun", &[("connection", connection.into())]);
        let stopped = work.deliver().await;
        if let Ok(Stopped::Blocked(state)) = stopped {
            log.warn("blocked", &[("connection", connection.into()), ("state", state.into())]);
        }
        let account = Arc::clone(&work.account);
        let counted = self.store.call(move |store| Ok::<_, Error>(account.count(store))).await?;
        let stopped = match stopped {
            // What was delivered before is told; the rest goes once it is unlocked.
            Err(error) if is_locked(&error) && counted.all.requests > 0 => {
                let until = self.environment.clock.now();
                Stopped::WaitUntil { until, reason: WaitReason::VaultLocked }
            }
            stopped => stopped.map_err(|error| Interrupted { error, tally: counted.all })?,
        };
        // What was expected and is not sent after all, as a part that the receiver stopped, is no
        // longer to be delivered.
        let done = counted.all.entries.total();
        if let (Stopped::Finished, Some((submission, told))) = (stopped, work.told)
            && told != done
        {
            on_event(Event::Progress { submission, tally: counted.all, total: done });
        }
        let (requests, entries) = (counted.all.requests, counted.all.entries);
        log.info(
            "delivery-ended",
            &[
                ("connection", connection.into()),
                ("because", stopped.word().into()),
                ("requests", requests.into()),
                ("accepted", entries.accepted.into()),
                ("already-there", entries.already_there.into()),
                ("received", entries.received.into()),
                ("refused", entries.refused.into()),
                ("unknown", entries.unknown.into()),
            ],
        );
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

    pub(super) fn jitter(&self) -> Result<u32, Error> {
        let mut bytes = [0; 4];
        self.environment.entropy.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

/// A delivery under way.
pub(super) struct Work<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) connection: ConnectionId,
    pub(super) machine: Machine,
    pub(super) account: Arc<Account>,
    pub(super) deadline: Deadline,
    pub(super) token: Option<AccessToken>,
    pub(super) on_event: &'a OnEvent,
    /// The submission that progress was last told of, and how many entries were to be delivered.
    pub(super) told: Option<(SubmissionId, u64)>,
}

/// Whether the secure storage is locked for now.
fn is_locked(error: &Error) -> bool {
    error.code() == ErrorCode::VaultUnavailable
}

/// What follows a step.
enum Next {
    Step,
    Stop(Stopped),
    /// Nothing before this instant.
    Wait(DateTime<Utc>, WaitReason),
}

impl Work<'_> {
    pub(super) fn log(&self) -> &dyn LogSink {
        self.delivery.environment.log.as_ref()
    }

    fn log_wait(&self, wait: Duration, reason: WaitReason) {
        let fields = [
            ("connection", self.connection.into()),
            ("because", reason.into()),
            ("wait", wait.into()),
        ];
        self.log().warn("waiting", &fields);
    }

    async fn deliver(&mut self) -> Result<Stopped, Error> {
        let environment = &self.delivery.environment;
        loop {
            // Work on a blocking thread outlives a dropped future: it keeps the lock until it is
            // done. Nothing is locked while waiting.
            let lock = self.delivery.acquire(self.connection, self.deadline).await?;
            let Some(lock) = lock.map(Arc::new) else {
                self.log().warn("lock-held", &[("connection", self.connection.into())]);
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
            self.log_wait(wait, reason);
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
        let (mut machine, deadline) = (self.machine.clone(), self.deadline);
        let held = Arc::clone(lock);
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
                match store.submission(*id) {
                    // Gone with its connection: the next step tells of that.
                    Err(StoreError::Missing(_)) => return Ok(false),
                    found => {
                        if found?.state == SubmissionState::Open {
                            return Ok(false);
                        }
                    }
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
        let fields = [("connection", self.connection.into()), ("refused", refused.into())];
        self.log().debug("token-needed", &fields);
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
                // A locked vault, or another part of the app: nothing the receiver waits for.
                let Some(until) = error.retry_at() else { return Err(error.into()) };
                until
            }
        };
        let (now, machine) = (environment.clock.now(), self.machine.clone());
        self.delivery.store.call(move |store| machine.no_token(store, now, until)).await?;
        Ok(Next::Step)
    }
}
