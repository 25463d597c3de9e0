//! A frozen batch: made, claimed, found again.

use super::records::{BatchId, BatchRecord, BatchState, DataVersion, NewBatch, SubmissionId};
use super::submissions::{find, save_progress};
use super::{decode, encode, never_sent};
use crate::fhir::Dialect;
use crate::store::{ConnectionId, Store, StoreError};
use crate::submission::{Attempts, Item, Places, SentBatch, Wait, WaitReason};
use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, params};

fn batch(row: &Row<'_>) -> Result<BatchRecord, StoreError> {
    let text = |column| row.get::<_, String>(column);
    Ok(BatchRecord {
        id: BatchId(row.get("id")?),
        submission: SubmissionId(row.get("submission")?),
        state: BatchState::from_code(&text("state")?)?,
        url: row.get("url")?,
        body: row.get("body")?,
        bytes: usize::try_from(row.get::<_, i64>("bytes")?).unwrap_or_default(),
        content: SentBatch {
            manifest: decode(&text("manifest")?, "batch")?,
            part: decode(&text("part")?, "batch")?,
            dialect: Dialect::from_code(&text("dialect")?).ok_or(StoreError::Row("batch"))?,
            conditional: row.get("conditional")?,
            position_after: decode(&text("position_after")?, "batch")?,
            attempts: decode(&text("attempts")?, "batch")?,
            looked_up: decode(&text("looked_up")?, "batch")?,
            wait: decode(&text("wait")?, "batch")?,
        },
        wait_reason: decode(&text("wait_reason")?, "batch")?,
    })
}

pub(super) fn pending(
    db: &Connection,
    connection: ConnectionId,
) -> Result<Option<BatchRecord>, StoreError> {
    db.prepare_cached("SELECT * FROM batches WHERE connection = ?")?
        .query([connection.0])?
        .next()?
        .map(batch)
        .transpose()
}

fn data_version(db: &Connection) -> Result<DataVersion, StoreError> {
    Ok(DataVersion(db.query_row("PRAGMA data_version", [], |row| row.get(0))?))
}

/// Writes down what happens to a batch next.
pub(super) fn save_state(
    db: &Connection,
    id: BatchId,
    state: BatchState,
    attempts: &Attempts,
    (wait, reason): (Wait, WaitReason),
) -> Result<(), StoreError> {
    db.execute(
        "UPDATE batches SET state = ?, attempts = ?, wait = ?, wait_reason = ? WHERE id = ?",
        params![
            state.code(),
            encode(attempts, "batch")?,
            encode(&wait, "batch")?,
            encode(&reason, "batch")?,
            id.0
        ],
    )?;
    Ok(())
}

/// Writes down what a lookup has found so far.
pub(super) fn save_looked_up(
    db: &Connection,
    id: BatchId,
    places: &Places,
) -> Result<(), StoreError> {
    let places = encode(places, "batch")?;
    db.execute("UPDATE batches SET looked_up = ? WHERE id = ?", params![places, id.0])?;
    Ok(())
}

