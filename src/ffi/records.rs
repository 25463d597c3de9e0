//! The plain records that cross the border, and how they map to the SDK's types.

use super::error::CgmError;
use crate::glucose::{
    self, AbsentReason, Device, GlucoseValue, ReadingError, RecordKey, SensorKey, UtcOffset,
};
use crate::store::ConnectionState as State;
use crate::{ErrorCode, OutcomeStatus, connect, delivery};
use chrono::{DateTime, NaiveDate, Utc};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Prints a record that holds a person's data by its name and nothing else. Exported, so that a
/// host's own printing of it (`toString`, string interpolation, a logged exception) shows no more
/// than a log of the SDK would.
macro_rules! prints_its_name_only {
    ($($record:ident),+) => {$(
        impl fmt::Debug for $record {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($record), "(…)"))
            }
        }
    )+};
}

prints_its_name_only!(
    Sensor,
    Measurement,
    Reading,
    AuthorizationRequest,
    RefusedItem,
    DifferentItem
);

/// A host's instant; a host can name one that no calendar has.
pub(super) fn instant(time: SystemTime) -> Result<DateTime<Utc>, glucose::TimeError> {
    let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()), since.subsec_nanos()),
        // Rounded away from the epoch: nothing before it is a reading's time.
        Err(before) => (i64::try_from(before.duration().as_secs()).map(|s| -s - 1), 0),
    };
    seconds
        .ok()
        .and_then(|s| DateTime::from_timestamp(s, nanos))
        .ok_or(glucose::TimeError::Unreadable)
}

/// The unit a glucose concentration is given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum GlucoseUnit {
    /// mg/dL.
    MgPerDl,
    /// mmol/L.
    MmolPerL,
}

impl From<GlucoseUnit> for glucose::GlucoseUnit {
    fn from(unit: GlucoseUnit) -> Self {
        match unit {
            GlucoseUnit::MgPerDl => Self::MgPerDl,
            GlucoseUnit::MmolPerL => Self::MmolPerL,
        }
    }
}

/// A sensor readings are accepted from.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct Sensor {
    /// What tells it from every other, the same on every phone: the maker and the serial.
    pub key: String,
    /// Maker and model as a person knows it.
    pub device_name: String,
    /// The maker's serial number, where known.
    pub serial: Option<String>,
}

impl TryFrom<Sensor> for glucose::Sensor {
    type Error = CgmError;

    fn try_from(sensor: Sensor) -> Result<Self, CgmError> {
        let invalid = |e: glucose::SensorError| CgmError::invalid(ErrorCode::InvalidSensor, &e);
        let device = Device::new(sensor.device_name, sensor.serial.as_deref()).map_err(invalid)?;
        Ok(Self::new(SensorKey::new(sensor.key).map_err(invalid)?, device))
    }
}

/// What a sensor said.
#[derive(Clone, uniffi::Enum)]
#[uniffi::export(Debug)]
pub enum Measurement {
    /// A value, as decimal text: its digits are kept.
    Value {
        /// For example `6.7`.
        value: String,
        /// Its unit.
        unit: GlucoseUnit,
    },
    /// "Low": below the lowest value the device shows.
    Below {
        /// That value.
        limit: String,
        /// Its unit.
        unit: GlucoseUnit,
    },
    /// "High": above the highest value the device shows.
    Above {
        /// That value.
        limit: String,
        /// Its unit.
        unit: GlucoseUnit,
    },
    /// The sensor gave no value.
    Absent,
}

/// One reading of a sensor.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct Reading {
    /// The sensor's key.
    pub sensor: String,
    /// When it was measured.
    pub time: SystemTime,
    /// Minutes east of UTC where the person was; null where not known.
    pub utc_offset_minutes: Option<i32>,
    /// What the sensor said.
    pub measurement: Measurement,
    /// The maker's own key of the record, where it has one.
    pub record_key: Option<String>,
}

impl TryFrom<Reading> for glucose::Reading {
    type Error = ReadingError;

