//! Where a reading goes that does not simply fit in: its instant is taken, its record stood
//! elsewhere, or there is history.

use super::readings::{Change, StoredReading};
use super::record::Record;
use super::records::Records;
use super::{
    ImportId, ReadingKey, StoreError, corrections, ledger, readings, settlement, versions,
};
use crate::glucose::{Measurement, Reading, SensorId, ZoneOffsets};
use chrono::{DateTime, Utc};
use rusqlite::Transaction;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// How a batch is taken in.
#[derive(Clone, Copy)]
pub(super) struct Intake<'a> {
    pub(super) zone: &'a ZoneOffsets,
    pub(super) now: DateTime<Utc>,
    pub(super) import: Option<ImportId>,
}

/// A reading that did not simply fit in.
pub(super) struct Contested<'a> {
    pub(super) row: usize,
    pub(super) key: ReadingKey,
    pub(super) reading: &'a Reading,
    pub(super) record: Option<Record<'a>>,
    /// `None` if its record did not move; else whether a receiver had seen it at its old instant.
    pub(super) moved: Option<bool>,
}

/// What became of a contested reading.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    Stored,
    AlreadyThere,
    Replaced,
    Corrected,
}

impl Outcome {
    /// `seen` tells if someone had seen what it took the place of; `None` if it took none.
    fn of(seen: Option<bool>) -> Option<Self> {
        seen.map(|seen| if seen { Self::Corrected } else { Self::Replaced })
    }
}

/// Leaves the last of those that share an instant or a record, in key order.
pub(super) fn last_of_each<'a>(mut contested: Vec<Contested<'a>>) -> Vec<Contested<'a>> {
    contested.sort_unstable_by_key(|c| (c.key, Reverse(c.row)));
    contested.dedup_by_key(|c| c.key);
    let mut records: HashMap<(SensorId, &Record<'a>), usize> = HashMap::new();
    for c in &contested {
        if let Some(record) = &c.record {
            let row = records.entry((c.key.sensor(), record)).or_insert(c.row);
            *row = c.row.max(*row);
        }
    }
    let last = |c: &Contested<'a>| {
        let record = c.record.as_ref().and_then(|r| records.get(&(c.key.sensor(), r)));
        record.is_none_or(|row| *row == c.row)
    };
    let last: Vec<bool> = contested.iter().map(last).collect();
    let mut last = last.into_iter();
    contested.retain(|_| last.next().unwrap_or_default());
    contested
}

