//! How submissions stand: before, during and after they are sent.

use super::connections::ConnectionState;
use super::dates::DateRange;
use super::readings::GlucoseUnit;
use super::submissions::{ItemKind, LeftOut, Part};
use super::summary::Summary;
use super::{SubmissionId, count, hidden};
use crate::{OutcomeStatus as Status, delivery, submission};
use std::time::SystemTime;

hidden!(RefusedItem, UnknownItem, StoppedPart);

/// What would be sent, before anything is.
#[derive(Clone, Debug, uniffi::Record)]
pub struct SubmissionPreview {
    /// Readings that the receiver does not have yet, in all parts.
    pub readings_to_send: i64,
    /// One for each stretch of dates.
    pub parts: Vec<Preview>,
    /// What is not sent, and why.
    pub left_out: Vec<LeftOut>,
}

impl From<crate::outcome::SubmissionPreview> for SubmissionPreview {
    fn from(preview: crate::outcome::SubmissionPreview) -> Self {
        Self {
            readings_to_send: count(preview.readings_to_send()),
            parts: preview.parts.into_iter().map(Preview::from).collect(),
            left_out: preview.left_out.into_iter().map(LeftOut::from).collect(),
        }
    }
}

/// What would be sent over a stretch of dates.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Preview {
    /// The local dates.
    pub dates: DateRange,
    /// What would be sent of them.
    pub wanted: Vec<Part>,
    /// The unit of readings and of the summary's mean.
    pub unit: GlucoseUnit,
    /// Readings stored.
    pub readings: i64,
    /// Those the receiver does not have yet, if readings are wanted.
    pub readings_to_send: i64,
    /// Entries in all: readings, devices, the summary and its members.
    pub entries_to_send: i64,
    /// The statistics over the dates; null if there are fewer than two readings.
    pub summary: Option<Summary>,
}

impl From<delivery::Preview> for Preview {
    fn from(preview: delivery::Preview) -> Self {
        let wanted = preview.plan.wanted;
        let parts = [
            (wanted.devices, Part::Devices),
            (wanted.summary, Part::Summary),
            (wanted.readings, Part::Readings),
        ];
        Self {
            dates: preview.plan.dates.into(),
            wanted: parts.into_iter().filter_map(|(is, part)| is.then_some(part)).collect(),
            unit: wanted.unit.into(),
            readings: count(preview.readings),
            readings_to_send: count(preview.readings_to_send),
            entries_to_send: count(preview.entries_to_send),
            summary: preview.summary.map(Summary::from),
        }
    }
}

/// What became of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Counts {
    /// Newly created at the receiver.
    pub accepted: i64,
    /// The receiver had them already.
    pub already_there: i64,
    /// The receiver read them and keeps no copy.
    pub received: i64,
    /// The receiver refused them.
    pub refused: i64,
    /// Sent, and nobody can tell what became of them.
    pub unknown: i64,
}

impl From<submission::Counts> for Counts {
    fn from(counts: submission::Counts) -> Self {
        Self {
            accepted: count(counts.accepted),
            already_there: count(counts.already_there),
            received: count(counts.received),
            refused: count(counts.refused),
            unknown: count(counts.unknown),
        }
    }
}

/// The running account of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Tally {
    /// Requests sent, repeats included.
    pub requests: i64,
    /// Bytes of their bodies before compression.
    pub bytes: i64,
    /// Every entry.
    pub entries: Counts,
    /// Those that are readings.
    pub readings: Counts,
}

impl From<submission::Tally> for Tally {
    fn from(tally: submission::Tally) -> Self {
        Self {
            requests: count(tally.requests),
            bytes: count(tally.bytes),
            entries: tally.entries.into(),
            readings: tally.readings.into(),
        }
    }
}

/// Something the receiver refused.
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

impl From<crate::outcome::RefusedItem> for RefusedItem {
    fn from(item: crate::outcome::RefusedItem) -> Self {
        Self { kind: item.kind.into(), time: item.time.map(SystemTime::from), reason: item.reason }
    }
}

/// Something that was sent, and nobody can tell whether the receiver has it.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct UnknownItem {
    /// What it is.
    pub kind: ItemKind,
    /// When it was measured, for a reading.
    pub time: Option<SystemTime>,
}

impl From<crate::outcome::UnknownItem> for UnknownItem {
    fn from(item: crate::outcome::UnknownItem) -> Self {
        Self { kind: item.kind.into(), time: item.time.map(SystemTime::from) }
    }
}

/// A part that the receiver refuses as a whole for now. The next submission tries again.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct StoppedPart {
    /// Which part.
    pub part: Part,
    /// If `true`, for lack of permission; otherwise every entry was refused alike.
    pub for_consent: bool,
    /// The receiver's own words. They may quote an entry: for the person, not for a log.
    pub reason: String,
}

impl From<submission::StoppedPart> for StoppedPart {
    fn from(stopped: submission::StoppedPart) -> Self {
        Self { part: stopped.part.into(), for_consent: stopped.for_consent, reason: stopped.reason }
    }
}

