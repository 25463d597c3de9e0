//! A reading that is corrected after it was sent.

use crate::case::{Case, MASS, MAY, request, store, submit_all};
use crate::facts::ordinary;
use cgm_submitter::glucose::GlucoseUnit::MgPerDl;

#[tokio::test]
#[ignore = "needs a FHIR server: scripts/test fhir-server"]
async fn a_correction_names_the_earlier_reading_and_both_are_there() {
    let facts = ordinary(30);
    let case = Case::new().await;
    let (app, connection) = case.phone("me.db", &facts, MgPerDl).await;
    submit_all(&app, connection, request(MAY, MgPerDl)).await;
    let before = case.assert_holds(MASS, &facts).await;

    let corrected = facts[12].saying("240.0");
    store(&app, std::slice::from_ref(&corrected), MgPerDl).await;
    let outcome = submit_all(&app, connection, request(MAY, MgPerDl)).await;
    assert!(outcome.is_complete());
    assert_eq!(outcome.tally.readings.accepted, 1);

    let record = case.record().await;
    let (after, others): (Vec<_>, Vec<_>) =
        record.readings.into_iter().partition(|held| held.status == "corrected");
    assert_eq!(others, before.readings, "what was there stays as it was");
    assert_eq!((after.len(), &after[0].fact), (1, &corrected));
    let earlier = before.readings.iter().find(|held| held.fact == facts[12]).unwrap();
    assert_eq!(after[0].replaces.as_ref(), Some(&earlier.identifier));

    assert_eq!(record.summaries.len(), 2);
    let (old, new) =
        (&before.summaries[0], record.summaries.iter().find(|one| one.replaces.is_some()).unwrap());
    assert_eq!(new.replaces, Some(format!("Observation/{}", old.id)));
    assert_eq!(new.dates, old.dates);
    assert_ne!(new.figures, old.figures);
    assert_eq!(submit_all(&app, connection, request(MAY, MgPerDl)).await.tally.requests, 0);
}
