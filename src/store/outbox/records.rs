//! What the outbox keeps: a submission and how far it has come, and a frozen batch.

use crate::store::{ConnectionId, StoreError};
use crate::submission::{Origin, Plan, Progress, SentBatch, WaitReason};

/// A submission's number within one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubmissionId(pub i64);

/// A batch's number within one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub i64);

/// Whether a submission is still under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmissionState {
    /// Something may be left to send.
    Open,
    /// Everything has an outcome.
    Done,
    /// The person stopped it.
    Cancelled,
}

impl SubmissionState {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn from_code(code: &str) -> Result<Self, StoreError> {
        [Self::Open, Self::Done, Self::Cancelled]
            .into_iter()
            .find(|state| state.code() == code)
            .ok_or(StoreError::Row("submission state"))
    }
}

/// A submission as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmissionRecord {
    /// Its number.
    pub id: SubmissionId,
    /// Whose it is.
    pub connection: ConnectionId,
    /// When it was asked for.
    pub created_at: i64,
    /// Who asked for it.
    pub origin: Origin,
    /// What it sends.
    pub plan: Plan,
    /// Whether it is under way.
    pub state: SubmissionState,
    /// How far it has come.
    pub progress: Progress,
}

/// The state of the database as this process saw it: another one may change it at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataVersion(pub(super) i64);

/// A batch about to be frozen.
#[derive(Clone)]
pub struct NewBatch {
    /// What it was assembled from.
    pub data_version: DataVersion,
    /// The submission it is part of.
    pub submission: SubmissionId,
    /// Where it goes.
    pub url: String,
    /// The body, compressed with gzip.
    pub body: Vec<u8>,
    /// The body's size before compression.
    pub bytes: usize,
    /// What it is, not yet sent.
    pub content: SentBatch,
}

/// Hides body and identifiers.
impl std::fmt::Debug for NewBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewBatch")
            .field("submission", &self.submission)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// What happens to a batch now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchState {
    /// It is sent next.
    Ready,
    /// It is being sent, or its sender died.
    Sending,
    /// It was sent with unknown outcome, and is looked up before it is sent again.
    LookUp,
}

const BATCH_STATES: [(BatchState, &str); 3] = [
    (BatchState::Ready, "ready"),
    (BatchState::Sending, "sending"),
    (BatchState::LookUp, "look-up"),
];

impl BatchState {
    pub(super) fn code(self) -> &'static str {
        BATCH_STATES.iter().find(|(state, _)| *state == self).map_or("ready", |(_, code)| code)
    }

    pub(super) fn from_code(code: &str) -> Result<Self, StoreError> {
        let known = BATCH_STATES.iter().find(|(_, c)| *c == code);
        known.map(|(state, _)| *state).ok_or(StoreError::Row("batch state"))
    }
}

/// A batch as it waits.
#[derive(Clone)]
pub struct BatchRecord {
    /// Its number.
    pub id: BatchId,
    /// The submission it is part of.
    pub submission: SubmissionId,
    /// What happens to it now.
    pub state: BatchState,
    /// Where it goes: as it was when it was frozen.
    pub url: String,
    /// The body, compressed with gzip.
    pub body: Vec<u8>,
    /// The body's size before compression.
    pub bytes: usize,
    /// What it is, and what became of it so far.
    pub content: SentBatch,
    /// Why it waits, while its wait lasts.
    pub wait_reason: WaitReason,
}

/// Hides body and identifiers.
impl std::fmt::Debug for BatchRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchRecord")
            .field("id", &self.id)
            .field("submission", &self.submission)
            .field("state", &self.state)
            .field("attempts", &self.content.attempts)
            .finish_non_exhaustive()
    }
}
