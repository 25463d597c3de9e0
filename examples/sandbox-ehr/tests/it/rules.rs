//! Broken bundles and resources, one rule at a time: each is refused, where it is broken and for
//! that reason only.

use reqwest::StatusCode;
use sandbox_ehr::Sandbox;
use serde_json::{Value, json};

use crate::{app::*, bundles::*};

/// Sets the element at a JSON pointer; `null` removes it.
fn changed(mut resource: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match (resource.pointer_mut(parent).unwrap(), value) {
        (Value::Object(fields), Value::Null) => assert!(fields.remove(name).is_some(), "{pointer}"),
        (Value::Object(fields), value) => {
            fields.insert(name.to_owned(), value);
        }
        (Value::Array(items), Value::Null) => {
            items.remove(name.parse().unwrap());
        }
        (parent, value) => parent[name.parse::<usize>().unwrap()] = value,
    }
    resource
}

#[tokio::test]
async fn a_bundle_that_is_wrong_as_a_whole_is_refused_with_one_outcome() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let good = bundle(vec![named(1, reading(0)), named(2, reading(5))]);
    for (pointer, value, expected) in [
        ("/type", json!("batch"), "transaction"),
        ("/type", Value::Null, "Bundle.type is required"),
        ("/timestamp", Value::Null, "Bundle.timestamp is required"),
        ("/timestamp", json!("2026-05-02"), "instant"),
        ("/timestamp", json!("2026-05-02T14:30:00"), "instant"),
        ("/entry", Value::Null, "Bundle.entry is required"),
        ("/entry", json!([]), "Bundle.entry is required"),
        ("/entry", json!({}), "not a Bundle"),
        ("/resourceType", json!("Parameters"), "not a Bundle"),
        ("/entry/1/fullUrl", json!(urn(1)), "same fullUrl"),
    ] {
        let (status, outcome) =
            submit(&clinic, &token, &changed(good.clone(), pointer, value)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{pointer}");
        assert!(diagnostics(&outcome).contains(expected), "{pointer}: {outcome}");
    }
    let response = post(&clinic, &token, "{\"resourceType\":").await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(diagnostics(&json(response).await).contains("line 1"));
    assert!(clinic.resources("amy-shaw", "Observation").unwrap().is_empty());
}

#[tokio::test]
async fn an_entry_that_cannot_be_carried_out_is_refused_alone() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, ALL_SCOPES).await;
    for (pointer, value, expected) in [
        ("/request/method", json!("PUT"), "only POST"),
        ("/request/method", Value::Null, "only POST"),
        ("/request/url", json!("Device"), "another type"),
        ("/request/url", json!("Observation/1"), "resource type"),
        ("/request/ifMatch", json!("W/\"1\""), "no condition"),
        ("/request", Value::Null, "entry.request is required"),
        ("/resource", Value::Null, "entry.resource is required"),
        ("/fullUrl", json!("urn:uuid:1"), "fullUrl"),
    ] {
        let broken = changed(named(1, reading(0)), pointer, value);
        let responses =
            submit_entries(&clinic, &token, &bundle(vec![broken, entry(reading(5))])).await;
        assert_eq!(statuses(&responses), ["400", "201"], "{pointer}");
        assert!(
            diagnostics(&responses[0]["outcome"]).contains(expected),
            "{pointer}: {}",
            responses[0]
        );
    }
}

/// Each change to a good resource, with a word of the expected diagnostics.
async fn each_is_refused(cases: Vec<(Value, &str, Value, &str)>) {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, ALL_SCOPES).await;
    for (good, pointer, value, expected) in cases {
        let broken = changed(good.clone(), pointer, value.clone());
        let responses =
            submit_entries(&clinic, &token, &bundle(vec![entry(broken), entry(good)])).await;
        assert_eq!(statuses(&responses), ["422", "201"], "{pointer} {value}: {responses:?}");
        let text = diagnostics(&responses[0]["outcome"]);
        assert!(text.contains(expected), "{pointer} {value}: {text}");
    }
}

