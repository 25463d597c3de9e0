//! Ending connections: at once here, and at the receiver until it took the token back.

use crate::connect::world::*;
use cgm_submitter::connect::{ConnectError, Revocation, TokenError};
use cgm_submitter::environment::{Clock, Deadline, TransportError};
use cgm_submitter::store::{ConnectionState, Store};
use chrono::TimeDelta;
use serde_json::Value;
use std::time::Duration;

#[tokio::test]
async fn disconnecting_removes_everything_here_and_gives_the_token_back() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    assert_eq!(connector.disconnect(id).await.unwrap(), Revocation::Done);
    assert_eq!(world.server.with(|state| state.revoked.clone()), ["refresh-2"]);
    assert_eq!(world.vault.names("token"), Vec::<String>::new());
    assert!(matches!(connector.access_token(id).await, Err(TokenError::NoConnection)));
    assert!(connector.disconnect(id).await.is_err());
    assert_eq!(world.record(id).await.state, ConnectionState::Disconnected);
    let left = connector.revoke_pending(Deadline::NEVER).await.unwrap();
    assert_eq!((left.count, left.next), (0, None));
}

#[tokio::test]
async fn a_name_and_birth_date_are_in_no_file_after_disconnecting() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    let readable = || {
        let files = std::fs::read_dir(world.folder.path()).unwrap().map(|file| file.unwrap());
        let files = files.filter(|file| file.file_type().unwrap().is_file());
        let bytes: Vec<u8> = files.flat_map(|file| std::fs::read(file.path()).unwrap()).collect();
        ["Popescu", "1980-02-29"]
            .map(|text| bytes.windows(text.len()).any(|w| w == text.as_bytes()))
    };
    assert_eq!(readable(), [true, true]);
    connector.disconnect(id).await.unwrap();
    assert_eq!(readable(), [false, false]);
}

#[tokio::test]
async fn a_receiver_that_takes_no_token_back_does_not_hold_up_disconnecting() {
    let world = World::new();
    world.server.with(|state| state.configuration["revocation_endpoint"] = Value::Null);
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    assert_eq!(connector.disconnect(id).await.unwrap(), Revocation::NotOffered);
    assert_eq!(world.vault.names("token"), Vec::<String>::new());
}

#[tokio::test]
async fn a_failing_vault_does_not_prevent_disconnecting_and_the_token_goes_later() {
    for offered in [true, false] {
        let world = World::new();
        if !offered {
            world.server.with(|state| state.configuration["revocation_endpoint"] = Value::Null);
        }
        let connector = world.process();
        let id = world.connect(&connector).await.unwrap().id;
        *world.vault.locked.lock().unwrap() = true;
        assert_eq!(connector.disconnect(id).await.unwrap(), Revocation::Pending);
        assert_eq!(world.record(id).await.state, ConnectionState::Disconnected);
        let left = connector.revoke_pending(Deadline::NEVER).await.unwrap();
        assert_eq!(left.count, 1);
        assert!(left.next > Some(world.clock.now()), "nobody comes back at once");

        *world.vault.locked.lock().unwrap() = false;
        assert_eq!(world.vault.names("token").len(), 1);
        let left = world.process().revoke_pending(Deadline::NEVER).await.unwrap();
        assert_eq!(left.count, 0);
        assert_eq!(world.vault.names("token"), Vec::<String>::new());
        let revoked = world.server.with(|state| state.revoked.clone());
        assert_eq!(revoked, if offered { vec!["refresh-2"] } else { vec![] });
    }
}

#[tokio::test]
async fn a_revocation_is_tried_again_with_growing_pauses_until_the_receiver_took_it() {
    for outage in [Err(TransportError::Unreachable), Ok((503, "")), Ok((400, "")), Ok((401, ""))] {
        let world = World::new();
        let id = world.connect(&world.process()).await.unwrap().id;
        world.server.with(|state| state.revocation = outage);
        assert_eq!(world.process().disconnect(id).await.unwrap(), Revocation::Pending);
        assert_eq!(world.vault.names("token").len(), 1, "the token is kept to be given back");
        for _ in 0..120 {
            world.process().revoke_pending(Deadline::NEVER).await.unwrap();
            world.pass(TimeDelta::seconds(10));
        }
        let tried = world.server.seen("/revoke").len();
        assert!((5..40).contains(&tried), "{tried} times in twenty minutes: {outage:?}");
        world.server.with(|state| state.revocation = Ok((200, "{}")));
        world.pass(TimeDelta::days(1));
        let left = world.process().revoke_pending(Deadline::NEVER).await.unwrap();
        assert_eq!((left.count, left.next), (0, None));
        assert_eq!(world.server.with(|state| state.revoked.clone()), ["refresh-2"]);
        assert_eq!(world.vault.names(""), ["cgm/db-1/authorisations"]);
        world.process().revoke_pending(Deadline::NEVER).await.unwrap();
        assert_eq!(world.server.seen("/revoke").len(), tried + 1, "done is done");
    }
}

