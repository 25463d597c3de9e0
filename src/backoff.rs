//! When to try again: exponential with full jitter, or when the receiver said.

use chrono::{DateTime, TimeDelta, Utc};

/// What a receiver's `Retry-After` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// So many seconds from now.
    Seconds(i64),
    /// Not before this instant.
    At(DateTime<Utc>),
}

impl RetryAfter {
    /// Reads the header: seconds, or an HTTP date (RFC 9110 §10.2.3).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(seconds) = text.parse::<u32>() {
            return Some(Self::Seconds(i64::from(seconds)));
        }
        DateTime::parse_from_rfc2822(text).ok().map(|at| Self::At(at.to_utc()))
    }

    /// How long that is from `now`; a time gone by is negative.
    pub fn delay(self, now: DateTime<Utc>) -> TimeDelta {
        match self {
            Self::Seconds(seconds) => TimeDelta::seconds(seconds),
            Self::At(at) => at - now,
        }
    }
}

/// How long to wait, as a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait before the second attempt, at most.
    pub first: TimeDelta,
    /// The longest wait of our own choosing.
    pub longest: TimeDelta,
    /// The longest wait a receiver may ask for.
    pub longest_asked: TimeDelta,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: TimeDelta::seconds(2),
            longest: TimeDelta::hours(6),
            longest_asked: TimeDelta::days(1),
        }
    }
}

impl Backoff {
    /// How long to wait after attempt number `attempt` (1 for the first), with `jitter` drawn from
    /// 0..=255.
    ///
    /// Our own wait doubles with each attempt and is spread over its upper half, so that many
    /// phones do not come back at once. A receiver's word is obeyed, up to a day; one that asks
    /// for less than our own wait does not shorten it.
    pub fn delay(
        &self,
        attempt: u32,
        jitter: u8,
        asked: Option<RetryAfter>,
        now: DateTime<Utc>,
    ) -> TimeDelta {
        let doubled = self.first * 2_i32.pow(attempt.saturating_sub(1).min(16));
        let ceiling = doubled.min(self.longest);
        let own = ceiling / 2 + (ceiling / 2) * i32::from(jitter) / 255;
        match asked {
            Some(asked) => asked.delay(now).min(self.longest_asked).max(own),
            None => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn our_own_wait_doubles_up_to_the_longest() {
        let backoff = Backoff::default();
        let wait = |attempt| backoff.delay(attempt, 255, None, now()).num_seconds();
        assert_eq!([1, 2, 3, 4].map(wait), [2, 4, 8, 16]);
        assert_eq!(wait(40), 6 * 3600);
        assert_eq!(backoff.delay(3, 0, None, now()).num_seconds(), 4, "never less than half");
    }

    #[test]
    fn a_receivers_word_is_obeyed_up_to_a_day() {
        let backoff = Backoff::default();
        let asked = |text: &str| backoff.delay(1, 0, RetryAfter::parse(text), now()).num_seconds();
        assert_eq!(asked("120"), 120);
        assert_eq!(asked("Sun, 01 Mar 2026 12:05:00 GMT"), 300);
        assert_eq!(asked("4000000"), 86_400);
        assert_eq!(asked("Sun, 01 Mar 2020 12:05:00 GMT"), 1, "a time gone by: our own wait");
        assert_eq!(asked("0"), 1);
        assert_eq!(RetryAfter::parse("soon"), None);
        assert_eq!(RetryAfter::parse("-5"), None);
    }
}
