//! A device as a Device resource: what it is called, its serial number, whose it is.

use super::identity::Identifier;
use super::resource::{IdentifierField, Reference};
use super::subject::SubjectReference;
use crate::glucose::{Device, SensorKey};
use serde::Serialize;
use std::fmt;

/// A device, as it is sent.
#[derive(Clone, Copy)]
pub struct DeviceEntry<'a> {
    /// Whose it is.
    pub subject: &'a SubjectReference,
    /// What it is called, and its serial number.
    pub device: &'a Device,
    /// Its sensor, which tells it apart where the maker gives no serial number.
    pub sensor: &'a SensorKey,
}

#[derive(Serialize)]
struct DeviceName<'a> {
    name: &'a str,
    r#type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceResource<'a> {
    resource_type: &'static str,
    identifier: [IdentifierField; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<&'a str>,
    device_name: [DeviceName<'a>; 1],
    patient: Reference<'a>,
}

impl<'a> DeviceEntry<'a> {
    /// The device's identifier at the receiver.
    pub fn identifier(&self) -> Identifier {
        Identifier::device(self.subject.patient(), self.device, self.sensor)
    }

    pub(super) fn resource(&self, identifier: Identifier) -> DeviceResource<'a> {
        DeviceResource {
            resource_type: "Device",
            identifier: [IdentifierField::new(identifier)],
            serial_number: self.device.serial(),
            device_name: [DeviceName { name: self.device.name(), r#type: "user-friendly-name" }],
            patient: Reference::Address { reference: self.subject.as_str() },
        }
    }
}

/// Says nothing: a serial number reaches no log.
impl fmt::Debug for DeviceEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceEntry").finish_non_exhaustive()
    }
}
