//! Submitting: what is to be sent is asked for, delivered until a deadline, and told.

use super::types::{ConnectionRun, OutcomeStatus, RunReport, SubmissionOutcome, UnknownItem};
use super::{Inner, Parts, Submitter, content};
use crate::delivery::{Event, Interrupted, OnEvent, Run, Stopped, speaks_known_guide};
use crate::environment::Deadline;
use crate::error::Error;
use crate::sorting::sort_by_key;
use crate::store::{ConnectionId, ConnectionState, Store, SubmissionId};
use crate::submission::{Origin, SubmissionRequest, Tally};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// When what failed for now and names no time is tried again.
const SOON: TimeDelta = TimeDelta::minutes(1);

impl Submitter {
    /// Submits now, and tells what happens on the way. What the receiver has already is not sent
    /// again. What an earlier, interrupted submission left goes first. The same request while it is
    /// under way is the same submission.
    ///
    /// All of it takes at most `budget`: the wait for another delivery of the connection, a new
    /// token, every request, and the waits the receiver asks for. What is left then goes on with
    /// [`Submitter::run_due`]; the outcome says when, and why not at once.
    ///
    /// A refusal of single entries is not an error: it is in the outcome.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # clinic.stock(&cgm).await;
    /// # let connection = clinic.connect(&cgm).await;
    /// use cgm_submitter::{GlucoseUnit, SubmissionRequest};
    /// use std::time::Duration;
    ///
    /// let request = SubmissionRequest::Own {
    ///     dates: "2024-05-01..2024-05-01".parse()?,
    ///     unit: GlucoseUnit::MmolPerL,
    /// };
    /// let budget = Duration::from_secs(60);
    /// let show = |event| println!("{event:?}");
    /// let outcome = cgm.submit_now(connection.id, request, budget, show).await?;
    /// assert!(outcome.is_complete());
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the connection needs the person, or the database or the vault fails.
    pub async fn submit_now(
        &self,
        connection: ConnectionId,
        request: SubmissionRequest,
        budget: Duration,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<SubmissionOutcome, Error> {
        self.run_telling("submit-now", on_event, move |inner, hear| async move {
            let deadline = inner.deadline(budget);
            let (zone, now) = (inner.zone().await?, inner.now());
            let parts = inner.parts().await?;
            let (submissions, left_out) = parts
                .store
                .call(move |store| {
                    let record = store.connection(connection)?;
                    if !record.may_send(now) {
                        return Err(Error::Blocked(record.state));
                    }
                    speaks_known_guide(&record)?;
                    let origin = match request {
                        SubmissionRequest::Own { .. } => Origin::Person,
                        SubmissionRequest::Ordered => Origin::Order,
                    };
                    let planned = content::planned(store, &record, request, &zone, now)?;
                    let mut ids: Vec<SubmissionId> = Vec::with_capacity(planned.plans.len());
                    for plan in &planned.plans {
                        ids.push(store.open_submission(connection, origin, plan, now)?);
                    }
                    ids.dedup();
                    Ok((ids, planned.left_out))
                })
                .await?;
            inner.environment.log.info(
                "planned",
                &[
                    ("connection", connection.into()),
                    ("submissions", submissions.len().into()),
                    ("left-out", left_out.len().into()),
                ],
            );
            let run = if submissions.is_empty() {
                Run {
                    stopped: Stopped::Finished,
                    tally: Tally::default(),
                    others: Tally::default(),
                }
            } else {
                let run = parts.delivery.run(connection, &submissions, deadline, &*hear).await;
                run.map_err(|interrupted| interrupted.error)?
            };
            parts
                .store
                .read(move |store| content::outcome(store, connection, submissions, left_out, run))
                .await
        })
        .await
    }

    /// Goes on with whatever is queued for any connection, for at most `budget` in all. For
    /// background wake-ups and after a restart. Connections are served side by side: one that hangs
    /// costs the others nothing. Beside them, the tokens of ended connections are given back that
    /// could not be before.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # clinic.connect(&cgm).await;
    /// use std::time::Duration;
    ///
    /// let report = cgm.run_due(Duration::from_secs(25), |_| ()).await?;
    /// println!("{} accepted", report.tally.entries.accepted);
    /// println!("run again at {:?}", report.next_wake);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the database cannot be opened or read. What fails for one connection is in its
    /// part of the report.
    pub async fn run_due(
        &self,
        budget: Duration,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<RunReport, Error> {
        self.run_telling("run-due", on_event, move |inner, hear| async move {
            let deadline = inner.deadline(budget);
            let parts = inner.parts().await?;
            let connections = parts.store.read(Store::connections).await?;
            let hear: Arc<OnEvent> = Arc::from(hear);
            let mut running = JoinSet::new();
            for connection in connections {
                if connection.state == ConnectionState::Active || connection.is_tried_again() {
                    let (parts, on_event) = (parts.clone(), Arc::clone(&hear));
                    running.spawn(run_one(parts, connection.id, deadline, on_event));
                }
            }
            let served = async {
                let mut report = RunReport::default();
                while let Some(run) = running.join_next().await {
                    let run = run.map_err(|_| Error::Internal)?;
                    report.tally.add(&run.tally);
                    report.connections.push(run);
                }
                Ok::<_, Error>(report)
            };
            let revoking = parts.connector.revoke_pending(deadline);
            let (served, revoked) = tokio::join!(served, revoking);
            let mut report = served?;
            sort_by_key(&mut report.connections, |run| run.connection);
            inner.log_failures(&report.connections);
            let soon = inner.now() + SOON;
            let revocations = match revoked {
                Ok(left) => {
                    report.revocations_left = left.count;
                    left.next
                }
                // What was delivered stays so.
                Err(error) => {
                    let code = Error::from(error).code().word();
                    inner.environment.log.warn("revocations-failed", &[("code", code.into())]);
                    Some(soon)
                }
            };
            let tried_again = inner.tried_again(&parts).await?;
            let runs = report.connections.iter().filter_map(|run| run.goes_on(soon));
            report.next_wake = runs.chain(revocations).chain(tried_again).min();
            Ok(report)
        })
        .await
    }

    /// Stops a submission for good: nothing of it is sent any more. What the receiver has of it
    /// stays there.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # clinic.stock(&cgm).await;
    /// # let connection = clinic.connect(&cgm).await;
    /// # let request = cgm_submitter::SubmissionRequest::Own {
    /// #     dates: "2024-05-01..2024-05-01".parse()?,
    /// #     unit: cgm_submitter::GlucoseUnit::MmolPerL,
    /// # };
    /// # let patience = std::time::Duration::ZERO;
    /// # let outcome = cgm.submit_now(connection.id, request, patience, |_| ()).await?;
    /// for submission in outcome.submissions {
    ///     cgm.cancel(submission).await?;
    /// }
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if there is no such submission, or the database fails.
    pub async fn cancel(&self, submission: SubmissionId) -> Result<(), Error> {
        self.run("cancel", |inner| async move {
            let parts = inner.parts().await?;
            Ok(parts.store.call(move |store| store.cancel_submission(submission)).await?)
        })
        .await
    }

    /// What was sent, and nobody can tell whether the receiver has it. It is not sent again by
    /// itself: a receiver that does not look before it creates might then have it twice. Ask the
    /// clinic, then [retry](Submitter::retry_unknown) or [dismiss](Submitter::dismiss_unknown).
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # let connection = clinic.connect(&cgm).await;
    /// for item in cgm.unknown_outcomes(connection.id).await? {
    ///     println!("{:?}: nobody knows whether the clinic has it", item.kind);
    /// }
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if there is no such connection, or the database fails.
    pub async fn unknown_outcomes(
        &self,
        connection: ConnectionId,
    ) -> Result<Vec<UnknownItem>, Error> {
        self.run("unknown-outcomes", |inner| async move {
            let parts = inner.parts().await?;
            let rest = move |store: &Store| {
                store.connection(connection)?;
                store.unknown_outcomes(connection)
            };
            let unknown = parts.store.read(rest).await?;
            let item = |one: crate::store::UnknownOutcome| UnknownItem {
                kind: one.kind,
                time: one.key.and_then(|key| DateTime::from_timestamp(key.seconds(), 0)),
            };
            Ok(unknown.into_iter().map(item).collect())
        })
        .await
    }

    /// Lets what was sent with unknown outcome be sent again with the next submission; returns how
    /// much that is. If the receiver has it after all, it may then have it twice.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # let connection = clinic.connect(&cgm).await;
    /// println!("{} go again", cgm.retry_unknown(connection.id).await?);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if there is no such connection, or the database fails.
    pub async fn retry_unknown(&self, connection: ConnectionId) -> Result<usize, Error> {
        self.run("retry-unknown", |inner| async move {
            let parts = inner.parts().await?;
            let retry = move |store: &mut Store| {
                store.connection(connection)?;
                store.retry_unknown(connection)
            };
            Ok(parts.store.call(retry).await?)
        })
        .await
    }

    /// Stops showing what was sent with unknown outcome, and does not send it again; returns how
    /// much that is.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # let connection = clinic.connect(&cgm).await;
    /// println!("{} are left as they are", cgm.dismiss_unknown(connection.id).await?);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if there is no such connection, or the database fails.
    pub async fn dismiss_unknown(&self, connection: ConnectionId) -> Result<usize, Error> {
        self.run("dismiss-unknown", |inner| async move {
            let parts = inner.parts().await?;
            let dismiss = move |store: &mut Store| {
                store.connection(connection)?;
                store.dismiss_unknown(connection)
            };
            Ok(parts.store.call(dismiss).await?)
        })
        .await
    }
}

async fn run_one(
    parts: Parts,
    connection: ConnectionId,
    deadline: Deadline,
    on_event: Arc<OnEvent>,
) -> ConnectionRun {
    let run = parts.delivery.run(connection, &[], deadline, on_event.as_ref()).await;
    let (tally, status) = match run {
        Ok(run) => (run.tally, Ok(OutcomeStatus::of(run.stopped))),
        Err(Interrupted { error, tally }) => (tally, Err(error)),
    };
    ConnectionRun { connection, tally, status }
}

impl Inner {
    /// When the first receiver that points elsewhere is asked again.
    async fn tried_again(&self, parts: &Parts) -> Result<Option<DateTime<Utc>>, Error> {
        let (connections, now) = (parts.store.read(Store::connections).await?, self.now());
        let again = connections.iter().filter(|connection| connection.is_tried_again());
        Ok(again.map(|one| one.receiver.waits(now).map_or(now + SOON, |(until, _)| until)).min())
    }

    fn log_failures(&self, runs: &[ConnectionRun]) {
        for run in runs {
            if let Err(error) = &run.status {
                let code = error.code().word();
                let fields = [("connection", run.connection.into()), ("code", code.into())];
                self.environment.log.warn("delivery-failed", &fields);
            }
        }
    }

    fn deadline(&self, budget: Duration) -> Deadline {
        Deadline::after(self.environment.clock.as_ref(), budget)
    }
}
