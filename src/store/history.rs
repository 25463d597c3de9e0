//! What was tried and what came of it: one row for each answered or lost request, one for each
//! entry a receiver refused. Only ever appended to, and pruned by age and number: it explains, and
//! nothing is decided by it.

use super::{ConnectionId, ReadingKey, Store, StoreError, SubmissionId};
use rusqlite::{Row, Transaction, params};

/// Attempts that are kept, of all connections.
const KEPT_ATTEMPTS: i64 = 2_000;
/// Refused entries that are kept.
const KEPT_REFUSALS: i64 = 5_000;
/// How long both are kept.
const KEPT_SECONDS: i64 = 180 * 86_400;

/// The history's tables. `ended` is a stable word.
pub(super) const TABLES: &str = "
    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        submission INTEGER NOT NULL,
        at INTEGER NOT NULL,
        ended TEXT NOT NULL,
        status INTEGER,
        bytes INTEGER NOT NULL,
        entries INTEGER NOT NULL,
        accepted INTEGER NOT NULL,
        refused INTEGER NOT NULL,
        deferred INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX attempts_by_connection ON attempts (connection, id);
    CREATE TABLE refused_entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        attempt INTEGER NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        key INTEGER,
        status INTEGER,
        reason TEXT NOT NULL
    ) STRICT;
    CREATE INDEX refused_entries_by_attempt ON refused_entries (attempt);
";

/// One request, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whose it was.
    pub connection: ConnectionId,
    /// The submission it was part of.
    pub submission: SubmissionId,
    /// Unix second at which its outcome was written down.
    pub at: i64,
    /// How it ended, in a few words: [`Settlement::outcome`](crate::submission::Settlement).
    pub ended: String,
    /// The HTTP status, if an answer came.
    pub status: Option<u16>,
    /// Bytes of the body before compression.
    pub bytes: u64,
    /// Entries in it.
    pub entries: u32,
    /// Entries the receiver has, or has read.
    pub accepted: u32,
    /// Entries that are sent again later.
    pub deferred: u32,
    /// Entries the receiver will not have.
    pub refused: Vec<RefusedEntry>,
}

/// An entry a receiver refused.
#[derive(Clone, PartialEq, Eq)]
pub struct RefusedEntry {
    /// What it was: `reading`, `device`, `summary`.
    pub kind: String,
    /// Which reading, if it was one.
    pub key: Option<ReadingKey>,
    /// The entry's HTTP status, if it had one.
    pub status: Option<u16>,
    /// The receiver's own words, capped.
    pub reason: String,
}

/// Hides the receiver's words.
impl std::fmt::Debug for RefusedEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefusedEntry")
            .field("kind", &self.kind)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Writes an attempt down, in the transaction that writes down what it changed.
pub(super) fn append(tx: &Transaction<'_>, attempt: &Attempt) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO attempts (connection, submission, at, ended, status, bytes, entries, accepted,
         refused, deferred) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        attempt.connection.0,
        attempt.submission.0,
        attempt.at,
        attempt.ended,
        attempt.status,
        count(attempt.bytes),
        attempt.entries,
        attempt.accepted,
        count(attempt.refused.len() as u64),
        attempt.deferred,
    ])?;
    let id = tx.last_insert_rowid();
    let mut refuse = tx.prepare_cached(
        "INSERT INTO refused_entries (attempt, kind, key, status, reason) VALUES (?, ?, ?, ?, ?)",
    )?;
    for entry in &attempt.refused {
        refuse.execute(params![id, entry.kind, entry.key, entry.status, entry.reason])?;
    }
    prune(tx, id, attempt.at)
}

