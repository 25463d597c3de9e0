//! A clinic that is busy, broken, particular or forgetful: waited for as it asks, adapted to,
//! remembered, and nothing lost.

use crate::tape::Fate;
use crate::world::{NO_WAIT, World, own, reading, submit, submit_all};
use cgm_submitter::environment::Clock;
use cgm_submitter::store::{ConnectionId, ConnectionState, Store};
use cgm_submitter::submission::{ReceiverFacts, WaitReason};
use cgm_submitter::{Error, OutcomeStatus, SubmissionOutcome};
use chrono::TimeDelta;
use sandbox_ehr::{Endpoint, Limits, Sandbox};
use std::time::Duration;

const READINGS: usize = 30;

/// What the database remembers of the receiver.
fn remembered(world: &World, connection: ConnectionId) -> ReceiverFacts {
    Store::open(&world.database("me.db")).unwrap().connection(connection).unwrap().receiver
}

fn wait_in_seconds(world: &World, outcome: &SubmissionOutcome) -> i64 {
    match outcome.status {
        OutcomeStatus::Waiting { until, .. } => (until - world.clock.now()).num_seconds(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_to_the_second_also_by_the_next_process() {
    for asked in ["120", "Mon, 01 Jul 2024 08:02:00 GMT"] {
        let world = World::new().await;
        let (app, connection) = world.ready(READINGS).await;
        world.clinic.fail_next(1, 503, Some(asked)).unwrap();
        let outcome = submit(&app, connection).await;
        let wait = wait_in_seconds(&world, &outcome);
        assert!((120..=150).contains(&wait), "{asked}: {wait}, spread upwards only");
        let OutcomeStatus::Waiting { reason, .. } = outcome.status else { panic!() };
        assert_eq!(reason, WaitReason::ReceiverAsked);
        assert_eq!(world.tape.bundles().len(), 1);

        drop(app);
        let app = world.app();
        world.clock.pass(TimeDelta::seconds(wait - 1));
        app.run_due(NO_WAIT, |_| ()).await.unwrap();
        assert_eq!(wait_in_seconds(&world, &submit(&app, connection).await), 1);
        assert_eq!(world.tape.bundles().len(), 1, "not a second too early");
        world.clock.pass(TimeDelta::seconds(1));
        app.run_due(NO_WAIT, |_| ()).await.unwrap();
        world.assert_complete(READINGS);
        let sent = world.tape.bundles();
        assert!(sent[0].body == sent[1].body, "the same bytes");
    }
}

#[tokio::test]
async fn a_clock_set_back_does_not_prolong_a_wait() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.clinic.fail_next(1, 503, Some("120")).unwrap();
    submit(&app, connection).await;
    world.clock.pass(TimeDelta::days(-30));
    app.run_due(NO_WAIT, |_| ()).await.unwrap();
    world.assert_complete(READINGS);
}

#[tokio::test]
async fn a_busy_or_broken_clinic_gets_the_same_bytes_again_after_waits_that_grow() {
    let grows = [(1, 2), (2, 4), (4, 8)];
    // If the clinic may still be at work on the request, not before the lease, which doubles.
    let lease = [(12, 12), (23, 23), (45, 45)];
    for (status, expected) in [
        (429, grows),
        (500, grows),
        (425, grows),
        (408, lease),
        (409, lease),
        (502, lease),
        (504, lease),
    ] {
        let world = World::new().await;
        let (app, connection) = world.ready(READINGS).await;
        world.clinic.fail_next(3, status, None).unwrap();
        let mut waits = vec![wait_in_seconds(&world, &submit(&app, connection).await)];
        for _ in 0..2 {
            world.clock.pass(TimeDelta::seconds(*waits.last().unwrap()));
            waits.push(wait_in_seconds(&world, &submit(&app, connection).await));
        }
        for (wait, (shortest, longest)) in waits.iter().zip(expected) {
            assert!((shortest..=longest).contains(wait), "{status}: {waits:?}");
        }
        world.clock.pass(TimeDelta::seconds(waits[2]));
        app.run_due(NO_WAIT, |_| ()).await.unwrap();
        world.assert_complete(READINGS);
        let sent = world.tape.bundles();
        assert!(
            sent[..4].iter().all(|again| again.body == sent[0].body),
            "{status}: the same bytes"
        );
    }
}

#[tokio::test]
async fn a_short_wait_is_waited_out_where_the_host_has_the_patience() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    let clock = world.clock.clone();
    world.clinic.fail_next(1, 503, Some("1")).unwrap();
    let waited = move |event| {
        if let cgm_submitter::delivery::Event::Waiting { .. } = event {
            clock.pass(TimeDelta::seconds(1));
        }
    };
    let outcome = app.submit_now(connection, own(), Duration::from_secs(5), waited).await.unwrap();
    assert!(outcome.is_complete());
    world.assert_complete(READINGS);
}

#[tokio::test]
async fn an_expired_access_token_is_refreshed_once_and_the_submission_goes_on() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.clinic.expire_access_tokens().unwrap();
    assert!(submit_all(&app, connection).await.is_complete());
    world.assert_complete(READINGS);
    assert_eq!(world.tape.sent_to("/oauth/token").len(), 1, "one refresh");
    let sent = world.tape.bundles();
    assert!(sent[0].body == sent[1].body && sent[0].token != sent[1].token);
    assert_eq!(sent.len(), 4, "one bundle was refused for its token");
}

