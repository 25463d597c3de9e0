//! Tokens over time: refreshed once, by one caller, kept through failures.

use super::world::*;
use cgm_submitter::ErrorKind;
use cgm_submitter::connect::{ConnectError, ForeignOrigin, ReauthorisationCause, TokenError};
use cgm_submitter::environment::{Clock, FileLocks, Locks, TransportError, VaultError};
use cgm_submitter::smart::{FailureReason, TokenHistory};
use cgm_submitter::store::ConnectionState;
use chrono::TimeDelta;
use std::time::Duration;

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
    assert_eq!(judged(error), ("connection-broken", ErrorKind::TryAgain));
    world.pass(TimeDelta::minutes(1));
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
        Err(TokenError::Waiting { reason: FailureReason::Broken, .. })
    ));
    world.pass(TimeDelta::minutes(1));
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
    // The reason stays the same, also in a new process.
    for cause in [ReauthorisationCause::Refused, ReauthorisationCause::Refused] {
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
    assert!(matches!(error, TokenError::Vault(VaultError::Unavailable)), "{error}");
    assert_eq!(judged(error), ("vault-unavailable", ErrorKind::TryAgain));
    assert!(matches!(
        connector.begin(&receiver()).await,
        Err(ConnectError::Vault(VaultError::Unavailable))
    ));
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
    assert!(matches!(connector.access_token(id).await, Err(TokenError::Vault(VaultError::Failed))));
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
    world.server.with(|state| {
        state.answer_next = Some((429, "busy"));
        state.retry_after = Some("120");
    });
    let error = connector.access_token(id).await.unwrap_err();
    let until = error.retry_at().unwrap();
    let waited = until - world.clock.now();
    assert!(waited >= TimeDelta::seconds(120) && waited < TimeDelta::minutes(5), "{waited}");
    assert!(
        matches!(error, TokenError::Waiting { reason: FailureReason::Status(429), .. }),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "auth.example gives no access for now (it answered 429): it is asked again later"
    );

    world.pass(waited - TimeDelta::seconds(1));
    let asked = world.refreshes().len();
    let again = world.process().access_token(id).await.unwrap_err();
    assert_eq!(again.retry_at(), Some(until), "the wait outlives the process");
    assert_eq!(world.refreshes().len(), asked, "nothing is asked before its end");
    world.pass(TimeDelta::seconds(1));
    assert!(connector.access_token(id).await.is_ok());
}

#[tokio::test]
async fn an_outage_of_the_token_endpoint_is_asked_less_and_less_often() {
    let world = World::new();
    let id = world.connect(&world.process()).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.answer_all = Some((502, "bad gateway")));
    for _ in 0..24 * 60 {
        let error = world.process().access_token(id).await.unwrap_err();
        assert!(matches!(error, TokenError::Waiting { .. }), "{error}");
        world.pass(TimeDelta::minutes(1));
    }
    let asked = world.refreshes().len();
    assert!((24..60).contains(&asked), "{asked} requests in a day");
    assert_eq!(world.record(id).await.state, ConnectionState::Unconfirmed);
    world.server.with(|state| state.answer_all = None);
    world.pass(TimeDelta::hours(1));
    assert!(world.process().access_token(id).await.is_ok());
    assert!(world.record(id).await.details.tokens == TokenHistory::default(), "it is forgotten");
}

#[tokio::test]
async fn a_clock_set_back_does_not_prolong_the_wait() {
    let world = World::new();
    let id = world.connect(&world.process()).await.unwrap().id;
    world.pass(TimeDelta::hours(4));
    world.server.with(|state| {
        state.answer_next = Some((503, ""));
        state.retry_after = Some("3600");
    });
    assert!(world.process().access_token(id).await.unwrap_err().retry_at().is_some());
    world.pass(-TimeDelta::hours(2));
    assert!(world.process().access_token(id).await.is_ok());
}

#[tokio::test]
async fn a_new_login_ends_the_wait_of_the_old_one() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| {
        state.answer_next = Some((503, ""));
        state.retry_after = Some("86400");
    });
    assert!(connector.access_token(id).await.is_err());
    world.server.with(|state| state.retry_after = None);
    world.connect(&connector).await.unwrap();
    world.pass(TimeDelta::hours(2));
    assert!(connector.access_token(id).await.is_ok(), "the next refresh is made at once");
}

