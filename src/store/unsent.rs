//! What a connection does not have yet: stored readings outside its ledger's intervals and not in
//! quarantine.
//!
//! Read in pages by key, so that a first submission of ten years needs no more memory than one of a
//! day.

use super::{ConnectionId, ReadingKey, Store, StoreError, key, ledger, packing, sensors, versions};
use crate::glucose::{EarlierReading, GlucoseUnit, Sample, Window};
use rusqlite::{Connection, Row, params};

/// A reading as it is sent to a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct VersionedReading {
    /// Where it stands in the database.
    pub key: ReadingKey,
    /// What to send.
    pub sample: Sample,
    /// Which version of it this is.
    pub version: u32,
    /// The versions that this connection has, or may have, seen of it in this unit, oldest first;
    /// what is sent takes the place of the last. Empty if it has seen none.
    pub history: Vec<EarlierReading>,
}

impl std::fmt::Debug for VersionedReading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VersionedReading")
            .field("key", &self.key)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The quarantined ones among current versions: the condition for a row of `readings`.
const QUARANTINED: &str = "EXISTS (SELECT 1 FROM quarantine q WHERE q.connection = ?1
    AND q.unit = ?2
    AND q.key = readings.key AND q.version = CASE WHEN readings.measurement & 64 THEN
    coalesce((SELECT max(s.version) + 1 FROM superseded s
    WHERE s.key = readings.key), 0) ELSE 0 END)";

/// A row of key and packed measurement.
pub(super) fn versioned(
    db: &Connection,
    to: (ConnectionId, GlucoseUnit),
    row: &Row<'_>,
) -> Result<VersionedReading, StoreError> {
    let (key, measurement): (ReadingKey, i64) = (row.get(0)?, row.get(1)?);
    let sample = packing::sample(key, measurement)?;
    let history = if measurement & packing::HISTORY == 0 {
        Vec::new()
    } else {
        versions::earlier(db, to, key, sample.measurement)?
    };
    Ok(VersionedReading { key, sample, version: versions::current(db, key, measurement)?, history })
}

fn unsent(
    db: &Connection,
    to: (ConnectionId, GlucoseUnit),
    window: Window,
    after: Option<ReadingKey>,
    limit: usize,
) -> Result<Vec<VersionedReading>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT key, measurement FROM readings
         WHERE key BETWEEN ?3 AND ?4 AND NOT (?6 AND {QUARANTINED}) ORDER BY key LIMIT ?5"
    ))?;
    // Mostly nothing is quarantined: then no row is looked up there.
    let any_quarantined = db
        .prepare_cached("SELECT 1 FROM quarantine WHERE connection = ? AND unit = ?")?
        .exists(params![to.0.0, to.1])?;
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    for span in sensors::spans(db, window)? {
        let Some((first, last)) = key::range(span.sensor, window) else { continue };
        let first = after.map_or(first, |after| first.max(after.packed().saturating_add(1)));
        if first > last {
            continue;
        }
        let complete = ledger::gaps(db, to, (first, last), |(first, last)| {
            let room = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
            let mut rows =
                statement.query(params![to.0.0, to.1, first, last, room, any_quarantined])?;
            while let Some(row) = rows.next()? {
                found.push(versioned(db, to, row)?);
            }
            Ok(found.len() < limit)
        })?;
        if !complete {
            break;
        }
    }
    Ok(found)
}

fn unsent_count(
    db: &Connection,
    to: (ConnectionId, GlucoseUnit),
    window: Window,
) -> Result<u64, StoreError> {
    let mut all = db.prepare_cached("SELECT count(*) FROM readings WHERE key BETWEEN ? AND ?")?;
    let mut refused = db.prepare_cached(&format!(
        "SELECT count(*) FROM readings WHERE key BETWEEN ?3 AND ?4 AND {QUARANTINED}
         AND key IN (SELECT key FROM quarantine WHERE connection = ?1 AND unit = ?2
         AND key BETWEEN ?3 AND ?4)"
    ))?;
    let mut count: u64 = 0;
    for span in sensors::spans(db, window)? {
        let Some(range) = key::range(span.sensor, window) else { continue };
        ledger::gaps(db, to, range, |(first, last)| {
            let stored: i64 = all.query_row([first, last], |row| row.get(0))?;
            let refused: i64 =
                refused.query_row(params![to.0.0, to.1, first, last], |row| row.get(0))?;
            count += (stored - refused).unsigned_abs();
            Ok(true)
        })?;
    }
    Ok(count)
}

impl Store {
    /// The readings of a window that a connection does not have in a unit, in key order after
    /// `after`, at most `limit`: sensor by sensor, each in time order. Ask again with the last
    /// one's key for more; fewer than `limit` is the end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unsent(
        &self,
        connection: ConnectionId,
        unit: GlucoseUnit,
        window: Window,
        after: Option<ReadingKey>,
        limit: usize,
    ) -> Result<Vec<VersionedReading>, StoreError> {
        unsent(&*self.read()?, (connection, unit), window, after, limit)
    }

    /// How many readings of a window a connection does not have in a unit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unsent_count(
        &self,
        connection: ConnectionId,
        unit: GlucoseUnit,
        window: Window,
    ) -> Result<u64, StoreError> {
        unsent_count(&*self.read()?, (connection, unit), window)
    }
}
