//! What a device shows: beyond its lowest and highest value it says "Low" and "High".

use super::{GlucoseUnit, GlucoseValue, Measurement, SensorError};

/// The models whose scale their maker publishes, by a word of their name, in whole mg/dL and tenths
/// of a mmol/L.
const MODELS: [(&str, [u32; 2], [u32; 2]); 6] = [
    ("g4", [40, 400], [22, 222]),
    ("g5", [40, 400], [22, 222]),
    ("g6", [40, 400], [22, 222]),
    ("g7", [40, 400], [22, 222]),
    ("stelo", [70, 250], [39, 139]),
    ("libre 2", [40, 500], [22, 278]),
];

/// The lowest and the highest value a device shows.
///
/// ```
/// use cgm_submitter::glucose::{GlucoseUnit, Scale};
/// let scale = Scale::of_model("Dexcom G6", GlucoseUnit::MgPerDl).unwrap();
/// assert_eq!(scale.lowest().to_string(), "40");
/// assert_eq!(scale.highest().to_string(), "400");
/// assert_eq!(Scale::of_model("Some other sensor", GlucoseUnit::MgPerDl), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    lowest: GlucoseValue,
    highest: GlucoseValue,
}

impl Scale {
    /// A scale from `lowest` to `highest`.
    ///
    /// # Errors
    /// [`SensorError::Scale`] unless `lowest` is below `highest`.
    pub fn new(lowest: GlucoseValue, highest: GlucoseValue) -> Result<Self, SensorError> {
        if lowest.mg_dl() < highest.mg_dl() {
            Ok(Self { lowest, highest })
        } else {
            Err(SensorError::Scale)
        }
    }

    /// The scale of a known model, told by its name: Dexcom G4 to G7, Stelo, Libre 2. `None` for a
    /// name that says no known model, or two of them.
    pub fn of_model(name: &str, unit: GlucoseUnit) -> Option<Self> {
        let name = name.to_lowercase();
        let words: Vec<_> = name.split(|c: char| !c.is_alphanumeric()).collect();
        let named = |model: &str| {
            let model: Vec<_> = model.split(' ').collect();
            // The Libre 2 Plus and others of a longer name may show another scale.
            let whole = model.len() > 1;
            words.windows(model.len()).enumerate().any(|(at, words)| {
                words == model && (!whole || at + model.len() == name_length(&name))
            })
        };
        let mut fitting = MODELS.iter().filter(|(model, ..)| named(model));
        let (_, mg_dl, mmol_l) = fitting.next().filter(|_| fitting.clone().next().is_none())?;
        let ([lowest, highest], decimals) = match unit {
            GlucoseUnit::MgPerDl => (*mg_dl, 0),
            GlucoseUnit::MmolPerL => (*mmol_l, 1),
        };
        let value = |digits| GlucoseValue::new(digits, decimals, unit).ok();
        Self::new(value(lowest)?, value(highest)?).ok()
    }

    /// The same scale in `unit`: unchanged if it already is, otherwise rounded half-up to 1 mg/dL
    /// or 0.1 mmol/L.
    #[must_use]
    pub fn to_unit(self, unit: GlucoseUnit) -> Self {
        Self { lowest: self.lowest.to_unit(unit), highest: self.highest.to_unit(unit) }
    }

    /// Whether the device can have shown this: a value on the scale, or "Low" and "High" at its
    /// limits. Compared as a person reads it, rounded half-up to 1 mg/dL or 0.1 mmol/L in the
    /// measurement's own unit, so that a value converted by either factor stays on the scale.
    ///
    /// ```
    /// use cgm_submitter::glucose::{GlucoseUnit, GlucoseValue, Measurement, Scale};
    /// let scale = Scale::of_model("Dexcom G6", GlucoseUnit::MgPerDl).unwrap();
    /// let thirteen = GlucoseValue::parse("13.0", GlucoseUnit::MgPerDl)?;
    /// assert!(!scale.shows(Measurement::Value(thirteen)));
    /// # Ok::<(), cgm_submitter::glucose::GlucoseError>(())
    /// ```
    pub fn shows(self, measurement: Measurement) -> bool {
        let Some(value) = measurement.value() else { return true };
        let scale = self.to_unit(value.unit());
        let (lowest, highest) = (scale.lowest.rounded_native(), scale.highest.rounded_native());
        let shown = value.rounded_native();
        match measurement {
            Measurement::Value(_) => (lowest..=highest).contains(&shown),
            Measurement::Below(_) => shown == lowest,
            Measurement::Above(_) => shown == highest,
            Measurement::Absent(_) => true,
        }
    }

