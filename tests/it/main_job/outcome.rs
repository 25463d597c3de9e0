//! What a submission says of itself: everything delivered on the way, and nothing complete that is
//! not.

use crate::tape::Fate;
use crate::world::{LEASE, NO_WAIT, SUMMARY, SUMMARY_ENTRIES, World, own, submit};
use cgm_submitter::OutcomeStatus;
use cgm_submitter::SubmissionRequest;
use cgm_submitter::delivery::Event;
use cgm_submitter::glucose::GlucoseUnit;
use cgm_submitter::outcome::Tally;
use std::sync::{Arc, Mutex};

/// What was told of progress: entries with an outcome, and entries in all.
type Heard = Arc<Mutex<Vec<(u64, u64)>>>;

fn listening() -> (Heard, impl Fn(Event) + Send + Sync + 'static) {
    let heard = Heard::default();
    let told = Arc::clone(&heard);
    let on_event = move |event| {
        if let Event::Progress { tally, total, .. } = event {
            told.lock().unwrap().push((tally.entries.total(), total));
        }
    };
    (heard, on_event)
}

#[tokio::test]
async fn resumed_after_a_kill_it_counts_all_that_was_delivered_and_progress_ends_at_its_total() {
    const MANY: usize = 1_100;
    let world = World::new().await;
    let (app, connection) = world.ready(MANY).await;
    let hung = world.tape.hung();
    world.tape.at_bundle(4, Fate::HangAnswered);
    tokio::select! {
        outcome = submit(&app, connection) => panic!("{outcome:?}"),
        hung = hung.acquire() => hung.unwrap().forget(),
    }
    drop(app);
    world.tape.no_rule();
    world.clock.pass(LEASE);
    let app = world.app();
    let (heard, on_event) = listening();
    let outcome = app.submit_now(connection, own(), NO_WAIT, on_event).await.unwrap();
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!(outcome.tally.entries.total(), 1 + SUMMARY_ENTRIES + MANY as u64);
    let heard = heard.lock().unwrap();
    assert!(heard.iter().all(|(done, total)| done <= total), "{heard:?}");
    assert!(heard.last().is_some_and(|(done, total)| done == total), "{heard:?}");
}

#[tokio::test]
async fn it_is_not_complete_while_a_refusal_over_its_dates_stands() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    world.clinic.set_refusal(SUMMARY, Some(422)).unwrap();
    submit(&app, connection).await;
    let again = submit(&app, connection).await;
    assert_eq!((again.status, again.tally.requests), (OutcomeStatus::Done, 0));
    assert_eq!((again.standing.refused, again.is_complete()), (SUMMARY_ENTRIES, false));
    world.clinic.set_refusal(SUMMARY, None).unwrap();
    app.retry_refused(connection).await.unwrap();
    assert!(submit(&app, connection).await.is_complete());
}

/// The first day of what [`own`] asks for.
fn first_day() -> SubmissionRequest {
    SubmissionRequest::Own {
        dates: "2024-05-01..2024-05-01".parse().unwrap(),
        unit: GlucoseUnit::MgPerDl,
    }
}

#[tokio::test]
async fn progress_counts_what_overlapping_submissions_share_once_and_ends_at_its_total() {
    const MANY: usize = 1_100;
    let world = World::new().await;
    let (app, connection) = world.ready(MANY).await;
    world.clinic.fail_next(1, 503, Some("5")).unwrap();
    app.submit_now(connection, first_day(), NO_WAIT, |_| ()).await.unwrap();
    world.clock.pass(chrono::TimeDelta::seconds(30));
    let (heard, on_event) = listening();
    let outcome = app.submit_now(connection, own(), NO_WAIT, on_event).await.unwrap();
    assert!(outcome.is_complete(), "{outcome:?}");
    let all = 1 + 2 * SUMMARY_ENTRIES + MANY as u64;
    assert_eq!(outcome.tally.entries.total(), all, "of both submissions");
    let heard = heard.lock().unwrap();
    assert!(heard.iter().all(|(_, total)| *total == all), "{all} in {heard:?}");
    assert_eq!(heard.last(), Some(&(all, all)));
}

#[tokio::test]
async fn progress_ends_at_its_total_if_a_part_was_stopped() {
    let world = World::new().await;
    let (app, connection) = world.ready(30).await;
    world.clinic.set_refusal(SUMMARY, Some(403)).unwrap();
    let (heard, on_event) = listening();
    let outcome = app.submit_now(connection, own(), NO_WAIT, on_event).await.unwrap();
    assert!(!outcome.stopped.is_empty(), "{outcome:?}");
    assert_ne!(outcome.tally, Tally::default());
    let done = outcome.tally.entries.total();
    assert_eq!(heard.lock().unwrap().last(), Some(&(done, done)));
}
