//! The ledger: which readings each connection has, in each unit.
//!
//! Kept as intervals of keys, so that it grows with gaps and not with readings. An interval says
//! that every reading stored in it, in its current version, was accepted by that connection under
//! that code. What changes a reading cuts the intervals it lies in; acceptance of what lay between
//! joins them again.

use super::{ConnectionId, ReadingKey, Store, StoreError, key, quarantine, readings};
use crate::glucose::GlucoseUnit;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql, Transaction, params};
use serde::{Deserialize, Serialize};

/// The ledger's tables. `first` and `last` are keys of one sensor, both included; intervals of one
/// connection and code are disjoint. `accepted_versions` remembers acceptance of versions that are
/// no longer current.
pub(super) const TABLES: &str = "
    CREATE TABLE ledger (
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        code INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (connection, code, first)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE accepted_versions (
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        code INTEGER NOT NULL,
        key INTEGER NOT NULL,
        version INTEGER NOT NULL,
        PRIMARY KEY (connection, code, key, version)
    ) STRICT, WITHOUT ROWID;
";

/// The unit a reading is sent in, which decides its code: one connection may have asked for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReadingCode {
    /// Mass per volume, mg/dL.
    Mass,
    /// Moles per volume, mmol/L.
    Molar,
}

impl ReadingCode {
    /// The unit of values under this code.
    pub const fn unit(self) -> GlucoseUnit {
        match self {
            Self::Mass => GlucoseUnit::MgPerDl,
            Self::Molar => GlucoseUnit::MmolPerL,
        }
    }
}

impl From<GlucoseUnit> for ReadingCode {
    fn from(unit: GlucoseUnit) -> Self {
        match unit {
            GlucoseUnit::MgPerDl => Self::Mass,
            GlucoseUnit::MmolPerL => Self::Molar,
        }
    }
}

impl ToSql for ReadingCode {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Mass => 0,
            Self::Molar => 1,
        }
        .into())
    }
}

impl FromSql for ReadingCode {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::Mass),
            1 => Ok(Self::Molar),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}

type Interval = (i64, i64);

/// Neighbouring stored readings: the query for the one nearest beyond a key.
const NEXT: &str = "SELECT key FROM readings WHERE key > ? ORDER BY key LIMIT 1";
const PREVIOUS: &str = "SELECT key FROM readings WHERE key < ? ORDER BY key DESC LIMIT 1";

fn neighbour(db: &Connection, sql: &str, key: i64) -> Result<Option<i64>, StoreError> {
    Ok(db.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()?)
}

/// First and last key the ledger has of a sensor's keys, over all connections.
pub(super) fn range(
    db: &Connection,
    (first, last): (i64, i64),
) -> Result<Option<(i64, i64)>, StoreError> {
    let edges: (Option<i64>, Option<i64>) = db
        .prepare_cached("SELECT min(first), max(last) FROM ledger WHERE first BETWEEN ? AND ?")?
        .query_row([first, last], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(edges.0.zip(edges.1))
}

/// Whether a connection has, or may have, this version of a reading outside of any interval.
pub(super) fn remembers(
    db: &Connection,
    key: ReadingKey,
    version: u32,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM accepted_versions WHERE key = ? AND version = ?";
    Ok(db.prepare_cached(sql)?.exists(params![key, version])?)
}

/// Who has the current version of the reading at a key.
pub(super) fn covering(
    db: &Connection,
    key: ReadingKey,
) -> Result<Vec<(ConnectionId, ReadingCode)>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT c.id, k.code, (SELECT last FROM ledger l WHERE l.connection = c.id AND l.code = k.code AND l.first <= ?1
         ORDER BY l.first DESC LIMIT 1) AS last FROM connections c, (SELECT 0 AS code UNION ALL SELECT 1) k",
    )?;
    let mut rows = statement.query([key])?;
    let mut covering = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get::<_, Option<i64>>(2)?.is_some_and(|last| last >= key.packed()) {
            covering.push((ConnectionId(row.get(0)?), row.get(1)?));
        }
    }
    Ok(covering)
}

