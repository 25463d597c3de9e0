//! What receivers say of themselves and of the patient.

use super::*;
use cgm_submitter::fhir::{CapabilityError, Dialect, PatientError};

#[test]
fn the_guides_statement_is_recognised() {
    let statement = json!({
        "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
        "instantiates": ["http://hl7.org/fhir/uv/cgm/CapabilityStatement/cgm-data-receiver|1.0.0"],
        "rest": [{"mode": "server", "resource": [
            {"type": "ServiceRequest", "interaction": [{"code": "search-type"}]},
            {"type": "Observation", "interaction": [{"code": "create"}, {"code": "search-type"}],
             "conditionalCreate": true, "searchParam": [{"name": "identifier", "type": "token"}]},
        ]}],
    });
    let capability = parse_capability(statement.to_string().as_bytes()).unwrap();
    assert_eq!(capability.dialect, Some(Dialect::Hl7Cgm));
    assert!(capability.fhir_r4 && capability.order_search && capability.conditional_create);
    assert!(capability.observation_search_by_identifier && !capability.device_search_by_identifier);
    assert!(!capability.submit_operation);
}

#[test]
fn a_search_by_date_is_offered_only_with_patient_and_code_beside_it() {
    let with = |names: &[&str], code: &str| {
        let parameters: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        let resource = json!({"type": "Observation", "interaction": [{"code": code}],
            "searchParam": parameters});
        let statement = json!({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
            "rest": [{"mode": "server", "resource": [resource]}]});
        parse_capability(statement.to_string().as_bytes()).unwrap().observation_search_by_date
    };
    assert!(with(&["date", "code", "_lastUpdated", "patient"], "search-type"));
    assert!(!with(&["date", "code", "patient"], "read"));
    for two in [["date", "code"], ["date", "patient"], ["code", "patient"]] {
        assert!(!with(&two, "search-type"), "{two:?}");
    }
}

#[test]
fn the_operation_alone_is_enough_and_a_clients_half_is_not_looked_at() {
    let with = |mode: &str| {
        let statement = json!({"resourceType": "CapabilityStatement", "fhirVersion": "5.0.0",
            "rest": [
            {"mode": mode, "operation": [{"name": "submit-cgm-bundle",
                "definition": {"reference": "old form"}}, 7]}]});
        parse_capability(statement.to_string().as_bytes()).unwrap()
    };
    assert_eq!(
        (with("server").dialect, with("server").submit_operation),
        (Some(Dialect::Hl7Cgm), true)
    );
    assert_eq!((with("client").dialect, with("server").fhir_r4), (None, false));
    assert_eq!(parse_capability(b"{}"), Err(CapabilityError::NotACapabilityStatement));
    assert_eq!(parse_capability(b"<"), Err(CapabilityError::Unparsable));
}

#[test]
fn a_server_of_no_guide_is_spoken_to_plainly_where_it_takes_transactions() {
    let with = |fhir: &str, rest: Value| {
        let statement =
            json!({"resourceType": "CapabilityStatement", "fhirVersion": fhir, "rest": [rest]});
        parse_capability(statement.to_string().as_bytes()).unwrap().dialect
    };
    let takes =
        json!({"mode": "server", "interaction": [{"code": "batch"}, {"code": "transaction"}]});
    assert_eq!(with("4.0.1", takes.clone()), Some(Dialect::Plain));
    assert_eq!(with("3.0.2", takes.clone()), None);
    assert_eq!(with("4.0.1", json!({"mode": "server", "interaction": [{"code": "batch"}]})), None);
    let mut registry = takes;
    registry["resource"] = json!([{"type": "Bundle", "operation": [{"name": "submit-t1d-data"}]}]);
    assert_eq!(with("4.0.1", registry), None, "another guide's receiver wants that guide's bundle");
}

#[test]
fn the_official_name_is_shown_and_another_patient_is_an_error() {
    let id = PatientId::new("p-1").unwrap();
    let patient = |names: Value| {
        let patient = json!({"resourceType": "Patient", "id": "p-1", "birthDate": "1990-02-28",
            "name": names});
        parse_patient(patient.to_string().as_bytes(), &id).unwrap()
    };
    let name = |names: Value| patient(names).name;
    assert_eq!(
        name(json!([{"use": "nickname", "text": "Jim"}, {"use": "official", "family": "Kirk",
                "given": ["James", " T. "]}])),
        Some("James T. Kirk".into())
    );
    assert_eq!(name(json!([{"use": "old", "text": "A"}, {"text": "B\u{7}"}])), Some("B".into()));
    assert_eq!(
        name(json!([{"use": "official"}, {"use": "usual", "family": "C"}])),
        Some("C".into())
    );
    assert_eq!(name(json!("not a list")), None);
    let shown = patient(json!([]));
    assert_eq!(shown.birth_date.as_deref(), Some("1990-02-28"));
    let other = json!({"resourceType": "Patient", "id": "p-2"}).to_string();
    assert_eq!(parse_patient(other.as_bytes(), &id), Err(PatientError::OtherPatient));
    assert_eq!(
        parse_patient(b"{\"resourceType\":\"Bundle\"}", &id),
        Err(PatientError::NotAPatient)
    );
    let odd =
        json!({"resourceType": "Patient", "id": "p-1", "birthDate": "28.02.1990"}).to_string();
    assert_eq!(parse_patient(odd.as_bytes(), &id).unwrap().birth_date, None);
}
