//! A reading's value as a whole number that statistics can add up exactly, and the consensus range
//! it falls in.

use crate::glucose::{GlucoseUnit, GlucoseValue, MG_DL_E5_PER_MMOL_L, Measurement};

/// Levels in one mg/dL. Fine enough for every value in either unit: six decimals, and the five of
/// the molar factor.
pub(super) const PER_MG_DL: u64 = 100_000_000_000;
/// Levels in a millionth of a mmol/L.
const PER_MICRO_MMOL_L: u64 = MG_DL_E5_PER_MMOL_L;

/// Where the upper four ranges start. 54, 70, 181 and 251 mg/dL after rounding half-up to 1 mg/dL
/// (Battelino 2019).
const MG_DL_STARTS: [u64; 4] =
    [PER_MG_DL / 2 * 107, PER_MG_DL / 2 * 139, PER_MG_DL / 2 * 361, PER_MG_DL / 2 * 501];
/// The same by 3.0, 3.9, 10.1 and 14.0 mmol/L after rounding half-up to 0.1 mmol/L.
const MMOL_L_STARTS: [u64; 4] = [
    PER_MICRO_MMOL_L * 2_950_000,
    PER_MICRO_MMOL_L * 3_850_000,
    PER_MICRO_MMOL_L * 10_050_000,
    PER_MICRO_MMOL_L * 13_950_000,
];

/// The five consensus ranges, from the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Band {
    VeryLow,
    Low,
    InRange,
    High,
    VeryHigh,
}

/// A value in hundred-billionths of a mg/dL, and its range.
#[derive(Clone, Copy)]
pub(super) struct Level {
    pub(super) amount: u64,
    pub(super) band: Band,
    pub(super) clipped: bool,
}

impl Level {
    /// None without a value.
    #[inline]
    pub(super) fn of(measurement: Measurement) -> Option<Self> {
        let value = measurement.value()?;
        let beyond = i64::from(measurement.beyond_mg_dl()) * PER_MG_DL.cast_signed();
        let amount = amount(value).saturating_add_signed(beyond);
        Some(Self { amount, band: band(amount, value.unit()), clipped: beyond != 0 })
    }
}

fn amount(value: GlucoseValue) -> u64 {
    let to_millionths = match value.scale() {
        0 => 1_000_000,
        1 => 100_000,
        2 => 10_000,
        3 => 1_000,
        4 => 100,
        5 => 10,
        _ => 1,
    };
    let per_millionth = match value.unit() {
        GlucoseUnit::MgPerDl => PER_MG_DL / 1_000_000,
        GlucoseUnit::MmolPerL => PER_MICRO_MMOL_L,
    };
    u64::from(value.mantissa()) * to_millionths * per_millionth
}

/// Rounded in its own unit: converted first, 10.0 mmol/L would read 180.16 and fall out of range.
fn band(amount: u64, unit: GlucoseUnit) -> Band {
    let starts = match unit {
        GlucoseUnit::MgPerDl => MG_DL_STARTS,
        GlucoseUnit::MmolPerL => MMOL_L_STARTS,
    };
    match starts.map(|start| u8::from(amount >= start)).iter().sum::<u8>() {
        0 => Band::VeryLow,
        1 => Band::Low,
        2 => Band::InRange,
        3 => Band::High,
        _ => Band::VeryHigh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use GlucoseUnit::{MgPerDl, MmolPerL};
    use proptest::prelude::*;

    fn band_of(text: &str, unit: GlucoseUnit, kind: fn(GlucoseValue) -> Measurement) -> Band {
        Level::of(kind(GlucoseValue::parse(text, unit).unwrap())).unwrap().band
    }

    #[test]
    fn seventy_and_180_are_in_range_and_3_9_and_10_0_too() {
        let bands = [
            ("53", "2.9", Band::VeryLow),
            ("53.49", "2.949", Band::VeryLow),
            ("53.5", "2.95", Band::Low),
            ("54", "3.0", Band::Low),
            ("69", "3.8", Band::Low),
            ("69.4", "3.84", Band::Low),
            ("69.5", "3.85", Band::InRange),
            ("70", "3.9", Band::InRange),
            ("180", "10.0", Band::InRange),
            ("180.499999", "10.049999", Band::InRange),
            ("180.5", "10.05", Band::High),
            ("181", "10.1", Band::High),
            ("250", "13.9", Band::High),
            ("250.5", "13.95", Band::VeryHigh),
            ("251", "14.0", Band::VeryHigh),
        ];
        for (mass, molar, band) in bands {
            assert_eq!(band_of(mass, MgPerDl, Measurement::Value), band, "{mass}");
            assert_eq!(band_of(molar, MmolPerL, Measurement::Value), band, "{molar}");
        }
    }

    #[test]
    fn a_clipped_value_falls_in_the_range_beyond_the_limit() {
        for (text, unit) in [("40", MgPerDl), ("54", MgPerDl), ("2.2", MmolPerL), ("3.0", MmolPerL)]
        {
            assert_eq!(band_of(text, unit, Measurement::Below), Band::VeryLow, "{text}");
        }
        for (text, unit) in
            [("250", MgPerDl), ("400", MgPerDl), ("13.9", MmolPerL), ("27.8", MmolPerL)]
        {
            assert_eq!(band_of(text, unit, Measurement::Above), Band::VeryHigh, "{text}");
        }
        assert_eq!(band_of("55", MgPerDl, Measurement::Below), Band::Low);
        assert_eq!(band_of("10.0", MmolPerL, Measurement::Above), Band::High);
    }

    proptest! {
        #[test]
        fn amount_and_band_agree_with_the_value(
            mantissa in 1_u32..1_000_000_000,
            scale in 0_u8..=6,
            mass in any::<bool>(),
        ) {
            let unit = if mass { MgPerDl } else { MmolPerL };
            let Ok(value) = GlucoseValue::new(mantissa, scale, unit) else { return Ok(()) };
            let level = Level::of(Measurement::Value(value)).unwrap();
            let expected = value.mg_dl();
            let amount = level.amount as f64 / PER_MG_DL as f64;
            prop_assert!((amount - expected).abs() <= 1e-12 * expected);
            let ends = if mass { [54, 70, 181, 251] } else { [30, 39, 101, 140] };
            let rounded = value.rounded_native();
            let band = ends.iter().filter(|end| rounded >= **end).count();
            prop_assert_eq!(level.band as usize, band);
        }
    }
}
