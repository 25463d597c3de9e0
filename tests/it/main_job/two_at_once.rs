//! Two processes of one app over one database: one request at a time, and nothing twice.

use crate::tape::{Fate, Gate};
use crate::world::{AMY, MASS, NO_WAIT, REDIRECT, World, own, reading, sensor, stock, submit};
use cgm_submitter::delivery::Event;
use cgm_submitter::outcome::{RunReport, WaitReason};
use cgm_submitter::{OutcomeStatus, Receiver, Submitter};
use chrono::TimeDelta;
use sandbox_ehr::Sandbox;
use std::time::Duration;

const READINGS: usize = 1_100;

#[tokio::test]
async fn two_submissions_at_once_take_turns_and_double_nothing() {
    let world = World::new().await.with_file_vault();
    let (app, connection) = world.ready(READINGS).await;
    let extension = world.app();
    world.clinic.set_submission_delay(Duration::from_millis(30));
    let patience = Duration::from_secs(5);
    let (one, other) = tokio::join!(
        app.submit_now(connection, own(), patience, |_| ()),
        extension.submit_now(connection, own(), patience, |_| ()),
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.status, other.status), (OutcomeStatus::Done, OutcomeStatus::Done));
    assert_eq!(world.clinic.peak_concurrent_submissions(), 1);
    for outcome in [one, other] {
        assert_eq!(outcome.tally.readings.total(), READINGS as u64, "the same submission");
    }
    assert_eq!(world.tape.bundles().len(), 5, "device, summary, three batches: each once");
    world.tape.assert_only_same_bytes_again();
    world.assert_complete(READINGS);
}

#[tokio::test]
async fn an_app_and_a_background_wake_up_and_a_meter_at_once_leave_nothing_out() {
    let world = World::new().await;
    let (app, connection) = world.ready(600).await;
    let (background, meter) = (world.app(), world.app());
    world.clinic.set_submission_delay(Duration::from_millis(10));
    let (submitted, due, ()) = tokio::join!(
        app.submit_now(connection, own(), Duration::from_secs(5), |_| ()),
        background.run_due(Duration::from_secs(5), |_| ()),
        async {
            for n in 600..640 {
                meter.ingest(vec![reading(n)]).await.unwrap();
            }
        },
    );
    submitted.unwrap();
    due.unwrap();
    crate::world::submit_all(&app, connection).await;
    world.assert_readings(640);
    assert_eq!(world.clinic.peak_concurrent_submissions(), 1);
    world.tape.assert_only_same_bytes_again();
}

#[tokio::test]
async fn an_expired_token_is_refreshed_once_for_both() {
    let world = World::new().await.with_file_vault();
    let (app, connection) = world.ready(30).await;
    let extension = world.app();
    world.clinic.expire_access_tokens().unwrap();
    let (orders, submitted) = tokio::join!(
        extension.refresh_orders(connection),
        app.submit_now(connection, own(), NO_WAIT, |_| ())
    );
    assert_eq!(submitted.unwrap().status, OutcomeStatus::Done);
    assert_eq!(orders.unwrap().active.len(), 1);
    assert_eq!(world.tape.sent_to("/oauth/token").len(), 1);
    world.assert_complete(30);
}

#[tokio::test]
async fn a_new_database_opened_twice_at_once_is_one_database() {
    for _ in 0..8 {
        let world = World::new().await;
        let (one, other) = (world.app(), world.app());
        let (first, second) = tokio::join!(
            one.register_sensor(sensor("demo:a")),
            other.register_sensor(sensor("demo:b"))
        );
        first.unwrap();
        second.unwrap();
        // What one process puts into the vault, the other finds.
        let request = one.begin_connection(world.receiver()).await.unwrap();
        let connection = other.complete_connection(world.browse(&request.url).await).await.unwrap();
        one.confirm_patient(connection.id).await.unwrap();
        stock(&one, 12).await;
        crate::world::submit_all(&one, connection.id).await;
        assert_eq!(world.clinic.resources(AMY, MASS).unwrap().len(), 12);
    }
}

