//! Sending, and asking afterwards what the clinic has: with a bar on a terminal.

use crate::{Failure, report};
use cgm_submitter::outcome::{CannotVerify, SubmissionPreview, Verification};
use cgm_submitter::{
    ConnectionId, Event, SubmissionId, SubmissionOutcome, SubmissionRequest, Submitter,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// How long a submission may take in all: ten years of readings to a slow receiver.
const BUDGET: Duration = Duration::from_hours(2);
/// How long the receiver may make us wait for its answers to a verification.
const PATIENCE: Duration = Duration::from_mins(2);

/// A bar on a terminal, nothing elsewhere.
fn bar(length: u64) -> Result<ProgressBar, Failure> {
    let bar = ProgressBar::new(length);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} entries, {elapsed}")?);
    Ok(bar)
}

/// Says something above the bar, or on a line of its own if there is none.
fn say_above(bar: &ProgressBar, text: &str) {
    if bar.is_hidden() {
        say!("{text}");
    } else {
        bar.println(text);
    }
}

pub(crate) async fn send(
    cgm: &Submitter,
    connection: ConnectionId,
    request: SubmissionRequest,
    preview: &SubmissionPreview,
) -> Result<SubmissionOutcome, Failure> {
    let bar = bar(preview.parts.iter().map(|part| part.entries_to_send).sum())?;
    let shown = bar.clone();
    let outcome = cgm
        .submit_now(connection, request, BUDGET, move |event| match event {
            Event::Progress { tally, total, .. } => {
                shown.set_length(total);
                shown.set_position(tally.entries.total());
            }
            Event::Waiting { until, reason } => {
                say_above(&shown, &format!("waiting until {until}: {reason}"));
            }
            _ => {}
        })
        .await?;
    bar.finish_and_clear();
    Ok(outcome)
}

/// What the clinic has of each submission, or why it could not be asked.
pub(crate) struct Verified(Vec<Result<Verification, Failure>>);

impl Verified {
    /// Whether the clinic was asked, and has everything.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.iter().all(|one| one.as_ref().is_ok_and(Verification::is_complete))
    }

    /// Whether the person has not given leave to look.
    pub(crate) fn lacks_leave(&self) -> bool {
        let mut parts = self.0.iter().flatten().flat_map(|one| &one.not_verified);
        parts.any(|part| part.why == CannotVerify::NotGranted)
    }

    pub(crate) fn tell(&self) {
        for verified in &self.0 {
            match verified {
                Ok(verification) => report::verification(verification),
                Err(error) => say!("Not verified: {error}"),
            }
        }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        self.0.iter().flatten().map(report::verification_json).collect()
    }
}

/// Asks the clinic what it has of each submission.
pub(crate) async fn verify(cgm: &Submitter, outcome: &SubmissionOutcome) -> Verified {
    let mut all = Vec::new();
    for submission in &outcome.submissions {
        all.push(verify_one(cgm, *submission, outcome.tally.entries.total()).await);
    }
    Verified(all)
}

async fn verify_one(
    cgm: &Submitter,
    submission: SubmissionId,
    entries: u64,
) -> Result<Verification, Failure> {
    let bar = bar(entries)?;
    let shown = bar.clone();
    let tell = move |event| match event {
        Event::Verifying { done, total, .. } => {
            shown.set_length(total);
            shown.set_position(done);
        }
        Event::Waiting { until, reason } => {
            say_above(&shown, &format!("waiting until {until}: {reason}"));
        }
        _ => {}
    };
    let verified = cgm.verify(submission, PATIENCE, tell).await;
    bar.finish_and_clear();
    Ok(verified?)
}
