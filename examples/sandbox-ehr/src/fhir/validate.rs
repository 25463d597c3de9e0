//! The guide's rules for one resource: status, code, subject, time, units, values, members and
//! names. Each function answers with the first rule broken. Scopes, references and storage are
//! judged elsewhere.

use serde_json::Value;

use super::{
    codes::{LOINC, ObservationKind, PERCENT, RANGES, SUMMARY, UCUM, Unit, observation_code},
    dates::{days_range, parse_date, parse_instant},
    outcome::Refusal,
    shape::check_shape,
};
use crate::store::{Coding, Effective};

/// What storing and reference checking need to know of a valid resource.
#[derive(Debug)]
pub(crate) struct ValidResource {
    /// The LOINC code; none for a Device.
    pub(crate) code: Option<&'static str>,
    pub(crate) codings: Vec<Coding>,
    pub(crate) identifiers: Vec<(String, String)>,
    pub(crate) effective: Option<Effective>,
}

/// Judges a resource of an accepted type for this patient.
pub(crate) fn validate(
    kind: &str,
    resource: &Value,
    patient: &str,
) -> Result<ValidResource, Refusal> {
    check_shape(kind, resource)?;
    let (code, effective) = match kind {
        "Observation" => {
            check_subject(resource, "Observation.subject", &resource["subject"], patient)?;
            observation(resource)?
        }
        "DiagnosticReport" => {
            check_subject(resource, "DiagnosticReport.subject", &resource["subject"], patient)?;
            diagnostic_report(resource)?
        }
        _ => {
            check_subject(resource, "Device.patient", &resource["patient"], patient)?;
            device(resource)?;
            (None, None)
        }
    };
    Ok(ValidResource {
        code,
        codings: all_codings(resource),
        identifiers: identifiers(kind, resource)?,
        effective,
    })
}

/// The codings that scopes and searches look at: of `code` and `category`.
pub(crate) fn all_codings(resource: &Value) -> Vec<Coding> {
    let mut codings = codings_of("code", &resource["code"]);
    for category in items(&resource["category"]) {
        codings.extend(codings_of("category", category));
    }
    codings
}

fn check_subject(
    resource: &Value,
    path: &str,
    subject: &Value,
    patient: &str,
) -> Result<(), Refusal> {
    if subject.is_null() {
        return Err(Refusal::missing(path));
    }
    let reference = subject["reference"]
        .as_str()
        .ok_or_else(|| Refusal::missing(&format!("{path}.reference")))?;
    if reference.strip_prefix("Patient/") != Some(patient) {
        let kind = resource["resourceType"].as_str().unwrap_or("resource");
        return Err(Refusal::forbidden(format!(
            "this {kind:.20} is not about the patient of the access token"
        ))
        .at(path));
    }
    Ok(())
}

fn observation(resource: &Value) -> Result<(Option<&'static str>, Option<Effective>), Refusal> {
    one_of(
        "Observation.status",
        &resource["status"],
        &["preliminary", "final", "amended", "corrected"],
    )?;
    let coded = loinc_code("Observation.code", &resource["code"])?;
    let known = observation_code(coded).ok_or_else(|| {
        Refusal::new(
            422,
            "code-invalid",
            "this receiver takes only the Observation codes of the CGM guide",
        )
        .at("Observation.code")
    })?;
    let effective = effective(resource, known.kind)?;
    nothing_of_another_kind(resource, known.kind)?;
    Ok((Some(known.code), Some(effective)))
}

/// Checks what an observation of this kind says, and returns the time it says it of.
fn effective(resource: &Value, kind: ObservationKind) -> Result<Effective, Refusal> {
    Ok(match kind {
        ObservationKind::Reading(unit) => {
            let instant = resource["effectiveDateTime"]
                .as_str()
                .ok_or_else(|| Refusal::missing("Observation.effectiveDateTime"))?;
            let starts = parse_instant(instant).ok_or_else(|| {
                Refusal::rule(
                    "Observation.effectiveDateTime",
                    "a reading's time needs seconds and an offset",
                )
            })?;
            value_or_reason(resource, unit, true)?;
            Effective { starts, ends: starts + 1 }
        }
        ObservationKind::Statistic { unit, required } => {
            if required {
                quantity("Observation.valueQuantity", &resource["valueQuantity"], unit)?;
            }
            value_or_reason(resource, unit, false)?;
            date_period("Observation.effectivePeriod", &resource["effectivePeriod"])?
        }
        ObservationKind::TimesInRanges => {
            times_in_ranges(resource)?;
            date_period("Observation.effectivePeriod", &resource["effectivePeriod"])?
        }
        ObservationKind::Summary => {
            if items(&resource["hasMember"]).len() < 6 {
                return Err(Refusal::rule(
                    "Observation.hasMember",
                    "a summary has at least six members",
                ));
            }
            date_period("Observation.effectivePeriod", &resource["effectivePeriod"])?
        }
    })
}

