//! Readings and sensors, and what became of them.

use super::{count, hidden, instant};
use crate::ErrorCode;
use crate::ffi::error::CgmError;
use crate::glucose::{
    self, AbsentReason, Device, GlucoseValue, ReadingError, RecordKey, SensorKey, UtcOffset,
};
use crate::sorting::sort_by_key;
use std::time::SystemTime;

hidden!(Sensor, Measurement, Reading);

/// The unit a glucose concentration is given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum GlucoseUnit {
    /// mg/dL.
    MgPerDl,
    /// mmol/L.
    MmolPerL,
}

impl From<glucose::GlucoseUnit> for GlucoseUnit {
    fn from(unit: glucose::GlucoseUnit) -> Self {
        match unit {
            glucose::GlucoseUnit::MgPerDl => Self::MgPerDl,
            glucose::GlucoseUnit::MmolPerL => Self::MmolPerL,
        }
    }
}

impl From<GlucoseUnit> for glucose::GlucoseUnit {
    fn from(unit: GlucoseUnit) -> Self {
        match unit {
            GlucoseUnit::MgPerDl => Self::MgPerDl,
            GlucoseUnit::MmolPerL => Self::MmolPerL,
        }
    }
}

/// The lowest and the highest value a device shows.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Scale {
    /// The lowest, as decimal text: `40`.
    pub lowest: String,
    /// The highest: `400`.
    pub highest: String,
    /// The unit of both.
    pub unit: GlucoseUnit,
}

impl TryFrom<Scale> for glucose::Scale {
    type Error = CgmError;

    fn try_from(scale: Scale) -> Result<Self, CgmError> {
        let value = |text: &str| {
            GlucoseValue::parse(text, scale.unit.into())
                .map_err(|e| CgmError::invalid(ErrorCode::InvalidSensor, &e))
        };
        Self::new(value(&scale.lowest)?, value(&scale.highest)?)
            .map_err(|e| CgmError::invalid(ErrorCode::InvalidSensor, &e))
    }
}

/// A sensor readings are accepted from.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct Sensor {
    /// What tells it from every other, the same on every phone: the maker and the serial.
    pub key: String,
    /// Maker and model as a person knows it.
    pub device_name: String,
    /// The maker's serial number, if known.
    pub serial: Option<String>,
    /// What the device shows; beyond it, it says "Low" and "High".
    #[uniffi(default = None)]
    pub scale: Option<Scale>,
}

impl TryFrom<Sensor> for glucose::Sensor {
    type Error = CgmError;

    fn try_from(sensor: Sensor) -> Result<Self, CgmError> {
        let invalid = |e: glucose::SensorError| CgmError::invalid(ErrorCode::InvalidSensor, &e);
        let device = Device::new(sensor.device_name, sensor.serial.as_deref()).map_err(invalid)?;
        let made = Self::new(SensorKey::new(sensor.key).map_err(invalid)?, device);
        Ok(match sensor.scale {
            Some(scale) => made.with_scale(scale.try_into()?),
            None => made,
        })
    }
}

/// What a sensor said.
#[derive(Clone, uniffi::Enum)]
#[uniffi::export(Debug, Display)]
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
#[uniffi::export(Debug, Display)]
pub struct Reading {
    /// The sensor's key.
    pub sensor: String,
    /// When it was measured.
    pub time: SystemTime,
    /// Minutes east of UTC where the person was; null if not known.
    pub utc_offset_minutes: Option<i32>,
    /// What the sensor said.
    pub measurement: Measurement,
    /// The maker's own key of the record, if it has one.
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
    pub row: i64,
    /// Why.
    pub reason: RejectionReason,
    /// The same in English, for developers and logs.
    pub explanation: String,
}

impl Rejected {
    pub(super) fn new(row: i64, reason: &ReadingError) -> Self {
        Self { row, reason: reason.into(), explanation: reason.to_string() }
    }
}

/// Why a reading or row was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum RejectionReason {
    /// The value is no glucose value.
    Value,
    /// The sensor cannot have shown this value.
    OffScale,
    /// The number fits the other unit only.
    OtherUnit,
    /// Another row says something else of the same sensor and time.
    Contradiction,
    /// The sensor's key or device name is malformed.
    Sensor,
    /// The sensor is not registered.
    UnknownSensor,
    /// The time cannot be placed.
    Time,
    /// Measured before 1990.
    TooOld,
    /// Measured more than a day after now.
    InTheFuture,
    /// The maker's record key is malformed.
    RecordKey,
    /// The row of a file is malformed.
    Row,
    /// The same row is stored at another time already.
    AlreadyImported,
}

impl From<&ReadingError> for RejectionReason {
    fn from(error: &ReadingError) -> Self {
        match error {
            ReadingError::Value(_) => Self::Value,
            ReadingError::OffScale => Self::OffScale,
            ReadingError::OtherUnit => Self::OtherUnit,
            ReadingError::Contradiction { .. } => Self::Contradiction,
            ReadingError::Sensor(_) => Self::Sensor,
            ReadingError::UnknownSensor => Self::UnknownSensor,
            ReadingError::Time(_) => Self::Time,
            ReadingError::TooOld => Self::TooOld,
            ReadingError::InTheFuture => Self::InTheFuture,
            ReadingError::RecordKey => Self::RecordKey,
            ReadingError::Column(_)
            | ReadingError::Status
            | ReadingError::SurplusCells
            | ReadingError::StrayQuote
            | ReadingError::NotJson
            | ReadingError::DoubledField
            | ReadingError::CutOff => Self::Row,
            ReadingError::AlreadyImportedElsewhere { .. } => Self::AlreadyImported,
        }
    }
}

/// What became of readings.
#[derive(Clone, Debug, uniffi::Record)]
pub struct IngestReport {
    /// Stored.
    pub stored: i64,
    /// There already.
    pub already_there: i64,
    /// Corrections of readings that were not sent yet.
    pub replaced: i64,
    /// Corrections of readings that were sent: they are sent again as corrected.
    pub corrected: i64,
    /// Refused.
    pub rejected: Vec<Rejected>,
}

/// Splits what a host gave into readings and refusals; the third is each reading's place in the
/// host's list.
pub(in crate::ffi) fn readings(
    given: Vec<Reading>,
) -> (Vec<glucose::Reading>, Vec<Rejected>, Vec<i64>) {
    let (mut good, mut rejected, mut rows) =
        (Vec::with_capacity(given.len()), Vec::new(), Vec::with_capacity(given.len()));
    for (row, reading) in (0_i64..).zip(given) {
        match glucose::Reading::try_from(reading) {
            Ok(reading) => {
                good.push(reading);
                rows.push(row);
            }
            Err(reason) => rejected.push(Rejected::new(row, &reason)),
        }
    }
    (good, rejected, rows)
}

pub(in crate::ffi) fn ingest_report(
    report: &crate::store::IngestReport,
    mut rejected: Vec<Rejected>,
    rows: &[i64],
) -> IngestReport {
    rejected.extend(report.rejected.iter().map(|refused| {
        Rejected::new(rows.get(refused.row).copied().unwrap_or_default(), &refused.reason)
    }));
    sort_by_key(&mut rejected, |r| r.row);
    IngestReport {
        stored: count(report.stored),
        already_there: count(report.already_there),
        replaced: count(report.replaced),
        corrected: count(report.corrected),
        rejected,
    }
}
