//! One reading: which sensor, when, where on the globe's clock, what it said.

use super::{GlucoseError, Measurement, SensorError, SensorKey, TimeError, UtcOffset};
use chrono::{DateTime, TimeDelta, Utc};
use std::borrow::Cow;
use std::fmt;

/// 1990-01-01T00:00:00Z: no continuous monitor is older.
const EARLIEST: i64 = 631_152_000;

/// Why a reading is refused. Names the field, never its content: these reach logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadingError {
    /// The value is no glucose value.
    #[error(transparent)]
    Value(#[from] GlucoseError),
    /// The sensor's description is malformed.
    #[error(transparent)]
    Sensor(#[from] SensorError),
    /// The time cannot be placed.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// Measured before 1990.
    #[error("the time is before 1990: check the date's format")]
    TooOld,
    /// Measured more than a day after now.
    #[error(
        "the time is more than a day ahead of this device's clock: check the date and the time zone"
    )]
    InTheFuture,
    /// The sensor was never registered.
    #[error("the sensor is unknown: register it first")]
    UnknownSensor,
    /// The maker's record key is empty, longer than 256 bytes, or holds control characters.
    #[error("the maker's record key is empty, longer than 256 bytes, or holds control characters")]
    RecordKey,
    /// The row has no such column or an unreadable one.
    #[error("column `{0}` is missing or unreadable")]
    Column(&'static str),
    /// The row has more cells than its header, or a value split in two.
    #[error(
        "the row has more cells than its columns: a decimal comma without quotes splits a value"
    )]
    SurplusCells,
    /// The device cannot have shown this value.
    #[error(
        "the value is outside what its device shows, or it says low or high and is not the limit: \
         check the unit, and the scale if you gave one"
    )]
    OffScale,
    /// A number that no continuous monitor shows in the unit given, and any shows in the other.
    #[error("the number fits the other unit only: check which of mg/dL and mmol/L it is in")]
    OtherUnit,
    /// Another row says something else of the same sensor and second.
    #[error(
        "row {row} says something else of the same sensor and time: nothing tells which is right, \
         so neither is taken; leave one of them out"
    )]
    Contradiction {
        /// The other row's line number, from 1.
        row: usize,
    },
    /// A quote has no end in its line, or stands within a cell.
    #[error(
        "a quote has no end in its line, or stands within a cell: nothing tells which cells were \
         meant; take it out"
    )]
    StrayQuote,
    /// The line is no JSON object.
    #[error("the line is no JSON object: write one object a line, all of it on that line")]
    NotJson,
    /// A JSON object has one field twice.
    #[error("the object has a field twice: nothing tells which of them holds")]
    DoubledField,
    /// The status is none of `ok`, `low`, `high`, `error`, `unknown`.
    #[error("the status is none of ok, low, high, error, unknown")]
    Status,
    /// The row stops before its last column: the file was cut.
    #[error("the row is cut off: export the file again")]
    CutOff,
    /// The same row is already stored at another time: it was imported under another time zone.
    #[error(
        "already imported as {earlier}: import it with that time zone, \
        or say that this one replaces it"
    )]
    AlreadyImportedElsewhere {
        /// The time zone, or UTC offset, of the earlier import.
        earlier: String,
    },
}

/// A maker's own key of a record, which stays the same when its time or value is corrected.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RecordKey(Form);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    Text(Box<str>),
    Count(Box<str>, u32),
}

fn check_key(key: &str) -> Result<Box<str>, ReadingError> {
    if key.is_empty() || key.len() > 256 || key.chars().any(char::is_control) {
        return Err(ReadingError::RecordKey);
    }
    Ok(key.into())
}

impl RecordKey {
    /// A key of 1 to 256 bytes without control characters.
    ///
    /// # Errors
    /// [`ReadingError::RecordKey`].
    pub fn new(key: &str) -> Result<Self, ReadingError> {
        Ok(Self(Form::Text(check_key(key)?)))
    }