#[tokio::test]
async fn a_reading_must_follow_the_guide() {
    let good = || reading(0);
    each_is_refused(vec![
        (good(), "/status", Value::Null, "status is required"),
        (good(), "/status", json!("cancelled"), "must be one of"),
        (good(), "/subject", Value::Null, "subject is required"),
        (good(), "/code/coding/0/code", json!("2339-0"), "codes of the CGM guide"),
        (good(), "/code/coding/0/system", json!("http://snomed.info/sct"), "LOINC"),
        (good(), "/effectiveDateTime", Value::Null, "effectiveDateTime is required"),
        (good(), "/effectiveDateTime", json!("2026-05-01T08:00:00"), "offset"),
        (good(), "/effectiveDateTime", json!("2026-05-01"), "offset"),
        (
            good(),
            "/effectivePeriod",
            json!({ "start": "2026-05-01", "end": "2026-05-01" }),
            "more than one kind",
        ),
        (good(), "/valueQuantity", Value::Null, "valueQuantity or a dataAbsentReason"),
        (good(), "/valueQuantity/unit", json!("mg/dL"), "unit mg/dl"),
        (good(), "/valueQuantity/code", json!("mmol/L"), "UCUM code mg/dL"),
        (good(), "/valueQuantity/system", Value::Null, "UCUM"),
        (good(), "/valueQuantity/value", json!("100"), "JSON number"),
        (good(), "/valueQuantity/value", json!(-1), "negative"),
        (good(), "/valueQuantity/comparator", json!("~"), "must be one of"),
        (
            good(),
            "/dataAbsentReason",
            json!({ "coding": [{ "code": "unknown" }] }),
            "although there is a value",
        ),
        (good(), "/note", json!([]), "empty"),
        (good(), "/device", json!({}), "empty"),
        (good(), "/glucose", json!(1), "does not take the element"),
        (
            good(),
            "/modifierExtension",
            json!([{ "url": "http://x.example" }]),
            "does not take the element",
        ),
        (good(), "/contained", json!([device()]), "does not take the element"),
        (good(), "/identifier", json!([{ "system": SYSTEM }]), "identifier.value is required"),
        (molar_reading(), "/valueQuantity/unit", json!("mmol/L"), "unit mmol/l"),
    ])
    .await;
}

#[tokio::test]
async fn summary_members_must_follow_the_guide() {
    let gmi = || statistic("97506-0", quantity(7.0, "%", "%"));
    each_is_refused(vec![
        (gmi(), "/valueQuantity", Value::Null, "valueQuantity is required"),
        (gmi(), "/effectivePeriod", Value::Null, "effectivePeriod is required"),
        (gmi(), "/effectivePeriod/end", Value::Null, "end is required"),
        (gmi(), "/effectivePeriod/start", json!("2026-05-01T00:00:00Z"), "must be a date"),
        (gmi(), "/effectivePeriod/start", json!("2026-06-01"), "ends before it starts"),
        (gmi(), "/effectivePeriod/start", json!("2026-02-30"), "must be a date"),
        (
            statistic("104636-6", quantity(14.0, "days", "d")),
            "/valueQuantity/unit",
            json!("d"),
            "unit days",
        ),
        (times_in_ranges(), "/component/0", Value::Null, "very low (104642-4) is missing"),
        (times_in_ranges(), "/component/4", Value::Null, "very high (104639-0) is missing"),
        (
            times_in_ranges(),
            "/component/4/code/coding/0/code",
            json!("104640-8"),
            "104640-8) is there twice",
        ),
        (times_in_ranges(), "/component/2/valueQuantity", Value::Null, "valueQuantity is required"),
        (times_in_ranges(), "/component/2/valueQuantity/code", json!("d"), "UCUM code %"),
        (times_in_ranges(), "/component/2/valueQuantity/value", json!(75.25), "add up to 100"),
        (times_in_ranges(), "/component/2/valueQuantity/value", json!(172.0), "within 0 to 100"),
    ])
    .await;
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, ALL_SCOPES).await;
    let mut entries = members();
    entries.push(entry(changed(summary(), "/hasMember/0", Value::Null)));
    let responses = submit_entries(&clinic, &token, &bundle(entries)).await;
    assert_eq!(statuses(&responses).pop(), Some("422"));
    assert!(diagnostics(&responses[6]["outcome"]).contains("at least six"));
}

