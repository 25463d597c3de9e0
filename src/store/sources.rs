//! The sensors of a batch, with what tells the quick way of a reading from the slow one.

use super::sensors::Known;
use super::{ReadingKey, StoreError, key, ledger, sensors, versions};
use crate::glucose::{Scale, SensorId, SensorKey};
use rusqlite::Transaction;
use std::collections::HashMap;

/// A sensor of the batch.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) id: SensorId,
    /// What its device shows.
    pub(super) scale: Option<Scale>,
    /// Unix second of the latest reading stored before.
    pub(super) last: Option<i64>,
    /// That of the latest of it and the batch so far.
    newest: Option<i64>,
    /// Keys among which the ledger has intervals: a new reading there cuts one.
    pub(super) ledger: Option<(i64, i64)>,
    /// Keys among which there is history: a new reading there takes the slow way.
    pub(super) history: Option<(i64, i64)>,
}

pub(super) fn within(range: Option<(i64, i64)>, key: ReadingKey) -> bool {
    range.is_some_and(|(first, last)| (first..=last).contains(&key.packed()))
}

impl Source {
    fn find(tx: &Transaction<'_>, key: &SensorKey) -> Result<Option<Self>, StoreError> {
        let Some(Known { id, last, scale }) = sensors::known(tx, key)? else { return Ok(None) };
        let whole = key::whole(id);
        Ok(Some(Self {
            id,
            scale,
            last,
            newest: last,
            ledger: ledger::range(tx, whole)?,
            history: versions::range(tx, whole)?,
        }))
    }
}

/// The sensors of a batch, each looked up once.
#[derive(Default)]
pub(super) struct Sources<'a> {
    found: Vec<Option<Source>>,
    by_key: HashMap<&'a SensorKey, usize>,
    last: Option<(&'a SensorKey, usize)>,
}

impl<'a> Sources<'a> {
    /// Those that are known.
    pub(super) fn known(&self) -> impl Iterator<Item = SensorId> {
        self.found.iter().flatten().map(|source| source.id)
    }

    pub(super) fn of(
        &mut self,
        tx: &Transaction<'_>,
        key: &'a SensorKey,
    ) -> Result<Option<Source>, StoreError> {
        let known = self.last.filter(|(last, _)| *last == key).map(|(_, place)| place);
        let place = if let Some(place) = known.or_else(|| self.by_key.get(key).copied()) {
            place
        } else {
            self.found.push(Source::find(tx, key)?);
            self.by_key.insert(key, self.found.len() - 1);
            self.found.len() - 1
        };
        self.last = Some((key, place));
        Ok(self.found.get(place).copied().flatten())
    }

    /// Whether a reading of the sensor asked for last is later than any other of it, stored or in
    /// the batch so far. From here on it is in the batch.
    pub(super) fn is_newest(&mut self, key: ReadingKey) -> bool {
        let place = self.last.map(|(_, place)| place);
        let found = place.and_then(|place| self.found.get_mut(place)?.as_mut());
        found.is_some_and(|source| {
            let is_newest = source.newest.is_none_or(|newest| newest < key.seconds());
            source.newest = source.newest.max(Some(key.seconds()));
            is_newest
        })
    }
}
