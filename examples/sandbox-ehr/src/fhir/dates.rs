//! FHIR's dates and times, read strictly, as ranges of instants. A date without a zone is read as
//! UTC here: it only serves searching and the clinic's page, never what is stored.

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate};

use crate::store::Effective;

const DAY_MILLIS: i64 = 86_400_000;

/// `2026-05-01T08:00:00+02:00`: complete to the second and with an offset, as `instant` and reading
/// times must be.
pub(crate) fn parse_instant(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    // chrono also takes a blank or a small `t` between date and time, and a small `z`; FHIR does
    // not.
    if bytes.get(10) != Some(&b'T') || bytes.last() == Some(&b'z') {
        return None;
    }
    DateTime::parse_from_rfc3339(text).ok().map(|instant| instant.timestamp_millis())
}

/// `2026-05-01`, and nothing longer or shorter.
pub(crate) fn parse_date(text: &str) -> Option<NaiveDate> {
    let shaped = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    shaped.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok())?
}

/// The whole days from `start` to `end`, both included.
pub(crate) fn days_range(start: NaiveDate, end: NaiveDate) -> Effective {
    Effective { starts: midnight(start), ends: midnight(end) + DAY_MILLIS }
}

/// The instants a FHIR dateTime of any precision covers: a year, a month, a day, or a second.
pub(crate) fn covered_range(text: &str) -> Option<Effective> {
    if let Some(starts) = parse_instant(text) {
        return Some(Effective { starts, ends: starts + 1 });
    }
    let first = match text.len() {
        4 => parse_date(&format!("{text}-01-01")),
        7 => parse_date(&format!("{text}-01")),
        10 => parse_date(text),
        _ => None,
    }?;
    let next = match text.len() {
        4 => first.checked_add_months(Months::new(12)),
        7 => first.checked_add_months(Months::new(1)),
        _ => first.checked_add_days(Days::new(1)),
    }?;
    Some(Effective { starts: midnight(first), ends: midnight(next) })
}

/// The UTC day of an instant, as the clinic's page shows it.
pub(crate) fn day_text(millis: i64) -> String {
    let date = DateTime::from_timestamp_millis(millis).unwrap_or_default().date_naive();
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

fn midnight(date: NaiveDate) -> i64 {
    date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails should say where")]
    use super::*;

    #[test]
    fn an_instant_needs_seconds_and_an_offset() {
        assert_eq!(parse_instant("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse_instant("1970-01-01T00:00:00.250Z"), Some(250));
        for wrong in [
            "1970-01-01T00:00:00",
            "1970-01-01",
            "1970-01-01 00:00:00Z",
            "1970-01-01T00:00Z",
            "1970-01-01T00:00:00z",
        ] {
            assert_eq!(parse_instant(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_partial_date_covers_its_whole_period() {
        let february = covered_range("2024-02").unwrap();
        assert_eq!(february.ends - february.starts, 29 * DAY_MILLIS);
        assert_eq!(covered_range("2024-2"), None);
        assert_eq!(day_text(february.starts), "2024-02-01");
    }
}
