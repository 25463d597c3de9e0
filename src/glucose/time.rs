//! When and where on the clock: UTC offsets, half-open windows, inclusive local dates, and a time
//! zone as a table of offsets.
//!
//! No time zone database here: the host gives the offsets of the stretch of time in question as a
//! [`ZoneOffsets`].

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a time, window or date range is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Not a time, or not in the form asked for.
    #[error("the time is unreadable: write it like 2024-05-01T08:15:00+02:00")]
    Unreadable,
    /// Not a range of dates.
    #[error("the dates are unreadable: write them like 2024-05-01..2024-05-14")]
    Dates,
    /// A time without offset where one is required.
    #[error("the time has no UTC offset: write it like 2024-05-01T08:15:00+02:00")]
    NoOffset,
    /// More than 18 hours from UTC.
    #[error("the UTC offset is more than 18 hours")]
    Offset,
    /// A window or date range that ends before it starts.
    #[error("the end is before the start")]
    EndBeforeStart,
    /// A local time the clocks skipped.
    #[error(
        "the local time was skipped when clocks went forward: the file or its time zone is wrong"
    )]
    Skipped,
    /// A local time that happened twice.
    #[error(
        "the local time happened twice when clocks went back, and nothing tells which is meant"
    )]
    Ambiguous,
    /// A table of offsets that is empty or not in order.
    #[error("the table of UTC offsets is empty or not in order")]
    Table,
}

/// Local time less UTC, in whole minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UtcOffset(i16);

impl UtcOffset {
    /// No offset.
    pub const UTC: Self = Self(0);

    /// An offset of at most 18 hours either way.
    ///
    /// # Errors
    /// [`TimeError::Offset`].
    pub fn from_minutes(minutes: i32) -> Result<Self, TimeError> {
        i16::try_from(minutes)
            .ok()
            .filter(|m| m.abs() <= 18 * 60)
            .map(Self)
            .ok_or(TimeError::Offset)
    }

    /// Minutes east of UTC.
    pub const fn minutes(self) -> i16 {
        self.0
    }

    /// Seconds east of UTC.
    pub const fn seconds(self) -> i64 {
        self.0 as i64 * 60
    }

    /// The local date at `unix_seconds`, as days since 1970-01-01.
    pub const fn local_day(self, unix_seconds: i64) -> i64 {
        (unix_seconds + self.seconds()).div_euclid(86_400)
    }

    /// The same offset as chrono's type.
    pub fn fixed(self) -> FixedOffset {
        FixedOffset::east_opt(i32::from(self.0) * 60).unwrap_or_else(|| chrono::Offset::fix(&Utc))
    }
}

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", self.0.unsigned_abs() / 60, self.0.unsigned_abs() % 60)
    }
}

/// A half-open range of instants: the start belongs to it, the end does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(i64, i64)", into = "(i64, i64)")]
pub struct Window {
    start: i64,
    end: i64,
}

impl Window {
    /// `start` ≤ t < `end`.
    ///
    /// # Errors
    /// [`TimeError::EndBeforeStart`].
    pub const fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Self, TimeError> {
        Self::from_unix(start.timestamp(), end.timestamp())
    }

    /// The same in unix seconds.
    ///
    /// # Errors
    /// [`TimeError::EndBeforeStart`].
    pub const fn from_unix(start: i64, end: i64) -> Result<Self, TimeError> {
        if end < start { Err(TimeError::EndBeforeStart) } else { Ok(Self { start, end }) }
    }

    /// First unix second.
    pub const fn start(self) -> i64 {
        self.start
    }

    /// The unix second after the last.
    pub const fn end(self) -> i64 {
        self.end
    }

    /// Whether the unix second lies in it.
    pub const fn contains(self, seconds: i64) -> bool {
        self.start <= seconds && seconds < self.end
    }

    /// Elapsed seconds.
    pub const fn seconds(self) -> i64 {
        self.end - self.start
    }
}

impl TryFrom<(i64, i64)> for Window {
    type Error = TimeError;

