//! What a receiver accepted and, asked later, does not have: sent again once, and never in a
//! circle.
//!
//! A receiver may hide what it has, or may have removed it for good reasons. So a thing is sent
//! again for this reason only once; found lacking a second time, it is reported and left alone.

use super::{
    ConnectionId, ReadingKey, Store, StoreError, VersionedReading, key, ledger, readings, sensors,
    unsent, versions,
};
use crate::glucose::{GlucoseUnit, Window};
use rusqlite::{Connection, params};

/// The versions of readings that were sent again because the receiver lacked them.
pub(super) const TABLES: &str = "
    CREATE TABLE sent_again (
        connection INTEGER NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
        unit INTEGER NOT NULL,
        key INTEGER NOT NULL,
        version INTEGER NOT NULL,
        PRIMARY KEY (connection, unit, key, version)
    ) STRICT, WITHOUT ROWID;
";

fn accepted(
    db: &Connection,
    by: (ConnectionId, GlucoseUnit),
    window: Window,
    after: Option<ReadingKey>,
    limit: usize,
) -> Result<Vec<VersionedReading>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT key, measurement FROM readings WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
    )?;
    let mut found = Vec::new();
    for span in sensors::spans(db, window)? {
        let Some((first, last)) = key::range(span.sensor, window) else { continue };
        let first = after.map_or(first, |after| first.max(after.packed().saturating_add(1)));
        let complete = ledger::covered(db, by, (first, last), |(first, last)| {
            let room = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![first, last, room])?;
            while let Some(row) = rows.next()? {
                found.push(unsent::versioned(db, by, row)?);
            }
            Ok(found.len() < limit)
        })?;
        if !complete {
            break;
        }
    }
    Ok(found)
}

