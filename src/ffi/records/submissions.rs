//! What is submitted, and what of it is left out.

use super::dates::DateRange;
use super::readings::GlucoseUnit;
use crate::ffi::error::CgmError;
use crate::fhir::EntryKind;
use crate::submission::{self, Unsupported};

/// What is to be submitted.
#[derive(Clone, Debug, uniffi::Enum)]
pub enum SubmissionRequest {
    /// What the receiver's standing orders ask for, today up to now included.
    Ordered,
    /// What the person chose, readings included.
    Own {
        /// Over these local dates.
        dates: DateRange,
        /// The unit of readings and of the summary's mean.
        unit: GlucoseUnit,
    },
}

impl TryFrom<SubmissionRequest> for crate::SubmissionRequest {
    type Error = CgmError;

    fn try_from(request: SubmissionRequest) -> Result<Self, CgmError> {
        Ok(match request {
            SubmissionRequest::Ordered => Self::Ordered,
            SubmissionRequest::Own { dates, unit } => {
                Self::Own { dates: dates.try_into()?, unit: unit.into() }
            }
        })
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
