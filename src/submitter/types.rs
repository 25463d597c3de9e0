//! What an app says to the [`Submitter`](super::Submitter) and hears from it.

use crate::delivery::{self, Preview};
use crate::error::Error;
use crate::fhir::EntryKind;
use crate::glucose::{DateRange, ReadingError, Scale, ZoneOffsets};
use crate::import::{ClockAnswer, ClockNote, Format};
use crate::orders::{RefusedOrder, StandingOrder};
use crate::store::{ConnectionId, ConnectionRecord, ConnectionState, SubmissionId};
use crate::submission::{LeftOut, StoppedPart, Tally, WaitReason};
use chrono::{DateTime, Utc};
use std::path::PathBuf;

/// Where a person's data lives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The database file. One database holds one person. Lock files are kept beside it.
    pub database: PathBuf,
}

impl Config {
    /// The database at this path, made when it is first needed.
    pub fn new(database: impl Into<PathBuf>) -> Self {
        Self { database: database.into() }
    }
}

/// This person's authorised link to one receiver.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// Its number in this database.
    pub id: ConnectionId,
    /// The receiver's FHIR base URL.
    pub base: String,
    /// The patient whose record it writes to: show this to the person, then call
    /// `confirm_patient`.
    pub patient: Patient,
    /// What it may do.
    pub state: ConnectionState,
}

/// Whose record a connection writes to, as the receiver says.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patient {
    /// The patient id at the receiver.
    pub id: String,
    /// The name, if the receiver gives one.
    pub name: Option<String>,
    /// The birth date as the receiver writes it, `YYYY-MM-DD`.
    pub birth_date: Option<String>,
}

impl std::fmt::Debug for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Patient(…)")
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn of(record: ConnectionRecord) -> Self {
        Self {
            id: record.id,
            base: record.base,
            patient: Patient {
                id: record.patient,
                name: record.details.patient_name,
                birth_date: record.details.birth_date,
            },
            state: record.state,
        }
    }
}

/// What would be sent, before anything is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SubmissionPreview {
    /// One part for each stretch of dates.
    pub parts: Vec<Preview>,
    /// What is not sent, and why.
    pub left_out: Vec<LeftOut>,
}

impl SubmissionPreview {
    /// Readings that the receiver does not have yet.
    pub fn readings_to_send(&self) -> u64 {
        self.parts.iter().map(|part| part.readings_to_send).sum()
    }
}

/// Something the receiver refused.
#[derive(Clone, PartialEq, Eq)]
pub struct RefusedItem {
    /// What it is.
    pub kind: EntryKind,
    /// When it was measured, for a reading.
    pub time: Option<DateTime<Utc>>,
    /// The receiver's own words.
    pub reason: String,
}

/// Leaves out the receiver's words: they are for the person, and may quote anything.
impl std::fmt::Debug for RefusedItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefusedItem")
            .field("kind", &self.kind)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// How a submission stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SubmissionOutcome {
    /// The submissions it is made of.
    pub submissions: Vec<SubmissionId>,
    /// The account of all of them from the beginning, also if an earlier call began them, and of
    /// what else was delivered on the way.
    pub tally: Tally,
    /// What the receiver refused, of these and of earlier ones, and nobody dismissed.
    pub refused: Vec<RefusedItem>,
    /// What was not sent, and why.
    pub left_out: Vec<LeftOut>,
    /// Parts that the receiver refuses as a whole for now. The next submission tries again.
    pub stopped: Vec<StoppedPart>,
    /// What keeps these dates from being complete.
    pub standing: Standing,
    /// Whether the receiver ever answered that it read something and not that it keeps it: what it
    /// has of what counts as `received` is not known. Ask the clinic, or verify.
    pub keeps_no_copies: bool,
    /// That the receiver fails again and again, if it does.
    pub stalled: Option<Stalled>,
    /// Whether everything has an outcome, or why not.
    pub status: OutcomeStatus,
}

impl SubmissionOutcome {
    /// Whether the receiver took everything that was asked for over these dates: nothing is
    /// refused, open, unknown or stalled. What it only read counts too:
    /// [`keeps_no_copies`](Self::keeps_no_copies).
    pub fn is_complete(&self) -> bool {
        self.status == OutcomeStatus::Done
            && self.standing == Standing::default()
            && self.stalled.is_none()
            && self.stopped.is_empty()
    }
}

/// What of some dates the receiver does not have, in entries: also what earlier submissions left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// It refused them, and nobody dismissed that.
    pub refused: u64,
    /// They are still to be sent.
    pub open: u64,
    /// They were sent, and nobody can tell whether it has them.
    pub unknown: u64,
}

/// A receiver that fails again and again. Nothing is lost; it is asked less and less often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// Since when.
    pub since: DateTime<Utc>,
    /// The HTTP status it answers.
    pub http_status: u16,
}

/// Something that was sent, and nobody can tell whether the receiver has it.
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownItem {
    /// What it is.
    pub kind: EntryKind,
    /// When it was measured, for a reading.
    pub time: Option<DateTime<Utc>>,
}

/// Hides the time: it is the person's.
impl std::fmt::Debug for UnknownItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnknownItem").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Why a submission stands as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutcomeStatus {
    /// Everything has an outcome.
    Done,
    /// It goes on by itself at this instant at the earliest.
    Waiting {
        /// The instant.
        until: DateTime<Utc>,
        /// Why.
        reason: WaitReason,
    },
    /// The connection needs the person.
    Blocked(ConnectionState),
}

