//! A sensor reading as an Observation: 99504-3 in mg/dL, 105272-9 in mmol/L.
//!
//! A phone may have 25,000 of them to send in the seconds it is awake, so a reading is written as
//! text piece by piece; whatever else is sent goes through serde. Only what a receiver said
//! (locations) needs escaping: all else is digits, codes and FHIR ids.

use super::codes::{
    DATA_ABSENT_REASON, LOINC, OBSERVATION_INTERPRETATION, UCUM, URI_SYSTEM, glucose_unit,
    reading_code,
};
use super::datetime::FhirDateTime;
use super::decimal::Decimal;
use super::identity::{Identifier, Succession, Urn};
use super::resource::{CATEGORY, IdentifierField, Reference, ReplacesExtension};
use super::subject::SubjectReference;
use crate::glucose::{
    EarlierReading, GlucoseUnit, GlucoseValue, Measurement, SensorKey, UtcOffset,
};
use serde::Serialize;
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
            Self::Identifier(identifier) => Reference::Logical {
                r#type: "Observation",
                identifier: IdentifierField::new(identifier),
            },
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
    /// What the receiver has seen of it, oldest first: its identifier, and what it replaces, follow
    /// from that. Empty unless it was corrected.
    pub history: &'a [EarlierReading],
}

impl ReadingEntry<'_> {
    /// The reading's identifier at the receiver.
    pub fn identifier(&self) -> Identifier {
        self.succession().identifier
    }

    /// Its identifier, and that of the reading it corrects.
    pub(super) fn succession(&self) -> Succession {
        let now = EarlierReading { seconds: self.seconds, measurement: self.measurement };
        Identifier::reading(self.subject.patient(), self.sensor, self.unit, self.history, now)
    }

    /// Appends the Observation. `None`, and nothing, if its time is outside the years 1 to 9999.
    pub(super) fn write(
        &self,
        replaces: Option<Identifier>,
        urn: &Urn,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let time = FhirDateTime::instant(self.seconds, self.offset)?;
        append(out, &[r#"{"resourceType":"Observation""#]);
        if let Some(replaced) = replaces {
            append(out, &[r#","extension":"#]);
            append_json(out, &Replaced::Identifier(replaced).extension());
        }
        append(
            out,
            &[
                r#","identifier":[{"system":""#,
                URI_SYSTEM,
                r#"","value":""#,
                urn.as_str(),
                r#""}],"status":""#,
                if replaces.is_some() { "corrected" } else { "final" },
                r#"","category":"#,
                CATEGORY,
                r#","code":{"coding":[{"system":""#,
                LOINC,
                r#"","code":""#,
                reading_code(self.unit),
                r#""}]},"subject":{"reference":""#,
                self.subject.as_str(),
                r#""},"effectiveDateTime":""#,
                time.as_str(),
                r#"","#,
            ],
        );
        match self.measurement {
            Measurement::Value(value) => self.write_value(value, None, out),
            Measurement::Below(limit) => self.write_value(limit, Some("<"), out),
            Measurement::Above(limit) => self.write_value(limit, Some(">"), out),
            Measurement::Absent(reason) => append(
                out,
                &[
                    r#""dataAbsentReason":{"coding":[{"system":""#,
                    DATA_ABSENT_REASON,
                    r#"","code":""#,
                    reason.code(),
                    r#""}]}"#,
                ],
            ),
        }
        match self.device {
            Some(DeviceReference::Entry(device)) => {
                append(out, &[r#","device":{"reference":""#, device.text().as_str(), r#""}"#]);
            }
            Some(DeviceReference::Location(device)) => {
                append(out, &[r#","device":{"reference":"#]);
                append_json(out, &device);
                append(out, &["}"]);
            }
            None => {}
        }
        append(out, &["}"]);
        Some(())
    }

    /// `beyond` is the comparator of a clipped value, and the code of its interpretation.
    fn write_value(&self, value: GlucoseValue, beyond: Option<&str>, out: &mut Vec<u8>) {
        let unit = glucose_unit(self.unit);
        let comparator = beyond.map(|beyond| [r#","comparator":""#, beyond, r#"""#]);
        append(
            out,
            &[
                r#""valueQuantity":{"value":"#,
                Decimal::from(value.to_unit(self.unit)).digits().as_str(),
            ],
        );
        append(out, comparator.as_ref().map_or(&[], |parts| parts));
        append(
            out,
            &[
                r#","unit":""#,
                unit.text,
                r#"","system":""#,
                UCUM,
                r#"","code":""#,
                unit.code,
                r#""}"#,
            ],
        );
        if let Some(code) = beyond {
            append(
                out,
                &[
                    r#","interpretation":[{"coding":[{"system":""#,
                    OBSERVATION_INTERPRETATION,
                    r#"","code":""#,
                    code,
                    r#""}]}]"#,
                ],
            );
        }
    }
}

/// Appends JSON as it is.
pub(super) fn append(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends what serde makes of it.
fn append_json(out: &mut Vec<u8>, value: &impl Serialize) {
    // Writing strings to memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

/// Says only the unit it is sent in.
impl fmt::Debug for ReadingEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadingEntry").field("unit", &self.unit).finish_non_exhaustive()
    }
}
