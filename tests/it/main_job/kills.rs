//! Killed anywhere: nothing lost, nothing doubled, and what may have been sent goes again in the
//! same bytes.

use crate::tape::Fate;
use crate::world::{LEASE, NO_WAIT, SUMMARY_ENTRIES, World, own, submit, submit_all};
use cgm_submitter::OutcomeStatus;
use cgm_submitter::environment::{
    Clock, Entropy, EnvironmentError, SystemEntropy, Vault, VaultError,
};
use cgm_submitter::submission::Tally;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

const READINGS: usize = 30;

/// Stops whoever calls it for the nth time, until the test has dropped the work.
struct Trip {
    left: AtomicI64,
    tripped: Semaphore,
    released: (Mutex<bool>, Condvar),
}

impl Trip {
    fn at(call: i64) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicI64::new(call),
            tripped: Semaphore::new(0),
            released: Default::default(),
        })
    }

    fn call(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.tripped.add_permits(1);
            let released = self.released.0.lock().unwrap();
            drop(
                self.released
                    .1
                    .wait_timeout_while(released, Duration::from_secs(10), |released| !*released)
                    .unwrap(),
            );
        }
    }

    fn release(&self) {
        *self.released.0.lock().unwrap() = true;
        self.released.1.notify_all();
    }
}

/// A part of the environment that counts its calls.
struct Counted<T: ?Sized>(Arc<Trip>, Arc<T>);

impl<T: Clock + ?Sized> Clock for Counted<T> {
    fn now(&self) -> DateTime<Utc> {
        self.0.call();
        self.1.now()
    }

    fn monotonic(&self) -> Duration {
        self.1.monotonic()
    }
}

impl Entropy for Counted<SystemEntropy> {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EnvironmentError> {
        self.0.call();
        self.1.fill(bytes)
    }
}

impl Vault for Counted<dyn Vault> {
    fn load(&self, name: &str) -> Result<Option<SecretString>, VaultError> {
        self.0.call();
        self.1.load(name)
    }

    fn save(&self, name: &str, value: &SecretString) -> Result<(), VaultError> {
        self.0.call();
        self.1.save(name, value)
    }

    fn delete(&self, name: &str) -> Result<(), VaultError> {
        self.0.call();
        self.1.delete(name)
    }
}

#[tokio::test]
async fn killed_at_every_call_to_the_outside_a_submission_is_finished_by_the_next_process() {
    for call in 1.. {
        assert!(call < 200, "a submission of {READINGS} readings ends");
        let world = World::new().await;
        let (app, connection) = world.ready(READINGS).await;
        drop(app);
        let trip = Trip::at(call);
        let counted = Arc::clone(&trip);
        let app = world.app_with("me.db", |mut environment| {
            environment.clock = Arc::new(Counted(Arc::clone(&counted), environment.clock));
            environment.entropy = Arc::new(Counted(Arc::clone(&counted), Arc::new(SystemEntropy)));
            environment.vault = Arc::new(Counted(counted, environment.vault));
            environment
        });
        let events = Arc::clone(&trip);
        let killed = tokio::select! {
            outcome = app.submit_now(connection, own(), NO_WAIT, move |_| events.call()) => {
                assert!(outcome.unwrap().is_complete());
                false
            }
            permit = trip.tripped.acquire() => {
                permit.unwrap().forget();
                true
            }
        };
        trip.release();
        drop(app);
        if !killed {
            assert!(call > 20, "the outside is called often: only {call} calls were seen");
            world.assert_complete(READINGS);
            return;
        }
        let app = world.app();
        world.later(&app).await;
        submit_all(&app, connection).await;
        world.assert_complete(READINGS);
        world.tape.assert_only_same_bytes_again();
        assert_eq!(world.clinic.peak_concurrent_submissions(), 1, "call {call}");
    }
}

