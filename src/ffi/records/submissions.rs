//! What is submitted, and how it stands.

use super::connections::ConnectionState;
use super::{SubmissionId, count, hidden};
use crate::ffi::error::CgmError;
use crate::ffi::records::readings::GlucoseUnit;
use crate::fhir::EntryKind;
use crate::submission::Unsupported;
use crate::{ErrorCode, OutcomeStatus, glucose, submission};
use chrono::{DateTime, NaiveDate, Utc};
use std::time::SystemTime;

hidden!(RefusedItem);

/// What is to be submitted.
#[derive(Clone, Debug, uniffi::Enum)]
pub enum SubmissionRequest {
    /// What the receiver's standing orders ask for, up to yesterday.
    Ordered,
    /// What the person chose, readings included, over local dates, both included.
    Own {
        /// `YYYY-MM-DD`.
        first_date: String,
        /// `YYYY-MM-DD`.
        last_date: String,
        /// The unit of readings and of the summary's mean.
        unit: GlucoseUnit,
    },
}

impl TryFrom<SubmissionRequest> for crate::SubmissionRequest {
    type Error = CgmError;

    fn try_from(request: SubmissionRequest) -> Result<Self, CgmError> {
        match request {
            SubmissionRequest::Ordered => Ok(Self::Ordered),
            SubmissionRequest::Own { first_date, last_date, unit } => {
                let date = |text: &str| {
                    text.parse::<NaiveDate>().map_err(|_| glucose::TimeError::Unreadable)
                };
                let dates = date(&first_date)
                    .and_then(|first| glucose::DateRange::new(first, date(&last_date)?));
                Ok(Self::Own {
                    dates: dates.map_err(|e| CgmError::invalid(ErrorCode::InvalidTime, &e))?,
                    unit: unit.into(),
                })
            }
        }
    }
}

/// A part of what a submission sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Part {
    /// The devices.
    Devices,
    /// The summary with its members.
    Summary,
    /// The readings.
    Readings,
}

impl From<submission::Part> for Part {
    fn from(part: submission::Part) -> Self {
        match part {
            submission::Part::Devices => Self::Devices,
            submission::Part::Summary => Self::Summary,
            submission::Part::Readings => Self::Readings,
        }
    }
}

/// What an entry of a submission is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ItemKind {
    /// A sensor reading.
    Reading,
    /// A device.
    Device,
    /// A summary.
    Summary,
    /// One figure of a summary.
    SummaryMember,
}

impl From<EntryKind> for ItemKind {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Reading => Self::Reading,
            EntryKind::Device => Self::Device,
            EntryKind::Summary => Self::Summary,
            EntryKind::SummaryMember(_) => Self::SummaryMember,
        }
    }
}

/// Content that was not sent, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum LeftOut {
    /// The receiver granted no permission for it.
    NotGranted {
        /// For which part.
        part: Part,
    },
    /// The order asks for the report, and this version does not make it.
    Report,
    /// The order asks for single figures without their summary, and this version does not send
    /// these.
    SingleFigures,
    /// The order asks for a profile that is not known.
    UnknownProfile,
    /// The order asks for readings in both units: they were sent once, in this one.
    OtherUnit {
        /// The unit they were sent in.
        sent: GlucoseUnit,
    },
    /// Fewer than two readings: there is nothing to summarise.
    TooFewReadings,
}

impl From<submission::LeftOut> for LeftOut {
    fn from(left_out: submission::LeftOut) -> Self {
        match left_out {
            submission::LeftOut::NotGranted(part) => Self::NotGranted { part: part.into() },
            submission::LeftOut::NotSupported(Unsupported::Report) => Self::Report,
            submission::LeftOut::NotSupported(Unsupported::SingleFigures) => Self::SingleFigures,
            submission::LeftOut::NotSupported(Unsupported::UnknownProfile) => Self::UnknownProfile,
            submission::LeftOut::OtherUnit { sent } => Self::OtherUnit { sent: sent.into() },
            submission::LeftOut::TooFewReadings => Self::TooFewReadings,
        }
    }
}

/// What a receiver will not have.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct RefusedItem {
    /// What it is.
    pub kind: ItemKind,
    /// When it was measured, for a reading.
    pub time: Option<SystemTime>,
    /// The receiver's own words. They may quote the entry: for the person, not for a log.
    pub reason: String,
}

impl From<crate::RefusedItem> for RefusedItem {
    fn from(item: crate::RefusedItem) -> Self {
        Self { kind: item.kind.into(), time: item.time.map(SystemTime::from), reason: item.reason }
    }
}

/// How a submission stands.
#[derive(Clone, Debug, uniffi::Record)]
pub struct SubmissionOutcome {
    /// The submissions it was made of, to be verified.
    pub submissions: Vec<SubmissionId>,
    /// Requests sent.
    pub requests: i64,
    /// Entries newly created at the receiver.
    pub accepted: i64,
    /// Entries the receiver had already.
    pub already_there: i64,
    /// Entries the receiver read and keeps no copy of.
    pub received: i64,
    /// Entries the receiver will not have.
    pub refused: i64,
    /// Of the accepted ones, readings.
    pub readings_accepted: i64,
    /// Whether everything was delivered and nothing refused.
    pub complete: bool,
    /// Where it waits: until when.
    pub waiting_until: Option<SystemTime>,
    /// Where it waits: why, in a word.
    pub waiting_reason: Option<String>,
    /// Entries that were sent over these dates, and nobody can tell whether the receiver has them.
    pub unknown: i64,
    /// Entries over these dates that are still to be sent.
    pub open: i64,
    /// Since when the receiver fails again and again, if it does.
    pub stalled_since: Option<SystemTime>,
    /// Where the connection needs the person: its state.
    pub blocked: Option<ConnectionState>,
    /// What the receiver refused, of this submission and of earlier ones.
    pub refused_items: Vec<RefusedItem>,
    /// What was not sent, and why.
    pub left_out: Vec<LeftOut>,
    /// Parts the receiver will have nothing of for now. The next submission tries again.
    pub stopped: Vec<Part>,
}

impl From<crate::SubmissionOutcome> for SubmissionOutcome {
    fn from(outcome: crate::SubmissionOutcome) -> Self {
        let entries = outcome.tally.entries;
        Self {
            submissions: outcome.submissions.iter().copied().map(SubmissionId::from).collect(),
            requests: count(outcome.tally.requests),
            accepted: count(entries.accepted),
            already_there: count(entries.already_there),
            received: count(entries.received),
            refused: count(entries.refused),
            readings_accepted: count(outcome.tally.readings.accepted),
            complete: outcome.is_complete(),
            waiting_until: match outcome.status {
                OutcomeStatus::Waiting { until, .. } => Some(DateTime::<Utc>::into(until)),
                _ => None,
            },
            waiting_reason: match outcome.status {
                OutcomeStatus::Waiting { reason, .. } => Some(reason.code().to_owned()),
                _ => None,
            },
            unknown: count(outcome.standing.unknown),
            open: count(outcome.standing.open),
            stalled_since: outcome.stalled.map(|stalled| stalled.since.into()),
            blocked: match outcome.status {
                OutcomeStatus::Blocked(state) => Some(state.into()),
                _ => None,
            },
            refused_items: outcome.refused.into_iter().map(RefusedItem::from).collect(),
            left_out: outcome.left_out.into_iter().map(LeftOut::from).collect(),
            stopped: outcome.stopped.iter().map(|stopped| Part::from(stopped.part)).collect(),
        }
    }
}
