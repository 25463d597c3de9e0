//! Refresh tokens that count once: kept before use, used by one, and what is left when the answer
//! is lost.

use crate::network::{Fate, Passed, token_requests};
use crate::world::{APP, World, submit, submit_all};
use cgm_submitter::store::{ConnectionState, Store};
use cgm_submitter::{Error, OutcomeStatus, Submitter};
use chrono::TimeDelta;
use std::time::Duration;

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn new_tokens_are_kept_before_they_are_used() {
    let world = World::new();
    let app = world.app();
    let connection = world.connected(&app, APP).await;
    for round in 1..=3 {
        let before = world.tokens();
        world.tokens_end();
        app.refresh_orders(connection).await.unwrap();
        let after = world.tokens();
        assert!(after.refresh != before.refresh && after.access != before.access, "both are new");
        let expected = [
            // The mark that a refresh is under way, with the old token.
            Passed::Kept(before.refresh),
            Passed::TokenRequest("refresh_token".to_owned()),
            Passed::Given(after.access.clone(), after.refresh.clone()),
            Passed::Kept(after.refresh),
            Passed::Used(after.access),
        ];
        assert_eq!(world.journal.take(), expected);
        assert_eq!(world.logged("refresh_token").await, round);
    }
    submit_all(&app, connection).await;
    world.assert_taken_once().await;
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn an_access_the_server_let_end_is_renewed_after_its_401() {
    let world = World::new();
    let app = world.app();
    let connection = world.connected(&app, "cgm-app-brief").await;
    let first = world.tokens();
    for tries in 0.. {
        if world.patient_with(&first.access).await.0 == 401 {
            break;
        }
        assert!(tries < 200, "the access ends within seconds");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The clock here stands still: to the app the token is as good as new.
    app.refresh_orders(connection).await.unwrap();
    let passed = world.journal.take();
    assert_eq!(passed.first(), Some(&Passed::Used(first.access)));
    assert_eq!(
        (token_requests(&passed), passed.last()),
        (1, Some(&Passed::Used(world.tokens().access)))
    );
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn processes_that_refresh_at_once_use_the_refresh_token_once() {
    let world = World::new();
    let (app, extension) = (world.app(), world.app());
    let connection = world.connected(&app, APP).await;
    world.journal.delay_refreshes(Duration::from_millis(300));
    for round in 1..=2 {
        world.tokens_end();
        let (one, other, submitted) = tokio::join!(
            app.refresh_orders(connection),
            extension.refresh_orders(connection),
            submit(&extension, connection),
        );
        assert!(one.is_ok() && other.is_ok());
        assert_eq!(submitted.unwrap().status, OutcomeStatus::Done);
        assert_eq!(world.logged("refresh_token").await, round);
    }
    assert_eq!(world.logged("grant revoked").await, 0, "nothing looked like reuse");
    assert!(world.stands_by(&world.tokens().refresh).await);
    world.assert_taken_once().await;
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn killed_before_the_refresh_left_the_same_token_is_good() {
    let world = World::new();
    let app = world.app();
    let connection = world.connected(&app, APP).await;
    kill_while_refreshing(&world, app, Fate::HangUnsent).await;
    let app = world.app();
    submit_all(&app, connection).await;
    assert_eq!(world.logged("refresh_token").await, 1);
    world.assert_taken_once().await;
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn killed_between_rotation_and_record_the_person_is_asked_again_after_one_repeat() {
    let world = World::new();
    let app = world.app();
    world.connected(&app, APP).await;
    kill_while_refreshing(&world, app, Fate::HangAnswered).await;
    asked_again_after_one_repeat(&world).await;
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn an_answer_lost_after_the_rotation_has_the_person_asked_again_after_one_repeat() {
    let world = World::new();
    let app = world.app();
    let connection = world.connected(&app, APP).await;
    world.tokens_end();
    world.journal.at_refresh(Fate::LoseAnswer);
    let outcome = submit(&app, connection).await.unwrap();
    assert!(matches!(outcome.status, OutcomeStatus::Waiting { .. }), "{outcome:?}");
    assert_eq!(token_requests(&world.journal.take()), 1, "not repeated at once");
    drop(app);
    asked_again_after_one_repeat(&world).await;
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn an_app_whose_registration_ended_is_a_matter_of_configuration() {
    let world = World::new();
    let app = world.app();
    let connection = world.connected(&app, APP).await;
    // The server has no way to forget an app: the connection says another one.
    let mut store = Store::open(&world.database()).unwrap();
    store.change_connection(connection, |details| details.client_id = "nobody".to_owned()).unwrap();
    world.tokens_end();
    let outcome = submit(&app, connection).await.unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Blocked(ConnectionState::Misconfigured));
    assert!(world.stands_by(&world.tokens().refresh).await, "nothing is thrown away");
}

/// Ends the app's process while its refresh hangs.
async fn kill_while_refreshing(world: &World, app: Submitter, fate: Fate) {
    let connection = app.connections().await.unwrap()[0].id;
    world.tokens_end();
    world.journal.at_refresh(fate);
    tokio::select! {
        _ = app.refresh_orders(connection) => panic!("the refresh ended"),
        permit = world.journal.hung.acquire() => permit.unwrap().forget(),
    }
    drop(app);
    // Dropping alone would wait for the refresh, which must not be cut.
    world.journal.kill();
    world.journal.take();
}

/// The server rotated the token and nobody knows the new one: the old one is sent once more, the
/// server takes it for reuse and ends the grant, and the person authorises again.
async fn asked_again_after_one_repeat(world: &World) {
    assert_eq!(world.logged("refresh_token").await, 1, "the server acted on the refresh");
    let app = world.app();
    let connection = app.connections().await.unwrap()[0].id;
    for _ in 0..3 {
        world.clock.pass(TimeDelta::minutes(5));
        let blocked = match submit(&app, connection).await {
            Ok(outcome) => {
                outcome.status == OutcomeStatus::Blocked(ConnectionState::NeedsReauthorisation)
            }
            Err(error) => matches!(error, Error::Blocked(ConnectionState::NeedsReauthorisation)),
        };
        assert!(blocked);
        assert_eq!(world.state(&app).await, ConnectionState::NeedsReauthorisation);
    }
    assert_eq!(token_requests(&world.journal.take()), 1, "one repeat, never a loop");
    assert_eq!(world.logged("refresh token already used").await, 1);
    assert_eq!(world.logged("grant revoked").await, 1);

    world.authorise(&app, APP).await.unwrap();
    submit_all(&app, connection).await;
    world.assert_taken_once().await;
}
