//! Connections: this person's authorised links, each bound to one base URL and one patient id.

use super::connection_record::{encode_receiver, record, text};
use super::{
    ConnectionDetails, ConnectionId, ConnectionRecord, ConnectionState, NewRevocation,
    RevocationId, Store, StoreError, outbox, revocations,
};
use crate::submission::ReceiverFacts;
use rusqlite::{Connection, Transaction, params};

/// The connections' table.
pub(super) const TABLES: &str = "
    CREATE TABLE connections (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        base TEXT NOT NULL,
        patient TEXT NOT NULL,
        state TEXT NOT NULL,
        details TEXT NOT NULL,
        -- How often it was ended: what was begun before that is for another generation.
        generation INTEGER NOT NULL DEFAULT 0,
        receiver TEXT NOT NULL DEFAULT '{}',
        UNIQUE (base, patient)
    ) STRICT;
    CREATE UNIQUE INDEX one_connection_to_a_base ON connections (base)
    WHERE state <> 'disconnected';
";

/// One connection, ended or not.
pub(super) fn find(db: &Connection, id: ConnectionId) -> Result<ConnectionRecord, StoreError> {
    let mut statement = db.prepare_cached("SELECT * FROM connections WHERE id = ?")?;
    let mut rows = statement.query([id.0])?;
    rows.next()?.map_or(Err(StoreError::Missing("connection")), record)
}

/// Writes down what is known of a receiver.
pub(super) fn save_receiver(
    db: &Connection,
    id: ConnectionId,
    facts: &ReceiverFacts,
) -> Result<(), StoreError> {
    let facts = encode_receiver(facts)?;
    db.execute("UPDATE connections SET receiver = ? WHERE id = ?", params![facts, id.0])?;
    Ok(())
}

/// Takes a connection out of service if it is active.
pub(super) fn block(
    db: &Connection,
    id: ConnectionId,
    state: ConnectionState,
) -> Result<(), StoreError> {
    let sql = "UPDATE connections SET state = ? WHERE id = ? AND state = 'active'";
    db.execute(sql, params![state.code(), id.0])?;
    Ok(())
}

