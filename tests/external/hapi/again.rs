//! Answers that are lost and apps that are killed, the server having stored or not: nothing lost,
//! nothing doubled.

use crate::case::{Case, MASS, MAY, request, submit, submit_all};
use crate::facts::ordinary;
use crate::tape::Fate;
use crate::world::{LEASE, NO_WAIT, SUMMARY_ENTRIES};
use cgm_submitter::OutcomeStatus;
use cgm_submitter::glucose::GlucoseUnit::MgPerDl;
use cgm_submitter::submission::Tally;

#[tokio::test]
#[ignore = "needs a FHIR server: scripts/test fhir-server"]
async fn whichever_answer_is_lost_the_same_bytes_go_again_and_are_there_once() {
    // The device, the summary, the readings.
    for (lost, entries) in [(0, 1), (1, SUMMARY_ENTRIES), (2, 60)] {
        let facts = ordinary(60);
        let case = Case::new().await;
        let (app, connection) = case.phone("me.db", &facts, MgPerDl).await;
        case.world.clinic.pass_next(lost);
        case.world.clinic.drop_response_next();
        let outcome = submit(&app, connection, request(MAY, MgPerDl)).await;
        assert!(matches!(outcome.status, OutcomeStatus::Waiting { .. }), "{:?}", outcome.status);
        assert_eq!(outcome.tally.requests, 1 + lost as u64);
        case.world.clock.pass(LEASE);
        let tally = app.run_due(NO_WAIT, |_| ()).await.unwrap().tally;
        assert_eq!(tally.entries.already_there, entries, "the server had them");
        let sent = case.world.tape.bundles();
        assert_eq!(sent.len(), 4);
        assert!(sent[lost].body == sent[lost + 1].body, "the same bytes");
        case.assert_holds(MASS, &facts).await;
        assert_eq!(submit_all(&app, connection, request(MAY, MgPerDl)).await.tally.requests, 0);
    }
}

#[tokio::test]
#[ignore = "needs a FHIR server: scripts/test fhir-server"]
async fn a_kill_with_readings_under_way_ends_well_whether_the_server_has_them_or_not() {
    for (fate, already_there) in [(Fate::HangUnsent, 0), (Fate::HangAnswered, 60)] {
        let facts = ordinary(60);
        let case = Case::new().await;
        let (app, connection) = case.phone("me.db", &facts, MgPerDl).await;
        let hung = case.world.tape.hung();
        case.world.tape.at_bundle(3, fate);
        tokio::select! {
            outcome = submit(&app, connection, request(MAY, MgPerDl)) => panic!("{outcome:?}"),
            hung = hung.acquire() => hung.unwrap().forget(),
        }
        drop(app);
        case.world.tape.no_rule();
        let app = case.world.app();
        assert_eq!(
            app.run_due(NO_WAIT, |_| ()).await.unwrap().tally,
            Tally::default(),
            "it may still be under way"
        );
        case.world.clock.pass(LEASE);
        let readings = app.run_due(NO_WAIT, |_| ()).await.unwrap().tally.readings;
        assert_eq!((readings.already_there, readings.total()), (already_there, 60));
        case.assert_holds(MASS, &facts).await;
        assert_eq!(submit_all(&app, connection, request(MAY, MgPerDl)).await.tally.requests, 0);
    }
}
