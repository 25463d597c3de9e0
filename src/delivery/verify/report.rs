//! What a verification says: how much of what was accepted the receiver has, and what of it
//! differs.

use crate::fhir::{Addresses, Comparison, EntryKind, Identifier, compare};
use crate::store::ReadingKey;
use crate::submission::Item;
use crate::submission::Part;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

/// Differences that are told one by one; more are counted.
const MAX_NAMED: usize = 100;

/// What a receiver has of a submission, as far as it lets itself be asked. The counts are of
/// entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// It has these as they were sent.
    pub confirmed: u64,
    /// It does not have these, though it had accepted them: the next submission sends them again.
    pub to_send_again: u64,
    /// It was not found to have these, and they are not sent again: they were before, or it might
    /// then have them twice.
    pub missing: u64,
    /// It has these, and they say something else.
    pub different: u64,
    /// The first of those.
    pub differences: Vec<Difference>,
    /// What cannot be verified, and why.
    pub not_verified: Vec<NotVerified>,
}

impl Verification {
    /// Whether the receiver has everything it accepted, as it was sent.
    pub fn is_complete(&self) -> bool {
        self.not_verified.is_empty()
            && self.to_send_again == 0
            && self.missing == 0
            && self.different == 0
    }
}

/// Something that stands otherwise at the receiver than it was sent.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// What it is.
    pub what: EntryKind,
    /// When it was measured, for a reading.
    pub time: Option<DateTime<Utc>>,
    /// The element that differs, `valueQuantity.value`; `None` if the clinic marked the whole as
    /// entered in error.
    pub element: Option<String>,
}

/// Hides the time: it is the person's.
impl std::fmt::Debug for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Difference")
            .field("what", &self.what)
            .field("element", &self.element)
            .finish_non_exhaustive()
    }
}

/// A part of a submission that cannot be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotVerified {
    /// Which part.
    pub part: Part,
    /// Why.
    pub why: CannotVerify,
}

/// Why a receiver cannot be asked for what it accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CannotVerify {
    /// The submission is not done: verify it when it is.
    Unfinished,
    /// The authorisation does not cover searching: connect with read-back.
    NotGranted,
    /// Readings came in since it was sent, and what would be sent now says something else: submit
    /// again, then verify that.
    Changed,
    /// The receiver does not search by identifier.
    NotOffered,
    /// The receiver answers its searches with something else than was asked for.
    NotHonoured,
    /// The search finds nothing at all of what was accepted: more likely it does not work than
    /// everything is lost.
    NothingFound,
}

/// In words for a person.
impl std::fmt::Display for CannotVerify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unfinished => "the submission is not done yet",
            Self::NotGranted => {
                "there is no permission to look: it is asked for when connecting with read-back"
            }
            Self::Changed => "it has changed since: submit again",
            Self::NotOffered => "the receiver offers no search by identifier",
            Self::NotHonoured => "the receiver's search answers with something else",
            Self::NothingFound => "the receiver's search finds nothing of what it accepted",
        })
    }
}

/// One entry as it would be sent now.
pub(super) struct Expected {
    pub(super) identifier: Identifier,
    pub(super) json: String,
    pub(super) item: Item,
}

impl Expected {
    /// Its sensor and second, if it is a reading.
    pub(super) fn key(&self) -> Option<ReadingKey> {
        match self.item {
            Item::Reading(key, ..) => ReadingKey::from_packed(key),
            Item::Resource(..) => None,
        }
    }

    fn what(&self) -> (EntryKind, Option<DateTime<Utc>>) {
        match &self.item {
            Item::Reading(key, ..) => {
                let seconds = ReadingKey::from_packed(*key).map(ReadingKey::seconds);
                let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
                (EntryKind::Reading, time)
            }
            Item::Resource(_, kind, _) => (*kind, None),
        }
    }
}

impl Verification {
    /// Counts one that was found, as often as the receiver has it: twins count once, by the one
    /// that is as it was sent.
    pub(super) fn count(&mut self, sent: &Expected, found: &[String], addresses: &Addresses) {
        let mut otherwise = None;
        for found in found {
            let compared = as_json(&sent.json)
                .zip(as_json(found))
                .map(|(sent, found)| compare(sent, found, addresses));
            match compared {
                Some(Comparison::AsSent) => {
                    self.confirmed += 1;
                    return;
                }
                Some(Comparison::Differently(element)) => otherwise = Some(element),
                Some(Comparison::Withdrawn) | None => {}
            }
        }
        self.different += 1;
        if self.differences.len() < MAX_NAMED {
            let (what, time) = sent.what();
            self.differences.push(Difference { what, time, element: otherwise });
        }
    }
}

pub(super) fn as_json(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}
