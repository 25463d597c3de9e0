//! The store against a naive model of it: readings in a map, every acceptance in a set. Random
//! histories must leave both with the same answers.

use super::testing::{BASE, Scratch, reading, value, with_record};
use super::{ConnectionId, ReadingCode, ReadingKey, VersionedReading};
use crate::glucose::{Measurement, SensorId, Window};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const CODES: [ReadingCode; 2] = [ReadingCode::Mass, ReadingCode::Molar];

/// One reading of a batch: sensor, second, value, record.
type Row = (u32, i64, u32, Option<u32>);
type Receiver = (usize, ReadingCode);

#[derive(Clone, Debug)]
enum Step {
    Ingest(Vec<Row>),
    /// The receiver answers for some of the readings known so far: one bit each. Current versions,
    /// or the first ones.
    Accept(Receiver, u64, bool),
    Refuse(Receiver, u64),
    Reopen,
}

struct Stored {
    said: Measurement,
    record: Option<u32>,
    version: u32,
}

struct Earlier {
    at: ReadingKey,
    version: u32,
    said: Measurement,
    moved_to: Option<ReadingKey>,
}

#[derive(Default)]
struct Model {
    readings: BTreeMap<ReadingKey, Stored>,
    earlier: Vec<Earlier>,
    accepted: BTreeSet<(usize, ReadingCode, ReadingKey, u32)>,
    refused: BTreeSet<(usize, ReadingCode, ReadingKey, u32)>,
}

fn key(sensor: u32, seconds: i64) -> ReadingKey {
    ReadingKey::new(SensorId(sensor + 1), BASE + seconds).unwrap()
}

impl Model {
    fn next_version(&self, at: ReadingKey) -> u32 {
        self.earlier.iter().filter(|e| e.at == at).map(|e| e.version + 1).max().unwrap_or(0)
    }

    fn supersede(&mut self, at: ReadingKey) {
        let stored = &self.readings[&at];
        let seen = |set: &BTreeSet<(usize, ReadingCode, ReadingKey, u32)>| {
            set.iter().any(|(_, _, k, v)| (*k, *v) == (at, stored.version))
        };
        if seen(&self.accepted) || seen(&self.refused) {
            self.earlier.push(Earlier {
                at,
                version: stored.version,
                said: stored.said,
                moved_to: None,
            });
        }
    }

    fn ingest(&mut self, batch: &[Row]) {
        let mut batch = batch.to_vec();
        batch.sort_by_key(|(sensor, seconds, ..)| key(*sensor, *seconds));
        let mut moved: Vec<(usize, ReadingKey)> = Vec::new();
        for (sensor, seconds, _, record) in &batch {
            let target = key(*sensor, *seconds);
            let holder = self
                .readings
                .iter()
                .find(|(k, r)| {
                    record.is_some() && r.record == *record && k.sensor() == target.sensor()
                })
                .map(|(k, _)| *k);
            if let Some(holder) = holder.filter(|h| *h != target) {
                self.supersede(holder);
                self.readings.remove(&holder);
                let belongs = |e: &Earlier| {
                    (e.at == holder && e.moved_to.is_none()) || e.moved_to == Some(holder)
                };
                let theirs = self
                    .earlier
                    .iter()
                    .enumerate()
                    .filter(|(_, e)| belongs(e))
                    .map(|(i, _)| (i, target));
                let theirs: Vec<_> =
                    theirs.filter(|(i, _)| !moved.iter().any(|(m, _)| m == i)).collect();
                moved.extend(theirs);
            }
        }
        for (index, target) in moved {
            self.earlier[index].moved_to = Some(target);
        }
        for (sensor, seconds, said, record) in batch {
            let at = key(sensor, seconds);
            let said = value(100 + said);
            let before = self.readings.get(&at).map(|r| (r.said, r.record));
            match before {
                Some((was, known)) if was == said => {
                    self.readings.get_mut(&at).unwrap().record = known.or(record);
                }
                Some((_, known)) => {
                    self.supersede(at);
                    let version = self.next_version(at);
                    self.readings.insert(at, Stored { said, record: record.or(known), version });
                }
                None => {
                    let version = self.next_version(at);
                    self.readings.insert(at, Stored { said, record, version });
                }
            }
        }
    }

    /// Known readings picked by the bits of a number.
    fn pick(&self, bits: u64, first: bool) -> Vec<(ReadingKey, u32)> {
        let picked = self.readings.iter().enumerate().filter(|(i, _)| bits >> (i % 64) & 1 == 1);
        picked.map(|(_, (k, r))| (*k, if first { 0 } else { r.version })).collect()
    }

    fn knows(&self, at: ReadingKey, version: u32) -> bool {
        self.readings.get(&at).is_some_and(|r| r.version == version)
            || self.earlier.iter().any(|e| (e.at, e.version) == (at, version))
    }

    fn accept(&mut self, (connection, code): Receiver, accepted: &[(ReadingKey, u32)]) {
        for (at, version) in accepted {
            self.refused.remove(&(connection, code, *at, *version));
            if self.knows(*at, *version) {
                self.accepted.insert((connection, code, *at, *version));
            }
        }
    }

