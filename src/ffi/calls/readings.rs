//! Readings: taking them in, from a device or a file, and what they come to.

use crate::ffi::CgmSubmitter;
use crate::ffi::error::CgmError;
use crate::ffi::records::dates::DateRange;
use crate::ffi::records::imports::{FileZone, ImportChoices, ImportReport};
use crate::ffi::records::readings::{
    self, GlucoseUnit, IngestReport, Reading, Sensor, ingest_report,
};
use crate::ffi::records::summary::Summary;
use crate::{ErrorCode, glucose};
use std::time::SystemTime;

#[uniffi::export]
impl CgmSubmitter {
    /// Makes a sensor known. Readings of unknown sensors are refused.
    ///
    /// A sensor is told apart by its key alone: give each device its own. Registering a key again
    /// is no error; the sensor has the new name, serial number and scale from then on, and keeps
    /// its readings. What is sent later names it so.
    pub async fn register_sensor(&self, sensor: Sensor) -> Result<(), CgmError> {
        Ok(self.submitter.register_sensor(sensor.try_into()?).await?)
    }

    /// Stores readings. One that is there already is not stored twice; a bad one is reported by its
    /// place in the list.
    pub async fn ingest(&self, readings: Vec<Reading>) -> Result<IngestReport, CgmError> {
        let (good, rejected, rows) = readings::readings(readings);
        let report = self.submitter.ingest_beside(good, rejected.len()).await?;
        Ok(ingest_report(&report, rejected, &rows))
    }

    /// When a sensor's latest stored reading was measured: the place to read on from.
    pub async fn latest_reading(&self, sensor: String) -> Result<Option<SystemTime>, CgmError> {
        let key = glucose::SensorKey::new(sensor)
            .map_err(|e| CgmError::invalid(ErrorCode::InvalidSensor, &e))?;
        Ok(self.submitter.latest_reading(key).await?.map(SystemTime::from))
    }

    /// The local dates of the stored readings, from the first to the last; null if there are none.
    pub async fn dates(&self) -> Result<Option<DateRange>, CgmError> {
        Ok(self.submitter.dates().await?.map(DateRange::from))
    }

    /// Stores the readings of a file: its format is recognised from its content. A file that leaves
    /// something open, such as its time zone or what its device shows as "Low", fails with the code
    /// `file-needs-answer`; import it again with the answer in `choices`.
    ///
    /// A file of local times, such as Dexcom Clarity's, needs `choices.zone`: ask the person, and
    /// pass `FileZone.OfThisDevice` (in Python `FileZone.OF_THIS_DEVICE()`) if the device that
    /// measured lived in the zone that `HostLocalTime` gives. It is not taken unasked: the phone
    /// may be abroad, or the file somebody's who lives elsewhere.
    ///
    /// The same file again, a shorter or a longer one of the same device change nothing but what
    /// they know better: readings that move are corrected at receivers that have them.
    #[uniffi::method(default(choices = None))]
    pub async fn import_file(
        &self,
        bytes: Vec<u8>,
        choices: Option<ImportChoices>,
    ) -> Result<ImportReport, CgmError> {
        let choices = choices.unwrap_or_default();
        let device = match choices.zone {
            Some(FileZone::OfThisDevice) => Some(self.submitter.local_zone().await?),
            _ => None,
        };
        Ok(self.submitter.import(bytes, choices.resolved(device)?).await?.into())
    }

    /// The unit the person's device shows: the one of the latest reading, mg/dL if there is none.
    pub async fn own_unit(&self) -> Result<GlucoseUnit, CgmError> {
        Ok(self.submitter.own_unit().await?.into())
    }

    /// The consensus statistics over local dates.
    pub async fn summary(&self, dates: DateRange) -> Result<Summary, CgmError> {
        Ok(self.submitter.summary(dates.try_into()?).await?.into())
    }
}
