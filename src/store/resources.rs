//! What a receiver has of everything that is no single reading: devices, summaries, reports, keyed
//! by their identifiers.

use super::{ConnectionId, Store, StoreError};
use rusqlite::{OptionalExtension, Row, Transaction, params};

/// The table of sent resources. `lacking` is 1 for one the receiver accepted and turned out to
/// lack, 2 once it was sent again;
/// `unknown` is 1 for one that was sent and may or may not be there, 2 once that was dismissed.
pub(super) const TABLES: &str = "
    CREATE TABLE sent_resources (
        id INTEGER PRIMARY KEY,
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        identifier TEXT NOT NULL,
        kind TEXT NOT NULL,
        location TEXT,
        refusal TEXT,
        lacking INTEGER NOT NULL DEFAULT 0,
        unknown INTEGER NOT NULL DEFAULT 0,
        UNIQUE (connection, identifier)
    ) STRICT;
    CREATE INDEX sent_resources_by_kind ON sent_resources (connection, kind);
";

/// A resource as a receiver has it.
#[derive(Clone, PartialEq, Eq)]
pub struct SentResource {
    /// The value of its identifier.
    pub identifier: String,
    /// What it is, in the caller's words, for example `device` or `summary`.
    pub kind: String,
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
        identifier: &str,
        kind: &str,
        location: Option<String>,
        status: SentStatus,
    ) -> Self {
        Self { identifier: identifier.to_owned(), kind: kind.to_owned(), location, status }
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

fn resource(row: &Row<'_>) -> rusqlite::Result<SentResource> {
    let (refusal, lacking): (Option<String>, i64) = (row.get(3)?, row.get(4)?);
    let status = match refusal {
        _ if row.get::<_, i64>(5)? > 0 => SentStatus::Unknown,
        Some(reason) => SentStatus::Refused(reason),
        None if lacking == 1 => SentStatus::Lacking,
        None => SentStatus::Delivered,
    };
    Ok(SentResource { identifier: row.get(0)?, kind: row.get(1)?, location: row.get(2)?, status })
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
    let unknown = sent.status == SentStatus::Unknown;
    tx.prepare_cached(
        "INSERT INTO sent_resources (connection, identifier, kind, location, refusal, unknown)
         VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (connection, identifier) DO UPDATE SET kind = excluded.kind,
         refusal = excluded.refusal, unknown = excluded.unknown,
         lacking = min(lacking * 2, 2), location = coalesce(excluded.location, location)",
    )?
    .execute(params![
        connection.0,
        sent.identifier,
        sent.kind,
        sent.location,
        refusal,
        unknown
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
        Ok(self
            .db
            .prepare_cached(
                "SELECT identifier, kind, location, refusal, lacking, unknown FROM sent_resources WHERE connection = ? AND identifier = ?",
            )?
            .query_row(params![connection.0, identifier], resource)
            .optional()?)
    }

    /// Kind and reason of every resource a receiver refused.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn refused_resources(
        &self,
        connection: ConnectionId,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT kind, refusal FROM sent_resources WHERE connection = ? AND refusal IS NOT NULL ORDER BY id",
        )?;
        let rows = statement.query_map([connection.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every resource of a kind, in the order first recorded.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn resources_of_kind(
        &self,
        connection: ConnectionId,
        kind: &str,
    ) -> Result<Vec<SentResource>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT identifier, kind, location, refusal, lacking, unknown FROM sent_resources WHERE connection = ? AND kind = ? ORDER BY id",
        )?;
        let rows = statement.query_map(params![connection.0, kind], resource)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Scratch;

    fn sent(identifier: &str, location: Option<&str>, status: &str) -> SentResource {
        let status = if status == "refused" {
            SentStatus::Refused("no".to_owned())
        } else {
            SentStatus::Delivered
        };
        SentResource::new(identifier, "device", location.map(str::to_owned), status)
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
        store.record_resource(connection, &sent("urn:uuid:2", None, "refused")).unwrap();
        store.record_resource(connection, &sent("urn:uuid:1", None, "refused")).unwrap();
        let first = sent("urn:uuid:1", Some("Device/1"), "refused");
        assert_eq!(store.resource(connection, "urn:uuid:1").unwrap(), Some(first.clone()));
        assert_eq!(store.resource(other, "urn:uuid:1").unwrap(), None);
        let all = [first, sent("urn:uuid:2", None, "refused")];
        assert_eq!(store.resources_of_kind(connection, "device").unwrap(), all);
        assert_eq!(store.resources_of_kind(connection, "summary").unwrap(), []);
        store.remove_connection(connection).unwrap();
        assert_eq!(
            store.resources_of_kind(connection, "device").unwrap().len(),
            2,
            "the receiver still has them"
        );
    }
}
