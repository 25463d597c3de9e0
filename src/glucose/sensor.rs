//! The sensor a reading came from, and the device it belongs to.

use super::{GlucoseUnit, Scale};
use std::fmt;

/// Longest text accepted for a key or a name.
const MAX_LENGTH: usize = 256;

/// Why a sensor's description is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SensorError {
    /// A required text is empty.
    #[error("the sensor's {0} is empty")]
    Empty(&'static str),
    /// A text is longer than 256 bytes or holds control characters, those that change the direction
    /// of writing included.
    #[error("the sensor's {0} is longer than 256 bytes or holds control characters")]
    Malformed(&'static str),
    /// The lowest value a device shows must be below its highest.
    #[error("the sensor's scale ends before it starts")]
    Scale,
}

fn checked(text: impl Into<String>, what: &'static str) -> Result<String, SensorError> {
    let text = text.into();
    if text.trim().is_empty() {
        return Err(SensorError::Empty(what));
    }
    if text.len() > MAX_LENGTH || text.chars().any(|c| c.is_control() || reorders(c)) {
        return Err(SensorError::Malformed(what));
    }
    Ok(text)
}

/// Whether a character changes the order in which others are shown (Unicode's `Bidi_Control`): a
/// text that reads as another misleads who reads it.
pub(crate) const fn reorders(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// What tells one sensor from every other, the same on every phone: the maker and the transmitter's
/// or sensor's serial, for example `dexcom:82AJ0D`. Part of a reading's identity at a receiver.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SensorKey(String);

/// Hides the serial number it holds.
impl fmt::Debug for SensorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SensorKey(…)")
    }
}

impl SensorKey {
    /// A key of 1 to 256 bytes without control characters.
    ///
    /// # Errors
    /// [`SensorError::Empty`] or [`SensorError::Malformed`].
    pub fn new(key: impl Into<String>) -> Result<Self, SensorError> {
        checked(key, "key").map(Self)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a device is called and how its maker tells it apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    name: String,
    serial: Option<String>,
}

/// Hides the serial number.
impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Device {
    /// `name` is maker and model as a person knows it, `Dexcom G6`; `serial` the maker's serial
    /// number where known. Blanks around them are dropped: FHIR has none there.
    ///
    /// # Errors
    /// [`SensorError::Empty`] or [`SensorError::Malformed`].
    pub fn new(name: impl Into<String>, serial: Option<&str>) -> Result<Self, SensorError> {
        Ok(Self {
            name: checked(name.into().trim(), "device name")?,
            serial: serial.map(|s| checked(s.trim(), "serial number")).transpose()?,
        })
    }

    /// Maker and model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The maker's serial number.
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }
}

/// A sensor readings are accepted from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensor {
    key: SensorKey,
    device: Device,
    scale: Option<Scale>,
    zone: Option<String>,
}

impl Sensor {
    /// A sensor known by `key`.
    pub const fn new(key: SensorKey, device: Device) -> Self {
        Self { key, device, scale: None, zone: None }
    }

    /// With what the device shows; beyond it, it says "Low" and "High".
    #[must_use]
    pub const fn with_scale(mut self, scale: Scale) -> Self {
        self.scale = Some(scale);
        self
    }

    /// With the scale of its model, if it has none and its device's name says a known one.
    #[must_use]
    pub fn with_scale_of_model(self) -> Self {
        let of_model = || Scale::of_model(self.device.name(), GlucoseUnit::MgPerDl);
        Self { scale: self.scale.or_else(of_model), ..self }
    }

    /// For a sensor whose file gave local times only: the name of the time zone that placed them.
    /// The same name again means the same clock, whatever the person's travels.
    #[must_use]
    pub fn with_zone(mut self, name: impl Into<String>) -> Self {
        self.zone = Some(name.into());
        self
    }

    /// What tells the sensor from every other.
    pub const fn key(&self) -> &SensorKey {
        &self.key
    }

    /// The device it belongs to.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// What the device shows, if that is known.
    pub const fn scale(&self) -> Option<Scale> {
        self.scale
    }

    /// The name of the time zone that placed its local times, if its file gave no others.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_devices_name_and_serial_number_have_no_blanks_around_them() {
        let device = Device::new("\u{a0}Dexcom G6 ", Some(" 82AJ0D\u{2003}")).unwrap();
        assert_eq!((device.name(), device.serial()), ("Dexcom G6", Some("82AJ0D")));
        assert_eq!(Device::new(" \u{a0}", None), Err(SensorError::Empty("device name")));
    }

    #[test]
    fn a_known_model_gives_its_scale_to_a_sensor_that_has_none() {
        let at = |mg_dl| super::super::GlucoseValue::new(mg_dl, 0, GlucoseUnit::MgPerDl).unwrap();
        let sensor = |name: &str| {
            Sensor::new(SensorKey::new("s").unwrap(), Device::new(name, None).unwrap())
        };
        let scale = |sensor: Sensor| sensor.with_scale_of_model().scale();
        assert_eq!(scale(sensor("Dexcom G6")), Scale::new(at(40), at(400)).ok());
        assert_eq!(scale(sensor("Acme One")), None);
        let own = Scale::new(at(50), at(300)).unwrap();
        assert_eq!(scale(sensor("Dexcom G6").with_scale(own)), Some(own));
    }

    #[test]
    fn what_nobody_can_see_is_refused() {
        for text in [
            "a\u{0}b",
            "a\nb",
            "a\u{202e}b",
            "a\u{2066}b\u{2069}",
            "a\u{200e}b",
            "a\u{200f}b",
            "a\u{61c}b",
        ] {
            assert_eq!(
                Device::new(text, None),
                Err(SensorError::Malformed("device name")),
                "{text:?}"
            );
            assert_eq!(SensorKey::new(text), Err(SensorError::Malformed("key")), "{text:?}");
        }
    }
}
