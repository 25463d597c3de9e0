//! The `CapabilityStatement` of `GET /fhir/metadata`: what this receiver declares, and nothing it
//! does not do.

use serde_json::{Value, json};

use crate::config::Config;

const GUIDE: &str = "http://hl7.org/fhir/uv/cgm";

pub(crate) fn capability_statement(config: &Config, origin: &str, base: &str) -> Value {
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2025-08-27",
        "kind": "instance",
        "instantiates": [format!("{GUIDE}/CapabilityStatement/cgm-data-receiver")],
        "implementationGuide": [format!("{GUIDE}/ImplementationGuide/hl7.fhir.uv.cgm")],
        "software": { "name": "sandbox-ehr", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "Sandbox EHR for tests and demonstrations",
        "url": base },
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{
            "mode": "server",
            "security": security(origin),
            "resource": resources(config),
            "operation": [{
                "name": "submit-cgm-bundle",
                "definition": format!("{GUIDE}/OperationDefinition/submit-cgm-bundle"),
                "documentation": "Resources are created only through this operation. Conditional \
                    create takes ifNoneExist: identifier=system|value; the identifier must also be \
                    on the resource and is kept. Two entries of one Bundle with the same \
                    ifNoneExist are refused with the whole Bundle.",
            }],
        }],
    })
}

/// Every type it serves, and what can be done with it.
fn resources(config: &Config) -> [Value; 5] {
    [
        resource("Patient", &[], &["read"], &[], None),
        resource(
            "ServiceRequest",
            &["cgm-data-submission-standing-order", "cgm-data-submission-one-time-order"],
            &["read", "vread", "search-type"],
            &[("patient", "reference"), ("code", "token")],
            None,
        ),
        resource(
            "Observation",
            &[
                "cgm-summary",
                "cgm-summary-mean-glucose-mass-per-volume",
                "cgm-summary-mean-glucose-moles-per-volume",
                "cgm-summary-times-in-ranges",
                "cgm-summary-gmi",
                "cgm-summary-coefficient-of-variation",
                "cgm-summary-days-of-wear",
                "cgm-summary-sensor-active-percentage",
                "cgm-sensor-reading-mass-per-volume",
                "cgm-sensor-reading-moles-per-volume",
            ],
            &["create", "read", "vread", "search-type"],
            &SEARCHABLE,
            Some(config.conditional_create),
        ),
        resource(
            "DiagnosticReport",
            &["cgm-summary-pdf"],
            &["create", "read", "vread", "search-type"],
            &SEARCHABLE,
            Some(config.conditional_create),
        ),
        resource(
            "Device",
            &["cgm-device"],
            &["create", "read", "vread", "search-type"],
            &[("patient", "reference"), ("identifier", "token")],
            Some(config.conditional_create),
        ),
    ]
}

const SEARCHABLE: [(&str, &str); 5] = [
    ("patient", "reference"),
    ("code", "token"),
    ("category", "token"),
    ("identifier", "token"),
    ("date", "date"),
];

fn resource(
    kind: &str,
    profiles: &[&str],
    interactions: &[&str],
    searches: &[(&str, &str)],
    conditional_create: Option<bool>,
) -> Value {
    let mut resource = json!({
        "type": kind,
        "interaction": interactions.iter().map(|code| json!({ "code": code })).collect::<Vec<_>>(),
    });
    if !profiles.is_empty() {
        resource["supportedProfile"] = profiles
            .iter()
            .map(|profile| format!("{GUIDE}/StructureDefinition/{profile}"))
            .collect();
    }
    if !searches.is_empty() {
        resource["searchParam"] =
            searches.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
    }
    if let Some(supported) = conditional_create {
        resource["conditionalCreate"] = json!(supported);
    }
    resource
}

fn security(origin: &str) -> Value {
    json!({
        "service": [{ "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
            "code": "SMART-on-FHIR",
        }] }],
        "extension": [{
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
            "extension": [
                { "url": "authorize", "valueUri": format!("{origin}/oauth/authorize") },
                { "url": "token", "valueUri": format!("{origin}/oauth/token") },
                { "url": "revoke", "valueUri": format!("{origin}/oauth/revoke") },
            ],
        }],
    })
}
