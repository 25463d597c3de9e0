//! An answer to the request as a whole, or none: the same bytes again, smaller batches, or the
//! search for the one unit that is to blame.

use super::{EntryRecord, NextState, Settlement, Situation, duplicate, refusal};
use crate::submission::{
    Backoff, BlockReason, EntryVerdict, Failing, Isolation, LoneRefusals, Position, Response,
    RetryAfter, Stall, Wait, WaitReason, is_unprocessed,
};
use chrono::TimeDelta;

/// From this attempt on the back-off is at its longest.
const LONGEST_BACKOFF: u32 = 17;

impl Situation<'_> {
    /// The receiver failed or is busy. If it may have stored a part, that is looked up before
    /// anything is sent again.
    pub(super) fn failed(&self, response: &Response) -> Settlement {
        let mut settled = self.again("receiver failed");
        settled.progress.unknowns = 0;
        // Only 500 is said of a single request; the others are said by what stands before the
        // receiver, of everything.
        settled.attempts.failing = (response.status == 500).then(|| self.failing(500));
        if !self.repeats_safely() && !is_unprocessed(response.status, response.asks_to_wait()) {
            settled.note_unknown(self);
            settled.leave_alone(self, response.retry_after, WaitReason::ReceiverBusy);
            self.repeat_or_look_up(&mut settled);
            return settled;
        }
        // A receiver that has failed for a day is not asked every few seconds.
        settled.attempts.sent += if settled.progress.stall.is_some() { LONGEST_BACKOFF } else { 0 };
        settled.leave_alone(self, response.retry_after, WaitReason::ReceiverBusy);
        settled.attempts.sent = self.batch.attempts.sent;
        self.go_on_failing(settled, response.retry_after, &refusal(response))
    }

    /// The failure as one more of its kind.
    fn failing(&self, status: u16) -> Failing {
        Failing::again(self.batch.attempts.failing, status, self.now.timestamp())
    }

    /// What failed with 500 and is certainly not stored: again as it is, or in halves once it has
    /// failed for long.
    pub(super) fn go_on_failing(
        &self,
        mut settled: Settlement,
        asked: Option<RetryAfter>,
        reason: &str,
    ) -> Settlement {
        let Some(failing) = settled.attempts.failing.filter(|failing| failing.status == 500) else {
            return settled;
        };
        // What lies beyond the batch that is taken apart fails for reasons of its own.
        if let Some(isolation) = settled.progress.isolation.take_if(|all| all.covers(self.batch)) {
            return self.failed_in_isolation(settled, isolation, (asked, reason, failing.last));
        }
        let stalls = settled.progress.stall.map_or(0, |stall| stall.isolations);
        let patience = self.policy.bisect_after * 4_i32.pow(stalls.min(3));
        let long = failing.last - failing.since >= patience.num_seconds();
        if failing.count < self.policy.bisect_failures || !long {
            return settled;
        }
        let stall = settled.progress.stall.get_or_insert(Stall {
            since: failing.since,
            status: failing.status,
            isolations: 0,
        });
        stall.isolations += 1;
        let known = settled.progress.isolation.take();
        let isolation = Isolation {
            left: known.as_ref().is_some_and(|known| known.left),
            suspects: known.map_or_else(Vec::new, |known| known.suspects),
            ..Isolation::of(self.batch.position_after)
        };
        self.failed_in_isolation(settled, isolation, (asked, reason, failing.last))
    }

    /// Halves what failed at a Unix second. A unit that fails alone is left for a later pass, so
    /// that the others go; it is to blame only if others were accepted between its failures, close
    /// in time, and it fails in each pass.
    fn failed_in_isolation(
        &self,
        mut settled: Settlement,
        mut isolation: Isolation,
        (asked, reason, failed_at): (Option<RetryAfter>, &str, i64),
    ) -> Settlement {
        let may_be_stored = self.batch.attempts.may_be_stored();
        let units = self.batch.units();
        // Halves go soon after one another: the receiver is not down, or that will show.
        settled.receiver.wait = self.receiver.wait;
        settled.attempts.sent = 1;
        settled.leave_alone(self, asked, WaitReason::ReceiverBusy);
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
        isolation.hears_of(self.receiver.accepted_at);
        // Where each failure is looked up first, that takes its time.
        let lookups = i32::try_from(self.policy.lookups).unwrap_or(i32::MAX);
        let apart = if self.repeats_safely() {
            TimeDelta::zero()
        } else {
            self.policy.lookup_pause * lookups
        };
        let suspected = isolation.fails(self.policy, &first.item, before, (failed_at, apart));
        if suspected && isolation.passes >= self.policy.isolation_passes {
            isolation.suspects.retain(|suspect| suspect.item != first.item);
            self.set_aside(&mut settled, reason, 500);
        } else if !isolation.accepted
            && isolation.failed >= self.policy.isolation_tries
            && isolation.suspects.len() > 1
        {
            // Whatever it is given, it fails: that is no unit's fault. A lone unit proves nothing
            // either way: it waits, and other submissions go on.
            settled.progress.unit_limit = None;
            settled.attempts.sent = LONGEST_BACKOFF;
            settled.leave_alone(self, asked, WaitReason::ReceiverBusy);
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

    /// Another place is to be asked, which nobody does: the receiver itself is asked again, as
    /// after an outage. If that lasts, it is misconfigured, for all that is known; it is asked
    /// again all the same, rarely.
    pub(super) fn elsewhere(&self, response: &Response) -> Settlement {
        let mut settled = self.again("points elsewhere");
        settled.progress.unknowns = 0;
        let failing = self.failing(response.status);
        settled.attempts.failing = Some(failing);
        let long = failing.last - failing.since >= self.policy.elsewhere_after.num_seconds();
        if long && failing.count >= self.policy.elsewhere_answers {
            settled.attempts.sent += LONGEST_BACKOFF;
            settled.receiver.points_elsewhere = true;
            settled.block = Some(BlockReason::Configuration);
        }
        settled.leave_alone(self, response.retry_after, WaitReason::Elsewhere);
        settled.attempts.sent = self.batch.attempts.sent;
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
        settled.attempts.failing = None;
        settled.note_unknown(self);
        // The receiver may be at work on it until the lease ends; a sender that died left no other
        // reason to wait.
        if self.batch.wait.ends(self.now).is_some() {
            let attempt = self.batch.attempts.sent.max(settled.progress.unknowns);
            let own = self.policy.backoff.delay(attempt, self.jitter, None, self.now);
            let wait = Wait::after(self.now, own).later(self.batch.wait);
            settled.receiver.leave_alone(self.now, wait, WaitReason::OutcomeUnknown);
        }
        self.repeat_or_look_up(&mut settled);
        settled
    }

    /// Again as it is if that cannot store anything twice; else it is looked up, or rests. What
    /// cannot be looked up costs no more than it must: the next batch is a single unit, until one
    /// is answered.
    fn repeat_or_look_up(&self, settled: &mut Settlement) {
        if self.repeats_safely() {
            self.smaller_if_too_slow(settled);
        } else if self.searchable {
            settled.next = NextState::LookUp(Wait::NONE, WaitReason::LookUp);
        } else {
            self.rest(settled, &[]);
            settled.progress.unit_limit = Some(1);
        }
    }

    /// After several unknown outcomes in a row the batch is too large for the receiver's pace: the
    /// same content goes in smaller ones, under the same identifiers.
    pub(super) fn smaller_if_too_slow(&self, settled: &mut Settlement) {
        let units = self.batch.units();
        let answered = settled.attempts.failing.is_some();
        let unknowns = settled.progress.unknowns;
        if answered || unknowns < self.policy.unknowns_until_smaller || units < 2 {
            return;
        }
        let entries = self.batch.manifest.len();
        if entries > self.policy.smallest_after_unknowns {
            settled.receiver.too_slow(self.policy, entries);
            settled.next = NextState::TakenApart { may_be_stored: true };
        }
    }

    /// Sent, and nobody will ever know, but for what was `found`: it is not sent again by itself.
    pub(super) fn rest(&self, settled: &mut Settlement, found: &[Option<String>]) {
        settled.progress.probe = false;
        self.found(settled, found, EntryVerdict::Unknown);
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
        let reason = match status {
            412 => duplicate(&reason),
            413 => format!("too large for the receiver although sent alone: {reason}"),
            _ => reason,
        };
        self.set_aside(&mut settled, &reason, status);
        settled
    }

    /// Refuses everything in the batch, for one reason.
    fn set_aside(&self, settled: &mut Settlement, reason: &str, status: u16) {
        for listed in &self.batch.manifest {
            settled.progress.tally.count(listed.is_reading(), EntryVerdict::Refused);
        }
        settled.progress.position = self.batch.position_after;
        let reason = reason.to_owned();
        let refused = EntryRecord::Refused { reason, status, location: None };
        settled.next = NextState::Done(vec![refused; self.batch.manifest.len()]);
        settled.outcome = "refused";
    }
}
