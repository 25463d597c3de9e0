//! Exact glucose concentrations: a decimal and the unit it was reported in.
//!
//! A value is never converted on the way in, and never held as a float: 6.7 mmol/L stays `6.7`,
//! 100.10 keeps its zero.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Milligrams per decilitre in one millimole per litre: the molar mass of glucose, 180.1559 g/mol,
/// over ten.
const MG_PER_DL_PER_MMOL_PER_L: f64 = MG_DL_E5_PER_MMOL_L as f64 / 100_000.0;
/// The same factor in units of 1/100 000, for exact comparisons.
pub(crate) const MG_DL_E5_PER_MMOL_L: u64 = 1_801_559;
/// The rounded factor of Health Connect and of many devices, in the same units.
const ROUND_FACTOR_E5: u64 = 1_800_000;
/// Decimal places a value may have.
const MAX_SCALE: u8 = 6;
/// 10^(scale + 5).
const TENS_E5: [u64; MAX_SCALE as usize + 1] =
    [100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000, 100_000_000_000];

/// The unit a glucose concentration is given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GlucoseUnit {
    /// Milligrams per decilitre, UCUM `mg/dL`.
    MgPerDl,
    /// Millimoles per litre, UCUM `mmol/L`.
    MmolPerL,
}

impl GlucoseUnit {
    /// The UCUM code.
    pub const fn ucum(self) -> &'static str {
        match self {
            Self::MgPerDl => "mg/dL",
            Self::MmolPerL => "mmol/L",
        }
    }

    /// The one of the two that it is not.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::MgPerDl => Self::MmolPerL,
            Self::MmolPerL => Self::MgPerDl,
        }
    }

    /// Decimal places of a converted value: whole mg/dL, tenths of a mmol/L.
    const fn decimals(self) -> u8 {
        match self {
            Self::MgPerDl => 0,
            Self::MmolPerL => 1,
        }
    }

    /// Milligrams per decilitre in one of this unit.
    pub const fn in_mg_dl(self) -> f64 {
        match self {
            Self::MgPerDl => 1.0,
            Self::MmolPerL => MG_PER_DL_PER_MMOL_PER_L,
        }
    }
}

impl fmt::Display for GlucoseUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.ucum())
    }
}

impl std::str::FromStr for GlucoseUnit {
    type Err = GlucoseError;

    fn from_str(text: &str) -> Result<Self, GlucoseError> {
        match text.trim() {
            t if t.eq_ignore_ascii_case("mg/dl") => Ok(Self::MgPerDl),
            t if t.eq_ignore_ascii_case("mmol/l") => Ok(Self::MmolPerL),
            _ => Err(GlucoseError::Unit),
        }
    }
}

/// Why a number is no glucose value. Carries no value: these reach logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlucoseError {
    /// The text is not a plain decimal number such as `101` or `6.7`.
    #[error("the value is not a plain decimal number: write it like 101 or 6.7")]
    NotANumber,
    /// More decimal places than any meter reports.
    #[error("the value has more than {MAX_SCALE} decimal places")]
    TooPrecise,
    /// Outside what any meter can measure.
    #[error("the value is outside 10 to 1000 mg/dL (0.56 to 55.5 mmol/L): check its unit")]
    OutOfRange,
    /// Neither `mg/dL` nor `mmol/L`.
    #[error("the unit is neither mg/dL nor mmol/L")]
    Unit,
}

/// A glucose concentration between 10 and 1000 mg/dL, exactly as it was reported.
///
/// ```
/// use cgm_submitter::glucose::{GlucoseUnit, GlucoseValue};
/// let value = GlucoseValue::parse("6.7", GlucoseUnit::MmolPerL)?;
/// assert_eq!(value.to_string(), "6.7");
/// assert_eq!(value.to_unit(GlucoseUnit::MgPerDl).to_string(), "121");
/// # Ok::<(), cgm_submitter::glucose::GlucoseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GlucoseValue {
    mantissa: u32,
    scale: u8,
    unit: GlucoseUnit,
}

