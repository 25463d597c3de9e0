//! What makes the same fact the same resource at a receiver, from whatever phone it comes.
//!
//! An identifier is a UUID of version 5 (RFC 9562) over the parts that make the fact, in a
//! namespace of this project. It is sent as `urn:uuid:…` under the system `urn:ietf:rfc:3986`, on
//! the resource and in `ifNoneExist`. Conditional create searches the receiver's whole server:
//! equal facts must give equal identifiers on every installation, any other fact another one. So
//! nothing local is a part: no row number, installation, URL, order or UTC offset, and no record
//! key of a maker, which not every export has. The recipe never changes: a change would send
//! everything twice.

use super::codes::reading_code;
use super::decimal::{Decimal, Digits};
use super::subject::PatientId;
use crate::glucose::{Device, EarlierReading, GlucoseUnit, Measurement, SensorKey};
use chrono::NaiveDate;
use serde::{Serialize, Serializer};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt;
use uuid::Uuid;

/// The project's namespace: a random UUID, drawn once.
const NAMESPACE: Uuid = Uuid::from_u128(0x16d9_37dd_3dd2_4935_85b5_98d2_b1f0_d4f6);

/// A resource's identifier. The `urn:uuid:…` form is also its `fullUrl` within a bundle.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier(Uuid);

/// What a resource is called at a receiver, and what it takes the place of there.
#[derive(Clone, Copy)]
pub(super) struct Succession {
    /// Its own identifier.
    pub(super) identifier: Identifier,
    /// The identifier of what it replaces; `None` if it is the first.
    pub(super) replaces: Option<Identifier>,
}

impl Identifier {
    /// A reading as sent in `unit`, after what a receiver has seen of it, oldest first: a corrected
    /// value, another second and the other unit's twin are other facts.
    pub(super) fn reading(
        patient: &PatientId,
        sensor: &SensorKey,
        unit: GlucoseUnit,
        history: &[EarlierReading],
        now: EarlierReading,
    ) -> Succession {
        let mut sent = Vec::new();
        for earlier in history {
            let identifier = reading_name(patient, sensor, unit, *earlier).after(&sent);
            if sent.last() != Some(&identifier) {
                sent.push(identifier);
            }
        }
        reading_name(patient, sensor, unit, now).succession(&sent)
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

/// `reading|patient|LOINC|sensor|second|value`; a value as it is sent in `unit`, without trailing
/// zeros, a clipped one with its comparator; the reason if there is none.
fn reading_name(
    patient: &PatientId,
    sensor: &SensorKey,
    unit: GlucoseUnit,
    said: EarlierReading,
) -> Name {
    let mut name = Name::new("reading");
    name.part(patient.as_str());
    name.part(reading_code(unit));
    name.part(sensor.as_str());
    name.part(Digits::of(said.seconds).as_str());
    let (sign, value) = match said.measurement {
        Measurement::Value(value) => ("", value),
        Measurement::Below(limit) => ("<", limit),
        Measurement::Above(limit) => (">", limit),
        Measurement::Absent(reason) => {
            name.part(reason.code());
            return name;
        }
    };
    let digits = Decimal::from(value.to_unit(unit)).normalised().digits();
    name.prefixed(sign, digits.as_str());
    name
}

/// The parts of a fact, joined by `|`. A `|` or `\` inside a part is escaped by `\`, so that no two
/// lists of parts join alike.
pub(super) struct Name(String);

impl Name {
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
        let mut name = Self::new(kind);
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
        name
    }

    /// The fact's identifier, and what it replaces, at a receiver that has `sent` of its kind,
    /// oldest first.
    pub(super) fn succession(&self, sent: &[Identifier]) -> Succession {
        let identifier = self.after(sent);
        let before = match sent {
            [before @ .., last] if *last == identifier => before,
            _ => sent,
        };
        Succession { identifier, replaces: before.last().copied() }
    }

    /// The fact's identifier after `sent`. A fact that returns after another took its place cannot
    /// have the identifier it had: the receiver would answer that it is there already, and the
    /// other would stay its newest word. So what it replaces becomes a part.
    fn after(&self, sent: &[Identifier]) -> Identifier {
        let first = self.identifier();
        match sent {
            [.., last] if *last != first && sent.contains(&first) => {
                let returned_before = match sent {
                    [.., replaced, last] => self.replacing(*replaced) == *last,
                    _ => false,
                };
                if returned_before { *last } else { self.replacing(*last) }
            }
            _ => first,
        }
    }

    fn replacing(&self, earlier: Identifier) -> Identifier {
        let mut name = Self(self.0.clone());
        name.part(earlier.text().as_str());
        name.identifier()
    }

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

    pub(super) fn identifier(&self) -> Identifier {
        let hash = Sha1::new().chain_update(NAMESPACE).chain_update(&self.0).finalize();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(hash).for_each(|(byte, of_hash)| *byte = of_hash);
        Identifier(uuid::Builder::from_sha1_bytes(bytes).into_uuid())
    }
}
