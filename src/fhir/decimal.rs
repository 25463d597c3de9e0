//! Decimals as they stand on the wire: JSON numbers whose digits, trailing zeros included, are the
//! ones that came in.
//!
//! No float is ever written: a computed figure is rounded once, half-up on the exact binary value
//! it has, and is digits from then on.

use crate::glucose::GlucoseValue;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

/// Digits a 64-bit mantissa can have, the point, and the zeros a scale of up to 9 can put in front.
const LONGEST: usize = 32;

/// `mantissa` × 10^−`scale`, written with exactly `scale` decimal places.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    mantissa: u64,
    scale: u8,
}

impl Decimal {
    pub(super) const fn whole(number: u32) -> Self {
        Self { mantissa: number as u64, scale: 0 }
    }

    /// Hundredths, written with both decimals.
    pub(super) const fn hundredths(number: u32) -> Self {
        Self { mantissa: number as u64, scale: 2 }
    }

    /// `value` rounded half-up to `scale` ≤ 9 decimals; none unless it is finite, not negative and
    /// below a million.
    pub(super) fn rounded(value: f64, scale: u8) -> Option<Self> {
        if !(0.0..1_000_000.0).contains(&value) || scale > 9 {
            return None;
        }
        // A float below a million is m × 2^−shift with m < 2^53: the product with 10^scale fits 128
        // bits, and nothing is lost.
        let bits = value.to_bits();
        let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
        let (significand, exponent) =
            if exponent == 0 { (fraction, 1) } else { (fraction | (1 << 52), exponent) };
        // Below 2^20 the shift is at least 33.
        let shift = u32::try_from(1075_u64.checked_sub(exponent)?).ok()?;
        let scaled = u128::from(significand) * 10_u128.pow(u32::from(scale));
        // scaled < 2^83: beyond a shift of 84 it rounds to nothing.
        let rounded = if shift > 84 { 0 } else { (scaled + (1 << (shift - 1))) >> shift };
        Some(Self { mantissa: u64::try_from(rounded).ok()?, scale })
    }

    /// The digits as they stand on the wire.
    pub(super) fn digits(self) -> Digits {
        let mut digits = Digits { text: [0; LONGEST], at: LONGEST };
        let mut rest = self.mantissa;
        for _ in 0..self.scale {
            rest = digits.prepend_last_of(rest);
        }
        if self.scale > 0 {
            digits.prepend(b'.');
        }
        digits.prepend_all_of(rest);
        digits
    }

    /// The same number without trailing zeros: equal for equal numbers.
    pub(super) const fn normalised(mut self) -> Self {
        while self.scale > 0 && self.mantissa.is_multiple_of(10) {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        self
    }
}

impl From<GlucoseValue> for Decimal {
    fn from(value: GlucoseValue) -> Self {
        Self { mantissa: u64::from(value.mantissa()), scale: value.scale() }
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.scale == 0 {
            return serializer.serialize_u64(self.mantissa);
        }
        let digits = self.digits();
        let raw: &RawValue = serde_json::from_str(digits.as_str()).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// A number's digits, on the stack.
pub(super) struct Digits {
    text: [u8; LONGEST],
    at: usize,
}

impl Digits {
    /// A whole number's.
    pub(super) fn of(number: i64) -> Self {
        let mut digits = Self { text: [0; LONGEST], at: LONGEST };
        digits.prepend_all_of(number.unsigned_abs());
        if number < 0 {
            digits.prepend(b'-');
        }
        digits
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn prepend_all_of(&mut self, number: u64) {
        let mut rest = self.prepend_last_of(number);
        while rest > 0 {
            rest = self.prepend_last_of(rest);
        }
    }

    /// Prepends the last digit and returns the others.
    fn prepend_last_of(&mut self, number: u64) -> u64 {
        self.prepend(b'0' + u8::try_from(number % 10).unwrap_or_default());
        number / 10
    }

    fn prepend(&mut self, byte: u8) {
        let at = self.at.saturating_sub(1);
        if let Some(slot) = self.text.get_mut(at) {
            *slot = byte;
            self.at = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::GlucoseUnit;
    use proptest::prelude::*;

    fn text(decimal: Decimal) -> String {
        serde_json::to_string(&decimal).unwrap()
    }

    #[test]
    fn digits_leave_as_they_came() {
        for value in ["6.7", "100.10", "40", "5.0", "0.560000", "999.999999", "55.05"] {
            let unit = if value.contains('.') && value.len() < 6 {
                GlucoseUnit::MmolPerL
            } else {
                GlucoseUnit::MgPerDl
            };
            let Ok(parsed) = GlucoseValue::parse(value, unit)
                .or(GlucoseValue::parse(value, GlucoseUnit::MmolPerL))
            else {
                panic!("{value}")
            };
            assert_eq!(text(Decimal::from(parsed)), value);
        }
    }

    #[test]
    fn small_numbers_keep_their_leading_zero() {
        assert_eq!(text(Decimal::hundredths(0)), "0.00");
        assert_eq!(text(Decimal::hundredths(7)), "0.07");
        assert_eq!(text(Decimal::hundredths(10_000)), "100.00");
        assert_eq!(text(Decimal::whole(0)), "0");
        assert_eq!(text(Decimal { mantissa: 5, scale: 9 }), "0.000000005");
        assert_eq!(text(Decimal { mantissa: u64::MAX, scale: 9 }), "18446744073.709551615");
    }

    #[test]
    fn figures_round_half_up_on_their_exact_value() {
        let round = |value, scale| Decimal::rounded(value, scale).map(text);
        // Exactly representable halves go up; 1.005 as a float is just below its half.
        assert_eq!(round(0.125, 2).as_deref(), Some("0.13"));
        assert_eq!(round(2.5, 0).as_deref(), Some("3"));
        assert_eq!(round(0.25, 1).as_deref(), Some("0.3"));
        assert_eq!(round(1.005, 2).as_deref(), Some("1.00"));
        assert_eq!(round(145.0, 1).as_deref(), Some("145.0"));
        assert_eq!(round(99.999, 2).as_deref(), Some("100.00"));
        assert_eq!(round(0.0, 2).as_deref(), Some("0.00"));
        assert_eq!(round(5e-324, 2).as_deref(), Some("0.00"));
        for refused in [f64::NAN, f64::INFINITY, -0.1, 1_000_000.0] {
            assert_eq!(round(refused, 2), None);
        }
    }

    proptest! {
        #[test]
        fn every_glucose_value_is_written_digit_for_digit(
            mantissa in 1_u32..1_000_000_000,
            scale in 0_u8..=6,
        ) {
            if let Ok(value) = GlucoseValue::new(mantissa, scale, GlucoseUnit::MgPerDl) {
                prop_assert_eq!(text(Decimal::from(value)), value.to_string());
                let normalised = Decimal::from(value).normalised().digits().as_str().to_owned();
                prop_assert_eq!(normalised, value.normalised());
            }
        }

        #[test]
        fn rounding_is_within_half_a_step(value in 0.0_f64..1000.0) {
            let rounded: f64 = text(Decimal::rounded(value, 2).unwrap()).parse().unwrap();
            prop_assert!((rounded - value).abs() <= 0.005 + 1e-9);
        }
    }
}
