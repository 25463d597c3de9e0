//! What a permission is about: a type of resource and, if permission is given by one, its category
//! or code.

/// A type of resource this SDK reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceType {
    /// The person.
    Patient,
    /// What a receiver asks for.
    ServiceRequest,
    /// The report as PDF.
    DiagnosticReport,
    /// Readings and summaries.
    Observation,
    /// The sensor.
    Device,
}

impl ResourceType {
    /// Its name in FHIR.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Patient => "Patient",
            Self::ServiceRequest => "ServiceRequest",
            Self::DiagnosticReport => "DiagnosticReport",
            Self::Observation => "Observation",
            Self::Device => "Device",
        }
    }
}

/// A coded property by which a permission may be restricted, as in `?category=laboratory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchToken {
    /// The search parameter.
    pub parameter: &'static str,
    /// The code system.
    pub system: &'static str,
    /// The code.
    pub code: &'static str,
}

impl SearchToken {
    /// The category this SDK gives readings and summaries.
    pub const LABORATORY: Self = Self {
        parameter: "category",
        system: "http://terminology.hl7.org/CodeSystem/observation-category",
        code: "laboratory",
    };
    /// The category this SDK gives a report.
    pub const LAB: Self = Self {
        parameter: "category",
        system: "http://terminology.hl7.org/CodeSystem/v2-0074",
        code: "LAB",
    };
    /// The code of standing orders.
    pub const STANDING_ORDER: Self = Self {
        parameter: "code",
        system: super::codes::CGM_CODE_SYSTEM,
        code: super::codes::STANDING_ORDER,
    };
}