impl GlucoseValue {
    /// `mantissa` × 10^−`scale` in `unit`.
    ///
    /// # Errors
    /// [`GlucoseError::TooPrecise`] beyond six decimal places, [`GlucoseError::OutOfRange`] outside
    /// 10–1000 mg/dL.
    #[inline]
    pub fn new(mantissa: u32, scale: u8, unit: GlucoseUnit) -> Result<Self, GlucoseError> {
        let Some(one) = TENS_E5.get(usize::from(scale)) else {
            return Err(GlucoseError::TooPrecise);
        };
        let value = Self { mantissa, scale, unit };
        // mg/dL × 10^(scale + 5), exact.
        let scaled = u64::from(mantissa)
            * if unit == GlucoseUnit::MmolPerL { MG_DL_E5_PER_MMOL_L } else { 100_000 };
        if (10 * one..=1000 * one).contains(&scaled) {
            Ok(value)
        } else {
            Err(GlucoseError::OutOfRange)
        }
    }

    /// A decimal such as `101`, `6.7` or `100.10`, keeping its digits. No sign, exponent or
    /// grouping.
    ///
    /// # Errors
    /// [`GlucoseError`] where the text is no such number, too precise, or outside 10–1000 mg/dL.
    pub fn parse(text: &str, unit: GlucoseUnit) -> Result<Self, GlucoseError> {
        let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || fraction.is_some_and(|f| !digits(f)) {
            return Err(GlucoseError::NotANumber);
        }
        let fraction = fraction.unwrap_or_default();
        let scale = u8::try_from(fraction.len())
            .ok()
            .filter(|s| *s <= MAX_SCALE)
            .ok_or(GlucoseError::TooPrecise)?;
        let mantissa = whole.bytes().chain(fraction.bytes()).try_fold(0_u32, |sum, digit| {
            sum.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
        });
        Self::new(mantissa.ok_or(GlucoseError::OutOfRange)?, scale, unit)
    }

    /// A float from a platform API, by its shortest text that reads back as the same float.
    ///
    /// # Errors
    /// [`GlucoseError::NotANumber`] for NaN, infinities and negatives; otherwise as
    /// [`GlucoseValue::parse`].
    pub fn from_f64(value: f64, unit: GlucoseUnit) -> Result<Self, GlucoseError> {
        if value.is_finite() {
            Self::parse(&value.to_string(), unit)
        } else {
            Err(GlucoseError::NotANumber)
        }
    }

    /// The digits without their point.
    pub const fn mantissa(self) -> u32 {
        self.mantissa
    }

    /// How many of the digits stand after the point.
    pub const fn scale(self) -> u8 {
        self.scale
    }

    /// The unit it was reported in.
    pub const fn unit(self) -> GlucoseUnit {
        self.unit
    }

    /// Milligrams per decilitre, for statistics.
    pub fn mg_dl(self) -> f64 {
        let native = f64::from(self.mantissa) / 10_f64.powi(i32::from(self.scale));
        match self.unit {
            GlucoseUnit::MgPerDl => native,
            GlucoseUnit::MmolPerL => native * MG_PER_DL_PER_MMOL_PER_L,
        }
    }

    /// Rounded half-up as a person reads it, in its own unit: whole mg/dL, or tenths of a mmol/L.
    pub fn rounded_native(self) -> u32 {
        match self.scale.checked_sub(self.unit.decimals()) {
            None => self.mantissa * 10,
            Some(0) => self.mantissa,
            Some(excess) => {
                let step = 10_u32.pow(u32::from(excess));
                self.mantissa / step + u32::from(self.mantissa % step >= step.div_ceil(2))
            }
        }
    }

    /// The same concentration in `unit`: unchanged if it already is, otherwise rounded half-up
    /// to 1 mg/dL or 0.1 mmol/L.
    #[must_use]
    pub fn to_unit(self, unit: GlucoseUnit) -> Self {
        if unit == self.unit {
            return self;
        }
        let scale = unit.decimals();
        let mantissa = self.converted(unit, scale, MG_DL_E5_PER_MMOL_L);
        Self { mantissa: u32::try_from(mantissa).unwrap_or(u32::MAX), scale, unit }
    }

    /// The digits of the same concentration in the other unit with `scale` decimal places, rounded
    /// half-up, at `factor` mg/dL in 100 000 mmol/L.
    fn converted(self, unit: GlucoseUnit, scale: u8, factor: u64) -> u128 {
        let tens = |scale: u8| 10_u128.pow(u32::from(scale));
        let given = u128::from(self.mantissa) * tens(scale);
        // Exact rationals, doubled for the half: round(n/d) = (2n + d) / 2d.
        let (numerator, denominator) = match unit {
            GlucoseUnit::MgPerDl => (given * u128::from(factor), tens(self.scale) * 100_000),
            GlucoseUnit::MmolPerL => (given * 100_000, tens(self.scale) * u128::from(factor)),
        };
        (2 * numerator + denominator) / (2 * denominator)
    }

