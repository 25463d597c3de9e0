//! Tokens over time: refreshed once, by one caller, kept through failures.

use super::world::*;
use cgm_submitter::connect::{ConnectError, ForeignOrigin, ReauthorisationCause, TokenError};
use cgm_submitter::environment::{Clock, TransportError, VaultError};
use cgm_submitter::store::ConnectionState;
use chrono::TimeDelta;

#[tokio::test]
async fn a_token_is_refreshed_when_due_and_replaced() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    let first = carried(&connector.access_token(id).await.unwrap());
    world.pass(TimeDelta::minutes(57));
    assert_eq!(carried(&connector.access_token(id).await.unwrap()), first);
    world.pass(TimeDelta::minutes(2));
    let second = carried(&connector.access_token(id).await.unwrap());
    assert_ne!(second, first);
    world.pass(TimeDelta::hours(1));
    connector.access_token(id).await.unwrap();
    assert_eq!(world.refreshes(), ["refresh-2", "refresh-3"]);
}

#[tokio::test]
async fn callers_in_two_processes_make_one_refresh() {
    let world = World::new();
    let (app, extension) = (world.process(), world.process());
    let id = world.connect(&app).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    let (a, b, c) =
        tokio::join!(app.access_token(id), extension.access_token(id), app.access_token(id));
    let tokens = [a, b, c].map(|token| carried(&token.unwrap()));
    assert_eq!(tokens, ["access-3", "access-3", "access-3"]);
    assert_eq!(world.refreshes().len(), 1);
}

#[tokio::test]
async fn after_a_401_one_refresh_serves_everybody_who_held_the_refused_token() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    let refused = connector.access_token(id).await.unwrap();
    let (a, b) = tokio::join!(
        connector.refresh_after_401(id, &refused),
        connector.refresh_after_401(id, &refused)
    );
    assert_eq!(carried(&a.unwrap()), carried(&b.unwrap()));
    assert_eq!(world.refreshes().len(), 1);
}

#[tokio::test]
async fn a_refresh_whose_caller_went_away_is_recorded() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    let short = std::time::Duration::from_millis(10);
    assert!(tokio::time::timeout(short, connector.access_token(id)).await.is_err());
    connector.settle().await;
    assert_eq!(world.refreshes().len(), 1);
    assert_eq!(carried(&connector.access_token(id).await.unwrap()), "access-3");
    assert_eq!(world.refreshes().len(), 1);
}

#[tokio::test]
async fn a_refresh_that_was_cut_off_before_it_arrived_is_made_again() {
    let world = World::new();
    let id = world.connect(&world.process()).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.fail_next = Some(TransportError::Broken));
    let error = world.process().access_token(id).await.unwrap_err();
    assert!(error.retryable());
    assert!(world.process().access_token(id).await.is_ok());
    assert_eq!(world.record(id).await.state, ConnectionState::Unconfirmed);
}

#[tokio::test]
async fn a_refresh_whose_answer_was_lost_ends_in_needs_reauthorisation_and_says_why() {
    let world = World::new();
    let id = world.connect(&world.process()).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.lose_next_answer = true);
    assert!(matches!(
        world.process().access_token(id).await,
        Err(TokenError::Transport(TransportError::Broken))
    ));
    let error = world.process().access_token(id).await.unwrap_err();
    assert!(
        matches!(error, TokenError::NeedsReauthorisation(ReauthorisationCause::Interrupted)),
        "{error}"
    );
    assert_eq!(world.record(id).await.state, ConnectionState::NeedsReauthorisation);
    assert!(world.process().access_token(id).await.is_err());
    assert_eq!(world.refreshes().len(), 2, "once refused, it is not sent any more");
}

#[tokio::test]
async fn a_receiver_that_does_not_rotate_keeps_its_refresh_token() {
    let world = World::new();
    world.server.with(|state| state.rotates = false);
    let id = world.connect(&world.process()).await.unwrap().id;
    for _ in 0..3 {
        world.pass(TimeDelta::hours(2));
        world.process().access_token(id).await.unwrap();
    }
    assert_eq!(world.refreshes(), ["refresh-2", "refresh-2", "refresh-2"]);
}

#[tokio::test]
async fn a_refused_refresh_needs_reauthorisation_and_is_not_tried_again() {
    let world = World::new();
    let id = world.connect(&world.process()).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.refresh = None);
    for cause in [ReauthorisationCause::Refused, ReauthorisationCause::NoToken] {
        let error = world.process().access_token(id).await.unwrap_err();
        assert!(
            matches!(error, TokenError::NeedsReauthorisation(found) if found == cause),
            "{error}"
        );
    }
    assert_eq!(world.refreshes().len(), 1);
}