/// Why a run over the one connection waits.
fn wait_reason(report: &RunReport) -> WaitReason {
    match report.connections[0].status {
        Ok(OutcomeStatus::Waiting { reason, .. }) => reason,
        ref status => panic!("{status:?}"),
    }
}

#[tokio::test]
async fn the_connection_is_taken_while_it_sends_and_free_while_it_waits() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    let other = world.app();
    let gate = Gate::new();
    world.tape.at_bundle(1, Fate::Hold(gate.clone()));
    world.clinic.fail_next(1, 503, Some("5")).unwrap();
    let (tell, mut waits) = tokio::sync::mpsc::unbounded_channel();
    let on_event = move |event| {
        if let Event::Waiting { reason, .. } = event {
            let _ = tell.send(reason);
        }
    };
    let budget = Duration::from_mins(1);
    let submitting = app.submit_now(connection, own(), budget, on_event);
    let looking = async {
        gate.reached().await;
        let taken = other.run_due(Duration::ZERO, |_| ()).await.unwrap();
        assert_eq!(wait_reason(&taken), WaitReason::OutOfTime);
        assert_eq!(world.log.of("lock-held").len(), 1, "a request is under way");
        gate.open();
        assert_eq!(waits.recv().await, Some(WaitReason::ReceiverAsked));
        let free = other.run_due(Duration::ZERO, |_| ()).await.unwrap();
        assert_eq!(wait_reason(&free), WaitReason::ReceiverAsked, "it could look");
        assert_eq!(world.log.of("lock-held").len(), 1);
    };
    tokio::select! {
        outcome = submitting => panic!("it waits: {outcome:?}"),
        () = looking => {}
    }
    assert_eq!(world.tape.bundles().len(), 1);
}

/// Connects to a clinic of its own, with a submission that waits.
async fn queue_at(world: &World, app: &Submitter, clinic: &Sandbox) {
    let receiver = Receiver::new(&clinic.base_url(), &clinic.client_id(), REDIRECT).unwrap();
    let request = app.begin_connection(receiver).await.unwrap();
    let connection = app.complete_connection(world.browse(&request.url).await).await.unwrap();
    app.confirm_patient(connection.id).await.unwrap();
    clinic.fail_next(1, 503, Some("5")).unwrap();
    submit(app, connection.id).await;
}

#[tokio::test]
async fn a_connection_that_hangs_costs_the_other_nothing_and_the_run_keeps_its_budget() {
    for hangs_at in ["/oauth/token", "bundle"] {
        let world = World::new().await;
        let app = world.app();
        stock(&app, 30).await;
        let other = Sandbox::builder().auto_approve(AMY).start().await.unwrap();
        for clinic in [&world.clinic, &other] {
            queue_at(&world, &app, clinic).await;
        }
        world.clinic.expire_access_tokens().unwrap();
        world.clock.pass(TimeDelta::seconds(30));
        let base = world.clinic.base_url();
        world.tape.rule(move |sent| {
            let is_meant =
                if hangs_at == "bundle" { sent.is_bundle } else { sent.path == hangs_at };
            if base.starts_with(&sent.origin) && is_meant { Fate::HangUnsent } else { Fate::Pass }
        });
        let budget = Duration::from_secs(4);
        let run = tokio::time::timeout(Duration::from_secs(40), app.run_due(budget, |_| ()));
        let run = run.await.expect("one deadline over everything").unwrap();
        assert_eq!(other.resources(AMY, MASS).unwrap().len(), 30, "{hangs_at}");
        let statuses: Vec<_> = run.connections.iter().map(|run| &run.status).collect();
        assert!(matches!(statuses[0], Ok(OutcomeStatus::Waiting { .. })), "{statuses:?}");
        assert!(matches!(statuses[1], Ok(OutcomeStatus::Done)), "{statuses:?}");
    }
}
