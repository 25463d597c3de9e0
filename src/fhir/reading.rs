//! A sensor reading as an Observation: 99504-3 in mg/dL, 105272-9 in mmol/L.

use super::codes::{DATA_ABSENT_REASON, glucose_unit, reading_code};
use super::decimal::Decimal;
use super::identity::{Identifier, ReadingKey};
use super::moment::Moment;
use super::resource::{
    CodeableConcept, Effective, IdentifierField, Observation, Quantity, Reference, ReplacesExtension,
};
use super::subject::SubjectReference;
use crate::glucose::{GlucoseUnit, Measurement, SensorKey, UtcOffset};
use std::fmt;

/// The device a reading came from.
#[derive(Clone, Copy)]
pub enum DeviceReference<'a> {
    /// An entry of the same bundle.
    Entry(Identifier),
    /// Where the receiver put it, `Device/12`.
    Location(&'a str),
}

/// The earlier resource a new one takes the place of.
#[derive(Clone, Copy)]
pub enum Replaced<'a> {
    /// By the identifier it was sent with.
    Identifier(Identifier),
    /// Where the receiver put it, `Observation/12`.
    Location(&'a str),
}

impl<'a> Replaced<'a> {
    pub(super) const fn extension(self) -> [ReplacesExtension<'a>; 1] {
        [ReplacesExtension::new(match self {
            Self::Identifier(identifier) => {
                Reference::Logical { r#type: "Observation", identifier: IdentifierField::new(identifier) }
            }
            Self::Location(reference) => Reference::Address { reference },
        })]
    }
}

/// One reading, as it is sent.
#[derive(Clone, Copy)]
pub struct ReadingEntry<'a> {
    /// Whose it is.
    pub subject: &'a SubjectReference,
    /// The sensor it came from.
    pub sensor: &'a SensorKey,
    /// What tells it from the sensor's others.
    pub key: ReadingKey<'a>,
    /// Unix seconds.
    pub seconds: i64,
    /// The person's UTC offset at that time.
    pub offset: UtcOffset,
    /// What the sensor said.
    pub measurement: Measurement,
    /// The unit it is sent in.
    pub unit: GlucoseUnit,
    /// The device, where it is sent too.
    pub device: Option<DeviceReference<'a>>,
    /// What it corrects.
    pub replaces: Option<Replaced<'a>>,
}

impl<'a> ReadingEntry<'a> {
    /// The reading's identifier at the receiver.
    pub fn identifier(&self) -> Identifier {
        Identifier::reading(self.subject.patient(), self.sensor, self.key, self.unit, self.measurement)
    }

    /// The Observation; none where its time is outside the years 0 to 9999.
    pub(super) fn observation(&self, identifier: Identifier) -> Option<Observation<'a>> {
        let time = Moment::instant(self.seconds, self.offset)?;
        let mut observation =
            Observation::new(identifier, reading_code(self.unit), self.subject.as_str(), Effective::DateTime(time));
        let (comparator, value) = match self.measurement {
            Measurement::Value(value) => (None, Some(value)),
            Measurement::Below(limit) => (Some("<"), Some(limit)),
            Measurement::Above(limit) => (Some(">"), Some(limit)),
            Measurement::Absent(reason) => {
                observation.data_absent_reason = Some(CodeableConcept::new(DATA_ABSENT_REASON, reason.code()));
                (None, None)
            }
        };
        observation.value_quantity = value.map(|value| {
            Quantity::compared(Decimal::from(value.to_unit(self.unit)), glucose_unit(self.unit), comparator)
        });
        observation.device = self.device.map(|device| match device {
            DeviceReference::Entry(reference) => Reference::Entry { reference },
            DeviceReference::Location(reference) => Reference::Address { reference },
        });
        if let Some(replaced) = self.replaces {
            observation.extension = Some(replaced.extension());
            observation.status = "corrected";
        }
        Some(observation)
    }
}

/// Says only the unit it is sent in.
impl fmt::Debug for ReadingEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadingEntry").field("unit", &self.unit).finish_non_exhaustive()
    }
}
