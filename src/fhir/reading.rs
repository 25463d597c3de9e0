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
use std::sync::LazyLock;

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
        [ReplacesExtension::new(self.reference())]
    }

    pub(super) const fn reference(self) -> Reference<'a> {
        match self {
            Self::Identifier(identifier) => Reference::Logical {
                r#type: "Observation",
                identifier: IdentifierField::new(identifier),
            },
            Self::Location(reference) => Reference::Address { reference },
        }
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
        let fixed = Fixed::of(self.unit);
        append(out, &[r#"{"resourceType":"Observation""#]);
        if let Some(replaced) = replaces {
            append(out, &[r#","extension":"#]);
            append_json(out, &Replaced::Identifier(replaced).extension());
        }
        let status = if replaces.is_some() { "corrected" } else { "final" };
        let identified = [&fixed.identifier, urn.as_str(), r#""}],"status":""#, status];
        append(out, &identified);
        let subject = [&fixed.code, self.subject.as_str()];
        append(out, &subject);
        append(out, &[r#""},"effectiveDateTime":""#, time.as_str(), r#"","#]);
        match self.measurement {
            Measurement::Value(value) => self.write_value(fixed, value, None, out),
            Measurement::Below(limit) => self.write_value(fixed, limit, Some("<"), out),
            Measurement::Above(limit) => self.write_value(fixed, limit, Some(">"), out),
            Measurement::Absent(reason) => {
                append(out, &[&fixed.absent, reason.code(), r#""}]}"#]);
            }
        }
        self.write_device(out);
        append(out, &["}"]);
        Some(())
    }

    /// `beyond` is the comparator of a clipped value, and the code of its interpretation.
    fn write_value(
        &self,
        fixed: &Fixed,
        value: GlucoseValue,
        beyond: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let digits = Decimal::from(value.to_unit(self.unit)).digits();
        append(out, &[r#""valueQuantity":{"value":"#, digits.as_str()]);
        if let Some(comparator) = beyond {
            append(out, &[r#","comparator":""#, comparator, r#"""#]);
        }
        append(out, &[&fixed.unit]);
        if let Some(code) = beyond {
            append(out, &[&fixed.interpretation, code, r#""}]}]"#]);
        }
    }

    fn write_device(&self, out: &mut Vec<u8>) {
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
    }
}

/// What stands between the parts in which readings of a unit differ: put together once.
struct Fixed {
    /// Up to the identifier.
    identifier: String,
    /// From the status to the subject.
    code: String,
    /// What follows the digits.
    unit: String,
    /// Up to the code of why there is no value.
    absent: String,
    /// Up to the code of an interpretation.
    interpretation: String,
}

impl Fixed {
    fn of(unit: GlucoseUnit) -> &'static Self {
        static MASS: LazyLock<Fixed> = LazyLock::new(|| Fixed::new(GlucoseUnit::MgPerDl));
        static MOLAR: LazyLock<Fixed> = LazyLock::new(|| Fixed::new(GlucoseUnit::MmolPerL));
        match unit {
            GlucoseUnit::MgPerDl => &MASS,
            GlucoseUnit::MmolPerL => &MOLAR,
        }
    }

    fn new(of: GlucoseUnit) -> Self {
        let (code, unit) = (reading_code(of), glucose_unit(of));
        Self {
            identifier: [r#","identifier":[{"system":""#, URI_SYSTEM, r#"","value":""#].concat(),
            code: [
                r#"","category":"#,
                CATEGORY,
                r#","code":{"coding":[{"system":""#,
                LOINC,
                r#"","code":""#,
                code,
                r#""}]},"subject":{"reference":""#,
            ]
            .concat(),
            unit: [
                r#","unit":""#,
                unit.text,
                r#"","system":""#,
                UCUM,
                r#"","code":""#,
                unit.code,
                r#""}"#,
            ]
            .concat(),
            absent: [
                r#""dataAbsentReason":{"coding":[{"system":""#,
                DATA_ABSENT_REASON,
                r#"","code":""#,
            ]
            .concat(),
            interpretation: [
                r#","interpretation":[{"coding":[{"system":""#,
                OBSERVATION_INTERPRETATION,
                r#"","code":""#,
            ]
            .concat(),
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
