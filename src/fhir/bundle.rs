//! Assembles bundles: units of entries, each taken whole or not at all, within a receiver's limits.
//!
//! A unit that does not fit is cut off again, so a caller fills one bundle, keeps it, and offers
//! the same unit to the next. Every entry is a POST; all but the sent-as-new ones are conditional
//! on their identifier.

use super::codes::SummaryMember;
use super::datetime::Instants;
use super::device::DeviceEntry;
use super::dialect::Dialect;
use super::envelope::BundleLimits;
use super::identity::{Identifier, OfIdentifier, ReadingNames, Succession, Urn};
use super::kind::EntryKind;
use super::reading::ReadingEntry;
use super::summary::SummaryEntry;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::HashSet;
use std::fmt;
use std::hash::BuildHasherDefault;

/// One entry of an assembled bundle. A response answers entries in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryInfo {
    /// Its identifier at the receiver.
    pub identifier: Identifier,
    /// What it is.
    pub kind: EntryKind,
    /// Which of the bundle's units it belongs to, from 0.
    pub unit: u32,
}

/// Whether a unit found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fit {
    /// It is in.
    Added,
    /// It is not: finish this bundle and offer the unit to the next.
    Full,
}

/// Why a unit cannot be written. The bundle is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// An entry with the same identifier is in the bundle: receivers answer such twins with one
    /// entry.
    #[error(
        "the bundle already has an entry with this identifier: leave it out, it is the same fact"
    )]
    Twin(Identifier),
    /// A time outside the years 1 to 9999.
    #[error("the entry's time is outside the years 1 to 9999")]
    Time,
    /// The JSON could not be written.
    #[error("the entry could not be written as JSON")]
    Json,
}

/// A bundle ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct AssembledBundle {
    /// The bytes.
    pub json: Vec<u8>,
    /// What each entry is, in order.
    pub entries: Vec<EntryInfo>,
}

/// Says only how much there is.
impl fmt::Debug for AssembledBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssembledBundle")
            .field("bytes", &self.json.len())
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// Writes one bundle.
///
/// ```
/// use cgm_submitter::fhir::{
///     BundleLimits, BundleWriter, DeviceEntry, Fit, PatientId, SubjectReference,
/// };
/// use cgm_submitter::glucose::{Device, SensorKey};
/// let subject = SubjectReference::new(PatientId::new("7")?);
/// let device = Device::new("Dexcom G6", Some("82AJ0D"))?;
/// let sensor = SensorKey::new("dexcom:82AJ0D")?;
///
/// let mut bundle = BundleWriter::new(chrono::DateTime::UNIX_EPOCH, BundleLimits::default());
/// let fit = bundle.try_unit(|unit| {
///     unit.device(&DeviceEntry { subject: &subject, device: &device, sensor: &sensor })?;
///     Ok(())
/// })?;
/// assert_eq!(fit, Fit::Added);
/// assert_eq!(bundle.finish().map(|done| done.entries.len()), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BundleWriter {
    timestamp: DateTime<Utc>,
    limits: BundleLimits,
    dialect: Dialect,
    conditional: bool,
    json: Vec<u8>,
    entries: Vec<EntryInfo>,
    seen: HashSet<Identifier, BuildHasherDefault<OfIdentifier>>,
    /// Those of the last reading.
    names: Option<ReadingNames>,
    instants: Instants,
    units: u32,
}

impl BundleWriter {
    /// An empty bundle, assembled at `timestamp`, for HL7 CGM.
    pub fn new(timestamp: DateTime<Utc>, limits: BundleLimits) -> Self {
        Self {
            timestamp,
            limits,
            dialect: Dialect::default(),
            conditional: true,
            json: Vec::new(),
            entries: Vec::new(),
            seen: HashSet::default(),
            names: None,
            instants: Instants::default(),
            units: 0,
        }
    }

    /// The same for a receiver that speaks `dialect`. Before the first unit.
    #[must_use]
    pub const fn for_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Whether entries ask not to be created again (`ifNoneExist`): true unless the receiver was
    /// seen to refuse that.
    #[must_use]
    pub const fn with_conditional_create(mut self, conditional: bool) -> Self {
        self.conditional = conditional;
        self
    }

