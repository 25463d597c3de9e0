//! The shapes of the resources we write. They borrow what they say; each content's own file fills
//! them in.

use super::codes::{LOINC, OBSERVATION_REPLACES, UCUM, URI_SYSTEM, Unit};
use super::datetime::FhirDateTime;
use super::decimal::Decimal;
use super::identity::Identifier;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

/// Every Observation's category. Not mandated, but the guide's scopes are limited by it.
pub(super) const CATEGORY: &str = concat!(
    r#"[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","#,
    r#""code":"laboratory"}]}]"#
);

fn category<S: Serializer>(json: &&'static str, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str::<&RawValue>(json).map_err(S::Error::custom)?.serialize(serializer)
}

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
    unit: &'static str,
    system: &'static str,
    code: &'static str,
}

impl Quantity {
    pub(super) const fn new(value: Decimal, unit: Unit) -> Self {
        Self { value, unit: unit.text, system: UCUM, code: unit.code }
    }
}

#[derive(Serialize)]
pub(super) struct Period {
    start: FhirDateTime,
    end: FhirDateTime,
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

/// An Observation of HL7 CGM over some days: a summary, or one of its members.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Observation<'a> {
    resource_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extension: Option<[ReplacesExtension<'a>; 1]>,
    identifier: [IdentifierField; 1],
    status: &'static str,
    #[serde(serialize_with = "category")]
    category: &'static str,
    code: CodeableConcept<'static>,
    subject: Reference<'a>,
    effective_period: Period,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_quantity: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<[Annotation<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) has_member: Option<Vec<Reference<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) component: Option<Vec<Component<'a>>>,
}

impl<'a> Observation<'a> {
    /// One without a value as yet, over `start` to `end`.
    pub(super) const fn new(
        identifier: Identifier,
        loinc: &'static str,
        subject: &'a str,
        (start, end): (FhirDateTime, FhirDateTime),
    ) -> Self {
        Self {
            resource_type: "Observation",
            extension: None,
            identifier: [IdentifierField::new(identifier)],
            status: "final",
            category: CATEGORY,
            code: CodeableConcept::loinc(loinc),
            subject: Reference::Address { reference: subject },
            effective_period: Period { start, end },
            value_quantity: None,
            note: None,
            has_member: None,
            component: None,
        }
    }
}
