//! Stretches of time as orders give them: an exact decimal and a UCUM unit. Days, months and years
//! are the calendar's.

use chrono::{Days, Months, NaiveDate};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Significant digits.
const MAX_DIGITS: usize = 15;
/// Decimal places, and the largest exponent.
const MAX_SCALE: i64 = 6;
/// A hundred years.
const MAX_SECONDS: u128 = 100 * 31_557_600;

/// A UCUM unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// `s`
    Second,
    /// `min`
    Minute,
    /// `h`
    Hour,
    /// `d`
    Day,
    /// `wk`
    Week,
    /// `mo`
    Month,
    /// `a`
    Year,
}

const UNITS: [(TimeUnit, &str, u128); 7] = [
    (TimeUnit::Second, "s", 1),
    (TimeUnit::Minute, "min", 60),
    (TimeUnit::Hour, "h", 3_600),
    (TimeUnit::Day, "d", 86_400),
    (TimeUnit::Week, "wk", 604_800),
    // UCUM's mean Julian month and year; only fractions of them are reckoned by these.
    (TimeUnit::Month, "mo", 2_629_800),
    (TimeUnit::Year, "a", 31_557_600),
];

impl TimeUnit {
    /// The UCUM code.
    pub fn ucum(self) -> &'static str {
        UNITS.iter().find(|(unit, ..)| *unit == self).map_or("s", |(_, code, _)| code)
    }

    /// The unit of a UCUM code.
    pub fn from_ucum(code: &str) -> Option<Self> {
        UNITS.iter().find(|(_, one, _)| *one == code).map(|(unit, ..)| *unit)
    }

    fn seconds(self) -> u128 {
        UNITS.iter().find(|(unit, ..)| *unit == self).map_or(1, |(.., seconds)| *seconds)
    }
}

/// Why a stretch of time is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeriodError {
    /// No quantity, or one without a value.
    #[error("has no value")]
    Missing,
    /// Zero or less.
    #[error("is not above zero")]
    NotPositive,
    /// Not a plain decimal, too many digits, or only a bound such as `<`.
    #[error("is not a plain number")]
    Unreadable,
    /// None of s, min, h, d, wk, mo, a.
    #[error("is not in s, min, h, d, wk, mo or a")]
    Unit,
    /// More than a hundred years.
    #[error("is more than a hundred years")]
    TooLong,
}

/// A stretch of time above zero and up to a hundred years: `2 wk`, `0.5 h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct UcumPeriod {
    mantissa: u64,
    scale: u8,
    unit: TimeUnit,
}

impl UcumPeriod {
    /// `value` is a JSON number: `2`, `0.5`, `1e1`.
    ///
    /// # Errors
    /// [`PeriodError`].
    pub fn new(value: &str, unit: TimeUnit) -> Result<Self, PeriodError> {
        if value.starts_with('-') {
            return Err(PeriodError::NotPositive);
        }
        let (mantissa, scale) = exact(value).ok_or(PeriodError::Unreadable)?;
        if mantissa == 0 {
            return Err(PeriodError::NotPositive);
        }
        let period = Self { mantissa, scale, unit };
        if period.scaled_seconds() > MAX_SECONDS * period.one() {
            return Err(PeriodError::TooLong);
        }
        Ok(period)
    }

    /// A whole number of days; at least one.
    pub(super) const fn days(days: u64) -> Self {
        Self { mantissa: days, scale: 0, unit: TimeUnit::Day }
    }

    /// The unit.
    pub const fn unit(self) -> TimeUnit {
        self.unit
    }

    /// The number's digits, without trailing zeros.
    pub fn value(self) -> String {
        let one = 10_u64.pow(u32::from(self.scale));
        let (whole, fraction) = (self.mantissa / one, self.mantissa % one);
        if self.scale == 0 {
            whole.to_string()
        } else {
            format!("{whole}.{fraction:0w$}", w = usize::from(self.scale))
        }
    }

    /// The first date of those that end before `end`: whole months and years by the calendar,
    /// anything else in days, begun ones counted in full. None at the edge of the calendar.
    pub(super) fn start_before(self, end: NaiveDate) -> Option<NaiveDate> {
        let months_in_unit = match self.unit {
            TimeUnit::Month => 1,
            TimeUnit::Year => 12,
            _ => 0,
        };
        let scaled_months = u128::from(self.mantissa) * months_in_unit;
        let months = u32::try_from(scaled_months / self.one()).ok()?;
        let rest = if months_in_unit == 0 {
            self.scaled_seconds()
        } else {
            scaled_months % self.one() * TimeUnit::Month.seconds()
        };
        let days = u64::try_from(rest.div_ceil(self.one() * TimeUnit::Day.seconds())).ok()?;
        end.checked_sub_months(Months::new(months))?.checked_sub_days(Days::new(days))
    }

    /// Whether it is no longer than `other`, months and years by their mean length.
    pub(super) fn is_at_most(self, other: Self) -> bool {
        self.scaled_seconds() * other.one() <= other.scaled_seconds() * self.one()
    }

    /// The same text for the same stretch of time: months for months and years, else seconds.
    pub(super) fn canonical(self) -> String {
        let (in_unit, base) = match self.unit {
            TimeUnit::Month => (1, "mo"),
            TimeUnit::Year => (12, "mo"),
            unit => (unit.seconds(), "s"),
        };
        let (scaled, one) = (u128::from(self.mantissa) * in_unit, self.one());
        let fraction = format!(".{:0w$}", scaled % one, w = usize::from(self.scale));
        let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
        format!("{}{fraction} {base}", scaled / one)
    }