#[tokio::test]
async fn a_receiver_that_takes_no_such_token_is_not_asked_again() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    let refusal = (400, r#"{"error":"unsupported_token_type"}"#);
    world.server.with(|state| state.revocation = Ok(refusal));
    connector.disconnect(id).await.unwrap();
    let left = connector.revoke_pending(Deadline::NEVER).await.unwrap();
    assert_eq!((left.count, world.server.seen("/revoke").len()), (0, 1));
}

#[tokio::test]
async fn nothing_is_revoked_after_the_deadline() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.server.with(|state| state.revocation = Ok((503, "")));
    connector.disconnect(id).await.unwrap();
    world.pass(TimeDelta::hours(1));
    let over = Deadline::at(world.clock.monotonic());
    assert_eq!(connector.revoke_pending(over).await.unwrap().count, 1);
    assert_eq!(world.server.seen("/revoke").len(), 1);
}

#[tokio::test]
async fn giving_back_old_tokens_does_not_touch_those_of_a_new_login() {
    let world = World::new();
    let connector = world.process();
    let first = world.connect(&connector).await.unwrap().id;
    world.server.with(|state| state.revocation = Err(TransportError::Unreachable));
    connector.disconnect(first).await.unwrap();
    let again = world.connect(&connector).await.unwrap().id;
    assert_eq!(again, first, "the ledger hangs on it");
    world.server.with(|state| state.revocation = Ok((200, "{}")));
    world.pass(TimeDelta::minutes(10));
    assert_eq!(connector.revoke_pending(Deadline::NEVER).await.unwrap().count, 0);
    assert_eq!(world.server.with(|state| state.revoked.clone()), ["refresh-2"]);
    assert_eq!(carried(&connector.access_token(again).await.unwrap()), "access-4");
}

#[tokio::test]
async fn a_connection_ended_while_it_is_authorised_anew_stays_ended() {
    // While the token is on its way, and while the patient is read.
    for slow in ["/token", "/Patient/"] {
        let world = World::new();
        let connector = world.process();
        let id = world.connect(&connector).await.unwrap().id;
        connector.confirm(id).await.unwrap();
        let request = connector.begin(&receiver()).await.unwrap();
        let back = world.server.browser(&request);
        let before = world.server.seen(slow).len();
        world.server.with(|state| state.slow = Some((slow, Duration::from_millis(300))));
        let completing = world.process();
        let completed = tokio::spawn(async move { completing.complete(&back).await });
        while world.server.seen(slow).len() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        connector.disconnect(id).await.unwrap();
        let completed = completed.await.unwrap();
        if slow == "/token" {
            // It was asked for after the end: the person signed in anew, and nothing is confirmed.
            assert_eq!(completed.unwrap().state, ConnectionState::Unconfirmed);
            continue;
        }
        assert!(matches!(completed, Err(ConnectError::Ended)), "{completed:?}");
        let ended = world.record(id).await;
        assert_eq!(
            (ended.state, ended.details.patient_name),
            (ConnectionState::Disconnected, None)
        );
        let revoked = world.server.with(|state| state.revoked.clone());
        assert_eq!(revoked, ["refresh-2", "refresh-4"], "no token is left anywhere");
        assert_eq!(world.vault.names("token"), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_refresh_under_way_ends_before_its_token_is_given_back() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.slow = Some(("/token", Duration::from_millis(300))));
    let other = world.process();
    let refreshed = tokio::spawn(async move { other.access_token(id).await.map(drop) });
    while world.refreshes().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(connector.disconnect(id).await.unwrap(), Revocation::Done);
    assert!(refreshed.await.unwrap().is_err());
    assert_eq!(world.server.with(|state| state.revoked.clone()), ["refresh-3"]);
    assert_eq!(world.vault.names("token"), Vec::<String>::new());
}

#[tokio::test]
async fn secrets_to_be_given_back_are_forgotten_with_the_others() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    world.server.with(|state| state.revocation = Ok((503, "")));
    connector.disconnect(id).await.unwrap();
    world.connect(&connector).await.unwrap();
    connector.begin(&receiver()).await.unwrap();
    assert!(world.vault.names("").len() >= 4);
    connector.forget_secrets().await.unwrap();
    assert_eq!(world.vault.names(""), Vec::<String>::new());
    let store = Store::open(&world.folder.path().join("cgm.db")).unwrap();
    assert!(store.revocations().unwrap().is_empty());
}
