//! Local dates.

use crate::ErrorCode;
use crate::ffi::error::CgmError;
use crate::glucose::{self, TimeError};
use chrono::NaiveDate;

/// Local dates, both included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, uniffi::Record)]
pub struct DateRange {
    /// `YYYY-MM-DD`.
    pub first: String,
    /// `YYYY-MM-DD`.
    pub last: String,
}

impl From<glucose::DateRange> for DateRange {
    fn from(dates: glucose::DateRange) -> Self {
        Self { first: dates.first().to_string(), last: dates.last().to_string() }
    }
}

impl TryFrom<DateRange> for glucose::DateRange {
    type Error = CgmError;

    fn try_from(dates: DateRange) -> Result<Self, CgmError> {
        let date =
            |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| TimeError::Dates);
        date(&dates.first)
            .and_then(|first| Self::new(first, date(&dates.last)?))
            .map_err(|error| CgmError::invalid(ErrorCode::InvalidTime, &error))
    }
}
