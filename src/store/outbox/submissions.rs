//! Submissions: asked for once, gone through in passes, ended.

use super::records::{SubmissionId, SubmissionRecord, SubmissionState};
use super::{decode, encode};
use crate::store::{ConnectionId, Store, StoreError};
use crate::submission::{Origin, Plan, Progress};
use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, params};

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

pub(super) fn find(db: &Connection, id: SubmissionId) -> Result<SubmissionRecord, StoreError> {
    db.prepare_cached("SELECT * FROM submissions WHERE id = ?")?
        .query([id.0])?
        .next()?
        .map_or(Err(StoreError::Missing("submission")), submission)
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
        let id = self.db.query_row(
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
        Ok(SubmissionId(id))
    }

    /// One submission.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is none.
    pub fn submission(&self, id: SubmissionId) -> Result<SubmissionRecord, StoreError> {
        find(&self.db, id)
    }

    /// A connection's submissions, newest first, at most `limit`.
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
        let mut rows = statement.query(params![connection.0, limit])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(submission(row)?);
        }
        Ok(all)
    }

    /// A connection's open submissions, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_submissions(
        &self,
        connection: ConnectionId,
    ) -> Result<Vec<SubmissionRecord>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM submissions WHERE connection = ? AND state = 'open' ORDER BY id",
        )?;
        let mut rows = statement.query([connection.0])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(submission(row)?);
        }
        Ok(all)
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
        tx.execute(
            "UPDATE submissions SET state = ? WHERE id = ? AND state = 'open'",
            params![state.code(), id.0],
        )?;
        tx.execute(
            "DELETE FROM batches WHERE submission = ? AND state = 'ready'
             AND json_extract(attempts, '$.is.sent') = 0",
            [id.0],
        )?;
        tx.commit()?;
        Ok(())
    }
}
