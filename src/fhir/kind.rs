//! What an entry is: one enumeration for bundles, the store and what a person is told.
//!
//! The store writes [`EntryKind::code`] and reads it back once, at its edge; nothing else takes
//! such a text apart.

use super::codes::SummaryMember;
use crate::glucose::{DateRange, GlucoseUnit};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EntryKind {
    /// A sensor reading.
    Reading,
    /// A device.
    Device,
    /// A summary.
    Summary,
    /// One figure of a summary.
    SummaryMember(SummaryMember),
}

impl EntryKind {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Reading,
        Self::Device,
        Self::Summary,
        Self::SummaryMember(SummaryMember::Mean(GlucoseUnit::MgPerDl)),
        Self::SummaryMember(SummaryMember::Mean(GlucoseUnit::MmolPerL)),
        Self::SummaryMember(SummaryMember::TimesInRanges),
        Self::SummaryMember(SummaryMember::Gmi),
        Self::SummaryMember(SummaryMember::CoefficientOfVariation),
        Self::SummaryMember(SummaryMember::DaysOfWear),
        Self::SummaryMember(SummaryMember::SensorActive),
    ];

    /// The FHIR resource type.
    pub const fn resource_type(self) -> &'static str {
        match self {
            Self::Reading | Self::Summary | Self::SummaryMember(_) => "Observation",
            Self::Device => "Device",
        }
    }

    /// The stable word for it, as it is stored: it never changes.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Device => "device",
            Self::Summary => "summary",
            Self::SummaryMember(member) => match member {
                SummaryMember::Mean(GlucoseUnit::MgPerDl) => "summary-mean-mass",
                SummaryMember::Mean(GlucoseUnit::MmolPerL) => "summary-mean-molar",
                SummaryMember::TimesInRanges => "summary-times-in-ranges",
                SummaryMember::Gmi => "summary-gmi",
                SummaryMember::CoefficientOfVariation => "summary-cv",
                SummaryMember::DaysOfWear => "summary-days-of-wear",
                SummaryMember::SensorActive => "summary-sensor-active",
            },
        }
    }

    /// The kind of a [`EntryKind::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// In words for a person.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Device => "device",
            Self::Summary => "summary",
            Self::SummaryMember(_) => "figure of the summary",
        }
    }
}

/// In words for a person.
impl std::fmt::Display for EntryKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// As [`EntryKind::code`].
impl Serialize for EntryKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for EntryKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| D::Error::custom("an unknown kind of entry"))
    }
}

/// What a summary and all that belongs to it covers.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// The local dates, both included.
    pub dates: DateRange,
    /// The unit of its mean.
    pub unit: GlucoseUnit,
}

/// Says only the unit: the dates are the person's.
impl std::fmt::Debug for Covered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Covered").field("unit", &self.unit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_code_stands_for_one_kind() {
        let codes: HashSet<_> = EntryKind::ALL.into_iter().map(EntryKind::code).collect();
        assert_eq!(codes.len(), EntryKind::ALL.len());
        for kind in EntryKind::ALL {
            assert_eq!(EntryKind::from_code(kind.code()), Some(kind));
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde_json::from_str::<EntryKind>(&json).unwrap(), kind);
        }
        assert_eq!(EntryKind::from_code("summary 2024-05-01"), None);
    }
}
