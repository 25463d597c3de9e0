//! Submitting, and what came of it.

use crate::ffi::CgmSubmitter;
use crate::ffi::cancellation::{Cancellation, unless_cancelled};
use crate::ffi::error::CgmError;
use crate::ffi::host::{HostObserver, events_to};
use crate::ffi::records::outcomes::{
    RefusedItem, SubmissionOutcome, SubmissionPreview, UnknownItem,
};
use crate::ffi::records::runs::RunReport;
use crate::ffi::records::submissions::SubmissionRequest;
use crate::ffi::records::verification::Verification;
use crate::ffi::records::{ConnectionId, SubmissionId, count};
use std::sync::Arc;
use std::time::Duration;

#[uniffi::export]
impl CgmSubmitter {
    /// What a submission would send now. Sends nothing.
    pub async fn preview(
        &self,
        connection: ConnectionId,
        request: SubmissionRequest,
    ) -> Result<SubmissionPreview, CgmError> {
        Ok(self.submitter.preview(connection.into(), request.try_into()?).await?.into())
    }

    /// Submits now, telling `observer` what happens. What the receiver has already is not sent
    /// again.
    ///
    /// All of it takes at most `budget`. What is left then goes on with `run_due`; the outcome says
    /// when, and why not at once. A refusal of single entries is not an error: it is in the
    /// outcome.
    #[uniffi::method(default(cancellation = None))]
    pub async fn submit_now(
        &self,
        connection: ConnectionId,
        request: SubmissionRequest,
        budget: Duration,
        observer: Arc<dyn HostObserver>,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<SubmissionOutcome, CgmError> {
        let (id, request) = (connection.into(), request.try_into()?);
        let work = self.submitter.submit_now(id, request, budget, events_to(observer));
        Ok(unless_cancelled(cancellation, work).await?.into())
    }

    /// Goes on with whatever is queued for any connection, for at most `budget` in all. For
    /// background wake-ups and after a restart. What fails for one connection is in its part of the
    /// report.
    #[uniffi::method(default(cancellation = None))]
    pub async fn run_due(
        &self,
        budget: Duration,
        observer: Arc<dyn HostObserver>,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<RunReport, CgmError> {
        let work = self.submitter.run_due(budget, events_to(observer));
        Ok(unless_cancelled(cancellation, work).await?.into())
    }

    /// Stops a submission for good: nothing of it is sent any more. What the receiver has of it
    /// stays there.
    pub async fn cancel(&self, submission: SubmissionId) -> Result<(), CgmError> {
        Ok(self.submitter.cancel(submission.into()).await?)
    }

    /// Verifies a finished submission: asks the receiver for what it accepted, and compares. What
    /// the receiver turns out to lack is sent again by the next submission, once. All of it, with
    /// the waits that the receiver asks for, takes at most `patience`.
    #[uniffi::method(default(cancellation = None))]
    pub async fn verify(
        &self,
        submission: SubmissionId,
        patience: Duration,
        observer: Arc<dyn HostObserver>,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<Verification, CgmError> {
        let work = self.submitter.verify(submission.into(), patience, events_to(observer));
        Ok(unless_cancelled(cancellation, work).await?.into())
    }

    /// What the receiver refused and is set aside.
    pub async fn quarantine(&self, connection: ConnectionId) -> Result<Vec<RefusedItem>, CgmError> {
        let refused = self.submitter.quarantine(connection.into()).await?;
        Ok(refused.into_iter().map(RefusedItem::from).collect())
    }

    /// Lets everything the receiver refused be sent again with the next submission; returns how
    /// much that is.
    pub async fn retry_refused(&self, connection: ConnectionId) -> Result<i64, CgmError> {
        Ok(count(self.submitter.retry_refused(connection.into()).await?))
    }

    /// What was sent, and nobody can tell whether the receiver has it. It is not sent again by
    /// itself: a receiver that does not look before it creates might then have it twice. Ask the
    /// clinic, then call `retry_unknown` or `dismiss_unknown`.
    pub async fn unknown_outcomes(
        &self,
        connection: ConnectionId,
    ) -> Result<Vec<UnknownItem>, CgmError> {
        let unknown = self.submitter.unknown_outcomes(connection.into()).await?;
        Ok(unknown.into_iter().map(UnknownItem::from).collect())
    }

    /// Lets what was sent with unknown outcome be sent again with the next submission; returns how
    /// much that is. If the receiver has it after all, it may then have it twice.
    pub async fn retry_unknown(&self, connection: ConnectionId) -> Result<i64, CgmError> {
        Ok(count(self.submitter.retry_unknown(connection.into()).await?))
    }

    /// Stops showing what was sent with unknown outcome, and does not send it again; returns how
    /// much that is.
    pub async fn dismiss_unknown(&self, connection: ConnectionId) -> Result<i64, CgmError> {
        Ok(count(self.submitter.dismiss_unknown(connection.into()).await?))
    }
}
