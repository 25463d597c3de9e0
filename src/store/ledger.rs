//! The ledger: which readings each connection has, in each unit.
//!
//! Kept as intervals of keys, so that it grows with gaps and not with readings. An interval says
//! that every reading stored in it, in its current version, was accepted by that connection under
//! that unit. What changes a reading cuts the intervals it lies in; acceptance of what lay between
//! joins them again.

use super::{ConnectionId, ReadingKey, StoreError, key};
use crate::glucose::GlucoseUnit;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// The ledger's tables. `first` and `last` are keys of one sensor, both included; intervals of one
/// connection and unit are disjoint.
pub(super) const TABLES: &str = "
    CREATE TABLE ledger (
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        unit INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (connection, unit, first)
    ) STRICT, WITHOUT ROWID;
";

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

/// Who has the current version of the reading at a key.
pub(super) fn covering(
    db: &Connection,
    key: ReadingKey,
) -> Result<Vec<(ConnectionId, GlucoseUnit)>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT c.id, k.unit, (SELECT last FROM ledger l WHERE l.connection = c.id
         AND l.unit = k.unit AND l.first <= ?1
         ORDER BY l.first DESC LIMIT 1) AS last
         FROM connections c, (SELECT 0 AS unit UNION ALL SELECT 1) k",
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

/// Takes keys of stored readings out of every interval.
pub(super) fn cut(tx: &Transaction<'_>, keys: &[ReadingKey]) -> Result<(), StoreError> {
    cut_of(tx, keys, |_| true)
}