    /// The key of a record that its maker counts within a series, as a transmitter counts seconds.
    /// It takes a fraction of the space of a text. A series is named as [`new`](Self::new) says,
    /// and lasts at most 130 days: a record that moves further is another one.
    ///
    /// # Errors
    /// [`ReadingError::RecordKey`].
    pub fn counted(series: &str, count: u32) -> Result<Self, ReadingError> {
        Ok(Self(Form::Count(check_key(series)?, count)))
    }

    /// Series and count of a [counted](Self::counted) key.
    pub fn count(&self) -> Option<(&str, u32)> {
        match &self.0 {
            Form::Count(series, count) => Some((series, *count)),
            Form::Text(_) => None,
        }
    }

    /// The key as text; series and count with a `/` between them.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Form::Text(text) => Cow::Borrowed(text),
            Form::Count(series, count) => Cow::Owned(format!("{series}/{count}")),
        }
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKey(…)")
    }
}

/// One reading of a sensor.
#[derive(Clone, PartialEq, Eq)]
pub struct Reading {
    sensor: SensorKey,
    seconds: i64,
    offset: Option<UtcOffset>,
    measurement: Measurement,
    record_key: Option<RecordKey>,
}

impl Reading {
    /// A reading of `sensor` at `time`, to the second. `offset` is the person's UTC offset at that
    /// time; where it is not known the device's own time zone fills it in when the reading is
    /// stored.
    pub const fn new(
        sensor: SensorKey,
        time: DateTime<Utc>,
        offset: Option<UtcOffset>,
        measurement: Measurement,
    ) -> Self {
        Self { sensor, seconds: time.timestamp(), offset, measurement, record_key: None }
    }

    /// With the maker's own key of the record.
    #[must_use]
    pub fn with_record_key(mut self, key: RecordKey) -> Self {
        self.record_key = Some(key);
        self
    }

    /// Refuses a time before 1990 or more than a day after `now`.
    ///
    /// # Errors
    /// [`ReadingError::TooOld`] or [`ReadingError::InTheFuture`].
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), ReadingError> {
        if self.seconds < EARLIEST {
            return Err(ReadingError::TooOld);
        }
        if self.seconds > (now + TimeDelta::days(1)).timestamp() {
            return Err(ReadingError::InTheFuture);
        }
        Ok(())
    }

    /// The sensor it came from.
    pub const fn sensor(&self) -> &SensorKey {
        &self.sensor
    }

    /// Unix seconds.
    pub const fn seconds(&self) -> i64 {
        self.seconds
    }

    /// The person's UTC offset at that time, where known.
    pub const fn offset(&self) -> Option<UtcOffset> {
        self.offset
    }

    /// What the sensor said.
    pub const fn measurement(&self) -> Measurement {
        self.measurement
    }

    /// The maker's own key of the record.
    pub const fn record_key(&self) -> Option<&RecordKey> {
        self.record_key.as_ref()
    }
}

/// Says nothing: a reading never reaches a log through `{:?}`.
impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reading(…)")
    }
}

/// A sensor's number within one database. Never leaves the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SensorId(pub u32);

/// A stored reading, as statistics and bundles take it: small, and copied freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The sensor's number in this database.
    pub sensor: SensorId,
    /// Unix seconds.
    pub seconds: i64,
    /// The person's UTC offset at that time.
    pub offset: UtcOffset,
    /// What the sensor said.
    pub measurement: Measurement,
}

/// What a sensor said before, as a receiver has seen it: what a correction replaces.
///
/// A maker's record may have moved, so the earlier instant need not be the present one's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EarlierReading {
    /// Unix second at which it was.
    pub seconds: i64,
    /// What it said.
    pub measurement: Measurement,
}

/// Says nothing, like [`Reading`].
impl fmt::Debug for EarlierReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EarlierReading(…)")
    }
}
