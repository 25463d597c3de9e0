//! What a receiver's answers change: the ledger, the earlier versions, the quarantine.

use super::readings::StoredReading;
use super::versions::Held;
use super::{
    ConnectionId, ReadingKey, Store, StoreError, key, ledger, packing, quarantine, readings,
    unknown, versions,
};
use crate::glucose::GlucoseUnit;
use crate::sorting::sort;
use rusqlite::Transaction;

/// Remembers that a connection has, or may have, a version of a reading. If a later one took its
/// place, and the connection is not known to have accepted that, what the ledger says of it no
/// longer holds: the receiver has seen something else since.
pub(super) fn remember(
    tx: &Transaction<'_>,
    to: (ConnectionId, GlucoseUnit),
    (key, version): (ReadingKey, u32),
    held: Held,
) -> Result<(), StoreError> {
    versions::remember(tx, to, (key, version), held)?;
    let Some(now) = versions::stands_at(tx, key, version)? else { return Ok(()) };
    let Some(reading) = readings::at(tx, now)? else { return Ok(()) };
    if versions::has_accepted(tx, to, now, reading.version(tx)?)? {
        return Ok(());
    }
    ledger::cut_of(tx, &[now], |of| of == to)?;
    restore(tx, now)
}

/// Lets a version of a reading rest because nobody can tell whether the receiver has it, and
/// remembers that it may.
pub(super) fn set_aside(
    tx: &Transaction<'_>,
    to: (ConnectionId, GlucoseUnit),
    reading: (ReadingKey, u32),
) -> Result<(), StoreError> {
    unknown::rest(tx, to.0, to.1, reading)?;
    remember(tx, to, reading, Held::MayHave)
}

/// Counts the reading at a key as accepted wherever the last that a receiver has seen of it is what
/// it says now: a reading that was corrected and returned before the correction was sent. If nobody
/// can tell whether a receiver has that, and it therefore rests, it rests as what it is now.
pub(super) fn restore(tx: &Transaction<'_>, key: ReadingKey) -> Result<(), StoreError> {
    let Some(reading) = readings::at(tx, key)?.filter(StoredReading::has_history) else {
        return Ok(());
    };
    let said = reading.measurement()?;
    for (to, version, held) in versions::seen_as_current(tx, key, said)? {
        match held {
            Held::Accepted => {
                unknown::release(tx, to, (key, reading.version(tx)?))?;
                ledger::join(tx, to.0, to.1, (key.packed(), key.packed()))?;
            }
            Held::MayHave => {
                unknown::rest_on(tx, to, key, version, reading.version(tx)?)?;
            }
        }
    }
    Ok(())
}

/// Records that a connection has these versions, accepted now or there already. A version that is
/// no longer current is remembered, and its successor stays unsent.
pub(super) fn record_accepted(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    unit: GlucoseUnit,
    accepted: &[(ReadingKey, u32)],
) -> Result<(), StoreError> {
    let mut accepted = accepted.to_vec();
    sort(&mut accepted);
    accepted.dedup();
    let mut stored = tx.prepare_cached(
        "SELECT key, measurement FROM readings WHERE key >= ? ORDER BY key LIMIT 2",
    )?;
    let mut run: Option<(i64, i64)> = None;
    let mut expected = None;
    for (key, version) in accepted {
        quarantine::release(tx, connection, unit, key, version)?;
        let mut rows = stored.query([key])?;
        let found = rows
            .next()?
            .map(|row| Ok::<(i64, i64), StoreError>((row.get(0)?, row.get(1)?)))
            .transpose()?;
        let next: Option<i64> = rows.next()?.map(|row| row.get(0)).transpose()?;
        drop(rows);
        let packed = found.filter(|(at, _)| *at == key.packed()).map(|(_, packed)| packed);
        let current = packed.map(|packed| versions::current(tx, key, packed)).transpose()?;
        if current != Some(version) {
            if versions::stands_at(tx, key, version)?.is_some() {
                remember(tx, (connection, unit), (key, version), Held::Accepted)?;
            }
            continue;
        }
        // A late word of an earlier version must not take this one for unsent: also the first
        // version here has earlier ones if its record stood elsewhere.
        if packed.is_some_and(packing::has_history) {
            versions::remember(tx, (connection, unit), (key, version), Held::Accepted)?;
        }
        let key = key.packed();
        run = match run {
            Some((first, last)) if expected == Some(key) && key::same_sensor(last, key) => {
                Some((first, key))
            }
            Some(done) => {
                ledger::join(tx, connection, unit, done)?;
                Some((key, key))
            }
            None => Some((key, key)),
        };
        expected = next;
    }
    run.map_or(Ok(()), |run| ledger::join(tx, connection, unit, run))
}