/// Takes keys of stored readings out of the intervals of those connections and codes that `whose`
/// says yes to.
pub(super) fn cut_of(
    tx: &Transaction<'_>,
    keys: &[ReadingKey],
    whose: impl Fn((ConnectionId, GlucoseUnit)) -> bool,
) -> Result<(), StoreError> {
    let mut keys: Vec<i64> = keys.iter().map(|key| key.packed()).collect();
    keys.sort_unstable();
    keys.dedup();
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return Ok(()) };
    let mut cuts = Vec::new();
    {
        let mut statement = tx.prepare_cached(
            "SELECT l.connection, l.unit, l.first, l.last FROM connections c
             CROSS JOIN (SELECT 0 AS unit UNION ALL SELECT 1) k
             CROSS JOIN ledger l ON l.connection = c.id AND l.unit = k.unit AND l.first <= ?2
             AND l.first >= coalesce(
             (SELECT max(first) FROM ledger b WHERE b.connection = c.id AND b.unit = k.unit
             AND b.first <= ?1), ?1)",
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
    for ((connection, unit), interval, hit) in cuts {
        tx.prepare_cached("DELETE FROM ledger WHERE connection = ? AND unit = ? AND first = ?")?
            .execute(params![connection.0, unit, interval.0])?;
        let mut start = interval.0;
        let hit = keys.get(hit).unwrap_or_default();
        for (key, next) in hit.iter().zip(hit.iter().skip(1).copied().map(Some).chain([None])) {
            put(tx, connection, unit, (start, *key))?;
            // Late readings often come in runs: nothing is left of the interval between two of one
            // run.
            start = match neighbour(tx, NEXT, *key)? {
                Some(after) if next.is_none_or(|next| after < next) => after,
                _ => next.unwrap_or(i64::MAX),
            };
        }
        put(tx, connection, unit, (start, interval.1.saturating_add(1)))?;
    }
    Ok(())
}

/// Adds what is left of an interval from `start` to before `end`, if a stored reading is.
fn put(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    unit: GlucoseUnit,
    (start, end): (i64, i64),
) -> Result<(), StoreError> {
    if start >= end {
        return Ok(());
    }
    let Some(last) = neighbour(tx, PREVIOUS, end)?.filter(|last| *last >= start) else {
        return Ok(());
    };
    tx.prepare_cached("INSERT INTO ledger (connection, unit, first, last) VALUES (?, ?, ?, ?)")?
        .execute(params![connection.0, unit, start, last])?;
    Ok(())
}

/// Adds an interval of stored readings, joining what it overlaps and what no stored reading keeps
/// apart from it.
pub(super) fn join(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    unit: GlucoseUnit,
    (mut first, mut last): Interval,
) -> Result<(), StoreError> {
    let interval = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    // The interval that begins furthest right of all that begin at or before `last`, again and
    // again: it overlaps or lies left.
    let mut touching = tx.prepare_cached(
        "SELECT first, last FROM ledger WHERE connection = ? AND unit = ? AND first <= ?
         ORDER BY first DESC LIMIT 1",
    )?;
    let mut remove =
        tx.prepare_cached("DELETE FROM ledger WHERE connection = ? AND unit = ? AND first = ?")?;
    while let Some((left, right)) = touching
        .query_row(params![connection.0, unit, last], interval)
        .optional()? as Option<Interval>
    {
        let overlaps = right >= first;
        if !overlaps
            && (!key::same_sensor(right, first)
                || neighbour(tx, NEXT, right)?.is_none_or(|next| next < first))
        {
            break;
        }
        remove.execute(params![connection.0, unit, left])?;
        first = first.min(left);
        last = last.max(right);
    }
    let mut after = tx.prepare_cached(
        "SELECT first, last FROM ledger WHERE connection = ? AND unit = ? AND first > ?
         ORDER BY first LIMIT 1",
    )?;
    let next: Option<Interval> =
        after.query_row(params![connection.0, unit, last], interval).optional()?;
    if let Some((left, right)) = next.filter(|(left, _)| key::same_sensor(*left, last))
        && neighbour(tx, NEXT, last)?.is_some_and(|next| next >= left)
    {
        remove.execute(params![connection.0, unit, left])?;
        last = last.max(right);
    }
    tx.prepare_cached("INSERT INTO ledger (connection, unit, first, last) VALUES (?, ?, ?, ?)")?
        .execute(params![connection.0, unit, first, last])?;
    Ok(())
}

/// A connection's intervals that touch a range of one sensor's keys, in key order.
const TOUCHING: &str = "SELECT first, last FROM ledger WHERE connection = ?1 AND unit = ?2
    AND first <= ?4 AND first >=
    coalesce((SELECT max(first) FROM ledger WHERE connection = ?1 AND unit = ?2
    AND first <= ?3), ?3) ORDER BY first";

/// Calls `each` with every stretch of a range of one sensor's keys that lies in an interval, in key
/// order, until it returns `false`. Returns whether it never did.
pub(super) fn covered(
    db: &Connection,
    (connection, unit): (ConnectionId, GlucoseUnit),
    (first, last): Interval,
    mut each: impl FnMut(Interval) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(TOUCHING)?;
    let mut rows = statement.query(params![connection.0, unit, first, last])?;
    while let Some(row) = rows.next()? {
        let stretch = (first.max(row.get(0)?), last.min(row.get(1)?));
        if stretch.0 <= stretch.1 && !each(stretch)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Calls `each` with every stretch of a range of one sensor's keys that lies in no interval, in key
/// order, until it returns `false`. Returns whether it never did.
pub(super) fn gaps(
    db: &Connection,
    (connection, unit): (ConnectionId, GlucoseUnit),
    (first, last): Interval,
    mut each: impl FnMut(Interval) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(TOUCHING)?;
    let mut rows = statement.query(params![connection.0, unit, first, last])?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::Window;
    use crate::store::testing::{Scratch, value};

    fn send_all(scratch: &mut Scratch, connection: ConnectionId) -> usize {
        let all = Window::from_unix(0, i64::MAX).unwrap();
        let unsent =
            scratch.store.unsent(connection, GlucoseUnit::MgPerDl, all, None, 10_000).unwrap();
        let accepted: Vec<_> = unsent.iter().map(|u| (u.key, u.version)).collect();
        scratch.store.record_accepted(connection, GlucoseUnit::MgPerDl, &accepted).unwrap();
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
    fn a_reading_nobody_stored_is_never_covered() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let id = scratch.ingest("s", [(0, value(100)), (600, value(100))].into_iter());
        let keys = [0, 300, 600].map(|s| (ReadingKey::new(id, scratch.at(s)).unwrap(), 0));
        scratch.store.record_accepted(connection, GlucoseUnit::MgPerDl, &keys).unwrap();
        scratch.ingest("s", [(300, value(100))].into_iter());
        let all = Window::from_unix(0, i64::MAX).unwrap();
        assert_eq!(scratch.store.unsent_count(connection, GlucoseUnit::MgPerDl, all).unwrap(), 1);
    }
}