#[tokio::test]
async fn killed_between_send_and_answer_the_next_process_sends_the_same_bytes_and_goes_on() {
    const MANY: usize = 1_100;
    // The device, the summary, three batches of readings.
    for bundle in 1..=5 {
        for fate in [Fate::HangUnsent, Fate::HangAnswered] {
            let world = World::new().await;
            let (app, connection) = world.ready(MANY).await;
            let hung = world.tape.hung();
            world.tape.at_bundle(bundle, fate);
            tokio::select! {
                outcome = app.submit_now(connection, own(), NO_WAIT, |_| ()) => {
                    panic!("{outcome:?}")
                }
                hung = hung.acquire() => hung.unwrap().forget(),
            }
            drop(app);
            world.tape.no_rule();
            let app = world.app();
            assert_eq!(world.tape.bundles().len(), bundle);
            let tally = app.run_due(NO_WAIT, |_| ()).await.unwrap().tally;
            assert_eq!(
                tally,
                Tally::default(),
                "the killed process's request may still be under way"
            );
            world.clock.pass(LEASE);
            app.run_due(NO_WAIT, |_| ()).await.unwrap();
            let sent = world.tape.bundles();
            assert_eq!(sent.len(), 6, "five bundles, one of them twice");
            assert!(sent[bundle - 1].body == sent[bundle].body, "bundle {bundle}: the same bytes");
            world.tape.assert_only_same_bytes_again();
            world.assert_complete(MANY);
            assert_eq!(submit_all(&app, connection).await.tally.requests, 0, "nothing is left");
        }
    }
}

#[tokio::test]
async fn dropped_after_any_number_of_milliseconds_again_and_again_it_is_done_in_the_end() {
    let world = World::new().await;
    let (mut app, connection) = world.ready(READINGS).await;
    world.clinic.set_submission_delay(Duration::from_millis(15));
    let mut done = false;
    for patience in 1..60 {
        let submission = app.submit_now(connection, own(), NO_WAIT, |_| ());
        let ended = tokio::time::timeout(Duration::from_millis(patience), submission).await;
        done = ended.is_ok_and(|outcome| outcome.unwrap().status == OutcomeStatus::Done);
        if done {
            break;
        }
        if patience % 2 == 0 {
            drop(app);
            app = world.app();
        }
        world.clock.pass(LEASE);
    }
    if !done {
        // The lease doubles with each unknown outcome.
        world.clock.pass(TimeDelta::minutes(25));
        // A receiver found to be slow needs more time than a request takes here.
        let enough = Duration::from_mins(2);
        let outcome = app.submit_now(connection, own(), enough, |_| ()).await.unwrap();
        assert!(outcome.is_complete(), "{:?}", outcome.status);
    }
    // After several unknown outcomes in a row smaller batches go, under the same identifiers.
    world.assert_complete(READINGS);
}

#[tokio::test]
async fn a_connection_cut_after_the_clinic_stored_a_batch_makes_the_same_bytes_go_again() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    world.clinic.drop_response_next();
    let outcome = submit(&app, connection).await;
    assert!(matches!(outcome.status, OutcomeStatus::Waiting { .. }), "{:?}", outcome.status);
    assert_eq!(
        (outcome.tally.requests, outcome.tally.entries.total()),
        (1, 0),
        "nothing is known of it"
    );
    assert_eq!(world.holds("Device").len(), 1, "yet the clinic has it");

    world.clock.pass(LEASE);
    let entries = app.run_due(NO_WAIT, |_| ()).await.unwrap().tally.entries;
    assert_eq!((entries.already_there, entries.accepted), (1, SUMMARY_ENTRIES + READINGS as u64));
    let sent = world.tape.bundles();
    assert!(sent[0].body == sent[1].body, "the same bytes");
    world.tape.assert_only_same_bytes_again();
    world.assert_complete(READINGS);
}

#[tokio::test]
async fn with_every_answer_lost_once_each_entry_counts_once_as_there_already() {
    let world = World::new().await;
    let (app, connection) = world.ready(READINGS).await;
    let mut seen = HashSet::new();
    world.tape.rule(
        move |sent| if seen.insert(sent.body.clone()) { Fate::LoseAnswer } else { Fate::Pass },
    );
    let mut tally = submit(&app, connection).await.tally;
    while !app
        .preview(connection, own())
        .await
        .unwrap()
        .parts
        .iter()
        .all(|part| part.entries_to_send == 0)
    {
        world.clock.pass(LEASE);
        tally.add(&app.run_due(NO_WAIT, |_| ()).await.unwrap().tally);
        assert!(tally.requests < 20, "it comes to an end");
    }
    let all = 1 + SUMMARY_ENTRIES + READINGS as u64;
    assert_eq!((tally.entries.already_there, tally.entries.total()), (all, all));
    assert_eq!(tally.readings.total(), READINGS as u64);
    assert_eq!(tally.requests, 6);
    for twice in world.tape.bundles().chunks(2) {
        assert!(twice[0].body == twice[1].body, "the same bytes");
    }
    world.tape.assert_only_same_bytes_again();
    world.assert_complete(READINGS);
}
