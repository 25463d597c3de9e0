//! Submissions that are accepted: what is answered, what is stored, how fast.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;

use crate::{app::*, bundles::*};

#[tokio::test]
async fn a_whole_submission_is_stored_with_its_references_resolved() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let responses = submit_entries(&clinic, &token, &whole_submission()).await;
    assert_eq!(statuses(&responses), ["201"; 10]);
    let location = |index: usize| {
        let location = responses[index]["location"].as_str().unwrap();
        location.strip_suffix("/_history/1").unwrap().to_owned()
    };
    assert!(
        responses
            .iter()
            .all(|response| response["etag"] == "W/\"1\"" && response["lastModified"].is_string())
    );

    let summary = &clinic.resources("amy-shaw", "Observation").unwrap()[0];
    let members: Vec<_> = summary["hasMember"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["reference"].clone())
        .collect();
    assert_eq!(members, (2..8).map(|index| json!(location(index))).collect::<Vec<_>>());
    assert_eq!(
        clinic.resources("amy-shaw", "DiagnosticReport").unwrap()[0]["result"][0]["reference"],
        location(1)
    );
    assert_eq!(
        clinic.resources("amy-shaw", "99504-3").unwrap()[0]["device"]["reference"],
        location(8)
    );

    let submission = &clinic.submissions().unwrap()[0];
    assert_eq!(
        (submission.entries, submission.created, submission.already, submission.refused),
        (10, 10, 0, 0)
    );
    assert_eq!(
        (submission.status, submission.patient.as_str(), submission.client.as_str()),
        (200, "amy-shaw", "cgm-demo")
    );
}

#[tokio::test]
async fn numbers_are_stored_with_the_digits_they_came_with() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let body = bundle(vec![entry(reading(0)), entry(molar_reading())])
        .to_string()
        .replace("\"value\":100.0", "\"value\":100.10")
        .replace("\"value\":6.7", "\"value\":6.70000000000000000000001");
    assert!(body.contains("100.10"));
    assert_eq!(post(&clinic, &token, body).await.unwrap().status(), StatusCode::OK);
    assert!(clinic.resource_texts("amy-shaw", "99504-3").unwrap()[0].contains("\"value\":100.10"));
    assert!(
        clinic.resource_texts("amy-shaw", "105272-9").unwrap()[0]
            .contains("\"value\":6.70000000000000000000001}")
    );
}

#[tokio::test]
async fn a_missing_value_with_its_reason_is_accepted() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let mut absent = reading(0);
    absent.as_object_mut().unwrap().remove("valueQuantity");
    absent["dataAbsentReason"] = json!({ "coding": [{
        "system": "http://terminology.hl7.org/CodeSystem/data-absent-reason",
        "code": "not-performed" }] });
    let mut clipped = reading(5);
    clipped["valueQuantity"]["comparator"] = json!("<");
    let responses =
        submit_entries(&clinic, &token, &bundle(vec![entry(absent), entry(clipped)])).await;
    assert_eq!(statuses(&responses), ["201", "201"]);
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "it measures how long a real server really takes")]
async fn five_hundred_readings_take_less_than_a_second() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let entries = (0..500).map(|number| conditional(&urn(number), reading(number * 5))).collect();
    let body = bundle(entries).to_string();
    for expected in ["created", "already there"] {
        let started = Instant::now();
        let response = post(&clinic, &token, body.clone()).await.unwrap();
        let took = started.elapsed();
        println!("500 entries, {expected}: {took:?} ({} bytes)", body.len());
        assert_eq!(response.status(), StatusCode::OK);
        assert!(took < Duration::from_secs(1), "{expected}: {took:?}");
    }
    assert_eq!(clinic.resources("amy-shaw", "99504-3").unwrap().len(), 500);
}

#[tokio::test]
async fn the_most_submissions_at_a_time_are_counted() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let (first, second) = (bundle(vec![entry(reading(0))]), bundle(vec![entry(reading(5))]));
    submit_entries(&clinic, &token, &first).await;
    submit_entries(&clinic, &token, &second).await;
    assert_eq!(clinic.peak_concurrent_submissions(), 1);
    clinic.set_submission_delay(Duration::from_millis(200));
    tokio::join!(submit_entries(&clinic, &token, &first), submit_entries(&clinic, &token, &second));
    assert_eq!(clinic.peak_concurrent_submissions(), 2);
}
