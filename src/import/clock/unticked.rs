//! Rows without a transmitter's count: placed by the person's time zone, or by what the host says.
//!
//! Stamps prove nothing about a journey. A gap may be a signal that was lost, and readings that are
//! doubled may be two devices under one name. So nothing is taken from them: that the export does
//! not show whether the clock moved is a [`ClockNote`](super::ClockNote), by the caller.

use super::evidence::resolve;
use super::{Circumstances, ClockAnswer, ClockBasis, LONGEST_CARRY};
use crate::glucose::{TimeError, UtcOffset, ZoneOffsets};
use crate::sorting::sort_by_key;

/// The clock of one device's rows without a count.
pub(in crate::import) struct StampClock<'a> {
    zone: &'a ZoneOffsets,
    /// In order of time.
    answers: Vec<ClockAnswer>,
    /// The stamp of the first row.
    first: i64,
}

impl<'a> StampClock<'a> {
    /// The clock of rows whose first stamp is `first`.
    pub(in crate::import) fn new(circumstances: &Circumstances<'a>, first: i64) -> Self {
        let mut answers = circumstances.answers.to_vec();
        // Stable: of two answers about one time the last counts.
        sort_by_key(&mut answers, |answer| answer.at);
        Self { zone: circumstances.zone, answers, first }
    }

    /// The offset at a local stamp, and what it was chosen by.
    pub(in crate::import) fn offset(
        &self,
        stamp: i64,
    ) -> Result<(UtcOffset, ClockBasis), TimeError> {
        let Some(answer) = self.answer(stamp) else {
            return Ok((resolve(self.zone, stamp)?, ClockBasis::Zone));
        };
        let is_at_home = self.zone.offset_at(seconds(answer) - answer.offset.seconds());
        let offset =
            if is_at_home == answer.offset { resolve(self.zone, stamp)? } else { answer.offset };
        Ok((offset, ClockBasis::Told))
    }

    /// The answer that holds at a stamp: the last before it. Without one after it, only if the file
    /// reaches back to it: what was said of a journey says nothing of files from after it.
    fn answer(&self, stamp: i64) -> Option<&ClockAnswer> {
        let next = self.answers.partition_point(|answer| seconds(answer) <= stamp);
        let answer = self.answers.get(next.checked_sub(1)?)?;
        let ends = next < self.answers.len();
        (ends || self.first - seconds(answer) <= LONGEST_CARRY).then_some(answer)
    }
}

/// The local time of an answer, as if it were UTC.
fn seconds(answer: &ClockAnswer) -> i64 {
    answer.at.and_utc().timestamp()
}
