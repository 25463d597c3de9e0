//! A sensor reading as an Observation: 99504-3 in mg/dL, 105272-9 in mmol/L.
//!
//! A phone may have 25,000 of them to send in the seconds it is awake, so a reading is written as
//! text piece by piece; whatever else is sent goes through serde. Only what a receiver said
//! (locations) needs escaping: all else is digits, codes and FHIR ids.

use super::codes::{
    DATA_ABSENT_REASON, LOINC, OBSERVATION_INTERPRETATION, UCUM, URI_SYSTEM, glucose_unit,
    reading_code,
};
use super::datetime::Instants;
use super::decimal::Decimal;
use super::identity::{Identifier, ReadingNames, Succession, Urn};
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
        self.succession(&mut None).identifier
    }

    /// Its identifier, and that of the reading it corrects; `names` are those of the reading
    /// before, which mostly is of the same sensor.
    pub(super) fn succession(&self, names: &mut Option<ReadingNames>) -> Succession {
        let (patient, sensor, unit) = (self.subject.patient(), self.sensor, self.unit);
        if names.as_ref().is_some_and(|names| !names.are_of(patient, sensor, unit)) {
            *names = None;
        }
        names.get_or_insert_with(|| ReadingNames::new(patient, sensor, unit)).succession(
            self.history,
            EarlierReading { seconds: self.seconds, measurement: self.measurement },
        )
    }

    /// Appends the Observation. `None`, and nothing, if its time is outside the years 1 to 9999.
    pub(super) fn write(
        &self,
        replaces: Option<Identifier>,
        urn: &Urn,
        instants: &mut Instants,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let time = instants.next(self.seconds, self.offset)?;
        let fixed = Fixed::of(self.unit);
        let subject = self.subject.as_str().as_bytes();
        if let Some(replaced) = replaces {
            append(out, &[br#"{"resourceType":"Observation","extension":"#]);
            append_json(out, &Replaced::Identifier(replaced).extension());
            append(out, &[&fixed.identifier, urn.as_bytes(), &fixed.corrected, subject]);
        } else {
            append(out, &[&fixed.beginning, urn.as_bytes(), &fixed.first, subject]);
        }
        append(out, &[br#""},"effectiveDateTime":""#, time.as_bytes()]);
        match self.measurement {
            Measurement::Value(value) => self.write_value(fixed, value, None, out),
            Measurement::Below(limit) => self.write_value(fixed, limit, Some("<"), out),
            Measurement::Above(limit) => self.write_value(fixed, limit, Some(">"), out),
            Measurement::Absent(reason) => {
                append(out, &[&fixed.absent, reason.code().as_bytes(), br#""}]}"#]);
            }
        }
        self.write_device(out);
        append(out, &[b"}"]);
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
        append(out, &[br#"","valueQuantity":{"value":"#, digits.as_bytes()]);
        if let Some(comparator) = beyond {
            append(out, &[br#","comparator":""#, comparator.as_bytes(), br#"""#]);
        }
        append(out, &[&fixed.unit]);
        if let Some(code) = beyond {
            append(out, &[&fixed.interpretation, code.as_bytes(), br#""}]}]"#]);
        }
    }

    fn write_device(&self, out: &mut Vec<u8>) {
        match self.device {
            Some(DeviceReference::Entry(device)) => {
                let urn = device.text();
                append(out, &[br#","device":{"reference":""#, urn.as_bytes(), br#""}"#]);
            }
            Some(DeviceReference::Location(device)) => {
                append(out, &[br#","device":{"reference":"#]);
                append_json(out, &device);
                append(out, &[b"}"]);
            }
            None => {}
        }
    }
}

/// What stands between the parts in which readings of a unit differ: put together once.
struct Fixed {
    /// Up to the identifier of a first version.
    beginning: Vec<u8>,
    /// What follows an extension, up to the identifier.
    identifier: Vec<u8>,
    /// From the status to the subject, of a first version.
    first: Vec<u8>,
    /// The same of a corrected one.
    corrected: Vec<u8>,
    /// What follows the digits.
    unit: Vec<u8>,
    /// From the time to the code of why there is no value.
    absent: Vec<u8>,
    /// Up to the code of an interpretation.
    interpretation: Vec<u8>,
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
        let identifier = [r#","identifier":[{"system":""#, URI_SYSTEM, r#"","value":""#].concat();
        let from_status = |status| {
            [
                r#""}],"status":""#,
                status,
                r#"","category":"#,
                CATEGORY,
                r#","code":{"coding":[{"system":""#,
                LOINC,
                r#"","code":""#,
                code,
                r#""}]},"subject":{"reference":""#,
            ]
            .concat()
            .into_bytes()
        };
        let (text, code) = (unit.text, unit.code);
        let unit = [r#","unit":""#, text, r#"","system":""#, UCUM, r#"","code":""#, code, r#""}"#];
        let absent =
            [r#"","dataAbsentReason":{"coding":[{"system":""#, DATA_ABSENT_REASON, r#"","code":""#];
        let interpretation = [
            r#","interpretation":[{"coding":[{"system":""#,
            OBSERVATION_INTERPRETATION,
            r#"","code":""#,
        ];
        Self {
            beginning: [r#"{"resourceType":"Observation""#, &identifier].concat().into_bytes(),
            identifier: identifier.into_bytes(),
            first: from_status("final"),
            corrected: from_status("corrected"),
            unit: unit.concat().into_bytes(),
            absent: absent.concat().into_bytes(),
            interpretation: interpretation.concat().into_bytes(),
        }
    }
}

/// Appends JSON as it is.
pub(super) fn append(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
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