/// What of some dates the receiver does not have, in entries: also what earlier submissions left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Standing {
    /// It refused them, and nobody dismissed that.
    pub refused: i64,
    /// They are still to be sent.
    pub open: i64,
    /// They were sent, and nobody can tell whether it has them.
    pub unknown: i64,
}

/// A receiver that fails again and again. Nothing is lost; it is asked less and less often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Stalled {
    /// Since when.
    pub since: SystemTime,
    /// The HTTP status it answers.
    pub http_status: i32,
}

/// Why nothing is sent for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum WaitReason {
    /// The receiver asked for it.
    ReceiverAsked,
    /// The receiver failed or was busy, and did not say for how long.
    ReceiverBusy,
    /// There was no connection to the receiver.
    NoConnection,
    /// The receiver gave no access token, for now.
    TokenEndpoint,
    /// A request may still be at work at the receiver: its outcome is not known.
    OutcomeUnknown,
    /// What was sent with unknown outcome is looked up once more, a while after the first time.
    LookUp,
    /// The receiver deferred entries: they go again after a pause.
    Deferred,
    /// The receiver, or the network before it, points elsewhere: a sign-in page, maintenance, or
    /// it moved.
    Elsewhere,
    /// The device's secure storage is locked.
    VaultLocked,
    /// The time given is too short for another request.
    OutOfTime,
}

impl From<submission::WaitReason> for WaitReason {
    fn from(reason: submission::WaitReason) -> Self {
        match reason {
            submission::WaitReason::ReceiverAsked => Self::ReceiverAsked,
            submission::WaitReason::ReceiverBusy => Self::ReceiverBusy,
            submission::WaitReason::NoConnection => Self::NoConnection,
            submission::WaitReason::TokenEndpoint => Self::TokenEndpoint,
            submission::WaitReason::OutcomeUnknown => Self::OutcomeUnknown,
            submission::WaitReason::LookUp => Self::LookUp,
            submission::WaitReason::Deferred => Self::Deferred,
            submission::WaitReason::Elsewhere => Self::Elsewhere,
            submission::WaitReason::VaultLocked => Self::VaultLocked,
            submission::WaitReason::OutOfTime => Self::OutOfTime,
        }
    }
}

/// Why a submission stands as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum OutcomeStatus {
    /// Everything has an outcome.
    Done,
    /// It goes on at this instant at the earliest, by `run_due`.
    Waiting {
        /// The instant.
        until: SystemTime,
        /// Why.
        reason: WaitReason,
    },
    /// The connection needs the person.
    Blocked {
        /// What it needs.
        state: ConnectionState,
    },
}

impl From<Status> for OutcomeStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Done => Self::Done,
            Status::Waiting { until, reason } => {
                Self::Waiting { until: until.into(), reason: reason.into() }
            }
            Status::Blocked(state) => Self::Blocked { state: state.into() },
        }
    }
}

/// How a submission stands.
#[derive(Clone, Debug, uniffi::Record)]
pub struct SubmissionOutcome {
    /// The submissions it is made of, to be verified.
    pub submissions: Vec<SubmissionId>,
    /// Whether the receiver has everything that was asked for over these dates: nothing is refused,
    /// open, unknown or stalled.
    pub complete: bool,
    /// Whether everything has an outcome, or why not.
    pub status: OutcomeStatus,
    /// The account of the submissions from the beginning, also if an earlier call began them, and
    /// of what else was delivered on the way.
    pub tally: Tally,
    /// What keeps these dates from being complete.
    pub standing: Standing,
    /// Whether the receiver ever answered that it read something and not that it keeps it: what it
    /// has of what counts as received is not known. Ask the clinic, or verify.
    pub keeps_no_copies: bool,
    /// That the receiver fails again and again, if it does.
    pub stalled: Option<Stalled>,
    /// What the receiver refused, of these and of earlier ones, and nobody dismissed.
    pub refused: Vec<RefusedItem>,
    /// What was not sent, and why.
    pub left_out: Vec<LeftOut>,
    /// Parts that the receiver refuses as a whole for now. The next submission tries again.
    pub stopped: Vec<StoppedPart>,
}

impl From<crate::SubmissionOutcome> for SubmissionOutcome {
    fn from(outcome: crate::SubmissionOutcome) -> Self {
        let standing = outcome.standing;
        Self {
            complete: outcome.is_complete(),
            submissions: outcome.submissions.iter().copied().map(SubmissionId::from).collect(),
            status: outcome.status.into(),
            tally: outcome.tally.into(),
            standing: Standing {
                refused: count(standing.refused),
                open: count(standing.open),
                unknown: count(standing.unknown),
            },
            keeps_no_copies: outcome.keeps_no_copies,
            stalled: outcome.stalled.map(|stalled| Stalled {
                since: stalled.since.into(),
                http_status: stalled.http_status.into(),
            }),
            refused: outcome.refused.into_iter().map(RefusedItem::from).collect(),
            left_out: outcome.left_out.into_iter().map(LeftOut::from).collect(),
            stopped: outcome.stopped.into_iter().map(StoppedPart::from).collect(),
        }
    }
}
