//! Submissions: asked for once, gone through in passes, ended.

use super::records::{SubmissionId, SubmissionRecord, SubmissionState};
use super::{decode, encode, never_sent};
use crate::store::{ConnectionId, ConnectionRecord, Store, StoreError, connections};
use crate::submission::{Origin, Plan, Progress};
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, Rows, Transaction, params};

const OPEN: &str = "SELECT * FROM submissions WHERE connection = ? AND state = 'open' ORDER BY id";

fn submission(row: &Row<'_>) -> Result<SubmissionRecord, StoreError> {
    Ok(SubmissionRecord {
        id: SubmissionId(row.get("id")?),
        connection: ConnectionId(row.get("connection")?),
        created_at: row.get("created_at")?,
        origin: decode(&row.get::<_, String>("origin")?, "submission")?,
        plan: decode(&row.get::<_, String>("plan")?, "submission")?,
        state: SubmissionState::from_code(&row.get::<_, String>("state")?)?,
        progress: decode(&row.get::<_, String>("progress")?, "submission")?,
    })
}

/// The submissions of some rows; one that cannot be read holds up no other.
fn readable(mut rows: Rows<'_>) -> Result<Vec<SubmissionRecord>, StoreError> {
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        match submission(row) {
            Err(StoreError::Row(_)) => {}
            read => all.push(read?),
        }
    }
    Ok(all)
}

/// Ends the open submission with a key if it cannot be read: asked for again, it begins anew.
fn end_unreadable(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    key: &str,
) -> Result<(), StoreError> {
    let open: Option<i64> = tx
        .prepare_cached(
            "SELECT id FROM submissions WHERE connection = ? AND key = ? AND state = 'open'",
        )?
        .query_row(params![connection.0, key], |row| row.get(0))
        .optional()?;
    let Some(id) = open else { return Ok(()) };
    match find(tx, SubmissionId(id)) {
        Err(StoreError::Row(_)) => cancel(tx, SubmissionId(id)),
        found => found.map(drop),
    }
}

/// Cancels a submission, readable or not.
pub(super) fn cancel(tx: &Transaction<'_>, id: SubmissionId) -> Result<(), StoreError> {
    let state = SubmissionState::Cancelled.code();
    tx.execute("UPDATE submissions SET state = ? WHERE id = ?", params![state, id.0])?;
    Ok(())
}

pub(super) fn find(db: &Connection, id: SubmissionId) -> Result<SubmissionRecord, StoreError> {
    db.prepare_cached("SELECT * FROM submissions WHERE id = ?")?
        .query([id.0])?
        .next()?
        .map_or(Err(StoreError::Missing("submission")), submission)
}

fn end(tx: &Transaction<'_>, id: SubmissionId, state: SubmissionState) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE submissions SET state = ? WHERE id = ? AND state = 'open'",
        params![state.code(), id.0],
    )?;
    never_sent::drop_batch_of(tx, id)
}

pub(super) fn save_progress(
    db: &Connection,
    id: SubmissionId,
    progress: &Progress,
) -> Result<(), StoreError> {
    db.execute(
        "UPDATE submissions SET progress = ? WHERE id = ?",
        params![encode(progress, "submission")?, id.0],
    )?;
    Ok(())
}

