//! Two processes of one app over one database: one request at a time, and nothing twice.

use crate::world::{AMY, MASS, NO_WAIT, World, own, reading, sensor, stock};
use cgm_submitter::OutcomeStatus;
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
