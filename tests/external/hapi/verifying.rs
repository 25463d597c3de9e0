//! The library's own look at what the server has of a submission, and what it does about what is
//! lacking.

use crate::case::{Case, MASS, MAY, request, submit_all};
use crate::facts::ordinary;
use crate::world::{NO_WAIT, SUMMARY_ENTRIES};
use cgm_submitter::delivery::Verification;
use cgm_submitter::glucose::GlucoseUnit::MgPerDl;
use serde_json::{Value, json};

const READINGS: usize = 250;
const ENTRIES: u64 = READINGS as u64 + 1 + SUMMARY_ENTRIES;

#[tokio::test]
#[ignore = "needs a FHIR server: scripts/test fhir-server"]
async fn what_the_server_has_is_confirmed_what_it_lost_goes_again_and_what_it_changed_is_named() {
    let facts = ordinary(READINGS);
    let case = Case::new().await;
    let (app, connection) = case.phone("me.db", &facts, MgPerDl).await;
    let submission = submit_all(&app, connection, request(MAY, MgPerDl)).await.submissions[0];
    let complete = Verification { confirmed: ENTRIES, ..Verification::default() };
    assert_eq!(app.verify(submission, NO_WAIT, |_| ()).await.unwrap(), complete);

    let readings: Vec<Value> = case
        .server
        .all("Observation", &case.patient)
        .await
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let path_of = |n: usize| {
        let found =
            readings.iter().find(|one| one["effectiveDateTime"] == facts[n].at.as_str()).unwrap();
        (format!("Observation/{}", found["id"].as_str().unwrap()), found.clone())
    };
    for n in [7, 130, 249] {
        assert_eq!(case.server.request("DELETE", &path_of(n).0, None).await.0, 200);
    }
    let verification = app.verify(submission, NO_WAIT, |_| ()).await.unwrap();
    assert_eq!((verification.confirmed, verification.to_send_again), (ENTRIES - 3, 3));
    let outcome = submit_all(&app, connection, request(MAY, MgPerDl)).await;
    assert_eq!((outcome.tally.entries.accepted, outcome.tally.entries.already_there), (3, 0));
    case.assert_holds(MASS, &facts).await;
    assert_eq!(app.verify(submission, NO_WAIT, |_| ()).await.unwrap(), complete);

    let (path, mut changed) = path_of(42);
    changed["valueQuantity"]["value"] = json!(55);
    assert_eq!(case.server.request("PUT", &path, Some(&changed.to_string())).await.0, 200);
    let verification = app.verify(submission, NO_WAIT, |_| ()).await.unwrap();
    assert_eq!(
        (verification.confirmed, verification.different, verification.to_send_again),
        (ENTRIES - 1, 1, 0)
    );
    let difference = &verification.differences[0];
    assert_eq!(difference.time, Some(facts[42].at.parse().unwrap()));
    assert_eq!(difference.element.as_deref(), Some("valueQuantity.value"));
    assert_eq!(submit_all(&app, connection, request(MAY, MgPerDl)).await.tally.requests, 0);
}
