//! FHIR's general JSON rules and element names, the same for every resource. Rules of the guide are
//! in `validate`.

use serde_json::Value;

use super::outcome::Refusal;

const ANY_RESOURCE: [&str; 7] =
    ["resourceType", "id", "meta", "implicitRules", "language", "text", "extension"];

#[rustfmt::skip]
const OBSERVATION: [&str; 26] = [
    "identifier", "basedOn", "partOf", "status", "category", "code", "subject", "focus",
    "encounter", "effectiveDateTime", "effectivePeriod", "issued", "performer", "valueQuantity",
    "dataAbsentReason", "interpretation", "note", "bodySite", "method", "specimen", "device",
    "referenceRange", "hasMember", "derivedFrom", "component", "effectiveInstant",
];

#[rustfmt::skip]
const DIAGNOSTIC_REPORT: [&str; 16] = [
    "identifier", "basedOn", "status", "category", "code", "subject", "encounter",
    "effectivePeriod", "issued", "performer", "resultsInterpreter", "result", "conclusion",
    "conclusionCode", "presentedForm", "media",
];

#[rustfmt::skip]
const DEVICE: [&str; 24] = [
    "identifier", "definition", "udiCarrier", "status", "statusReason", "distinctIdentifier",
    "manufacturer", "manufactureDate", "expirationDate", "lotNumber", "serialNumber",
    "deviceName", "modelNumber", "partNumber", "type", "specialization", "version", "property",
    "patient", "owner", "contact", "location", "note", "safety",
];

/// Refuses elements R4 does not have (for the types and value types the guide uses), modifier
/// extensions nobody here understands, contained resources, and JSON that FHIR forbids: null, empty
/// objects, arrays and strings.
pub(crate) fn check_shape(kind: &str, resource: &Value) -> Result<(), Refusal> {
    let known: &[&str] = match kind {
        "Observation" => &OBSERVATION,
        "DiagnosticReport" => &DIAGNOSTIC_REPORT,
        _ => &DEVICE,
    };
    for name in resource.as_object().into_iter().flatten().map(|(name, _)| name) {
        let element = name.strip_prefix('_').unwrap_or(name);
        if !known.contains(&element) && !ANY_RESOURCE.contains(&element) {
            let text = format!("this receiver does not take the element {name:.40} on {kind}");
            return Err(Refusal::new(422, "not-supported", text).at(kind));
        }
    }
    refuse_empty(kind, resource)
}

fn refuse_empty(path: &str, value: &Value) -> Result<(), Refusal> {
    let empty = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    if empty {
        return Err(Refusal::new(
            422,
            "structure",
            format!("{path} is null or empty: leave it out"),
        )
        .at(path));
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| refuse_empty(path, item)),
        Value::Object(fields) => fields
            .iter()
            .try_for_each(|(name, field)| refuse_empty(&format!("{path}.{name:.40}"), field)),
        _ => Ok(()),
    }
}
