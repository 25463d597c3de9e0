//! HL7 CGM STU1 1.0.0, <http://hl7.org/fhir/uv/cgm>.

use super::super::codes::{
    CGM_CODE_SYSTEM, ONE_TIME_ORDER, PROFILE_BASE, RANGES, STANDING_ORDER, SummaryMember,
};
use super::super::envelope::{BundleLimits, Envelope};
use super::super::permission::{ResourceType, SearchToken};
use super::{
    Content, DatesForm, Figure, Guide, Member, OrderVocabulary, Part, Range, ScheduleForm, Scopes,
    Written,
};
use crate::glucose::GlucoseUnit;

pub(super) const GUIDE: Guide = Guide {
    code: "hl7-cgm",
    operation: "/$submit-cgm-bundle",
    envelope: Envelope::Transaction,
    tag: None,
    refuses_conditions_it_ignores: true,
    limits: BundleLimits { max_entries: 500, max_bytes: 1_000_000 },
    stages: &[Part::Devices, Part::Summary, Part::Readings],
    writes,
    scopes: SCOPES,
    orders: Some(OrderVocabulary::HL7_CGM),
    members,
};

const fn writes(part: Part) -> Written {
    match part {
        Part::Devices => Written { resource: ResourceType::Device, category: None },
        Part::Summary | Part::Readings => {
            Written { resource: ResourceType::Observation, category: Some(SearchToken::LABORATORY) }
        }
    }
}

/// Of the guide's section "Data Submission". It has no scope for reading back.
const SCOPES: Scopes = Scopes {
    granular: [
        "launch/patient offline_access patient/Patient.r \
         patient/ServiceRequest.rs?code=cgm-data-submission-standing-order \
         patient/DiagnosticReport.cu?category=LAB \
         patient/Observation.cu?category=laboratory patient/Device.cu",
        "launch/patient offline_access patient/Patient.r \
         patient/ServiceRequest.rs?code=cgm-data-submission-standing-order \
         patient/DiagnosticReport.cu?category=LAB \
         patient/Observation.crus?category=laboratory patient/Device.crus",
    ],
    v2: [
        "launch/patient offline_access patient/Patient.r patient/ServiceRequest.rs \
         patient/DiagnosticReport.cu patient/Observation.cu patient/Device.cu",
        "launch/patient offline_access patient/Patient.r patient/ServiceRequest.rs \
         patient/DiagnosticReport.cu patient/Observation.crus patient/Device.crus",
    ],
    v1: [
        "launch/patient offline_access patient/Patient.read patient/ServiceRequest.read \
         patient/DiagnosticReport.write patient/Observation.write patient/Device.write",
        "launch/patient offline_access patient/Patient.read patient/ServiceRequest.read \
         patient/DiagnosticReport.write patient/Observation.read patient/Observation.write \
         patient/Device.read patient/Device.write",
    ],
};

impl OrderVocabulary {
    /// HL7 CGM's.
    pub const HL7_CGM: Self = Self {
        system: CGM_CODE_SYSTEM,
        standing: STANDING_ORDER,
        one_time: ONE_TIME_ORDER,
        canonicals: PROFILE_BASE,
        schedule: ScheduleForm {
            extension: "data-submission-schedule",
            period: "submissionPeriod",
            lookback: "lookbackPeriod",
        },
        dates: DatesForm { extension: "data-submission-one-time-spec", period: "timePeriod" },
        profile: "submissionDataProfile",
    };
}

/// The figures a summary refers to, and how each is coded.
const fn members(unit: GlucoseUnit) -> &'static [Member] {
    match unit {
        GlucoseUnit::MgPerDl => &MASS,
        GlucoseUnit::MmolPerL => &MOLAR,
    }
}

const MASS: [Member; 6] = of_unit(GlucoseUnit::MgPerDl);
const MOLAR: [Member; 6] = of_unit(GlucoseUnit::MmolPerL);

const fn of_unit(unit: GlucoseUnit) -> [Member; 6] {
    const fn value(member: SummaryMember, figure: Figure) -> Member {
        Member { kind: member, code: member.loinc(), content: Content::Value(figure) }
    }
    [
        value(SummaryMember::Mean(unit), Figure::Mean(unit)),
        Member {
            kind: SummaryMember::TimesInRanges,
            code: SummaryMember::TimesInRanges.loinc(),
            content: Content::Components(&COMPONENTS),
        },
        value(SummaryMember::Gmi, Figure::Gmi),
        value(SummaryMember::CoefficientOfVariation, Figure::CoefficientOfVariation),
        value(SummaryMember::DaysOfWear, Figure::DaysOfWear),
        value(SummaryMember::SensorActive, Figure::SensorActive),
    ]
}

const COMPONENTS: [(Figure, &str); 5] = {
    let [very_low, low, target, high, very_high] = RANGES;
    [
        (Figure::TimeIn(Range::VeryLow), very_low),
        (Figure::TimeIn(Range::Low), low),
        (Figure::TimeIn(Range::Target), target),
        (Figure::TimeIn(Range::High), high),
        (Figure::TimeIn(Range::VeryHigh), very_high),
    ]
};