/// Clears the places that records leave, before any of them takes its new one: a whole series may
/// have shifted by one.
pub(super) fn move_away(
    tx: &Transaction<'_>,
    contested: &mut [Contested<'_>],
    records: &Records,
) -> Result<(), StoreError> {
    let mut leaving = Vec::new();
    for (place, c) in contested.iter().enumerate() {
        let Some(record) = &c.record else { continue };
        let holder = records.holder(tx, c.key.sensor(), record)?;
        leaving.extend(holder.filter(|h| h.key != c.key).map(|holder| (place, holder)));
    }
    let mut cuts = Vec::new();
    let left: HashSet<ReadingKey> = leaving.iter().map(|(_, holder)| holder.key).collect();
    for (place, holder) in &leaving {
        let Some(c) = contested.get_mut(*place) else { continue };
        if !left.contains(&c.key) {
            make_way(tx, c, &mut cuts)?;
        }
        c.moved = Some(corrections::move_away(tx, holder, c.key, &mut cuts)?);
    }
    ledger::cut(tx, &cuts)?;
    if leaving.is_empty() { Ok(()) } else { versions::settle_moves(tx) }
}

/// If a reading that stays says what a record will say in its place, whoever has it counts as
/// having an earlier version: what is sent next replaces what the record said where it stood, and
/// is not taken for that reading's own fact.
fn make_way(
    tx: &Transaction<'_>,
    c: &Contested<'_>,
    cuts: &mut Vec<ReadingKey>,
) -> Result<(), StoreError> {
    let Some(there) = readings::at(tx, c.key)? else { return Ok(()) };
    if there.measurement()?.says_the_same_as(c.reading.measurement()) {
        corrections::supersede(tx, &there, cuts)?;
        readings::mark_history(tx, c.key)?;
    }
    Ok(())
}

/// How a measurement relates to the one stored for the same instant.
enum Relation {
    /// It says the same, no finer.
    Same,
    /// It says the same in finer digits, and no receiver can tell.
    Finer,
    /// It says something else, or to a receiver it does.
    Other,
}

fn relation(
    tx: &Transaction<'_>,
    there: &StoredReading,
    measurement: Measurement,
) -> Result<Relation, StoreError> {
    let said = there.measurement()?;
    if !said.says_the_same_as(measurement) {
        return Ok(Relation::Other);
    }
    if !measurement.is_finer_than(said) {
        return Ok(Relation::Same);
    }
    let sent_in = corrections::claimed_in(tx, there.key, there.version(tx)?)?;
    let shows = sent_in.into_iter().any(|unit| !measurement.is_alike_in(said, unit));
    Ok(if shows { Relation::Other } else { Relation::Finer })
}

/// What the ledger is to learn of a batch once all of it is in its place. A cut looks at the stored
/// neighbours and rewrites an interval: one for all is much less work than one for each.
#[derive(Default)]
pub(super) struct Unsettled {
    /// Readings that the ledger's intervals must not cover any more.
    cuts: Vec<ReadingKey>,
    /// Readings that may say again what a receiver has.
    returned: Vec<ReadingKey>,
}

impl Unsettled {
    /// Brings the ledger up to date.
    pub(super) fn settle(self, tx: &Transaction<'_>) -> Result<(), StoreError> {
        ledger::cut(tx, &self.cuts)?;
        self.returned.into_iter().try_for_each(|key| settlement::restore(tx, key))
    }
}

/// Puts a contested reading in its place. No other of the batch has that place, so what the ledger
/// says of it does not depend on the order.
pub(super) fn place(
    tx: &Transaction<'_>,
    c: &Contested<'_>,
    intake: Intake<'_>,
    records: &mut Records,
    unsettled: &mut Unsettled,
) -> Result<Outcome, StoreError> {
    let measurement = c.reading.measurement();
    let record = c.record.as_ref().map(|r| records.stored(tx, c.key, r)).transpose()?;
    let record = record.as_ref();
    let mut seen = c.moved;
    let Some(there) = readings::at(tx, c.key)? else {
        let offset = c.reading.offset().unwrap_or_else(|| intake.zone.offset_at(c.key.seconds()));
        readings::insert(tx, c.key, measurement, offset, record, intake.import)?;
        unsettled.cuts.push(c.key);
        unsettled.returned.push(c.key);
        return Ok(Outcome::of(seen).unwrap_or(Outcome::Stored));
    };
    match relation(tx, &there, measurement)? {
        Relation::Same => {
            if let (None, Some(record)) = (there.record(), record) {
                readings::set_record(tx, c.key, record)?;
            }
            if seen.is_some() {
                readings::mark_history(tx, c.key)?;
            }
        }
        Relation::Finer => {
            let record = record.filter(|_| there.record().is_none());
            let change = Change { measurement, offset: None, record, import: intake.import };
            readings::overwrite(tx, &there, &change, false)?;
        }
        Relation::Other => {
            let claimed = corrections::supersede(tx, &there, &mut unsettled.cuts)?;
            let offset = c.reading.offset();
            let change = Change { measurement, offset, record, import: intake.import };
            readings::overwrite(tx, &there, &change, claimed)?;
            seen = Some(seen.unwrap_or_default() || claimed);
        }
    }
    if seen.is_some() {
        unsettled.returned.push(c.key);
    }
    Ok(Outcome::of(seen).unwrap_or(Outcome::AlreadyThere))
}