    const fn one(self) -> u128 {
        10_u128.pow(self.scale as u32)
    }

    fn scaled_seconds(self) -> u128 {
        u128::from(self.mantissa) * self.unit.seconds()
    }
}

/// `2 wk`
impl fmt::Display for UcumPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value(), self.unit.ucum())
    }
}

impl FromStr for UcumPeriod {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let (value, unit) = text.split_once(' ').ok_or(PeriodError::Missing)?;
        Self::new(value, TimeUnit::from_ucum(unit).ok_or(PeriodError::Unit)?)
    }
}

impl From<UcumPeriod> for String {
    fn from(period: UcumPeriod) -> Self {
        period.to_string()
    }
}

impl TryFrom<String> for UcumPeriod {
    type Error = PeriodError;

    fn try_from(text: String) -> Result<Self, PeriodError> {
        text.parse()
    }
}

/// A JSON number's digits and how many of them stand after the point, without trailing zeros there.
fn exact(number: &str) -> Option<(u64, u8)> {
    let (decimal, exponent) = match number.split_once(['e', 'E']) {
        Some((decimal, exponent)) => {
            (decimal, exponent.parse::<i64>().ok().filter(|e| e.abs() <= MAX_SCALE)?)
        }
        None => (number, 0),
    };
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() || digits().count() > MAX_DIGITS || !digits().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut mantissa = digits().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let mut scale = i64::try_from(fraction.len()).ok()? - exponent;
    while scale > 0 && mantissa.is_multiple_of(10) && mantissa > 0 {
        mantissa /= 10;
        scale -= 1;
    }
    while scale < 0 {
        mantissa = mantissa.checked_mul(10)?;
        scale += 1;
    }
    if mantissa == 0 {
        return Some((0, 0));
    }
    u8::try_from(scale)
        .ok()
        .filter(|scale| i64::from(*scale) <= MAX_SCALE)
        .map(|scale| (mantissa, scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn period(text: &str) -> Result<String, PeriodError> {
        text.parse::<UcumPeriod>().map(|period| period.to_string())
    }

    #[test]
    fn the_number_is_exact_whatever_its_form() {
        for (text, same) in [
            ("2 wk", "2 wk"),
            ("2.0 wk", "2 wk"),
            ("0.50 h", "0.5 h"),
            ("1e1 d", "10 d"),
            ("15E-1 mo", "1.5 mo"),
            ("1E+1 d", "10 d"),
            ("90 min", "90 min"),
            ("1 a", "1 a"),
            ("3155760000 s", "3155760000 s"),
        ] {
            assert_eq!(period(text).as_deref(), Ok(same), "{text}");
        }
    }

    #[test]
    fn what_is_no_stretch_of_time_is_refused() {
        for (text, error) in [
            ("0 d", PeriodError::NotPositive),
            ("0.000 d", PeriodError::NotPositive),
            ("-1 d", PeriodError::NotPositive),
            ("1 weeks", PeriodError::Unit),
            ("1 ms", PeriodError::Unit),
            ("\"2\" d", PeriodError::Unreadable),
            ("1.0000001 d", PeriodError::Unreadable),
            ("1e99 d", PeriodError::Unreadable),
            ("1e d", PeriodError::Unreadable),
            ("12345678901234567890 s", PeriodError::Unreadable),
            ("101 a", PeriodError::TooLong),
            ("999999999e6 a", PeriodError::TooLong),
            ("d", PeriodError::Missing),
        ] {
            assert_eq!(period(text), Err(error), "{text}");
        }
    }

    #[test]
    fn months_and_years_are_the_calendars() {
        let start = |text: &str, end: &str| {
            text.parse::<UcumPeriod>()
                .unwrap()
                .start_before(end.parse().unwrap())
                .unwrap()
                .to_string()
        };
        assert_eq!(start("2 wk", "2024-05-15"), "2024-05-01");
        assert_eq!(start("1 mo", "2024-03-31"), "2024-02-29");
        assert_eq!(start("3 mo", "2024-05-15"), "2024-02-15");
        assert_eq!(start("1 a", "2024-02-29"), "2023-02-28");
        assert_eq!(
            start("1.5 mo", "2024-05-16"),
            "2024-03-31",
            "a month and 15.2 days, the last begun"
        );
        assert_eq!(start("0.5 a", "2024-07-01"), "2024-01-01");
        assert_eq!(start("36 h", "2024-05-15"), "2024-05-13");
        assert_eq!(start("1 s", "2024-05-15"), "2024-05-14");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,24}") {
            let _ = period(&text);
        }

        #[test]
        fn every_period_is_written_as_it_is_read(
            mantissa in 1_u64..1_000_000,
            scale in 0_u32..=6,
            unit in 0_usize..7,
        ) {
            let one = 10_u64.pow(scale);
            let (whole, fraction) = (mantissa / one, mantissa % one);
            let value = format!("{whole}.{fraction:0w$}", w = scale as usize);
            let value = value.trim_end_matches('.');
            if let Ok(period) = UcumPeriod::new(value, UNITS[unit].0) {
                prop_assert_eq!(period.to_string().parse(), Ok(period));
                let end = "2024-05-15".parse().unwrap();
                prop_assert!(period.start_before(end).unwrap() < end);
            }
        }
    }
}