#[tokio::test]
async fn an_access_token_near_its_end_is_refreshed_before_it_is_used() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.clock.pass(TimeDelta::minutes(61));
    assert!(submit_all(&app, connection).await.is_complete());
    assert_eq!(world.tape.sent_to("/oauth/token").len(), 1, "one refresh");
    assert_eq!(world.tape.bundles().len(), 3, "no bundle was refused for its token");
}

#[tokio::test]
async fn a_busy_token_endpoint_is_waited_for_and_nobody_is_logged_out() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.clinic.expire_access_tokens().unwrap();
    world.clinic.fail_next_at(Endpoint::Token, 1, 503, Some("90")).unwrap();
    let outcome = submit(&app, connection).await;
    let wait = wait_in_seconds(&world, &outcome);
    assert!((90..=113).contains(&wait), "{wait}");
    let OutcomeStatus::Waiting { reason, .. } = outcome.status else { panic!() };
    assert_eq!(reason, WaitReason::TokenEndpoint);
    world.later(&app).await;
    world.assert_complete(READINGS);
    assert_eq!(app.connections().await.unwrap()[0].state, ConnectionState::Active);
}

#[tokio::test]
async fn revoked_tokens_block_until_the_person_authorises_again_and_nothing_is_lost() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.clinic.revoke_all_tokens().unwrap();
    let outcome = submit(&app, connection).await;
    assert_eq!(outcome.status, OutcomeStatus::Blocked(ConnectionState::NeedsReauthorisation));
    assert_eq!(app.connections().await.unwrap()[0].state, ConnectionState::NeedsReauthorisation);

    world.tape.clear();
    world.later(&app).await;
    let error = app.submit_now(connection, own(), NO_WAIT, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Blocked(ConnectionState::NeedsReauthorisation)), "{error}");
    assert_eq!(world.tape.requests(), 0, "the receiver is left alone");

    let again = world.authorise(&app, crate::world::AMY).await.unwrap();
    assert_eq!(
        (again.id, again.state),
        (connection, ConnectionState::Active),
        "the same, and confirmed before"
    );
    world.later(&app).await;
    world.assert_complete(READINGS);
    world.tape.assert_only_same_bytes_again();
}

#[tokio::test]
async fn a_413_halves_the_batch_and_its_limit_is_remembered_whatever_status_says_it() {
    for status in [413, 400, 422, 500] {
        let limits = Limits { max_entries: 60, over_limit_status: status, ..Limits::default() };
        let world = World::with(Sandbox::builder().limits(limits)).await;
        let (app, connection) = world.ready(400).await;
        let outcome = submit(&app, connection).await;
        assert_eq!(outcome.status, OutcomeStatus::Done, "{status}");
        world.assert_complete(400);
        assert_eq!(
            remembered(&world, connection).entry_limit.map(|limit| limit.entries),
            Some(50),
            "{status}: 400, 200, 100, 50"
        );

        let refused = || {
            world.clinic.submissions().unwrap().iter().filter(|sent| sent.status == status).count()
        };
        let before = refused();
        drop(app);
        let app = world.app();
        app.ingest((400..600).map(reading).collect()).await.unwrap();
        submit_all(&app, connection).await;
        assert_eq!(refused(), before, "{status}: what was learnt is not tried again");
        world.assert_readings(600);
    }
}

