//! What the outbox keeps: a submission and how far it has come, a frozen batch and what its entries
//! are.

use crate::fhir::{Covered, EntryKind};
use crate::glucose::GlucoseUnit;
use crate::store::{ConnectionId, StoreError};
use crate::submission::{Plan, Position, Stopped, Tally};
use serde::{Deserialize, Serialize};

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

/// How far a submission has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What comes next.
    pub position: Position,
    /// The account so far.
    pub tally: Tally,
    /// How often everything was gone through; entries the receiver put off are sent in a later
    /// pass.
    pub pass: u32,
    /// Whether entries were put off in this pass.
    pub put_off: bool,
    /// Unix second before which the next pass does not start, and the wait it came from: a clock
    /// set back does not prolong it.
    pub not_before: (i64, i64),
    /// Units a batch may have while offending ones are being isolated.
    pub unit_limit: Option<usize>,
    /// How many batches in a row had entries put off: the wait grows with them.
    #[serde(default)]
    pub put_offs: u32,
    /// How many batches of readings in a row were refused alike, entry for entry.
    #[serde(default)]
    pub alike: u32,
    /// How many units sent without condition were refused all the same.
    #[serde(default)]
    pub probes_refused: u32,
    /// Whether the next batch asks, with one unit sent without condition, if the receiver knows
    /// conditional create at all.
    #[serde(default)]
    pub probe: bool,
    /// Parts the receiver will have nothing of.
    #[serde(default)]
    pub stopped: Vec<Stopped>,
    /// How many single units in a row were refused as whole requests with this status.
    pub lone_refusals: (u32, u16),
}

impl Progress {
    /// At the start of `plan`.
    pub fn start(plan: &Plan) -> Self {
        Self {
            position: Position::first(plan.wanted),
            tally: Tally::default(),
            pass: 1,
            put_off: false,
            not_before: (0, 0),
            unit_limit: None,
            put_offs: 0,
            alike: 0,
            probes_refused: 0,
            probe: false,
            stopped: Vec::new(),
            lone_refusals: (0, 0),
        }
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
    /// What it sends.
    pub plan: Plan,
    /// Whether it is under way.
    pub state: SubmissionState,
    /// How far it has come.
    pub progress: Progress,
}

/// What one entry of a batch is, so that its outcome can be written down.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// A reading: its packed key, its version, and the unit it was sent in.
    Reading(i64, u32, GlucoseUnit),
    /// Anything else: its identifier, what it is, and what it covers.
    Resource(String, EntryKind, Option<Covered>),
}

/// Hides identifiers.
impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reading(..) => "Reading(…)",
            Self::Resource(..) => "Resource(…)",
        })
    }
}

/// One entry of a batch: the unit it belongs to, and what it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Entries with the same number stay together.
    pub unit: u32,
    /// What it is.
    pub item: Item,
}

/// Hides identifiers.
impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listed").field("unit", &self.unit).finish_non_exhaustive()
    }
}

/// The state of the database as this process saw it: another one may change it at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(pub(super) i64);

/// A batch about to be frozen.
#[derive(Clone)]
pub struct NewBatch {
    /// What it was assembled from.
    pub seen: Seen,
    /// The submission it is part of.
    pub submission: SubmissionId,
    /// The body, compressed with gzip.
    pub body: Vec<u8>,
    /// The body's size before compression.
    pub bytes: usize,
    /// What its entries are, in order.
    pub manifest: Vec<Listed>,
    /// Whether its entries are conditional creates.
    pub conditional: bool,
    /// Where the submission stands once it is settled.
    pub position_after: Position,
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

/// A batch as it waits.
#[derive(Clone)]
pub struct BatchRecord {
    /// Its number.
    pub id: BatchId,
    /// The submission it is part of.
    pub submission: SubmissionId,
    /// The body, compressed with gzip.
    pub body: Vec<u8>,
    /// The body's size before compression.
    pub bytes: usize,
    /// What its entries are, in order.
    pub manifest: Vec<Listed>,
    /// Whether its entries are conditional creates.
    pub conditional: bool,
    /// Where the submission stands once it is settled.
    pub position_after: Position,
    /// How often it was sent.
    pub attempt: u32,
    /// Unix second before which it is not sent again, and the wait it came from.
    pub not_before: (i64, i64),
}

/// Hides body and identifiers.
impl std::fmt::Debug for BatchRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchRecord")
            .field("id", &self.id)
            .field("submission", &self.submission)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// What became of an entry, to be written down.
#[derive(Clone, PartialEq, Eq)]
pub enum EntryRecord {
    /// The receiver has it; where, if it said so.
    Delivered {
        /// `Type/id` at the receiver.
        location: Option<String>,
    },
    /// The receiver will not have it, and its reason.
    Refused {
        /// The receiver's own words, capped.
        reason: String,
    },
    /// It is sent again in a later pass.
    PutOff,
}

/// Hides the receiver's words.
impl std::fmt::Debug for EntryRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Delivered { .. } => "Delivered",
            Self::Refused { .. } => "Refused",
            Self::PutOff => "PutOff",
        })
    }
}