/// Takes a reading that is about to change out of the ledger, and remembers who accepted it as it
/// was.
pub(super) fn forget(
    tx: &Transaction<'_>,
    key: ReadingKey,
    version: u32,
) -> Result<(), StoreError> {
    for (connection, code) in covering(tx, key)? {
        remember(tx, connection, code, key, version)?;
    }
    cut(tx, &[key])
}

/// Remembers that a connection has, or may have, a version of a reading.
pub(super) fn remember(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    code: ReadingCode,
    key: ReadingKey,
    version: u32,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO accepted_versions (connection, code, key, version) VALUES (?, ?, ?, ?)")?
        .execute(params![connection.0, code, key, version])?;
    Ok(())
}

/// Takes keys of stored readings out of every interval.
pub(super) fn cut(tx: &Transaction<'_>, keys: &[ReadingKey]) -> Result<(), StoreError> {
    cut_of(tx, keys, |_| true)
}

/// Takes keys of stored readings out of the intervals of those connections and codes that `whose`
/// says yes to.
pub(super) fn cut_of(
    tx: &Transaction<'_>,
    keys: &[ReadingKey],
    whose: impl Fn((ConnectionId, ReadingCode)) -> bool,
) -> Result<(), StoreError> {
    let mut keys: Vec<i64> = keys.iter().map(|key| key.packed()).collect();
    keys.sort_unstable();
    keys.dedup();
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return Ok(()) };
    let mut cuts = Vec::new();
    {
        let mut statement = tx.prepare_cached(
            "SELECT l.connection, l.code, l.first, l.last FROM connections c
             CROSS JOIN (SELECT 0 AS code UNION ALL SELECT 1) k
             CROSS JOIN ledger l ON l.connection = c.id AND l.code = k.code AND l.first <= ?2 AND l.first >= coalesce(
             (SELECT max(first) FROM ledger b WHERE b.connection = c.id AND b.code = k.code AND b.first <= ?1), ?1)",
        )?;
        let mut rows = statement.query([first, last])?;
        while let Some(row) = rows.next()? {
            let interval: Interval = (row.get(2)?, row.get(3)?);
            let (from, to) = (
                keys.partition_point(|key| *key < interval.0),
                keys.partition_point(|key| *key <= interval.1),
            );
            let of = (ConnectionId(row.get(0)?), row.get(1)?);
            if from < to && whose(of) {
                cuts.push((of, interval, from..to));
            }
        }
    }
    for ((connection, code), interval, hit) in cuts {
        tx.prepare_cached("DELETE FROM ledger WHERE connection = ? AND code = ? AND first = ?")?
            .execute(params![connection.0, code, interval.0])?;
        let mut start = interval.0;
        let hit = keys.get(hit).unwrap_or_default();
        for (key, next) in hit.iter().zip(hit.iter().skip(1).copied().map(Some).chain([None])) {
            put(tx, connection, code, (start, *key))?;
            // Late readings often come in runs: nothing is left of the interval between two of one
            // run.
            start = match neighbour(tx, NEXT, *key)? {
                Some(after) if next.is_none_or(|next| after < next) => after,
                _ => next.unwrap_or(i64::MAX),
            };
        }
        put(tx, connection, code, (start, interval.1.saturating_add(1)))?;
    }
    Ok(())
}

/// Adds what is left of an interval from `start` to before `end`, if a stored reading is.
fn put(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    code: ReadingCode,
    (start, end): (i64, i64),
) -> Result<(), StoreError> {
    if start >= end {
        return Ok(());
    }
    let Some(last) = neighbour(tx, PREVIOUS, end)?.filter(|last| *last >= start) else {
        return Ok(());
    };
    tx.prepare_cached("INSERT INTO ledger (connection, code, first, last) VALUES (?, ?, ?, ?)")?
        .execute(params![connection.0, code, start, last])?;
    Ok(())
}

