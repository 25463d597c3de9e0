//! What is known of a receiver: what it declares, what it has shown, how much and how fast it
//! takes, and how long it wants to be left alone.

use super::{Policy, SentBatch, Wait, WaitReason};
use crate::fhir::Promises;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// What is known of a receiver. Nothing of a person is in here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each learnt on its own")]
pub struct ReceiverFacts {
    /// Whether it takes gzip; `None` if not tried.
    pub gzip: Option<bool>,
    /// Whether its `CapabilityStatement` lists conditional create.
    pub declares_conditional_create: bool,
    /// Whether it took a conditional entry, or was shown to lack conditional create; `None` if
    /// neither.
    pub conditional_create: Option<bool>,
    /// Whether it ever answered that something was there already: then it does look before it
    /// creates.
    pub finds_again: bool,
    /// Whether it ever said of something that it read it and keeps no copy.
    pub keeps_no_copies: bool,
    /// Whether it lists a search of Observations by identifier.
    pub searches_observations: bool,
    /// Whether it lists a search of Devices by identifier.
    pub searches_devices: bool,
    /// Entries a request may have; `None` if it never complained.
    pub entry_limit: Option<EntryLimit>,
    /// How fast it answers; `None` if not known.
    pub pace: Option<Pace>,
    /// How long it is left alone.
    pub wait: Option<ReceiverWait>,
    /// Whether it pointed elsewhere for so long that the connection counts as misconfigured. It is
    /// asked again once its wait is over.
    pub points_elsewhere: bool,
    /// When it last accepted anything, as a Unix second.
    pub accepted_at: Option<i64>,
}

/// A wait that binds everything sent to a receiver, searches included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverWait {
    /// Until when.
    pub wait: Wait,
    /// Why.
    pub reason: WaitReason,
}

impl ReceiverFacts {
    /// Until when nothing is sent, and why; `None` if anything may be.
    pub fn waits(&self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, WaitReason)> {
        let ReceiverWait { wait, reason } = self.wait?;
        Some((wait.ends(now)?, reason))
    }

    /// Leaves the receiver alone for `wait`; a longer wait that stands already is kept.
    pub fn leave_alone(&mut self, now: DateTime<Utc>, wait: Wait, reason: WaitReason) {
        let standing = self.wait.filter(|standing| standing.wait.ends(now).is_some());
        if standing.is_none_or(|standing| standing.wait.later(wait) == wait) {
            self.wait = Some(ReceiverWait { wait, reason });
        }
    }

    /// Leaves the receiver alone while a request may be at work whose batch is gone.
    pub fn outlast(&mut self, lease: Wait) {
        if self.wait.is_none_or(|standing| standing.wait.later(lease) == lease) {
            self.wait = Some(ReceiverWait { wait: lease, reason: WaitReason::OutcomeUnknown });
        }
    }

    /// Notes what the receiver promises, as it was authorised anew.
    pub fn authorised(&mut self, promises: Promises) {
        self.declares_conditional_create = promises.conditional_create;
        self.searches_observations = promises.searches_observations;
        self.searches_devices = promises.searches_devices;
        self.wait = self.wait.filter(|wait| wait.reason != WaitReason::TokenEndpoint);
        self.points_elsewhere = false;
    }

    /// Whether it looks before it creates: it says so, or was seen to.
    pub fn honours_conditional_create(&self) -> bool {
        self.conditional_create != Some(false)
            && (self.declares_conditional_create || self.finds_again)
    }

    /// Whether sending the same bytes again cannot store anything twice: the entries are
    /// conditional, and it is known to look before it creates. One that speaks HL7 CGM and does
    /// not refuses such entries.
    pub(crate) fn repeats_safely(&self, batch: &SentBatch) -> bool {
        let refuses_others =
            batch.dialect.refuses_conditions_it_ignores() && self.conditional_create != Some(false);
        batch.conditional && (self.honours_conditional_create() || refuses_others)
    }

    /// Entries the next batch has at most.
    pub fn batch_size(&self, policy: &Policy) -> usize {
        let limit = self.entry_limit.map_or(usize::MAX, |limit| limit.entries);
        let pace = self.pace.map_or(usize::MAX, |pace| pace.entries);
        policy.max_entries.min(limit).min(pace).max(1)
    }

    /// How long a request of `entries` entries is expected to take.
    pub fn estimate(&self, policy: &Policy, entries: usize) -> TimeDelta {
        let each = self.pace.map_or(0, |pace| i64::from(pace.micros_per_entry));
        let entries = i64::try_from(entries).unwrap_or(i64::MAX);
        TimeDelta::microseconds(each.saturating_mul(entries))
            .max(policy.least_request)
            .min(policy.request_timeout)
    }

