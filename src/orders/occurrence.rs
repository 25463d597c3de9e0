//! The dates on which an order applies, from its `occurrencePeriod`.

use super::error::OrderError;
use crate::fhir::{Json, days_of};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// The dates on which an order applies, both included; an end that is not given is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Occurrence {
    first: Option<NaiveDate>,
    last: Option<NaiveDate>,
}

#[derive(Deserialize)]
struct Period<'a> {
    #[serde(default, borrow)]
    start: Option<Json<'a>>,
    #[serde(default, borrow)]
    end: Option<Json<'a>>,
}

impl Occurrence {
    /// On every date.
    pub const ALWAYS: Self = Self { first: None, last: None };

    /// The first date, if there is one.
    pub const fn first(self) -> Option<NaiveDate> {
        self.first
    }

    /// The last date, included, if there is one.
    pub const fn last(self) -> Option<NaiveDate> {
        self.last
    }

    /// Reads a FHIR Period; `None` if it is none, or says nothing. Of a month or a year all days
    /// count; of a time, the day it falls on by the offset it is written with.
    pub(super) fn read(period: Json<'_>) -> Option<Self> {
        let Period { start, end } = serde_json::from_str(period.get()).ok()?;
        let days = |raw: Json<'_>| days_of(&serde_json::from_str::<String>(raw.get()).ok()?);
        let first = start.map(|start| days(start).map(|(first, _)| first));
        let last = end.map(|end| days(end).map(|(_, last)| last));
        // A date that cannot be read is not an open end.
        let (first, last) = match (first, last) {
            (Some(None), _) | (_, Some(None)) | (None, None) => return None,
            (first, last) => (first.flatten(), last.flatten()),
        };
        let backwards = first.zip(last).is_some_and(|(first, last)| last < first);
        (!backwards).then_some(Self { first, last })
    }

    /// Whether it has begun and is not over on `today`, a local date.
    ///
    /// # Errors
    /// [`OrderError::NotYet`], [`OrderError::Over`].
    pub fn check_on(self, today: NaiveDate) -> Result<(), OrderError> {
        if self.first.is_some_and(|first| today < first) {
            Err(OrderError::NotYet)
        } else if self.last.is_some_and(|last| last < today) {
            Err(OrderError::Over)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(period: &str, today: &str) -> Option<Result<(), OrderError>> {
        let occurrence = Occurrence::read(serde_json::from_str(period).unwrap())?;
        Some(occurrence.check_on(today.parse().unwrap()))
    }

    #[test]
    fn both_ends_belong_to_the_time_in_which_an_order_applies() {
        let may = r#"{"start": "2024-05-01T10:00:00+02:00", "end": "2024-05"}"#;
        for (today, expected) in [
            ("2024-04-30", Err(OrderError::NotYet)),
            ("2024-05-01", Ok(())),
            ("2024-05-31", Ok(())),
            ("2024-06-01", Err(OrderError::Over)),
        ] {
            assert_eq!(on(may, today), Some(expected), "{today}");
        }
        assert_eq!(on(r#"{"end": "2023"}"#, "2024-01-01"), Some(Err(OrderError::Over)));
        assert_eq!(on(r#"{"start": "2023"}"#, "2999-01-01"), Some(Ok(())));
    }

    #[test]
    fn a_period_that_cannot_be_read_is_no_open_end() {
        for period in [
            "{}",
            "[]",
            "1",
            r#""2024""#,
            r#"{"start": "2024-05-01", "end": "soon"}"#,
            r#"{"start": 2024}"#,
            r#"{"start": "2024-05-02", "end": "2024-05-01"}"#,
        ] {
            assert_eq!(on(period, "2024-05-01"), None, "{period}");
        }
    }
}
