//! Times in the five consensus ranges, exact and rounded so that they still add up to 100.

use crate::sorting::sort_by_key;
use std::fmt;

/// Most decimals percentages are reconciled to.
const MOST_DECIMALS: u8 = 6;

/// How much of the time glucose was in each of the five consensus ranges (Battelino 2019), in
/// percent of the time measured.
///
/// | range | mg/dL | mmol/L |
/// | --- | --- | --- |
/// | very low | below 54 | below 3.0 |
/// | low | 54–69 | 3.0–3.8 |
/// | in range | 70–180 | 3.9–10.0 |
/// | high | 181–250 | 10.1–13.9 |
/// | very high | above 250 | above 13.9 |
///
/// The ranges do not overlap: `low` is without `very low`, `high` without `very high`. A value
/// falls in a range after rounding half-up to 1 mg/dL or 0.1 mmol/L in the unit it was reported in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TimesInRanges {
    minutes: [u64; 5],
}

impl TimesInRanges {
    /// From minutes in each range, from the lowest; together more than none.
    pub(super) const fn new(minutes: [u64; 5]) -> Self {
        Self { minutes }
    }

    /// The five percentages from very low to very high, unrounded.
    pub fn percentages(self) -> [f64; 5] {
        let total = self.minutes.iter().sum::<u64>() as f64;
        self.minutes.map(|minutes| 100.0 * minutes as f64 / total)
    }

    /// Below 54 mg/dL (3.0 mmol/L), %.
    pub fn very_low_percent(self) -> f64 {
        let [percent, ..] = self.percentages();
        percent
    }

    /// 54–69 mg/dL (3.0–3.8 mmol/L), %.
    pub fn low_percent(self) -> f64 {
        let [_, percent, ..] = self.percentages();
        percent
    }

    /// 70–180 mg/dL (3.9–10.0 mmol/L), %: "time in range".
    pub fn in_range_percent(self) -> f64 {
        let [_, _, percent, ..] = self.percentages();
        percent
    }

    /// 181–250 mg/dL (10.1–13.9 mmol/L), %.
    pub fn high_percent(self) -> f64 {
        let [.., percent, _] = self.percentages();
        percent
    }

    /// Above 250 mg/dL (13.9 mmol/L), %.
    pub fn very_high_percent(self) -> f64 {
        let [.., percent] = self.percentages();
        percent
    }

    /// The five percentages from very low to very high, each rounded half-up on its exact value to
    /// `decimals` places (at most 6), in units of the last place: hundredths for 2. They may add up
    /// to a little less or more than 100.
    pub fn rounded(self, decimals: u8) -> [u32; 5] {
        let whole = 100 * 10_u128.pow(u32::from(decimals.min(MOST_DECIMALS)));
        let total = self.minutes.iter().map(|minutes| u128::from(*minutes)).sum::<u128>().max(1);
        // round(n / d) = (2n + d) / 2d.
        self.minutes.map(|minutes| {
            let units = (2 * u128::from(minutes) * whole + total) / (2 * total);
            u32::try_from(units).unwrap_or(u32::MAX)
        })
    }

    /// The five percentages from very low to very high, rounded to `decimals` places (at most 6) so
    /// that they add up to exactly 100, in units of the last place: hundredths for 2, whole
    /// percent for 0. Each is cut, and what is missing goes one by one to those that lost most
    /// (largest remainder; of equals, the range with more time). A range without time stays 0.
    ///
    /// For what people read side by side; what receivers get is [`TimesInRanges::rounded`].
    pub fn reconciled(self, decimals: u8) -> [u32; 5] {
        let whole = 100 * 10_u128.pow(u32::from(decimals.min(MOST_DECIMALS)));
        let total = self.minutes.iter().map(|minutes| u128::from(*minutes)).sum::<u128>().max(1);
        let scaled = self.minutes.map(|minutes| u128::from(minutes) * whole);
        let mut units = scaled.map(|scaled| u32::try_from(scaled / total).unwrap_or(u32::MAX));
        let remainders = scaled.map(|scaled| scaled % total);
        let missing = remainders.iter().sum::<u128>() / total;
        let mut by_loss: Vec<_> =
            units.iter_mut().zip(remainders.into_iter().zip(self.minutes)).collect();
        sort_by_key(&mut by_loss, |(_, loss)| std::cmp::Reverse(*loss));
        for (units, _) in by_loss.into_iter().take(usize::try_from(missing).unwrap_or(0)) {
            *units += 1;
        }
        units
    }
}

/// Says nothing of its content: it is part of a person's record.
impl fmt::Debug for TimesInRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimesInRanges(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounded_percentages_add_up_to_100() {
        assert_eq!(TimesInRanges::new([1, 1, 1, 0, 0]).reconciled(2), [3334, 3333, 3333, 0, 0]);
        assert_eq!(TimesInRanges::new([1, 2, 4, 0, 0]).reconciled(0), [14, 29, 57, 0, 0]);
        assert_eq!(TimesInRanges::new([2, 6, 8, 6, 2]).reconciled(2), [833, 2500, 3334, 2500, 833]);
        assert_eq!(TimesInRanges::new([0, 0, 7, 0, 0]).reconciled(2), [0, 0, 10_000, 0, 0]);
    }

    #[test]
    fn each_percentage_is_rounded_half_up_by_itself() {
        // 1.125 % and 98.875 %, then thirds.
        assert_eq!(TimesInRanges::new([9, 791, 0, 0, 0]).rounded(2), [113, 9888, 0, 0, 0]);
        assert_eq!(TimesInRanges::new([1, 1, 1, 0, 0]).rounded(2), [3333, 3333, 3333, 0, 0]);
        assert_eq!(TimesInRanges::new([9, 791, 0, 0, 0]).rounded(0), [1, 99, 0, 0, 0]);
        assert_eq!(TimesInRanges::new([0, 0, 7, 0, 0]).rounded(2), [0, 0, 10_000, 0, 0]);
    }

    proptest! {
        #[test]
        fn reconciling_moves_no_percentage_by_a_whole_unit(
            minutes in proptest::array::uniform5(0_u64..2_000_000),
            decimals in 0_u8..=6,
        ) {
            prop_assume!(minutes.iter().sum::<u64>() > 0);
            let ranges = TimesInRanges::new(minutes);
            let (units, unit) = (ranges.reconciled(decimals), 10_f64.powi(i32::from(decimals)));
            let sum: u64 = units.iter().map(|units| u64::from(*units)).sum();
            prop_assert_eq!(sum, 100 * 10_u64.pow(u32::from(decimals)));
            for (units, percent) in units.into_iter().zip(ranges.percentages()) {
                prop_assert!((f64::from(units) - percent * unit).abs() < 1.0 + 1e-6);
                prop_assert!(percent > 0.0 || units == 0);
            }
            prop_assert!((ranges.percentages().iter().sum::<f64>() - 100.0).abs() < 1e-9);
        }
    }
}
