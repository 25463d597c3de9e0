//! A clock and a time zone that stay where they are put.

use crate::environment::{Clock, EnvironmentError, LocalTime, SystemClock};
use crate::glucose::{UtcOffset, ZoneOffsets};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A wall clock that stands until it is moved. The monotonic clock goes on, and is moved forward
/// with it, but never back.
#[derive(Debug)]
pub struct FixedClock(Mutex<Times>);

#[derive(Debug)]
struct Times {
    wall: DateTime<Utc>,
    passed: Duration,
}

impl FixedClock {
    /// A clock that shows `wall`.
    pub fn new(wall: DateTime<Utc>) -> Self {
        Self(Mutex::new(Times { wall, passed: Duration::ZERO }))
    }

    /// Lets time pass; a negative `time` sets the wall clock back.
    pub fn pass(&self, time: TimeDelta) {
        self.with(|times| {
            times.wall += time;
            times.passed += time.to_std().unwrap_or_default();
        });
    }

    /// How much time was let pass.
    pub fn passed(&self) -> Duration {
        self.with(|times| times.passed)
    }

    /// Sets the wall clock, as a person may: no time passes.
    pub fn set(&self, wall: DateTime<Utc>) {
        self.with(|times| times.wall = wall);
    }

    fn with<T>(&self, work: impl FnOnce(&mut Times) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.with(|times| times.wall)
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic() + self.with(|times| times.passed)
    }
}

/// A zone whose offsets are told once; UTC by default.
#[derive(Clone, Debug)]
pub struct FixedZone(ZoneOffsets);

impl FixedZone {
    /// A zone with these offsets.
    pub fn new(offsets: ZoneOffsets) -> Self {
        Self(offsets)
    }
}

impl Default for FixedZone {
    fn default() -> Self {
        Self(ZoneOffsets::fixed(UtcOffset::UTC))
    }
}

impl LocalTime for FixedZone {
    fn offsets(&self, _: DateTime<Utc>, _: DateTime<Utc>) -> Result<ZoneOffsets, EnvironmentError> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_stands_and_the_monotonic_one_never_goes_back() {
        let start = DateTime::UNIX_EPOCH;
        let clock = FixedClock::new(start);
        let before = clock.monotonic();
        clock.pass(TimeDelta::hours(2));
        assert_eq!(clock.now(), start + TimeDelta::hours(2));
        let later = clock.monotonic();
        assert!(later >= before + Duration::from_hours(2));
        clock.pass(TimeDelta::hours(-5));
        assert_eq!(clock.now(), start - TimeDelta::hours(3));
        clock.set(start);
        assert_eq!(clock.now(), start);
        assert!(clock.monotonic() >= later);
        assert!(clock.monotonic() < later + Duration::from_hours(1), "setting passes no time");
    }
}