    /// Whether both are the same concentration: the same number in one unit; in different units, if
    /// one converts to the other, rounded as the other is given or as this crate sends it.
    ///
    /// Converted by the molar mass, or by 18 as Health Connect and many devices do: a difference
    /// between the two is never a correction.
    pub fn is_same_as(self, other: Self) -> bool {
        if self.unit == other.unit {
            return self.normalised() == other.normalised();
        }
        let converts = |from: Self, to: Self| {
            let least = to.unit.decimals();
            [least, to.scale.max(least)].into_iter().any(|scale| {
                [MG_DL_E5_PER_MMOL_L, ROUND_FACTOR_E5].into_iter().any(|factor| {
                    let digits = from.converted(to.unit, scale, factor);
                    u128::from(to.mantissa) * 10_u128.pow(u32::from(scale))
                        == digits * 10_u128.pow(u32::from(to.scale))
                })
            })
        };
        converts(self, other) || converts(other, self)
    }

    /// Whether it is given in smaller steps: 121 mg/dL is finer than 6.7 mmol/L, and 6.72 finer
    /// than 121.
    pub fn is_finer_than(self, other: Self) -> bool {
        // The step in mg/dL times 10^(5 + MAX_SCALE), exact.
        let step = |value: Self| {
            let one =
                if value.unit == GlucoseUnit::MmolPerL { MG_DL_E5_PER_MMOL_L } else { 100_000 };
            one * 10_u64.pow(u32::from(MAX_SCALE.saturating_sub(value.scale)))
        };
        self.unit != other.unit && step(self) < step(other)
    }

    /// The number without trailing zeros: equal for equal concentrations in one unit. Part of a
    /// reading's identity.
    pub fn normalised(self) -> String {
        let text = self.to_string();
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        }
    }
}

/// The number with its digits as reported, without the unit.
impl fmt::Display for GlucoseValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.mantissa);
        }
        let one = 10_u32.pow(u32::from(self.scale));
        write!(
            f,
            "{}.{:0width$}",
            self.mantissa / one,
            self.mantissa % one,
            width = usize::from(self.scale)
        )
    }
}

