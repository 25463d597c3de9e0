//! Dates and instants as FHIR writes them, on the stack: a bundle holds thousands.

use crate::glucose::UtcOffset;
use chrono::{DateTime, Datelike, NaiveDate};
use serde::{Serialize, Serializer};

/// FHIR's dateTime ends at 14 hours from UTC.
const WIDEST_OFFSET: u16 = 14 * 60;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// A dateTime with its offset, or a date.
#[derive(Clone, Copy)]
pub(super) struct FhirDateTime {
    text: [u8; 25],
    length: usize,
}

impl FhirDateTime {
    /// `2024-05-02`. None outside the years 1 to 9999.
    pub(super) fn date(date: NaiveDate) -> Option<Self> {
        let year = u32::try_from(date.year()).ok().filter(|year| (1..=9999).contains(year))?;
        let mut text = Self { text: [0; 25], length: 0 };
        text.two(year / 100);
        text.two(year % 100);
        text.push(b'-');
        text.two(date.month());
        text.push(b'-');
        text.two(date.day());
        Some(text)
    }

    pub(super) fn as_str(&self) -> &str {
        self.text
            .get(..self.length)
            .and_then(|text| std::str::from_utf8(text).ok())
            .unwrap_or_default()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }

    fn two(&mut self, number: u32) {
        let digit = |number: u32| b'0' + u8::try_from(number % 10).unwrap_or_default();
        self.push(digit(number / 10));
        self.push(digit(number));
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.text.get_mut(self.length) {
            *slot = byte;
            self.length += 1;
        }
    }
}

/// Writes one instant after the other: neighbours mostly share their date.
#[derive(Default)]
pub(super) struct Instants {
    /// Days since 1970, and that date.
    date: Option<(i64, FhirDateTime)>,
}

impl Instants {
    /// `2024-05-02T10:15:00+03:00`; `Z` if the offset is zero, or wider than FHIR can say. `None`
    /// outside the years 1 to 9999.
    pub(super) fn next(&mut self, unix_seconds: i64, offset: UtcOffset) -> Option<FhirDateTime> {
        let minutes = offset.minutes();
        let offset = if minutes.unsigned_abs() > WIDEST_OFFSET { UtcOffset::UTC } else { offset };
        let local = unix_seconds.checked_add(offset.seconds())?;
        let mut text = self.date(local.div_euclid(DAY))?;
        let second = u32::try_from(local.rem_euclid(DAY)).ok()?;
        text.push(b'T');
        text.two(second / 3600);
        text.push(b':');
        text.two(second / 60 % 60);
        text.push(b':');
        text.two(second % 60);
        let minutes = offset.minutes();
        if minutes == 0 {
            text.push(b'Z');
        } else {
            text.push(if minutes < 0 { b'-' } else { b'+' });
            text.two(u32::from(minutes.unsigned_abs() / 60));
            text.push(b':');
            text.two(u32::from(minutes.unsigned_abs() % 60));
        }
        Some(text)
    }

    fn date(&mut self, day: i64) -> Option<FhirDateTime> {
        if let Some((_, date)) = self.date.filter(|(known, _)| *known == day) {
            return Some(date);
        }
        let midnight = DateTime::from_timestamp(day.checked_mul(DAY)?, 0)?;
        let date = FhirDateTime::date(midnight.date_naive())?;
        self.date = Some((day, date));
        Some(date)
    }
}

impl Serialize for FhirDateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_is_written_in_the_offset_it_was_lived_in() {
        let written = |seconds, minutes| {
            Instants::default()
                .next(seconds, UtcOffset::from_minutes(minutes).unwrap())
                .map(|m| m.as_str().to_owned())
        };
        assert_eq!(written(1_714_634_100, 180).as_deref(), Some("2024-05-02T10:15:00+03:00"));
        assert_eq!(written(1_714_634_100, -210).as_deref(), Some("2024-05-02T03:45:00-03:30"));
        assert_eq!(written(1_714_634_100, 0).as_deref(), Some("2024-05-02T07:15:00Z"));
        assert_eq!(written(1_714_634_100, 840).as_deref(), Some("2024-05-02T21:15:00+14:00"));
        assert_eq!(written(-62_135_596_800, 0).as_deref(), Some("0001-01-01T00:00:00Z"));
        assert_eq!(
            written(1_714_634_100, 900).as_deref(),
            Some("2024-05-02T07:15:00Z"),
            "FHIR has no offset of 15 hours"
        );
        assert_eq!(written(i64::MAX, 60), None);
        assert_eq!(written(-62_135_596_801, 0), None, "FHIR has no year 0");
        assert_eq!(written(253_402_300_800, 0), None, "the year 10000");
    }

    #[test]
    fn a_remembered_date_is_left_at_midnight_and_comes_back() {
        let mut instants = Instants::default();
        let east = UtcOffset::from_minutes(60).unwrap();
        for (seconds, offset, expected) in [
            (1_714_607_999, UtcOffset::UTC, "2024-05-01T23:59:59Z"),
            (1_714_607_999, east, "2024-05-02T00:59:59+01:00"),
            (1_714_608_000, UtcOffset::UTC, "2024-05-02T00:00:00Z"),
            (1_714_607_999, UtcOffset::UTC, "2024-05-01T23:59:59Z"),
            (-1, UtcOffset::UTC, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(instants.next(seconds, offset).unwrap().as_str(), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same_instant(
            seconds in 0_i64..4_000_000_000,
            minutes in -840_i32..=840,
        ) {
            let offset = UtcOffset::from_minutes(minutes).unwrap();
            let text = Instants::default().next(seconds, offset).unwrap();
            let read = DateTime::parse_from_rfc3339(text.as_str()).unwrap();
            let found = (read.timestamp(), read.offset().local_minus_utc());
            prop_assert_eq!(found, (seconds, minutes * 60));
        }
    }
}
