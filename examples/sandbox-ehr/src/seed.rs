//! Who is registered at the sandbox clinic when it first opens: two invented people and one
//! standing order each. Data only; the store decides whether it is still needed.

use serde_json::{Value, json};

const CGM: &str = "http://hl7.org/fhir/uv/cgm";

/// A person the sandbox clinic knows, with what the clinic asks of them.
pub(crate) struct SeedPatient {
    pub(crate) id: &'static str,
    pub(crate) resource: Value,
    pub(crate) orders: Vec<Value>,
}

pub(crate) fn seed_patients() -> Vec<SeedPatient> {
    vec![
        SeedPatient {
            id: "amy-shaw",
            resource: patient("amy-shaw", "Amy", "Shaw", "1987-02-20", "female", "SB-0001"),
            orders: vec![standing_order(
                "amy-standing-order",
                "amy-shaw",
                (2, "wk", "week"),
                &["cgm-summary", "cgm-sensor-reading-mass-per-volume", "cgm-device"],
            )],
        },
        SeedPatient {
            id: "ben-okafor",
            resource: patient("ben-okafor", "Ben", "Okafor", "2011-09-03", "male", "SB-0002"),
            orders: vec![standing_order(
                "ben-standing-order",
                "ben-okafor",
                (2, "wk", "week"),
                &["cgm-summary", "cgm-sensor-reading-moles-per-volume"],
            )],
        },
    ]
}

fn patient(
    id: &str,
    given: &str,
    family: &str,
    birth_date: &str,
    gender: &str,
    record_number: &str,
) -> Value {
    json!({
        "resourceType": "Patient",
        "id": id,
        "meta": { "versionId": "1" },
        "identifier": [{ "use": "official", "system": "urn:example:sandbox-ehr:record-number",
        "value": record_number }],
        "active": true,
        "name": [{ "use": "official", "given": [given], "family": family }],
        "gender": gender,
        "birthDate": birth_date,
    })
}

fn standing_order(id: &str, patient: &str, period: (u32, &str, &str), profiles: &[&str]) -> Value {
    let (count, code, unit) = period;
    let mut schedule = vec![
        json!({ "url": "submissionPeriod", "valueQuantity":
            { "value": count, "unit": unit, "system": "http://unitsofmeasure.org",
                "code": code } }),
        json!({ "url": "lookbackPeriod", "valueQuantity":
            { "value": 30, "unit": "days", "system": "http://unitsofmeasure.org", "code": "d" } }),
    ];
    schedule.extend(profiles.iter().map(|profile| {
        json!({ "url": "submissionDataProfile",
            "valueCanonical": format!("{CGM}/StructureDefinition/{profile}") })
    }));
    json!({
        "resourceType": "ServiceRequest",
        "id": id,
        "extension": [{ "url": format!("{CGM}/StructureDefinition/data-submission-schedule"),
        "extension": schedule }],
        "status": "active",
        "intent": "order",
        "code": { "coding": [{ "system": format!("{CGM}/CodeSystem/cgm"),
        "code": "cgm-data-submission-standing-order" }] },
        "subject": { "reference": format!("Patient/{patient}") },
    })
}
