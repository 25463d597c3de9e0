//! What a receiver has of everything that is no single reading: devices, summaries, reports, keyed
//! by their identifiers.

use super::{ConnectionId, Store, StoreError};
use crate::fhir::{Covered, EntryKind};
use crate::glucose::DateRange;
use rusqlite::{Row, Transaction, params};

/// The table of sent resources. `kind` is an [`EntryKind::code`]; what a summary and its figures
/// cover stands in the dates and the unit. `lacking` is 1 for one the receiver accepted and turned
/// out to lack, 2 once it was sent again. `unknown` is 1 for one that was sent and may or may not
/// be there, 2 once that was dismissed.
pub(super) const TABLES: &str = "
    CREATE TABLE sent_resources (
        id INTEGER PRIMARY KEY,
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        identifier TEXT NOT NULL,
        kind TEXT NOT NULL,
        first_date TEXT,
        last_date TEXT,
        unit TEXT,
        location TEXT,
        refusal TEXT,
        lacking INTEGER NOT NULL DEFAULT 0,
        unknown INTEGER NOT NULL DEFAULT 0,
        UNIQUE (connection, identifier)
    ) STRICT;
    CREATE INDEX sent_resources_by_dates ON sent_resources (connection, first_date, last_date)
        WHERE first_date IS NOT NULL;
";

/// A resource as a receiver has it.
#[derive(Clone, PartialEq, Eq)]
pub struct SentResource {
    /// The value of its identifier.
    pub identifier: String,
    /// What it is.
    pub kind: EntryKind,
    /// What it covers; `None` for a device.
    pub covered: Option<Covered>,
    /// Where the receiver put it, where it said so.
    pub location: Option<String>,
    /// What became of it.
    pub status: SentStatus,
}

/// What became of a resource.
#[derive(Clone, PartialEq, Eq)]
pub enum SentStatus {
    /// The receiver has it.
    Delivered,
    /// The receiver will not have it, and its reason.
    Refused(String),
    /// The receiver accepted it and, asked later, does not have it: it is to be sent again.
    Lacking,
    /// It was sent, and nobody can tell whether the receiver has it: it is not sent again.
    Unknown,
}

impl SentResource {
    pub(super) fn new(
        (identifier, kind, covered): (&str, EntryKind, Option<Covered>),
        location: Option<String>,
        status: SentStatus,
    ) -> Self {
        Self { identifier: identifier.to_owned(), kind, covered, location, status }
    }
}

impl SentResource {
    /// Whether it needs no sending: the receiver has it, or will not.
    pub fn is_settled(&self) -> bool {
        self.status != SentStatus::Lacking
    }
}

impl std::fmt::Debug for SentResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SentResource").field("kind", &self.kind).finish_non_exhaustive()
    }
}

const SELECT: &str =
    "SELECT identifier, kind, first_date, last_date, unit, location, refusal, lacking,
    unknown FROM sent_resources";

fn resource(row: &Row<'_>) -> Result<SentResource, StoreError> {
    let (refusal, lacking): (Option<String>, i64) = (row.get(6)?, row.get(7)?);
    let status = match refusal {
        _ if row.get::<_, i64>(8)? > 0 => SentStatus::Unknown,
        Some(reason) => SentStatus::Refused(reason),
        None if lacking == 1 => SentStatus::Lacking,
        None => SentStatus::Delivered,
    };
    Ok(SentResource {
        identifier: row.get(0)?,
        kind: kind(row, 1)?,
        covered: covered((row.get(2)?, row.get(3)?, row.get(4)?))?,
        location: row.get(5)?,
        status,
    })
}

pub(super) fn kind(row: &Row<'_>, column: usize) -> Result<EntryKind, StoreError> {
    let code: String = row.get(column)?;
    EntryKind::from_code(&code).ok_or(StoreError::Row("kind of a sent resource"))
}

/// First and last date, and unit, as they are stored.
type Dates = (Option<String>, Option<String>, Option<String>);

fn covered(stored: Dates) -> Result<Option<Covered>, StoreError> {
    let (Some(first), Some(last), Some(unit)) = stored else { return Ok(None) };
    let unreadable = |_| StoreError::Row("dates of a sent resource");
    let dates = format!("{first}..{last}").parse().map_err(unreadable)?;
    let unit = unit.parse().map_err(|_| StoreError::Row("unit of a sent resource"))?;
    Ok(Some(Covered { dates, unit }))
}

