//! Time as the environment tells it: the two clocks, the timer, and how long work may take.

use super::BoxFuture;
use chrono::{DateTime, Utc};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The wall clock. It may jump, forward and back.
    fn now(&self) -> DateTime<Utc>;

    /// The time since an arbitrary start that stays the same for the process. It never goes back,
    /// and goes on while the device sleeps.
    fn monotonic(&self) -> Duration;
}

/// Waits. Nothing outside an implementation of this trait sleeps.
pub trait Timer: Send + Sync {
    /// Returns after `wait`, or later if the device slept meanwhile. Dropping the future ends the
    /// wait.
    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()>;
}

/// Until when work may go on, on the monotonic clock.
///
/// # Example
/// ```
/// use cgm_submitter::environment::Deadline;
/// use std::time::Duration;
///
/// let second = Duration::from_secs(1);
/// let deadline = Deadline::at(10 * second);
/// assert_eq!(deadline.left(7 * second), 3 * second);
/// assert!(deadline.allows(7 * second, 3 * second));
/// assert!(!deadline.allows(8 * second, 3 * second));
/// assert!(Deadline::NEVER.allows(8 * second, Duration::MAX));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Duration>);

impl Deadline {
    /// No deadline.
    pub const NEVER: Self = Self(None);

    /// The deadline `budget` from now. A budget too long to count is no deadline.
    pub fn after(clock: &dyn Clock, budget: Duration) -> Self {
        Self(clock.monotonic().checked_add(budget))
    }

    /// The deadline at this reading of [`Clock::monotonic`].
    pub const fn at(monotonic: Duration) -> Self {
        Self(Some(monotonic))
    }

    /// The time left at `monotonic`: zero after the deadline, [`Duration::MAX`] without one.
    pub const fn left(self, monotonic: Duration) -> Duration {
        match self.0 {
            Some(end) => end.saturating_sub(monotonic),
            None => Duration::MAX,
        }
    }

    /// Whether work that takes `needed` and starts at `monotonic` ends in time.
    pub fn allows(self, monotonic: Duration, needed: Duration) -> bool {
        self.left(monotonic) >= needed
    }

    /// Whether no time is left at `monotonic`.
    pub const fn has_passed(self, monotonic: Duration) -> bool {
        self.left(monotonic).is_zero()
    }

    /// The earlier of the two.
    #[must_use]
    pub fn earlier_of(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(one), Some(other)) => Self(Some(one.min(other))),
            (one, other) => Self(one.or(other)),
        }
    }
}

/// What `work` comes to within `limit`; `None` if it does not end in time, and is dropped.
pub(crate) async fn within<T>(
    timer: &dyn Timer,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let (mut work, mut over) = (pin!(work), timer.sleep(limit));
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        over.as_mut().poll(context).map(|()| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(Duration);

    impl Clock for At {
        fn now(&self) -> DateTime<Utc> {
            DateTime::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            self.0
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_deadline_says_what_is_left_and_what_still_fits() {
        let deadline = Deadline::after(&At(5 * SECOND), 3 * SECOND);
        assert_eq!(deadline, Deadline::at(8 * SECOND));
        for (now, left) in [(5, 3), (7, 1), (8, 0), (9, 0)] {
            let now = now * SECOND;
            assert_eq!(deadline.left(now), left * SECOND);
            assert_eq!(deadline.has_passed(now), left == 0);
            assert!(deadline.allows(now, left * SECOND));
            assert!(!deadline.allows(now, left * SECOND + Duration::from_nanos(1)));
        }
    }

    #[test]
    fn no_deadline_and_a_budget_too_long_to_count_leave_all_time() {
        for never in [Deadline::NEVER, Deadline::after(&At(SECOND), Duration::MAX)] {
            assert_eq!(never.left(Duration::MAX), Duration::MAX);
            assert!(never.allows(SECOND, Duration::MAX) && !never.has_passed(Duration::MAX));
        }
    }

    #[test]
    fn of_two_deadlines_the_earlier_holds_and_none_is_the_latest() {
        let (early, late) = (Deadline::at(SECOND), Deadline::at(2 * SECOND));
        for (one, other, expected) in [
            (early, late, early),
            (late, early, early),
            (late, Deadline::NEVER, late),
            (Deadline::NEVER, late, late),
            (Deadline::NEVER, Deadline::NEVER, Deadline::NEVER),
        ] {
            assert_eq!(one.earlier_of(other), expected);
        }
    }
}
