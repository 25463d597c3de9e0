//! What a receiver has of a submission.

use super::submissions::{ItemKind, Part};
use super::{count, hidden};
use crate::delivery;
use std::time::SystemTime;

hidden!(DifferentItem);

/// What a receiver has of a submission, as far as it can be asked. The counts are of entries.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Verification {
    /// Whether the receiver has everything it accepted, as it was sent.
    pub complete: bool,
    /// It has these as they were sent.
    pub confirmed: i64,
    /// It lacks these: the next submission sends them again.
    pub to_send_again: i64,
    /// A search did not find these, and they are not sent again.
    pub missing: i64,
    /// It has these, and they say something else.
    pub different: i64,
    /// The first of those.
    pub different_items: Vec<DifferentItem>,
    /// What cannot be verified, and why.
    pub not_verified: Vec<NotVerified>,
}

/// Something that the receiver has otherwise than it was sent.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct DifferentItem {
    /// What it is.
    pub what: ItemKind,
    /// When it was measured, for a reading.
    pub time: Option<SystemTime>,
    /// The element that differs; null if the clinic marked the whole as entered in error.
    pub element: Option<String>,
}

/// A part of a submission that cannot be verified.
#[derive(Clone, Debug, uniffi::Record)]
pub struct NotVerified {
    /// Which part.
    pub part: Part,
    /// Why.
    pub why: CannotVerify,
}

/// Why a receiver cannot be asked for what it accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
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

impl From<delivery::CannotVerify> for CannotVerify {
    fn from(why: delivery::CannotVerify) -> Self {
        match why {
            delivery::CannotVerify::Unfinished => Self::Unfinished,
            delivery::CannotVerify::NotGranted => Self::NotGranted,
            delivery::CannotVerify::Changed => Self::Changed,
            delivery::CannotVerify::NotOffered => Self::NotOffered,
            delivery::CannotVerify::NotHonoured => Self::NotHonoured,
            delivery::CannotVerify::NothingFound => Self::NothingFound,
        }
    }
}

impl From<crate::outcome::Verification> for Verification {
    fn from(verification: crate::outcome::Verification) -> Self {
        let differences = verification.differences.iter().map(|item| DifferentItem {
            what: item.what.into(),
            time: item.time.map(SystemTime::from),
            element: item.element.clone(),
        });
        let not_verified = verification
            .not_verified
            .iter()
            .map(|one| NotVerified { part: one.part.into(), why: one.why.into() });
        Self {
            complete: verification.is_complete(),
            confirmed: count(verification.confirmed),
            to_send_again: count(verification.to_send_again),
            missing: count(verification.missing),
            different: count(verification.different),
            different_items: differences.collect(),
            not_verified: not_verified.collect(),
        }
    }
}
