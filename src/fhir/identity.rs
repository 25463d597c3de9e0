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
use std::hash::Hasher;
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

/// Names the readings of one patient's sensor as sent in one unit. A batch has hundreds of them,
/// and most of a name is the same in all: that is put together and hashed once.
pub(super) struct ReadingNames {
    patient: PatientId,
    sensor: SensorKey,
    unit: GlucoseUnit,
    beginning: Name,
    /// Namespace and beginning.
    hashed: Sha1,
    /// Room for what follows the beginning.
    rest: String,
}

impl ReadingNames {
    /// `reading|patient|LOINC|sensor` is how they begin.
    pub(super) fn new(patient: &PatientId, sensor: &SensorKey, unit: GlucoseUnit) -> Self {
        let mut beginning = Name::new("reading");
        beginning.part(patient.as_str());
        beginning.part(reading_code(unit));
        beginning.part(sensor.as_str());
        let hashed = beginning.hash();
        let (patient, sensor) = (patient.clone(), sensor.clone());
        Self { patient, sensor, unit, beginning, hashed, rest: String::new() }
    }

    /// Whether they are of this patient's sensor, in this unit.
    pub(super) fn are_of(
        &self,
        patient: &PatientId,
        sensor: &SensorKey,
        unit: GlucoseUnit,
    ) -> bool {
        self.unit == unit && self.sensor == *sensor && self.patient == *patient
    }

    /// A reading's identifier after what a receiver has seen of it, oldest first, and what it
    /// replaces: a corrected value, another second and the other unit's twin are other facts.
    pub(super) fn succession(
        &mut self,
        history: &[EarlierReading],
        now: EarlierReading,
    ) -> Succession {
        self.finish(now);
        if history.is_empty() {
            let identifier = identifier(self.hashed.clone().chain_update(&self.rest));
            return Succession { identifier, replaces: None };
        }
        let name = self.name();
        let mut sent = Vec::new();
        for earlier in history {
            self.finish(*earlier);
            let identifier = self.name().after(&sent);
            if sent.last() != Some(&identifier) {
                sent.push(identifier);
            }
        }
        name.succession(&sent)
    }

    /// Writes the rest of a reading's name, `|second|value`: a value as it is sent, without
    /// trailing zeros, a clipped one with its comparator; the reason if there is none.
    fn finish(&mut self, said: EarlierReading) {
        self.rest.clear();
        add_part(&mut self.rest, "", Digits::of(said.seconds).as_str());
        let (sign, value) = match said.measurement {
            Measurement::Value(value) => ("", value),
            Measurement::Below(limit) => ("<", limit),
            Measurement::Above(limit) => (">", limit),
            Measurement::Absent(reason) => return add_part(&mut self.rest, "", reason.code()),
        };
        let digits = Decimal::from(value.to_unit(self.unit)).normalised().digits();
        add_part(&mut self.rest, sign, digits.as_str());
    }

    /// The whole name, of whose rest was written last.
    fn name(&self) -> Name {
        Name([self.beginning.0.as_str(), &self.rest].concat())
    }
}

impl Identifier {
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

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
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
        add_part(&mut self.0, prefix, part);
    }

    fn hash(&self) -> Sha1 {
        Sha1::new().chain_update(NAMESPACE).chain_update(&self.0)
    }

    pub(super) fn identifier(&self) -> Identifier {
        identifier(self.hash())
    }
}

/// Adds a part to a name: what is not fixed is escaped.
fn add_part(name: &mut String, prefix: &str, part: &str) {
    name.push('|');
    name.push_str(prefix);
    if !part.bytes().any(|b| b == b'|' || b == b'\\') {
        return name.push_str(part);
    }
    for letter in part.chars() {
        if matches!(letter, '|' | '\\') {
            name.push('\\');
        }
        name.push(letter);
    }
}

/// The identifier of a name hashed after [`NAMESPACE`].
fn identifier(hash: Sha1) -> Identifier {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash.finalize()).for_each(|(byte, of_hash)| *byte = of_hash);
    Identifier(uuid::Builder::from_sha1_bytes(bytes).into_uuid())
}

/// Hashes an identifier for a set: it is a hash already.
#[derive(Default)]
pub(super) struct OfIdentifier(u64);

impl Hasher for OfIdentifier {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