impl Store {
    /// Every connection that was not ended, oldest first, but for those that
    /// [`unreadable_connections`](Self::unreadable_connections) tells of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn connections(&self) -> Result<Vec<ConnectionRecord>, StoreError> {
        Ok(self.standing()?.into_iter().filter_map(Result::ok).collect())
    }

    /// The connections whose rows this version cannot read: an older or newer one wrote them. They
    /// stay as they are, and hide no other.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unreadable_connections(&self) -> Result<Vec<ConnectionId>, StoreError> {
        Ok(self.standing()?.into_iter().filter_map(Result::err).collect())
    }

    fn standing(&self) -> Result<Vec<Result<ConnectionRecord, ConnectionId>>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM connections WHERE state <> 'disconnected' ORDER BY id",
        )?;
        let mut rows = statement.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let id = ConnectionId(row.get("id")?);
            all.push(record(row).map_err(|_| id));
        }
        Ok(all)
    }

    /// One connection, ended or not.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none.
    pub fn connection(&self, id: ConnectionId) -> Result<ConnectionRecord, StoreError> {
        find(&self.db, id)
    }

    /// The connection to a base URL, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn connection_to(&self, base: &str) -> Result<Option<ConnectionRecord>, StoreError> {
        Ok(self.connections()?.into_iter().find(|c| c.base == base))
    }

    /// Adds a connection, or takes up again the one that was ended for the same base and patient:
    /// what that receiver has of this patient is still in the ledger.
    ///
    /// # Errors
    /// [`StoreError`], also where another connection to this base exists.
    pub fn add_connection(
        &mut self,
        base: &str,
        patient: &str,
        state: ConnectionState,
        details: &ConnectionDetails,
    ) -> Result<ConnectionId, StoreError> {
        let id = self.db.query_row(
            "INSERT INTO connections (base, patient, state, details) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (base, patient) DO UPDATE SET state = ?3, details = ?4
             WHERE state = 'disconnected'
             RETURNING id",
            params![base, patient, state.code(), text(details)?],
            |row| row.get(0),
        )?;
        Ok(ConnectionId(id))
    }

    /// Sets a connection's state alone, unless it was ended.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is none, or it was ended.
    pub fn set_connection_state(
        &mut self,
        id: ConnectionId,
        state: ConnectionState,
    ) -> Result<(), StoreError> {
        self.edit_connection(id, |record| record.state = state).map(drop)
    }

    /// Takes a connection out of service if it is active. What was said of it meanwhile by
    /// somebody else stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn block_connection(
        &mut self,
        id: ConnectionId,
        state: ConnectionState,
    ) -> Result<(), StoreError> {
        block(&self.db, id, state)
    }

    /// Takes a connection into service again whose receiver pointed elsewhere, to see whether it
    /// still does.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is none, or it was ended.
    pub fn try_again(&mut self, id: ConnectionId) -> Result<(), StoreError> {
        let again = |record: &mut ConnectionRecord| {
            if record.is_tried_again() {
                record.state = ConnectionState::Active;
                record.receiver.points_elsewhere = false;
            }
        };
        self.edit_connection(id, again).map(drop)
    }

    /// Changes what is known of a receiver in one transaction: `change` sees what another process
    /// may have written meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is no such connection.
    pub fn change_receiver(
        &mut self,
        id: ConnectionId,
        change: impl FnOnce(&mut ReceiverFacts),
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        let mut facts = find(&tx, id)?.receiver;
        change(&mut facts);
        save_receiver(&tx, id, &facts)?;
        tx.commit()?;
        Ok(())
    }

    /// Changes a connection's details in one transaction: `change` sees what another process may
    /// have written meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is none, or it was ended: nothing is written to it any
    /// more.
    pub fn change_connection(
        &mut self,
        id: ConnectionId,
        change: impl FnOnce(&mut ConnectionDetails),
    ) -> Result<(), StoreError> {
        self.edit_connection(id, |record| change(&mut record.details)).map(drop)
    }

    /// Changes a connection's state, its details and what is known of the receiver in one
    /// transaction, and returns it as it is then;
    /// id, base, patient and generation stay as they are.
    ///
    /// # Errors
    /// As [`change_connection`](Self::change_connection).
    pub fn edit_connection(
        &mut self,
        id: ConnectionId,
        change: impl FnOnce(&mut ConnectionRecord),
    ) -> Result<ConnectionRecord, StoreError> {
        let transaction = self.write()?;
        let edited = edit(&transaction, id, change)?;
        transaction.commit()?;
        Ok(edited)
    }

    /// Ends a connection: what is queued for it goes at once, with its orders and what is known of
    /// the authorisation. The ledger of what the receiver has, or may have, stays. Its tokens are
    /// noted as `tokens`, to be given back.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is none, or it was ended already.
    pub fn end_connection(
        &mut self,
        id: ConnectionId,
        tokens: impl FnOnce(&ConnectionRecord) -> NewRevocation,
    ) -> Result<RevocationId, StoreError> {
        let transaction = self.write()?;
        let found = standing(&transaction, id)?;
        let revocation = revocations::add(&transaction, &tokens(&found))?;
        end(&transaction, id, &found.receiver)?;
        transaction.commit()?;
        self.empty_log()?;
        Ok(revocation)
    }

    /// Ends a connection that has no tokens, as [`end_connection`](Self::end_connection).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_connection(&mut self, id: ConnectionId) -> Result<(), StoreError> {
        let transaction = self.write()?;
        let receiver = find(&transaction, id).map(|found| found.receiver).unwrap_or_default();
        end(&transaction, id, &receiver)?;
        transaction.commit()?;
        self.empty_log()
    }
}

/// Changes a connection that was not ended, and returns it as it is then.
pub(super) fn edit(
    transaction: &Transaction<'_>,
    id: ConnectionId,
    change: impl FnOnce(&mut ConnectionRecord),
) -> Result<ConnectionRecord, StoreError> {
    let found = standing(transaction, id)?;
    let mut edited = found.clone();
    change(&mut edited);
    transaction.execute(
        "UPDATE connections SET state = ?, details = ? WHERE id = ?",
        params![edited.state.code(), text(&edited.details)?, id.0],
    )?;
    if edited.receiver != found.receiver {
        save_receiver(transaction, id, &edited.receiver)?;
    }
    let ConnectionRecord { state, details, receiver, .. } = edited;
    Ok(ConnectionRecord { state, details, receiver, ..found })
}

/// A connection that was not ended.
fn standing(
    transaction: &Transaction<'_>,
    id: ConnectionId,
) -> Result<ConnectionRecord, StoreError> {
    let mut statement = transaction
        .prepare_cached("SELECT * FROM connections WHERE id = ? AND state <> 'disconnected'")?;
    let mut rows = statement.query([id.0])?;
    rows.next()?.map_or(Err(StoreError::Missing("connection")), record)
}