    /// Appends the entries `write` adds, all or none. A unit larger than the limits goes into an
    /// empty bundle all the same: smaller it does not get.
    ///
    /// # Errors
    /// [`BundleError`] from `write`; none of the unit is in the bundle then.
    pub fn try_unit(
        &mut self,
        write: impl FnOnce(&mut UnitWriter<'_>) -> Result<(), BundleError>,
    ) -> Result<Fit, BundleError> {
        let guide = self.dialect.guide();
        if self.json.is_empty() {
            guide.envelope.begin(self.timestamp, guide.tag, &mut self.json);
        }
        let (bytes, entries) = (self.json.len(), self.entries.len());
        let outcome = write(&mut UnitWriter { bundle: self });
        let end = self.dialect.envelope().end();
        let too_large = self.entries.len() > self.limits.max_entries
            || self.json.len() + end.len() > self.limits.max_bytes;
        match outcome {
            Ok(()) if entries == 0 || !too_large => {
                self.units += u32::from(self.entries.len() > entries);
                Ok(Fit::Added)
            }
            outcome => {
                self.json.truncate(bytes);
                for entry in self.entries.drain(entries..) {
                    self.seen.remove(&entry.identifier);
                }
                outcome.map(|()| Fit::Full)
            }
        }
    }

    /// How many entries are in it.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is in it.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bundle; `None` if it is empty.
    pub fn finish(mut self) -> Option<AssembledBundle> {
        if self.entries.is_empty() {
            return None;
        }
        self.json.extend_from_slice(self.dialect.envelope().end());
        Some(AssembledBundle { json: self.json, entries: self.entries })
    }

    /// An entry whose resource goes through serde.
    fn entry(
        &mut self,
        identifier: Identifier,
        kind: EntryKind,
        resource: &impl Serialize,
    ) -> Result<Identifier, BundleError> {
        self.entry_with(identifier, kind, |_, json| {
            serde_json::to_writer(json, resource).map_err(|_| BundleError::Json)
        })
    }

    /// An entry whose resource `write` appends, given the identifier as text.
    fn entry_with(
        &mut self,
        identifier: Identifier,
        kind: EntryKind,
        write: impl FnOnce(&Urn, &mut Vec<u8>) -> Result<(), BundleError>,
    ) -> Result<Identifier, BundleError> {
        if !self.seen.insert(identifier) {
            return Err(BundleError::Twin(identifier));
        }
        let (bytes, urn) = (self.json.len(), identifier.text());
        let envelope = self.dialect.envelope();
        envelope.open(self.entries.is_empty(), &urn, &mut self.json);
        if let Err(error) = write(&urn, &mut self.json) {
            self.json.truncate(bytes);
            self.seen.remove(&identifier);
            return Err(error);
        }
        self.entries.push(EntryInfo { identifier, kind, unit: self.units });
        let condition = self.conditional.then_some(&urn);
        envelope.close(kind.resource_type(), condition, &mut self.json);
        Ok(identifier)
    }
}

/// Says only how much there is.
impl fmt::Debug for BundleWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleWriter")
            .field("bytes", &self.json.len())
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// Adds the entries of one unit.
#[derive(Debug)]
pub struct UnitWriter<'b> {
    bundle: &'b mut BundleWriter,
}

impl UnitWriter<'_> {
    /// Adds a reading.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn reading(&mut self, reading: &ReadingEntry<'_>) -> Result<Identifier, BundleError> {
        let Succession { identifier, replaces } = reading.succession(&mut self.bundle.names);
        let mut instants = std::mem::take(&mut self.bundle.instants);
        let entry = self.bundle.entry_with(identifier, EntryKind::Reading, |urn, json| {
            reading.write(replaces, urn, &mut instants, json).ok_or(BundleError::Time)
        });
        self.bundle.instants = instants;
        entry
    }

    /// Adds a device.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn device(&mut self, device: &DeviceEntry<'_>) -> Result<Identifier, BundleError> {
        let identifier = device.identifier();
        self.bundle.entry(identifier, EntryKind::Device, &device.resource(identifier))
    }

    /// Adds a summary: its six figures, and what holds them together. Returns the summary's
    /// identifier.
    ///
    /// Without conditional create, what the receiver has or may have is not written again: it would
    /// be there twice. The summary refers to it where it is.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn summary(&mut self, summary: &SummaryEntry<'_>) -> Result<Identifier, BundleError> {
        let conditional = self.bundle.conditional;
        for member in summary.members() {
            if conditional || !summary.member_stands(member) {
                self.summary_member(summary, member)?;
            }
        }
        if !conditional && summary.stands() {
            return Ok(summary.identifier());
        }
        let observation = summary.observation(conditional);
        self.bundle.entry(summary.identifier(), EntryKind::Summary, &observation)
    }

    /// Adds one figure of a summary; `None` if the summary has it in another unit. Without the
    /// summary if an order asks for the figure alone.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn summary_member(
        &mut self,
        summary: &SummaryEntry<'_>,
        member: SummaryMember,
    ) -> Result<Option<Identifier>, BundleError> {
        let identifier = summary.member_identifier(member);
        let Some((identifier, member_of)) = identifier.zip(summary.member(member)) else {
            return Ok(None);
        };
        self.bundle.entry(identifier, EntryKind::SummaryMember(member), &member_of).map(Some)
    }
}
