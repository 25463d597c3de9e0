//! A receiver that asks to wait is left alone by everything, whichever request it said so to.

use crate::world::{NO_WAIT, World, own, submit};
use cgm_submitter::environment::{Clock, Environment, Vault, VaultError};
use cgm_submitter::outcome::WaitReason;
use cgm_submitter::{Error, OutcomeStatus};
use chrono::TimeDelta;
use sandbox_ehr::Endpoint;
use secrecy::SecretString;
use std::sync::Arc;

/// A vault before the phone was first unlocked.
struct LockedVault;

impl Vault for LockedVault {
    fn load(&self, _: &str) -> Result<Option<SecretString>, VaultError> {
        Err(VaultError::Unavailable)
    }

    fn save(&self, _: &str, _: &SecretString) -> Result<(), VaultError> {
        Err(VaultError::Unavailable)
    }

    fn delete(&self, _: &str) -> Result<(), VaultError> {
        Err(VaultError::Unavailable)
    }
}

#[tokio::test]
async fn a_vault_that_was_locked_for_hours_keeps_nobody_waiting_once_it_is_open() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    let vault = |environment| Environment { vault: Arc::new(LockedVault), ..environment };
    let locked = world.app_with("me.db", vault);
    world.tape.clear();
    for _ in 0..12 {
        let tapped = locked.submit_now(connection, own(), NO_WAIT, |_| ()).await;
        let error = tapped.unwrap_err();
        assert_eq!((error.code().word(), error.retryable()), ("vault-unavailable", true));
        let woken = locked.run_due(NO_WAIT, |_| ()).await.unwrap();
        let soon = world.clock.now() + TimeDelta::minutes(1);
        assert_eq!(woken.next_wake, Some(soon), "the host tries again");
        world.clock.pass(TimeDelta::minutes(15));
    }
    assert_eq!(world.tape.requests(), 0);
    assert!(submit(&app, connection).await.is_complete());
    world.assert_readings(30);
}

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

#[tokio::test]
async fn a_receiver_that_asked_to_wait_is_not_asked_for_its_patient() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    world.clinic.fail_next_at(Endpoint::Read, 1, 429, Some("120")).unwrap();
    let until = app.refresh_orders(connection).await.unwrap_err().retry_at();
    world.tape.clear();
    let error = world.app().fetch_patient(connection).await.unwrap_err();
    assert!(matches!(error, Error::Waiting { .. }) && error.retry_at() == until, "{error}");
    assert_eq!(world.tape.requests(), 0);
    world.clock.pass(TimeDelta::minutes(3));
    assert!(app.fetch_patient(connection).await.unwrap().patient.name.is_some());
}
