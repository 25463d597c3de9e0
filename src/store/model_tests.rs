//! The store against a naive model of it: readings in a map, every acceptance in a set. Random
//! histories must leave both with the same answers.

use super::testing::{BASE, Scratch, reading, value};
use super::unit::UNITS;
use super::{ConnectionId, ReadingKey, VersionedReading};
use crate::glucose::{
    EarlierReading, GlucoseUnit, Measurement, Reading, RecordKey, SensorId, Window,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// One reading of a batch: sensor, second, value, record.
type Row = (u32, i64, u32, Option<u32>);
type Receiver = (usize, GlucoseUnit);

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
    accepted: BTreeSet<Fact>,
    /// Current versions that say what the receiver has seen last, although under another version.
    restored: BTreeSet<Fact>,
    refused: BTreeSet<Fact>,
}

/// Earlier versions with their place in the order in which they were superseded.
type Numbered<'a> = Vec<(usize, &'a Earlier)>;

/// Connection, unit, reading, version.
type Fact = (usize, GlucoseUnit, ReadingKey, u32);

fn key(sensor: u32, seconds: i64) -> ReadingKey {
    ReadingKey::new(SensorId(sensor + 1), BASE + seconds).unwrap()
}

impl Model {
    fn next_version(&self, at: ReadingKey) -> u32 {
        self.earlier.iter().filter(|e| e.at == at).map(|e| e.version + 1).max().unwrap_or(0)
    }

    fn supersede(&mut self, at: ReadingKey) {
        let stored = &self.readings[&at];
        let version = stored.version;
        let is_it = |fact: &Fact| (fact.2, fact.3) == (at, version);
        let restored: Vec<Fact> = self.restored.iter().filter(|f| is_it(f)).copied().collect();
        self.restored.retain(|fact| !is_it(fact));
        self.accepted.extend(restored);
        if self.accepted.iter().any(is_it) || self.refused.iter().any(is_it) {
            self.earlier.push(Earlier {
                at,
                version: stored.version,
                said: stored.said,
                moved_to: None,
            });
        }
    }

    /// From where to where a row moves its record, and what it says there.
    fn moves(
        &self,
        (sensor, seconds, said, record): Row,
    ) -> Option<(ReadingKey, ReadingKey, Measurement)> {
        let target = key(sensor, seconds);
        let is_it =
            |k: &ReadingKey, r: &Stored| r.record == record && k.sensor() == target.sensor();
        let holder = self.readings.iter().find(|(k, r)| record.is_some() && is_it(k, r));
        let from = holder.map(|(k, _)| *k).filter(|from| *from != target)?;
        Some((from, target, value(100 + said)))
    }

