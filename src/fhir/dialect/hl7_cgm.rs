//! HL7 CGM STU1 1.0.0, <http://hl7.org/fhir/uv/cgm>.

use super::super::bundle::BundleLimits;
use super::super::codes::{CGM_CODE_SYSTEM, RANGES, STANDING_ORDER, SummaryMember};
use super::super::envelope::Envelope;
use super::{Content, Figure, Guide, Member, OrderVocabulary, Range, Stage};
use crate::glucose::GlucoseUnit;

pub(super) const GUIDE: Guide = Guide {
    code: "hl7-cgm",
    operation: "/$submit-cgm-bundle",
    envelope: Envelope::Transaction,
    tag: None,
    // A server may accept a subset.
    all_or_nothing: false,
    refuses_conditions_it_ignores: true,
    limits: BundleLimits { max_entries: 500, max_bytes: 1_000_000 },
    stages: &[Stage::Devices, Stage::Summary, Stage::Readings],
    orders: Some(OrderVocabulary { system: CGM_CODE_SYSTEM, standing: STANDING_ORDER }),
    members,
};

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