    fn try_from((start, end): (i64, i64)) -> Result<Self, TimeError> {
        Self::from_unix(start, end)
    }
}

impl From<Window> for (i64, i64) {
    fn from(window: Window) -> Self {
        (window.start, window.end)
    }
}

/// Local dates, both included: what a person and a FHIR Period of dates mean by "1 to 14 May".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(NaiveDate, NaiveDate)", into = "(NaiveDate, NaiveDate)")]
pub struct DateRange {
    first: NaiveDate,
    last: NaiveDate,
}

impl DateRange {
    /// `first` to `last`, both included.
    ///
    /// # Errors
    /// [`TimeError::EndBeforeStart`].
    pub fn new(first: NaiveDate, last: NaiveDate) -> Result<Self, TimeError> {
        if last < first { Err(TimeError::EndBeforeStart) } else { Ok(Self { first, last }) }
    }

    /// One date alone.
    pub const fn day(date: NaiveDate) -> Self {
        Self { first: date, last: date }
    }

    /// The first date.
    pub const fn first(self) -> NaiveDate {
        self.first
    }

    /// The last date, included.
    pub const fn last(self) -> NaiveDate {
        self.last
    }

    /// How many dates.
    pub fn days(self) -> i64 {
        (self.last - self.first).num_days() + 1
    }

    /// From the first date's midnight to the midnight after the last, by the zone's clocks: days of
    /// 23 and 25 hours included.
    ///
    /// # Errors
    /// [`TimeError::Unreadable`] for dates at the end of the calendar.
    pub fn window(self, zone: &ZoneOffsets) -> Result<Window, TimeError> {
        let after = self.last.succ_opt().ok_or(TimeError::Unreadable)?;
        Window::from_unix(zone.start_of_day(self.first), zone.start_of_day(after))
    }
}

impl DateRange {
    /// The unix second at which the day under way at `now` began, if these dates include it.
    ///
    /// # Errors
    /// [`TimeError`] at the end of the calendar.
    pub fn day_under_way(self, zone: &ZoneOffsets, now: i64) -> Result<Option<i64>, TimeError> {
        let today = zone.date_at(now);
        if !(self.first..=self.last).contains(&today) {
            return Ok(None);
        }
        Ok(Some(Self::day(today).window(zone)?.start()))
    }
}

impl TryFrom<(NaiveDate, NaiveDate)> for DateRange {
    type Error = TimeError;

    fn try_from((first, last): (NaiveDate, NaiveDate)) -> Result<Self, TimeError> {
        Self::new(first, last)
    }
}

impl From<DateRange> for (NaiveDate, NaiveDate) {
    fn from(dates: DateRange) -> Self {
        (dates.first, dates.last)
    }
}

/// `2024-05-01..2024-05-14`
impl fmt::Display for DateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}

impl FromStr for DateRange {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let (first, last) = text.split_once("..").ok_or(TimeError::Dates)?;
        let date =
            |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| TimeError::Dates);
        Self::new(date(first)?, date(last)?)
    }
}

/// How a local time maps to an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalInstant {
    /// Exactly one offset fits.
    Single(UtcOffset),
    /// Clocks went back: both fit; the first gives the earlier instant.
    Fold(UtcOffset, UtcOffset),
    /// Clocks went forward over it: none fits.
    Gap {
        /// The offset until the change.
        before: UtcOffset,
        /// The offset from the change on.
        after: UtcOffset,
        /// The unix second of the change.
        change: i64,
    },
}

/// A time zone over a stretch of time: its name, and each offset with the instant from which it
/// holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneOffsets {
    name: String,
    offsets: Vec<(i64, UtcOffset)>,
}