#[tokio::test]
async fn without_a_refresh_token_the_end_of_the_access_is_a_state() {
    let world = World::new();
    world.server.with(|state| state.offline = false);
    let id = world.connect(&world.process()).await.unwrap().id;
    world.pass(TimeDelta::minutes(59));
    assert!(world.process().access_token(id).await.is_ok(), "still good for a minute");
    world.pass(TimeDelta::minutes(1));
    let error = world.process().access_token(id).await.unwrap_err();
    assert!(
        matches!(error, TokenError::NeedsReauthorisation(ReauthorisationCause::NoRefreshToken)),
        "{error}"
    );
    assert_eq!(world.record(id).await.state, ConnectionState::NeedsReauthorisation);
}

#[tokio::test]
async fn a_token_for_another_patient_is_given_back_and_blocks() {
    let world = World::new();
    let id = world.connect(&world.process()).await.unwrap().id;
    world.server.with(|state| state.refreshed_patient = Some("patient-2"));
    world.pass(TimeDelta::hours(2));
    assert!(matches!(world.process().access_token(id).await, Err(TokenError::OtherPatient)));
    assert_eq!(world.record(id).await.state, ConnectionState::OtherPatient);
    assert_eq!(world.server.with(|state| state.revoked.clone()), ["refresh-3"]);
    assert_eq!(world.vault.names("token"), Vec::<String>::new());
}

#[tokio::test]
async fn a_locked_vault_means_wait_and_changes_nothing() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    *world.vault.locked.lock().unwrap() = true;
    let error = connector.access_token(id).await.unwrap_err();
    assert!(matches!(error, TokenError::VaultUnavailable) && error.retryable(), "{error}");
    assert!(matches!(
        connector.begin(&receiver()).await,
        Err(ConnectError::Vault(VaultError::Unavailable))
    ));
    assert!(connector.disconnect(id).await.unwrap_err().retryable());
    assert_eq!(
        (world.record(id).await.state, world.refreshes().len()),
        (ConnectionState::Unconfirmed, 0)
    );
    *world.vault.locked.lock().unwrap() = false;
    assert!(connector.access_token(id).await.is_ok());
}

#[tokio::test]
async fn tokens_the_vault_refused_are_saved_before_they_are_used() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    // The mark is saved; the new tokens are not.
    *world.vault.saves.lock().unwrap() = Some(1);
    assert!(matches!(connector.access_token(id).await, Err(TokenError::VaultFailed)));
    *world.vault.saves.lock().unwrap() = None;
    assert_eq!(carried(&connector.access_token(id).await.unwrap()), "access-3");
    assert_eq!(carried(&world.process().access_token(id).await.unwrap()), "access-3");
    assert_eq!(world.refreshes().len(), 1);
}

#[tokio::test]
async fn a_busy_token_endpoint_is_waited_for() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::minutes(59));
    world.server.with(|state| state.answer_next = Some((503, "busy")));
    assert_eq!(
        carried(&connector.access_token(id).await.unwrap()),
        "access-2",
        "good for another minute"
    );
    world.pass(TimeDelta::minutes(1));
    world.server.with(|state| state.answer_next = Some((429, "busy")));
    let error = connector.access_token(id).await.unwrap_err();
    let expected = world.clock.now() + TimeDelta::seconds(120);
    assert!(
        matches!(error, TokenError::Unavailable { status: 429, not_before: Some(at) }
            if at == expected),
        "{error}"
    );
    assert!(connector.access_token(id).await.is_ok());
}

#[tokio::test]
async fn an_app_the_receiver_no_longer_knows_is_a_matter_of_configuration() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.answer_next = Some((401, r#"{"error":"invalid_client"}"#)));
    assert!(matches!(connector.access_token(id).await, Err(TokenError::Misconfigured)));
    assert_eq!(world.record(id).await.state, ConnectionState::Misconfigured);
}

#[tokio::test]
async fn an_answer_that_is_no_token_changes_nothing() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    for answer in [
        (200, "<html>sign in to this wireless network</html>"),
        (302, ""),
        (200, r#"{"token_type":"bearer"}"#),
    ] {
        world.server.with(|state| state.answer_next = Some(answer));
        assert!(
            matches!(connector.access_token(id).await, Err(TokenError::Unreadable)),
            "{answer:?}"
        );
    }
    assert_eq!(world.record(id).await.state, ConnectionState::Unconfirmed);
    assert!(connector.access_token(id).await.is_ok());
}

#[tokio::test]
async fn a_token_goes_to_no_other_origin() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    let token = connector.access_token(id).await.unwrap();
    for url in [
        "https://auth.example/fhir",
        "http://ehr.example/fhir",
        "https://ehr.example:8443/fhir",
        "https://ehr.example@evil.example/",
    ] {
        let request = http::Request::get(url).body(Vec::new()).unwrap();
        assert_eq!(token.authorised_request(request).err(), Some(ForeignOrigin), "{url}");
    }
    connector.disconnect(id).await.unwrap();
    for seen in world.server.seen("") {
        assert!(
            seen.token.is_none() || seen.url.starts_with("https://ehr.example/fhir/"),
            "{}",
            seen.url
        );
    }
}
