//! FHIR: what a receiver says about itself, the patient, and what was sent, and what it has of
//! that.

use super::{is_showable, quotes_nothing, shows_nothing};
use cgm_submitter::fhir::{
    Addresses, Comparison, Dialect, OutcomeText, PatientId, ResponseError, compare,
    parse_capability, parse_found, parse_outcome, parse_patient, parse_response,
};
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::LazyLock;
use url::Url;

/// What was sent, and is looked for in a page of what was found.
const SENT: &str = r#"{"resourceType":"Observation","status":"final",
    "identifier":[
    {"system":"urn:ietf:rfc:3986","value":"urn:uuid:16d937dd-3dd2-4935-85b5-98d2b1f0d4f6"}],
    "code":{"coding":[{"system":"http://loinc.org","code":"99504-3"}]},
    "subject":{"reference":"Patient/p-1"},
    "effectiveDateTime":"2024-05-01T08:00:00+02:00",
    "valueQuantity":{"value":100.10,"code":"mg/dL"}}"#;

static BASE: LazyLock<Url> = LazyLock::new(|| Url::parse("https://ehr.example/fhir").unwrap());

static PATIENT: LazyLock<PatientId> = LazyLock::new(|| PatientId::new("p-1").unwrap());

/// A guide is recognised by its operation.
pub(super) fn capability(data: &[u8]) {
    match parse_capability(data) {
        Ok(found) => assert!(found.dialect == Some(Dialect::Hl7Cgm) || !found.submit_operation),
        Err(error) => quotes_nothing(&error),
    }
}

/// Only the patient asked for is accepted, with a name and date a screen can show.
pub(super) fn patient(data: &[u8]) {
    let found = match parse_patient(data, &PATIENT) {
        Ok(found) => found,
        Err(error) => return quotes_nothing(&error),
    };
    assert_eq!(found.id, *PATIENT);
    shows_nothing(&found);
    if let Some(name) = &found.name {
        assert!(!name.trim().is_empty());
        is_showable(name, 256);
    }
    if let Some(date) = &found.birth_date {
        let digits = |text: &str, count| {
            text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let mut parts = date.split('-');
        assert!(
            parts.next().is_some_and(|year| digits(year, 4)) && parts.all(|part| digits(part, 2))
        );
    }
}

/// A text a screen can show.
pub(super) fn outcome(data: &[u8]) {
    if let Some(found) = parse_outcome(data) {
        check_outcome(&found);
    }
}

fn check_outcome(found: &OutcomeText) {
    shows_nothing(found);
    is_showable(found.text(), 1_000);
    if let Some(code) = found.code() {
        assert!(!code.is_empty());
        is_showable(code, 64);
    }
}

/// One outcome for each entry, or none at all.
pub(super) fn response(data: &[u8]) {
    let entries = match parse_response(data, usize::MAX) {
        Ok(_) => unreachable!("as many entries as there are numbers"),
        Err(error) => {
            quotes_nothing(&error);
            let ResponseError::WrongLength { found, .. } = error else { return };
            found
        }
    };
    assert!(entries <= data.len());
    let found = match parse_response(data, entries) {
        Ok(found) => found,
        Err(error) => return quotes_nothing(&error),
    };
    assert_eq!(found.len(), entries);
    for entry in found {
        assert!((100..600).contains(&entry.status));
        shows_nothing(&entry);
        if let Some(reference) = entry.reference() {
            let (kind, id) = reference.split_once('/').expect("a type and an id");
            assert!(
                kind.bytes().all(|byte| byte.is_ascii_alphabetic()) && PatientId::new(id).is_ok()
            );
        }
        assert!(entry.location.is_none_or(|location| (1..=2_048).contains(&location.len())));
        if let Some(outcome) = &entry.outcome {
            check_outcome(outcome);
        }
    }
}

/// The next page is on the receiver's own server, and what counts as kept has the facts that were
/// sent.
pub(super) fn search_page(data: &[u8]) {
    let found = match parse_found(data, &BASE) {
        Ok(found) => found,
        Err(error) => return quotes_nothing(&error),
    };
    if let Some(next) = &found.next {
        assert_eq!(next.origin(), BASE.origin());
        assert!(next.username().is_empty() && next.password().is_none());
    }
    assert!(found.resources.len() <= 2_000);
    let mut addresses = Addresses::at(&BASE);
    for (identifiers, resource) in &found.resources {
        for identifier in identifiers {
            addresses.note(*identifier, resource);
        }
    }
    shows_nothing(&addresses);
    let sent: &RawValue = serde_json::from_str(SENT).unwrap();
    for (_, resource) in found.resources {
        if compare(sent, resource, &addresses) != Comparison::AsSent {
            continue;
        }
        let read: Value = serde_json::from_str(resource.get()).expect("what was compared");
        assert_eq!(read["valueQuantity"]["value"].as_f64(), Some(100.1));
        assert!(read["subject"]["reference"].as_str().is_some_and(|subject| {
            subject
                .trim_start_matches(BASE.as_str())
                .trim_start_matches('/')
                .starts_with("Patient/p-1")
        }));
        assert_ne!(read["status"], "entered-in-error");
    }
}
