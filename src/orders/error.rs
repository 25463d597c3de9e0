//! Why an order is not followed: where it stands, and what of it cannot be done.

use super::period::PeriodError;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Extensions of an order.
pub(super) const MAX_EXTENSIONS: usize = 1_000;
/// Schedules of an order.
pub(super) const MAX_SCHEDULES: usize = 20;
/// Kinds of data of a schedule, or of a one-time order.
pub(super) const MAX_PROFILES: usize = 50;
/// Characters of a canonical that is shown to the person.
pub(super) const MAX_CANONICAL: usize = 256;

/// Where an order stands, as FHIR says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OrderStatus {
    /// Not yet in force.
    Draft,
    /// In force.
    Active,
    /// Paused.
    OnHold,
    /// Withdrawn.
    Revoked,
    /// Fulfilled.
    Completed,
    /// Never meant.
    EnteredInError,
    /// Anything else.
    Unknown,
}

/// In words for a person.
impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draft => "not yet in force",
            Self::Active => "in force",
            Self::OnHold => "on hold",
            Self::Revoked => "withdrawn",
            Self::Completed => "completed",
            Self::EnteredInError => "entered in error",
            Self::Unknown => "in a state this app does not know",
        })
    }
}

impl OrderStatus {
    pub(super) fn from_code(code: &str) -> Self {
        match code {
            "draft" => Self::Draft,
            "active" => Self::Active,
            "on-hold" => Self::OnHold,
            "revoked" => Self::Revoked,
            "completed" => Self::Completed,
            "entered-in-error" => Self::EnteredInError,
            _ => Self::Unknown,
        }
    }
}

/// Why an order, or one of its schedules, is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The order is not one that can be read.
    #[error("the order is not in a form that can be read")]
    Unreadable,
    /// No id, or none that FHIR allows.
    #[error("the order has no valid id")]
    Id,
    /// It is about somebody else.
    #[error("the order is for another patient than the one connected")]
    OtherPatient,
    /// It is about nobody.
    #[error("the order does not say which patient it is for")]
    NoSubject,
    /// It names its patient by an identifier alone, and this app does not know whose that is.
    #[error(
        "the order names its patient by an identifier only: ask the clinic to refer to the record"
    )]
    SubjectByIdentifier,
    /// It looks like an order for glucose data, and its code is not the guide's.
    #[error("the order looks like one for glucose data, but its code is another")]
    Code,
    /// It is written for a guide, or a draft, that this app does not follow.
    #[error("the order is written for a guide that this app does not follow")]
    OtherGuide,
    /// An order for once among the standing ones.
    #[error("the order is for once: it is followed only if it is given to the app itself")]
    OneTime,
    /// Withdrawn, fulfilled, paused, or not yet in force.
    #[error("the order is {0}")]
    NotActive(OrderStatus),
    /// Without a schedule nothing is sent by itself.
    #[error("the order does not say how often it wants data")]
    NoSchedule,
    /// It says when it applies in a way that is not followed.
    #[error("when the order applies cannot be read")]
    Occurrence,
    /// The time in which it applies is over.
    #[error("the time in which the order applies is over")]
    Over,
    /// The time in which it applies has not begun.
    #[error("the time in which the order applies has not begun")]
    NotYet,
    /// A proposal or plan, not an order.
    #[error("the request is not an order: its intent is another")]
    Intent,
    /// It says what must not be done, or changes its own meaning in a way we do not know.
    #[error("the order has a condition this app does not know")]
    Modified,
    /// How often it wants data cannot be followed.
    #[error("how often the order wants data {0}")]
    Period(PeriodError),
    /// How far back it wants data cannot be followed.
    #[error("how far back the order wants data {0}")]
    Lookback(PeriodError),
    /// It names nothing to send.
    #[error("the order does not say which data it wants")]
    NoContent,
    /// It says twice what can be said once: which of the two is meant?
    #[error("the order says its {0} twice")]
    Twice(&'static str),
    /// It names data without saying which.
    #[error("the order names data without saying which")]
    NoCanonical,
    /// More schedules or kinds of data than anybody means.
    #[error(
        "the order has more than {MAX_SCHEDULES} schedules, {MAX_PROFILES} kinds of data in one or \
        {MAX_EXTENSIONS} extensions"
    )]
    TooMany,
}