    fn try_from(reading: Reading) -> Result<Self, ReadingError> {
        let measurement = match &reading.measurement {
            Measurement::Value { value, unit } => {
                glucose::Measurement::Value(GlucoseValue::parse(value, (*unit).into())?)
            }
            Measurement::Below { limit, unit } => {
                glucose::Measurement::Below(GlucoseValue::parse(limit, (*unit).into())?)
            }
            Measurement::Above { limit, unit } => {
                glucose::Measurement::Above(GlucoseValue::parse(limit, (*unit).into())?)
            }
            Measurement::Absent => glucose::Measurement::Absent(AbsentReason::Unknown),
        };
        let offset = reading.utc_offset_minutes.map(UtcOffset::from_minutes).transpose()?;
        let made =
            Self::new(SensorKey::new(reading.sensor)?, instant(reading.time)?, offset, measurement);
        Ok(match reading.record_key {
            Some(key) => made.with_record_key(RecordKey::new(&key)?),
            None => made,
        })
    }
}

/// A reading or row that was refused.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Rejected {
    /// Its place: in the list from 0, in a file the line from 1.
    pub row: u64,
    /// Why.
    pub reason: String,
}

/// What became of readings.
#[derive(Clone, Debug, uniffi::Record)]
pub struct IngestReport {
    /// Stored.
    pub stored: u64,
    /// There already.
    pub already_there: u64,
    /// Corrections of readings that were not sent yet.
    pub replaced: u64,
    /// Corrections of readings that were sent: they are sent again as corrected.
    pub corrected: u64,
    /// Refused.
    pub rejected: Vec<Rejected>,
}

/// Splits what a host gave into readings and refusals; the third is each reading's place in the
/// host's list.
pub(super) fn readings(given: Vec<Reading>) -> (Vec<glucose::Reading>, Vec<Rejected>, Vec<u64>) {
    let (mut good, mut rejected, mut rows) =
        (Vec::with_capacity(given.len()), Vec::new(), Vec::with_capacity(given.len()));
    for (row, reading) in (0_u64..).zip(given) {
        match glucose::Reading::try_from(reading) {
            Ok(reading) => {
                good.push(reading);
                rows.push(row);
            }
            Err(reason) => rejected.push(Rejected { row, reason: reason.to_string() }),
        }
    }
    (good, rejected, rows)
}

pub(super) fn ingest_report(
    report: &crate::store::IngestReport,
    mut rejected: Vec<Rejected>,
    rows: &[u64],
) -> IngestReport {
    rejected.extend(report.rejected.iter().map(|r| Rejected {
        row: rows.get(r.row).copied().unwrap_or_default(),
        reason: r.reason.to_string(),
    }));
    rejected.sort_by_key(|r| r.row);
    IngestReport {
        stored: report.stored as u64,
        already_there: report.already_there as u64,
        replaced: report.replaced as u64,
        corrected: report.corrected as u64,
        rejected,
    }
}

/// What became of a file.
#[derive(Clone, Debug, uniffi::Record)]
pub struct ImportReport {
    /// Stored.
    pub stored: u64,
    /// There already.
    pub already_there: u64,
    /// Corrections of readings that were not sent yet.
    pub replaced: u64,
    /// Corrections of readings that were sent: they are sent again as corrected.
    pub corrected: u64,
    /// Rows that were refused.
    pub rejected: Vec<Rejected>,
}

impl From<crate::ImportReport> for ImportReport {
    fn from(report: crate::ImportReport) -> Self {
        let rejected = report
            .rejected
            .iter()
            .map(|(row, reason)| Rejected { row: *row as u64, reason: reason.to_string() });
        Self {
            stored: report.stored as u64,
            already_there: report.already_there as u64,
            replaced: report.replaced as u64,
            corrected: report.corrected as u64,
            rejected: rejected.collect(),
        }
    }
}

/// A receiver, and how the app is registered there.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Receiver {
    /// The FHIR base URL.
    pub base: String,
    /// The app's client id.
    pub client_id: String,
    /// The app's redirect URI.
    pub redirect_uri: String,
    /// Whether the person is also asked for leave to look at what was sent, so that submissions
    /// can be verified.
    #[uniffi(default = false)]
    pub read_back: bool,
}

