//! Every call that asks a receiver for something, against one that refuses each token, and against
//! one that never ends its answer.

use crate::tape::Fate;
use crate::world::*;
use cgm_submitter::connect::Revocation;
use cgm_submitter::environment::{BoxFuture, Clock, SystemClock, SystemTimer, Timer};
use cgm_submitter::store::{ConnectionId, ConnectionState, SubmissionId};
use cgm_submitter::{Error, OutcomeStatus, Submitter};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// An app whose readings the clinic has, with leave to look.
async fn sent(world: &World, app: &Submitter) -> (ConnectionId, SubmissionId) {
    stock(app, 20).await;
    let connection = world.connect_with_read_back(app).await;
    let submission = submit_all(app, connection).await.submissions[0];
    world.tape.clear();
    (connection, submission)
}

/// The calls that send a token.
const WITH_TOKEN: [&str; 4] = ["verify", "orders", "patient", "submit"];

async fn call(
    app: &Submitter,
    which: &str,
    (connection, submission): (ConnectionId, SubmissionId),
) -> Result<(), Error> {
    match which {
        "verify" => app.verify(submission, NO_WAIT, |_| ()).await.map(drop),
        "orders" => app.refresh_orders(connection).await.map(drop),
        "patient" => app.fetch_patient(connection).await.map(drop),
        _ => match app.submit_now(connection, own(), NO_WAIT, |_| ()).await?.status {
            OutcomeStatus::Blocked(state) => Err(Error::Blocked(state)),
            status => panic!("{status:?}"),
        },
    }
}

#[tokio::test]
async fn a_second_401_needs_a_new_authorisation_whatever_was_asked() {
    for which in WITH_TOKEN {
        let world = World::new().await;
        let app = world.app();
        let ids = sent(&world, &app).await;
        app.ingest(vec![reading(20)]).await.unwrap();
        let refuses = |path: &str| path.starts_with("/fhir/") && !path.ends_with("/metadata");
        world.tape.rule(move |sent| {
            if refuses(&sent.path) { Fate::Answer(401, String::new()) } else { Fate::Pass }
        });
        let error = call(&app, which, ids).await.unwrap_err();
        assert_eq!(error.code().word(), "needs-reauthorisation", "{which}: {error}");
        let state = app.connections().await.unwrap()[0].state;
        assert_eq!(state, ConnectionState::NeedsReauthorisation, "{which}");
        let refreshes = world.tape.sent_to("/token").len();
        let asked = world.tape.requests_sent().iter().filter(|sent| refuses(&sent.path)).count();
        assert_eq!((refreshes, asked), (1, 2), "{which}: one refresh, one repeat");

        // Whatever is asked next, the receiver is left alone until the person authorised anew.
        world.tape.clear();
        for next in WITH_TOKEN {
            let error = call(&app, next, ids).await.unwrap_err();
            assert_eq!(error.code().word(), "needs-reauthorisation", "{which}, then {next}");
        }
        assert_eq!(world.tape.requests(), 0, "{which}");
        world.tape.no_rule();
        let connection = world.connect_with_read_back(&app).await;
        assert_eq!(connection, ids.0);
        submit_all(&app, connection).await;
    }
}

#[tokio::test]
async fn a_single_401_is_answered_with_a_new_token_and_changes_nothing_else() {
    for which in WITH_TOKEN {
        let world = World::new().await;
        let app = world.app();
        let ids = sent(&world, &app).await;
        app.ingest(vec![reading(20)]).await.unwrap();
        let mut refused = false;
        world.tape.rule(move |sent| {
            let first = sent.token.is_some() && !std::mem::replace(&mut refused, true);
            if first { Fate::Answer(401, String::new()) } else { Fate::Pass }
        });
        if which == "submit" {
            submit_all(&app, ids.0).await;
        } else {
            call(&app, which, ids).await.unwrap();
        }
        assert_eq!(world.tape.sent_to("/token").len(), 1, "{which}");
        assert_eq!(app.connections().await.unwrap()[0].state, ConnectionState::Active, "{which}");
    }
}

/// A clock and a timer on which minutes take a second.
struct Quick(Duration);

/// How many times faster than ours its time passes.
const FASTER: u32 = 50;

impl Clock for Quick {
    fn now(&self) -> DateTime<Utc> {
        "2024-07-01T08:00:00Z".parse().unwrap()
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic().saturating_sub(self.0) * FASTER
    }
}

impl Timer for Quick {
    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        SystemTimer.sleep(wait / FASTER)
    }
}

