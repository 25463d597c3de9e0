//! What an order asks for, by the canonicals of the profiles it names.

use crate::fhir::{OrderVocabulary, SummaryMember};
use crate::glucose::GlucoseUnit;
use serde::{Deserialize, Serialize};

/// One kind of data an order can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum Content {
    /// The summary with its members.
    Summary,
    /// The report, a PDF.
    SummaryPdf,
    /// Sensor readings in this unit.
    Readings(GlucoseUnit),
    /// The device.
    Device,
    /// One figure of the summary.
    SummaryMember(SummaryMember),
}

impl Content {
    /// Every kind there is.
    pub const ALL: [Self; 12] = [
        Self::Summary,
        Self::SummaryPdf,
        Self::Readings(GlucoseUnit::MgPerDl),
        Self::Readings(GlucoseUnit::MmolPerL),
        Self::Device,
        Self::SummaryMember(SummaryMember::Mean(GlucoseUnit::MgPerDl)),
        Self::SummaryMember(SummaryMember::Mean(GlucoseUnit::MmolPerL)),
        Self::SummaryMember(SummaryMember::TimesInRanges),
        Self::SummaryMember(SummaryMember::Gmi),
        Self::SummaryMember(SummaryMember::CoefficientOfVariation),
        Self::SummaryMember(SummaryMember::DaysOfWear),
        Self::SummaryMember(SummaryMember::SensorActive),
    ];

    /// The last part of its profile's canonical.
    pub const fn profile(self) -> &'static str {
        match self {
            Self::Summary => "cgm-summary",
            Self::SummaryPdf => "cgm-summary-pdf",
            Self::Readings(GlucoseUnit::MgPerDl) => "cgm-sensor-reading-mass-per-volume",
            Self::Readings(GlucoseUnit::MmolPerL) => "cgm-sensor-reading-moles-per-volume",
            Self::Device => "cgm-device",
            Self::SummaryMember(member) => member.profile(),
        }
    }

    /// The content that the canonical of a guide's profile names, with or without `|version`;
    /// `None` if it is not known.
    pub(crate) fn from_canonical(canonical: &str, words: &OrderVocabulary) -> Option<Self> {
        let unversioned = canonical.split('|').next()?;
        Self::from_profile(unversioned.strip_prefix(words.canonicals)?)
    }

    /// Whether it is worked out from whole days, of which too few mean little.
    pub(super) const fn is_summary(self) -> bool {
        matches!(self, Self::Summary | Self::SummaryPdf | Self::SummaryMember(_))
    }

    fn from_profile(profile: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|content| content.profile() == profile)
    }
}

impl From<Content> for String {
    fn from(content: Content) -> Self {
        content.profile().to_owned()
    }
}

impl TryFrom<String> for Content {
    type Error = &'static str;

    fn try_from(profile: String) -> Result<Self, Self::Error> {
        Self::from_profile(&profile).ok_or("no known profile")
    }
}
