//! A FHIR date or dateTime as the days it stands for.

use chrono::{DateTime, Datelike, Months, NaiveDate};

/// The first and the last day of a FHIR dateTime: `2024`, `2024-05`, `2024-05-01` or a time with
/// its offset.
pub(crate) fn days_of(text: &str) -> Option<(NaiveDate, NaiveDate)> {
    let form = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    let date = |text: &str| text.parse::<NaiveDate>().ok();
    let (first, last) = match form.collect::<Vec<_>>().as_slice() {
        b"0000" => (date(&format!("{text}-01-01"))?, date(&format!("{text}-12-31"))?),
        b"0000-00" => {
            let first = date(&format!("{text}-01"))?;
            (first, first.checked_add_months(Months::new(1))?.pred_opt()?)
        }
        b"0000-00-00" => (date(text)?, date(text)?),
        [b'0', b'0', b'0', b'0', b'-', b'0', b'0', b'-', b'0', b'0', b'T', ..] => {
            let day = DateTime::parse_from_rfc3339(text).ok()?.date_naive();
            (day, day)
        }
        _ => return None,
    };
    // FHIR has no year 0.
    (first.year() > 0).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_date_of_fhir_is_none() {
        for text in [
            "",
            "24",
            "-123",
            "+198",
            "0000",
            "2024-13",
            "2024-5-1",
            "2024-02-30",
            " 2024",
            "2024 ",
            "２０２４",
            "2024-05-01T08:00:00",
            "2024-05-01T24:00:00Z",
            "2024-05-01 08:00:00Z",
            "2024-05-01t08:00:00Z",
        ] {
            assert_eq!(days_of(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_day_is_read_as_itself(days in 0_i64..3_650_000) {
            let day = NaiveDate::from_ymd_opt(1, 1, 1).unwrap() + chrono::TimeDelta::days(days);
            prop_assume!(day.year() < 10_000);
            let text = day.to_string();
            let (month_first, month_last) = days_of(&text[..7]).unwrap();
            prop_assert_eq!(days_of(&text), Some((day, day)));
            prop_assert!(month_first <= day && day <= month_last && month_first.day() == 1);
            prop_assert!(month_last.succ_opt().unwrap().day() == 1);
            let days = if day.leap_year() { 366 } else { 365 };
            prop_assert_eq!(days_of(&text[..4]).unwrap().1.ordinal(), days);
        }
    }
}