/// A call against a receiver that takes every request and answers none; how long it took by its own
/// clock, and what came of it.
async fn hanging<T>(
    call: impl AsyncFnOnce(&Submitter, &World, (ConnectionId, SubmissionId)) -> T,
) -> (TimeDelta, T) {
    let world = World::new().await;
    let ids = sent(&world, &world.app()).await;
    let quick = Arc::new(Quick(SystemClock.monotonic()));
    let (clock, timer) = (Arc::clone(&quick), Arc::clone(&quick));
    let app = world.app_with("me.db", |environment| cgm_submitter::environment::Environment {
        clock,
        timer,
        ..environment
    });
    app.connections().await.unwrap();
    let begun = quick.monotonic();
    let done = call(&app, &world, ids).await;
    (TimeDelta::from_std(quick.monotonic().saturating_sub(begun)).unwrap(), done)
}

fn hang(world: &World) {
    world.tape.rule(|_| Fate::HangUnsent);
}

/// That a call was ended at its bound, and by nothing that comes later.
fn assert_ended(took: TimeDelta, bound: i64, error: &Error) {
    assert!(error.retryable(), "{error}");
    assert_bounded(took, bound);
}

fn assert_bounded(took: TimeDelta, bound: i64) {
    assert!(took >= TimeDelta::seconds(bound), "{took}");
    assert!(took < TimeDelta::seconds(bound + 15), "{took}");
}

#[tokio::test]
async fn the_patience_of_a_verification_bounds_all_of_it() {
    let (took, error) = hanging(async |app, world, (_, submission)| {
        hang(world);
        app.verify(submission, Duration::from_secs(3), |_| ()).await.unwrap_err()
    })
    .await;
    assert_ended(took, 3, &error);
}

#[tokio::test]
async fn reading_orders_ends_in_time() {
    let (took, error) = hanging(async |app, world, (connection, _)| {
        hang(world);
        app.refresh_orders(connection).await.unwrap_err()
    })
    .await;
    assert_ended(took, 30, &error);
}

#[tokio::test]
async fn beginning_a_connection_ends_in_time() {
    let (took, error) = hanging(async |app, world, _| {
        hang(world);
        app.begin_connection(world.receiver()).await.unwrap_err()
    })
    .await;
    assert_ended(took, 30, &error);
}

#[tokio::test]
async fn reading_the_patient_ends_in_time() {
    let (took, error) = hanging(async |app, world, (connection, _)| {
        hang(world);
        app.fetch_patient(connection).await.unwrap_err()
    })
    .await;
    assert_ended(took, 30, &error);
}

#[tokio::test]
async fn completing_a_connection_ends_in_time_with_the_connection_if_only_the_patient_hangs() {
    let (took, connection) =
        hanging(async |app, world, _| {
            let request = app.begin_connection(world.receiver()).await.unwrap();
            let back = world.browse(&request.url).await;
            world.tape.rule(|sent| {
                if sent.path.contains("/Patient") { Fate::HangUnsent } else { Fate::Pass }
            });
            app.complete_connection(back).await.unwrap()
        })
        .await;
    assert_bounded(took, 30);
    assert_eq!(connection.state, ConnectionState::Active);
}

#[tokio::test]
async fn a_token_endpoint_that_hangs_ends_the_completion_in_time() {
    let (took, error) = hanging(async |app, world, _| {
        let request = app.begin_connection(world.receiver()).await.unwrap();
        let back = world.browse(&request.url).await;
        hang(world);
        app.complete_connection(back).await.unwrap_err()
    })
    .await;
    assert_bounded(took, 30);
    assert_eq!(error.code().word(), "authorisation-lost", "the code counts once");
}

#[tokio::test]
async fn disconnecting_ends_in_time_and_the_token_is_given_back_later() {
    let (took, (revocation, left)) = hanging(async |app, world, (connection, _)| {
        hang(world);
        let revocation = app.disconnect(connection).await.unwrap();
        (revocation, app.connections().await.unwrap().len())
    })
    .await;
    assert_bounded(took, 10);
    assert_eq!((revocation, left), (Revocation::Pending, 0));
}

#[tokio::test]
async fn a_byte_now_and_then_prolongs_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/fhir", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let head = b"HTTP/1.1 200 x\r\ncontent-length: 100000\r\n\r\n{";
                let mut ok = stream.write_all(head).await.is_ok();
                while ok {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    ok = stream.write_all(b" ").await.is_ok();
                }
            });
        }
    });
    let (took, error) = hanging(async |app, _, _| {
        let receiver = cgm_submitter::Receiver::new(&base, "my-app", REDIRECT).unwrap();
        app.begin_connection(receiver).await.unwrap_err()
    })
    .await;
    assert_ended(took, 30, &error);
}

