//! The readings a submission sends, as many as a batch takes.

use super::{Assembly, Body};
use crate::error::Error;
use crate::fhir::{BundleError, DeviceReference, Fit, ReadingEntry};
use crate::glucose::SensorId;
use crate::store::{ReadingKey, SentResource, StoredSensor, VersionedReading};
use crate::submission::Position;
use crate::submission::{Item, ManifestEntry};
use std::collections::HashMap;

impl Assembly<'_> {
    /// As many readings after `after` as a batch takes, of those the receiver lacks.
    pub(super) fn unsent_readings(&self, after: Option<i64>) -> Result<Option<Body>, Error> {
        let key = after.and_then(ReadingKey::from_packed);
        let unsent = self.store.unsent(
            self.connection.id,
            self.plan.wanted.unit,
            self.plan.window,
            key,
            self.max_units(),
        )?;
        self.readings(&unsent, after)
    }

    /// These readings, as many as a batch takes.
    pub(super) fn readings(
        &self,
        readings: &[VersionedReading],
        after: Option<i64>,
    ) -> Result<Option<Body>, Error> {
        if readings.is_empty() {
            return Ok(None);
        }
        let sensors = self.store.sensors()?;
        let known: HashMap<SensorId, (&StoredSensor, Option<String>)> = sensors
            .iter()
            .map(|sensor| Ok((sensor.id, (sensor, self.location_of(sensor)?))))
            .collect::<Result<_, Error>>()?;
        let mut bundle = self.writer();
        let mut manifest = Vec::with_capacity(readings.len());
        let mut last = after;
        for reading in readings {
            let Some((sensor, location)) = known.get(&reading.sample.sensor) else {
                return Err(Error::Assembly("a reading's sensor is gone"));
            };
            let entry = self.reading(sensor, location.as_deref(), reading);
            match bundle.try_unit(|unit| unit.reading(&entry).map(drop)) {
                Ok(Fit::Added) => {
                    let unit = u32::try_from(manifest.len()).unwrap_or(u32::MAX);
                    let item =
                        Item::Reading(reading.key.packed(), reading.version, self.plan.wanted.unit);
                    manifest.push(ManifestEntry { unit, item });
                }
                Ok(Fit::Full) => break,
                // Two records of the maker with one identity are one fact: the first speaks for
                // both.
                Err(BundleError::Twin(_)) => {}
                Err(error) => return Err(Error::bundle(error)),
            }
            last = Some(reading.key.packed());
        }
        Ok(bundle.finish().map(|done| Body {
            json: done.json,
            manifest,
            position_after: Position::Readings(last),
        }))
    }

    /// Where the receiver put a sensor's device, if it is to be referred to.
    pub(super) fn location_of(&self, sensor: &StoredSensor) -> Result<Option<String>, Error> {
        if !self.plan.wanted.devices {
            return Ok(None);
        }
        let identifier = self.device(sensor).identifier().urn();
        let sent =
            self.store.resource(self.connection.id, &identifier)?.filter(SentResource::is_settled);
        Ok(sent.and_then(|sent| sent.location))
    }

    pub(super) fn reading<'s>(
        &'s self,
        sensor: &'s StoredSensor,
        device: Option<&'s str>,
        reading: &'s VersionedReading,
    ) -> ReadingEntry<'s> {
        ReadingEntry {
            subject: &self.subject,
            sensor: sensor.sensor.key(),
            seconds: reading.sample.seconds,
            offset: reading.sample.offset,
            measurement: reading.sample.measurement,
            unit: self.plan.wanted.unit,
            device: device.map(DeviceReference::Location),
            history: &reading.history,
        }
    }
}