fn end(
    transaction: &Transaction<'_>,
    id: ConnectionId,
    receiver: &ReceiverFacts,
) -> Result<(), StoreError> {
    outbox::set_aside_pending(transaction, id, receiver)?;
    transaction.execute("DELETE FROM submissions WHERE connection = ?", [id.0])?;
    transaction.execute("DELETE FROM orders WHERE connection = ?", [id.0])?;
    transaction.execute(
        "UPDATE connections SET state = ?, details = ?, generation = generation + 1 WHERE id = ?",
        params![ConnectionState::Disconnected.code(), text(&ConnectionDetails::default())?, id.0],
    )?;
    transaction.execute("DELETE FROM attempts WHERE connection = ?", [id.0])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Scratch;

    #[test]
    fn an_unreadable_row_is_told_of_and_hides_no_other() {
        let mut scratch = Scratch::new();
        let (a, b) = (scratch.connect("https://a.example"), scratch.connect("https://b.example"));
        let newer = r#"UPDATE connections SET details = '{"v":2,"is":{}}' WHERE id = ?"#;
        scratch.store.db.execute(newer, [a.0]).unwrap();
        let found: Vec<_> = scratch.store.connections().unwrap().iter().map(|c| c.id).collect();
        assert_eq!(found, [b]);
        assert_eq!(scratch.store.unreadable_connections().unwrap(), [a]);
        let entries = [(a, 0), (b, 0)];
        assert_eq!(scratch.store.generations().unwrap(), entries, "tokens of both are found");
        assert!(matches!(scratch.store.connection(a), Err(StoreError::Row("connection"))));
        assert!(scratch.store.change_connection(a, |d| d.confirmed = true).is_err());
    }

    #[test]
    fn after_the_end_of_a_connection_its_person_and_its_queue_are_nowhere_on_disk() {
        let mut scratch = Scratch::new();
        let id = scratch.connect("https://a.example");
        let other = scratch.connect("https://b.example");
        for filler in 0..40 {
            let name = Some(format!("Amy Verysecret {filler}"));
            let change = |d: &mut ConnectionDetails| d.patient_name = name;
            scratch.store.change_connection(id, change).unwrap();
            let padding = "x".repeat(filler * 97);
            scratch.store.change_connection(other, |d| d.scopes = padding).unwrap();
        }
        let born = |d: &mut ConnectionDetails| d.birth_date = Some("1987-02-20".to_owned());
        scratch.store.change_connection(id, born).unwrap();
        let body = b"frozen-body-".repeat(2_000);
        let db = &scratch.store.db;
        db.execute_batch("CREATE TABLE stand_in (body BLOB)").unwrap();
        db.execute("INSERT INTO stand_in VALUES (?)", [&body]).unwrap();
        let found = |scratch: &Scratch, text: &str| {
            let files = std::fs::read_dir(scratch.path().parent().unwrap()).unwrap();
            let holds = |file: std::io::Result<std::fs::DirEntry>| {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                bytes.windows(text.len()).any(|part| part == text.as_bytes())
            };
            files.map(holds).filter(|holds| *holds).count()
        };
        let texts = ["Verysecret", "1987-02-20", "frozen-body"];
        assert!(texts.iter().all(|text| found(&scratch, text) > 0));
        scratch.store.db.execute("DELETE FROM stand_in", []).unwrap();
        scratch.store.remove_connection(id).unwrap();
        assert_eq!(texts.map(|text| found(&scratch, text)), [0; 3]);
    }

    #[test]
    fn nothing_is_written_to_a_connection_that_was_ended() {
        let mut scratch = Scratch::new();
        let id = scratch.connect("https://a.example");
        let tokens = |record: &ConnectionRecord| NewRevocation {
            entry: format!("token/{}-{}", record.id.0, record.generation),
            endpoint: None,
            client_id: String::new(),
        };
        scratch.store.end_connection(id, tokens).unwrap();
        let missing = |result: Result<(), StoreError>| {
            assert!(matches!(result, Err(StoreError::Missing("connection"))));
        };
        missing(scratch.store.set_connection_state(id, ConnectionState::Active));
        missing(scratch.store.change_connection(id, |details| {
            details.patient_name = Some("A Person".to_owned());
        }));
        missing(scratch.store.end_connection(id, tokens).map(drop));
        let ended = scratch.store.connection(id).unwrap();
        assert_eq!((ended.state, ended.generation), (ConnectionState::Disconnected, 1));
        assert!(ended.details == ConnectionDetails::default());
        assert_eq!(scratch.store.revocations().unwrap().len(), 1);

        assert_eq!(scratch.connect("https://a.example"), id, "taken up again");
        assert_eq!(scratch.store.connection(id).unwrap().generation, 1);
    }

    #[test]
    fn an_edit_keeps_whom_the_connection_is_bound_to() {
        let mut scratch = Scratch::new();
        let id = scratch.connect("https://a.example");
        let edited = scratch
            .store
            .edit_connection(id, |record| {
                record.patient = "p2".to_owned();
                record.base = "https://b.example".to_owned();
                record.generation = 7;
                record.details.scopes = "patient/*.cu".to_owned();
            })
            .unwrap();
        assert!(edited == scratch.store.connection(id).unwrap());
        assert_eq!((&*edited.patient, &*edited.base), ("p1", "https://a.example"));
        assert_eq!((edited.generation, &*edited.details.scopes), (0, "patient/*.cu"));
    }
}