impl Store {
    /// Records that a connection has these versions of readings in a unit, accepted now or there
    /// already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_accepted(
        &mut self,
        connection: ConnectionId,
        unit: GlucoseUnit,
        accepted: &[(ReadingKey, u32)],
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        record_accepted(&tx, connection, unit, accepted)?;
        tx.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::{Measurement, Window};
    use crate::store::VersionedReading;
    use crate::store::testing::{Scratch, earlier, reading, value, with_record};

    const MASS: GlucoseUnit = GlucoseUnit::MgPerDl;

    fn unsent(scratch: &Scratch, to: ConnectionId) -> Vec<VersionedReading> {
        let all = Window::from_unix(0, i64::MAX).unwrap();
        scratch.store.unsent(to, MASS, all, None, 10).unwrap()
    }

    fn send(scratch: &mut Scratch, to: ConnectionId) {
        let keys: Vec<_> = unsent(scratch, to).iter().map(|u| (u.key, u.version)).collect();
        scratch.store.record_accepted(to, MASS, &keys).unwrap();
    }

    fn says(scratch: &mut Scratch, mg_dl: u32) {
        scratch.take(&[reading("s", 0, value(mg_dl))]);
    }

    fn histories(scratch: &Scratch, to: ConnectionId) -> Vec<Vec<Measurement>> {
        let said = |u: VersionedReading| u.history.iter().map(|e| e.measurement).collect();
        unsent(scratch, to).into_iter().map(said).collect()
    }

    #[test]
    fn a_value_that_returns_carries_every_version_the_receiver_has_seen() {
        let mut scratch = Scratch::new();
        let to = scratch.connect("https://a.example");
        scratch.register("s");
        for (mg_dl, seen) in [(100, vec![]), (101, vec![100]), (100, vec![100, 101])] {
            says(&mut scratch, mg_dl);
            let seen: Vec<_> = seen.into_iter().map(value).collect();
            assert_eq!(histories(&scratch, to), [seen]);
            send(&mut scratch, to);
        }
    }

    /// A reading whose first value went to one connection, and its correction to another.
    fn corrected_for_one_of_two() -> (Scratch, ConnectionId, ConnectionId) {
        let mut scratch = Scratch::new();
        let (a, b) = (scratch.connect("https://a.example"), scratch.connect("https://b.example"));
        scratch.register("s");
        says(&mut scratch, 100);
        send(&mut scratch, a);
        says(&mut scratch, 101);
        send(&mut scratch, b);
        (scratch, a, b)
    }

    #[test]
    fn a_value_that_returns_before_its_correction_was_sent_is_not_sent_again() {
        let (mut scratch, a, b) = corrected_for_one_of_two();
        says(&mut scratch, 100);
        assert_eq!(unsent(&scratch, a), [], "it has that");
        assert_eq!(histories(&scratch, b), [[value(101)]]);
    }

    /// The outcome of the one reading there is, as it now is, stays unknown.
    fn rest(scratch: &mut Scratch, to: ConnectionId) -> (ReadingKey, u32) {
        let sent = unsent(scratch, to).first().map(|u| (u.key, u.version)).unwrap();
        let tx = scratch.store.write().unwrap();
        set_aside(&tx, (to, MASS), sent).unwrap();
        tx.commit().unwrap();
        sent
    }

