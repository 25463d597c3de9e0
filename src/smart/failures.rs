//! Failures of a token or revocation endpoint, and how long it is left alone for them.

use crate::backoff::{Backoff, RetryAfter};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Bare refusals in a row, and the time they last, after which the receiver counts as changed.
const REFUSALS: u32 = 6;
const REFUSED_FOR: TimeDelta = TimeDelta::hours(24);
/// The first pause after a failure, the longest of our own choosing for a token endpoint, and for
/// an endpoint that was not reached: that costs it nothing.
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(4);
const LONGEST_UNREACHED: TimeDelta = TimeDelta::minutes(1);

/// Why a token or revocation endpoint is left alone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureReason {
    /// No connection: offline, name not found, refused.
    Unreachable,
    /// Its certificate is not trusted on this device.
    Untrusted,
    /// The request could not be made.
    Request,
    /// The connection broke before the answer was complete: the request may have been acted on.
    Broken,
    /// It answered this HTTP status, without saying why in OAuth's terms.
    Status(u16),
    /// Its answer was not one.
    Unreadable,
}

impl FailureReason {
    /// Whether the endpoint certainly did not act on the request.
    pub fn proves_unused(self) -> bool {
        match self {
            Self::Unreachable | Self::Untrusted | Self::Request => true,
            Self::Status(status) => matches!(status, 429 | 503),
            Self::Broken | Self::Unreadable => false,
        }
    }

    /// Refusals that no waiting ends if they last.
    fn refuses(self) -> bool {
        match self {
            Self::Status(status) => {
                (400..500).contains(&status) && !matches!(status, 408 | 425 | 429)
            }
            _ => false,
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("there is no connection to it"),
            Self::Untrusted => f.write_str("its certificate is not trusted on this device"),
            Self::Request => f.write_str("the request to it could not be made"),
            Self::Broken => f.write_str("the connection broke before its answer was complete"),
            Self::Status(status) => write!(f, "it answered {status}"),
            Self::Unreadable => f.write_str("its answer cannot be read"),
        }
    }
}

/// Until when an endpoint is left alone, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When it ends.
    pub until: DateTime<Utc>,
    /// What failed last.
    pub reason: FailureReason,
}

/// Failures in a row of an endpoint, and how long it is left alone for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failures {
    count: u32,
    last: Option<Failure>,
    /// The bare refusals at the end of the row; `None` if it ends with another failure.
    refused: Option<Refused>,
}

/// Bare refusals in a row, with no other failure between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Refused {
    count: u32,
    /// The unix second of the first one.
    since: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Failure {
    reason: FailureReason,
    until: i64,
    /// How long the pause was when it was set: a clock that is set back does not prolong it.
    seconds: i64,
}

impl Failures {
    /// The pause that is still on. If its end lies further ahead than it was long, the clock was
    /// set back, and the pause is over.
    pub fn pause(&self, now: DateTime<Utc>) -> Option<Pause> {
        let last = self.last?;
        let left = last.until.saturating_sub(now.timestamp());
        let until = DateTime::from_timestamp(last.until, 0)?;
        (1..=last.seconds).contains(&left).then_some(Pause { until, reason: last.reason })
    }

    /// With one more: the pause doubles up to `longest`, is spread by `jitter`, and is no shorter
    /// than the endpoint asks for (a day at most).
    #[must_use]
    pub fn and(
        self,
        reason: FailureReason,
        asked: Option<RetryAfter>,
        longest: TimeDelta,
        jitter: u32,
        now: DateTime<Utc>,
    ) -> Self {
        let count = self.count.saturating_add(1);
        let longest = match reason {
            FailureReason::Unreachable | FailureReason::Untrusted => longest.min(LONGEST_UNREACHED),
            _ => longest,
        };
        let backoff = Backoff { first: FIRST_PAUSE, longest, ..Backoff::default() };
        let length = backoff.delay(count, jitter, asked, now);
        let seconds = length.num_seconds().max(1);
        let last = Failure { reason, until: now.timestamp().saturating_add(seconds), seconds };
        let refused = reason.refuses().then(|| {
            let before = self.refused.unwrap_or(Refused { count: 0, since: now.timestamp() });
            Refused { count: before.count.saturating_add(1), ..before }
        });
        Self { count, last: Some(last), refused }
    }