impl OutcomeStatus {
    pub(super) const fn of(stopped: delivery::Stopped) -> Self {
        match stopped {
            delivery::Stopped::Finished => Self::Done,
            delivery::Stopped::WaitUntil { until, reason } => Self::Waiting { until, reason },
            delivery::Stopped::Blocked(state) => Self::Blocked(state),
        }
    }
}

/// What a run over all connections did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RunReport {
    /// What was delivered, to all of them.
    pub tally: Tally,
    /// Each connection that can send, in the order of their numbers.
    pub connections: Vec<ConnectionRun>,
    /// Tokens of ended connections that their receivers have not taken back yet.
    pub revocations_left: usize,
    /// When the next run is of use at the earliest; `None` if nothing is left that time brings on.
    pub next_wake: Option<DateTime<Utc>>,
}

impl RunReport {
    /// The first failure, if a connection could not be served as it is.
    pub fn into_first_error(self) -> Option<Error> {
        self.connections.into_iter().find_map(|run| run.status.err())
    }
}

/// What a run did for one connection.
#[derive(Debug)]
pub struct ConnectionRun {
    /// The connection.
    pub connection: ConnectionId,
    /// What was delivered to it.
    pub tally: Tally,
    /// Whether anything is left, and why it was not sent; or what failed.
    pub status: Result<OutcomeStatus, Error>,
}

impl ConnectionRun {
    /// When it goes on by itself, if it does. `soon` is for what can be tried again and names no
    /// time, or the time that is over.
    pub(super) fn goes_on(&self, soon: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.status {
            // It sent nothing for lack of time: the same again at once would come to the same.
            Ok(OutcomeStatus::Waiting { until, reason: WaitReason::OutOfTime })
                if self.tally.requests == 0 =>
            {
                Some(soon.max(*until))
            }
            Ok(OutcomeStatus::Waiting { until, reason: WaitReason::VaultLocked }) => {
                Some(soon.max(*until))
            }
            Ok(OutcomeStatus::Waiting { until, .. }) => Some(*until),
            Err(error) if error.retryable() => Some(error.retry_at().unwrap_or(soon)),
            Ok(OutcomeStatus::Done | OutcomeStatus::Blocked(_)) | Err(_) => None,
        }
    }
}

/// What an import has to know besides the file. From an `Option<ZoneOffsets>`: that zone, and
/// nothing else.
#[derive(Clone, Debug, Default)]
pub struct ImportChoices {
    /// The time zone the person lives in: needed if the file's times have no UTC offset.
    pub zone: Option<ZoneOffsets>,
    /// The lowest and highest value the device shows: needed if a device of no known model says
    /// "Low" or "High".
    pub scale: Option<Scale>,
    /// What the person said about the device's clock: an alternative of a
    /// [`ClockNote`]. Answers are kept for later imports.
    pub clock_answers: Vec<ClockAnswer>,
    /// Whether rows that are stored by the clock of another zone move to where this zone puts them,
    /// instead of being refused.
    pub replace: bool,
}

impl From<Option<ZoneOffsets>> for ImportChoices {
    fn from(zone: Option<ZoneOffsets>) -> Self {
        Self { zone, ..Self::default() }
    }
}

impl From<ZoneOffsets> for ImportChoices {
    fn from(zone: ZoneOffsets) -> Self {
        Some(zone).into()
    }
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImportReport {
    /// What the file is.
    pub format: Format,
    /// Readings stored.
    pub stored: usize,
    /// Readings that were there already.
    pub already_there: usize,
    /// Unsent readings whose value or time this file corrected.
    pub replaced: usize,
    /// Sent readings whose value or time this file corrected: the correction is sent.
    pub corrected: usize,
    /// Rows that are no readings, such as alerts and insulin.
    pub skipped: usize,
    /// Rows that were refused: the line in the file, and why.
    pub rejected: Vec<(usize, ReadingError)>,
    /// The local dates of its readings, by the device's own time zone: a submission of these has
    /// all of them.
    pub dates: Option<DateRange>,
    /// What the person's time zone does not explain about the device's clock, with dates, and what
    /// was taken for it. Those that are open are worth a question to the person.
    pub clock_notes: Vec<ClockNote>,
}

/// The orders a receiver has for the patient.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Orders {
    /// Those that run today.
    pub active: Vec<StandingOrder>,
    /// Those that do not, or a schedule of them does not, and why: everything that looks like an
    /// order for glucose data and is not followed.
    pub refused: Vec<RefusedOrder>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_had_too_little_time_to_send_anything_is_not_asked_for_again_at_once() {
        let now = DateTime::UNIX_EPOCH;
        let soon = now + chrono::TimeDelta::minutes(1);
        let run = |requests, reason| ConnectionRun {
            connection: ConnectionId(1),
            tally: Tally { requests, ..Tally::default() },
            status: Ok(OutcomeStatus::Waiting { until: now, reason }),
        };
        assert_eq!(run(0, WaitReason::OutOfTime).goes_on(soon), Some(soon));
        assert_eq!(run(1, WaitReason::OutOfTime).goes_on(soon), Some(now), "it got on");
        assert_eq!(run(0, WaitReason::Deferred).goes_on(soon), Some(now));
    }
}
