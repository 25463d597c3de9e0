//! An app that lets go of its `Submitter` in the middle of a refresh.

use crate::connect::world::*;
use cgm_submitter::store::ConnectionState;
use cgm_submitter::{Config, Submitter};
use chrono::TimeDelta;
use std::time::Duration;

fn app_of(world: &World) -> Submitter {
    let config = Config::new(world.folder.path().join("me.db"));
    Submitter::new(config, world.environment())
}

#[tokio::test]
async fn dropped_in_the_middle_of_a_refresh_it_is_still_logged_in() {
    let world = World::new();
    let app = app_of(&world);
    let request = app.begin_connection(receiver()).await.unwrap();
    let id = app.complete_connection(world.server.browser(&request)).await.unwrap().id;
    app.confirm_patient(id).await.unwrap();
    for round in 1..=2 {
        world.pass(TimeDelta::hours(2));
        // The server rotates the token at once; its answer takes its time.
        world.server.with(|state| state.slow = Some(("/token", Duration::from_millis(400))));
        let app = app_of(&world);
        let asked = tokio::time::timeout(Duration::from_millis(200), app.refresh_orders(id)).await;
        assert!(asked.is_err(), "the refresh is under way");
        assert_eq!(world.refreshes().len(), round);
        drop(app);

        world.server.with(|state| state.slow = None);
        let app = app_of(&world);
        // The server knows no orders; that it is asked shows that there is a token.
        assert!(app.refresh_orders(id).await.is_err());
        assert_eq!(world.refreshes().len(), round, "no refresh was repeated");
        let connection = &app.connections().await.unwrap()[0];
        assert_eq!(connection.state, ConnectionState::Active);
        assert_eq!(world.server.seen("/ServiceRequest").len(), round);
    }
}
