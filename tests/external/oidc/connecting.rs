//! From "connect" to a submission and back.

use crate::browser::Person;
use crate::network::{Passed, token_requests};
use crate::world::{APP, World, parameter, submit, submit_all, submit_blocked};
use cgm_submitter::connect::Revocation;
use cgm_submitter::outcome::LeftOut;
use cgm_submitter::store::ConnectionState;
use cgm_submitter::{OutcomeStatus, Receiver};
use chrono::TimeDelta;

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn a_person_signs_in_confirms_and_everything_arrives() {
    let world = World::new();
    let request = world.app().begin_connection(world.receiver(APP)).await.unwrap();
    assert!(
        request.url.starts_with(&format!("{}/auth?", world.origin)),
        "the provider's own endpoint"
    );
    let redirect = world.browser.go(&request.url, &world.patient, Person::Allows).await.unwrap();
    assert_eq!(parameter(&redirect, "state"), request.state);

    // The browser took its time: the app is another process now.
    let app = world.app();
    let connection = app.complete_connection(redirect).await.unwrap();
    assert_eq!(
        (connection.state, connection.patient.id.as_str()),
        (ConnectionState::Unconfirmed, &*world.patient)
    );
    assert_eq!(connection.patient.name.as_deref(), Some("Person Real"));
    assert_eq!(connection.patient.birth_date.as_deref(), Some("1980-02-29"));

    let again = world.connected(&app, APP).await;
    assert_eq!(again, connection.id, "the same patient is the same connection");
    submit_all(&app, again).await;
    world.assert_taken_once().await;
    assert_eq!(token_requests(&world.journal.take()), 0, "the access is good for a while");
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn a_denied_consent_is_said_so_and_another_try_is_open() {
    let world = World::new();
    let app = world.app();
    let request = app.begin_connection(world.receiver(APP)).await.unwrap();
    let redirect = world.browser.go(&request.url, &world.patient, Person::Denies).await.unwrap();
    let error = app.complete_connection(redirect).await.unwrap_err();
    assert_eq!(
        (
            error.code().word(),
            error.retryable(),
            error.kind() == cgm_submitter::ErrorKind::NeedsPerson
        ),
        ("access-denied", false, true)
    );
    assert_eq!(error.to_string(), "access was not granted in the browser");
    assert_eq!(token_requests(&world.journal.take()), 0);
    assert!(
        app.connections().await.unwrap().is_empty() && world.vault.entries("/pending/").is_empty()
    );

    let connection = world.connected(&app, APP).await;
    submit_all(&app, connection).await;
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn what_the_person_did_not_allow_is_not_sent() {
    let world = World::new();
    let app = world.app();
    let connection = world.connected(&app, APP).await;
    app.disconnect(connection).await.unwrap();

    let request = app.begin_connection(world.receiver(APP)).await.unwrap();
    let all_but = Person::AllowsAllBut("patient/Observation.cu?category=laboratory");
    let redirect = world.browser.go(&request.url, &world.patient, all_but).await.unwrap();
    let connection = app.complete_connection(redirect).await.unwrap().id;
    app.confirm_patient(connection).await.unwrap();
    let outcome = submit(&app, connection).await.unwrap();
    let not_granted = |one: &LeftOut| matches!(one, LeftOut::NotGranted(_));
    assert!(
        !outcome.left_out.is_empty() && outcome.left_out.iter().all(not_granted),
        "{outcome:?}"
    );
    assert_eq!((outcome.status, outcome.tally.readings.total()), (OutcomeStatus::Done, 0));
    assert_eq!(world.logged("took Observation").await, 0);
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn scopes_the_server_refuses_are_asked_for_more_simply() {
    let world = World::new();
    let app = world.app();
    let error = world.authorise(&app, "cgm-app-simple").await.unwrap_err();
    assert_eq!(error.code().word(), "scopes-refused");
    let connection = world.connected(&app, "cgm-app-simple").await;
    submit_all(&app, connection).await;
    world.assert_taken_once().await;
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn an_app_the_server_does_not_know_stays_in_the_browser() {
    let world = World::new();
    let app = world.app();
    let elsewhere = Receiver::new(&world.base(), APP, "org.example.other:/callback").unwrap();
    for (receiver, why) in
        [(world.receiver("nobody"), "invalid_client"), (elsewhere, "invalid_redirect_uri")]
    {
        let request = app.begin_connection(receiver).await.unwrap();
        let page =
            world.browser.go(&request.url, &world.patient, Person::Allows).await.unwrap_err();
        assert_eq!(page.status, 400);
        assert!(page.text.starts_with(why), "{}", page.text);
    }
    assert!(app.connections().await.unwrap().is_empty());
    assert_eq!(token_requests(&world.journal.take()), 0);
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn disconnecting_ends_the_tokens_at_the_server() {
    let world = World::new();
    let app = world.app();
    let connection = world.connected(&app, APP).await;
    let tokens = world.tokens();
    assert!(world.stands_by(&tokens.access).await && world.stands_by(&tokens.refresh).await);
    assert_eq!(world.patient_with(&tokens.access).await.0, 200);

    assert_eq!(app.disconnect(connection).await.unwrap(), Revocation::Done);
    assert!(!world.stands_by(&tokens.access).await && !world.stands_by(&tokens.refresh).await);
    assert_eq!(world.patient_with(&tokens.access).await.0, 401);
    let (status, answer) = world.refresh_outside(&tokens.refresh).await;
    assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_grant")));
    assert!(world.vault.entries("/token/").is_empty());
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn a_sign_in_as_somebody_else_is_refused_and_their_tokens_are_given_back() {
    let world = World::new();
    let app = world.app();
    let connection = world.connected(&app, APP).await;
    let mine = world.tokens();
    let other = World::new();
    let request = app.begin_connection(world.receiver(APP)).await.unwrap();
    let redirect = other.browser.go(&request.url, &other.patient, Person::Allows).await.unwrap();
    assert_eq!(app.complete_connection(redirect).await.unwrap_err().code().word(), "other-patient");
    assert_eq!(world.state(&app).await, ConnectionState::OtherPatient);
    assert_eq!(world.tokens(), mine, "nothing of the other's is kept");
    assert!(submit(&app, connection).await.is_err());

    let theirs = world.journal.take().into_iter().find_map(|passed| match passed {
        Passed::Given(access, refresh) => Some((access, refresh)),
        _ => None,
    });
    let (access, refresh) = theirs.unwrap();
    assert!(!world.stands_by(&access).await && !world.stands_by(&refresh).await);
    assert_eq!(other.logged("grant revoked").await, 1);
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn without_a_refresh_token_the_person_is_asked_again_when_the_access_ends() {
    let world = World::new();
    let app = world.app();
    let connection = world.connected(&app, "cgm-app-openid").await;
    world.tokens_end();
    submit_blocked(&app, connection).await;
    assert_eq!(world.state(&app).await, ConnectionState::NeedsReauthorisation);
    assert_eq!(token_requests(&world.journal.take()), 0, "there is nothing to refresh with");
    world.authorise(&app, "cgm-app-openid").await.unwrap();
    // Past the pause after a send that could not be.
    world.clock.pass(TimeDelta::minutes(1));
    submit_all(&app, connection).await;
    world.assert_taken_once().await;
}