#[tokio::test]
async fn a_connection_that_ends_while_it_submits_is_said_to_be_disconnected() {
    let world = World::new().await;
    let (app, connection) = world.ready(20).await;
    let gate = crate::tape::Gate::new();
    world.tape.at_bundle(2, Fate::Hold(Arc::clone(&gate)));
    let app = Arc::new(app);
    let submitting = {
        let app = Arc::clone(&app);
        tokio::spawn(async move { app.submit_now(connection, own(), NO_WAIT, |_| ()).await })
    };
    gate.reached().await;
    app.disconnect(connection).await.unwrap();
    gate.open();
    let error = submitting.await.unwrap().unwrap_err();
    assert_eq!(error.code().word(), "disconnected", "{error}");
}

/// A vault that a test locks.
struct Lockable(MemoryVault, Arc<std::sync::atomic::AtomicBool>);

impl Lockable {
    fn open(&self) -> Result<&MemoryVault, cgm_submitter::environment::VaultError> {
        if self.1.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(cgm_submitter::environment::VaultError::Unavailable);
        }
        Ok(&self.0)
    }
}

impl cgm_submitter::environment::Vault for Lockable {
    fn load(
        &self,
        name: &str,
    ) -> Result<Option<secrecy::SecretString>, cgm_submitter::environment::VaultError> {
        self.open()?.load(name)
    }

    fn save(
        &self,
        name: &str,
        value: &secrecy::SecretString,
    ) -> Result<(), cgm_submitter::environment::VaultError> {
        self.open()?.save(name, value)
    }

    fn delete(&self, name: &str) -> Result<(), cgm_submitter::environment::VaultError> {
        self.open()?.delete(name)
    }
}

#[tokio::test]
async fn a_vault_that_locks_on_the_way_leaves_the_account_of_what_was_delivered() {
    use std::sync::atomic::Ordering;
    for due in [false, true] {
        let world = World::new().await;
        let locked = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let vault = Arc::new(Lockable(MemoryVault::default(), Arc::clone(&locked)));
        let app = world.app_with("me.db", |environment| cgm_submitter::environment::Environment {
            vault,
            ..environment
        });
        stock(&app, 20).await;
        let connection = world.connect(&app).await;
        let locks = Arc::clone(&locked);
        world.tape.rule(move |sent| {
            locks.fetch_or(sent.is_bundle, Ordering::Relaxed);
            Fate::Pass
        });
        if due {
            locked.store(true, Ordering::Relaxed);
            let none = app.submit_now(connection, own(), NO_WAIT, |_| ()).await.unwrap_err();
            assert_eq!(none.code().word(), "vault-unavailable", "nothing was delivered");
            locked.store(false, Ordering::Relaxed);
            let report = app.run_due(NO_WAIT, |_| ()).await.unwrap();
            assert_eq!((report.tally.requests, report.tally.entries.accepted), (1, 1));
            assert!(report.next_wake > Some(world.clock.now()), "nobody comes back at once");
        } else {
            let outcome = app.submit_now(connection, own(), NO_WAIT, |_| ()).await.unwrap();
            assert_eq!((outcome.tally.requests, outcome.tally.entries.accepted), (1, 1));
            let OutcomeStatus::Waiting { reason, .. } = outcome.status else { panic!() };
            assert_eq!(reason, cgm_submitter::outcome::WaitReason::VaultLocked);
        }
        world.tape.no_rule();
        locked.store(false, Ordering::Relaxed);
        world.later(&app).await;
        world.assert_complete(20);
    }
}

#[tokio::test]
async fn a_receiver_that_points_elsewhere_for_days_is_asked_again_by_the_scheduler_and_recovers() {
    let world = World::new().await;
    let (app, connection) = world.ready(20).await;
    world.tape.answer_at("submit-cgm-bundle", 302, String::new());
    let waiting = submit(&app, connection).await;
    let OutcomeStatus::Waiting { reason, .. } = waiting.status else { panic!() };
    assert_eq!(reason, cgm_submitter::outcome::WaitReason::Elsewhere);
    let state = async || app.connections().await.unwrap()[0].state;
    let mut wakes = 0;
    while state().await == ConnectionState::Active {
        let woken = app.run_due(NO_WAIT, |_| ()).await.unwrap().next_wake.unwrap();
        world.clock.pass((woken - world.clock.now()).max(TimeDelta::minutes(10)));
        wakes += 1;
        assert!(wakes < 1_000, "it is never reported");
    }
    assert_eq!(state().await, ConnectionState::Misconfigured);
    let report = app.run_due(NO_WAIT, |_| ()).await.unwrap();
    let woken = report.next_wake.expect("it is asked again by itself");
    assert!(woken > world.clock.now());
    let error = app.submit_now(connection, own(), NO_WAIT, |_| ()).await.unwrap_err();
    assert_eq!(error.code().word(), "receiver-configuration", "and says so until then");

    world.tape.no_rule();
    world.clock.pass(woken - world.clock.now());
    app.run_due(NO_WAIT, |_| ()).await.unwrap();
    assert_eq!(state().await, ConnectionState::Active);
    world.assert_complete(20);
}
