//! Earlier versions of readings: what was corrected after a receiver had, or may have, seen it, and
//! which receiver that was.
//!
//! A reading's version is 0 until a version someone has seen is corrected; the earlier one then
//! moves to `superseded`, with the instant it stood at. Only readings with earlier versions carry
//! the history mark, so that ordinary ones cost nothing. A reading that a maker's record key shows
//! to have moved to another instant takes its earlier versions along.

use super::packing::{self, HISTORY};
use super::{ConnectionId, ReadingKey, StoreError};
use crate::glucose::{EarlierReading, GlucoseUnit, Measurement};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// The tables of earlier versions. `superseded.measurement` is packed without UTC offset.
/// `superseded.moved_to` is the key at which the record stands now, `NULL` if that is the same;
/// while a batch of moves is under way it is written negative, so that one move does not drag along
/// another's. `accepted_versions` says who has, or may have, a version outside the ledger's
/// intervals, and in `accepted` which of the two; its key begins with the reading, because that is
/// what is asked for.
pub(super) const TABLES: &str = "
    CREATE TABLE superseded (
        id INTEGER PRIMARY KEY,
        key INTEGER NOT NULL,
        version INTEGER NOT NULL,
        measurement INTEGER NOT NULL,
        moved_to INTEGER,
        UNIQUE (key, version)
    ) STRICT;
    CREATE INDEX superseded_by_target ON superseded (moved_to) WHERE moved_to IS NOT NULL;
    CREATE TABLE accepted_versions (
        key INTEGER NOT NULL,
        version INTEGER NOT NULL,
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        unit INTEGER NOT NULL,
        accepted INTEGER NOT NULL,
        PRIMARY KEY (key, version, connection, unit)
    ) STRICT, WITHOUT ROWID;
";

/// The condition for a row of `superseded` to be an earlier version of the reading that stands at a
/// key now.
const OF_READING: &str = "(s.key = ?1 AND s.moved_to IS NULL) OR s.moved_to = ?1";

/// The current version of a row with this packed measurement.
pub(super) fn current(db: &Connection, key: ReadingKey, packed: i64) -> Result<u32, StoreError> {
    if packed & HISTORY == 0 {
        return Ok(0);
    }
    let last: Option<u32> = db
        .prepare_cached("SELECT max(version) FROM superseded WHERE key = ?")?
        .query_row([key], |row| row.get(0))?;
    Ok(last.map_or(0, |last| last + 1))
}

/// The key at which the record of an earlier version stands now; `None` if that is no earlier
/// version.
pub(super) fn stands_at(
    db: &Connection,
    key: ReadingKey,
    version: u32,
) -> Result<Option<ReadingKey>, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT coalesce(moved_to, key) FROM superseded WHERE key = ? AND version = ?",
        )?
        .query_row(params![key, version], |row| row.get(0))
        .optional()?)
}

/// [`HISTORY`] if an earlier version stood at the key, or belongs to the reading there; else 0.
pub(super) fn mark(db: &Connection, key: ReadingKey) -> Result<i64, StoreError> {
    let known = db
        .prepare_cached("SELECT 1 FROM superseded WHERE key = ?1 OR moved_to = ?1")?
        .exists([key])?;
    Ok(if known { HISTORY } else { 0 })
}

/// First and last key of a sensor's `superseded` rows and their targets, if there are any.
pub(super) fn range(
    db: &Connection,
    (first, last): (i64, i64),
) -> Result<Option<(i64, i64)>, StoreError> {
    let edges: (Option<i64>, Option<i64>) = db
        .prepare_cached(
            "SELECT min(at), max(at) FROM (
             SELECT key AS at FROM superseded WHERE key BETWEEN ?1 AND ?2
             UNION ALL SELECT moved_to FROM superseded WHERE moved_to BETWEEN ?1 AND ?2)",
        )?
        .query_row([first, last], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(edges.0.zip(edges.1))
}

/// Keeps a version as an earlier one.
pub(super) fn add(
    tx: &Transaction<'_>,
    key: ReadingKey,
    version: u32,
    packed: i64,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO superseded (key, version, measurement) VALUES (?, ?, ?)")?
        .execute(params![key, version, packed & !HISTORY & !packing::OFFSET_MASK])?;
    Ok(())
}

