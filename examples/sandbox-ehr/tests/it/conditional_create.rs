//! `ifNoneExist`: the same fact sent again is stored once, and the answer says where.

use reqwest::StatusCode;
use sandbox_ehr::Sandbox;
use serde_json::json;

use crate::{app::*, bundles::*};

#[tokio::test]
async fn the_first_creates_the_second_finds_and_several_matches_are_412() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let once = bundle(vec![conditional("one", reading(0))]);
    let created = submit_entries(&clinic, &token, &once).await;
    let found = submit_entries(&clinic, &token, &once).await;
    assert_eq!((statuses(&created), statuses(&found)), (vec!["201"], vec!["200"]));
    assert_eq!(created[0]["location"], found[0]["location"]);
    assert_eq!(created[0]["lastModified"], found[0]["lastModified"]);
    assert_eq!(clinic.resources("amy-shaw", "Observation").unwrap().len(), 1);

    let mut unconditional = conditional("one", reading(0));
    unconditional["request"].as_object_mut().unwrap().remove("ifNoneExist");
    assert_eq!(
        statuses(&submit_entries(&clinic, &token, &bundle(vec![unconditional])).await),
        ["201"]
    );
    let several = submit_entries(&clinic, &token, &once).await;
    assert_eq!(statuses(&several), ["412"]);
    assert!(diagnostics(&several[0]["outcome"]).contains("several"));
    assert_eq!(clinic.resources("amy-shaw", "Observation").unwrap().len(), 2);
    let counts: Vec<_> = clinic
        .submissions()
        .unwrap()
        .iter()
        .map(|one| (one.created, one.already, one.refused))
        .collect();
    assert_eq!(counts, [(1, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)]);
}

#[tokio::test]
async fn criteria_are_percent_decoded() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    submit_entries(&clinic, &token, &bundle(vec![conditional("urn:uuid:a|b c", reading(0))])).await;
    let mut encoded = conditional("urn:uuid:a|b c", reading(0));
    encoded["request"]["ifNoneExist"] =
        json!("identifier=urn%3Aietf%3Arfc%3A3986%7Curn%3Auuid%3Aa%7Cb%20c");
    assert_eq!(statuses(&submit_entries(&clinic, &token, &bundle(vec![encoded])).await), ["200"]);
}

#[tokio::test]
async fn another_type_or_system_is_another_identity() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let mut elsewhere = conditional("one", reading(5));
    elsewhere["resource"]["identifier"][0]["system"] = json!("http://elsewhere.example");
    elsewhere["request"]["ifNoneExist"] = json!("identifier=http://elsewhere.example|one");
    let all = bundle(vec![conditional("one", reading(0)), conditional("one", device()), elsewhere]);
    assert_eq!(statuses(&submit_entries(&clinic, &token, &all).await), ["201", "201", "201"]);
}

#[tokio::test]
async fn the_identifier_must_be_on_the_resource() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let mut other = conditional("one", reading(0));
    other["resource"]["identifier"][0]["value"] = json!("two");
    let responses = submit_entries(&clinic, &token, &bundle(vec![other])).await;
    assert_eq!(statuses(&responses), ["422"]);
    assert!(diagnostics(&responses[0]["outcome"]).contains("not on the resource"));
}

#[tokio::test]
async fn criteria_that_are_not_one_identifier_are_refused() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    for criteria in
        ["code=http://loinc.org|99504-3", "identifier=one", "identifier=a|b&patient=amy-shaw"]
    {
        let mut entry = conditional("one", reading(0));
        entry["request"]["ifNoneExist"] = json!(criteria);
        assert_eq!(
            statuses(&submit_entries(&clinic, &token, &bundle(vec![entry])).await),
            ["400"],
            "{criteria}"
        );
    }
}

#[tokio::test]
async fn twins_refuse_the_bundle_and_are_named() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let mut twin = conditional("one", reading(5));
    twin["request"]["ifNoneExist"] = json!("identifier=urn%3Aietf%3Arfc%3A3986%7Cone");
    let entries = vec![entry(reading(10)), conditional("one", reading(0)), twin];
    let (status, outcome) = submit(&clinic, &token, &bundle(entries)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(diagnostics(&outcome).contains("entries 1 and 2"), "{outcome}");
    assert!(clinic.resources("amy-shaw", "Observation").unwrap().is_empty());
}

#[tokio::test]
async fn a_match_of_another_patient_is_not_given_away() {
    let clinic = amys_clinic().await;
    let amy = access_token(&clinic, GUIDE_SCOPES).await;
    submit_entries(&clinic, &amy, &bundle(vec![conditional("one", reading(0))])).await;
    clinic.set_auto_approve(Some("ben-okafor")).unwrap();
    let ben = access_token(&clinic, GUIDE_SCOPES).await;
    let mut bens = conditional("one", reading(0));
    bens["resource"]["subject"]["reference"] = json!("Patient/ben-okafor");
    let responses = submit_entries(&clinic, &ben, &bundle(vec![bens])).await;
    assert_eq!(statuses(&responses), ["412"]);
    assert!(responses[0].get("location").is_none());
}

#[tokio::test]
async fn a_receiver_without_support_refuses_such_entries_with_400() {
    let builder = Sandbox::builder().auto_approve("amy-shaw").supports_conditional_create(false);
    let clinic = builder.start().await.unwrap();
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let both = bundle(vec![conditional("one", reading(0)), entry(reading(5))]);
    assert_eq!(statuses(&submit_entries(&clinic, &token, &both).await), ["400", "201"]);
}
