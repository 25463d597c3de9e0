//! After `disconnect`: what could not be given back then is given back by later runs.

use crate::tape::Fate;
use crate::world::{AMY, NO_WAIT, REDIRECT, World, reading, stock, submit};
use cgm_submitter::environment::Clock;
use cgm_submitter::receiver::Revocation;
use cgm_submitter::store::ConnectionId;
use cgm_submitter::{Receiver, Submitter};
use chrono::TimeDelta;
use std::time::Duration;

const REVOKE: &str = "/oauth/revoke";

fn tokens_kept(world: &World) -> usize {
    world.vault_texts().iter().filter(|text| text.contains("access")).count()
}

/// Disconnects while the revocation endpoint is down.
async fn disconnected(world: &World, app: &Submitter) -> ConnectionId {
    let connection = world.connect(app).await;
    world.tape.answer_at(REVOKE, 503, String::new());
    assert_eq!(app.disconnect(connection).await.unwrap(), Revocation::Pending);
    world.tape.clear();
    connection
}

#[tokio::test]
async fn a_token_that_could_not_be_given_back_is_given_back_by_a_later_run() {
    let world = World::new().await;
    disconnected(&world, &world.app()).await;
    assert_eq!(tokens_kept(&world), 1);
    // Each run is a process of its own.
    let run = world.app().run_due(NO_WAIT, |_| ()).await.unwrap();
    let next = run.next_wake.unwrap();
    assert!(next > world.clock.now(), "nobody comes back at once");
    assert_eq!((run.revocations_left, world.tape.sent_to(REVOKE).len()), (1, 0), "too early");

    world.clock.pass(next - world.clock.now());
    let run = world.app().run_due(NO_WAIT, |_| ()).await.unwrap();
    assert_eq!((run.revocations_left, world.tape.sent_to(REVOKE).len()), (1, 1), "still down");
    assert!(run.next_wake > Some(next));

    world.tape.no_rule();
    world.clock.pass(run.next_wake.unwrap() - world.clock.now());
    let run = world.app().run_due(NO_WAIT, |_| ()).await.unwrap();
    assert_eq!((run.revocations_left, run.next_wake), (0, None));
    assert_eq!((tokens_kept(&world), world.tape.sent_to(REVOKE).len()), (0, 2));
    world.app().run_due(NO_WAIT, |_| ()).await.unwrap();
    assert_eq!(world.tape.sent_to(REVOKE).len(), 2, "done is done");
}

#[tokio::test]
async fn a_kill_in_the_middle_of_giving_a_token_back_is_harmless() {
    for fate in [Fate::HangUnsent, Fate::HangAnswered] {
        let world = World::new().await;
        disconnected(&world, &world.app()).await;
        world.clock.pass(TimeDelta::minutes(10));
        let killed = world.app();
        let hung = world.tape.hung();
        world.tape.rule(
            move |sent| {
                if sent.path.ends_with(REVOKE) { fate.clone() } else { Fate::Pass }
            },
        );
        let running = tokio::spawn(async move { killed.run_due(NO_WAIT, |_| ()).await.map(drop) });
        hung.acquire().await.unwrap().forget();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        assert_eq!(tokens_kept(&world), 1, "it is not known to be given back");

        world.tape.no_rule();
        let run = world.app().run_due(NO_WAIT, |_| ()).await.unwrap();
        assert_eq!((run.revocations_left, run.next_wake, tokens_kept(&world)), (0, None, 0));
    }
}

#[tokio::test]
async fn giving_a_token_back_that_hangs_or_fails_harms_no_delivery() {
    for fate in [Fate::HangUnsent, Fate::Answer(500, String::new())] {
        let world = World::new().await;
        let app = world.app();
        stock(&app, 30).await;
        disconnected(&world, &app).await;
        let other = sandbox_ehr::Sandbox::builder().auto_approve(AMY).start().await.unwrap();
        let receiver = Receiver::new(&other.base_url(), &other.client_id(), REDIRECT).unwrap();
        let request = app.begin_connection(receiver).await.unwrap();
        let connected = app.complete_connection(world.browse(&request.url).await).await.unwrap();
        app.confirm_patient(connected.id).await.unwrap();
        other.fail_next(1, 503, Some("5")).unwrap();
        submit(&app, connected.id).await;
        app.ingest(vec![reading(40)]).await.unwrap();

        world.clock.pass(TimeDelta::minutes(10));
        world.tape.rule(
            move |sent| {
                if sent.path.ends_with(REVOKE) { fate.clone() } else { Fate::Pass }
            },
        );
        let budget = Duration::from_secs(2);
        let run = tokio::time::timeout(Duration::from_secs(20), app.run_due(budget, |_| ()));
        let run = run.await.expect("the budget is kept").unwrap();
        assert_eq!(other.resources(AMY, "99504-3").unwrap().len(), 31, "delivered");
        assert_eq!(run.revocations_left, 1);
        assert!(run.next_wake > Some(world.clock.now()));
        assert!(run.into_first_error().is_none(), "no connection of the person's has failed");
    }
}
