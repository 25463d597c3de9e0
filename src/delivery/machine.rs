//! What to send next, and what an answer changes.
//!
//! What an answer means is decided in `submission`; this loads what the decision needs, asks for
//! it, and writes it once. It sends nothing, reads no clock, draws no random number and waits for
//! nothing: the driver and a simulation step the same machine.

use super::batch::{Outgoing, next_batch, outgoing, plain};
use super::look_up::{LookUp, is_searchable};
use crate::environment::Deadline;
use crate::error::Error;
use crate::store::{
    BatchId, BatchRecord, BatchState, ConnectionId, ConnectionRecord, ConnectionState, Pending,
    Store, StoreError, SubmissionRecord, SubmissionState,
};
use crate::submission::{
    Answer, LookedUp, NextState, NoAnswer, Policy, Position, SentBatch, Settlement, Situation,
    Wait, WaitReason, settle, settle_given_up, settle_late, settle_lookup,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use std::time::Duration;

/// The delivery of one connection, as a value one steps.
///
/// The caller holds the connection's lock from [`next`](Self::next) to the end of what it asked
/// for: a batch found half-sent was left by a process that died. It need not be held while waiting.
#[derive(Clone, Debug)]
pub struct Machine {
    connection: ConnectionId,
    policy: Policy,
    token: TokenUse,
    /// Whether it has claimed a batch.
    claimed: bool,
    /// The batch it claimed last: its answer is read also if the connection has ended by then.
    sent: Option<(BatchId, Arc<SentBatch>)>,
}

/// Whether there is a token to send with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenUse {
    /// One has to be asked for.
    Needed,
    /// The one asked for is used next.
    Ready,
    /// The receiver refused it.
    Refused,
    /// It is a new one, because the receiver refused the one before.
    Refreshed,
}

/// When a step is taken: by the wall clock, and by the one that never jumps.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The wall clock.
    pub now: DateTime<Utc>,
    /// The monotonic clock.
    pub monotonic: Duration,
}

/// What an answer came to, in the SDK's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// In a word, as the history keeps it.
    pub outcome: &'static str,
    /// What becomes of the batch.
    pub next: &'static str,
}

/// Nobody waits for the answer any more: the connection was ended, or another process settled the
/// batch.
const GONE: Decision = Decision { outcome: "nothing left", next: "gone" };

impl Decision {
    fn of(settled: &Settlement) -> Self {
        Self {
            outcome: settled.outcome,
            next: match settled.next {
                NextState::Ready => "again",
                NextState::LookUp(..) => "look-up",
                NextState::Done(_) => "done",
                NextState::TakenApart { .. } => "taken-apart",
            },
        }
    }
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Get an access token, then say [`Machine::token_ready`] or [`Machine::no_token`].
    Token {
        /// The receiver refused the last one: it is to be refreshed.
        refused: bool,
    },
    /// Send this at once, then say what came of it by [`Machine::apply`].
    Send(Box<Outgoing>),
    /// Look this up, then say what came of it by [`Machine::looked_up`].
    LookUp(Box<LookUp>),
    /// Nothing can be sent before this instant.
    WaitUntil {
        /// The instant.
        until: DateTime<Utc>,
        /// Why.
        reason: WaitReason,
    },
    /// Nothing is left.
    Idle,
    /// The connection cannot go on by itself.
    Blocked(ConnectionState),
}

impl Machine {
    /// The delivery of `connection`, by the default policy.
    pub fn new(connection: ConnectionId) -> Self {
        Self::with_policy(connection, &Policy::default())
    }

    /// The delivery of `connection`.
    pub fn with_policy(connection: ConnectionId, policy: &Policy) -> Self {
        Self { connection, policy: *policy, token: TokenUse::Needed, claimed: false, sent: None }
    }

    /// There is a token: a new one if a step said that the last one was refused.
    pub fn token_ready(&mut self) {
        self.token = match self.token {
            TokenUse::Refused | TokenUse::Refreshed => TokenUse::Refreshed,
            TokenUse::Needed | TokenUse::Ready => TokenUse::Ready,
        };
    }

