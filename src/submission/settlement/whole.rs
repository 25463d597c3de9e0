//! An answer to the request as a whole, or none: the same bytes again, smaller batches, or the
//! search for the one unit that is to blame.

use super::{EntryRecord, NextState, Settlement, Situation, duplicate, refusal};
use crate::submission::{
    Backoff, BlockReason, EntryVerdict, Failing, Isolation, LoneRefusals, Position, Response,
    Stall, Wait, WaitReason,
};

/// From this attempt on the back-off is at its longest.
const LONGEST_BACKOFF: u32 = 17;

impl Situation<'_> {
    /// The receiver failed or is busy: nothing was stored.
    pub(super) fn failed(&self, response: &Response) -> Settlement {
        let mut settled = self.again("receiver failed");
        settled.progress.unknowns = 0;
        // A receiver that has failed for a day is not asked every few seconds.
        settled.attempts.sent += if settled.progress.stall.is_some() { LONGEST_BACKOFF } else { 0 };
        settled.leave_alone(self, response.retry_after, WaitReason::ReceiverBusy);
        settled.attempts.sent = self.batch.attempts.sent;
        // Only 500 is said of a single request; the others are said by what stands before the
        // receiver, of everything.
        if response.status != 500 {
            settled.attempts.failing = None;
            return settled;
        }
        let now = self.now.timestamp();
        let failing = match settled.attempts.failing {
            Some(before) if before.status == response.status => {
                Failing { count: before.count.saturating_add(1), ..before }
            }
            _ => Failing { status: response.status, count: 1, since: now },
        };
        settled.attempts.failing = Some(failing);
        // What lies beyond the batch that is taken apart fails for reasons of its own.
        if let Some(isolation) = settled.progress.isolation.take_if(|all| all.covers(self.batch)) {
            return self.failed_in_isolation(settled, isolation, response);
        }
        let stalls = settled.progress.stall.map_or(0, |stall| stall.isolations);
        let patience = self.policy.bisect_after * 4_i32.pow(stalls.min(3));
        let long = now - failing.since >= patience.num_seconds();
        if failing.count < self.policy.bisect_failures || !long {
            return settled;
        }
        let stall = settled.progress.stall.get_or_insert(Stall {
            since: failing.since,
            status: response.status,
            isolations: 0,
        });
        stall.isolations += 1;
        let known = settled.progress.isolation.take();
        let isolation = Isolation {
            left: known.as_ref().is_some_and(|known| known.left),
            suspects: known.map_or_else(Vec::new, |known| known.suspects),
            ..Isolation::of(self.batch.position_after)
        };
        self.failed_in_isolation(settled, isolation, response)
    }

    /// Halves what fails. A unit that fails alone is left for a later pass, so that the others go;
    /// it is to blame only if others were accepted between its failures, close in time, and it
    /// fails in each pass.
    fn failed_in_isolation(
        &self,
        mut settled: Settlement,
        mut isolation: Isolation,
        response: &Response,
    ) -> Settlement {
        let may_be_stored = self.batch.attempts.may_be_stored();
        let units = self.batch.units();
        // Halves go soon after one another: the receiver is not down, or that will show.
        settled.receiver.wait = self.receiver.wait;
        settled.attempts.sent = 1;
        settled.leave_alone(self, response.retry_after, WaitReason::ReceiverBusy);
        settled.next = NextState::TakenApart { may_be_stored };
        settled.outcome = "isolating";
        let first = self.batch.manifest.first().filter(|_| units == 1);
        let Some(first) = first else {
            settled.progress.unit_limit = Some((units / 2).max(1));
            settled.progress.isolation = Some(isolation);
            return settled;
        };
        let before = match self.progress.position {
            at if at.part() == Some(self.batch.part) => at,
            _ => Position::of(self.batch.part),
        };
        let next = isolation.tried(self.batch, self.progress.position);
        let suspected = isolation.fails(self.policy, &first.item, before, self.now.timestamp());
        if suspected && isolation.passes >= self.policy.isolation_passes {
            isolation.suspects.retain(|suspect| suspect.item != first.item);
            self.set_aside(&mut settled, &refusal(response));
        } else if !isolation.accepted && isolation.failed >= self.policy.isolation_tries {
            // Whatever it is given, it fails: that is no unit's fault.
            settled.progress.unit_limit = None;
            settled.attempts.sent = LONGEST_BACKOFF;
            settled.leave_alone(self, response.retry_after, WaitReason::ReceiverBusy);
            return settled;
        } else {
            isolation.left = true;
            settled.progress.deferred = true;
            // An outage that began meanwhile is not asked every few seconds.
            let delay = self.policy.backoff.delay(isolation.failed, self.jitter, None, self.now);
            settled.progress.wait = Wait::after(self.now, delay);
        }
        settled.progress.position = next;
        settled.progress.isolation = Some(isolation);
        settled
    }

    /// It never left this phone's side of the network: it counts as not sent, so that a night
    /// without a connection is no reason to leave a receiver alone for hours when it is busy once.
    pub(super) fn not_arrived(&self) -> Settlement {
        let mut settled = self.again("no connection");
        settled.attempts.sent = settled.attempts.sent.saturating_sub(1);
        let unreached = self.batch.attempts.unreached.saturating_add(1);
        settled.attempts.unreached = unreached;
        let backoff = Backoff { longest: self.policy.longest_unreached, ..self.policy.backoff };
        let delay = backoff.delay(unreached, self.jitter, None, self.now);
        let wait = Wait::after(self.now, delay);
        settled.receiver.leave_alone(self.now, wait, WaitReason::NoConnection);
        settled
    }

    /// Nobody knows what became of it.
    pub(super) fn outcome_unknown(&self, outcome: &'static str) -> Settlement {
        let mut settled = self.again(outcome);
        settled.attempts.unknown = settled.attempts.unknown.saturating_add(1);
        settled.attempts.lookups = 0;
        settled.attempts.failed_lookups = 0;
        settled.progress.unknowns = settled.progress.unknowns.saturating_add(1);
        // The receiver may be at work on it until the lease ends; a sender that died left no other
        // reason to wait.
        if self.batch.wait.ends(self.now).is_some() {
            let attempt = self.batch.attempts.sent.max(1);
            let own = self.policy.backoff.delay(attempt, self.jitter, None, self.now);
            let wait = Wait::after(self.now, own).later(self.batch.wait);
            settled.receiver.leave_alone(self.now, wait, WaitReason::OutcomeUnknown);
        }
        if self.repeats_safely() {
            self.smaller_if_too_slow(&mut settled);
        } else if self.searchable {
            settled.next = NextState::LookUp(Wait::NONE, WaitReason::LookUp);
        } else {
            self.rest(&mut settled);
        }
        settled
    }

    /// After several unknown outcomes in a row the batch is too large for the receiver's pace: the
    /// same content goes in smaller ones, under the same identifiers.
    pub(super) fn smaller_if_too_slow(&self, settled: &mut Settlement) {
        let units = self.batch.units();
        if settled.progress.unknowns < self.policy.unknowns_until_smaller || units < 2 {
            return;
        }
        let entries = self.batch.manifest.len();
        if entries > self.policy.smallest_after_unknowns {
            settled.receiver.too_slow(self.policy, entries);
            settled.next = NextState::TakenApart { may_be_stored: true };
        }
    }

    /// Sent, and nobody will ever know: it is not sent again by itself.
    pub(super) fn rest(&self, settled: &mut Settlement) {
        for listed in &self.batch.manifest {
            settled.progress.tally.count(listed.is_reading(), EntryVerdict::Unknown);
        }
        settled.progress.position = self.batch.position_after;
        settled.progress.probe = false;
        settled.next = NextState::Done(vec![EntryRecord::Unknown; self.batch.manifest.len()]);
    }

    /// Another place was given the request, and answered. It would be given every further one too.
    pub(super) fn redirected(&self) -> Settlement {
        let mut settled = self.outcome_unknown("redirected");
        settled.block = Some(BlockReason::Configuration);
        settled
    }

    /// An answer that says nothing of the entries. Each may have stored them.
    pub(super) fn unreadable(&self) -> Settlement {
        let mut settled = self.outcome_unknown("unreadable answer");
        settled.progress.unreadable = settled.progress.unreadable.saturating_add(1);
        let allowed = if self.batch.conditional {
            self.policy.unreadable_answers
        } else {
            self.policy.unreadable_answers_unconditional
        };
        if settled.progress.unreadable >= allowed {
            settled.block = Some(BlockReason::Configuration);
        }
        settled
    }

    /// What was refused for its size goes in halves. A 413 is believed; other words about size only
    /// once the half passes.
    pub(super) fn smaller(&self, response: &Response) -> Settlement {
        let half = self.batch.manifest.len() / 2;
        if response.status >= 500 && half < self.policy.size_in_a_500 {
            return self.failed(response);
        }
        let units = self.batch.units();
        if units < 2 {
            return self.isolate(response);
        }
        let mut settled = self.taken_apart("too large");
        settled.progress.unknowns = 0;
        settled.progress.unit_limit = Some(units / 2);
        if response.status == 413 {
            settled.receiver.too_large(self.policy, half);
        } else {
            settled.progress.size_suspected = true;
        }
        settled
    }

    /// Halves a batch that was refused as a whole, down to the single unit that is to blame, which
    /// is set aside.
    pub(super) fn isolate(&self, response: &Response) -> Settlement {
        let units = self.batch.units();
        let mut settled = self.taken_apart("refused");
        settled.progress.unknowns = 0;
        if units > 1 {
            settled.progress.unit_limit = Some(units / 2);
            return settled;
        }
        let status = response.status;
        if status == 400 && self.batch.conditional && self.receiver.conditional_create.is_none() {
            settled.progress.probe = true;
            return settled;
        }
        settled.progress.probe = false;
        let before = settled.progress.lone_refusals;
        let count = if before.status == status { before.count + 1 } else { 1 };
        // A duplicate at the receiver is settled, and says nothing about the connection.
        if status != 412 && count >= self.policy.lone_refusals {
            let mut blocked = self.blocked(BlockReason::Configuration);
            blocked.progress = settled.progress;
            blocked.progress.lone_refusals = LoneRefusals::default();
            return blocked;
        }
        settled.progress.lone_refusals = LoneRefusals { count, status };
        let reason = refusal(response);
        let reason = if status == 412 { duplicate(&reason) } else { reason };
        self.set_aside(&mut settled, &reason);
        settled
    }

    /// Refuses everything in the batch, for one reason.
    fn set_aside(&self, settled: &mut Settlement, reason: &str) {
        for listed in &self.batch.manifest {
            settled.progress.tally.count(listed.is_reading(), EntryVerdict::Refused);
        }
        settled.progress.position = self.batch.position_after;
        let refused = EntryRecord::Refused { reason: reason.to_owned() };
        settled.next = NextState::Done(vec![refused; self.batch.manifest.len()]);
        settled.outcome = "refused";
    }
}
