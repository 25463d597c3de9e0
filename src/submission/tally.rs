//! How a submission is counted, entry by entry.

use super::EntryVerdict;
use serde::{Deserialize, Serialize};

/// What became of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counts {
    /// Newly created at the receiver.
    pub accepted: u64,
    /// The receiver had them already.
    pub already_there: u64,
    /// The receiver read them and keeps no copy.
    pub received: u64,
    /// The receiver will not have them.
    pub refused: u64,
    /// Sent, and nobody can tell what became of them.
    #[serde(default)]
    pub unknown: u64,
}

impl Counts {
    /// Those the receiver has, or has read.
    pub const fn delivered(&self) -> u64 {
        self.accepted + self.already_there + self.received
    }

    /// All entries that have an outcome.
    pub const fn total(&self) -> u64 {
        self.delivered() + self.refused + self.unknown
    }

    fn minus(self, earlier: Self) -> Self {
        Self {
            accepted: self.accepted.saturating_sub(earlier.accepted),
            already_there: self.already_there.saturating_sub(earlier.already_there),
            received: self.received.saturating_sub(earlier.received),
            refused: self.refused.saturating_sub(earlier.refused),
            unknown: self.unknown.saturating_sub(earlier.unknown),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            already_there: self.already_there + other.already_there,
            received: self.received + other.received,
            refused: self.refused + other.refused,
            unknown: self.unknown + other.unknown,
        }
    }

    fn add(&mut self, verdict: EntryVerdict) {
        match verdict {
            EntryVerdict::Accepted => self.accepted += 1,
            EntryVerdict::AlreadyThere => self.already_there += 1,
            EntryVerdict::Received => self.received += 1,
            EntryVerdict::Refused | EntryVerdict::Ambiguous => self.refused += 1,
            EntryVerdict::Unknown => self.unknown += 1,
            EntryVerdict::Later | EntryVerdict::Reauthorise | EntryVerdict::Consent => {}
        }
    }
}

/// The running account of a submission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tally {
    /// Requests sent, repeats included.
    pub requests: u64,
    /// Bytes of their bodies before compression.
    pub bytes: u64,
    /// Every entry.
    pub entries: Counts,
    /// Those that are readings.
    pub readings: Counts,
}

impl Tally {
    /// Adds another submission's account.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.entries = self.entries.plus(other.entries);
        self.readings = self.readings.plus(other.readings);
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            entries: self.entries.minus(earlier.entries),
            readings: self.readings.minus(earlier.readings),
        }
    }

    /// Counts an entry's outcome.
    pub fn count(&mut self, is_reading: bool, verdict: EntryVerdict) {
        self.entries.add(verdict);
        if is_reading {
            self.readings.add(verdict);
        }
    }
}
