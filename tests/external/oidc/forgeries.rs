//! Callbacks and codes that are not what they say.

use crate::browser::{Person, post};
use crate::network::token_requests;
use crate::world::{APP, REDIRECT, World, parameter, submit_all, submit_blocked, with_parameter};
use cgm_submitter::store::ConnectionState;
use serde_json::Value;

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn a_callback_with_another_state_is_refused_and_the_right_one_counts_once() {
    let world = World::new();
    let app = world.app();
    let redirect = world.redirect(&app, APP).await;
    let forged = with_parameter(&redirect, "state", Some("another"));
    assert_eq!(
        app.complete_connection(forged).await.unwrap_err().code().word(),
        "authorisation-unknown"
    );
    assert_eq!(token_requests(&world.journal.take()), 0);

    let connection = app.complete_connection(redirect.clone()).await.unwrap();
    assert_eq!(
        app.complete_connection(redirect).await.unwrap_err().code().word(),
        "authorisation-unknown"
    );
    assert_eq!(token_requests(&world.journal.take()), 1, "a code is exchanged once");
    assert!(world.stands_by(&world.tokens().refresh).await, "the replay did not reach the server");
    assert_eq!(connection.state, ConnectionState::Unconfirmed);
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn a_code_of_another_authorisation_fails_at_the_servers_pkce() {
    let world = World::new();
    let app = world.app();
    let (mine, other) = (world.redirect(&app, APP).await, world.redirect(&app, APP).await);
    let injected = with_parameter(&mine, "code", Some(&parameter(&other, "code")));
    assert_eq!(
        app.complete_connection(injected).await.unwrap_err().code().word(),
        "authorisation-refused"
    );
    assert_eq!(world.log().await, ["code_verifier does not match code_challenge"]);
    assert_eq!(token_requests(&world.journal.take()), 1);
    assert!(app.connections().await.unwrap().is_empty());
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn the_server_takes_a_code_with_its_own_s256_verifier_only() {
    let world = World::new();
    let app = world.app();
    let request = app.begin_connection(world.receiver(APP)).await.unwrap();
    for (name, value) in [
        ("code_challenge", None),
        ("code_challenge_method", Some("plain")),
        ("aud", Some("https://ehr.example/fhir")),
    ] {
        let weaker = with_parameter(&request.url, name, value);
        let redirect = world.browser.go(&weaker, &world.patient, Person::Allows).await.unwrap();
        assert_eq!(parameter(&redirect, "error"), "invalid_request", "{name}");
    }

    let redirect = world.browser.go(&request.url, &world.patient, Person::Allows).await.unwrap();
    let pending: Value = world.vault.entries("/pending/").remove(0);
    let verifier = pending["verifier"].as_str().unwrap();
    let code = parameter(&redirect, "code");
    let exchange = async |verifier: Option<&str>, redirect_uri: &str| {
        let mut form =
            vec![("grant_type", "authorization_code"), ("client_id", APP), ("code", &code)];
        form.push(("redirect_uri", redirect_uri));
        form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        let (status, answer) = post(&world.token_endpoint(), &form).await;
        (status, answer["error"].as_str().map(str::to_owned))
    };
    let refused = (400, Some("invalid_grant".to_owned()));
    let challenge = parameter(&request.url, "code_challenge");
    assert_eq!(exchange(None, REDIRECT).await, refused);
    assert_eq!(exchange(Some(&"x".repeat(43)), REDIRECT).await, refused);
    assert_eq!(exchange(Some(&challenge), REDIRECT).await, refused, "as it would be with plain");
    assert_eq!(exchange(Some(verifier), "org.example.other:/callback").await, refused);
    // The same code, still good: nothing but the verifier and the place was wrong.
    assert!(app.complete_connection(redirect).await.is_ok());
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn a_code_used_twice_ends_the_grant_and_the_person_is_asked_again() {
    let world = World::new();
    let app = world.app();
    let redirect = world.redirect(&app, APP).await;
    let pending: Value = world.vault.entries("/pending/").remove(0);
    let connection = app.complete_connection(redirect.clone()).await.unwrap().id;
    app.confirm_patient(connection).await.unwrap();

    let (verifier, code) = (pending["verifier"].as_str().unwrap(), parameter(&redirect, "code"));
    let form =
        [("grant_type", "authorization_code"), ("client_id", APP), ("redirect_uri", REDIRECT)];
    let form = [form.as_slice(), &[("code", &code), ("code_verifier", verifier)]].concat();
    let (status, answer) = post(&world.token_endpoint(), &form).await;
    assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(world.logged("grant revoked").await, 1);

    world.journal.take();
    assert!(
        app.refresh_orders(connection).await.unwrap_err().kind()
            == cgm_submitter::ErrorKind::NeedsPerson
    );
    assert_eq!(world.state(&app).await, ConnectionState::NeedsReauthorisation);
    assert_eq!(token_requests(&world.journal.take()), 1);
    let again = world.connected(&app, APP).await;
    assert_eq!(again, connection);
    submit_all(&app, again).await;
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn a_callback_from_another_issuer_is_refused() {
    let world = World::new();
    let app = world.app();
    for issuer in [Some("https://evil.example"), None] {
        let redirect = world.redirect(&app, APP).await;
        assert_eq!(parameter(&redirect, "iss"), world.origin, "the server says who it is");
        let forged = with_parameter(&redirect, "iss", issuer);
        let error = app.complete_connection(forged).await.unwrap_err();
        assert_eq!(error.code().word(), "invalid-callback", "{issuer:?}");
    }
    assert_eq!(token_requests(&world.journal.take()), 0, "the code went nowhere");
    let connection = world.connected(&app, APP).await;
    world.tokens_end();
    submit_all(&app, connection).await;
}

#[tokio::test]
#[ignore = "needs an authorisation server: scripts/test authorisation"]
async fn a_stolen_refresh_token_ends_the_grant_for_both_and_a_new_sign_in_heals() {
    let world = World::new();
    let app = world.app();
    let connection = world.connected(&app, APP).await;
    let stolen = world.tokens().refresh;
    world.tokens_end();
    app.refresh_orders(connection).await.unwrap();
    let fresh = world.tokens();
    assert_ne!(fresh.refresh, stolen, "it is rotated");

    let (status, answer) = world.refresh_outside(&stolen).await;
    assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(world.logged("refresh token already used").await, 1);
    assert_eq!(world.logged("grant revoked").await, 1);
    assert!(!world.stands_by(&fresh.access).await && !world.stands_by(&fresh.refresh).await);

    // By the clock the access is good: the server says that it is not.
    submit_blocked(&app, connection).await;
    assert_eq!(world.state(&app).await, ConnectionState::NeedsReauthorisation);
    assert!(world.vault.entries("/token/").is_empty(), "a token nobody takes is not kept");

    let healed = world.authorise(&app, APP).await.unwrap();
    assert_eq!((healed.id, healed.state), (connection, ConnectionState::Active));
    submit_all(&app, connection).await;
    world.assert_taken_once().await;
}