/// Drops what is too old or too much. The newest attempt tells the time: a clock that runs ahead
/// costs history and nothing else.
fn prune(tx: &Transaction<'_>, newest: i64, at: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM attempts WHERE id <= ?")?.execute([newest - KEPT_ATTEMPTS])?;
    // Attempts are in order of time but for clocks that were set: as far as the first young one.
    tx.prepare_cached(
        "DELETE FROM attempts WHERE id < coalesce(
         (SELECT id FROM attempts WHERE at >= ?1 ORDER BY id LIMIT 1), 0)",
    )?
    .execute([at.saturating_sub(KEPT_SECONDS)])?;
    tx.prepare_cached(
        "DELETE FROM refused_entries WHERE id <= (SELECT max(id) FROM refused_entries) - ?",
    )?
    .execute([KEPT_REFUSALS])?;
    Ok(())
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<(i64, Attempt)> {
    let attempt = Attempt {
        connection: ConnectionId(row.get("connection")?),
        submission: SubmissionId(row.get("submission")?),
        at: row.get("at")?,
        ended: row.get("ended")?,
        status: row.get("status")?,
        bytes: row.get::<_, i64>("bytes")?.unsigned_abs(),
        entries: row.get("entries")?,
        accepted: row.get("accepted")?,
        deferred: row.get("deferred")?,
        refused: Vec::new(),
    };
    Ok((row.get("id")?, attempt))
}

impl Store {
    /// Writes an attempt down by itself: one that changed nothing else.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn append_history(&mut self, attempt: &Attempt) -> Result<(), StoreError> {
        let tx = self.write()?;
        append(&tx, attempt)?;
        tx.commit()?;
        Ok(())
    }

    /// What was tried for a connection, newest first, at most `limit`. Of older attempts the
    /// refused entries may be gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn history(
        &self,
        connection: ConnectionId,
        limit: u32,
    ) -> Result<Vec<Attempt>, StoreError> {
        let snapshot = self.read()?;
        let mut attempts = snapshot.prepare_cached(
            "SELECT * FROM attempts WHERE connection = ? ORDER BY id DESC LIMIT ?",
        )?;
        let mut refused = snapshot.prepare_cached(
            "SELECT kind, key, status, reason FROM refused_entries WHERE attempt = ? ORDER BY id",
        )?;
        let found = attempts.query_map(params![connection.0, limit], attempt)?;
        let mut all = Vec::new();
        for one in found {
            let (id, mut one) = one?;
            let entries = refused.query_map([id], |row| {
                Ok(RefusedEntry {
                    kind: row.get(0)?,
                    key: row.get(1)?,
                    status: row.get(2)?,
                    reason: row.get(3)?,
                })
            })?;
            one.refused = entries.collect::<Result<_, _>>()?;
            all.push(one);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Scratch;

    fn attempt(connection: ConnectionId, at: i64, refused: usize) -> Attempt {
        let entry = RefusedEntry {
            kind: "device".to_owned(),
            key: None,
            status: Some(422),
            reason: "no".to_owned(),
        };
        Attempt {
            connection,
            submission: SubmissionId(1),
            at,
            ended: "answered".to_owned(),
            status: Some(200),
            bytes: 10,
            entries: 5,
            accepted: 4,
            deferred: 0,
            refused: vec![entry; refused],
        }
    }

    fn rows(scratch: &Scratch, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        scratch.store.db.query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn attempts_come_back_newest_first_with_what_was_refused() {
        let mut scratch = Scratch::new();
        let (a, b) = (scratch.connect("https://a.example"), scratch.connect("https://b.example"));
        let all = [attempt(a, 1, 2), attempt(b, 2, 0), attempt(a, 3, 1)];
        for one in &all {
            scratch.store.append_history(one).unwrap();
        }
        let [first, other, last] = all;
        assert_eq!(scratch.store.history(a, 10).unwrap(), [last.clone(), first]);
        assert_eq!(scratch.store.history(a, 1).unwrap(), [last]);
        assert_eq!(scratch.store.history(b, 10).unwrap(), [other]);
    }

    #[test]
    fn what_is_too_old_or_too_much_goes() {
        let mut scratch = Scratch::new();
        let to = scratch.connect("https://a.example");
        let tx = scratch.store.write().unwrap();
        for at in 0..KEPT_ATTEMPTS + 3 {
            append(&tx, &attempt(to, at, 3)).unwrap();
        }
        tx.commit().unwrap();
        assert_eq!(rows(&scratch, "attempts"), KEPT_ATTEMPTS);
        assert_eq!(rows(&scratch, "refused_entries"), KEPT_REFUSALS);
        scratch.store.append_history(&attempt(to, KEPT_SECONDS + 2_000, 0)).unwrap();
        assert_eq!(rows(&scratch, "attempts"), 4, "2000, 2001, 2002 and the new one");
        assert_eq!(rows(&scratch, "refused_entries"), 9);
    }
}
