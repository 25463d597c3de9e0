//! The next batch of a submission, from what the ledger says is lacking.
//!
//! Readings are read in chunks, written as JSON and compressed at once, so memory does not grow
//! with the window.

mod devices;
mod readings;
mod summary;

pub(super) use summary::covered;
pub use summary::summarise;

use crate::error::Error;
use crate::fhir::{
    self, AssembledBundle, BundleLimits, BundleWriter, Covered, Dialect, PatientId,
    SubjectReference,
};
use crate::store::{
    ConnectionRecord, ReadingKey, SentResource, SentStatus, Store, SubmissionRecord,
};
use crate::submission::{Item, ManifestEntry, Plan, Position};
use chrono::{DateTime, Utc};

/// A batch before it is compressed and frozen.
pub struct Body {
    /// The bundle as JSON.
    pub json: Vec<u8>,
    /// What its entries are, in order.
    pub manifest: Vec<ManifestEntry>,
    /// Where the submission stands once it is settled.
    pub position_after: Position,
}

/// Hides the readings.
impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("position_after", &self.position_after).finish_non_exhaustive()
    }
}

/// What a submission sends next, as JSON; `None` if nothing is left.
///
/// # Errors
/// [`Error`] if the store or the assembly fails.
pub fn next_body(
    store: &Store,
    connection: &ConnectionRecord,
    submission: &SubmissionRecord,
    now: DateTime<Utc>,
) -> Result<Option<Body>, Error> {
    let plan = &submission.plan;
    let progress = &submission.progress;
    let unit_limit = if progress.probe { Some(1) } else { progress.unit_limit };
    let conditional = conditional(connection, submission);
    let assembly =
        Assembly { unit_limit, conditional, now, ..Assembly::new(store, connection, plan)? };
    let mut position = progress.position;
    loop {
        if progress.stopped.iter().any(|stopped| Some(stopped.part) == position.part()) {
            position = assembly.after(position);
            continue;
        }
        let body = match position {
            Position::Devices => assembly.devices(&assembly.unknown_devices()?)?,
            Position::Summary => assembly.summary()?,
            Position::Readings(after) => assembly.unsent_readings(after)?,
            Position::Start => None,
            Position::End => return Ok(None),
        };
        match body {
            Some(body) => return Ok(Some(body)),
            None => position = assembly.after(position),
        }
    }
}

/// What the receiver accepted of a submission's part at `position`, written as it would be sent
/// now, at most `limit` readings; `None` if there is nothing.
pub(super) fn accepted_body(
    store: &Store,
    connection: &ConnectionRecord,
    plan: &Plan,
    position: Position,
    limit: usize,
) -> Result<Option<Body>, Error> {
    let assembly = Assembly::new(store, connection, plan)?;
    let delivered =
        |sent: Option<&SentResource>| sent.is_some_and(|sent| sent.status == SentStatus::Delivered);
    match position {
        Position::Devices => assembly.devices(&assembly.devices_where(delivered)?),
        Position::Summary => {
            assembly.summary_where(|records| delivered(records.last().and_then(Option::as_ref)))
        }
        Position::Readings(after) => {
            let (code, key) = (plan.wanted.unit, after.and_then(ReadingKey::from_packed));
            let accepted = store.accepted(connection.id, code, plan.window, key, limit)?;
            assembly.readings(&accepted, after)
        }
        Position::Start | Position::End => Ok(None),
    }
}

/// Whether entries are conditional creates: unless the receiver is known not to have them, or is
/// being asked.
pub(super) fn conditional(connection: &ConnectionRecord, submission: &SubmissionRecord) -> bool {
    connection.receiver.conditional_create != Some(false) && !submission.progress.probe
}

/// Whether there is a way to write what this receiver reads.
///
/// # Errors
/// [`Error::Dialect`] if it speaks no guide this version knows.
pub(crate) fn speaks_known_guide(connection: &ConnectionRecord) -> Result<(), Error> {
    dialect(connection).map(drop)
}

pub(super) fn dialect(connection: &ConnectionRecord) -> Result<Dialect, Error> {
    connection.details.dialect.as_deref().and_then(Dialect::from_code).ok_or(Error::Dialect)
}

/// What is being put together, for one connection and plan.
pub(super) struct Assembly<'a> {
    store: &'a Store,
    connection: &'a ConnectionRecord,
    plan: &'a Plan,
    subject: SubjectReference,
    dialect: Dialect,
    unit_limit: Option<usize>,
    conditional: bool,
    now: DateTime<Utc>,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(
        store: &'a Store,
        connection: &'a ConnectionRecord,
        plan: &'a Plan,
    ) -> Result<Self, Error> {
        let patient = PatientId::new(connection.patient.as_str())
            .map_err(|_| Error::Assembly("the patient id is no FHIR id"))?;
        let dialect = dialect(connection)?;
        let subject = SubjectReference::new(patient);
        Ok(Self {
            store,
            connection,
            plan,
            subject,
            dialect,
            unit_limit: None,
            conditional: true,
            now: DateTime::UNIX_EPOCH,
        })
    }

    /// Where the submission stands after the part at `position`.
    fn after(&self, position: Position) -> Position {
        position.after(self.plan.wanted, self.dialect)
    }

    /// Units a batch may have.
    fn max_units(&self) -> usize {
        let limits = self.dialect.limits();
        limits.max_entries.min(self.unit_limit.unwrap_or(usize::MAX)).max(1)
    }

    fn writer(&self) -> BundleWriter {
        let max_bytes = self.dialect.limits().max_bytes;
        // A unit stays together even where a receiver takes fewer entries than it has.
        let max_entries = self.max_units().max(self.dialect.summary_entries(self.plan.wanted.unit));
        BundleWriter::new(self.now, BundleLimits { max_entries, max_bytes })
            .for_dialect(self.dialect)
            .with_conditional_create(self.conditional)
    }
}

/// A bundle of devices or a summary, each entry listed under its identifier and kind.
fn resources(bundle: AssembledBundle, position_after: Position, covered: Option<Covered>) -> Body {
    let listed = |info: &fhir::EntryInfo| ManifestEntry {
        unit: info.unit,
        item: Item::Resource(info.identifier.urn(), info.kind, covered),
    };
    Body {
        manifest: bundle.entries.iter().map(listed).collect(),
        json: bundle.json,
        position_after,
    }
}