/// Refuses a second effective time, members of what is no summary, and a summary's own value.
fn nothing_of_another_kind(resource: &Value, kind: ObservationKind) -> Result<(), Refusal> {
    let wrong_time = match kind {
        ObservationKind::Reading(_) => "effectivePeriod",
        _ => "effectiveDateTime",
    };
    if !resource[wrong_time].is_null() || !resource["effectiveInstant"].is_null() {
        return Err(Refusal::rule("Observation.effective", "more than one kind of effective time"));
    }
    if !matches!(kind, ObservationKind::Summary) && !resource["hasMember"].is_null() {
        return Err(Refusal::rule("Observation.hasMember", "only a summary has members"));
    }
    if let ObservationKind::Summary = kind
        && !resource["valueQuantity"].is_null()
    {
        return Err(Refusal::rule(
            "Observation.valueQuantity",
            "a summary has members, not a value",
        ));
    }
    Ok(())
}

/// A value in the right unit, or the reason why there is none, never both (`obs-6`).
fn value_or_reason(resource: &Value, unit: Unit, one_required: bool) -> Result<(), Refusal> {
    let (value, reason) = (&resource["valueQuantity"], &resource["dataAbsentReason"]);
    match (value.is_null(), reason.is_null()) {
        (true, true) if one_required => Err(Refusal::rule(
            "Observation",
            "a sensor reading must have a valueQuantity or a dataAbsentReason",
        )),
        (false, false) => {
            Err(Refusal::rule("Observation.dataAbsentReason", "present although there is a value"))
        }
        (false, true) => quantity("Observation.valueQuantity", value, unit),
        (true, false) if codings_of("code", reason).is_empty() => {
            Err(Refusal::missing("Observation.dataAbsentReason.coding"))
        }
        _ => Ok(()),
    }
}

fn times_in_ranges(resource: &Value) -> Result<(), Refusal> {
    let path = "Observation.component";
    let components = items(&resource["component"]);
    let (mut sum, mut fractional) = (0.0, false);
    for (code, name) in RANGES {
        let mut of_code =
            components.iter().filter(|component| loinc_code(path, &component["code"]) == Ok(code));
        let component = of_code.next().ok_or_else(|| {
            Refusal::rule(path, format!("the component for {name} ({code}) is missing"))
        })?;
        if of_code.next().is_some() {
            return Err(Refusal::rule(
                path,
                format!("the component for {name} ({code}) is there twice"),
            ));
        }
        quantity("Observation.component.valueQuantity", &component["valueQuantity"], PERCENT)?;
        let percent = component["valueQuantity"]["value"].as_f64().unwrap_or_default();
        if !(0.0..=100.0).contains(&percent) {
            return Err(Refusal::rule(
                path,
                format!("the percentage for {name} ({code}) is not within 0 to 100"),
            ));
        }
        sum += percent;
        fractional |= percent.fract() != 0.0;
    }
    // The bands are disjoint. Five whole numbers may each be off by a half.
    let tolerance = if fractional { 0.5 } else { 2.5 };
    if (sum - 100.0_f64).abs() > tolerance {
        return Err(Refusal::rule(
            path,
            "the five percentages do not add up to 100: bands must be disjoint and complete",
        ));
    }
    Ok(())
}

fn diagnostic_report(
    resource: &Value,
) -> Result<(Option<&'static str>, Option<Effective>), Refusal> {
    one_of(
        "DiagnosticReport.status",
        &resource["status"],
        &["preliminary", "final", "amended", "corrected"],
    )?;
    if loinc_code("DiagnosticReport.code", &resource["code"])? != SUMMARY {
        let text = "this receiver takes only the CGM summary report";
        return Err(Refusal::new(422, "code-invalid", text).at("DiagnosticReport.code"));
    }
    let effective = date_period("DiagnosticReport.effectivePeriod", &resource["effectivePeriod"])?;
    if let Some(issued) = resource["issued"].as_str()
        && parse_instant(issued).is_none()
    {
        return Err(Refusal::rule("DiagnosticReport.issued", "not an instant"));
    }
    let path = "DiagnosticReport.presentedForm";
    let pdf = items(&resource["presentedForm"])
        .iter()
        .find(|form| form["contentType"] == "application/pdf")
        .ok_or_else(|| Refusal::missing(path))?;
    let data = pdf["data"]
        .as_str()
        .ok_or_else(|| Refusal::missing("DiagnosticReport.presentedForm.data"))?;
    match decode_base64(data) {
        Some(bytes) if bytes.starts_with(b"%PDF-") => Ok((Some(SUMMARY), Some(effective))),
        _ => Err(Refusal::rule("DiagnosticReport.presentedForm.data", "not a PDF in base64")),
    }
}

pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(text).ok()
}

fn device(resource: &Value) -> Result<(), Refusal> {
    if items(&resource["identifier"]).is_empty() {
        return Err(Refusal::missing("Device.identifier"));
    }
    let names: Vec<&Value> = items(&resource["deviceName"])
        .iter()
        .filter(|name| name["type"] == "user-friendly-name")
        .collect();
    match names.as_slice() {
        [name] if name["name"].is_string() => Ok(()),
        [_] => Err(Refusal::missing("Device.deviceName.name")),
        _ => Err(Refusal::rule(
            "Device.deviceName",
            "there must be one name of type user-friendly-name",
        )),
    }
}

fn identifiers(kind: &str, resource: &Value) -> Result<Vec<(String, String)>, Refusal> {
    if !resource["identifier"].is_null() && !resource["identifier"].is_array() {
        return Err(Refusal::rule(&format!("{kind}.identifier"), "must be a list"));
    }
    items(&resource["identifier"])
        .iter()
        .map(|identifier| {
            let value = identifier["value"]
                .as_str()
                .ok_or_else(|| Refusal::missing(&format!("{kind}.identifier.value")))?;
            Ok((identifier["system"].as_str().unwrap_or_default().to_owned(), value.to_owned()))
        })
        .collect()
}

/// A Quantity with the guide's unit, code and system, and a JSON number as its value.
fn quantity(path: &str, value: &Value, unit: Unit) -> Result<(), Refusal> {
    if value.is_null() {
        return Err(Refusal::missing(path));
    }
    if value["system"] != UCUM || value["code"] != unit.code || value["unit"] != unit.unit {
        let text = format!("must have unit {} and UCUM code {}", unit.unit, unit.code);
        return Err(Refusal::new(422, "code-invalid", text).at(path));
    }
    if !value["comparator"].is_null() {
        one_of(&format!("{path}.comparator"), &value["comparator"], &["<", "<=", ">=", ">"])?;
    }
    match value["value"].as_f64() {
        Some(number) if number >= 0.0 => Ok(()),
        Some(_) => Err(Refusal::rule(path, "the value is negative")),
        None => Err(Refusal::rule(path, "the value must be a JSON number")),
    }
}

/// A Period of whole days: both ends given, as dates, in order.
fn date_period(path: &str, period: &Value) -> Result<Effective, Refusal> {
    if period.is_null() {
        return Err(Refusal::missing(path));
    }
    let edge = |name: &str| {
        let text =
            period[name].as_str().ok_or_else(|| Refusal::missing(&format!("{path}.{name}")))?;
        parse_date(text)
            .ok_or_else(|| Refusal::rule(&format!("{path}.{name}"), "must be a date (YYYY-MM-DD)"))
    };
    let (start, end) = (edge("start")?, edge("end")?);
    if start > end {
        return Err(Refusal::rule(path, "the period ends before it starts"));
    }
    Ok(days_range(start, end))
}

/// The one LOINC code of a `CodeableConcept`.
fn loinc_code<'a>(path: &str, concept: &'a Value) -> Result<&'a str, Refusal> {
    let mut codes = items(&concept["coding"])
        .iter()
        .filter(|coding| coding["system"] == LOINC)
        .filter_map(|coding| coding["code"].as_str());
    let code = codes
        .next()
        .ok_or_else(|| Refusal::new(422, "required", "a LOINC code is required").at(path))?;
    match codes.next() {
        Some(_) => Err(Refusal::rule(path, "more than one LOINC code")),
        None => Ok(code),
    }
}

fn codings_of(element: &'static str, concept: &Value) -> Vec<Coding> {
    items(&concept["coding"])
        .iter()
        .filter_map(|coding| {
            Some(Coding {
                element,
                system: coding["system"].as_str().unwrap_or_default().to_owned(),
                code: coding["code"].as_str()?.to_owned(),
            })
        })
        .collect()
}

fn one_of(path: &str, value: &Value, allowed: &[&str]) -> Result<(), Refusal> {
    match value.as_str() {
        Some(text) if allowed.contains(&text) => Ok(()),
        Some(_) => {
            Err(Refusal::new(422, "code-invalid", format!("must be one of {}", allowed.join(", ")))
                .at(path))
        }
        None => Err(Refusal::missing(path)),
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