impl TryFrom<Receiver> for connect::Receiver {
    type Error = CgmError;

    fn try_from(receiver: Receiver) -> Result<Self, CgmError> {
        let made = Self::new(&receiver.base, &receiver.client_id, &receiver.redirect_uri);
        let made = made.map_err(crate::Error::from)?;
        Ok(if receiver.read_back { made.with_read_back() } else { made })
    }
}

/// An authorisation to be asked for in the browser.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct AuthorizationRequest {
    /// Open this in the system's browser.
    pub url: String,
    /// The state the redirect will carry, to tell redirects apart.
    pub state: String,
    /// After this it must be begun anew.
    pub expires_at: SystemTime,
}

impl From<connect::AuthorizationRequest> for AuthorizationRequest {
    fn from(request: connect::AuthorizationRequest) -> Self {
        Self { url: request.url, state: request.state, expires_at: request.expires_at.into() }
    }
}

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ConnectionState {
    /// Authorised; nothing is sent before the person confirmed the patient.
    Unconfirmed,
    /// Ready to send.
    Active,
    /// The receiver wants a new authorisation.
    NeedsReauthorisation,
    /// The consent does not cover what is to be sent.
    NeedsConsent,
    /// The receiver is not where or what it was.
    Misconfigured,
    /// A token for another patient came back.
    OtherPatient,
    /// Ended by the person.
    Disconnected,
}

impl From<State> for ConnectionState {
    fn from(state: State) -> Self {
        match state {
            State::Unconfirmed => Self::Unconfirmed,
            State::Active => Self::Active,
            State::NeedsReauthorisation => Self::NeedsReauthorisation,
            State::NeedsConsent => Self::NeedsConsent,
            State::Misconfigured => Self::Misconfigured,
            State::OtherPatient => Self::OtherPatient,
            State::Disconnected => Self::Disconnected,
        }
    }
}

/// This person's authorised link to one receiver.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct Connection {
    /// Its number in this database.
    pub id: i64,
    /// The receiver's FHIR base URL.
    pub base: String,
    /// The patient id at the receiver.
    pub patient_id: String,
    /// The patient's name, to be confirmed by the person.
    pub patient_name: Option<String>,
    /// The patient's birth date, `YYYY-MM-DD`.
    pub birth_date: Option<String>,
    /// What it may do.
    pub state: ConnectionState,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection(id={}, state={:?}, …)", self.id, self.state)
    }
}

impl From<crate::Connection> for Connection {
    fn from(connection: crate::Connection) -> Self {
        Self {
            id: connection.id.0,
            base: connection.base,
            patient_id: connection.patient.id,
            patient_name: connection.patient.name,
            birth_date: connection.patient.birth_date,
            state: connection.state.into(),
        }
    }
}

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

/// What a receiver will not have.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct RefusedItem {
    /// What it is: `reading`, `device`, `summary` and so on.
    pub kind: String,
    /// When it was measured, for a reading.
    pub time: Option<SystemTime>,
    /// The receiver's own words. They may quote the entry: for the person, not for a log.
    pub reason: String,
}

impl From<crate::RefusedItem> for RefusedItem {
    fn from(item: crate::RefusedItem) -> Self {
        Self {
            kind: item.kind.word().to_owned(),
            time: item.time.map(SystemTime::from),
            reason: item.reason,
        }
    }
}

/// How a submission stands.
#[derive(Clone, Debug, uniffi::Record)]
pub struct SubmissionOutcome {
    /// The submissions it was made of, to be verified.
    pub submissions: Vec<i64>,
    /// Requests sent.
    pub requests: u64,
    /// Entries newly created at the receiver.
    pub accepted: u64,
    /// Entries the receiver had already.
    pub already_there: u64,
    /// Entries the receiver read and keeps no copy of.
    pub received: u64,
    /// Entries the receiver will not have.
    pub refused: u64,
    /// Of the accepted ones, readings.
    pub readings_accepted: u64,
    /// Whether everything was delivered and nothing refused.
    pub complete: bool,
    /// Where it waits: until when.
    pub waiting_until: Option<SystemTime>,
    /// Where it waits: why, in a word.
    pub waiting_reason: Option<String>,
    /// Entries that were sent over these dates, and nobody can tell whether the receiver has them.
    pub unknown: u64,
    /// Entries over these dates that are still to be sent.
    pub open: u64,
    /// Since when the receiver fails again and again, if it does.
    pub stalled_since: Option<SystemTime>,
    /// Where the connection needs the person: its state.
    pub blocked: Option<ConnectionState>,
    /// What the receiver refused, of this submission and of earlier ones.
    pub refused_items: Vec<RefusedItem>,
    /// What was not sent, and why.
    pub left_out: Vec<String>,
    /// Parts the receiver will have nothing of for now: `devices`, `the summary`, `readings`. The
    /// next submission tries again.
    pub stopped: Vec<String>,
}

