//! What a sensor said at one instant: a value, a value beyond its scale, or nothing and why.

use super::{GlucoseUnit, GlucoseValue};

/// Why there is no value, in the terms of FHIR's data-absent-reason code system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Milligrams per decilitre for statistics; a clipped one counts as 1 mg/dL beyond the device's
    /// limit (Dexcom: 39, 401). None without a value.
    pub fn mg_dl(self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(value.mg_dl()),
            Self::Below(limit) => Some(limit.mg_dl() - 1.0),
            Self::Above(limit) => Some(limit.mg_dl() + 1.0),
            Self::Absent(_) => None,
        }
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

    /// Whether both say the same, whatever zeros they are written with.
    pub fn says_the_same_as(self, other: Self) -> bool {
        let same = |a: GlucoseValue, b: GlucoseValue| {
            a.unit() == b.unit() && a.normalised() == b.normalised()
        };
        self == other
            || match (self, other) {
                (Self::Value(a), Self::Value(b))
                | (Self::Below(a), Self::Below(b))
                | (Self::Above(a), Self::Above(b)) => same(a, b),
                _ => false,
            }
    }
}
