//! From the first call to the last: pausing, closing and erasing while work is under way, and what
//! a host's callbacks may do.

use crate::world::{NO_WAIT, World, own, sensor, stock, submit_all};
use cgm_submitter::Error;
use cgm_submitter::delivery::Event;
use cgm_submitter::environment::{Environment, EnvironmentError, LocalTime};
use cgm_submitter::glucose::{UtcOffset, ZoneOffsets};
use chrono::{DateTime, Utc};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// More than a pause may take.
const LONG: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_calls_at_once_share_one_runtime() {
    let world = World::new().await;
    for n in 0..60 {
        let app = Arc::new(world.app_on(&format!("{n}.db")));
        let calls: Vec<_> = (0..4)
            .map(|_| {
                let app = Arc::clone(&app);
                tokio::spawn(async move { app.connections().await })
            })
            .collect();
        for call in calls {
            assert!(call.await.expect("no panic").unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_pause_stops_a_submission_and_a_resumed_one_goes_on() {
    let world = World::new().await;
    let (app, connection) = world.ready(1_600).await;
    world.clinic.set_submission_delay(Duration::from_millis(200));
    let app = Arc::new(app);
    let (sent, first) = mpsc::channel();
    let submitting = {
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            let tell = move |event| {
                if matches!(event, Event::Sending { .. }) {
                    let _ = sent.send(());
                }
            };
            app.submit_now(connection, own(), LONG, tell).await
        })
    };
    tokio::task::spawn_blocking(move || first.recv_timeout(LONG)).await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(1), app.pause()).await.expect("a second").unwrap();
    assert!(matches!(submitting.await.unwrap(), Err(Error::Stopped)));
    assert!(matches!(app.connections().await, Err(Error::Paused)));
    let requests = world.tape.bundles().len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.tape.bundles().len(), requests, "nothing is sent in a pause");

    app.resume().unwrap();
    assert_eq!(app.connections().await.unwrap().len(), 1);
    world.clinic.set_submission_delay(Duration::ZERO);
    world.later(&app).await;
    submit_all(&app, connection).await;
    world.assert_complete(1_600);
}

#[tokio::test]
async fn a_closed_submitter_takes_no_call_and_a_new_one_goes_on() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    app.close().await.unwrap();
    assert!(matches!(app.dates().await, Err(Error::Closed)));
    assert!(matches!(app.resume(), Err(Error::Closed)));
    assert!(matches!(app.pause().await, Err(Error::Closed)));
    assert!(!world.database("me.db-wal").exists(), "closing empties the log");
    submit_all(&world.app(), connection).await;
    world.assert_complete(30);
}

#[tokio::test]
async fn erasing_leaves_nothing_on_the_device_and_the_object_as_new() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    let pending = app.begin_connection(world.receiver()).await.unwrap();
    submit_all(&app, connection).await;
    assert!(!world.vault_texts().is_empty());
    app.erase().await.unwrap();
    assert_eq!(world.vault_texts(), [""; 0]);
    for left in ["me.db", "me.db-wal", "me.db-shm", "me.db-locks"] {
        assert!(!world.database(left).exists(), "{left}");
    }
    assert!(app.connections().await.unwrap().is_empty());
    let redirect = world.browse(&pending.url).await;
    assert!(app.complete_connection(redirect).await.is_err(), "what was begun is forgotten");
    stock(&app, 30).await;
    let again = world.connect(&app).await;
    let outcome = submit_all(&app, again).await;
    assert_eq!(outcome.tally.readings.accepted, 0, "the clinic has them all");
    world.assert_readings(30);
}

#[tokio::test]
async fn a_damaged_or_newer_database_is_erased_and_another_programs_is_not() {
    for (from, bytes, is_ours) in [
        (60, &[0, 0, 0, 99][..], true),
        (0, &[0; 100], true),
        (100, &[0xa5; 3_996], true),
        (68, &[1, 2, 3, 4], false),
    ] {
        let world = World::new().await;
        let (app, _) = world.ready(30).await;
        app.close().await.unwrap();
        let mut content = std::fs::read(world.database("me.db")).unwrap();
        content[from..from + bytes.len()].copy_from_slice(bytes);
        std::fs::write(world.database("me.db"), &content).unwrap();
        let app = world.app();
        assert!(app.connections().await.is_err(), "{from}");
        assert_eq!(app.erase().await.is_ok(), is_ours, "{from}");
        assert_eq!(world.database("me.db").exists(), !is_ours, "{from}");
        assert_eq!(app.connections().await.is_ok(), is_ours, "as new: {from}");
    }
}

#[tokio::test]
async fn an_observer_that_never_returns_holds_up_no_delivery() {
    let world = World::new().await;
    let (app, connection) = world.ready(600).await;
    let (_never, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let stuck = move |_| {
        let _ = told.lock().unwrap().recv_timeout(LONG);
    };
    let outcome = app.submit_now(connection, own(), NO_WAIT, stuck);
    let outcome = tokio::time::timeout(LONG / 2, outcome).await.expect("not held up").unwrap();
    assert!(outcome.is_complete());
    world.assert_complete(600);
}

#[tokio::test]
async fn an_observer_hears_all_in_order_before_the_call_ends() {
    let world = World::new().await;
    let (app, connection) = world.ready(1_100).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (listening, caller) = (Arc::clone(&heard), std::thread::current().id());
    let tell = move |event| {
        assert_ne!(std::thread::current().id(), caller, "not on the caller's thread");
        std::thread::sleep(Duration::from_millis(5));
        if let Event::Progress { tally, .. } = event {
            listening.lock().unwrap().push(tally.entries.total());
        }
    };
    let outcome = app.submit_now(connection, own(), NO_WAIT, tell).await.unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.is_sorted(), "{heard:?}");
    assert_eq!(heard.last(), Some(&outcome.tally.entries.total()));
}

/// A time zone that blocks the thread it is asked on.
struct Asked(AtomicUsize);

impl LocalTime for Asked {
    fn offsets(&self, _: DateTime<Utc>, _: DateTime<Utc>) -> Result<ZoneOffsets, EnvironmentError> {
        // On a worker of the SDK's own this panics.
        tokio::runtime::Handle::current().block_on(std::future::ready(()));
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(ZoneOffsets::fixed(UtcOffset::UTC))
    }
}

#[tokio::test]
async fn the_time_zone_is_asked_where_it_may_take_its_time() {
    let world = World::new().await;
    let asked = Arc::new(Asked(AtomicUsize::new(0)));
    let zone = Arc::clone(&asked);
    let app =
        world.app_with("me.db", |environment| Environment { local_time: zone, ..environment });
    app.register_sensor(sensor("demo:a")).await.unwrap();
    assert_eq!(app.ingest(Vec::new()).await.unwrap().stored, 0);
    assert_eq!(app.dates().await.unwrap(), None);
    assert!(asked.0.load(Ordering::SeqCst) > 0);
}
