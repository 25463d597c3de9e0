//! A receiver that asks to wait is left alone by everything, whichever request it said so to.

use crate::world::{NO_WAIT, World, submit};
use cgm_submitter::environment::Clock;
use cgm_submitter::outcome::WaitReason;
use cgm_submitter::{Error, OutcomeStatus};
use chrono::TimeDelta;
use sandbox_ehr::Endpoint;

#[tokio::test]
async fn a_receiver_that_asks_to_wait_when_its_orders_are_read_is_sent_nothing_until_then() {
    for status in [429, 503] {
        let world = World::new().await;
        let (app, connection) = world.ready(30).await;
        world.clinic.fail_next_at(Endpoint::Read, 1, status, Some("120")).unwrap();
        let error = app.refresh_orders(connection).await.unwrap_err();
        assert_eq!((error.code().word(), error.retryable()), ("receiver-unavailable", true));
        let until = error.retry_at().unwrap();
        assert!(until >= world.clock.now() + TimeDelta::seconds(120), "{until}");

        let outcome = submit(&app, connection).await;
        let reason = WaitReason::ReceiverAsked;
        assert_eq!(outcome.status, OutcomeStatus::Waiting { until, reason });
        assert!(world.tape.bundles().is_empty(), "nothing goes before {until}");
        world.clock.pass(until - world.clock.now());
        app.run_due(NO_WAIT, |_| ()).await.unwrap();
        world.assert_readings(30);
    }
}

#[tokio::test]
async fn the_orders_are_not_asked_for_while_the_receiver_is_to_be_left_alone() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    world.clinic.fail_next(1, 503, Some("120")).unwrap();
    submit(&app, connection).await;
    world.tape.clear();
    // Also in a new process.
    let app = world.app();
    let error = app.refresh_orders(connection).await.unwrap_err();
    let until = error.retry_at().unwrap();
    assert!(until >= world.clock.now() + TimeDelta::seconds(120), "{until}");
    assert_eq!(world.tape.requests(), 0, "nobody was asked");
    world.clock.pass(until - world.clock.now());
    assert_eq!(app.refresh_orders(connection).await.unwrap().active.len(), 1);
}

#[tokio::test]
async fn a_search_for_orders_that_fails_without_asking_to_wait_binds_no_delivery() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    world.clinic.fail_next_at(Endpoint::Read, 1, 500, None).unwrap();
    let error = app.refresh_orders(connection).await.unwrap_err();
    assert!(matches!(error, Error::Answer { status: 500, .. }), "{error}");
    assert!(submit(&app, connection).await.is_complete());
}