#[tokio::test]
async fn reports_and_devices_must_follow_the_guide() {
    let report = || changed(report(), "/result", Value::Null);
    each_is_refused(vec![
        (report(), "/code/coding/0/code", json!("11502-2"), "CGM summary report"),
        (report(), "/subject", Value::Null, "subject is required"),
        (report(), "/presentedForm", Value::Null, "presentedForm is required"),
        (report(), "/presentedForm/0/contentType", json!("text/html"), "presentedForm is required"),
        (report(), "/presentedForm/0/data", Value::Null, "data is required"),
        (report(), "/presentedForm/0/data", json!("aGVsbG8="), "not a PDF"),
        (report(), "/issued", json!("2026-05-15"), "not an instant"),
        (report(), "/effectivePeriod/start", Value::Null, "start is required"),
        (device(), "/identifier", Value::Null, "identifier is required"),
        (device(), "/deviceName", Value::Null, "user-friendly-name"),
        (device(), "/deviceName/0/type", json!("model-name"), "user-friendly-name"),
        (device(), "/deviceName/0/name", Value::Null, "name is required"),
        (device(), "/patient", Value::Null, "patient is required"),
    ])
    .await;
}

#[tokio::test]
async fn another_patients_data_is_refused() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, ALL_SCOPES).await;
    let bens = json!("Patient/ben-okafor");
    let responses = submit_entries(
        &clinic,
        &token,
        &bundle(vec![
            entry(changed(reading(0), "/subject/reference", bens.clone())),
            entry(changed(device(), "/patient/reference", bens.clone())),
            entry(changed(report(), "/subject/reference", bens)),
            entry(changed(reading(0), "/subject/reference", json!("amy-shaw"))),
            entry(reading(5)),
        ]),
    )
    .await;
    assert_eq!(statuses(&responses), ["403", "403", "403", "403", "201"]);
}

#[tokio::test]
async fn what_the_scopes_do_not_cover_is_refused() {
    let clinic = amys_clinic().await;
    let uncategorised = changed(reading(0), "/category", Value::Null);
    let everything = bundle(vec![entry(uncategorised), entry(reading(5)), entry(device())]);
    for (scope, expected) in [
        ("patient/Observation.cu?category=laboratory", ["403", "201", "403"]),
        ("patient/Observation.cu?category=vital-signs patient/Device.cu", ["403", "403", "201"]),
        (
            "patient/Observation.c?\
            category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
            ["403", "201", "403"],
        ),
        ("patient/Observation.cruds patient/Device.rs", ["201", "201", "403"]),
    ] {
        let token = access_token(&clinic, scope).await;
        assert_eq!(
            statuses(&submit_entries(&clinic, &token, &everything).await),
            expected,
            "{scope}"
        );
    }
    let reader = access_token(&clinic, "patient/Observation.rs").await;
    let (status, outcome) = submit(&clinic, &reader, &everything).await;
    assert_eq!((status, diagnostics(&outcome).contains("no scope")), (StatusCode::FORBIDDEN, true));
}

#[tokio::test]
async fn a_patient_or_other_type_is_not_taken() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, ALL_SCOPES).await;
    let patient = json!({ "resourceType": "Patient", "name": [{ "family": "Shaw" }] });
    let responses =
        submit_entries(&clinic, &token, &bundle(vec![entry(patient), entry(reading(0))])).await;
    assert_eq!(statuses(&responses), ["422", "201"]);
}

#[tokio::test]
async fn without_a_good_token_nothing_is_taken() {
    let clinic = Sandbox::builder().start().await.unwrap();
    let body = bundle(vec![entry(reading(0))]).to_string();
    let response = post(&clinic, "made-up", body.clone()).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
    let url = format!("{}/$submit-cgm-bundle", clinic.base_url());
    let anonymous = http()
        .post(url)
        .header("content-type", "application/fhir+json")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    assert!(clinic.submissions().unwrap().is_empty());
}
