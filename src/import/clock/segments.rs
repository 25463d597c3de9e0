//! Where a device's clock stepped against a transmitter's count, and each row's offset relative to
//! the first row's. Knows no time zone.

use super::{ClockedRow, nearest_offset};
use std::collections::HashMap;

/// A jump of the stamps smaller than this is a clock being set, never a change of offset.
const SMALLEST_JUMP: i64 = 10 * 60;
/// How far a change of offset may be from a multiple of 15 minutes, for the clock's own wander.
const JUMP_TOLERANCE: i64 = 150;
/// Stamps of one transmitter further apart than the world's offsets (26 h) and drift belong to a
/// wrong date.
const FURTHEST_STAMP: i64 = 27 * 3600;
/// A clock that stepped more often over the months a transmitter lives is none: its rows cannot be
/// placed.
const MOST_STEPS: usize = 200;

/// A transmitter's rows by count, with what their clocks did.
pub(super) struct Track {
    rows: Vec<ClockedRow>,
    relative: Vec<i64>,
    steps: Vec<Step>,
}

/// A step of one clock's offset, between two of its rows.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// The place of the last row before it.
    pub(super) before: usize,
    /// The place of the first row after it.
    pub(super) after: usize,
    /// Seconds by which the clock went forward.
    pub(super) by: i64,
}

impl Track {
    /// The rows in order of count. Those of a wrong date are left out; `None` if nothing is left,
    /// or the stamps do not run beside the count at all.
    pub(super) fn of(mut rows: Vec<ClockedRow>) -> Option<Self> {
        let mut skews: Vec<_> = rows.iter().map(|row| row.stamp - row.tick).collect();
        let middle = skews.len() / 2;
        let median =
            if skews.is_empty() { return None } else { *skews.select_nth_unstable(middle).1 };
        rows.retain(|row| (row.stamp - row.tick - median).abs() <= FURTHEST_STAMP);
        rows.sort_unstable_by_key(|row| (row.tick, row.stamp, row.id));
        let mut clocks: HashMap<usize, Clock> = HashMap::new();
        let (mut relative, mut steps) = (Vec::with_capacity(rows.len()), Vec::new());
        let mut last: Option<Clock> = None;
        for (at, row) in rows.iter().enumerate() {
            let ahead = row.stamp - row.tick;
            let clock = match clocks.get(&row.source) {
                Some(clock) => clock.next(ahead, at),
                None => Clock::beside(last, ahead, at),
            };
            if let Some(before) = clocks.insert(row.source, clock)
                && clock.relative != before.relative
            {
                let by = clock.relative - before.relative;
                steps.push(Step { before: before.row, after: at, by });
            }
            last = Some(clock);
            relative.push(clock.relative);
        }
        (steps.len() <= MOST_STEPS && !rows.is_empty()).then_some(Self { rows, relative, steps })
    }

    /// Each row with its offset relative to the first row's.
    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = (&ClockedRow, i64)> {
        self.rows.iter().zip(self.relative.iter().copied())
    }

    /// Its number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Stamp and relative offset at a place of [`Track::rows`].
    pub(super) fn at(&self, place: usize) -> (i64, i64) {
        let row = self.rows.get(place).map_or(0, |row| row.stamp);
        (row, self.relative.get(place).copied().unwrap_or_default())
    }

    /// Whether the file has the row at this place.
    pub(super) fn is_in_file(&self, place: usize) -> bool {
        self.rows.get(place).is_some_and(|row| row.in_file)
    }

    /// The steps, in order.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The stamp of the first row.
    pub(super) fn first_stamp(&self) -> i64 {
        self.at(0).0
    }

    /// The stamp of the last row.
    pub(super) fn last_stamp(&self) -> i64 {
        self.at(self.rows.len() - 1).0
    }

    /// The lowest and the highest relative offset.
    pub(super) fn range(&self) -> (i64, i64) {
        let lowest = self.relative.iter().copied().min().unwrap_or_default();
        (lowest, self.relative.iter().copied().max().unwrap_or_default())
    }
}

/// One phone's or receiver's clock against the transmitter's.
#[derive(Clone, Copy)]
struct Clock {
    /// How far the last stamp was ahead of the count.
    ahead: i64,
    /// The offset, relative to the transmitter's first row.
    relative: i64,
    /// By how much the clock was set wrong by hand: no offset, and taken back some day.
    wrong: i64,
    /// The place of its last row.
    row: usize,
}

impl Clock {
    /// A clock seen for the first time, beside the one seen last.
    fn beside(last: Option<Self>, ahead: i64, row: usize) -> Self {
        let relative = last
            .map_or(0, |last| last.relative + nearest_offset(ahead - (last.ahead - last.wrong)));
        Self { ahead, relative, wrong: 0, row }
    }

    /// The clock at its next row.
    fn next(&self, ahead: i64, row: usize) -> Self {
        let jump = ahead - self.ahead;
        let mut next = Self { ahead, row, ..*self };
        let near = |jump: i64| (jump - nearest_offset(jump)).abs() <= JUMP_TOLERANCE;
        if jump.abs() < SMALLEST_JUMP {
            // Drift, or the clock set right by minutes.
        } else if near(jump) {
            next.relative += nearest_offset(jump);
        } else if near(self.wrong + jump) {
            next.relative += nearest_offset(self.wrong + jump);
            next.wrong = 0;
        } else {
            next.wrong += jump;
        }
        next
    }
}
