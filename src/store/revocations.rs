//! Tokens that are to be given back: what is in the vault under which name, and where it goes.
//!
//! A row is made in the transaction that ends a connection, and goes when the receiver took the
//! token or has no place for it, and the vault entry is gone.

use super::{ConnectionId, Store, StoreError};
use crate::smart::Failures;
use rusqlite::{Connection, params};

/// The revocations' table.
pub(super) const TABLES: &str = "
    CREATE TABLE revocations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        entry TEXT NOT NULL,
        endpoint TEXT,
        client_id TEXT NOT NULL,
        failures TEXT NOT NULL
    ) STRICT;
";

/// A revocation's number within one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevocationId(pub i64);

/// A token to be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRevocation {
    /// The name of its vault entry, without the database's own part.
    pub entry: String,
    /// Where it goes; `None` if the receiver has no such place, and only the entry is to go.
    pub endpoint: Option<String>,
    /// The app's client id there.
    pub client_id: String,
}

/// A token to be given back, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRevocation {
    /// Its number.
    pub id: RevocationId,
    /// Which token, and where it goes.
    pub what: NewRevocation,
    /// What failed so far.
    pub failures: Failures,
}

pub(super) fn add(db: &Connection, new: &NewRevocation) -> Result<RevocationId, StoreError> {
    let id = db.query_row(
        "INSERT INTO revocations (entry, endpoint, client_id, failures) VALUES (?, ?, ?, '{}')
         RETURNING id",
        params![new.entry, new.endpoint, new.client_id],
        |row| row.get(0),
    )?;
    Ok(RevocationId(id))
}

impl Store {
    /// Number and generation of every connection that was not ended, which name its tokens: also of
    /// those that [`Store::unreadable_connections`] tells of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn generations(&self) -> Result<Vec<(ConnectionId, i64)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT id, generation FROM connections WHERE state <> 'disconnected' ORDER BY id",
        )?;
        let rows = statement.query_map([], |row| Ok((ConnectionId(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes a token to be given back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_revocation(&mut self, new: &NewRevocation) -> Result<RevocationId, StoreError> {
        add(&self.db, new)
    }

    /// Every token to be given back, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn revocations(&self) -> Result<Vec<StoredRevocation>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT id, entry, endpoint, client_id, failures FROM revocations ORDER BY id",
        )?;
        let rows = statement.query_map([], |row| {
            let failures: String = row.get(4)?;
            Ok(StoredRevocation {
                id: RevocationId(row.get(0)?),
                what: NewRevocation {
                    entry: row.get(1)?,
                    endpoint: row.get(2)?,
                    client_id: row.get(3)?,
                },
                // An unreadable count only means that it is tried sooner.
                failures: serde_json::from_str(&failures).unwrap_or_default(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Records what failed of a revocation. One that is gone stays so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn defer_revocation(
        &mut self,
        id: RevocationId,
        failures: &Failures,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(failures).map_err(|_| StoreError::Row("revocation"))?;
        self.db.execute("UPDATE revocations SET failures = ? WHERE id = ?", params![text, id.0])?;
        Ok(())
    }

    /// Forgets a revocation that is done.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_revocation(&mut self, id: RevocationId) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM revocations WHERE id = ?", [id.0])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smart::FailureReason;
    use crate::store::testing::Scratch;
    use chrono::{DateTime, TimeDelta, Utc};

    #[test]
    fn a_revocation_stands_until_it_is_removed_also_in_a_new_process() {
        let mut scratch = Scratch::new();
        let new = |entry: &str| NewRevocation {
            entry: entry.to_owned(),
            endpoint: Some("https://auth.example/revoke".to_owned()),
            client_id: "my-app".to_owned(),
        };
        let first = scratch.store.add_revocation(&new("token/1-0")).unwrap();
        let second = scratch.store.add_revocation(&new("revoke/x")).unwrap();
        let now = DateTime::<Utc>::from_timestamp(1_714_521_600, 0).unwrap();
        let reason = FailureReason::Status(503);
        let failures = Failures::default().and(reason, None, TimeDelta::days(1), 0, now);
        scratch.store.defer_revocation(first, &failures).unwrap();
        scratch.reopen();
        let found = scratch.store.revocations().unwrap();
        assert_eq!((found[0].id, &found[0].what), (first, &new("token/1-0")));
        assert_eq!((found[0].failures, found[1].failures), (failures, Failures::default()));
        scratch.store.remove_revocation(first).unwrap();
        let left: Vec<_> = scratch.store.revocations().unwrap().iter().map(|r| r.id).collect();
        assert_eq!(left, [second]);
    }
}