/// Adds an interval of stored readings, joining what it overlaps and what no stored reading keeps
/// apart from it.
fn join(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    code: ReadingCode,
    (mut first, mut last): Interval,
) -> Result<(), StoreError> {
    let interval = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    // The interval that begins furthest right of all that begin at or before `last`, again and
    // again: it overlaps or lies left.
    let mut touching = tx.prepare_cached(
        "SELECT first, last FROM ledger WHERE connection = ? AND code = ? AND first <= ? ORDER BY first DESC LIMIT 1",
    )?;
    let mut remove =
        tx.prepare_cached("DELETE FROM ledger WHERE connection = ? AND code = ? AND first = ?")?;
    while let Some((left, right)) = touching
        .query_row(params![connection.0, code, last], interval)
        .optional()? as Option<Interval>
    {
        let overlaps = right >= first;
        if !overlaps
            && (!key::same_sensor(right, first)
                || neighbour(tx, NEXT, right)?.is_none_or(|next| next < first))
        {
            break;
        }
        remove.execute(params![connection.0, code, left])?;
        first = first.min(left);
        last = last.max(right);
    }
    let mut after = tx.prepare_cached(
        "SELECT first, last FROM ledger WHERE connection = ? AND code = ? AND first > ? ORDER BY first LIMIT 1",
    )?;
    let next: Option<Interval> =
        after.query_row(params![connection.0, code, last], interval).optional()?;
    if let Some((left, right)) = next.filter(|(left, _)| key::same_sensor(*left, last))
        && neighbour(tx, NEXT, last)?.is_some_and(|next| next >= left)
    {
        remove.execute(params![connection.0, code, left])?;
        last = last.max(right);
    }
    tx.prepare_cached("INSERT INTO ledger (connection, code, first, last) VALUES (?, ?, ?, ?)")?
        .execute(params![connection.0, code, first, last])?;
    Ok(())
}

/// Records that a connection has these versions, accepted now or there already. A version that is
/// no longer current is remembered, and its successor stays unsent.
pub(super) fn record_accepted(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    code: ReadingCode,
    accepted: &[(ReadingKey, u32)],
) -> Result<(), StoreError> {
    let mut accepted = accepted.to_vec();
    accepted.sort_unstable();
    accepted.dedup();
    let mut stored = tx.prepare_cached(
        "SELECT key, measurement FROM readings WHERE key >= ? ORDER BY key LIMIT 2",
    )?;
    let mut run: Option<Interval> = None;
    let mut expected = None;
    for (key, version) in accepted {
        quarantine::release(tx, connection, code, key, version)?;
        let mut rows = stored.query([key])?;
        let found = rows
            .next()?
            .map(|row| Ok::<(i64, i64), StoreError>((row.get(0)?, row.get(1)?)))
            .transpose()?;
        let next: Option<i64> = rows.next()?.map(|row| row.get(0)).transpose()?;
        drop(rows);
        let current = match found {
            Some((at, packed)) if at == key.packed() => Some(readings::version(tx, key, packed)?),
            _ => None,
        };
        if current != Some(version) {
            if readings::was_superseded(tx, key, version)? {
                remember(tx, connection, code, key, version)?;
            }
            continue;
        }
        let key = key.packed();
        run = match run {
            Some((first, last)) if expected == Some(key) && key::same_sensor(last, key) => {
                Some((first, key))
            }
            Some(done) => {
                join(tx, connection, code, done)?;
                Some((key, key))
            }
            None => Some((key, key)),
        };
        expected = next;
    }
    run.map_or(Ok(()), |run| join(tx, connection, code, run))
}

/// A connection's intervals that touch a range of one sensor's keys, in key order.
const TOUCHING: &str = "SELECT first, last FROM ledger WHERE connection = ?1 AND code = ?2 AND first <= ?4 AND first >=
    coalesce((SELECT max(first) FROM ledger WHERE connection = ?1 AND code = ?2 AND first <= ?3), ?3) ORDER BY first";

