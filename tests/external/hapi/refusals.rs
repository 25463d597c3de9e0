//! A transaction is all or nothing: one entry the server will not have must not take the others
//! with it.

use crate::case::{Case, MASS, MAY, request, submit, submit_all};
use crate::facts::ordinary;
use crate::tape::{Fate, Gate};
use cgm_submitter::OutcomeStatus;
use cgm_submitter::fhir::EntryKind;
use cgm_submitter::glucose::GlucoseUnit::MgPerDl;
use serde_json::Value;
use std::sync::Arc;

const READINGS: usize = 60;

#[tokio::test]
#[ignore = "needs a FHIR server: scripts/test fhir-server"]
async fn a_reading_whose_device_was_deleted_at_the_server_is_set_aside_and_the_others_get_in() {
    let mut facts = ordinary(READINGS);
    facts[17] = facts[17].clone().of_sensor("demo:SN-2");
    let case = Case::new().await;
    let (app, connection) = case.phone("me.db", &facts, MgPerDl).await;
    let gate = Gate::new();
    case.world.tape.at_bundle(3, Fate::Hold(Arc::clone(&gate)));
    let (outcome, ()) = tokio::join!(submit(&app, connection, request(MAY, MgPerDl)), async {
        gate.reached().await;
        let device = case
            .server
            .all("Device", &case.patient)
            .await
            .into_iter()
            .find(|text| text.contains("SN-2"));
        let device: Value = serde_json::from_str(&device.unwrap()).unwrap();
        let path = format!("Device/{}", device["id"].as_str().unwrap());
        assert_eq!(case.server.request("DELETE", &path, None).await.0, 200);
        gate.open();
    });
    assert_eq!(outcome.status, OutcomeStatus::Done);
    assert_eq!(
        (outcome.tally.readings.accepted, outcome.tally.readings.refused),
        (READINGS as u64 - 1, 1)
    );
    assert_eq!(outcome.refused.len(), 1);
    let refused = &outcome.refused[0];
    assert_eq!(
        (refused.kind, refused.time),
        (EntryKind::Reading, Some(facts[17].at.parse().unwrap()))
    );
    assert!(refused.reason.contains("Device/"), "the server's own words: {}", refused.reason);

    facts.remove(17);
    case.assert_holds(MASS, &facts).await;
    case.world.tape.clear();
    submit_all(&app, connection, request(MAY, MgPerDl)).await;
    assert!(case.world.tape.bundles().is_empty(), "neither it nor the others go again");
}

#[tokio::test]
#[ignore = "needs a FHIR server: scripts/test fhir-server"]
async fn a_reading_the_server_has_twice_already_is_set_aside_as_a_duplicate_and_the_others_get_in()
{
    let facts = ordinary(READINGS);
    let case = Case::new().await;
    let (app, connection) = case.phone("me.db", &facts, MgPerDl).await;
    let gate = Gate::new();
    case.world.tape.at_bundle(3, Fate::Hold(Arc::clone(&gate)));
    let (outcome, ()) = tokio::join!(submit(&app, connection, request(MAY, MgPerDl)), async {
        gate.reached().await;
        let readings = case.world.tape.bundles()[2].resources();
        for _ in 0..2 {
            case.server.create(&readings[41]).await;
        }
        gate.open();
    });
    assert_eq!(outcome.status, OutcomeStatus::Done);
    assert_eq!(
        (outcome.tally.readings.accepted, outcome.tally.readings.refused),
        (READINGS as u64 - 1, 1)
    );
    let refused = &outcome.refused[0];
    assert_eq!((outcome.refused.len(), refused.time), (1, Some(facts[41].at.parse().unwrap())));
    assert!(refused.reason.contains("duplicate at the receiver: "), "{}", refused.reason);

    let mut held: Vec<Value> = Vec::new();
    for text in case.server.all("Observation", &case.patient).await {
        held.push(serde_json::from_str(&text).unwrap());
    }
    held.retain(|resource| resource["code"]["coding"][0]["code"] == MASS);
    let at = |fact: &crate::facts::Fact| {
        held.iter().filter(|one| one["effectiveDateTime"] == fact.at.as_str()).count()
    };
    let times: Vec<usize> = facts.iter().map(at).collect();
    let expected: Vec<usize> = (0..READINGS).map(|n| if n == 41 { 2 } else { 1 }).collect();
    assert_eq!(times, expected);
    case.world.tape.clear();
    submit_all(&app, connection, request(MAY, MgPerDl)).await;
    assert!(case.world.tape.bundles().is_empty());
}
