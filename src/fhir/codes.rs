//! The fixed words of HL7 CGM STU1: code systems, LOINC codes, units, profile names.
//!
//! Codes travel without a `display`: a wrong one is the commonest validator error, and none is
//! asked for.

use crate::glucose::GlucoseUnit;

/// HL7 CGM's own code system.
pub const CGM_CODE_SYSTEM: &str = "http://hl7.org/fhir/uv/cgm/CodeSystem/cgm";
/// What every profile canonical of HL7 CGM begins with.
pub const PROFILE_BASE: &str = "http://hl7.org/fhir/uv/cgm/StructureDefinition/";
/// The code of a standing order in [`CGM_CODE_SYSTEM`].
pub const STANDING_ORDER: &str = "cgm-data-submission-standing-order";
/// The code of a one-time order in [`CGM_CODE_SYSTEM`].
pub const ONE_TIME_ORDER: &str = "cgm-data-submission-one-time-order";

pub(super) const RECEIVER_CANONICAL: &str =
    "http://hl7.org/fhir/uv/cgm/CapabilityStatement/cgm-data-receiver";
pub(super) const SUBMIT_OPERATION: &str = "submit-cgm-bundle";
pub(super) const SUBMIT_DEFINITION: &str =
    "http://hl7.org/fhir/uv/cgm/OperationDefinition/submit-cgm-bundle";

/// The operation of T1D Exchange's guide.
pub(super) const T1D_OPERATION: &str = "submit-t1d-data";

pub(super) const LOINC: &str = "http://loinc.org";
pub(super) const UCUM: &str = "http://unitsofmeasure.org";
pub(super) const DATA_ABSENT_REASON: &str =
    "http://terminology.hl7.org/CodeSystem/data-absent-reason";
/// Says by its codes `<` and `>` what a comparator says, to systems that drop comparators: off
/// scale low, off scale high.
pub(super) const OBSERVATION_INTERPRETATION: &str =
    "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
pub(super) const OBSERVATION_REPLACES: &str =
    "http://hl7.org/fhir/StructureDefinition/observation-replaces";
/// The system of identifiers that are URIs.
pub(super) const URI_SYSTEM: &str = "urn:ietf:rfc:3986";

/// The summary, and the report on it.
pub(super) const SUMMARY: &str = "107931-8";
/// Very low, low, in range, high, very high: disjoint bands.
pub(super) const RANGES: [&str; 5] = ["104642-4", "104641-6", "97510-2", "104640-8", "104639-0"];

/// A sensor reading's LOINC code, which depends on the unit it is sent in.
pub(super) const fn reading_code(unit: GlucoseUnit) -> &'static str {
    match unit {
        GlucoseUnit::MgPerDl => "99504-3",
        GlucoseUnit::MmolPerL => "105272-9",
    }
}

/// A unit as the profiles fix it: what people read, and the UCUM code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) text: &'static str,
    pub(super) code: &'static str,
}

pub(super) const PERCENT: Unit = Unit { text: "%", code: "%" };
pub(super) const DAYS: Unit = Unit { text: "days", code: "d" };

/// A glucose concentration's unit as the profiles fix it.
pub(super) const fn glucose_unit(unit: GlucoseUnit) -> Unit {
    match unit {
        GlucoseUnit::MgPerDl => Unit { text: "mg/dl", code: unit.ucum() },
        GlucoseUnit::MmolPerL => Unit { text: "mmol/l", code: unit.ucum() },
    }
}

/// One of the figures a summary consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SummaryMember {
    /// Mean glucose, in this unit.
    Mean(GlucoseUnit),
    /// The five times in ranges.
    TimesInRanges,
    /// Glucose management indicator, %.
    Gmi,
    /// Coefficient of variation, %.
    CoefficientOfVariation,
    /// Days with at least one reading.
    DaysOfWear,
    /// Share of the time the sensor was active, %.
    SensorActive,
}

impl SummaryMember {
    /// The members of a summary whose mean is given in `unit`.
    pub const fn of_summary(unit: GlucoseUnit) -> [Self; 6] {
        [
            Self::Mean(unit),
            Self::TimesInRanges,
            Self::Gmi,
            Self::CoefficientOfVariation,
            Self::DaysOfWear,
            Self::SensorActive,
        ]
    }

    /// Its LOINC code.
    pub const fn loinc(self) -> &'static str {
        match self {
            Self::Mean(GlucoseUnit::MgPerDl) => "97507-8",
            Self::Mean(GlucoseUnit::MmolPerL) => "105273-7",
            Self::TimesInRanges => "106793-3",
            Self::Gmi => "97506-0",
            Self::CoefficientOfVariation => "104638-2",
            Self::DaysOfWear => "104636-6",
            Self::SensorActive => "104637-4",
        }
    }

    /// The last part of its profile's canonical.
    pub const fn profile(self) -> &'static str {
        match self {
            Self::Mean(GlucoseUnit::MgPerDl) => "cgm-summary-mean-glucose-mass-per-volume",
            Self::Mean(GlucoseUnit::MmolPerL) => "cgm-summary-mean-glucose-moles-per-volume",
            Self::TimesInRanges => "cgm-summary-times-in-ranges",
            Self::Gmi => "cgm-summary-gmi",
            Self::CoefficientOfVariation => "cgm-summary-coefficient-of-variation",
            Self::DaysOfWear => "cgm-summary-days-of-wear",
            Self::SensorActive => "cgm-summary-sensor-active-percentage",
        }
    }
}
