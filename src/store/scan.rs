//! Reading stored samples in time order, without holding them in memory and without touching what
//! lies outside the window.
//!
//! Keys are ordered sensor by sensor. The window is cut where a sensor's stretch begins or ends;
//! between two cuts the same sensors are at work: one is streamed, several are merged from small
//! buffers.

use super::sensors::{self, Span};
use super::{ReadingKey, Store, StoreError, key, packing};
use crate::glucose::{Sample, Window};
use rusqlite::{CachedStatement, Connection, Rows, params};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Samples buffered of each sensor where several are merged.
const BUFFERED: u32 = 256;

/// Keys from one on, in order. Whoever reads it looks for the last: SQLite would take two more of
/// its steps for that at every row.
const FROM: &str = "SELECT key, measurement FROM readings WHERE key >= ?1 ORDER BY key";

/// Visits the samples of rows of [`FROM`] until one is after `last`; how many.
fn visit_rows(
    mut rows: Rows<'_>,
    last: i64,
    visit: &mut impl FnMut(Sample),
) -> Result<u32, StoreError> {
    let mut visited = 0;
    while let Some(row) = rows.next()? {
        let key: ReadingKey = row.get(0)?;
        if key.packed() > last {
            break;
        }
        visit(packing::sample(key, row.get(1)?)?);
        visited += 1;
    }
    Ok(visited)
}

/// One sensor's part of a merge: the samples read ahead and the range still to read.
struct Lane {
    ahead: VecDeque<Sample>,
    rest: Option<(i64, i64)>,
}

impl Lane {
    fn next(&mut self, statement: &mut CachedStatement<'_>) -> Result<Option<Sample>, StoreError> {
        if let (true, Some((first, last))) = (self.ahead.is_empty(), self.rest) {
            let rows = statement.query(params![first, BUFFERED])?;
            let more =
                visit_rows(rows, last, &mut |sample| self.ahead.push_back(sample))? == BUFFERED;
            let next = self
                .ahead
                .back()
                .and_then(|s| ReadingKey::new(s.sensor, s.seconds))
                .map(|k| k.packed() + 1);
            self.rest = next.filter(|next| more && *next <= last).map(|next| (next, last));
        }
        Ok(self.ahead.pop_front())
    }
}

fn merge(
    statement: &mut CachedStatement<'_>,
    ranges: &[(i64, i64)],
    visit: &mut impl FnMut(Sample),
) -> Result<(), StoreError> {
    let mut lanes: Vec<Lane> =
        ranges.iter().map(|range| Lane { ahead: VecDeque::new(), rest: Some(*range) }).collect();
    let mut heads: Vec<Option<Sample>> = Vec::with_capacity(lanes.len());
    let mut order = BinaryHeap::with_capacity(lanes.len());
    for (number, lane) in lanes.iter_mut().enumerate() {
        let head = lane.next(statement)?;
        order.extend(head.map(|sample| Reverse((sample.seconds, sample.sensor, number))));
        heads.push(head);
    }
    while let Some(Reverse((_, _, number))) = order.pop() {
        let (Some(head), Some(lane)) = (heads.get_mut(number), lanes.get_mut(number)) else {
            continue;
        };
        if let Some(sample) = head.take() {
            visit(sample);
        }
        *head = lane.next(statement)?;
        order.extend(head.map(|sample| Reverse((sample.seconds, sample.sensor, number))));
    }
    Ok(())
}

/// The unix seconds at which a sensor's stretch begins, or has just ended.
fn cuts(spans: &[Span]) -> Vec<i64> {
    let mut cuts: Vec<i64> = spans.iter().flat_map(|span| [span.first, span.last + 1]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

fn scan(db: &Connection, window: Window, visit: &mut impl FnMut(Sample)) -> Result<(), StoreError> {
    let mut whole = db.prepare_cached(FROM)?;
    let mut spans = sensors::spans(db, window)?;
    spans.sort_by_key(|span| Reverse(span.first));
    let cuts = cuts(&spans);
    let mut at_work: Vec<Span> = Vec::new();
    for (from, to) in cuts.iter().zip(cuts.iter().skip(1)) {
        at_work.retain(|span| span.last >= *from);
        while let Some(span) = spans.pop_if(|span| span.first <= *from) {
            at_work.push(span);
        }
        let slice = Window::from_unix(*from, *to).map_err(|_| StoreError::Row("sensor"))?;
        let ranges: Vec<(i64, i64)> =
            at_work.iter().filter_map(|span| key::range(span.sensor, slice)).collect();
        match ranges.as_slice() {
            [] => {}
            [(first, last)] => _ = visit_rows(whole.query([first])?, *last, visit)?,
            several => {
                merge(&mut db.prepare_cached(&format!("{FROM} LIMIT ?2"))?, several, visit)?;
            }
        }
    }
    Ok(())
}

impl Store {
    /// Shows every sample of a window to `visit`, in time order across sensors, of one moment's
    /// state of the database. At one instant the sensor registered first comes first. `visit`
    /// cannot call the store.
    ///
    /// # Errors
    /// [`StoreError`]; samples before an unreadable row have been shown.
    pub fn scan(&self, window: Window, mut visit: impl FnMut(Sample)) -> Result<(), StoreError> {
        let snapshot = self.read()?;
        scan(&snapshot, window, &mut visit)
    }

    /// How many readings a window holds, of all sensors.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn count(&self, window: Window) -> Result<u64, StoreError> {
        let snapshot = self.read()?;
        let mut statement =
            snapshot.prepare_cached("SELECT count(*) FROM readings WHERE key BETWEEN ? AND ?")?;
        let mut count = 0;
        for span in sensors::spans(&snapshot, window)? {
            if let Some((first, last)) = key::range(span.sensor, window) {
                count +=
                    statement.query_row([first, last], |row| row.get::<_, i64>(0))?.unsigned_abs();
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Scratch, value};
    use proptest::prelude::*;

    fn seen(store: &Store, from: i64, to: i64) -> Vec<(i64, u32)> {
        let mut seen = Vec::new();
        store
            .scan(Window::from_unix(from, to).unwrap(), |s| seen.push((s.seconds, s.sensor.0)))
            .unwrap();
        seen
    }

    #[test]
    fn an_empty_database_shows_nothing() {
        assert_eq!(seen(&Scratch::new().store, i64::MIN, i64::MAX), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn samples_come_in_time_order_whichever_sensors_overlap(
            stretches in proptest::collection::vec((0..3_000_i64, 1..700_i64, 1..9_i64), 1..6),
            from in 0..3_000_i64,
            length in 0..4_000_i64,
        ) {
            let mut scratch = Scratch::new();
            let mut all = Vec::new();
            for (number, (start, count, step)) in stretches.into_iter().enumerate() {
                let seconds: Vec<i64> = (0..count).map(|i| start + i * step).collect();
                let readings = seconds.iter().map(|s| (*s, value(100)));
                let id = scratch.ingest(&format!("s{number}"), readings).0;
                all.extend(seconds.into_iter().map(|s| (scratch.at(s), id)));
            }
            all.sort_unstable();
            let (from, to) = (scratch.at(from), scratch.at(from + length));
            all.retain(|(s, _)| (from..to).contains(s));
            let window = Window::from_unix(from, to).unwrap();
            prop_assert_eq!(scratch.store.count(window).unwrap(), all.len() as u64);
            prop_assert_eq!(seen(&scratch.store, from, to), all);
        }
    }
}