    /// The receiver gives no token for now: it is left alone `until` the instant that getting one
    /// named, which is spread already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn no_token(
        &self,
        store: &mut Store,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        store.change_receiver(self.connection, |receiver| {
            receiver.leave_alone(now, Wait::after(now, until - now), WaitReason::TokenEndpoint);
        })
    }

    /// What to do next, if it can be done before `deadline`. A batch to be sent is claimed when
    /// this returns.
    ///
    /// # Errors
    /// [`Error`] if the store or the assembly of a batch fails.
    pub fn next(
        &mut self,
        store: &mut Store,
        at: Moment,
        deadline: Deadline,
    ) -> Result<Step, Error> {
        let left = TimeDelta::from_std(deadline.left(at.monotonic)).unwrap_or(TimeDelta::MAX);
        loop {
            let connection = store.connection(self.connection)?;
            if !connection.may_send(at.now) {
                return Ok(Step::Blocked(connection.state));
            }
            if connection.state != ConnectionState::Active {
                store.try_again(self.connection)?;
                continue;
            }
            let step = match store.pending_batch(self.connection) {
                Err(StoreError::Row(_)) => self.end_unreadable(store, at.now)?,
                pending => match pending? {
                    Some(batch) => self.go_on(store, &connection, &batch, at.now, left)?,
                    None => self.begin(store, &connection, at.now, left)?,
                },
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// Ends a batch that cannot be read, and its submission: others go on, once what may have been
    /// sent of it is no longer at work.
    fn end_unreadable(&self, store: &mut Store, now: DateTime<Utc>) -> Result<Option<Step>, Error> {
        store.end_unreadable_batch(self.connection)?;
        let lease = self.policy.lease(now, self.policy.request_timeout, 0);
        store.change_receiver(self.connection, |receiver| {
            receiver.leave_alone(now, lease, WaitReason::OutcomeUnknown);
        })?;
        Ok(None)
    }

    /// What happens to a frozen batch; `None` if it changed and is to be looked at again.
    fn go_on(
        &mut self,
        store: &mut Store,
        connection: &ConnectionRecord,
        batch: &BatchRecord,
        now: DateTime<Utc>,
        left: TimeDelta,
    ) -> Result<Option<Step>, Error> {
        let (receiver, content) = (&connection.receiver, &batch.content);
        let waits = content.wait.ends(now);
        if let (BatchState::Sending, Some(until)) = (batch.state, waits) {
            // Its sender died: we hold the lock. What it sent may still be at work.
            return Ok(Some(Step::WaitUntil { until, reason: WaitReason::OutcomeUnknown }));
        }
        if self.settles(store, batch, now)? {
            return Ok(None);
        }
        if let Some((until, reason)) = receiver.waits(now) {
            return Ok(Some(Step::WaitUntil { until, reason }));
        }
        if let Some(until) = waits {
            return Ok(Some(Step::WaitUntil { until, reason: batch.wait_reason }));
        }
        let is_look_up = batch.state == BatchState::LookUp;
        // A lookup goes as far as the time suffices, and goes on from there.
        let entries = if is_look_up { 1 } else { content.manifest.len() };
        if receiver.estimate(&self.policy, entries) > left {
            // What was never sent may go in smaller batches.
            if content.attempts.sent == 0 && content.units() > 1 && self.fits(connection, left) > 0
            {
                store.drop_unsent(batch.id)?;
                return Ok(None);
            }
            if !self.tries(left) {
                return Ok(Some(out_of_time(now)));
            }
        }
        if let Some(step) = self.needs_token() {
            return Ok(Some(step));
        }
        if is_look_up {
            let json = plain(batch)?;
            let search = LookUp::of(connection, batch, &json)?;
            return Ok(Some(Step::LookUp(Box::new(search))));
        }
        self.claim(store, connection, batch, now, left)
    }

    /// Settles a batch that needs no answer for it: of a submission that cannot be read or was
    /// given up, or one whose sender died. Returns whether it did.
    fn settles(
        &mut self,
        store: &mut Store,
        batch: &BatchRecord,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let open = match store.submission(batch.submission) {
            Err(StoreError::Row(_)) => {
                store.end_unreadable_submission(self.connection, batch.id)?;
                return Ok(true);
            }
            found => found?.state == SubmissionState::Open,
        };
        match batch.state {
            BatchState::Sending => {
                let died = Answer::None(NoAnswer::SenderDied);
                self.write(store, batch.id, now, 0, |at| settle(at, &died))?;
            }
            BatchState::Ready if !open => {
                self.write(store, batch.id, now, 0, settle_given_up)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Claims a batch, to be sent at once.
    fn claim(
        &mut self,
        store: &mut Store,
        connection: &ConnectionRecord,
        batch: &BatchRecord,
        now: DateTime<Utc>,
        left: TimeDelta,
    ) -> Result<Option<Step>, Error> {
        let timeout = self.policy.request_timeout.min(left);
        let unknowns = store.submission(batch.submission)?.progress.unknowns;
        let lease = self.policy.lease(now, timeout, unknowns);
        match store.claim(self.connection, batch.id, now, lease) {
            // Cancelled, disconnected or blocked by another process since the look at its state.
            Err(StoreError::Missing(_)) => Ok(None),
            claimed => {
                let (claimed, timeout) = (claimed?, timeout.to_std().unwrap_or_default());
                self.claimed = true;
                self.sent = Some((claimed.id, Arc::new(claimed.content.clone())));
                Ok(Some(Step::Send(Box::new(outgoing(connection, claimed, timeout)?))))
            }
        }
    }

    /// Freezes the next batch of a submission that does not wait; `None` if there is more to look
    /// at.
    fn begin(
        &self,
        store: &mut Store,
        connection: &ConnectionRecord,
        now: DateTime<Utc>,
        left: TimeDelta,
    ) -> Result<Option<Step>, Error> {
        let open = store.open_submissions(self.connection)?;
        let (accepted_at, at) = (connection.receiver.accepted_at, now.timestamp());
        let waits = |submission: &SubmissionRecord| {
            let isolation = submission.progress.isolation.as_ref();
            let is_worth_a_try =
                isolation.is_some_and(|all| all.is_worth_a_try(&self.policy, accepted_at, at));
            submission.progress.wait.ends(now).filter(|_| !is_worth_a_try)
        };
        if open.is_empty() {
            return Ok(Some(Step::Idle));
        }
        if let Some((until, reason)) = connection.receiver.waits(now) {
            return Ok(Some(Step::WaitUntil { until, reason }));
        }
        // A submission that waits holds up no other.
        let Some(submission) = open.iter().find(|submission| waits(submission).is_none()) else {
            let until = open.iter().filter_map(waits).min();
            return Ok(Some(until.map_or(Step::Idle, |until| Step::WaitUntil {
                until,
                reason: WaitReason::Deferred,
            })));
        };
        let mut fits = self.fits(connection, left);
        if fits == 0 {
            if !self.tries(left) {
                return Ok(Some(out_of_time(now)));
            }
            fits = 1;
        }
        self.freeze_next(store, connection, submission, now, fits)?;
        Ok(None)
    }

    /// Whether what cannot get smaller is tried in the time left although the receiver seems slower
    /// than that: before anything else, or no run this short would ever send anything.
    fn tries(&self, left: TimeDelta) -> bool {
        !self.claimed && left >= self.policy.least_try
    }

    /// How many entries can be sent and answered in the time left.
    fn fits(&self, connection: &ConnectionRecord, left: TimeDelta) -> usize {
        let receiver = &connection.receiver;
        let mut entries = receiver.batch_size(&self.policy);
        while entries > 0 && receiver.estimate(&self.policy, entries) > left {
            entries /= 2;
        }
        entries
    }

    /// Freezes a submission's next batch, starts its next pass, or ends it.
    fn freeze_next(
        &self,
        store: &mut Store,
        connection: &ConnectionRecord,
        submission: &SubmissionRecord,
        now: DateTime<Utc>,
        fits: usize,
    ) -> Result<(), Error> {
        let limit = |mut submission: SubmissionRecord| {
            let limit = submission.progress.unit_limit.map_or(fits, |limit| limit.min(fits));
            submission.progress.unit_limit = Some(limit);
            submission
        };
        let limited = limit(submission.clone());
        if let Some(batch) = next_batch(store, connection, &limited, now)? {
            // Not frozen if another process wrote meanwhile: the next look assembles it anew.
            let _ = store.freeze(self.connection, &batch)?;
            return Ok(());
        }
        let mut submission = submission.clone();
        let progress = &mut submission.progress;
        // The ledger, not the position, tells whether everything was sent: a reading may have come
        // in, or been corrected, behind the position.
        let again = progress.deferred || progress.position != Position::Start;
        progress.position = Position::Start;
        let deferred = progress.deferred;
        if again
            && (deferred
                || next_batch(store, connection, &limit(submission.clone()), now)?.is_some())
        {
            submission.progress.start_pass(&self.policy, now);
            store.save_progress(submission.id, &submission.progress)?;
        } else {
            store.end_submission(submission.id, SubmissionState::Done)?;
        }
        Ok(())
    }

    /// Writes down what an answer changes, and returns it in a word. `jitter` spreads a wait.
    ///
    /// # Errors
    /// [`Error`] if the store fails; the batch then stays claimed, and its outcome unknown.
    pub fn apply(
        &mut self,
        store: &mut Store,
        now: DateTime<Utc>,
        jitter: u32,
        batch: BatchId,
        answer: &Answer,
    ) -> Result<Decision, Error> {
        let decision = self.write(store, batch, now, jitter, |at| settle(at, answer))?;
        let sent = self.sent.take().filter(|(id, _)| *id == batch && decision == GONE);
        if let Some((_, content)) = sent {
            // What it proves is true all the same.
            store.record_late(
                self.connection,
                &content.manifest,
                &settle_late(&content, answer),
            )?;
        }
        Ok(decision)
    }

    /// Writes down what a lookup changes, and returns it in a word. `jitter` spreads a wait.
    ///
    /// # Errors
    /// [`Error`] if the store fails; the batch is then looked up again.
    pub fn looked_up(
        &mut self,
        store: &mut Store,
        now: DateTime<Utc>,
        jitter: u32,
        batch: BatchId,
        looked_up: &LookedUp,
    ) -> Result<Decision, Error> {
        self.write(store, batch, now, jitter, |at| settle_lookup(at, looked_up))
    }

    /// One answer, one transaction.
    fn write(
        &mut self,
        store: &mut Store,
        batch: BatchId,
        now: DateTime<Utc>,
        jitter: u32,
        decide: impl FnOnce(&Situation<'_>) -> Settlement,
    ) -> Result<Decision, Error> {
        let (policy, token_refreshed) = (self.policy, self.token == TokenUse::Refreshed);
        let settled = store.settle(self.connection, batch, |pending: &Pending| {
            decide(&Situation {
                policy: &policy,
                receiver: &pending.connection.receiver,
                wanted: pending.submission.plan.wanted,
                progress: &pending.submission.progress,
                batch: &pending.batch.content,
                open: pending.submission.state == SubmissionState::Open,
                searchable: is_searchable(&pending.connection, pending.batch.content.part),
                token_refreshed,
                now,
                jitter,
            })
        });
        let (refresh, decision) = match settled {
            Ok(settled) => (settled.refresh, Decision::of(&settled)),
            // Disconnected or erased meanwhile: there is nothing left to write down.
            Err(StoreError::Missing(_)) => (false, GONE),
            Err(error) => return Err(error.into()),
        };
        self.token = if refresh { TokenUse::Refused } else { TokenUse::Needed };
        Ok(decision)
    }

    /// The step that gets a token, if there is none: before the claim, so that what is claimed is
    /// sent at once.
    const fn needs_token(&self) -> Option<Step> {
        match self.token {
            TokenUse::Needed => Some(Step::Token { refused: false }),
            TokenUse::Refused => Some(Step::Token { refused: true }),
            TokenUse::Ready | TokenUse::Refreshed => None,
        }
    }
}

const fn out_of_time(now: DateTime<Utc>) -> Step {
    Step::WaitUntil { until: now, reason: WaitReason::OutOfTime }
}
