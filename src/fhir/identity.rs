//! What makes the same fact the same resource at a receiver, from whatever phone it comes.
//!
//! An identifier is a UUID of version 5 (RFC 9562) over the parts that make the fact, in a
//! namespace of this project. It is sent as `urn:uuid:…` under the system `urn:ietf:rfc:3986`, on
//! the resource and in `ifNoneExist`. Conditional create searches the receiver's whole server:
//! equal facts must give equal identifiers on every installation, any other fact another one. So
//! nothing local is a part: no row number, installation, URL, order or UTC offset. The recipe never
//! changes: a change would send everything twice.

use super::codes::reading_code;
use super::decimal::{Decimal, Digits};
use super::subject::PatientId;
use crate::glucose::{Device, GlucoseUnit, Measurement, RecordKey, Sensor, SensorKey};
use chrono::NaiveDate;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;
use uuid::Uuid;

/// The project's namespace: a random UUID, drawn once.
const NAMESPACE: Uuid = Uuid::from_u128(0x16d9_37dd_3dd2_4935_85b5_98d2_b1f0_d4f6);

/// A resource's identifier. The `urn:uuid:…` form is also its `fullUrl` within a bundle.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier(Uuid);

/// What tells a reading from the others of its sensor.
#[derive(Clone, Copy)]
pub enum ReadingKey<'a> {
    /// The maker's own key of the record: the same when its time or value is corrected.
    Record(&'a RecordKey),
    /// The transmitter's tick: the same when its clock is set anew.
    Tick(i64),
    /// The unix second.
    Second(i64),
}

impl<'a> ReadingKey<'a> {
    /// The best there is: the maker's key, else the tick of a transmitter that counts, else the
    /// unix second.
    pub fn of(sensor: &Sensor, unix_seconds: i64, record: Option<&'a RecordKey>) -> Self {
        match (record, sensor.tick_epoch()) {
            (Some(key), _) => Self::Record(key),
            (None, Some(epoch)) => Self::Tick(unix_seconds.saturating_sub(epoch)),
            (None, None) => Self::Second(unix_seconds),
        }
    }
}

/// Hides a maker's key: identifiers reach no log.
impl fmt::Debug for ReadingKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record(_) => "Record(…)",
            Self::Tick(_) => "Tick(…)",
            Self::Second(_) => "Second(…)",
        })
    }
}

impl Identifier {
    /// A reading as sent in `unit`: a corrected value and the other unit's twin are other facts.
    pub fn reading(
        patient: &PatientId,
        sensor: &SensorKey,
        key: ReadingKey<'_>,
        unit: GlucoseUnit,
        measurement: Measurement,
    ) -> Self {
        let mut name = Name::new("reading");
        name.part(patient.as_str());
        name.part(reading_code(unit));
        name.part(sensor.as_str());
        match key {
            // The prefixes keep a key that looks like a second from being taken for one.
            ReadingKey::Record(record) => name.prefixed("key:", record.as_str()),
            ReadingKey::Tick(tick) => name.prefixed("tick:", Digits::of(tick).as_str()),
            ReadingKey::Second(second) => name.prefixed("", Digits::of(second).as_str()),
        }
        let (sign, value) = match measurement {
            Measurement::Value(value) => ("", value),
            Measurement::Below(limit) => ("<", limit),
            Measurement::Above(limit) => (">", limit),
            Measurement::Absent(reason) => {
                name.part(reason.code());
                return name.identifier();
            }
        };
        let digits = Decimal::from(value.to_unit(unit)).normalised().digits();
        name.prefixed(sign, digits.as_str());
        name.identifier()
    }

    /// A device of a patient: its name and serial number, or the sensor's key where the maker gives
    /// none.
    pub fn device(patient: &PatientId, device: &Device, sensor: &SensorKey) -> Self {
        let mut name = Name::new("device");
        name.part(patient.as_str());
        name.part(device.name());
        match device.serial() {
            Some(serial) => name.prefixed("serial:", serial),
            None => name.prefixed("sensor:", sensor.as_str()),
        }
        name.identifier()
    }

    /// What covers dates: `kind` is summary, member or report; `values` are its figures as they
    /// stand on the wire.
    pub(super) fn period<'v>(
        kind: &str,
        patient: &PatientId,
        loinc: &str,
        (first, last): (NaiveDate, NaiveDate),
        unit: &str,
        values: impl IntoIterator<Item = &'v str>,
    ) -> Self {
        let mut digest = Sha256::new();
        for value in values {
            digest.update(value.as_bytes());
            digest.update(b"\n");
        }
        let mut name = Name::new(kind);
        name.part(patient.as_str());
        name.part(loinc);
        name.part(&first.to_string());
        name.part(&last.to_string());
        name.part(unit);
        name.part(&digest.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            for half in [byte >> 4, byte & 15] {
                hex.extend(char::from_digit(u32::from(half), 16));
            }
            hex
        }));
        name.identifier()
    }

    /// The UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// The identifier of this `urn:uuid:…`; none where it is no such text.
    pub fn from_urn(urn: &str) -> Option<Self> {
        Uuid::parse_str(urn.strip_prefix("urn:uuid:")?).ok().map(Self)
    }

    /// `urn:uuid:…`, the identifier's value and the entry's `fullUrl`.
    pub fn urn(self) -> String {
        self.0.urn().to_string()
    }

    /// The same on the stack.
    pub(super) fn text(self) -> Urn {
        let mut urn = Urn([0; uuid::fmt::Urn::LENGTH]);
        self.0.urn().encode_lower(&mut urn.0);
        urn
    }
}

/// Hides it: identifiers reach no log.
impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identifier(…)")
    }
}

/// An identifier as `urn:uuid:…`, written once and used several times.
pub(super) struct Urn([u8; uuid::fmt::Urn::LENGTH]);

impl Urn {
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// As `urn:uuid:…`.
impl Serialize for Identifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

/// The parts of a fact, joined by `|`. A `|` or `\` inside a part is escaped by `\`, so that no two
/// lists of parts join alike.
struct Name(String);

impl Name {
    fn new(kind: &str) -> Self {
        let mut name = String::with_capacity(160);
        name.push_str(kind);
        Self(name)
    }

    fn part(&mut self, part: &str) {
        self.prefixed("", part);
    }

    /// A part that begins with a fixed word of ours.
    fn prefixed(&mut self, prefix: &str, part: &str) {
        self.0.push('|');
        self.0.push_str(prefix);
        if !part.bytes().any(|b| b == b'|' || b == b'\\') {
            return self.0.push_str(part);
        }
        for letter in part.chars() {
            if matches!(letter, '|' | '\\') {
                self.0.push('\\');
            }
            self.0.push(letter);
        }
    }

    fn identifier(&self) -> Identifier {
        Identifier(Uuid::new_v5(&NAMESPACE, self.0.as_bytes()))
    }
}