#[tokio::test]
async fn a_413_for_too_many_bytes_halves_the_batch_too() {
    let limits = Limits { max_body_bytes: 40_000, ..Limits::default() };
    let world = World::with(Sandbox::builder().limits(limits)).await;
    let (app, connection) = world.ready(400).await;
    assert!(submit_all(&app, connection).await.is_complete());
    world.assert_complete(400);
}

#[tokio::test]
async fn a_receiver_that_refuses_gzip_gets_plain_bodies_from_then_on() {
    let world = World::with(Sandbox::builder().accepts_gzip(false)).await;
    let (app, connection) = world.ready(READINGS).await;
    assert!(submit_all(&app, connection).await.is_complete());
    world.assert_complete(READINGS);
    let gzip: Vec<bool> = world.tape.bundles().iter().map(|sent| sent.gzip).collect();
    assert_eq!(gzip, [true, false, false, false], "one try");
    assert_eq!(remembered(&world, connection).gzip, Some(false));

    drop(app);
    let app = world.app();
    world.tape.clear();
    app.ingest(vec![reading(READINGS)]).await.unwrap();
    submit_all(&app, connection).await;
    assert!(world.tape.bundles().iter().all(|sent| !sent.gzip), "remembered");
}

#[tokio::test]
async fn a_receiver_that_chokes_on_gzip_with_400_gets_plain_bodies_too() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world
        .tape
        .rule(|sent| if sent.gzip { Fate::Answer(400, "garbage".to_owned()) } else { Fate::Pass });
    assert!(submit_all(&app, connection).await.is_complete());
    world.assert_complete(READINGS);
}

#[tokio::test]
async fn an_answer_that_is_cut_or_too_short_says_nothing_and_the_same_bytes_go_again() {
    let one = r#"{"resourceType":"Bundle","type":"transaction-response",
        "entry":[{"response":{"status":"201"}}]}"#;
    let none = r#"{"resourceType":"Bundle","type":"transaction-response"}"#;
    for (bundle, answer) in
        [(1, none), (2, one), (3, one), (3, "{\"resourceType\":\"Bund"), (3, "")]
    {
        let world = World::new().await;
        let (app, connection) = world.ready(READINGS).await;
        world.tape.at_bundle(bundle, Fate::Answer(200, answer.to_owned()));
        assert!(
            matches!(submit(&app, connection).await.status, OutcomeStatus::Waiting { .. }),
            "{answer}"
        );
        world.later(&app).await;
        let sent = world.tape.bundles();
        assert!(sent[bundle - 1].body == sent[bundle].body, "the same bytes");
        world.assert_complete(READINGS);
    }
}

#[tokio::test]
async fn a_receiver_that_moved_away_blocks_and_nothing_is_lost() {
    for status in [404, 405, 410] {
        let world = World::new().await;
        let (app, connection) = world.ready(READINGS).await;
        world.tape.rule(move |_| Fate::Answer(status, String::new()));
        let outcome = submit(&app, connection).await;
        assert_eq!(
            outcome.status,
            OutcomeStatus::Blocked(ConnectionState::Misconfigured),
            "{status}"
        );
        assert!(outcome.refused.is_empty());
        world.tape.no_rule();
        world.authorise(&app, crate::world::AMY).await.unwrap();
        world.later(&app).await;
        world.assert_complete(READINGS);
    }
}

#[tokio::test]
async fn a_request_that_never_arrived_goes_again() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.clinic.drop_request_next();
    let outcome = submit(&app, connection).await;
    assert_eq!(wait_in_seconds(&world, &outcome), 12, "for all we know it did arrive");
    assert!(world.holds("Device").is_empty());
    world.later(&app).await;
    world.assert_complete(READINGS);
}