impl From<crate::SubmissionOutcome> for SubmissionOutcome {
    fn from(outcome: crate::SubmissionOutcome) -> Self {
        let entries = outcome.tally.entries;
        Self {
            submissions: outcome.submissions.iter().map(|submission| submission.0).collect(),
            requests: outcome.tally.requests,
            accepted: entries.accepted,
            already_there: entries.already_there,
            received: entries.received,
            refused: entries.refused,
            readings_accepted: outcome.tally.readings.accepted,
            complete: outcome.is_complete(),
            waiting_until: match outcome.status {
                OutcomeStatus::Waiting { until, .. } => Some(DateTime::<Utc>::into(until)),
                _ => None,
            },
            waiting_reason: match outcome.status {
                OutcomeStatus::Waiting { reason, .. } => Some(reason.code().to_owned()),
                _ => None,
            },
            unknown: outcome.standing.unknown,
            open: outcome.standing.open,
            stalled_since: outcome.stalled.map(|stalled| stalled.since.into()),
            blocked: match outcome.status {
                OutcomeStatus::Blocked(state) => Some(state.into()),
                _ => None,
            },
            refused_items: outcome.refused.into_iter().map(RefusedItem::from).collect(),
            left_out: outcome.left_out.iter().map(ToString::to_string).collect(),
            stopped: outcome.stopped.iter().map(|stopped| stopped.part.word().to_owned()).collect(),
        }
    }
}

/// What a receiver has of a submission, as far as it lets itself be asked. The counts are of
/// entries.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Verification {
    /// Whether the receiver has everything it accepted, as it was sent.
    pub complete: bool,
    /// It has these as they were sent.
    pub confirmed: u64,
    /// It does not have these: the next submission sends them again.
    pub to_send_again: u64,
    /// It was not found to have these, and they are not sent again.
    pub missing: u64,
    /// It has these, and they say something else.
    pub different: u64,
    /// The first of those.
    pub different_items: Vec<DifferentItem>,
    /// What cannot be verified, and why.
    pub not_verified: Vec<NotVerified>,
}

/// Something that stands otherwise at the receiver than it was sent.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct DifferentItem {
    /// What it is: a reading, a device, a summary or one of its figures.
    pub what: String,
    /// When it was measured, for a reading.
    pub time: Option<SystemTime>,
    /// The element that differs; null where the clinic marked the whole as entered in error.
    pub element: Option<String>,
}

/// A part of a submission that cannot be verified.
#[derive(Clone, Debug, uniffi::Record)]
pub struct NotVerified {
    /// Which part: `devices`, `the summary`, `readings`.
    pub part: String,
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

impl From<crate::Verification> for Verification {
    fn from(verification: crate::Verification) -> Self {
        let differences = verification.differences.iter().map(|item| DifferentItem {
            what: item.what.word().to_owned(),
            time: item.time.map(SystemTime::from),
            element: item.element.clone(),
        });
        let not_verified = verification
            .not_verified
            .iter()
            .map(|one| NotVerified { part: one.part.word().to_owned(), why: one.why.into() });
        Self {
            complete: verification.is_complete(),
            confirmed: verification.confirmed,
            to_send_again: verification.to_send_again,
            missing: verification.missing,
            different: verification.different,
            different_items: differences.collect(),
            not_verified: not_verified.collect(),
        }
    }
}
