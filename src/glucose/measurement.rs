//! What a sensor said at one instant: a value, a value beyond its scale, or nothing and why.

use super::{GlucoseUnit, GlucoseValue};

/// Why there is no value, in the terms of FHIR's data-absent-reason code system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AbsentReason {
    /// The reason was not given.
    Unknown,
    /// The sensor reported an error.
    Error,
    /// The sensor did not measure, for example while warming up.
    NotPerformed,
    /// The source declined to show the value.
    Masked,
}

impl AbsentReason {
    /// The code in `http://terminology.hl7.org/CodeSystem/data-absent-reason`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Error => "error",
            Self::NotPerformed => "not-performed",
            Self::Masked => "masked",
        }
    }
}

/// What a sensor said at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measurement {
    /// A value.
    Value(GlucoseValue),
    /// "Low": below the lowest value the device shows, which is given.
    Below(GlucoseValue),
    /// "High": above the highest value the device shows, which is given.
    Above(GlucoseValue),
    /// No value.
    Absent(AbsentReason),
}

impl Measurement {
    /// How far beyond its value it counts in statistics, mg/dL: a clipped one counts 1 mg/dL beyond
    /// the device's limit (Dexcom: 39, 401).
    pub const fn beyond_mg_dl(self) -> i8 {
        match self {
            Self::Below(_) => -1,
            Self::Above(_) => 1,
            Self::Value(_) | Self::Absent(_) => 0,
        }
    }

    /// Milligrams per decilitre as it counts in statistics; `None` without a value.
    pub fn mg_dl(self) -> Option<f64> {
        self.value().map(|value| value.mg_dl() + f64::from(self.beyond_mg_dl()))
    }

    /// Whether the device clipped the value to its scale.
    pub const fn is_clipped(self) -> bool {
        matches!(self, Self::Below(_) | Self::Above(_))
    }

    /// The value, or the limit of a clipped one.
    pub const fn value(self) -> Option<GlucoseValue> {
        match self {
            Self::Value(value) | Self::Below(value) | Self::Above(value) => Some(value),
            Self::Absent(_) => None,
        }
    }

    /// The unit it was reported in; none without a value.
    pub fn unit(self) -> Option<GlucoseUnit> {
        self.value().map(GlucoseValue::unit)
    }

    /// The same measurement in `unit`, rounded as it is sent: half-up to 1 mg/dL or 0.1 mmol/L.
    #[must_use]
    pub fn in_unit(self, unit: GlucoseUnit) -> Self {
        match self {
            Self::Value(value) => Self::Value(value.to_unit(unit)),
            Self::Below(limit) => Self::Below(limit.to_unit(unit)),
            Self::Above(limit) => Self::Above(limit.to_unit(unit)),
            Self::Absent(reason) => Self::Absent(reason),
        }
    }

    /// Whether a receiver that is sent `unit` cannot tell them apart.
    pub fn is_alike_in(self, other: Self, unit: GlucoseUnit) -> bool {
        let same = |a: GlucoseValue, b: GlucoseValue| a.normalised() == b.normalised();
        self == other || self.in_unit(unit).agrees_with(other.in_unit(unit), same)
    }

    /// Whether both say the same: the same number whatever zeros it is written with, or in the
    /// other unit a number that one of them converts to ([`GlucoseValue::is_same_as`]).
    pub fn says_the_same_as(self, other: Self) -> bool {
        self == other || self.agrees_with(other, GlucoseValue::is_same_as)
    }

    /// Whether it is given in smaller steps: 121 mg/dL is finer than 6.7 mmol/L.
    pub fn is_finer_than(self, other: Self) -> bool {
        self.value().zip(other.value()).is_some_and(|(a, b)| a.is_finer_than(b))
    }

    fn agrees_with(self, other: Self, same: impl Fn(GlucoseValue, GlucoseValue) -> bool) -> bool {
        match (self, other) {
            (Self::Value(a), Self::Value(b))
            | (Self::Below(a), Self::Below(b))
            | (Self::Above(a), Self::Above(b)) => same(a, b),
            (Self::Absent(a), Self::Absent(b)) => a == b,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use GlucoseUnit::{MgPerDl, MmolPerL};

    fn value(text: &str, unit: GlucoseUnit) -> GlucoseValue {
        GlucoseValue::parse(text, unit).unwrap()
    }

    #[test]
    fn low_says_the_same_in_either_unit_but_is_no_value() {
        let (mass, molar) = (value("40", MgPerDl), value("2.2", MmolPerL));
        assert!(Measurement::Below(mass).says_the_same_as(Measurement::Below(molar)));
        let high = (value("400", MgPerDl), value("22.2", MmolPerL));
        assert!(Measurement::Above(high.1).says_the_same_as(Measurement::Above(high.0)));
        for other in [
            Measurement::Value(mass),
            Measurement::Value(value("39", MgPerDl)),
            Measurement::Above(mass),
            Measurement::Absent(AbsentReason::Unknown),
        ] {
            assert!(!Measurement::Below(mass).says_the_same_as(other));
        }
    }

    #[test]
    fn what_differs_in_one_unit_may_be_alike_in_the_other() {
        let [a, b] = ["100", "101"].map(|text| Measurement::Value(value(text, MgPerDl)));
        assert!(!a.says_the_same_as(b));
        assert!(!a.is_alike_in(b, MgPerDl));
        assert!(a.is_alike_in(b, MmolPerL), "5.6 both");
    }
}