    #[test]
    fn a_value_that_returns_to_one_with_unknown_outcome_rests_again_until_it_is_retried() {
        let mut scratch = Scratch::new();
        let to = scratch.connect("https://a.example");
        scratch.register("s");
        says(&mut scratch, 100);
        rest(&mut scratch, to);
        let all = Window::from_unix(0, i64::MAX).unwrap();
        let resting =
            |scratch: &Scratch| scratch.store.readings_set_aside(to, MASS, all).unwrap().unknown;
        assert_eq!((unsent(&scratch, to).len(), resting(&scratch)), (0, 1));
        says(&mut scratch, 101);
        assert_eq!(histories(&scratch, to), [[value(100)]]);
        assert_eq!(resting(&scratch), 0);
        says(&mut scratch, 100);
        assert_eq!((unsent(&scratch, to).len(), resting(&scratch)), (0, 1), "nobody can tell");
        assert_eq!(scratch.store.retry_unknown(to).unwrap(), 1);
        assert_eq!(histories(&scratch, to), [[]], "the same fact again");
        send(&mut scratch, to);
        assert_eq!(unsent(&scratch, to), []);
    }

    #[test]
    fn a_late_acceptance_of_what_rested_takes_the_returned_value_for_sent() {
        let mut scratch = Scratch::new();
        let to = scratch.connect("https://a.example");
        scratch.register("s");
        says(&mut scratch, 100);
        let sent = rest(&mut scratch, to);
        says(&mut scratch, 101);
        says(&mut scratch, 100);
        scratch.store.record_accepted(to, MASS, &[sent]).unwrap();
        assert_eq!(scratch.store.retry_unknown(to).unwrap(), 0, "it no longer rests");
        assert_eq!(unsent(&scratch, to), []);
    }

    #[test]
    fn a_late_word_of_the_correction_makes_the_returned_value_unsent() {
        let (mut scratch, a, _) = corrected_for_one_of_two();
        let key = unsent(&scratch, a)[0].key;
        says(&mut scratch, 100);
        scratch.store.record_accepted(a, MASS, &[(key, 1)]).unwrap();
        assert_eq!(histories(&scratch, a), [[value(100), value(101)]]);
    }

    #[test]
    fn a_late_word_of_where_a_record_stood_leaves_its_accepted_new_place_sent() {
        let mut scratch = Scratch::new();
        let to = scratch.connect("https://a.example");
        scratch.register("s");
        let record = |seconds| with_record(reading("s", seconds, value(100)), "r");
        scratch.take(&[record(300)]);
        let old = unsent(&scratch, to)[0].key;
        send(&mut scratch, to);
        scratch.take(&[record(0)]);
        send(&mut scratch, to);
        scratch.store.record_accepted(to, MASS, &[(old, 0)]).unwrap();
        assert_eq!(unsent(&scratch, to), [], "it has both");
    }

    #[test]
    fn a_record_that_moves_onto_the_same_value_corrects_what_it_said_before() {
        let mut scratch = Scratch::new();
        let both = scratch.connect("https://a.example");
        let the_other = scratch.connect("https://b.example");
        let the_record = scratch.connect("https://c.example");
        scratch.register("s");
        let record = |seconds| with_record(reading("s", seconds, value(100)), "r");
        scratch.take(&[reading("s", 0, value(100)), record(300)]);
        let keys: Vec<_> = unsent(&scratch, both).iter().map(|u| (u.key, 0)).collect();
        scratch.store.record_accepted(both, MASS, &keys).unwrap();
        scratch.store.record_accepted(the_other, MASS, &keys[..1]).unwrap();
        scratch.store.record_accepted(the_record, MASS, &keys[1..]).unwrap();
        assert_eq!(scratch.take(&[record(0)]).corrected, 1);
        let was = |seconds| earlier(seconds, value(100));
        let history = |to| unsent(&scratch, to).iter().map(|u| u.history.clone()).next();
        assert_eq!(history(both), Some(vec![was(0), was(300)]), "the record's is replaced");
        assert_eq!(history(the_other), None, "it has that");
        assert_eq!(history(the_record), Some(vec![was(300)]));
        send(&mut scratch, both);
        scratch.store.record_accepted(both, MASS, &keys).unwrap();
        assert_eq!(unsent(&scratch, both), [], "a late word changes nothing");
        assert_eq!(scratch.take(&[record(0)]).already_there, 1);
    }

