//! Files: what an import has to know besides the bytes, and what became of them.

use super::dates::DateRange;
use super::readings::{Rejected, Scale};
use super::zone::{OffsetChange, zone_offsets};
use super::{count, hidden};
use crate::ErrorCode;
use crate::ffi::error::CgmError;
use crate::glucose::{self, TimeError, UtcOffset, ZoneOffsets};
use crate::import;
use chrono::NaiveDateTime;

hidden!(ClockNote, ClockAnswer);

/// How a local time is written: like the zone's own clock, without an offset.
const LOCAL_TIME: &str = "%Y-%m-%dT%H:%M:%S";

/// What an import has to know besides the file.
#[derive(Clone, Debug, Default, uniffi::Record)]
pub struct ImportChoices {
    /// The time zone the person lives in: needed if the file's times have no UTC offset, as in a
    /// Dexcom Clarity export. `FileZone.OfThisDevice` is the one `HostLocalTime` gives.
    #[uniffi(default = None)]
    pub zone: Option<FileZone>,
    /// The lowest and highest value the device shows: needed if a device of no known model says
    /// "Low" or "High".
    #[uniffi(default = None)]
    pub scale: Option<Scale>,
    /// What the person said about the device's clock: an alternative of a `ClockNote`. Answers are
    /// kept for later imports.
    #[uniffi(default = [])]
    pub clock_answers: Vec<ClockAnswer>,
    /// Whether rows that are stored by the clock of another zone move to where this zone puts
    /// them, instead of being refused.
    #[uniffi(default = false)]
    pub replace: bool,
}

/// The time zone of a file's clock.
#[derive(Clone, Debug, uniffi::Enum)]
pub enum FileZone {
    /// The one this device is set to.
    OfThisDevice,
    /// Another one, over the whole stretch of the file.
    Other {
        /// Its name, for example `Europe/Bucharest`.
        name: String,
        /// Its offsets in rising order; the first also holds for all time before.
        offsets: Vec<OffsetChange>,
    },
}

impl ImportChoices {
    /// The choices as the SDK has them. `device` is this device's zone, if it is the file's.
    pub(in crate::ffi) fn resolved(
        self,
        device: Option<ZoneOffsets>,
    ) -> Result<crate::ImportChoices, CgmError> {
        let invalid = |error: TimeError| CgmError::invalid(ErrorCode::InvalidTime, &error);
        let zone = match self.zone {
            None => None,
            Some(FileZone::OfThisDevice) => device,
            Some(FileZone::Other { name, offsets }) => {
                Some(zone_offsets(name, offsets).map_err(invalid)?)
            }
        };
        let answers = self.clock_answers.into_iter().map(import::ClockAnswer::try_from);
        Ok(crate::ImportChoices {
            zone,
            scale: self.scale.map(glucose::Scale::try_from).transpose()?,
            clock_answers: answers.collect::<Result<_, _>>().map_err(invalid)?,
            replace: self.replace,
        })
    }
}

/// What the person says of the device's clock: at its local time `at` it had this UTC offset. Taken
/// from a `ClockNote`, `at` is the note's, and the offset one of its alternatives.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct ClockAnswer {
    /// The device's local time, `YYYY-MM-DDThh:mm:ss`.
    pub at: String,
    /// Minutes east of UTC.
    pub utc_offset_minutes: i32,
}

impl TryFrom<ClockAnswer> for import::ClockAnswer {
    type Error = TimeError;

    fn try_from(answer: ClockAnswer) -> Result<Self, TimeError> {
        let at = NaiveDateTime::parse_from_str(&answer.at, LOCAL_TIME);
        Ok(Self {
            at: at.map_err(|_| TimeError::Unreadable)?,
            offset: UtcOffset::from_minutes(answer.utc_offset_minutes)?,
        })
    }
}

/// What a device's clock did that the person's time zone does not explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ClockEvent {
    /// It moved: the person travelled, or set it by hand.
    Moved,
    /// The zone's clocks changed, and it did not.
    DidNotFollow,
    /// A new transmitter began while it was away from home, and nothing shows that it still was.
    NewTransmitter,
    /// The export has no transmitter's count, so that it does not show whether the clock moved.
    NotShown,
}

impl From<import::ClockEvent> for ClockEvent {
    fn from(event: import::ClockEvent) -> Self {
        match event {
            import::ClockEvent::Moved => Self::Moved,
            import::ClockEvent::DidNotFollow => Self::DidNotFollow,
            import::ClockEvent::NewTransmitter => Self::NewTransmitter,
            import::ClockEvent::NotShown => Self::NotShown,
        }
    }
}