impl Store {
    /// The readings of a window whose current version a connection accepted in a unit, in key
    /// order after `after`, at most `limit`. Ask again with the last one's key for more; fewer
    /// than `limit` is the end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn accepted(
        &self,
        connection: ConnectionId,
        unit: GlucoseUnit,
        window: Window,
        after: Option<ReadingKey>,
        limit: usize,
    ) -> Result<Vec<VersionedReading>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        accepted(&*self.read()?, (connection, unit), window, after, limit)
    }

    /// How many that is in all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn accepted_count(
        &self,
        connection: ConnectionId,
        unit: GlucoseUnit,
        window: Window,
    ) -> Result<u64, StoreError> {
        let tx = self.read()?;
        let mut statement =
            tx.prepare_cached("SELECT count(*) FROM readings WHERE key BETWEEN ? AND ?")?;
        let mut count = 0;
        for span in sensors::spans(&tx, window)? {
            let Some(range) = key::range(span.sensor, window) else { continue };
            ledger::covered(&tx, (connection, unit), range, |(first, last)| {
                count += statement.query_row([first, last], |row| row.get::<_, i64>(0))?;
                Ok(true)
            })?;
        }
        Ok(count.unsigned_abs())
    }

    /// Marks accepted readings that the receiver lacks, in this version, as unsent; returns how
    /// many are unsent then. Those that were sent again before, or were corrected meanwhile, stay
    /// as they are. That the receiver has seen the version is remembered: a correction still says
    /// what it corrects.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn send_again(
        &mut self,
        connection: ConnectionId,
        unit: GlucoseUnit,
        lacking: &[(ReadingKey, u32)],
    ) -> Result<usize, StoreError> {
        let tx = self.write()?;
        let (mut keys, mut unsent) = (Vec::new(), 0);
        for (key, version) in lacking {
            let current = readings::at(&tx, *key)?.map(|stored| stored.version(&tx)).transpose()?;
            if current != Some(*version) {
                continue;
            }
            if !ledger::covering(&tx, *key)?.contains(&(connection, unit)) {
                unsent += 1;
                continue;
            }
            let first_time = tx
                .prepare_cached(
                    "INSERT OR IGNORE INTO sent_again (connection, unit, key, version)
                     VALUES (?, ?, ?, ?)",
                )?
                .execute(params![connection.0, unit, key, version])?;
            if first_time > 0 {
                versions::doubt(&tx, (connection, unit), (*key, *version))?;
                keys.push(*key);
            }
        }
        ledger::cut_of(&tx, &keys, |of| of == (connection, unit))?;
        tx.commit()?;
        Ok(unsent + keys.len())
    }

    /// The same for a resource that is no reading; whether it is sent again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn send_resource_again(
        &mut self,
        connection: ConnectionId,
        identifier: &str,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE sent_resources SET lacking = 1
                   WHERE connection = ? AND identifier = ? AND lacking < 2 AND refusal IS NULL";
        Ok(self.db.execute(sql, params![connection.0, identifier])? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Scratch, earlier, reading, value};
    use crate::store::{SentResource, SentStatus};

    const MASS: GlucoseUnit = GlucoseUnit::MgPerDl;

    fn all() -> Window {
        Window::from_unix(0, i64::MAX).unwrap()
    }

    fn seconds(found: &[VersionedReading]) -> Vec<i64> {
        found.iter().map(|one| one.sample.seconds).collect()
    }

    /// Ten readings five minutes apart, all accepted.
    fn sent(scratch: &mut Scratch, connection: ConnectionId) -> Vec<(ReadingKey, u32)> {
        scratch.ingest("s", (0..10).map(|i| (i * 300, value(100))));
        send(scratch, connection)
    }

    fn send(scratch: &mut Scratch, connection: ConnectionId) -> Vec<(ReadingKey, u32)> {
        let unsent = scratch.store.unsent(connection, MASS, all(), None, 100).unwrap();
        let keys: Vec<_> = unsent.iter().map(|one| (one.key, one.version)).collect();
        scratch.store.record_accepted(connection, MASS, &keys).unwrap();
        keys
    }

    #[test]
    fn what_was_accepted_is_found_page_by_page_and_nothing_else_is() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let keys = sent(&mut scratch, connection);
        scratch.ingest("s", (20..23).map(|i| (i * 300, value(100))));
        let base = scratch.at(0);
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = scratch.store.accepted(connection, MASS, all(), after, 4).unwrap();
            assert!(page.len() <= 4);
            found.extend(seconds(&page));
            match page.last() {
                Some(last) if page.len() == 4 => after = Some(last.key),
                _ => break,
            }
        }
        assert_eq!(found, (0..10).map(|i| base + i * 300).collect::<Vec<_>>());
        assert_eq!(
            scratch.store.accepted(connection, GlucoseUnit::MmolPerL, all(), None, 100).unwrap(),
            []
        );
        let count = |window, unit| scratch.store.accepted_count(connection, unit, window).unwrap();
        assert_eq!(
            (count(all(), GlucoseUnit::MgPerDl), count(all(), GlucoseUnit::MmolPerL)),
            (10, 0)
        );
        let part = Window::from_unix(base + 300, base + 900).unwrap();
        assert_eq!(count(part, GlucoseUnit::MgPerDl), 2);
        let found = scratch.store.accepted(connection, MASS, part, None, 100).unwrap();
        assert_eq!(seconds(&found), [base + 300, base + 600]);
        assert_eq!(found[0].key, keys[1].0);
    }

    #[test]
    fn what_is_lacking_is_sent_again_once_and_to_that_receiver_only() {
        let mut scratch = Scratch::new();
        let (a, b) = (scratch.connect("https://a.example"), scratch.connect("https://b.example"));
        let keys = sent(&mut scratch, a);
        send(&mut scratch, b);
        let lacking = [keys[2], keys[3], keys[9]];
        assert_eq!(scratch.store.send_again(a, MASS, &lacking).unwrap(), 3);
        assert_eq!(scratch.store.unsent_count(a, MASS, all()).unwrap(), 3);
        assert_eq!(scratch.store.unsent_count(b, MASS, all()).unwrap(), 0);
        assert_eq!(
            scratch.store.send_again(a, MASS, &lacking).unwrap(),
            3,
            "they are unsent already"
        );
        assert_eq!(send(&mut scratch, a), lacking);
        assert_eq!(scratch.store.send_again(a, MASS, &lacking).unwrap(), 0, "once is enough");
        assert_eq!(scratch.store.unsent_count(a, MASS, all()).unwrap(), 0);
    }

    #[test]
    fn a_correction_meanwhile_wins_and_still_says_what_it_corrects() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let keys = sent(&mut scratch, connection);
        assert_eq!(scratch.store.send_again(connection, MASS, &keys[..1]).unwrap(), 1);
        scratch.take(&[reading("s", 0, value(101)), reading("s", 300, value(102))]);
        assert_eq!(scratch.store.send_again(connection, MASS, &keys[1..2]).unwrap(), 0);
        let unsent = scratch.store.unsent(connection, MASS, all(), None, 10).unwrap();
        let said: Vec<_> = unsent.iter().map(|one| (one.version, one.history.clone())).collect();
        let was = |seconds| vec![earlier(seconds, value(100))];
        assert_eq!(said, [(1, was(0)), (1, was(300))]);
    }

    #[test]
    fn a_version_that_is_lacking_no_longer_counts_as_accepted_when_its_value_returns() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        scratch.register("s");
        let says = |scratch: &mut Scratch, mg_dl| {
            scratch.take(&[reading("s", 0, value(mg_dl))]);
        };
        says(&mut scratch, 100);
        send(&mut scratch, connection);
        says(&mut scratch, 101);
        let corrected = send(&mut scratch, connection);
        assert_eq!(scratch.store.send_again(connection, MASS, &corrected).unwrap(), 1);
        says(&mut scratch, 102);
        says(&mut scratch, 101);
        assert_eq!(
            scratch.store.unsent_count(connection, MASS, all()).unwrap(),
            1,
            "the receiver does not have it"
        );
    }

    #[test]
    fn a_resource_is_sent_again_once() {
        let mut scratch = Scratch::new();
        let connection = scratch.connect("https://a.example");
        let device = SentResource::new(
            ("urn:uuid:1", crate::fhir::EntryKind::Device, None),
            Some("Device/1".to_owned()),
            SentStatus::Delivered,
        );
        let settled =
            |store: &Store| store.resource(connection, "urn:uuid:1").unwrap().unwrap().is_settled();
        let store = &mut scratch.store;
        store.record_resource(connection, &device).unwrap();
        assert!(settled(store));
        for _ in 0..2 {
            assert!(store.send_resource_again(connection, "urn:uuid:1").unwrap());
            assert!(!settled(store));
        }
        store.record_resource(connection, &device).unwrap();
        assert!(settled(store));
        assert!(!store.send_resource_again(connection, "urn:uuid:1").unwrap());
        assert!(!store.send_resource_again(connection, "urn:uuid:2").unwrap());
    }
}