    #[test]
    fn a_fact_that_another_record_left_behind_comes_first() {
        let mut scratch = Scratch::new();
        let to = scratch.connect("https://a.example");
        scratch.register("s");
        let record = |seconds, name| with_record(reading("s", seconds, value(100)), name);
        scratch.take(&[record(0, "r0"), record(300, "r1")]);
        send(&mut scratch, to);
        scratch.take(&[record(300, "r0"), record(600, "r1")]);
        let history: Vec<_> = unsent(&scratch, to).into_iter().map(|u| u.history).collect();
        let was = |seconds| earlier(seconds, value(100));
        assert_eq!(history, [vec![was(300), was(0)], vec![was(300)]]);
        send(&mut scratch, to);
        scratch.take(&[reading("s", 0, value(100))]);
        let unsent = unsent(&scratch, to);
        assert_eq!(unsent[0].history, [was(0)], "the same fact again, restored");
    }

    #[test]
    fn an_unrelated_reading_where_a_record_stood_is_another_fact_to_who_has_seen_that() {
        let was = |seconds| earlier(seconds, value(100));
        for move_was_sent in [false, true] {
            let mut scratch = Scratch::new();
            let seen = scratch.connect("https://a.example");
            let new = scratch.connect("https://b.example");
            scratch.register("s");
            let record = |seconds| with_record(reading("s", seconds, value(100)), "r");
            scratch.take(&[record(0)]);
            send(&mut scratch, seen);
            scratch.take(&[record(300)]);
            if move_was_sent {
                send(&mut scratch, seen);
            }
            scratch.take(&[reading("s", 0, value(100))]);
            let to_seen = unsent(&scratch, seen);
            assert_eq!(to_seen[0].history, [was(0)], "not the identifier the record had there");
            assert_eq!(to_seen.get(1).map(|moved| moved.history.clone()).is_none(), move_was_sent);
            assert!(unsent(&scratch, new).iter().all(|unsent| unsent.history.is_empty()));
        }
    }

    #[test]
    fn acceptance_of_a_version_that_was_corrected_meanwhile_leaves_the_correction_unsent() {
        let mut scratch = Scratch::new();
        let (a, b) = (scratch.connect("https://a.example"), scratch.connect("https://b.example"));
        let id = scratch.ingest("s", [(0, value(100))].into_iter());
        let key = ReadingKey::new(id, scratch.at(0)).unwrap();
        scratch.store.record_accepted(a, GlucoseUnit::MgPerDl, &[(key, 0)]).unwrap();
        scratch.take(&[reading("s", 0, value(101))]);
        scratch.store.record_accepted(b, GlucoseUnit::MgPerDl, &[(key, 0)]).unwrap();
        let all = Window::from_unix(0, i64::MAX).unwrap();
        for connection in [a, b] {
            let unsent =
                scratch.store.unsent(connection, GlucoseUnit::MgPerDl, all, None, 10).unwrap();
            assert_eq!(unsent[0].version, 1);
            assert_eq!(unsent[0].history, [earlier(0, value(100))]);
        }
    }

    #[test]
    fn retrying_what_was_refused_counts_readings_and_resources_together() {
        let mut scratch = Scratch::new();
        let to = scratch.connect("https://a.example");
        scratch.register("s");
        scratch.take(&[0, 300, 600].map(|at| reading("s", at, value(100))));
        for refused in unsent(&scratch, to) {
            scratch.store.quarantine(to, MASS, refused.key, 0, "no").unwrap();
        }
        let sql = "INSERT INTO sent_resources (connection, identifier, kind, refusal)
                   VALUES (?, 'urn:uuid:1', 'device', 'no')";
        scratch.store.db.execute(sql, [to.0]).unwrap();
        assert_eq!(unsent(&scratch, to), []);
        assert_eq!(scratch.store.retry_refused(to).unwrap(), 4);
        assert_eq!(unsent(&scratch, to).len(), 3);
        assert_eq!(scratch.store.retry_refused(to).unwrap(), 0);
    }
}