impl Store {
    /// Asks for a submission. If the same is under way already, it is that one, up to the later
    /// end: a second tap on a button asks for nothing new.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_submission(
        &mut self,
        connection: ConnectionId,
        origin: Origin,
        plan: &Plan,
        now: DateTime<Utc>,
    ) -> Result<SubmissionId, StoreError> {
        let tx = self.write()?;
        end_unreadable(&tx, connection, &plan.key(origin))?;
        let id = tx.query_row(
            "INSERT INTO submissions (connection, created_at, origin, key, plan, state, progress)
             VALUES (?, ?, ?, ?, ?, 'open', ?)
             ON CONFLICT (connection, key) WHERE state = 'open' DO UPDATE SET plan = excluded.plan
             RETURNING id",
            params![
                connection.0,
                now.timestamp(),
                encode(&origin, "submission")?,
                plan.key(origin),
                encode(plan, "submission")?,
                encode(&Progress::start(), "submission")?
            ],
            |row| row.get(0),
        )?;
        tx.commit()?;
        Ok(SubmissionId(id))
    }

    /// One submission.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is none.
    pub fn submission(&self, id: SubmissionId) -> Result<SubmissionRecord, StoreError> {
        find(&self.db, id)
    }

    /// A connection's submissions that can be read, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn submissions(
        &self,
        connection: ConnectionId,
        limit: u32,
    ) -> Result<Vec<SubmissionRecord>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM submissions WHERE connection = ? ORDER BY id DESC LIMIT ?",
        )?;
        readable(statement.query(params![connection.0, limit])?)
    }

    /// A connection's open submissions that can be read, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_submissions(
        &self,
        connection: ConnectionId,
    ) -> Result<Vec<SubmissionRecord>, StoreError> {
        let mut statement = self.db.prepare_cached(OPEN)?;
        readable(statement.query([connection.0])?)
    }

    /// Changes a connection that was authorised anew, as [`edit_connection`](Self::edit_connection)
    /// does: what its open submissions stopped for lack of consent is tried again.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is none, or it was ended.
    pub fn renew_connection(
        &mut self,
        id: ConnectionId,
        change: impl FnOnce(&mut ConnectionRecord),
    ) -> Result<ConnectionRecord, StoreError> {
        let tx = self.write()?;
        let renewed = connections::edit(&tx, id, change)?;
        let open = readable(tx.prepare_cached(OPEN)?.query([id.0])?)?;
        for SubmissionRecord { id, mut progress, .. } in open {
            progress.authorised();
            save_progress(&tx, id, &progress)?;
        }
        tx.commit()?;
        Ok(renewed)
    }

    /// Writes down how far a submission has come.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_progress(
        &mut self,
        id: SubmissionId,
        progress: &Progress,
    ) -> Result<(), StoreError> {
        save_progress(&self.db, id, progress)
    }

    /// Ends a submission that is open. A batch of it that was never sent is dropped; one that may
    /// be on its way is settled first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn end_submission(
        &mut self,
        id: SubmissionId,
        state: SubmissionState,
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        end(&tx, id, state)?;
        tx.commit()?;
        Ok(())
    }

    /// Ends a submission, as [`end_submission`](Self::end_submission) does, because the person
    /// wants it. One that ended already stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is none.
    pub fn cancel_submission(&mut self, id: SubmissionId) -> Result<(), StoreError> {
        let tx = self.write()?;
        // Not read: one that cannot be read can be cancelled.
        let known = "SELECT 1 FROM submissions WHERE id = ?";
        if !tx.prepare_cached(known)?.exists([id.0])? {
            return Err(StoreError::Missing("submission"));
        }
        end(&tx, id, SubmissionState::Cancelled)?;
        tx.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::{DateRange, GlucoseUnit, UtcOffset, ZoneOffsets};
    use crate::store::testing::Scratch;
    use crate::submission::Wanted;

    fn plan(dates: &str) -> Plan {
        let dates: DateRange = dates.parse().unwrap();
        let window = dates.window(&ZoneOffsets::fixed(UtcOffset::UTC)).unwrap();
        let wanted =
            Wanted { devices: false, summary: false, readings: true, unit: GlucoseUnit::MgPerDl };
        Plan { wanted, dates, window, day_under_way: None }
    }

    #[test]
    fn a_submission_that_cannot_be_read_fails_alone_and_can_be_asked_for_again() {
        for column in ["plan", "progress", "origin"] {
            let mut scratch = Scratch::new();
            let to = scratch.connect("https://a.example");
            let now = scratch.now();
            let ask = |store: &mut Store, dates| {
                store.open_submission(to, Origin::Person, &plan(dates), now).unwrap()
            };
            let broken = ask(&mut scratch.store, "2024-05-01..2024-05-02");
            let whole = ask(&mut scratch.store, "2024-06-01..2024-06-02");
            let sql = format!("UPDATE submissions SET {column} = '{{' WHERE id = ?");
            scratch.store.db.execute(&sql, [broken.0]).unwrap();

            let ids = |found: Vec<SubmissionRecord>| found.iter().map(|s| s.id).collect::<Vec<_>>();
            assert_eq!(ids(scratch.store.open_submissions(to).unwrap()), [whole], "{column}");
            assert_eq!(ids(scratch.store.submissions(to, 9).unwrap()), [whole]);
            let alone = scratch.store.submission(broken);
            assert!(matches!(alone, Err(StoreError::Row("submission"))));

            let again = ask(&mut scratch.store, "2024-05-01..2024-05-02");
            assert_ne!(again, broken);
            assert_eq!(ids(scratch.store.open_submissions(to).unwrap()), [whole, again]);
        }
    }
}