/// What a UTC offset was chosen by, the best evidence first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ClockBasis {
    /// The person said so.
    Told,
    /// The zone's own change of the clocks is in the times, at its very instant.
    ZoneChange,
    /// The clock left the zone's time and came back to it, and had it most of the time.
    Return,
    /// The readings are stored so.
    Stored,
    /// The clock had the zone's time throughout.
    Zone,
    /// The clock has the zone's time in the last days.
    LastStretch,
    /// The clock has the zone's time for most readings.
    LongestStretch,
}

impl From<import::ClockBasis> for ClockBasis {
    fn from(basis: import::ClockBasis) -> Self {
        match basis {
            import::ClockBasis::Told => Self::Told,
            import::ClockBasis::ZoneChange => Self::ZoneChange,
            import::ClockBasis::Return => Self::Return,
            import::ClockBasis::Stored => Self::Stored,
            import::ClockBasis::Zone => Self::Zone,
            import::ClockBasis::LastStretch => Self::LastStretch,
            import::ClockBasis::LongestStretch => Self::LongestStretch,
        }
    }
}

/// Something the person's time zone does not explain about the device's clock, and what was taken
/// for it.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct ClockNote {
    /// The device's local time of the first reading after it, `YYYY-MM-DDThh:mm:ss`.
    pub at: String,
    /// The device's local time of the last reading it is about; null if it does not end.
    pub until: Option<String>,
    /// What happened.
    pub event: ClockEvent,
    /// The UTC offset taken before it, minutes east of UTC.
    pub minutes_before: i32,
    /// The UTC offset taken from then on.
    pub minutes_after: i32,
    /// Other offsets the clock may have had from then on. To say so, import again with a
    /// `ClockAnswer` of one of them.
    pub alternative_minutes: Vec<i32>,
    /// What it was taken by.
    pub basis: ClockBasis,
    /// Whether it stays open: the evidence is weak, and the person knows better.
    pub open: bool,
    /// The same in English, for the person.
    pub explanation: String,
}

impl From<import::ClockNote> for ClockNote {
    fn from(note: import::ClockNote) -> Self {
        let minutes = |offset: UtcOffset| i32::from(offset.minutes());
        Self {
            at: note.at.format(LOCAL_TIME).to_string(),
            until: note.until.map(|until| until.format(LOCAL_TIME).to_string()),
            event: note.event.into(),
            minutes_before: minutes(note.before),
            minutes_after: minutes(note.after),
            alternative_minutes: note.alternatives.iter().copied().map(minutes).collect(),
            basis: note.basis.into(),
            open: note.open,
            explanation: note.to_string(),
        }
    }
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum FileFormat {
    /// Dexcom Clarity CSV.
    DexcomClarity,
    /// CSV with the columns `time`, `value`, `unit`.
    Csv,
    /// The same fields as one JSON object a line.
    Ndjson,
}

impl From<import::Format> for FileFormat {
    fn from(format: import::Format) -> Self {
        match format {
            import::Format::DexcomClarity => Self::DexcomClarity,
            import::Format::Csv => Self::Csv,
            import::Format::Ndjson => Self::Ndjson,
        }
    }
}

/// What became of a file.
#[derive(Clone, Debug, uniffi::Record)]
pub struct ImportReport {
    /// What the file is.
    pub format: FileFormat,
    /// Readings stored.
    pub stored: i64,
    /// Readings that were there already.
    pub already_there: i64,
    /// Corrections of readings that were not sent yet.
    pub replaced: i64,
    /// Corrections of readings that were sent: they are sent again as corrected.
    pub corrected: i64,
    /// Rows that are no readings, such as alerts and insulin.
    pub skipped: i64,
    /// Rows that were refused.
    pub rejected: Vec<Rejected>,
    /// The local dates of its readings: a submission of these has all of them.
    pub dates: Option<DateRange>,
    /// What the person's time zone does not explain about the device's clock. Notes that are open
    /// are worth a question to the person.
    pub clock_notes: Vec<ClockNote>,
}

impl From<crate::ImportReport> for ImportReport {
    fn from(report: crate::ImportReport) -> Self {
        let rejected =
            report.rejected.iter().map(|(row, reason)| Rejected::new(count(*row), reason));
        Self {
            format: report.format.into(),
            stored: count(report.stored),
            already_there: count(report.already_there),
            replaced: count(report.replaced),
            corrected: count(report.corrected),
            skipped: count(report.skipped),
            rejected: rejected.collect(),
            dates: report.dates.map(DateRange::from),
            clock_notes: report.clock_notes.into_iter().map(ClockNote::from).collect(),
        }
    }
}