    /// Notes that `entries` were answered after `took`.
    pub fn answered(&mut self, policy: &Policy, entries: usize, took: TimeDelta) {
        let before = self.pace.map_or(policy.max_entries, |pace| pace.entries);
        let slow = took > policy.pace_target;
        // A small request takes its time for other reasons than its entries.
        if !slow && entries * 2 < before.min(policy.max_entries) {
            // But no entry of it can have taken longer than all of it did.
            if let Some(pace) = &mut self.pace {
                pace.micros_per_entry = pace.micros_per_entry.min(micros(took, entries));
            }
            return;
        }
        self.pace = Some(Pace::observed(policy, entries, took));
    }

    /// Notes that a request of `entries` entries had no known outcome, again.
    pub fn too_slow(&mut self, policy: &Policy, entries: usize) {
        let half = (entries / 2).max(policy.smallest_after_unknowns);
        let micros_per_entry = micros(policy.request_timeout, half);
        self.pace = Some(Pace { entries: half.min(policy.max_entries), micros_per_entry });
    }

    /// Notes that a request of `entries` entries was read; `suspected` if a larger one was refused
    /// for what looked like its size.
    pub fn passed(&mut self, policy: &Policy, entries: usize, suspected: bool) {
        match &mut self.entry_limit {
            None if suspected => self.entry_limit = Some(EntryLimit::of(policy, entries)),
            Some(limit) if suspected && entries < limit.entries => *limit = limit.down_to(entries),
            Some(limit) if entries >= limit.entries => {
                limit.tried_wider = false;
                limit.passed += 1;
                if limit.passed >= limit.until_wider {
                    limit.passed = 0;
                    limit.entries *= 2;
                    limit.tried_wider = true;
                    if limit.entries >= policy.max_entries {
                        self.entry_limit = None;
                    }
                }
            }
            _ => {}
        }
    }

    /// Notes that a request of twice `half` entries was too large (413).
    pub fn too_large(&mut self, policy: &Policy, half: usize) {
        let known = self.entry_limit.unwrap_or_else(|| EntryLimit::of(policy, half));
        self.entry_limit = Some(known.down_to(half));
    }
}

/// Entries a receiver takes at once, as it was found out. It is not for good: limits are raised,
/// and some were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryLimit {
    /// Entries of a request at most.
    pub entries: usize,
    /// How many requests of this size passed.
    pub passed: u32,
    /// How many have to pass before twice as much is tried.
    pub until_wider: u32,
    /// Whether it is a try, after the one before was passed so often.
    pub tried_wider: bool,
}

impl EntryLimit {
    /// Down to `entries`. If a try was too large, the next one comes later.
    fn down_to(self, entries: usize) -> Self {
        let factor = if self.tried_wider { 2 } else { 1 };
        let until_wider = self.until_wider.saturating_mul(factor).min(100_000);
        Self { entries: entries.max(1), passed: 0, until_wider, tried_wider: false }
    }

    const fn of(policy: &Policy, entries: usize) -> Self {
        let entries = if entries == 0 { 1 } else { entries };
        let until_wider = policy.batches_until_wider;
        Self { entries, passed: 0, until_wider, tried_wider: false }
    }
}

/// How fast a receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Entries it answers within the target.
    pub entries: usize,
    /// Microseconds it took for each entry, last time; fewer if a smaller request was quicker.
    pub micros_per_entry: u32,
}

impl Pace {
    fn observed(policy: &Policy, entries: usize, took: TimeDelta) -> Self {
        let target = policy.pace_target.num_milliseconds().max(1);
        let took_ms = took.num_milliseconds().max(1);
        let counted = i64::try_from(entries).unwrap_or(i64::MAX);
        let fitting = usize::try_from(counted.saturating_mul(target) / took_ms).unwrap_or(1);
        // Down at once, up by doubling: one quick answer proves little.
        let fitting = fitting.clamp(1, entries.saturating_mul(2).max(1));
        Self { entries: fitting.min(policy.max_entries), micros_per_entry: micros(took, entries) }
    }
}

