//! When to try again: exponential with jitter, or when the receiver said, with jitter on top.

use chrono::{DateTime, TimeDelta, Utc};

/// What a receiver's `Retry-After` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// A number of seconds from now.
    Seconds(i64),
    /// Not before this instant.
    At(DateTime<Utc>),
}

impl RetryAfter {
    /// Reads the header: seconds, or an HTTP date in any of its forms (RFC 9110 §5.6.7, §10.2.3).
    /// `None` if it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
            // More than a number holds is as long as may be.
            return Some(Self::Seconds(
                text.parse().map_or(i64::from(u32::MAX), |seconds: u32| i64::from(seconds)),
            ));
        }
        httpdate::parse_http_date(text).ok().map(|at| Self::At(at.into()))
    }

    /// The header of an answer, if it has one that can be read.
    #[cfg(feature = "shell")]
    pub fn of(headers: &http::HeaderMap) -> Option<Self> {
        Self::parse(headers.get(http::header::RETRY_AFTER)?.to_str().ok()?)
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
    /// The longest spread on top of a wait that was asked for: everybody it was asked of would come
    /// back in the same second.
    pub longest_spread: TimeDelta,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: TimeDelta::seconds(2),
            longest: TimeDelta::hours(6),
            longest_asked: TimeDelta::days(1),
            longest_spread: TimeDelta::minutes(5),
        }
    }
}

impl Backoff {
    /// How long to wait after attempt number `attempt` (1 for the first), spread by `jitter`.
    ///
    /// Our own wait doubles with each attempt and is spread over its upper half, so that many
    /// phones do not come back at once. A receiver's word is obeyed, up to a day, and spread
    /// upwards only; one that asks for less than our own wait does not shorten it.
    pub fn delay(
        &self,
        attempt: u32,
        jitter: u32,
        asked: Option<RetryAfter>,
        now: DateTime<Utc>,
    ) -> TimeDelta {
        let doubled = self.first * 2_i32.pow(attempt.saturating_sub(1).min(16));
        let half = doubled.min(self.longest) / 2;
        let own = half + part(half, jitter);
        let Some(asked) = asked else { return own };
        let asked = asked.delay(now).min(self.longest_asked);
        if asked < own {
            return own;
        }
        let spread = (asked / 4).max(self.first).min(self.longest_spread);
        asked + part(spread, jitter)
    }
}

/// The part of `whole` that `jitter` is of all its values.
fn part(whole: TimeDelta, jitter: u32) -> TimeDelta {
    let milliseconds = i128::from(whole.num_milliseconds()) * i128::from(jitter);
    let part = milliseconds / i128::from(u32::MAX);
    TimeDelta::milliseconds(i64::try_from(part).unwrap_or(i64::MAX))
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
        let wait = |attempt| backoff.delay(attempt, u32::MAX, None, now()).num_seconds();
        assert_eq!([1, 2, 3, 4].map(wait), [2, 4, 8, 16]);
        assert_eq!(wait(40), 6 * 3600);
        assert_eq!(backoff.delay(3, 0, None, now()).num_seconds(), 4, "never less than half");
    }

    #[test]
    fn a_receivers_word_is_obeyed_up_to_a_day() {
        let backoff = Backoff::default();
        let asked = |text: &str| backoff.delay(1, 0, RetryAfter::parse(text), now()).num_seconds();
        assert_eq!(asked("120"), 120);
        assert_eq!(asked("4000000"), 86_400);
        assert_eq!(asked("99999999999999999999"), 86_400);
        assert_eq!(asked("Sun, 01 Mar 2020 12:05:00 GMT"), 1, "a time gone by: our own wait");
        assert_eq!(asked("0"), 1);
        for neither in ["soon", "-5", "", "1.5", "Sun, 32 Mar 2026 12:05:00 GMT"] {
            assert_eq!(RetryAfter::parse(neither), None, "{neither}");
        }
    }

    #[test]
    fn a_short_wait_that_was_asked_for_is_spread_over_as_long_as_our_own_first() {
        let backoff = Backoff::default();
        let asked = Some(RetryAfter::Seconds(3));
        assert_eq!(backoff.delay(1, 0, asked, now()).num_seconds(), 3);
        assert_eq!(backoff.delay(1, u32::MAX, asked, now()).num_seconds(), 5);
    }

    #[test]
    fn an_http_date_is_read_in_all_three_forms() {
        let five_minutes = Some(TimeDelta::minutes(5));
        for text in [
            "Sun, 01 Mar 2026 12:05:00 GMT",
            "Sunday, 01-Mar-26 12:05:00 GMT",
            "Sun Mar  1 12:05:00 2026",
        ] {
            let delay = RetryAfter::parse(text).map(|asked| asked.delay(now()));
            assert_eq!(delay, five_minutes, "{text}");
        }
    }

    #[test]
    fn a_fleet_told_to_come_back_in_two_minutes_does_not_come_back_in_one_second() {
        let backoff = Backoff::default();
        let phones = 4096_u32;
        let mut waits: Vec<_> = (0..phones)
            .map(|phone| phone * (u32::MAX / phones))
            .map(|jitter| backoff.delay(1, jitter, Some(RetryAfter::Seconds(120)), now()))
            .collect();
        assert!(waits.iter().all(|wait| *wait >= TimeDelta::seconds(120)), "not one too early");
        waits.dedup();
        assert!(waits.len() > 4000, "{} different waits", waits.len());
        let spread = waits[waits.len() - 1] - waits[0];
        assert!(spread > TimeDelta::seconds(29) && spread <= TimeDelta::seconds(30), "{spread}");
    }
}