impl ZoneOffsets {
    /// `offsets` are `(unix second from which it holds, offset)` in rising order; the first also
    /// holds for all time before.
    ///
    /// # Errors
    /// [`TimeError::Table`] where it is empty or out of order.
    pub fn new(name: impl Into<String>, offsets: Vec<(i64, UtcOffset)>) -> Result<Self, TimeError> {
        if offsets.is_empty() || !offsets.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(TimeError::Table);
        }
        Ok(Self { name: name.into(), offsets })
    }

    /// A zone that never changes its clocks.
    pub fn fixed(offset: UtcOffset) -> Self {
        Self { name: offset.to_string(), offsets: vec![(i64::MIN, offset)] }
    }

    /// What the host calls the zone, for example `Europe/Bucharest`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The offset in force at an instant.
    pub fn offset_at(&self, unix_seconds: i64) -> UtcOffset {
        let after = self.offsets.partition_point(|(from, _)| *from <= unix_seconds);
        self.offsets[after.saturating_sub(1)].1
    }

    /// The changes of the clocks after `from`, up to and with `to`: the instant of each, the offset
    /// until then and the offset from then on.
    pub fn changes_between(
        &self,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (i64, UtcOffset, UtcOffset)> {
        let first = self.offsets.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        let pairs = self.offsets.get(first..).unwrap_or_default().windows(2);
        pairs
            .filter_map(|pair| match pair {
                [(_, before), (at, after)] => Some((*at, *before, *after)),
                _ => None,
            })
            .skip_while(move |(at, ..)| *at <= from)
            .take_while(move |(at, ..)| *at <= to)
    }

    /// Which instants a local time can mean.
    pub fn resolve(&self, local: NaiveDateTime) -> LocalInstant {
        let wall = local.and_utc().timestamp();
        // Offsets stay within 18 hours: only those in force within a day of the wall time can fit.
        let first =
            self.offsets.partition_point(|(from, _)| *from <= wall - 86_400).saturating_sub(1);
        let last = self.offsets.partition_point(|(from, _)| *from <= wall + 86_400).max(1);
        let near = &self.offsets[first..last];
        let mut fitting = near.iter().enumerate().filter_map(|(i, (from, offset))| {
            let instant = wall - offset.seconds();
            let begun = i == 0 || *from <= instant;
            let over = near.get(i + 1).is_some_and(|(next, _)| *next <= instant);
            (begun && !over).then_some(*offset)
        });
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => LocalInstant::Single(one),
            (Some(earlier), Some(later)) => LocalInstant::Fold(earlier, later),
            (None, _) => {
                let skipped = near.windows(2).find(|pair| {
                    let (change, before, after) = (pair[1].0, pair[0].1, pair[1].1);
                    (change + before.seconds()..change + after.seconds()).contains(&wall)
                });
                skipped.map_or(LocalInstant::Single(near[0].1), |pair| LocalInstant::Gap {
                    before: pair[0].1,
                    after: pair[1].1,
                    change: pair[1].0,
                })
            }
        }
    }

    /// The first instant of a local date: midnight, or the change itself where clocks skip
    /// midnight.
    pub fn start_of_day(&self, date: NaiveDate) -> i64 {
        let midnight = date.and_time(chrono::NaiveTime::MIN);
        match self.resolve(midnight) {
            LocalInstant::Single(offset) | LocalInstant::Fold(offset, _) => {
                midnight.and_utc().timestamp() - offset.seconds()
            }
            LocalInstant::Gap { change, .. } => change,
        }
    }

    /// The local dates on which these unix seconds lie; `None` if there are none. A submission or a
    /// summary of these dates has every one of them.
    ///
    /// ```
    /// use cgm_submitter::glucose::{UtcOffset, ZoneOffsets};
    /// let zone = ZoneOffsets::fixed(UtcOffset::UTC);
    /// let dates = zone.dates_of([1_714_694_400, 1_714_521_600]);
    /// assert_eq!(dates, Some("2024-05-01..2024-05-03".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dates_of(&self, unix_seconds: impl IntoIterator<Item = i64>) -> Option<DateRange> {
        let edges = unix_seconds.into_iter().fold(None, |edges: Option<(i64, i64)>, at| {
            Some(edges.map_or((at, at), |(first, last)| (first.min(at), last.max(at))))
        });
        edges
            .map(|(first, last)| DateRange { first: self.date_at(first), last: self.date_at(last) })
    }

    /// The local date at an instant.
    pub fn date_at(&self, unix_seconds: i64) -> NaiveDate {
        let local = DateTime::<Utc>::from_timestamp(unix_seconds, 0).unwrap_or_default()
            + TimeDelta::seconds(self.offset_at(unix_seconds).seconds());
        local.date_naive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucharest() -> ZoneOffsets {
        let (winter, summer) =
            (UtcOffset::from_minutes(120).unwrap(), UtcOffset::from_minutes(180).unwrap());
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap().timestamp();
        ZoneOffsets::new(
            "Europe/Bucharest",
            vec![
                (at("2023-10-29T01:00:00Z"), winter),
                (at("2024-03-31T01:00:00Z"), summer),
                (at("2024-10-27T01:00:00Z"), winter),
            ],
        )
        .unwrap()
    }

    fn local(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn local_times_resolve_around_both_changes() {
        let zone = bucharest();
        let (winter, summer) = (UtcOffset(120), UtcOffset(180));
        let change = "2024-03-31T01:00:00Z".parse::<DateTime<Utc>>().unwrap().timestamp();
        let gap = LocalInstant::Gap { before: winter, after: summer, change };
        assert_eq!(zone.resolve(local("2024-03-31T02:59:59")), LocalInstant::Single(winter));
        assert_eq!(zone.resolve(local("2024-03-31T03:00:00")), gap);
        assert_eq!(zone.resolve(local("2024-03-31T03:59:59")), gap);
        assert_eq!(zone.resolve(local("2024-03-31T04:00:00")), LocalInstant::Single(summer));
        assert_eq!(zone.resolve(local("2024-10-27T02:59:59")), LocalInstant::Single(summer));
        assert_eq!(zone.resolve(local("2024-10-27T03:30:00")), LocalInstant::Fold(summer, winter));
        assert_eq!(zone.resolve(local("2024-10-27T04:00:00")), LocalInstant::Single(winter));
    }

    #[test]
    fn a_day_has_23_24_or_25_hours() {
        let hours = |date: &str| {
            let range: DateRange = format!("{date}..{date}").parse().unwrap();
            range.window(&bucharest()).unwrap().seconds() / 3600
        };
        assert_eq!([hours("2024-03-30"), hours("2024-03-31"), hours("2024-10-27")], [24, 23, 25]);
    }

    #[test]
    fn where_clocks_skip_midnight_the_day_starts_at_the_change() {
        // Beirut, 2024-03-31: 00:00 became 01:00 at 22:00Z the day before.
        let change = "2024-03-30T22:00:00Z".parse::<DateTime<Utc>>().unwrap().timestamp();
        let zone =
            ZoneOffsets::new("Asia/Beirut", vec![(0, UtcOffset(120)), (change, UtcOffset(180))])
                .unwrap();
        assert_eq!(zone.start_of_day(NaiveDate::from_ymd_opt(2024, 3, 31).unwrap()), change);
    }

    #[test]
    fn a_date_that_a_zone_never_had_starts_where_the_next_one_does() {
        // Apia left out 2011-12-30: at 10:00Z that day -10:00 became +14:00.
        let change = "2011-12-30T10:00:00Z".parse::<DateTime<Utc>>().unwrap().timestamp();
        let zone =
            ZoneOffsets::new("Pacific/Apia", vec![(0, UtcOffset(-600)), (change, UtcOffset(840))])
                .unwrap();
        let start = |d| zone.start_of_day(NaiveDate::from_ymd_opt(2011, 12, d).unwrap());
        assert_eq!(start(31), change);
        assert_eq!(start(30), change);
    }

    #[test]
    fn ends_before_starts_are_refused() {
        assert_eq!("2024-05-14..2024-05-01".parse::<DateRange>(), Err(TimeError::EndBeforeStart));
        assert_eq!(Window::from_unix(10, 9), Err(TimeError::EndBeforeStart));
        assert_eq!("2024-05-14".parse::<DateRange>(), Err(TimeError::Dates));
    }
}