#[tokio::test]
async fn a_refusal_that_is_no_oauth_error_keeps_the_refresh_token() {
    let world = World::new();
    let id = world.connect(&world.process()).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    for answer in [
        (400, ""),
        (401, "<html>proxy authentication</html>"),
        (400, r#"{"timestamp":1,"status":400,"error":"Bad Request","path":"/token"}"#),
        (401, r#"{"message":"Unauthorized"}"#),
        (400, r#"{"error":"invalid_request"}"#),
        (400, r#"{"error":"temporarily_unavailable"}"#),
        (403, "forbidden"),
        (404, ""),
        (410, ""),
    ] {
        world.server.with(|state| state.answer_next = Some(answer));
        let error = world.process().access_token(id).await.unwrap_err();
        let status = FailureReason::Status(answer.0);
        assert!(
            matches!(error, TokenError::Waiting { reason, .. } if reason == status),
            "{answer:?}: {error}"
        );
        assert_eq!(world.record(id).await.state, ConnectionState::Unconfirmed);
        world.pass(TimeDelta::hours(2));
    }
    assert!(world.process().access_token(id).await.is_ok(), "the refresh token was kept");
}

#[tokio::test]
async fn a_refusal_that_lasts_for_a_day_is_a_matter_of_configuration_and_keeps_the_tokens() {
    let world = World::new();
    let id = world.connect(&world.process()).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.answer_all = Some((404, "")));
    for _ in 0..26 {
        assert!(world.process().access_token(id).await.is_err());
        world.pass(TimeDelta::hours(1));
    }
    assert_eq!(world.record(id).await.state, ConnectionState::Misconfigured);
    world.server.with(|state| state.answer_all = None);
    assert!(world.process().access_token(id).await.is_ok());
}

#[tokio::test]
async fn a_token_for_another_patient_is_given_back_under_no_lock() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.server.with(|state| {
        state.refreshed_patient = Some("patient-2");
        state.slow = Some(("/revoke", Duration::from_mins(10)));
    });
    world.pass(TimeDelta::hours(2));
    let refused = tokio::spawn(async move { connector.access_token(id).await.map(drop) });
    while world.server.seen("/revoke").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let soon = Duration::from_secs(5);
    let other = tokio::time::timeout(soon, world.process().access_token(id)).await;
    assert!(matches!(other, Ok(Err(TokenError::OtherPatient))), "nobody waits for the receiver");
    let locks = std::fs::read_dir(world.folder.path().join("locks")).unwrap();
    for lock in locks.map(|entry| entry.unwrap().path()) {
        assert!(FileLocks.try_lock(&lock).unwrap().is_some(), "{lock:?} is held");
    }
    refused.abort();
}

#[tokio::test]
async fn an_app_the_receiver_no_longer_knows_is_a_matter_of_configuration() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.answer_next = Some((401, r#"{"error":"invalid_client"}"#)));
    let error = connector.access_token(id).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "auth.example no longer accepts this app's client id: \
        check the app's registration at the receiver"
    );
    assert_eq!(world.record(id).await.state, ConnectionState::Misconfigured);
}

#[tokio::test]
async fn an_answer_that_is_no_token_changes_nothing() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    for answer in [
        ((200, "<html>sign in to this wireless network</html>"), FailureReason::Unreadable),
        ((302, ""), FailureReason::Status(302)),
        ((200, r#"{"token_type":"bearer"}"#), FailureReason::Unreadable),
    ] {
        let (answer, expected) = answer;
        world.server.with(|state| state.answer_next = Some(answer));
        let error = connector.access_token(id).await.unwrap_err();
        assert!(
            matches!(error, TokenError::Waiting { reason, .. } if reason == expected),
            "{answer:?}"
        );
        world.pass(TimeDelta::minutes(5));
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

#[tokio::test]
async fn a_401_to_tokens_that_were_replaced_meanwhile_ends_no_new_authorisation() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    connector.confirm(id).await.unwrap();
    let before = world.server.seen("/Patient/").len();
    world.server.with(|state| {
        state.person_status = 401;
        state.slow = Some(("/Patient/", std::time::Duration::from_millis(400)));
    });
    let asking = world.process();
    let asked = tokio::spawn(async move { asking.fetch_patient(id).await.map(drop) });
    while world.server.seen("/Patient/").len() < before + 2 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    // The second 401 is on its way, and the person has just signed in anew.
    world.server.with(|state| state.slow = None);
    assert_eq!(world.connect(&connector).await.unwrap().id, id);
    let error = asked.await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Token(TokenError::Busy)), "{error}");
    assert_eq!(world.record(id).await.state, ConnectionState::Active);
    assert!(connector.access_token(id).await.is_ok());
}