/// Takes the earlier versions of the reading at `from` along to `target`, as part of a batch of
/// moves.
pub(super) fn move_along(
    tx: &Transaction<'_>,
    from: ReadingKey,
    target: ReadingKey,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE superseded SET moved_to = ?2
         WHERE (key = ?1 AND moved_to IS NULL) OR moved_to = ?1",
    )?
    .execute(params![from, -target.packed()])?;
    Ok(())
}

/// Ends a batch of moves: what moved along now belongs to where it moved.
pub(super) fn settle_moves(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("UPDATE superseded SET moved_to = -moved_to WHERE moved_to < 0", [])?;
    Ok(())
}

/// How surely a receiver has a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It accepted it.
    Accepted,
    /// It was sent, and nobody can tell what became of it.
    MayHave,
}

/// Remembers that a connection has, or may have, a version of a reading. What was accepted once
/// stays so.
pub(super) fn remember(
    tx: &Transaction<'_>,
    (connection, unit): (ConnectionId, GlucoseUnit),
    (key, version): (ReadingKey, u32),
    held: Held,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO accepted_versions (key, version, connection, unit, accepted)
         VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET accepted = max(accepted, excluded.accepted)",
    )?
    .execute(params![key, version, connection.0, unit, held == Held::Accepted])?;
    Ok(())
}

/// Remembers that a connection may have a version, whatever it said of it before: asked for it, it
/// did not show it.
pub(super) fn doubt(
    tx: &Transaction<'_>,
    (connection, unit): (ConnectionId, GlucoseUnit),
    (key, version): (ReadingKey, u32),
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO accepted_versions (key, version, connection, unit, accepted)
         VALUES (?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET accepted = 0",
    )?
    .execute(params![key, version, connection.0, unit])?;
    Ok(())
}

/// Whether a connection was remembered to have accepted a version.
pub(super) fn has_accepted(
    db: &Connection,
    (connection, unit): (ConnectionId, GlucoseUnit),
    key: ReadingKey,
    version: u32,
) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT 1 FROM accepted_versions
             WHERE key = ? AND version = ? AND connection = ? AND unit = ? AND accepted = 1",
        )?
        .exists(params![key, version, connection.0, unit])?)
}

const REMEMBERED_IN: &str = "SELECT unit FROM accepted_versions WHERE key = ? AND version = ?";

/// The units in which some connection has, or may have, a version outside of any interval.
pub(super) fn remembered_in(
    db: &Connection,
    key: ReadingKey,
    version: u32,
) -> Result<Vec<GlucoseUnit>, StoreError> {
    let mut statement = db.prepare_cached(REMEMBERED_IN)?;
    let rows = statement.query_map(params![key, version], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One version of a reading: the current one, or a row of `superseded`.
struct Version {
    id: i64,
    key: ReadingKey,
    said: Measurement,
}

impl Version {
    /// Whether a receiver that is sent `unit` cannot tell them apart.
    fn is_alike(&self, other: &Self, unit: GlucoseUnit) -> bool {
        self.key == other.key && self.said.is_alike_in(other.said, unit)
    }
}

/// Rows of `superseded` that a connection has seen, oldest first.
fn seen(
    db: &Connection,
    condition: &str,
    key: ReadingKey,
    (connection, unit): (ConnectionId, GlucoseUnit),
) -> Result<Vec<Version>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT s.id, s.key, s.measurement FROM superseded s
         CROSS JOIN accepted_versions a ON a.key = s.key AND a.version = s.version
         AND a.connection = ?2 AND a.unit = ?3 WHERE {condition} ORDER BY s.id"
    ))?;
    let mut rows = statement.query(params![key, connection.0, unit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let said = packing::decode(row.get(2)?)?;
        found.push(Version { id: row.get(0)?, key: row.get(1)?, said });
    }
    Ok(found)
}

/// A connection and unit, the version it has seen, and how surely it has that.
pub(super) type Seen = ((ConnectionId, GlucoseUnit), u32, Held);

