//! Waits as they are written down: they outlast the process, and a clock that was set back.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A wait: until when, and how long it was when it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    until: i64,
    seconds: i64,
}

impl Wait {
    /// No wait.
    pub const NONE: Self = Self { until: 0, seconds: 0 };

    /// A wait of `length` from `now`, in whole seconds: never cut short.
    pub fn after(now: DateTime<Utc>, length: TimeDelta) -> Self {
        let seconds =
            |length: TimeDelta| length.num_seconds() + i64::from(length.subsec_nanos() > 0);
        let begun = TimeDelta::nanoseconds(i64::from(now.timestamp_subsec_nanos()));
        Self { until: now.timestamp() + seconds(begun + length), seconds: seconds(length) }
    }

    /// When it ends; `None` if it is over.
    ///
    /// If it lies further ahead than it was long, the clock was set back: the wait is over.
    pub fn ends(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let ahead = self.until - now.timestamp();
        // The second it began in is part of it.
        (ahead > 0 && ahead <= self.seconds + 1)
            .then(|| DateTime::from_timestamp(self.until, 0))
            .flatten()
    }

    /// The wait of the two that ends later.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        if other.until > self.until { other } else { self }
    }
}

/// Why nothing is sent for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WaitReason {
    /// The receiver asked for it.
    ReceiverAsked,
    /// The receiver failed or was busy, and did not say for how long.
    ReceiverBusy,
    /// There was no connection to the receiver.
    NoConnection,
    /// The receiver gave no access token, for now.
    TokenEndpoint,
    /// A request may still be at work at the receiver: its outcome is not known.
    OutcomeUnknown,
    /// What was sent with unknown outcome is looked up once more, a while after the first time.
    LookUp,
    /// The receiver deferred entries: they go again after a pause.
    Deferred,
    /// The receiver, or the network before it, points elsewhere: a sign-in page, maintenance, or
    /// it moved.
    Elsewhere,
    /// The device's secure storage is locked.
    VaultLocked,
    /// The time given is too short for another request.
    OutOfTime,
}

impl WaitReason {
    /// The stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ReceiverAsked => "receiver-asked",
            Self::ReceiverBusy => "receiver-busy",
            Self::NoConnection => "no-connection",
            Self::TokenEndpoint => "token-endpoint",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::LookUp => "look-up",
            Self::Deferred => "deferred",
            Self::Elsewhere => "elsewhere",
            Self::VaultLocked => "vault-locked",
            Self::OutOfTime => "out-of-time",
        }
    }
}

/// In words for a person.
impl std::fmt::Display for WaitReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ReceiverAsked => "the receiver asked to wait",
            Self::ReceiverBusy => "the receiver failed or is busy",
            Self::NoConnection => "there is no connection to the receiver",
            Self::TokenEndpoint => "the receiver gives no access for now",
            Self::OutcomeUnknown => "the receiver may still be at work on what was sent",
            Self::LookUp => "what was sent is looked up once more before it goes again",
            Self::Deferred => "the receiver deferred a part",
            Self::Elsewhere => {
                "another page answers: does the network ask to sign in, or has the receiver moved?"
            }
            Self::VaultLocked => "the device's secure storage is locked",
            Self::OutOfTime => "the time given is too short for the next request",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_wait_is_never_cut_short_and_ends_to_the_second() {
        let wait = Wait::after(at("2026-03-01T12:00:00.5Z"), TimeDelta::milliseconds(1_600));
        assert_eq!(wait.ends(at("2026-03-01T12:00:00.5Z")), Some(at("2026-03-01T12:00:03Z")));
        assert_eq!(wait.ends(at("2026-03-01T12:00:02.9Z")), Some(at("2026-03-01T12:00:03Z")));
        assert_eq!(wait.ends(at("2026-03-01T12:00:03Z")), None);
        assert_eq!(Wait::NONE.ends(DateTime::UNIX_EPOCH), None);
    }

    #[test]
    fn a_clock_set_back_ends_a_wait() {
        let wait = Wait::after(at("2026-03-01T12:00:00Z"), TimeDelta::minutes(2));
        assert!(wait.ends(at("2026-03-01T12:00:00Z")).is_some());
        assert_eq!(wait.ends(at("2026-02-01T12:00:00Z")), None);
        assert_eq!(wait.ends(at("2027-03-01T12:00:00Z")), None, "and so does one set forward");
    }
}