    fn ingest(&mut self, batch: &[Row]) {
        let mut batch = batch.to_vec();
        batch.sort_by_key(|(sensor, seconds, ..)| key(*sensor, *seconds));
        let mut moved: Vec<(usize, ReadingKey)> = Vec::new();
        let under_way: Vec<_> = batch.iter().filter_map(|row| self.moves(*row)).collect();
        for (holder, target, said) in &under_way {
            let stays = !under_way.iter().any(|(leaving, ..)| leaving == target);
            if stays && self.readings.get(target).is_some_and(|there| there.said == *said) {
                self.supersede(*target);
                let version = self.next_version(*target);
                self.readings.get_mut(target).unwrap().version = version;
            }
            self.supersede(*holder);
            self.readings.remove(holder);
            let belongs = |e: &Earlier| {
                (e.at == *holder && e.moved_to.is_none()) || e.moved_to == Some(*holder)
            };
            let theirs: Vec<_> = self
                .earlier
                .iter()
                .enumerate()
                .filter(|(i, e)| belongs(e) && !moved.iter().any(|(m, _)| m == i))
                .map(|(i, _)| (i, *target))
                .collect();
            moved.extend(theirs);
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
        self.restore();
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

    fn accept(&mut self, (connection, unit): Receiver, accepted: &[(ReadingKey, u32)]) {
        for (at, version) in accepted {
            self.refused.remove(&(connection, unit, *at, *version));
            if self.knows(*at, *version) {
                self.accepted.insert((connection, unit, *at, *version));
            }
            let superseded = self.earlier.iter().find(|e| (e.at, e.version) == (*at, *version));
            if let Some(now) = superseded.map(|e| e.moved_to.unwrap_or(e.at)) {
                self.restored.retain(|fact| (fact.0, fact.1, fact.2) != (connection, unit, now));
            }
        }
        self.restore();
    }

    /// Versions of a reading that a receiver has seen, oldest first, and those of other records.
    fn seen(&self, (connection, unit): Receiver, at: ReadingKey) -> (Numbered<'_>, Numbered<'_>) {
        let belongs = |e: &Earlier| (e.at == at && e.moved_to.is_none()) || e.moved_to == Some(at);
        let had = |e: &Earlier| self.accepted.contains(&(connection, unit, e.at, e.version));
        self.earlier.iter().enumerate().filter(|(_, e)| had(e)).partition(|(_, e)| belongs(e))
    }

    fn restore(&mut self) {
        let mut restored = Vec::new();
        for (at, stored) in &self.readings {
            for to in [0, 1].into_iter().flat_map(|c| UNITS.map(|unit| (c, unit))) {
                let last = self.seen(to, *at).0.pop();
                if last.is_some_and(|(_, e)| e.at == *at && e.said.is_alike_in(stored.said, to.1)) {
                    restored.push((to.0, to.1, *at, stored.version));
                }
            }
        }
        self.restored.extend(restored);
    }

    fn unsent(
        &self,
        (connection, unit): Receiver,
    ) -> Vec<(ReadingKey, u32, Measurement, Vec<EarlierReading>)> {
        let missing = self.readings.iter().filter(|(k, r)| {
            let fact = (connection, unit, **k, r.version);
            ![&self.accepted, &self.restored, &self.refused].iter().any(|set| set.contains(&fact))
        });
        missing
            .map(|(k, r)| {
                let alike = |a: &(ReadingKey, Measurement), b: &(ReadingKey, Measurement)| {
                    a.0 == b.0 && a.1.is_alike_in(b.1, unit)
                };
                let (own, others) = self.seen((connection, unit), *k);
                let mut line: Vec<(ReadingKey, Measurement, usize)> =
                    own.iter().map(|(id, e)| (e.at, e.said, *id)).collect();
                line.push((*k, r.said, usize::MAX));
                line.dedup_by(|b, a| alike(&(a.0, a.1), &(b.0, b.1)));
                let mut history: Vec<(ReadingKey, Measurement)> = Vec::new();
                for (place, version) in line.iter().enumerate().rev() {
                    let fact = (version.0, version.1);
                    let first = !line.iter().take(place).any(|v| alike(&(v.0, v.1), &fact));
                    let before = others.iter().filter(|(id, e)| {
                        first
                            && e.moved_to.is_some()
                            && *id < version.2
                            && alike(&(e.at, e.said), &fact)
                    });
                    history.extend(before.map(|(_, e)| (e.at, e.said)));
                }
                line.pop();
                history.extend(line.into_iter().map(|(at, said, _)| (at, said)));
                let shown = |(at, measurement): (ReadingKey, Measurement)| EarlierReading {
                    seconds: at.seconds(),
                    measurement,
                };
                (*k, r.version, r.said, history.into_iter().map(shown).collect())
            })
            .collect()
    }
}

fn paged(
    scratch: &Scratch,
    connection: ConnectionId,
    unit: GlucoseUnit,
    window: Window,
) -> Vec<VersionedReading> {
    let mut all: Vec<VersionedReading> = Vec::new();
    loop {
        let page =
            scratch.store.unsent(connection, unit, window, all.last().map(|u| u.key), 3).unwrap();
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
    let receiver = || (0..2_usize, prop_oneof![Just(UNITS[0]), Just(UNITS[1])]);
    prop_oneof![
        5 => batch().prop_map(Step::Ingest),
        5 => (receiver(), any::<u64>(), proptest::bool::weighted(0.2))
            .prop_map(|(r, b, f)| Step::Accept(r, b, f)),
        2 => (receiver(), any::<u64>()).prop_map(|(r, b)| Step::Refuse(r, b & b >> 7 & b >> 13)),
        1 => Just(Step::Reopen),
    ]
}

/// Odd records are counts, even ones texts.
fn with_key(reading: Reading, record: u32) -> Reading {
    let key = if record % 2 == 1 {
        RecordKey::counted("t", record).unwrap()
    } else {
        RecordKey::new(&format!("r{record}")).unwrap()
    };
    reading.with_record_key(key)
}

/// `PROPTEST_CASES` asks for more.
fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|asked| asked.parse().ok());
    ProptestConfig::with_cases(asked.unwrap_or(48))
}

/// That the store says of a receiver that it lacks exactly this, in all and within a window.
fn lacks_exactly(
    scratch: &Scratch,
    (connection, unit): (ConnectionId, GlucoseUnit),
    window: Window,
    expected: &[(ReadingKey, u32, Measurement, Vec<EarlierReading>)],
) -> Result<(), TestCaseError> {
    let all = Window::from_unix(i64::MIN, i64::MAX).unwrap();
    let found: Vec<_> = paged(scratch, connection, unit, all)
        .into_iter()
        .map(|u| (u.key, u.version, u.sample.measurement, u.history))
        .collect();
    prop_assert_eq!(&found, expected);
    let within = expected.iter().filter(|unsent| window.contains(unsent.0.seconds())).count();
    prop_assert_eq!(paged(scratch, connection, unit, window).len(), within);
    let count = scratch.store.unsent_count(connection, unit, window).unwrap();
    prop_assert_eq!(count, within as u64);
    Ok(())
}

proptest! {
    #![proptest_config(cases())]
    #[test]
    fn the_store_agrees_with_a_naive_model(
        steps in proptest::collection::vec(step(), 1..20),
        (from, length) in (0..14_i64, 0..14_i64),
    ) {
        let mut scratch = Scratch::new();
        let connections =
            ["https://a.example", "https://b.example"].map(|base| scratch.connect(base));
        for sensor in ["s0", "s1"] {
            scratch.register(sensor);
        }
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Ingest(rows) => {
                    let readings: Vec<_> = rows.iter().map(|(sensor, seconds, said, record)| {
                        let reading = reading(&format!("s{sensor}"), *seconds, value(100 + said));
                        record.map_or_else(|| reading.clone(), |r| with_key(reading.clone(), r))
                    }).collect();
                    model.ingest(&rows);
                    let report = scratch.take(&readings);
                    let changed = report.stored + report.replaced + report.corrected;
                    prop_assert_eq!(report.already_there + changed, rows.len());
                    let again = scratch.take(&readings);
                    prop_assert_eq!(again.already_there, rows.len(), "the same batch again");
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
                            let connection = connections[to.0];
                            scratch.store.quarantine(connection, to.1, at, version, "no").unwrap();
                        }
                    }
                }
                Step::Reopen => scratch.reopen(),
            }
            for (number, connection) in connections.into_iter().enumerate() {
                for unit in UNITS {
                    let window = Window::from_unix(BASE + from, BASE + from + length).unwrap();
                    let expected = model.unsent((number, unit));
                    lacks_exactly(&scratch, (connection, unit), window, &expected)?;
                }
            }
            let times: Vec<i64> = model.readings.keys().map(|k| k.seconds()).collect();
            let extent = times.iter().min().zip(times.iter().max()).map(|(a, b)| (*a, *b));
            prop_assert_eq!(scratch.store.extent().unwrap(), extent);
        }
    }
}
