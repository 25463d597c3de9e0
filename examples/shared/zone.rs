//! A time zone by its name, from the tz database of `chrono-tz`. On a phone the host answers from
//! its own.

use cgm_submitter::environment::{EnvironmentError, LocalTime};
use cgm_submitter::errors::TimeError;
use cgm_submitter::{UtcOffset, ZoneOffsets};
use chrono::{DateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// A named time zone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zone(pub(crate) Tz);

impl Zone {
    fn offset_at(self, at: DateTime<Utc>) -> Result<UtcOffset, TimeError> {
        UtcOffset::from_minutes(
            self.0.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc() / 60,
        )
    }

    /// The zone's offsets over `from..to`: looked at day by day, each change then found to the
    /// second.
    pub(crate) fn over(
        self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<ZoneOffsets, TimeError> {
        let mut offsets = vec![(from.timestamp(), self.offset_at(from)?)];
        let (mut day, mut last) = (from, self.offset_at(from)?);
        while day < to {
            let next = day + TimeDelta::days(1);
            let offset = self.offset_at(next)?;
            if offset != last {
                let (mut before, mut after) = (day.timestamp(), next.timestamp());
                while after - before > 1 {
                    let middle = before.midpoint(after);
                    let at = DateTime::from_timestamp(middle, 0).ok_or(TimeError::Unreadable)?;
                    if self.offset_at(at)? == last { before = middle } else { after = middle }
                }
                offsets.push((after, offset));
                last = offset;
            }
            day = next;
        }
        ZoneOffsets::new(self.0.name(), offsets)
    }

    /// The zone over all time a reading can have.
    pub(crate) fn whole(self, now: DateTime<Utc>) -> Result<ZoneOffsets, TimeError> {
        let start = DateTime::from_timestamp(631_152_000, 0).ok_or(TimeError::Unreadable)?;
        self.over(start, now + TimeDelta::days(366))
    }
}

impl LocalTime for Zone {
    fn offsets(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<ZoneOffsets, EnvironmentError> {
        Ok(self.over(from, to)?)
    }
}
