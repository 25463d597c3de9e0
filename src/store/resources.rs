//! What a receiver has of everything that is no single reading: devices, summaries, reports, keyed by their identifiers.

use super::{ConnectionId, Store, StoreError};
use rusqlite::{OptionalExtension, Row, Transaction, params};

/// The table of sent resources.
pub(super) const TABLES: &str = "
    CREATE TABLE sent_resources (
        id INTEGER PRIMARY KEY,
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        identifier TEXT NOT NULL,
        kind TEXT NOT NULL,
        location TEXT,
        status TEXT NOT NULL,
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
    /// What became of it, in the caller's words, for example `accepted`.
    pub status: String,
}

impl std::fmt::Debug for SentResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SentResource").field("kind", &self.kind).field("status", &self.status).finish_non_exhaustive()
    }
}

fn resource(row: &Row<'_>) -> rusqlite::Result<SentResource> {
    Ok(SentResource { identifier: row.get(0)?, kind: row.get(1)?, location: row.get(2)?, status: row.get(3)? })
}

/// Records a resource; said again, the later status stands, and a location once known is kept where none comes.
pub(super) fn record_resource(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    sent: &SentResource,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO sent_resources (connection, identifier, kind, location, status) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (connection, identifier) DO UPDATE SET kind = excluded.kind, status = excluded.status,
         location = coalesce(excluded.location, location)",
    )?
    .execute(params![connection.0, sent.identifier, sent.kind, sent.location, sent.status])?;
    Ok(())
}

impl Store {
    /// Records what became of a resource at a receiver; a location once known is kept where none comes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_resource(&mut self, connection: ConnectionId, sent: &SentResource) -> Result<(), StoreError> {
        let tx = self.write()?;
        record_resource(&tx, connection, sent)?;
        tx.commit()?;
        Ok(())
    }

    /// A resource by the value of its identifier.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn resource(&self, connection: ConnectionId, identifier: &str) -> Result<Option<SentResource>, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT identifier, kind, location, status FROM sent_resources WHERE connection = ? AND identifier = ?",
            )?
            .query_row(params![connection.0, identifier], resource)
            .optional()?)
    }

    /// Every resource of a kind, in the order first recorded.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn resources_of_kind(&self, connection: ConnectionId, kind: &str) -> Result<Vec<SentResource>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT identifier, kind, location, status FROM sent_resources WHERE connection = ? AND kind = ? ORDER BY id",
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
        let location = location.map(str::to_owned);
        SentResource { identifier: identifier.into(), kind: "device".into(), location, status: status.into() }
    }

    #[test]
    fn a_later_answer_stands_but_a_known_location_is_kept() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let other = scratch.connect("https://b.example");
        let store = &mut scratch.store;
        store.record_resource(connection, &sent("urn:uuid:1", Some("Device/1"), "accepted")).unwrap();
        store.record_resource(connection, &sent("urn:uuid:2", None, "refused")).unwrap();
        store.record_resource(connection, &sent("urn:uuid:1", None, "confirmed")).unwrap();
        let first = sent("urn:uuid:1", Some("Device/1"), "confirmed");
        assert_eq!(store.resource(connection, "urn:uuid:1").unwrap(), Some(first.clone()));
        assert_eq!(store.resource(other, "urn:uuid:1").unwrap(), None);
        let all = [first, sent("urn:uuid:2", None, "refused")];
        assert_eq!(store.resources_of_kind(connection, "device").unwrap(), all);
        assert_eq!(store.resources_of_kind(connection, "summary").unwrap(), []);
        store.remove_connection(connection).unwrap();
        assert_eq!(store.resources_of_kind(connection, "device").unwrap(), []);
    }
}
