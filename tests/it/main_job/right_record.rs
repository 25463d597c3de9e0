//! A connection writes into one person's record, and into no other.

use crate::world::{AMY, BEN, MASS, NO_WAIT, World, own, reading, stock, submit, submit_all};
use cgm_submitter::connect::ConnectError;
use cgm_submitter::store::ConnectionState;
use cgm_submitter::{Error, OutcomeStatus};

#[tokio::test]
async fn authorising_again_as_another_patient_blocks_and_puts_nothing_in_that_record() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    // Something is queued and frozen.
    world.clinic.fail_next(1, 503, Some("120")).unwrap();
    assert!(matches!(submit(&app, connection).await.status, OutcomeStatus::Waiting { .. }));

    let error = world.authorise(&app, BEN).await.unwrap_err();
    assert!(matches!(error, Error::Connect(ConnectError::OtherPatient)), "{error}");
    assert_eq!(
        (error.code().word(), error.kind() == cgm_submitter::ErrorKind::NeedsPerson),
        ("other-patient", true)
    );
    assert_eq!(app.connections().await.unwrap()[0].state, ConnectionState::OtherPatient);

    world.tape.clear();
    world.later(&app).await;
    let refused = app.submit_now(connection, own(), NO_WAIT, |_| ()).await.unwrap_err();
    assert!(matches!(refused, Error::Blocked(ConnectionState::OtherPatient)), "{refused}");
    assert!(app.confirm_patient(connection).await.is_err(), "nor can it be confirmed");
    assert!(world.tape.bundles().is_empty(), "the queued batch stays");
    for patient in [AMY, BEN] {
        assert!(world.clinic.resources(patient, "Observation").unwrap().is_empty());
        assert!(world.clinic.resources(patient, "Device").unwrap().is_empty());
    }
}

#[tokio::test]
async fn another_patient_is_refused_also_before_anything_was_confirmed() {
    let world = World::new().await;
    let app = world.app();
    stock(&app, 12).await;
    world.authorise(&app, AMY).await.unwrap();
    let error = world.authorise(&app, BEN).await.unwrap_err();
    assert!(matches!(error, Error::Connect(ConnectError::OtherPatient)), "{error}");
    assert_eq!(app.connections().await.unwrap().len(), 1);
    assert!(world.tape.bundles().is_empty());
}

#[tokio::test]
async fn after_disconnecting_another_patient_can_connect_and_gets_data_only_after_confirming() {
    let world = World::new().await;
    let (app, amys) = world.ready(30).await;
    submit_all(&app, amys).await;
    // Queued for Amy, and not to be sent to anybody.
    app.ingest(vec![reading(30)]).await.unwrap();
    world.clinic.fail_next(1, 503, Some("120")).unwrap();
    submit(&app, amys).await;
    world.authorise(&app, BEN).await.unwrap_err();
    app.disconnect(amys).await.unwrap();
    let amy_had = world.clinic.resources(AMY, "Observation").unwrap().len();

    let bens = world.authorise(&app, BEN).await.unwrap();
    assert_eq!((bens.state, bens.patient.id.as_str()), (ConnectionState::Unconfirmed, BEN));
    world.tape.clear();
    world.later(&app).await;
    let error = app.submit_now(bens.id, own(), NO_WAIT, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Blocked(ConnectionState::Unconfirmed)), "{error}");
    assert!(world.tape.bundles().is_empty(), "nothing before this is me");

    app.confirm_patient(bens.id).await.unwrap();
    let outcome = submit_all(&app, bens.id).await;
    assert_eq!(outcome.tally.readings.accepted, 31, "Ben's record had none of them");
    assert_eq!(world.clinic.resources(BEN, MASS).unwrap().len(), 31);
    assert_eq!(
        world.clinic.resources(AMY, "Observation").unwrap().len(),
        amy_had,
        "Amy's record is as it was"
    );
    let patients: Vec<_> =
        world.clinic.submissions().unwrap().iter().map(|record| record.patient.clone()).collect();
    let first_of_ben = patients.iter().position(|patient| patient == BEN).unwrap();
    assert!(patients[first_of_ben..].iter().all(|patient| patient == BEN));
}

#[tokio::test]
async fn who_connects_again_as_the_same_patient_goes_on_where_they_were() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    submit_all(&app, connection).await;
    app.disconnect(connection).await.unwrap();
    let error = app.submit_now(connection, own(), NO_WAIT, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Blocked(ConnectionState::Disconnected)), "{error}");

    let again = world.authorise(&app, AMY).await.unwrap();
    assert_eq!(again.state, ConnectionState::Unconfirmed, "a new connection is confirmed anew");
    app.confirm_patient(again.id).await.unwrap();
    world.tape.clear();
    assert_eq!(submit_all(&app, again.id).await.tally.entries.total(), 0);
    assert!(world.tape.bundles().is_empty(), "what that record has is still known");
    world.assert_complete(30);
}
