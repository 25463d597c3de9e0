//! What a delivery tells while it runs, and what it did at its end. Carries no data of a person.

use crate::error::Error;
use crate::store::{ConnectionState, SubmissionId};
use crate::submission::{Tally, WaitReason};
use chrono::{DateTime, Utc};

/// What happens during a delivery, for a progress display. Carries no data of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A request is on its way.
    Sending {
        /// Its submission.
        submission: SubmissionId,
        /// Entries in it.
        entries: usize,
    },
    /// An answer was written down.
    Progress {
        /// The submission it is of.
        submission: SubmissionId,
        /// What this call delivered so far, for whichever submission.
        tally: Tally,
        /// Entries this call has to deliver in all, those that several submissions share once:
        /// never fewer than have an outcome, and as many when nothing is left.
        total: u64,
    },
    /// Nothing can be sent before this instant.
    Waiting {
        /// When it goes on.
        until: DateTime<Utc>,
        /// Why.
        reason: WaitReason,
    },
    /// The receiver was asked for more of what it accepted.
    Verifying {
        /// The submission.
        submission: SubmissionId,
        /// Entries that were looked for so far.
        done: u64,
        /// Entries to look for in all.
        total: u64,
    },
}

/// Hears what happens during a delivery.
pub type OnEvent = dyn Fn(Event) + Send + Sync;

/// Why a delivery stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing is left to send.
    Finished,
    /// The time given is over, or does not suffice; it goes on at this instant at the earliest.
    WaitUntil {
        /// The instant.
        until: DateTime<Utc>,
        /// Why.
        reason: WaitReason,
    },
    /// The connection cannot go on by itself.
    Blocked(ConnectionState),
}

/// What a delivery did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Why it stopped.
    pub stopped: Stopped,
    /// What it delivered, for whichever submission of the connection.
    pub tally: Tally,
    /// The part of it that is not of the submissions it was asked for.
    pub others: Tally,
}

/// A delivery that failed on the way.
#[derive(Debug)]
pub struct Interrupted {
    /// Why.
    pub error: Error,
    /// What it had delivered.
    pub tally: Tally,
}

impl<E: Into<Error>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self { error: error.into(), tally: Tally::default() }
    }
}

impl Stopped {
    /// In a word, for the log.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::WaitUntil { .. } => "waits",
            Self::Blocked(_) => "blocked",
        }
    }
}
