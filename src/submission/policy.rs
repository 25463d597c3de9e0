//! Every limit and threshold of a delivery, with its reason. Nothing else holds such a number.

use super::{Backoff, Wait};
use chrono::{DateTime, TimeDelta, Utc};

/// How a delivery behaves: how much goes at once, how long it waits, and when it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Entries of one request at most. Large receivers take 500 and more; some take fewer and say
    /// so.
    pub max_entries: usize,
    /// How long an answer should take. Longer requests meet the time limits of gateways and of
    /// phones in the background.
    pub pace_target: TimeDelta,
    /// How long a request to a receiver of unknown pace is expected to take at least: connecting,
    /// sending, answering.
    pub least_request: TimeDelta,
    /// The least time in which what cannot get smaller is tried, if nothing else was in this run:
    /// what is known of a receiver's pace may be wrong, and nothing else would mend it.
    pub least_try: TimeDelta,
    /// How long an answer is waited for. Longer than any gateway waits.
    pub request_timeout: TimeDelta,
    /// How long a call may take, its requests together, for which a person waits: connecting, and
    /// reading the patient and the orders. Submissions and verifications are given their time by
    /// the host.
    pub call: TimeDelta,
    /// The same for ending a connection: it has ended here then, and what is left to do at the
    /// receiver is done later.
    pub disconnect: TimeDelta,
    /// How much longer than [`request_timeout`](Self::request_timeout) a request may still be at
    /// work at the receiver.
    pub lease_margin: TimeDelta,
    /// The longest lease, however often the outcome was unknown.
    pub longest_lease: TimeDelta,
    /// How long to wait after a failure.
    pub backoff: Backoff,
    /// The longest wait for a connection: a request that does not arrive costs the receiver
    /// nothing, and who is back in reach expects it to go on.
    pub longest_unreached: TimeDelta,
    /// Unknown outcomes in a row after which the batch counts as too large for the receiver:
    /// smaller ones are tried.
    pub unknowns_until_smaller: u32,
    /// The least number of entries that unknown outcomes alone bring a batch down to.
    pub smallest_after_unknowns: usize,
    /// Unreadable answers in a row after which the receiver counts as changed.
    pub unreadable_answers: u32,
    /// The same for entries without conditional create: fewer, because each answer may have stored
    /// everything once more.
    pub unreadable_answers_unconditional: u32,
    /// A request answered 500 so often, alike, and for at least
    /// [`bisect_after`](Self::bisect_after) may fail for one of its entries: an outage is usually
    /// over by then.
    pub bisect_failures: u32,
    /// See [`bisect_failures`](Self::bisect_failures).
    pub bisect_after: TimeDelta,
    /// A request answered with a redirect so often, and for at least
    /// [`elsewhere_after`](Self::elsewhere_after), counts as sent to the wrong place: a network's
    /// sign-in page or a maintenance is usually over by then.
    pub elsewhere_answers: u32,
    /// See [`elsewhere_answers`](Self::elsewhere_answers).
    pub elsewhere_after: TimeDelta,
    /// Single units that failed with 500 in a row, none accepted, after which the failure counts as
    /// the receiver's own and isolating ends. As often must one unit fail, each time right after
    /// something else was accepted, before it may be to blame.
    pub isolation_tries: u32,
    /// How soon after an acceptance a failure has to come to say something about the unit that
    /// failed, and nothing about the receiver.
    pub isolation_nearness: TimeDelta,
    /// Further passes after which a unit that fails alone is to blame, each
    /// [`isolation_pause`](Self::isolation_pause) after the one before: it may have met an outage.
    pub isolation_passes: u32,
    /// See [`isolation_passes`](Self::isolation_passes).
    pub isolation_pause: TimeDelta,
    /// Refused unconditional probes after which `ifNoneExist` is ruled out as the cause.
    pub probes: u32,
    /// Single units refused as whole requests with one status after which the reason lies with the
    /// connection.
    pub lone_refusals: u32,
    /// Batches of readings refused alike in a row, none taken, after which the rest is not tried.
    pub alike_batches: u32,
    /// A batch of more entries than this, all refused alike, says something about the connection
    /// and nothing about its entries.
    pub alike_entries: usize,
    /// How often deferred devices are waited for before their readings go without them.
    pub device_waits: u32,
    /// A 500 that speaks of size to a request of no more than twice this many entries meant
    /// something else: receivers that break say all kinds of things.
    pub size_in_a_500: usize,
    /// How many batches have to pass at a remembered limit before twice as much is tried.
    pub batches_until_wider: u32,
    /// How often a thing of unknown outcome is looked up before it is sent again: an index may lag.
    pub lookups: u32,
    /// The time between two lookups.
    pub lookup_pause: TimeDelta,
    /// Searches without an answer after which the outcome rests as unknown.
    pub failed_lookups: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_entries: 500,
            pace_target: TimeDelta::seconds(10),
            least_request: TimeDelta::seconds(1),
            least_try: TimeDelta::seconds(5),
            request_timeout: TimeDelta::seconds(60),
            call: TimeDelta::seconds(30),
            disconnect: TimeDelta::seconds(10),
            lease_margin: TimeDelta::seconds(10),
            longest_lease: TimeDelta::hours(6),
            backoff: Backoff::default(),
            longest_unreached: TimeDelta::minutes(1),
            unknowns_until_smaller: 2,
            smallest_after_unknowns: 5,
            unreadable_answers: 5,
            unreadable_answers_unconditional: 2,
            bisect_failures: 6,
            bisect_after: TimeDelta::hours(24),
            elsewhere_answers: 6,
            elsewhere_after: TimeDelta::hours(24),
            isolation_tries: 3,
            isolation_nearness: TimeDelta::minutes(5),
            isolation_passes: 2,
            isolation_pause: TimeDelta::hours(1),
            probes: 3,
            lone_refusals: 3,
            alike_batches: 3,
            alike_entries: 3,
            device_waits: 4,
            size_in_a_500: 25,
            batches_until_wider: 64,
            lookups: 2,
            lookup_pause: TimeDelta::minutes(10),
            failed_lookups: 8,
        }
    }
}

impl Policy {
    /// How long a request claimed `now` may be at work, once its answer is waited for `timeout`.
    /// Doubled by each unknown outcome before it: such a receiver is slower than was thought.
    pub fn lease(&self, now: DateTime<Utc>, timeout: TimeDelta, unknowns: u32) -> Wait {
        let once = timeout.min(self.request_timeout) + self.lease_margin;
        Wait::after(now, (once * 2_i32.pow(unknowns.min(12))).min(self.longest_lease))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_covers_the_whole_request_and_doubles_with_each_unknown_outcome() {
        let (policy, now) = (Policy::default(), DateTime::UNIX_EPOCH);
        let lease = |seconds, unknowns| {
            let lease = policy.lease(now, TimeDelta::seconds(seconds), unknowns);
            (lease.ends(now).unwrap() - now).num_seconds()
        };
        assert_eq!([0, 1, 2, 3].map(|unknowns| lease(60, unknowns)), [70, 140, 280, 560]);
        assert_eq!(lease(5, 0), 15, "a request that is cut sooner frees its batch sooner");
        assert_eq!(lease(9_999, 0), 70);
        assert_eq!(lease(60, 40), 6 * 3600);
    }
}
