//! Where counts stand, each within the series of a sensor.
//!
//! Nearly always counts come as they rise. These are appended to a list and found by bisection,
//! which costs a third of a hash table; only others are in one.

use super::ReadingKey;
use crate::glucose::SensorId;
use std::collections::HashMap;

/// A sensor, and the place of a series.
type LineKey = (SensorId, usize);

/// The counts of one series of a sensor.
#[derive(Default)]
struct Line {
    rising: Vec<(u32, ReadingKey)>,
    others: HashMap<u32, ReadingKey>,
}

impl Line {
    fn get(&self, count: u32) -> Option<ReadingKey> {
        let place = self.rising.binary_search_by_key(&count, |(count, _)| *count);
        let rising = place.ok().and_then(|place| self.rising.get(place)).map(|(_, key)| *key);
        rising.or_else(|| self.others.get(&count).copied())
    }

    fn note(&mut self, count: u32, key: ReadingKey) -> ReadingKey {
        if self.rising.last().is_some_and(|(last, _)| count <= *last) {
            return self.get(count).unwrap_or_else(|| *self.others.entry(count).or_insert(key));
        }
        // The others are all less than the last of those that rise.
        self.rising.push((count, key));
        key
    }
}

/// Where counts stand.
#[derive(Default)]
pub(super) struct Counts {
    lines: Vec<(LineKey, Line)>,
    places: HashMap<LineKey, usize>,
    /// The place of the line noted in last.
    last: usize,
}

impl Counts {
    /// Where a count stands.
    pub(super) fn get(&self, line: LineKey, count: u32) -> Option<ReadingKey> {
        let (_, line) = self.lines.get(*self.places.get(&line)?)?;
        line.get(count)
    }

    /// Notes that a count stands at a key, unless it stands somewhere already. Returns where.
    pub(super) fn note(&mut self, line: LineKey, count: u32, key: ReadingKey) -> ReadingKey {
        if self.lines.get(self.last).is_none_or(|(last, _)| *last != line) {
            self.last = *self.places.entry(line).or_insert_with(|| {
                self.lines.push((line, Line::default()));
                self.lines.len() - 1
            });
        }
        self.lines.get_mut(self.last).map_or(key, |(_, line)| line.note(count, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_place_of_a_count_stands_in_whichever_order_counts_come(
            noted in proptest::collection::vec((0..2_u32, 0..2_usize, 0..40_u32, 0..9_i64), 0..60),
        ) {
            let (mut counts, mut plain) = (Counts::default(), HashMap::new());
            for (sensor, series, count, seconds) in noted {
                let line = (SensorId(sensor), series);
                let key = ReadingKey::new(SensorId(sensor), seconds).unwrap();
                prop_assert_eq!(counts.get(line, count), plain.get(&(line, count)).copied());
                let stands = *plain.entry((line, count)).or_insert(key);
                prop_assert_eq!(counts.note(line, count, key), stands);
                prop_assert_eq!(counts.get(line, count), Some(stands));
            }
        }
    }
}