    /// The lowest value the device shows: "Low" is below it.
    pub const fn lowest(self) -> GlucoseValue {
        self.lowest
    }

    /// The highest value the device shows: "High" is above it.
    pub const fn highest(self) -> GlucoseValue {
        self.highest
    }
}

/// How many words a name has, as [`Scale::of_model`] splits it.
fn name_length(name: &str) -> usize {
    name.split(|c: char| !c.is_alphanumeric()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(name: &str, unit: GlucoseUnit) -> Option<String> {
        Scale::of_model(name, unit).map(|scale| format!("{}..{}", scale.lowest, scale.highest))
    }

    #[test]
    fn known_models_have_their_own_scale_and_others_none() {
        for (name, mg_dl, mmol_l) in [
            ("Dexcom G6 Mobile App", Some("40..400"), Some("2.2..22.2")),
            ("android G7", Some("40..400"), Some("2.2..22.2")),
            ("Stelo", Some("70..250"), Some("3.9..13.9")),
            ("FreeStyle Libre 2", Some("40..500"), Some("2.2..27.8")),
            ("FreeStyle Libre 2 Plus", None, None),
            ("Libre 3", None, None),
            ("Dexcom G6 or Stelo", None, None),
            ("RG6000", None, None),
            ("", None, None),
        ] {
            assert_eq!(scale(name, GlucoseUnit::MgPerDl).as_deref(), mg_dl, "{name}");
            assert_eq!(scale(name, GlucoseUnit::MmolPerL).as_deref(), mmol_l, "{name}");
        }
    }

    #[test]
    fn a_device_shows_its_scale_and_no_other_value_in_either_unit() {
        use GlucoseUnit::{MgPerDl, MmolPerL};
        let scale = Scale::of_model("G6", MgPerDl).unwrap();
        let shows = |text, unit, of: fn(GlucoseValue) -> Measurement| {
            scale.shows(of(GlucoseValue::parse(text, unit).unwrap()))
        };
        for (text, unit, value, low, high) in [
            ("40", MgPerDl, true, true, false),
            ("400.0", MgPerDl, true, false, true),
            ("39", MgPerDl, false, false, false),
            ("401", MgPerDl, false, false, false),
            ("13.0", MgPerDl, false, false, false),
            ("100", MgPerDl, true, false, false),
            ("2.2", MmolPerL, true, true, false),
            ("2.222222", MmolPerL, true, true, false),
            ("22.222222", MmolPerL, true, false, true),
            ("2.1", MmolPerL, false, false, false),
            ("22.3", MmolPerL, false, false, false),
            ("45", MmolPerL, false, false, false),
        ] {
            assert_eq!(shows(text, unit, Measurement::Value), value, "{text} {unit}");
            assert_eq!(shows(text, unit, Measurement::Below), low, "low {text} {unit}");
            assert_eq!(shows(text, unit, Measurement::Above), high, "high {text} {unit}");
        }
        assert!(scale.shows(Measurement::Absent(crate::glucose::AbsentReason::Error)));
    }

    #[test]
    fn a_scale_must_rise() {
        let at = |mg_dl| GlucoseValue::new(mg_dl, 0, GlucoseUnit::MgPerDl).unwrap();
        assert_eq!(Scale::new(at(70), at(70)), Err(SensorError::Scale));
        let scale = Scale::new(at(70), at(250)).unwrap().to_unit(GlucoseUnit::MmolPerL);
        assert_eq!(
            (scale.lowest().to_string(), scale.highest().to_string()),
            ("3.9".into(), "13.9".into())
        );
    }
}