/// Records a resource; said again, the later status stands, and a location once known is kept where
/// none comes.
pub(super) fn record_resource(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    sent: &SentResource,
) -> Result<(), StoreError> {
    let refusal = match &sent.status {
        SentStatus::Delivered | SentStatus::Lacking | SentStatus::Unknown => None,
        SentStatus::Refused(reason) => Some(reason),
    };
    let dates = sent.covered.map(|covered| covered.dates);
    tx.prepare_cached(
        "INSERT INTO sent_resources
         (connection, identifier, kind, first_date, last_date, unit, location, refusal, unknown)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (connection, identifier) DO UPDATE SET kind = excluded.kind,
         refusal = excluded.refusal, unknown = excluded.unknown,
         lacking = min(lacking * 2, 2),
         location = coalesce(excluded.location, location)",
    )?
    .execute(params![
        connection.0,
        sent.identifier,
        sent.kind.code(),
        dates.map(|dates| dates.first().to_string()),
        dates.map(|dates| dates.last().to_string()),
        sent.covered.map(|covered| covered.unit.ucum()),
        sent.location,
        refusal,
        sent.status == SentStatus::Unknown
    ])?;
    Ok(())
}

impl Store {
    /// Records what became of a resource at a receiver; a location once known is kept where none
    /// comes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_resource(
        &mut self,
        connection: ConnectionId,
        sent: &SentResource,
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        record_resource(&tx, connection, sent)?;
        tx.commit()?;
        Ok(())
    }

    /// A resource by the value of its identifier.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn resource(
        &self,
        connection: ConnectionId,
        identifier: &str,
    ) -> Result<Option<SentResource>, StoreError> {
        let mut statement =
            self.db.prepare_cached(&format!("{SELECT} WHERE connection = ? AND identifier = ?"))?;
        let mut rows = statement.query(params![connection.0, identifier])?;
        rows.next()?.map(resource).transpose()
    }

    /// Kind and reason of every resource a receiver refused.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn refused_resources(
        &self,
        connection: ConnectionId,
    ) -> Result<Vec<(EntryKind, String)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT kind, refusal FROM sent_resources
                 WHERE connection = ? AND refusal IS NOT NULL ORDER BY id",
        )?;
        let rows =
            statement.query_and_then([connection.0], |row| Ok((kind(row, 0)?, row.get(1)?)))?;
        rows.collect()
    }

    /// Every resource that covers these dates, in the order first recorded: summaries in either
    /// unit, and their figures.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn resources_over(
        &self,
        connection: ConnectionId,
        dates: DateRange,
    ) -> Result<Vec<SentResource>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!(
            "{SELECT} WHERE connection = ? AND first_date = ? AND last_date = ? ORDER BY id"
        ))?;
        let (first, last) = (dates.first().to_string(), dates.last().to_string());
        let rows = statement.query_and_then(params![connection.0, first, last], resource)?;
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::SummaryMember;
    use crate::glucose::GlucoseUnit;
    use crate::store::testing::Scratch;

    fn sent(identifier: &str, location: Option<&str>, status: &str) -> SentResource {
        let status = if status == "refused" {
            SentStatus::Refused("no".to_owned())
        } else {
            SentStatus::Delivered
        };
        let what = (identifier, EntryKind::Device, None);
        SentResource::new(what, location.map(str::to_owned), status)
    }

    #[test]
    fn a_later_answer_stands_but_a_known_location_is_kept() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let other = scratch.connect("https://b.example");
        let store = &mut scratch.store;
        store
            .record_resource(connection, &sent("urn:uuid:1", Some("Device/1"), "accepted"))
            .unwrap();
        store.record_resource(connection, &sent("urn:uuid:1", None, "refused")).unwrap();
        let first = sent("urn:uuid:1", Some("Device/1"), "refused");
        assert_eq!(store.resource(connection, "urn:uuid:1").unwrap(), Some(first.clone()));
        assert_eq!(store.resource(other, "urn:uuid:1").unwrap(), None);
        store.remove_connection(connection).unwrap();
        let kept = store.resource(connection, "urn:uuid:1").unwrap();
        assert_eq!(kept, Some(first), "the receiver still has it");
    }

    #[test]
    fn what_covers_dates_is_found_by_them_in_the_order_it_was_sent() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let store = &mut scratch.store;
        let dates: DateRange = "2024-05-01..2024-05-14".parse().unwrap();
        let other: DateRange = "2024-05-02..2024-05-14".parse().unwrap();
        let of = |identifier: &str, kind, dates| {
            let covered = Some(Covered { dates, unit: GlucoseUnit::MmolPerL });
            SentResource::new((identifier, kind, covered), None, SentStatus::Delivered)
        };
        let gmi = EntryKind::SummaryMember(SummaryMember::Gmi);
        let all = [
            of("urn:uuid:2", EntryKind::Summary, dates),
            of("urn:uuid:1", gmi, dates),
            of("urn:uuid:3", EntryKind::Summary, other),
        ];
        for one in &all {
            store.record_resource(connection, one).unwrap();
        }
        store.record_resource(connection, &sent("urn:uuid:4", None, "accepted")).unwrap();
        assert_eq!(store.resources_over(connection, dates).unwrap(), all[..2]);
        assert_eq!(store.resources_over(connection, other).unwrap(), all[2..]);
    }
}
