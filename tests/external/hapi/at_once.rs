//! Two phones of one person that send the same at the same time: the server takes one transaction
//! and answers 409 to the other.

use crate::case::{Case, MASS, MAY, request, submit, submit_all};
use crate::facts::ordinary;
use crate::tape::{Fate, Gate};
use cgm_submitter::environment::{BoxFuture, Redirects, Transport, TransportError};
use cgm_submitter::glucose::GlucoseUnit::MgPerDl;
use cgm_submitter::{OutcomeStatus, Submitter};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// More than one, in case the server is so quick that one transaction is over before the other
/// begins.
const ROUNDS: usize = 20;
/// After it no round begins: a slow machine has time for few.
const PATIENCE: Duration = Duration::from_mins(1);

/// Writes down what status each request got.
struct Watched(Arc<dyn Transport>, Arc<Mutex<Vec<u16>>>);

impl Transport for Watched {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>> {
        Box::pin(async move {
            let answer = self.0.send(request).await;
            self.1.lock().unwrap().extend(answer.as_ref().map(|answer| answer.status().as_u16()));
            answer
        })
    }

    fn redirects(&self) -> Redirects {
        Redirects::Refused
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how many rounds there is time for is up to the machine"
)]
#[tokio::test]
#[ignore = "needs a FHIR server: scripts/test fhir-server"]
async fn two_phones_with_overlapping_readings_at_once_leave_each_reading_there_once() {
    let began = Instant::now();
    for _ in 0..ROUNDS {
        if race().await.contains(&409) {
            return;
        }
        if began.elapsed() > PATIENCE {
            break;
        }
    }
    // Whether they meet is up to the machine. That nothing is there twice each round has seen.
    println!("NOTE: the two transactions never met");
}

/// What status each request got.
async fn race() -> Vec<u16> {
    let facts = ordinary(450);
    let case = Case::new().await;
    let (first, to_server) = case.phone("first.db", &facts[..300], MgPerDl).await;
    let (second, from_second) = case.phone("second.db", &facts[150..], MgPerDl).await;
    drop((first, second));
    let statuses = Arc::<Mutex<Vec<u16>>>::default();
    let watched = |database: &str| -> Submitter {
        case.world.app_with(database, |mut environment| {
            environment.transport = Arc::new(Watched(environment.transport, Arc::clone(&statuses)));
            environment
        })
    };
    let (first, second) = (watched("first.db"), watched("second.db"));
    let gate = Gate::new();
    let held = Arc::clone(&gate);
    case.world.tape.rule(move |sent| {
        if sent.is_bundle && sent.resources().len() == 300 {
            Fate::Hold(Arc::clone(&held))
        } else {
            Fate::Pass
        }
    });
    let request = request(MAY, MgPerDl);
    let (one, other) = tokio::join!(submit(&first, to_server, request), async {
        gate.reached().await;
        // The first phone's device is there now, and only the readings race.
        let (other, ()) = tokio::join!(submit(&second, from_second, request), async {
            gate.reached().await;
            gate.open();
        });
        other
    });
    assert!([one.status, other.status].contains(&OutcomeStatus::Done), "one of them gets through");
    let (mut one, mut other) = (one.tally, other.tally);
    one.add(&case.later(&first).await);
    other.add(&case.later(&second).await);
    assert_eq!((one.readings.total(), other.readings.total()), (300, 300));
    assert_eq!(
        one.readings.accepted + other.readings.accepted,
        450,
        "each reading was created once"
    );
    assert_eq!(one.readings.refused + other.readings.refused, 0);

    let record = case.record().await;
    assert_eq!(record.facts(MASS), facts);
    assert_eq!((record.devices.len(), record.summaries.len()), (1, 2));
    for (app, connection) in [(&first, to_server), (&second, from_second)] {
        assert_eq!(submit_all(app, connection, request).await.tally.requests, 0);
    }
    statuses.lock().unwrap().clone()
}
