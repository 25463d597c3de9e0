//! Dates and instants as FHIR writes them, on the stack: a bundle holds thousands.

use crate::glucose::UtcOffset;
use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use serde::{Serialize, Serializer};

/// FHIR's dateTime ends at 14 hours from UTC.
const WIDEST_OFFSET: u16 = 14 * 60;

/// A dateTime with its offset, or a date.
#[derive(Clone, Copy)]
pub(super) struct FhirDateTime {
    text: [u8; 25],
    length: usize,
}

impl FhirDateTime {
    /// `2024-05-02T10:15:00+03:00`; `Z` where the offset is zero, or wider than FHIR can say. None
    /// outside the years 1 to 9999.
    pub(super) fn instant(unix_seconds: i64, offset: UtcOffset) -> Option<Self> {
        let minutes = offset.minutes();
        let offset = if minutes.unsigned_abs() > WIDEST_OFFSET { UtcOffset::UTC } else { offset };
        let local = DateTime::from_timestamp(unix_seconds.checked_add(offset.seconds())?, 0)?;
        let mut text = Self::date(local.date_naive())?;
        text.push(b'T');
        text.two(local.hour());
        text.push(b':');
        text.two(local.minute());
        text.push(b':');
        text.two(local.second());
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
            FhirDateTime::instant(seconds, UtcOffset::from_minutes(minutes).unwrap())
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

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same_instant(
            seconds in 0_i64..4_000_000_000,
            minutes in -840_i32..=840,
        ) {
            let offset = UtcOffset::from_minutes(minutes).unwrap();
            let text = FhirDateTime::instant(seconds, offset).unwrap();
            let read = DateTime::parse_from_rfc3339(text.as_str()).unwrap();
            let found = (read.timestamp(), read.offset().local_minus_utc());
            prop_assert_eq!(found, (seconds, minutes * 60));
        }
    }
}