/// Says only the unit: a glucose value never reaches a log through `{:?}`.
impl fmt::Debug for GlucoseValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GlucoseValue(… {})", self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use GlucoseUnit::{MgPerDl, MmolPerL};
    use proptest::prelude::*;

    #[test]
    fn digits_stay_as_they_came() {
        for (text, unit) in
            [("6.7", MmolPerL), ("100.10", MgPerDl), ("40", MgPerDl), ("5.0", MmolPerL)]
        {
            assert_eq!(GlucoseValue::parse(text, unit).unwrap().to_string(), text);
        }
        assert_eq!(GlucoseValue::from_f64(6.7, MmolPerL).unwrap().to_string(), "6.7");
        assert_eq!(GlucoseValue::from_f64(101.0, MgPerDl).unwrap().to_string(), "101");
    }

    #[test]
    fn the_range_is_10_to_1000_mg_dl_both_ends_included() {
        for (text, unit) in [
            ("10", MgPerDl),
            ("1000", MgPerDl),
            ("1000.0", MgPerDl),
            ("0.56", MmolPerL),
            ("55.5", MmolPerL),
        ] {
            assert!(GlucoseValue::parse(text, unit).is_ok(), "{text} {unit}");
        }
        for (text, unit) in [
            ("9.9", MgPerDl),
            ("1000.1", MgPerDl),
            ("0.55", MmolPerL),
            ("55.6", MmolPerL),
            ("99999999999", MgPerDl),
            ("0", MgPerDl),
        ] {
            assert_eq!(
                GlucoseValue::parse(text, unit),
                Err(GlucoseError::OutOfRange),
                "{text} {unit}"
            );
        }
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        for text in ["", "abc", "-5", "+100", "1e2", "1,5", "100.", ".5", "NaN", " 100", "1.2.3"] {
            assert_eq!(GlucoseValue::parse(text, MgPerDl), Err(GlucoseError::NotANumber), "{text}");
        }
        assert_eq!(GlucoseValue::from_f64(f64::NAN, MgPerDl), Err(GlucoseError::NotANumber));
        assert_eq!(GlucoseValue::from_f64(f64::INFINITY, MgPerDl), Err(GlucoseError::NotANumber));
        assert_eq!(GlucoseValue::parse("100.1234567", MgPerDl), Err(GlucoseError::TooPrecise));
    }

    #[test]
    fn conversion_rounds_half_up_once() {
        let to =
            |text, from, unit| GlucoseValue::parse(text, from).unwrap().to_unit(unit).to_string();
        assert_eq!(to("6.7", MmolPerL, MgPerDl), "121"); // 120.704
        assert_eq!(to("10.0", MmolPerL, MgPerDl), "180"); // 180.156
        assert_eq!(to("180", MgPerDl, MmolPerL), "10.0"); // 9.9913
        assert_eq!(to("70", MgPerDl, MmolPerL), "3.9"); // 3.8855
        assert_eq!(to("100.10", MgPerDl, MgPerDl), "100.10");
    }

    proptest! {
        #[test]
        fn a_converted_value_is_the_same_and_the_next_one_is_not(mg_dl in 40..=500_u32) {
            let mass = GlucoseValue::new(mg_dl, 0, MgPerDl).unwrap();
            let molar = mass.to_unit(MmolPerL);
            prop_assert!(mass.is_same_as(molar) && molar.is_same_as(mass));
            prop_assert!(mass.is_finer_than(molar) && !molar.is_finer_than(mass));
            let next = GlucoseValue::new(molar.mantissa() + 2, 1, MmolPerL).unwrap();
            prop_assert!(!mass.is_same_as(next) && !next.is_same_as(mass));
        }

        #[test]
        fn what_health_connect_makes_of_a_value_is_the_same(mg_dl in 40..=500_u32) {
            let mass = GlucoseValue::new(mg_dl, 0, MgPerDl).unwrap();
            let mmol = f64::from(mg_dl) / 18.0;
            for text in [format!("{mmol:.1}"), format!("{mmol:.6}")] {
                let molar = GlucoseValue::parse(&text, MmolPerL).unwrap();
                prop_assert!(mass.is_same_as(molar) && molar.is_same_as(mass), "{}", text);
            }
        }

        #[test]
        fn sameness_goes_both_ways(
            a in 60..5_000_u32,
            b in 60..5_000_u32,
            scales in (0..3_u8, 0..3_u8),
        ) {
            for (unit, other) in [(MgPerDl, MmolPerL), (MgPerDl, MgPerDl), (MmolPerL, MmolPerL)] {
                let a = GlucoseValue::new(a, scales.0, unit);
                let b = GlucoseValue::new(b, scales.1, other);
                if let (Ok(a), Ok(b)) = (a, b) {
                    prop_assert_eq!(a.is_same_as(b), b.is_same_as(a));
                    prop_assert!(!a.is_same_as(b) || (a.mg_dl() - b.mg_dl()).abs() < 1.5);
                }
            }
        }
    }

    #[test]
    fn finer_digits_of_the_other_unit_are_the_same() {
        let value = |text, unit| GlucoseValue::parse(text, unit).unwrap();
        assert!(value("121", MgPerDl).is_same_as(value("6.72", MmolPerL)));
        assert!(value("6.72", MmolPerL).is_finer_than(value("121", MgPerDl)));
        assert!(!value("6.72", MmolPerL).is_finer_than(value("6.7", MmolPerL)));
        assert!(!value("94", MgPerDl).is_same_as(value("5", MmolPerL)));
    }

    #[test]
    fn rounding_is_in_the_reported_unit() {
        let rounded = |text, unit| GlucoseValue::parse(text, unit).unwrap().rounded_native();
        assert_eq!(rounded("69.5", MgPerDl), 70);
        assert_eq!(rounded("69.4", MgPerDl), 69);
        assert_eq!(rounded("69.49", MgPerDl), 69);
        assert_eq!(rounded("3.85", MmolPerL), 39);
        assert_eq!(rounded("3.84", MmolPerL), 38);
        assert_eq!(rounded("10", MmolPerL), 100);
    }

    #[test]
    fn equal_concentrations_normalise_alike() {
        let normalised = |text| GlucoseValue::parse(text, MgPerDl).unwrap().normalised();
        assert_eq!(normalised("100"), "100");
        assert_eq!(normalised("100.10"), "100.1");
        assert_eq!(normalised("100.00"), "100");
    }

    #[test]
    fn the_factor_is_one_in_either_form() {
        assert_eq!(MmolPerL.in_mg_dl().to_bits(), 18.015_59_f64.to_bits());
    }

    #[test]
    fn debug_output_hides_the_value() {
        let value = GlucoseValue::parse("137", MgPerDl).unwrap();
        assert!(!format!("{value:?}").contains("137"));
    }
}
