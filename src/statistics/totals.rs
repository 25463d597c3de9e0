//! Sums of readings by weight, in whole numbers: exact, and the same whatever the order.
//!
//! There are only five weights, so every run of readings with one weight shares one accumulator.

use super::interval::Interval;
use super::level::{Level, PER_MG_DL};

/// Count, sum, sum of squares and ranges of readings of one weight.
#[derive(Clone, Copy, Default)]
struct Sums {
    readings: u64,
    amount: u128,
    squares: u128,
    bands: [u64; 5],
}

/// All readings counted.
#[derive(Clone, Default)]
pub(super) struct Totals {
    by_interval: [Sums; 5],
    clipped: u64,
}

impl Totals {
    #[inline]
    pub(super) fn add(&mut self, level: Level, interval: Interval) {
        let [one, three, five, ten, fifteen] = &mut self.by_interval;
        let sums = match interval {
            Interval::One => one,
            Interval::Three => three,
            Interval::Five => five,
            Interval::Ten => ten,
            Interval::Fifteen => fifteen,
        };
        sums.readings += 1;
        sums.amount += u128::from(level.amount);
        sums.squares += u128::from(level.amount) * u128::from(level.amount);
        if let Some(band) = sums.bands.get_mut(level.band as usize) {
            *band += 1;
        }
        self.clipped += u64::from(level.clipped);
    }

    pub(super) fn readings(&self) -> u64 {
        self.by_interval.iter().map(|sums| sums.readings).sum()
    }

    pub(super) const fn clipped(&self) -> u64 {
        self.clipped
    }

    fn weighted(&self) -> impl Iterator<Item = (u64, &Sums)> {
        Interval::ALL.iter().map(|interval| u64::from(interval.minutes())).zip(&self.by_interval)
    }

    /// Minutes the readings count for, together.
    fn weight(&self) -> u64 {
        self.weighted().map(|(weight, sums)| weight * sums.readings).sum()
    }

    /// Minutes in each range.
    pub(super) fn band_minutes(&self) -> [u64; 5] {
        let mut minutes = [0; 5];
        for (weight, sums) in self.weighted() {
            for (minutes, readings) in minutes.iter_mut().zip(sums.bands) {
                *minutes += weight * readings;
            }
        }
        minutes
    }

    /// Weighted mean and standard deviation, mg/dL; at least two readings. With equal weights the
    /// deviation is the sample's, over n − 1: √(Σw(x−μ)² / (Σw − Σw²/Σw)).
    pub(super) fn mean_and_sd(&self) -> Option<(f64, f64)> {
        if self.readings() < 2 {
            return None;
        }
        let weight = self.weight();
        let amount: u128 =
            self.weighted().map(|(weight, sums)| u128::from(weight) * sums.amount).sum();
        // About a whole number within a hundred-billionth of the mean nothing cancels. The sum
        // about it fits wherever the sum of squares does, so arithmetic that wraps in
        // between still ends right.
        let near = amount / u128::from(weight);
        let about = |sums: &Sums| {
            let cross = near.wrapping_mul(sums.amount).wrapping_mul(2);
            let square = near.wrapping_mul(near).wrapping_mul(u128::from(sums.readings));
            sums.squares.wrapping_sub(cross).wrapping_add(square)
        };
        let total = weight as f64;
        let spread: f64 =
            self.weighted().map(|(weight, sums)| weight as f64 * about(sums) as f64).sum();
        let squared_weights: u64 =
            self.weighted().map(|(weight, sums)| weight * weight * sums.readings).sum();
        let variance = spread / (total - squared_weights as f64 / total);
        let unit = PER_MG_DL as f64;
        Some((amount as f64 / total / unit, variance.sqrt() / unit))
    }
}
