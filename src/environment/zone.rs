//! Time zones of a tz database that is compiled in: for apps that run where no host answers, on a
//! desktop or a server. A phone answers from its own, current database.

use super::{EnvironmentError, LocalTime};
use crate::glucose::{TimeError, UtcOffset, ZoneOffsets};
use chrono::{DateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use std::fmt;
use std::str::FromStr;

/// How many names a misspelt one is answered with.
const SUGGESTIONS: usize = 3;

/// A time zone by its name in the tz database.
///
/// # Example
/// ```
/// use cgm_submitter::environment::NamedZone;
///
/// let zone: NamedZone = "Europe/Bucharest".parse()?;
/// assert_eq!(zone.name(), "Europe/Bucharest");
/// let error = "Europe/Bucarest".parse::<NamedZone>().unwrap_err();
/// assert!(error.to_string().contains("Europe/Bucharest"));
/// # Ok::<_, cgm_submitter::environment::UnknownZone>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedZone(Tz);

impl NamedZone {
    /// UTC.
    pub const UTC: Self = Self(Tz::UTC);

    /// The zone this device is set to.
    ///
    /// # Errors
    /// [`EnvironmentError::LocalTime`] if the system does not tell it, or tells a name that the
    /// database lacks.
    pub fn of_this_device() -> Result<Self, EnvironmentError> {
        let name = iana_time_zone::get_timezone().map_err(|_| EnvironmentError::LocalTime)?;
        name.parse().map(Self).map_err(|_| EnvironmentError::LocalTime)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Its offsets over all time a reading can have, until a year from `now`.
    ///
    /// # Errors
    /// [`TimeError`] if its offsets are malformed.
    pub fn whole(self, now: DateTime<Utc>) -> Result<ZoneOffsets, TimeError> {
        let start = DateTime::from_timestamp(631_152_000, 0).ok_or(TimeError::Unreadable)?;
        self.over(start, now + TimeDelta::days(366))
    }

    /// Its offsets over `from..to`: looked at day by day, each change then found to the second.
    fn over(self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<ZoneOffsets, TimeError> {
        let mut last = self.offset_at(from)?;
        let mut offsets = vec![(from.timestamp(), last)];
        let mut day = from;
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
        ZoneOffsets::new(self.name(), offsets)
    }

    fn offset_at(self, at: DateTime<Utc>) -> Result<UtcOffset, TimeError> {
        UtcOffset::from_minutes(
            self.0.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc() / 60,
        )
    }
}

impl LocalTime for NamedZone {
    fn offsets(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<ZoneOffsets, EnvironmentError> {
        Ok(self.over(from, to)?)
    }
}

impl fmt::Display for NamedZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The zone this device is set to, looked up each time it is asked for: a person travels.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemZone;

impl LocalTime for SystemZone {
    fn offsets(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<ZoneOffsets, EnvironmentError> {
        NamedZone::of_this_device()?.offsets(from, to)
    }
}

/// No zone has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownZone {
    meant: Vec<&'static str>,
}

impl UnknownZone {
    /// The names that may have been meant, the likeliest first.
    pub fn meant(&self) -> &[&'static str] {
        &self.meant
    }
}

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.meant.is_empty() {
            return f.write_str("no such time zone: give a name such as Europe/Bucharest");
        }
        write!(f, "no such time zone: did you mean {}?", self.meant.join(" or "))
    }
}

impl std::error::Error for UnknownZone {}

impl FromStr for NamedZone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        let found = TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name));
        found.map(|zone| Self(*zone)).ok_or_else(|| UnknownZone { meant: meant_by(name) })
    }
}

fn meant_by(name: &str) -> Vec<&'static str> {
    let wanted = name.to_lowercase();
    // `Bucharest` is as good as `Europe/Bucharest`.
    let distance = |zone: &Tz| {
        let full = zone.name().to_lowercase();
        let city = full.rsplit('/').next().unwrap_or_default();
        edits(&wanted, &full).min(edits(&wanted, city))
    };
    let mut near: Vec<(usize, &str)> =
        TZ_VARIANTS.iter().map(|zone| (distance(zone), zone.name())).collect();
    near.sort_unstable();
    near.iter()
        .take(SUGGESTIONS)
        .take_while(|(edits, _)| *edits * 2 < wanted.len().max(2))
        .map(|(_, name)| *name)
        .collect()
}

/// How many letters must be added, removed or changed to make `b` of `a`.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_says_each_change_to_the_second() {
        let zone: NamedZone = "europe/bucharest".parse().unwrap();
        let (from, to) = ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
        let offsets = zone.offsets(from.parse().unwrap(), to.parse().unwrap()).unwrap();
        let (winter, summer) =
            (UtcOffset::from_minutes(120).unwrap(), UtcOffset::from_minutes(180).unwrap());
        for (at, expected) in [
            ("2024-03-31T00:59:59Z", winter),
            ("2024-03-31T01:00:00Z", summer),
            ("2024-10-27T00:59:59Z", summer),
            ("2024-10-27T01:00:00Z", winter),
        ] {
            let at: DateTime<Utc> = at.parse().unwrap();
            assert_eq!(offsets.offset_at(at.timestamp()), expected, "{at}");
        }
        assert_eq!(offsets.name(), "Europe/Bucharest");
    }

    #[test]
    fn a_misspelt_zone_is_answered_with_what_may_have_been_meant() {
        let meant = |name: &str| name.parse::<NamedZone>().unwrap_err();
        assert_eq!(meant("Europe/Bucarest").meant().first(), Some(&"Europe/Bucharest"));
        assert_eq!(meant("bucharest").meant().first(), Some(&"Europe/Bucharest"));
        assert!(meant("New York").meant().contains(&"America/New_York"));
        for nothing in ["", "x", "xxxxxxxxxxxxxxxxxx"] {
            assert!(meant(nothing).meant().is_empty(), "{nothing}: {:?}", meant(nothing));
        }
    }

    #[test]
    fn the_system_tells_its_zone_or_says_that_it_does_not() {
        let at = DateTime::UNIX_EPOCH;
        match NamedZone::of_this_device() {
            Ok(zone) => assert_eq!(SystemZone.offsets(at, at).unwrap().name(), zone.name()),
            Err(error) => assert_eq!(SystemZone.offsets(at, at).unwrap_err(), error),
        }
    }
}
