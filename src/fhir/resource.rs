//! The shapes of the resources we write. They borrow what they say; each content's own file fills them in.

use super::codes::{LOINC, OBSERVATION_CATEGORY, OBSERVATION_REPLACES, UCUM, URI_SYSTEM, Unit};
use super::decimal::Decimal;
use super::identity::Identifier;
use super::moment::Moment;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Coding<'a> {
    pub(super) system: &'static str,
    pub(super) code: &'a str,
}

#[derive(Serialize)]
pub(super) struct CodeableConcept<'a> {
    coding: [Coding<'a>; 1],
}

impl<'a> CodeableConcept<'a> {
    pub(super) const fn new(system: &'static str, code: &'a str) -> Self {
        Self { coding: [Coding { system, code }] }
    }

    pub(super) const fn loinc(code: &'a str) -> Self {
        Self::new(LOINC, code)
    }
}

#[derive(Serialize)]
pub(super) struct IdentifierField {
    system: &'static str,
    value: Identifier,
}

impl IdentifierField {
    pub(super) const fn new(value: Identifier) -> Self {
        Self { system: URI_SYSTEM, value }
    }
}

/// What a reference points to.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Reference<'a> {
    /// By address: `Patient/7`, `Device/12/_history/1`.
    Address { reference: &'a str },
    /// By the `fullUrl` of another entry of the bundle.
    Entry { reference: Identifier },
    /// By what it is called, wherever it is.
    Logical { r#type: &'static str, identifier: IdentifierField },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplacesExtension<'a> {
    url: &'static str,
    value_reference: Reference<'a>,
}

impl<'a> ReplacesExtension<'a> {
    pub(super) const fn new(value_reference: Reference<'a>) -> Self {
        Self { url: OBSERVATION_REPLACES, value_reference }
    }
}

#[derive(Serialize)]
pub(super) struct Quantity {
    value: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparator: Option<&'static str>,
    unit: &'static str,
    system: &'static str,
    code: &'static str,
}

impl Quantity {
    pub(super) const fn new(value: Decimal, unit: Unit) -> Self {
        Self { value, comparator: None, unit: unit.text, system: UCUM, code: unit.code }
    }

    pub(super) const fn compared(value: Decimal, unit: Unit, comparator: Option<&'static str>) -> Self {
        Self { value, comparator, unit: unit.text, system: UCUM, code: unit.code }
    }
}

#[derive(Serialize)]
pub(super) struct Period {
    start: Moment,
    end: Moment,
}

#[derive(Serialize)]
pub(super) struct Annotation<'a> {
    pub(super) text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Component<'a> {
    pub(super) code: CodeableConcept<'a>,
    pub(super) value_quantity: Quantity,
}

/// When it holds.
#[derive(Clone, Copy)]
pub(super) enum Effective {
    /// An instant.
    DateTime(Moment),
    /// Dates, both included.
    Period(Moment, Moment),
}

/// An Observation of HL7 CGM: a reading, a summary, or one of a summary's members.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Observation<'a> {
    resource_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extension: Option<[ReplacesExtension<'a>; 1]>,
    identifier: [IdentifierField; 1],
    pub(super) status: &'static str,
    category: [CodeableConcept<'static>; 1],
    code: CodeableConcept<'static>,
    subject: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_date_time: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_quantity: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_absent_reason: Option<CodeableConcept<'static>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<[Annotation<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) has_member: Option<[Reference<'a>; 6]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) component: Option<[Component<'a>; 5]>,
}

impl<'a> Observation<'a> {
    /// One without a value as yet.
    pub(super) const fn new(
        identifier: Identifier,
        loinc: &'static str,
        subject: &'a str,
        effective: Effective,
    ) -> Self {
        let (effective_date_time, effective_period) = match effective {
            Effective::DateTime(time) => (Some(time), None),
            Effective::Period(start, end) => (None, Some(Period { start, end })),
        };
        Self {
            resource_type: "Observation",
            extension: None,
            identifier: [IdentifierField::new(identifier)],
            status: "final",
            category: [CodeableConcept::new(OBSERVATION_CATEGORY, "laboratory")],
            code: CodeableConcept::loinc(loinc),
            subject: Reference::Address { reference: subject },
            effective_date_time,
            effective_period,
            value_quantity: None,
            data_absent_reason: None,
            note: None,
            device: None,
            has_member: None,
            component: None,
        }
    }
}