impl Store {
    /// The state of the database now. Take it before a batch is assembled.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn data_version(&self) -> Result<DataVersion, StoreError> {
        data_version(&self.db)
    }

    /// Freezes a batch: from here on these bytes, and no others, are sent under these identifiers,
    /// to this address.
    ///
    /// `None` if another process changed the database since the batch was assembled: a reading of
    /// it may have been corrected, which nobody would send any more once the old one counts as
    /// accepted. Assemble it anew.
    ///
    /// # Errors
    /// [`StoreError`], also if the connection has a batch already.
    pub fn freeze(
        &mut self,
        connection: ConnectionId,
        new: &NewBatch,
    ) -> Result<Option<BatchId>, StoreError> {
        let tx = self.write()?;
        if data_version(&tx)? != new.data_version {
            return Ok(None);
        }
        let content = &new.content;
        tx.execute(
            "INSERT INTO batches (submission, connection, state, url, dialect, part, body, bytes,
             manifest, conditional, position_after, attempts, looked_up, wait, wait_reason)
             VALUES (?, ?, 'ready', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                new.submission.0,
                connection.0,
                new.url,
                content.dialect.code(),
                encode(&content.part, "batch")?,
                new.body,
                i64::try_from(new.bytes).unwrap_or(i64::MAX),
                encode(&content.manifest, "batch")?,
                content.conditional,
                encode(&content.position_after, "batch")?,
                encode(&content.attempts, "batch")?,
                encode(&content.looked_up, "batch")?,
                encode(&content.wait, "batch")?,
                encode(&WaitReason::OutcomeUnknown, "batch")?,
            ],
        )?;
        let id = tx.last_insert_rowid();
        {
            let mut freeze =
                tx.prepare_cached("INSERT INTO frozen_readings (key, batch) VALUES (?, ?)")?;
            for listed in &content.manifest {
                if let Item::Reading(key, ..) = listed.item {
                    freeze.execute([key, id])?;
                }
            }
        }
        tx.commit()?;
        Ok(Some(BatchId(id)))
    }

    /// The batch a connection has, if any.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pending_batch(
        &self,
        connection: ConnectionId,
    ) -> Result<Option<BatchRecord>, StoreError> {
        pending(&self.db, connection)
    }

    /// Marks a batch as being sent, before it is: a kill from here on leaves its outcome unknown.
    /// Counts the request.
    ///
    /// A request whose sender was killed may still be under way at the receiver: within `lease`
    /// nothing else is sent to it, unless an answer is written down first.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if it is gone, is not ready, or its connection is not active or its
    /// submission not open.
    pub fn claim(
        &mut self,
        connection: ConnectionId,
        id: BatchId,
        now: DateTime<Utc>,
        lease: Wait,
    ) -> Result<BatchRecord, StoreError> {
        let tx = self.write()?;
        let may_be_sent: bool = tx
            .prepare_cached(
                "SELECT 1 FROM batches b JOIN connections c ON c.id = b.connection
                 JOIN submissions s ON s.id = b.submission
                 WHERE b.id = ? AND b.state = 'ready' AND c.state = 'active' AND s.state = 'open'",
            )?
            .exists([id.0])?;
        let found = pending(&tx, connection)?.filter(|found| may_be_sent && found.id == id);
        let mut claimed = found.ok_or(StoreError::Missing("batch"))?;
        let attempts = &mut claimed.content.attempts;
        attempts.sent = attempts.sent.saturating_add(1);
        attempts.first_sent.get_or_insert(now.timestamp());
        claimed.content.wait = lease;
        claimed.state = BatchState::Sending;
        let reason = WaitReason::OutcomeUnknown;
        let attempts = claimed.content.attempts;
        save_state(&tx, id, BatchState::Sending, &attempts, (lease, reason))?;
        let mut progress = find(&tx, claimed.submission)?.progress;
        progress.tally.requests += 1;
        progress.tally.bytes += claimed.bytes as u64;
        save_progress(&tx, claimed.submission, &progress)?;
        tx.commit()?;
        Ok(claimed)
    }

    /// Drops a batch that was never sent, to be assembled anew.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn drop_unsent(&mut self, id: BatchId) -> Result<(), StoreError> {
        let tx = self.write()?;
        never_sent::drop_batch(&tx, id)?;
        tx.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::{DateRange, GlucoseUnit, UtcOffset, Window, ZoneOffsets};
    use crate::store::testing::{Scratch, earlier, reading, value};
    use crate::submission::{ManifestEntry, Origin, Part, Plan, Position, Wanted};
    use chrono::TimeDelta;

    fn now() -> DateTime<Utc> {
        "2024-07-01T08:00:00Z".parse().unwrap()
    }

    fn plan() -> Plan {
        let zone = ZoneOffsets::fixed(UtcOffset::UTC);
        let dates: DateRange = "2024-05-01..2024-05-02".parse().unwrap();
        let wanted =
            Wanted { devices: false, summary: false, readings: true, unit: GlucoseUnit::MgPerDl };
        Plan { wanted, dates, window: dates.window(&zone).unwrap(), day_under_way: None }
    }

    fn assembled(store: &Store, submission: SubmissionId) -> NewBatch {
        NewBatch {
            data_version: store.data_version().unwrap(),
            submission,
            url: "https://a.example/$submit-cgm-bundle".to_owned(),
            body: Vec::new(),
            bytes: 0,
            content: SentBatch {
                manifest: Vec::new(),
                part: Part::Readings,
                dialect: Dialect::Hl7Cgm,
                conditional: true,
                position_after: Position::End,
                attempts: Attempts::default(),
                looked_up: Places::default(),
                wait: Wait::NONE,
            },
        }
    }

    #[test]
    fn a_batch_is_not_frozen_if_another_process_wrote_since_it_was_assembled() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let submission =
            scratch.store.open_submission(connection, Origin::Person, &plan(), now()).unwrap();
        let stale = assembled(&scratch.store, submission);
        let mut other =
            Store::open(std::path::Path::new(scratch.store.db.path().unwrap())).unwrap();
        other.set_meta("anything", "changed").unwrap();
        assert_eq!(scratch.store.freeze(connection, &stale).unwrap(), None);
        assert!(scratch.store.pending_batch(connection).unwrap().is_none());

        let fresh = assembled(&scratch.store, submission);
        scratch.store.set_meta("anything", "by ourselves").unwrap();
        assert!(
            scratch.store.freeze(connection, &fresh).unwrap().is_some(),
            "our own writes are no surprise"
        );
    }

    #[test]
    fn a_reading_that_is_corrected_while_a_batch_holds_it_keeps_the_version_that_may_be_sent() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        scratch.register("s");
        scratch.take(&[reading("s", 0, value(100))]);
        let submission =
            scratch.store.open_submission(connection, Origin::Person, &plan(), now()).unwrap();
        let unit = GlucoseUnit::MgPerDl;
        let all = Window::from_unix(0, i64::MAX).unwrap();
        let key = scratch.store.unsent(connection, unit, all, None, 1).unwrap()[0].key;
        let mut batch = assembled(&scratch.store, submission);
        let item = Item::Reading(key.packed(), 0, unit);
        batch.content.manifest = vec![ManifestEntry { unit: 0, item }];
        scratch.store.freeze(connection, &batch).unwrap().unwrap();
        scratch.take(&[reading("s", 0, value(101))]);
        scratch.store.record_accepted(connection, unit, &[(key, 0)]).unwrap();
        let unsent = scratch.store.unsent(connection, unit, all, None, 1).unwrap();
        assert_eq!(unsent[0].version, 1);
        assert_eq!(unsent[0].history, [earlier(0, value(100))]);
    }

    #[test]
    fn a_batch_of_a_cancelled_submission_or_a_blocked_connection_is_not_claimed() {
        use crate::store::{ConnectionState, SubmissionState};
        let lease = Wait::after(now(), TimeDelta::seconds(70));
        for cancel in [true, false] {
            let mut scratch = Scratch::new();
            let connection = scratch.connect("https://a.example");
            let store = &mut scratch.store;
            let submission =
                store.open_submission(connection, Origin::Person, &plan(), now()).unwrap();
            let batch = assembled(store, submission);
            let id = store.freeze(connection, &batch).unwrap().unwrap();
            if cancel {
                store.end_submission(submission, SubmissionState::Cancelled).unwrap();
                assert!(store.pending_batch(connection).unwrap().is_none(), "it was never sent");
            } else {
                store.block_connection(connection, ConnectionState::Misconfigured).unwrap();
            }
            let claimed = store.claim(connection, id, now(), lease);
            assert!(matches!(claimed, Err(StoreError::Missing(_))), "{cancel}");
        }
    }

    #[test]
    fn the_same_submission_asked_for_twice_is_one_until_it_ends() {
        use crate::store::SubmissionState;
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let store = &mut scratch.store;
        let mut open = |origin| store.open_submission(connection, origin, &plan(), now()).unwrap();
        let first = open(Origin::Person);
        assert_eq!(open(Origin::Person), first);
        assert_ne!(open(Origin::Order), first);
        store.end_submission(first, SubmissionState::Done).unwrap();
        let again = store.open_submission(connection, Origin::Person, &plan(), now()).unwrap();
        assert_ne!(again, first);
    }
}
