//! Whether the values of a file can be what their devices showed. A wrong unit in a header is told
//! by it: what a monitor shows in one unit, none shows in the other.

use super::ImportError;
use crate::glucose::{
    GlucoseError, GlucoseUnit, GlucoseValue, Measurement, ReadingError, Scale, Sensor,
};

/// What continuous monitors of all makers show, in mg/dL, is within these; a number that is within
/// them in one unit is outside in the other, for the higher is 30 mmol/L.
const SHOWN_BY_ANY: std::ops::RangeInclusive<f64> = 30.0..=540.0;
/// A file is refused if more than one in so many of its values cannot be.
const ONE_IN: usize = 20;
/// So few are single damaged rows, however short the file.
const FEW: usize = 2;

/// How the values of a file lie on their devices' scales.
#[derive(Default)]
pub(super) struct Scales {
    values: usize,
    off: usize,
    /// Of those that are off, how many fit the other unit only: stated as mg/dL, as mmol/L.
    of_other_unit: [usize; 2],
}

impl Scales {
    /// Counts a value and says whether its device can have shown it. On no known scale, a number
    /// that fits the other unit only is none.
    pub(super) fn check(
        &mut self,
        measurement: Measurement,
        sensor: &Sensor,
    ) -> Result<Measurement, ReadingError> {
        let Some(value) = measurement.value() else { return Ok(measurement) };
        self.values += 1;
        let fits_other = fits_only_the_other(&value.to_string(), value.unit());
        if fits_other {
            self.note(value.unit());
        }
        let shown = sensor.scale().map(|scale| scale.shows(measurement));
        if shown == Some(false) || (shown.is_none() && fits_other) {
            self.off += 1;
            return Err(if fits_other { ReadingError::OtherUnit } else { ReadingError::OffScale });
        }
        Ok(measurement)
    }

    /// Counts a number that is no glucose value, and would be one in the other unit; says so.
    pub(super) fn impossible(
        &mut self,
        number: &str,
        unit: GlucoseUnit,
        reason: ReadingError,
    ) -> ReadingError {
        let out_of_range = reason == ReadingError::Value(GlucoseError::OutOfRange);
        if !(out_of_range && fits_only_the_other(number, unit)) {
            return reason;
        }
        self.values += 1;
        self.off += 1;
        self.note(unit);
        ReadingError::OtherUnit
    }

    fn note(&mut self, stated: GlucoseUnit) {
        let [mg_dl, mmol_l] = &mut self.of_other_unit;
        *match stated {
            GlucoseUnit::MgPerDl => mg_dl,
            GlucoseUnit::MmolPerL => mmol_l,
        } += 1;
    }

    /// Refuses the file if so many of its values cannot be that its unit, or a scale, is wrong.
    pub(super) fn refuse_wrong_unit(&self) -> Result<(), ImportError> {
        let [mg_dl, mmol_l] = self.of_other_unit;
        let many = |count: usize| count > FEW && count * ONE_IN > self.values;
        let (stated, like, count) = if mg_dl >= mmol_l {
            (GlucoseUnit::MgPerDl, GlucoseUnit::MmolPerL, mg_dl)
        } else {
            (GlucoseUnit::MmolPerL, GlucoseUnit::MgPerDl, mmol_l)
        };
        if many(count) {
            return Err(ImportError::WrongUnit { stated, like, count, of: self.values });
        }
        if many(self.off) {
            return Err(ImportError::OffScale { count: self.off, of: self.values });
        }
        Ok(())
    }
}

/// Whether any monitor shows this number in the other unit, and none in this one.
fn fits_only_the_other(number: &str, unit: GlucoseUnit) -> bool {
    let is_shown = |unit| {
        GlucoseValue::parse(number, unit).is_ok_and(|value| SHOWN_BY_ANY.contains(&value.mg_dl()))
    };
    !is_shown(unit) && is_shown(unit.other())
}

/// What "Low" or "High" with a number says on a known scale: the limit, if the number is the limit
/// or the next one beyond it, as makers write them (39 and 401 on a scale from 40 to 400).
pub(super) fn clipped(measurement: Measurement, scale: Option<Scale>) -> Measurement {
    let Some((value, scale)) = measurement.value().zip(scale) else { return measurement };
    let scale = scale.to_unit(value.unit());
    let shown = value.rounded_native();
    match measurement {
        Measurement::Below(_) if shown + 1 == scale.lowest().rounded_native() => {
            Measurement::Below(scale.lowest())
        }
        Measurement::Above(_) if shown == scale.highest().rounded_native() + 1 => {
            Measurement::Above(scale.highest())
        }
        _ => measurement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use GlucoseUnit::{MgPerDl, MmolPerL};

    #[test]
    fn no_number_is_shown_in_both_units() {
        for tenths in 1..12_000_u32 {
            let number = format!("{}.{}", tenths / 10, tenths % 10);
            let only = [MgPerDl, MmolPerL].map(|unit| fits_only_the_other(&number, unit));
            let shown = (17..=5_400).contains(&tenths);
            assert_eq!(only[0] || only[1], shown, "{number}");
            assert!(!(only[0] && only[1]), "{number}");
        }
    }

    #[test]
    fn single_values_off_the_scale_cost_their_rows_and_one_in_twenty_the_file() {
        let scales = |values, off, mg_dl| Scales { values, off, of_other_unit: [mg_dl, 0] };
        for (values, off, mg_dl, refused) in [
            (2, 2, 2, false),
            (60, 3, 3, false),
            (59, 3, 3, true),
            (59, 3, 0, true),
            (1_000, 50, 50, false),
            (1_000, 0, 51, true),
        ] {
            let refusal = scales(values, off, mg_dl).refuse_wrong_unit();
            assert_eq!(refusal.is_err(), refused, "{values} {off} {mg_dl}");
        }
    }

    #[test]
    fn the_next_number_beyond_the_limit_is_how_makers_write_low_and_high() {
        let scale = Scale::of_model("G6", MgPerDl);
        let value = |text, unit| GlucoseValue::parse(text, unit).unwrap();
        for (text, unit, limit) in [("39", MgPerDl, "40"), ("2.1", MmolPerL, "2.2")] {
            let low = clipped(Measurement::Below(value(text, unit)), scale);
            assert_eq!(low, Measurement::Below(value(limit, unit)), "{text}");
        }
        for (text, unit, limit) in [("401", MgPerDl, "400"), ("22.3", MmolPerL, "22.2")] {
            let high = clipped(Measurement::Above(value(text, unit)), scale);
            assert_eq!(high, Measurement::Above(value(limit, unit)), "{text}");
        }
        let other = Measurement::Below(value("38", MgPerDl));
        assert_eq!(clipped(other, scale), other);
    }
}