    /// Whether the endpoint refuses without a reason for so long that waiting ends nothing.
    pub(super) fn refuse_for_good(&self, now: DateTime<Utc>) -> bool {
        self.refused.is_some_and(|refused| {
            refused.count >= REFUSALS
                && now.timestamp() - refused.since >= REFUSED_FOR.num_seconds()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);

    fn now() -> DateTime<Utc> {
        "2024-05-01T08:00:00Z".parse().unwrap()
    }

    fn failed(
        failures: Failures,
        reason: FailureReason,
        asked: Option<&str>,
        at: DateTime<Utc>,
    ) -> (Failures, i64) {
        let asked = asked.and_then(RetryAfter::parse);
        let more = failures.and(reason, asked, LONGEST_PAUSE, u32::MAX, at);
        (more, (more.pause(at).unwrap().until - at).num_seconds())
    }

    #[test]
    fn an_outage_is_asked_less_and_less_often() {
        let mut failures = Failures::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            let (more, wait) = failed(failures, FailureReason::Status(502), None, now());
            failures = more;
            waits.push(wait);
        }
        assert_eq!(waits, [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]);
        let (_, wait) = failed(failures, FailureReason::Unreachable, None, now());
        assert_eq!(wait, 60, "being offline costs the receiver nothing");
        let (_, wait) =
            failed(Failures::default(), FailureReason::Status(429), Some("7200"), now());
        assert!(wait >= 7200, "{wait}");
        let (_, wait) = failed(failures, FailureReason::Status(503), Some("1"), now());
        assert_eq!(wait, 3600, "asking for less does not shorten it");
    }

    #[test]
    fn only_a_refusal_that_lasts_a_day_says_that_somebody_has_to_look() {
        let misconfigured = |reason, hours: i64, count: u32| {
            let mut failures = Failures::default();
            for _ in 1..count {
                failures = failed(failures, reason, None, now()).0;
            }
            let later = now() + TimeDelta::hours(hours);
            failed(failures, reason, None, later).0.refuse_for_good(later)
        };
        assert!(misconfigured(FailureReason::Status(404), 24, 6));
        assert!(misconfigured(FailureReason::Status(400), 24, 6));
        assert!(!misconfigured(FailureReason::Status(404), 23, 6));
        assert!(!misconfigured(FailureReason::Status(404), 24, 5));
        for reason in [429, 408, 425, 500, 503].map(FailureReason::Status) {
            assert!(!misconfigured(reason, 100, 100), "{reason}");
        }
        assert!(!misconfigured(FailureReason::Unreachable, 100, 100));
    }

    #[test]
    fn one_refusal_after_a_day_of_other_failures_blocks_nothing() {
        let refused = FailureReason::Status(403);
        for other in [FailureReason::Unreachable, FailureReason::Status(503)] {
            let mut failures = Failures::default();
            for hour in 0..24 {
                failures = failed(failures, other, None, now() + TimeDelta::hours(hour)).0;
            }
            let later = now() + TimeDelta::hours(24);
            failures = failed(failures, refused, None, later).0;
            assert!(!failures.refuse_for_good(later), "{other}");
            for hour in 25..48 {
                let at = now() + TimeDelta::hours(hour);
                failures = failed(failures, refused, None, at).0;
                assert!(!failures.refuse_for_good(at), "{other}: refused for less than a day");
            }
            let last = now() + TimeDelta::hours(48);
            assert!(failed(failures, refused, None, last).0.refuse_for_good(last), "{other}");
            let between = failed(failures, other, None, last).0;
            assert!(!failed(between, refused, None, last).0.refuse_for_good(last), "{other}");
        }
    }

    #[test]
    fn a_clock_set_back_ends_a_pause() {
        let (failures, length) = failed(Failures::default(), FailureReason::Broken, None, now());
        assert_eq!(failures.pause(now()).map(|pause| pause.reason), Some(FailureReason::Broken));
        assert!(failures.pause(now() + TimeDelta::seconds(length - 1)).is_some());
        assert!(failures.pause(now() + TimeDelta::seconds(length)).is_none());
        assert!(failures.pause(now() - TimeDelta::seconds(1)).is_none());
    }
}