    fn unsent(
        &self,
        (connection, code): Receiver,
    ) -> Vec<(ReadingKey, u32, Measurement, Option<Measurement>)> {
        let missing = self.readings.iter().filter(|(k, r)| {
            let fact = (connection, code, **k, r.version);
            !self.accepted.contains(&fact) && !self.refused.contains(&fact)
        });
        missing
            .map(|(k, r)| {
                let belongs =
                    |e: &&Earlier| (e.at == *k && e.moved_to.is_none()) || e.moved_to == Some(*k);
                let had =
                    |e: &&Earlier| self.accepted.contains(&(connection, code, e.at, e.version));
                let replaces = self.earlier.iter().rev().filter(belongs).find(had).map(|e| e.said);
                (*k, r.version, r.said, replaces)
            })
            .collect()
    }
}

fn paged(
    scratch: &Scratch,
    connection: ConnectionId,
    code: ReadingCode,
    window: Window,
) -> Vec<VersionedReading> {
    let mut all: Vec<VersionedReading> = Vec::new();
    loop {
        let page =
            scratch.store.unsent(connection, code, window, all.last().map(|u| u.key), 3).unwrap();
        let done = page.len() < 3;
        all.extend(page);
        if done {
            return all;
        }
    }
}

fn batch() -> impl Strategy<Value = Vec<Row>> {
    let row = (0..2_u32, 0..14_i64, 0..3_u32, proptest::option::weighted(0.4, 0..6_u32));
    proptest::collection::vec(row, 1..10).prop_map(|mut rows| {
        let (mut instants, mut records) = (BTreeSet::new(), BTreeSet::new());
        rows.retain(|(sensor, seconds, _, record)| {
            instants.insert((*sensor, *seconds))
                && record.is_none_or(|r| records.insert((*sensor, r)))
        });
        rows
    })
}

fn step() -> impl Strategy<Value = Step> {
    let receiver = || (0..2_usize, prop_oneof![Just(CODES[0]), Just(CODES[1])]);
    prop_oneof![
        5 => batch().prop_map(Step::Ingest),
        5 => (receiver(), any::<u64>(), proptest::bool::weighted(0.2)).prop_map(|(r, b, f)| Step::Accept(r, b, f)),
        2 => (receiver(), any::<u64>()).prop_map(|(r, b)| Step::Refuse(r, b & b >> 7 & b >> 13)),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_store_agrees_with_a_naive_model(
        steps in proptest::collection::vec(step(), 1..20),
        (from, length) in (0..14_i64, 0..14_i64),
    ) {
        let mut scratch = Scratch::new();
        let connections = [scratch.connect("https://a.example"), scratch.connect("https://b.example")];
        for sensor in ["s0", "s1"] {
            scratch.register(sensor);
        }
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Ingest(rows) => {
                    let readings: Vec<_> = rows.iter().map(|(sensor, seconds, said, record)| {
                        let reading = reading(&format!("s{sensor}"), *seconds, value(100 + said));
                        record.map_or_else(|| reading.clone(), |r| with_record(reading.clone(), &format!("r{r}")))
                    }).collect();
                    model.ingest(&rows);
                    let report = scratch.take(&readings);
                    prop_assert_eq!(report.stored + report.already_there + report.replaced + report.corrected, rows.len());
                    let again = scratch.take(&readings);
                    prop_assert_eq!(again.already_there, rows.len(), "the same batch again changes nothing");
                }
                Step::Accept(to, bits, first) => {
                    let accepted = model.pick(bits, first);
                    model.accept(to, &accepted);
                    scratch.store.record_accepted(connections[to.0], to.1, &accepted).unwrap();
                }
                Step::Refuse(to, bits) => {
                    for (at, version) in model.pick(bits, false) {
                        if !model.accepted.contains(&(to.0, to.1, at, version)) {
                            model.refused.insert((to.0, to.1, at, version));
                            scratch.store.quarantine(connections[to.0], to.1, at, version, "no").unwrap();
                        }
                    }
                }
                Step::Reopen => scratch.reopen(),
            }
            for (number, connection) in connections.into_iter().enumerate() {
                for code in CODES {
                    let expected = model.unsent((number, code));
                    let all = Window::from_unix(i64::MIN, i64::MAX).unwrap();
                    let found: Vec<_> = paged(&scratch, connection, code, all)
                        .into_iter()
                        .map(|u| (u.key, u.version, u.sample.measurement, u.replaces))
                        .collect();
                    prop_assert_eq!(&found, &expected);
                    let window = Window::from_unix(BASE + from, BASE + from + length).unwrap();
                    let within = expected.iter().filter(|(k, ..)| window.contains(k.seconds())).count();
                    prop_assert_eq!(paged(&scratch, connection, code, window).len(), within);
                    prop_assert_eq!(scratch.store.unsent_count(connection, code, window).unwrap(), within as u64);
                }
            }
            let times: Vec<i64> = model.readings.keys().map(|k| k.seconds()).collect();
            let extent = times.iter().min().zip(times.iter().max()).map(|(a, b)| (*a, *b));
            prop_assert_eq!(scratch.store.extent().unwrap(), extent);
        }
    }
}
