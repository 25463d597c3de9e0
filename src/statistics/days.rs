//! Local dates: on which there were readings, and how much of each is covered.
//!
//! A reading's date is by its own UTC offset, kept within the dates summarised: so a traveller's
//! dates may come and go in any order. Covered time belongs to the date by the offset of the first
//! reading that covers it, cut at that date's midnight.

use crate::glucose::{DateRange, UtcOffset};
use chrono::NaiveDate;
use std::collections::BTreeMap;

/// 70 % of a day of 24 hours, in seconds.
const WELL_COVERED: i64 = 86_400 * 7 / 10;

#[derive(Clone, Copy, Default)]
struct Day {
    worn: bool,
    covered: i64,
}

/// A date as an offset sees it: unix seconds of its start and of the next one's.
#[derive(Clone, Copy)]
struct Span {
    number: i64,
    offset: UtcOffset,
    start: i64,
    end: i64,
}

/// The dates with readings.
pub(super) struct Days {
    first: i64,
    last: i64,
    closed: BTreeMap<i64, Day>,
    /// The date being filled, kept out of the map: readings come in time order.
    open: (Span, Day),
}

impl Days {
    pub(super) fn new(dates: DateRange) -> Self {
        let number = |date: NaiveDate| date.signed_duration_since(NaiveDate::default()).num_days();
        let (first, last) = (number(dates.first()), number(dates.last()));
        // Holds no instant: the first reading opens its own.
        let span = Span { number: first, offset: UtcOffset::UTC, start: 0, end: 0 };
        Self { first, last, closed: BTreeMap::new(), open: (span, Day::default()) }
    }

    /// A reading at `seconds` that newly covers from `from` to `to`, all unix seconds.
    #[inline]
    pub(super) fn add(&mut self, seconds: i64, offset: UtcOffset, from: i64, to: i64) {
        let (span, day) = self.at(seconds, offset);
        day.worn = true;
        if to <= span.end {
            day.covered += (to - from).max(0);
            return;
        }
        self.cover(from, to, offset);
    }

    /// Gives each date its part.
    #[cold]
    fn cover(&mut self, mut from: i64, to: i64, offset: UtcOffset) {
        while from < to {
            let (span, day) = self.at(from, offset);
            let end = to.min(span.end);
            day.covered += end - from;
            from = end;
        }
    }

    /// The date of an instant.
    #[inline]
    fn at(&mut self, seconds: i64, offset: UtcOffset) -> (Span, &mut Day) {
        let (span, _) = self.open;
        if span.offset != offset || seconds < span.start || span.end <= seconds {
            self.open(seconds, offset);
        }
        (self.open.0, &mut self.open.1)
    }

    #[cold]
    fn open(&mut self, seconds: i64, offset: UtcOffset) {
        let (span, day) = self.open;
        if day.worn || day.covered > 0 {
            self.closed.insert(span.number, day);
        }
        let number = offset.local_day(seconds).clamp(self.first, self.last);
        let midnight = |number: i64| number * 86_400 - offset.seconds();
        // What lies before the first date or after the last counts to them.
        let start = if number == self.first { i64::MIN } else { midnight(number) };
        let end = if number == self.last { i64::MAX } else { midnight(number + 1) };
        let day = self.closed.remove(&number).unwrap_or_default();
        self.open = (Span { number, offset, start, end }, day);
    }

    /// How many dates have a reading, and how many are covered for 70 % of 24 hours or more.
    pub(super) fn finish(mut self) -> (u32, u32) {
        let (span, day) = self.open;
        self.closed.insert(span.number, day);
        let count = |days: usize| u32::try_from(days).unwrap_or(u32::MAX);
        let worn = self.closed.values().filter(|day| day.worn).count();
        let well_covered = self.closed.values().filter(|day| day.covered >= WELL_COVERED).count();
        (count(worn), count(well_covered))
    }
}
