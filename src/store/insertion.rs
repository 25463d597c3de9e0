//! Inserting readings: many in one statement if nothing can stand where they go, because to begin
//! and end a statement costs more than the row it inserts.

use super::{ReadingKey, StoreError};
use rusqlite::{CachedStatement, Transaction, params};

/// Rows of one statement. Twice as many save little more.
const MANY: usize = 32;

/// A row of `readings`.
#[derive(Clone, Copy)]
pub(super) struct NewRow {
    pub(super) key: ReadingKey,
    pub(super) packed: i64,
    /// Its record key, if that is a count.
    pub(super) count: Option<i64>,
    pub(super) import: Option<i64>,
}

/// The readings of a batch on their way into the table.
pub(super) struct Insertion<'tx> {
    one: CachedStatement<'tx>,
    many: CachedStatement<'tx>,
    waiting: Vec<NewRow>,
}

impl<'tx> Insertion<'tx> {
    pub(super) fn new(tx: &'tx Transaction<'tx>) -> Result<Self, StoreError> {
        let sql = |rows: usize| {
            let values = vec!["(?, ?, ?, ?)"; rows].join(", ");
            format!(
                "INSERT INTO readings (key, measurement, record, import) VALUES {values}
                 ON CONFLICT DO NOTHING"
            )
        };
        Ok(Self {
            one: tx.prepare_cached(&sql(1))?,
            many: tx.prepare_cached(&sql(MANY))?,
            waiting: Vec::with_capacity(MANY),
        })
    }

    /// Inserts a reading at whose key nothing can stand, at the latest when it
    /// [ends](Self::end).
    pub(super) fn append(&mut self, row: NewRow) -> Result<(), StoreError> {
        self.waiting.push(row);
        if self.waiting.len() == MANY { self.insert_many() } else { Ok(()) }
    }

    /// Inserts a reading unless something stands at its key: then false.
    pub(super) fn insert(&mut self, row: NewRow) -> Result<bool, StoreError> {
        self.end()?;
        let NewRow { key, packed, count, import } = row;
        Ok(self.one.execute(params![key, packed, count, import])? == 1)
    }

    /// Inserts what still waits.
    pub(super) fn end(&mut self) -> Result<(), StoreError> {
        for NewRow { key, packed, count, import } in self.waiting.drain(..) {
            if self.one.execute(params![key, packed, count, import])? != 1 {
                return Err(OUT_OF_STEP);
            }
        }
        Ok(())
    }

    fn insert_many(&mut self) -> Result<(), StoreError> {
        let mut place = 0;
        for NewRow { key, packed, count, import } in self.waiting.drain(..) {
            self.many.raw_bind_parameter(place + 1, key)?;
            self.many.raw_bind_parameter(place + 2, packed)?;
            self.many.raw_bind_parameter(place + 3, count)?;
            self.many.raw_bind_parameter(place + 4, import)?;
            place += 4;
        }
        if self.many.raw_execute()? == MANY { Ok(()) } else { Err(OUT_OF_STEP) }
    }
}

/// A sensor's last instant is earlier than a reading of it.
const OUT_OF_STEP: StoreError = StoreError::Row("sensor");

#[cfg(test)]
mod tests {
    use crate::glucose::Window;
    use crate::store::testing::{BASE, Scratch, reading, value};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Sensor, second, value.
    type Row = (u32, i64, u32);

    fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
        proptest::collection::vec((0..2_u32, 0..400_i64, 100..103_u32), 0..most)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn of_many_readings_each_stands_as_it_came_last_in_whichever_order(
            (stored, mut batch) in (rows(40), rows(300)),
            in_order: bool,
        ) {
            let mut scratch = Scratch::new();
            let ids = ["s0", "s1"].map(|sensor| scratch.register(sensor));
            if in_order {
                batch.sort_by_key(|(_, seconds, _)| *seconds);
            }
            let mut expected = BTreeMap::new();
            for rows in [stored, batch] {
                let readings: Vec<_> = rows
                    .iter()
                    .map(|(sensor, at, said)| reading(&format!("s{sensor}"), *at, value(*said)))
                    .collect();
                let before = expected.len();
                expected.extend(rows.iter().map(|(sensor, at, said)| ((*at, *sensor), *said)));
                let report = scratch.take(&readings);
                prop_assert_eq!(report.stored, expected.len() - before);
                prop_assert_eq!(
                    report.stored + report.already_there + report.replaced,
                    readings.len()
                );
            }
            let mut found = Vec::new();
            let all = Window::from_unix(0, i64::MAX).unwrap();
            scratch.store.scan(all, |s| found.push((s.seconds, s.sensor, s.measurement))).unwrap();
            let expected: Vec<_> = expected
                .into_iter()
                .map(|((at, sensor), said)| (BASE + at, ids[sensor as usize], value(said)))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
