//! The devices a submission sends, one sensor for each.

use super::{Assembly, Body, resources};
use crate::error::Error;
use crate::fhir::{DeviceEntry, Fit};
use crate::store::{SentResource, StoredSensor};
use crate::submission::Position;

impl Assembly<'_> {
    /// The devices whose readings are sent and which the receiver was not told of. A refused device
    /// is not sent again, and its readings omit the reference.
    pub(in crate::delivery) fn unknown_devices(&self) -> Result<Vec<StoredSensor>, Error> {
        self.devices_where(|sent| !sent.is_some_and(SentResource::is_settled))
    }

    /// The devices whose readings are sent, one sensor for each, whose sent record satisfies
    /// `is_meant`.
    pub(super) fn devices_where(
        &self,
        is_meant: impl Fn(Option<&SentResource>) -> bool,
    ) -> Result<Vec<StoredSensor>, Error> {
        let window = self.plan.window;
        let in_window = |sensor: &StoredSensor| {
            sensor
                .first
                .zip(sensor.last)
                .is_some_and(|(first, last)| first < window.end() && last >= window.start())
        };
        let mut found: Vec<StoredSensor> = Vec::new();
        let mut seen = Vec::new();
        for sensor in self.store.sensors()?.into_iter().filter(in_window) {
            let identifier = self.device(&sensor).identifier().urn();
            let sent = self.store.resource(self.connection.id, &identifier)?;
            if is_meant(sent.as_ref()) && !seen.contains(&identifier) {
                seen.push(identifier);
                found.push(sensor);
            }
        }
        Ok(found)
    }

    pub(in crate::delivery) fn device<'s>(&'s self, sensor: &'s StoredSensor) -> DeviceEntry<'s> {
        DeviceEntry {
            subject: &self.subject,
            device: sensor.sensor.device(),
            sensor: sensor.sensor.key(),
        }
    }

    /// The devices, in a request of their own: readings then refer to the location they got, and do
    /// not fail with them.
    pub(super) fn devices(&self, sensors: &[StoredSensor]) -> Result<Option<Body>, Error> {
        let mut bundle = self.writer();
        for sensor in sensors.iter().take(self.max_units()) {
            let fit = bundle.try_unit(|unit| unit.device(&self.device(sensor)).map(drop));
            if fit.map_err(Error::bundle)? == Fit::Full {
                break;
            }
        }
        Ok(bundle.finish().map(|done| resources(done, self.after(Position::Devices), None)))
    }
}