/// Calls `each` with every stretch of a range of one sensor's keys that lies in an interval, in key
/// order, while it returns true. True where it always did.
pub(super) fn covered(
    db: &Connection,
    (connection, code): (ConnectionId, ReadingCode),
    (first, last): Interval,
    mut each: impl FnMut(Interval) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(TOUCHING)?;
    let mut rows = statement.query(params![connection.0, code, first, last])?;
    while let Some(row) = rows.next()? {
        let stretch = (first.max(row.get(0)?), last.min(row.get(1)?));
        if stretch.0 <= stretch.1 && !each(stretch)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Calls `each` with every stretch of a range of one sensor's keys that lies in no interval, in key
/// order, while it returns true. True where it always did.
pub(super) fn gaps(
    db: &Connection,
    (connection, code): (ConnectionId, ReadingCode),
    (first, last): Interval,
    mut each: impl FnMut(Interval) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(TOUCHING)?;
    let mut rows = statement.query(params![connection.0, code, first, last])?;
    let mut start = first;
    while let Some(row) = rows.next()? {
        let (left, right): Interval = (row.get(0)?, row.get(1)?);
        if start < left && !each((start, left - 1))? {
            return Ok(false);
        }
        start = start.max(right.saturating_add(1));
    }
    Ok(start > last || each((start, last))?)
}

impl Store {
    /// Records that a connection has these versions of readings under a code, accepted now or there
    /// already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_accepted(
        &mut self,
        connection: ConnectionId,
        code: ReadingCode,
        accepted: &[(ReadingKey, u32)],
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        record_accepted(&tx, connection, code, accepted)?;
        tx.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::Window;
    use crate::store::testing::{Scratch, reading, value};

    fn send_all(scratch: &mut Scratch, connection: ConnectionId) -> usize {
        let all = Window::from_unix(0, i64::MAX).unwrap();
        let unsent =
            scratch.store.unsent(connection, ReadingCode::Mass, all, None, 10_000).unwrap();
        let accepted: Vec<_> = unsent.iter().map(|u| (u.key, u.version)).collect();
        scratch.store.record_accepted(connection, ReadingCode::Mass, &accepted).unwrap();
        accepted.len()
    }

    fn intervals(scratch: &Scratch) -> i64 {
        scratch.store.db.query_row("SELECT count(*) FROM ledger", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_ledger_grows_with_gaps_not_with_readings() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        for day in 0..20 {
            scratch.ingest("s", (0..100).map(|i| (day * 86_400 + i * 300, value(100))));
            assert_eq!(send_all(&mut scratch, connection), 100);
            assert_eq!(intervals(&scratch), 1);
        }
        scratch.ingest("t", (0..100).map(|i| (i * 300, value(100))));
        send_all(&mut scratch, connection);
        assert_eq!(intervals(&scratch), 2, "one for each sensor");
    }

    #[test]
    fn a_late_run_opens_one_gap_and_its_acceptance_closes_it() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        scratch.ingest("s", (0..10).chain(50..60).map(|i| (i * 300, value(100))));
        send_all(&mut scratch, connection);
        assert_eq!(intervals(&scratch), 1);
        scratch.ingest("s", (20..40).map(|i| (i * 300, value(100))));
        assert_eq!(intervals(&scratch), 2);
        assert_eq!(send_all(&mut scratch, connection), 20);
        assert_eq!(intervals(&scratch), 1);
    }

    #[test]
    fn acceptance_of_a_version_that_was_corrected_meanwhile_leaves_the_correction_unsent() {
        let mut scratch = Scratch::new();
        let (a, b) = (scratch.connect("https://a.example"), scratch.connect("https://b.example"));
        let id = scratch.ingest("s", [(0, value(100))].into_iter());
        let key = ReadingKey::new(id, scratch.at(0)).unwrap();
        scratch.store.record_accepted(a, ReadingCode::Mass, &[(key, 0)]).unwrap();
        scratch.take(&[reading("s", 0, value(101))]);
        scratch.store.record_accepted(b, ReadingCode::Mass, &[(key, 0)]).unwrap();
        let all = Window::from_unix(0, i64::MAX).unwrap();
        for connection in [a, b] {
            let unsent =
                scratch.store.unsent(connection, ReadingCode::Mass, all, None, 10).unwrap();
            assert_eq!((unsent[0].version, unsent[0].replaces), (1, Some(value(100))));
        }
    }

    #[test]
    fn a_reading_nobody_stored_is_never_covered() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let id = scratch.ingest("s", [(0, value(100)), (600, value(100))].into_iter());
        let keys = [0, 300, 600].map(|s| (ReadingKey::new(id, scratch.at(s)).unwrap(), 0));
        scratch.store.record_accepted(connection, ReadingCode::Mass, &keys).unwrap();
        scratch.ingest("s", [(300, value(100))].into_iter());
        let all = Window::from_unix(0, i64::MAX).unwrap();
        assert_eq!(scratch.store.unsent_count(connection, ReadingCode::Mass, all).unwrap(), 1);
    }
}