/// For whom the last version they have seen of the reading at a key is one that says `said` there,
/// or cannot be told from it.
pub(super) fn seen_as_current(
    db: &Connection,
    key: ReadingKey,
    said: Measurement,
) -> Result<Vec<Seen>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT a.connection, a.unit, s.key, s.measurement, s.version, a.accepted
         FROM superseded s
         CROSS JOIN accepted_versions a ON a.key = s.key AND a.version = s.version
         WHERE {OF_READING} ORDER BY s.id DESC"
    ))?;
    let mut rows = statement.query([key])?;
    let (mut known, mut seen) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let to = (ConnectionId(row.get(0)?), row.get(1)?);
        if known.contains(&to) {
            continue;
        }
        known.push(to);
        let (at, last): (ReadingKey, i64) = (row.get(2)?, row.get(3)?);
        if at == key && packing::decode(last)?.is_alike_in(said, to.1) {
            let held = if row.get(5)? { Held::Accepted } else { Held::MayHave };
            seen.push((to, row.get(4)?, held));
        }
    }
    Ok(seen)
}

/// The versions that a connection has seen of a reading with the history mark, before the one it
/// has at `key` now, which says `said`; oldest first.
///
/// Versions that the receiver cannot tell apart count once. If another record stood at one of this
/// reading's instants before it and said the same there, the receiver has that fact already: it
/// comes first, because the same fact again must not be taken for the old one.
pub(super) fn earlier(
    db: &Connection,
    to: (ConnectionId, GlucoseUnit),
    key: ReadingKey,
    said: Measurement,
) -> Result<Vec<EarlierReading>, StoreError> {
    let mut own = seen(db, OF_READING, key, to)?;
    own.push(Version { id: i64::MAX, key, said });
    let ids: Vec<i64> = own.iter().map(|version| version.id).collect();
    own.dedup_by(|later, earlier| later.is_alike(earlier, to.1));
    let mut earlier = Vec::new();
    for place in (0..own.len()).rev() {
        let (known, rest) = own.split_at(place);
        let Some(version) = rest.first().filter(|v| !known.iter().any(|k| k.is_alike(v, to.1)))
        else {
            continue;
        };
        for other in seen(db, "s.key = ?1 AND s.moved_to IS NOT NULL", version.key, to)? {
            let came_before = other.id < version.id && !ids.contains(&other.id);
            if came_before && other.is_alike(version, to.1) {
                earlier.push(other);
            }
        }
    }
    own.pop();
    earlier.append(&mut own);
    let shown = |v: Version| EarlierReading { seconds: v.key.seconds(), measurement: v.said };
    Ok(earlier.into_iter().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::Window;
    use crate::store::testing::{Scratch, reading, value};
    use rusqlite::StatementStatus;

    #[test]
    fn a_second_correction_looks_each_version_up_and_scans_nothing() {
        let mut scratch = Scratch::new();
        let to = scratch.connect("https://a.example");
        scratch.register("s");
        let all = Window::from_unix(0, i64::MAX).unwrap();
        for mg_dl in [100, 110, 120, 130] {
            let rows: Vec<_> = (0..50).map(|i| reading("s", i * 300, value(mg_dl))).collect();
            scratch.take(&rows);
            // What is in the ledger is not asked for; later corrections are not.
            if mg_dl == 100 {
                let unit = GlucoseUnit::MgPerDl;
                let unsent = scratch.store.unsent(to, unit, all, None, 50).unwrap();
                let sent: Vec<_> = unsent.iter().map(|u| (u.key, u.version)).collect();
                scratch.store.record_accepted(to, unit, &sent).unwrap();
            }
        }
        let statement = scratch.store.db.prepare_cached(REMEMBERED_IN).unwrap();
        assert!(statement.get_status(StatementStatus::Run) >= 100);
        assert_eq!(statement.get_status(StatementStatus::FullscanStep), 0);
    }

    #[test]
    fn another_bound_value_is_no_reason_to_plan_a_statement_anew() {
        let scratch = Scratch::new();
        for sql in [
            "SELECT 1 FROM superseded WHERE key = ?1 OR moved_to = ?1",
            "SELECT key FROM readings ORDER BY key LIMIT ?1",
        ] {
            let mut statement = scratch.store.db.prepare_cached(sql).unwrap();
            for value in 1..9 {
                statement.exists([value]).unwrap();
            }
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
        }
    }
}