fn micros(took: TimeDelta, entries: usize) -> u32 {
    let entries = i64::try_from(entries.max(1)).unwrap_or(i64::MAX);
    let each = took.num_microseconds().unwrap_or(i64::MAX) / entries;
    u32::try_from(each.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: fn() -> Policy = Policy::default;

    #[test]
    fn a_request_of_half_the_pace_says_how_fast_a_receiver_is_and_a_smaller_one_does_not() {
        let policy = Policy::default();
        for (entries, observed) in [(250, true), (249, false)] {
            let mut facts = ReceiverFacts::default();
            facts.answered(&policy, entries, TimeDelta::seconds(1));
            assert_eq!(facts.pace.is_some(), observed, "{entries}");
        }
    }

    #[test]
    fn a_request_of_the_limits_own_size_that_passes_counts_although_size_was_suspected() {
        let policy = Policy::default();
        let mut facts = ReceiverFacts::default();
        facts.too_large(&policy, 8);
        for _ in 0..2 {
            facts.passed(&policy, 8, true);
        }
        assert_eq!(facts.entry_limit.map(|limit| (limit.entries, limit.passed)), Some((8, 2)));
    }

    #[test]
    fn a_batch_becomes_as_small_as_an_answer_within_ten_seconds_needs_and_grows_by_doubling() {
        let (policy, mut facts) = (POLICY(), ReceiverFacts::default());
        let mut answered = |entries, seconds| {
            facts.answered(&policy, entries, TimeDelta::seconds(seconds));
            facts.batch_size(&policy)
        };
        assert_eq!(answered(500, 2), 500, "fast enough");
        assert_eq!(answered(500, 50), 100);
        assert_eq!(answered(1, 5), 100, "one entry says nothing about a hundred");
        assert_eq!(answered(100, 1), 200, "no more than twice as many");
        assert_eq!(answered(200, 1), 400);
        assert_eq!(answered(400, 1), 500);
        assert_eq!(answered(1, 60), 1, "the slowest receiver gets single entries");
    }

    #[test]
    fn an_estimate_follows_the_last_answer() {
        let (policy, mut facts) = (POLICY(), ReceiverFacts::default());
        assert_eq!(facts.estimate(&policy, 500), policy.least_request);
        facts.answered(&policy, 500, TimeDelta::seconds(20));
        assert_eq!(facts.estimate(&policy, 250), TimeDelta::seconds(10));
        assert_eq!(facts.estimate(&policy, 1), policy.least_request);
    }

    #[test]
    fn quick_answers_to_small_requests_mend_the_estimate_of_a_receiver_found_too_slow() {
        let (policy, mut facts) = (POLICY(), ReceiverFacts::default());
        facts.too_slow(&policy, 10);
        assert_eq!(facts.estimate(&policy, 7), policy.request_timeout);
        facts.answered(&policy, 2, TimeDelta::milliseconds(400));
        assert!(facts.estimate(&policy, 7) <= TimeDelta::seconds(2), "the bound two entries give");
        assert_eq!(facts.batch_size(&policy), 5, "and no larger requests for it");
        facts.answered(&policy, 2, TimeDelta::seconds(8));
        assert!(facts.estimate(&policy, 7) <= TimeDelta::seconds(2), "a slow one of two is not it");
    }

    #[test]
    fn a_limit_is_remembered_when_a_half_passes_and_widened_after_many_batches() {
        let (policy, mut facts) = (POLICY(), ReceiverFacts::default());
        facts.passed(&policy, 30, false);
        assert_eq!(facts.entry_limit, None, "nobody spoke of size");
        facts.passed(&policy, 8, true);
        assert_eq!(facts.batch_size(&policy), 8);
        for _ in 1..policy.batches_until_wider {
            facts.passed(&policy, 8, false);
            facts.passed(&policy, 3, false);
        }
        assert_eq!(facts.batch_size(&policy), 8);
        facts.passed(&policy, 8, false);
        assert_eq!(facts.batch_size(&policy), 16, "one more: twice as much is tried");
        facts.too_large(&policy, 8);
        let limit = facts.entry_limit.unwrap();
        assert_eq!((limit.entries, limit.until_wider), (8, 2 * policy.batches_until_wider));
    }

    #[test]
    fn a_longer_wait_that_stands_is_kept() {
        let mut facts = ReceiverFacts::default();
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let wait = |seconds| Wait::after(now, TimeDelta::seconds(seconds));
        facts.leave_alone(now, wait(60), WaitReason::ReceiverAsked);
        facts.leave_alone(now, wait(5), WaitReason::Deferred);
        assert_eq!(
            facts.waits(now),
            Some((now + TimeDelta::seconds(60), WaitReason::ReceiverAsked))
        );
        facts.leave_alone(now, wait(90), WaitReason::ReceiverBusy);
        assert_eq!(facts.waits(now).unwrap().1, WaitReason::ReceiverBusy);
        assert_eq!(facts.waits(now + TimeDelta::seconds(90)), None);
    }
}
