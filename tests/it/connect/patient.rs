//! Whose record it is: read until it is known, and confirmed only then.

use crate::connect::world::*;
use cgm_submitter::connect::{ConnectError, TokenError};
use cgm_submitter::store::ConnectionState;

#[tokio::test]
async fn nothing_is_confirmed_before_the_patient_was_read() {
    let world = World::new();
    world.server.with(|state| state.person_status = 503);
    let connector = world.process();
    let record = world.connect(&connector).await.unwrap();
    assert_eq!(record.details.patient_name, None);
    assert!(matches!(connector.confirm(record.id).await, Err(ConnectError::PatientUnknown)));
    assert!(matches!(
        connector.fetch_patient(record.id).await,
        Err(ConnectError::Status { status: 503, .. })
    ));
    world.server.with(|state| state.person_status = 200);
    let record = connector.fetch_patient(record.id).await.unwrap();
    assert_eq!(record.details.patient_name.as_deref(), Some("Ana Popescu"));
    assert!(connector.confirm(record.id).await.is_ok());
}

#[tokio::test]
async fn a_confirmation_of_nobody_is_refused_however_often_until_the_patient_was_fetched() {
    let world = World::new();
    world.server.with(|state| state.person_status = 503);
    let id = world.connect(&world.process()).await.unwrap().id;
    world.server.with(|state| state.person_status = 200);
    // In a new process: that it is missing is written down.
    let connector = world.process();
    let read = world.server.seen("/Patient/").len();
    for _ in 0..3 {
        // Who asks again has shown nobody a name meanwhile.
        assert!(matches!(connector.confirm(id).await, Err(ConnectError::PatientUnknown)));
    }
    assert_eq!(world.server.seen("/Patient/").len(), read, "nothing is read behind the app's back");
    let record = world.record(id).await;
    assert_eq!(record.state, ConnectionState::Unconfirmed, "nobody saw it yet");
    let shown = connector.fetch_patient(id).await.unwrap().details.patient_name;
    assert_eq!(shown.as_deref(), Some("Ana Popescu"));
    assert_eq!(connector.confirm(id).await.unwrap().state, ConnectionState::Active);
}

#[tokio::test]
async fn a_name_without_a_birth_date_confirms_nobody() {
    let world = World::new();
    world.server.with(|state| state.birth_date = None);
    let connector = world.process();
    let record = world.connect(&connector).await.unwrap();
    assert_eq!(record.details.patient_name.as_deref(), Some("Ana Popescu"));
    assert!(matches!(connector.confirm(record.id).await, Err(ConnectError::PatientUnknown)));
}

#[tokio::test]
async fn the_patient_of_an_ended_connection_is_not_read() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    connector.disconnect(id).await.unwrap();
    let read = world.server.seen("/Patient/").len();
    assert!(matches!(
        connector.fetch_patient(id).await,
        Err(ConnectError::Token(TokenError::NoConnection))
    ));
    assert_eq!(world.server.seen("/Patient/").len(), read);
}
