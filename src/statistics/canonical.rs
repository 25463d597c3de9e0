//! One reading per instant: where sensors overlap, only that of the sensor started last counts.
//!
//! A sensor covers an instant while its latest reading is less than its interval old. A reading is
//! let through when no sensor started later covers its instant; of two sensors started in the same
//! second, the one registered later counts. Readings wait, in time order, until their sensor's
//! interval is told, usually for one reading, and never for more than [`MOST_WAITING`].

use super::interval::{Interval, Pace, Verdict};
use super::level::Level;
use crate::glucose::{SensorId, UtcOffset};
use std::collections::{BTreeMap, VecDeque};

/// Readings that may wait at once. A sensor whose pace is still untold after so many (days of
/// readings) is taken as it then seems, so that memory stays bounded whatever comes.
const MOST_WAITING: usize = 1024;

/// A reading with a value, placed in time.
#[derive(Clone, Copy)]
pub(super) struct Placed {
    pub(super) seconds: i64,
    pub(super) offset: UtcOffset,
    pub(super) level: Level,
}

struct Waiting {
    reading: Placed,
    sensor: usize,
    interval: Option<Interval>,
}

/// Orders sensors by start; the number breaks ties.
type Rank = (i64, SensorId);

struct Worn {
    rank: Rank,
    pace: Pace,
    /// Its readings in the queue without an interval.
    untold: usize,
}

/// Readings of all sensors in time order, on their way to one per instant.
pub(super) struct Canonical {
    starts: BTreeMap<SensorId, i64>,
    index: BTreeMap<SensorId, usize>,
    sensors: Vec<Worn>,
    /// The sensor of the last reading: the next is mostly of the same.
    latest: Option<(SensorId, usize)>,
    queue: VecDeque<Waiting>,
    /// Sensors that cover the instant reached, and until when.
    covering: Vec<(Rank, i64)>,
}

impl Canonical {
    /// `starts` are the unix seconds of sensors' first readings ever; a sensor not named starts at
    /// its first reading here.
    pub(super) fn new(starts: BTreeMap<SensorId, i64>) -> Self {
        Self {
            starts,
            index: BTreeMap::new(),
            sensors: Vec::new(),
            latest: None,
            queue: VecDeque::new(),
            covering: Vec::new(),
        }
    }

    /// Takes the next reading, not earlier than the one before; a second one of a sensor in one
    /// second is left out.
    pub(super) fn push(
        &mut self,
        id: SensorId,
        reading: Placed,
        mut counted: impl FnMut(Placed, Interval),
    ) {
        let known = self.latest.filter(|(latest, _)| *latest == id).map(|(_, sensor)| sensor);
        let known = known.or_else(|| self.index.get(&id).copied());
        let sensor = known.unwrap_or(self.sensors.len());
        self.latest = Some((id, sensor));
        if let Some(worn) = self.sensors.get_mut(sensor) {
            if worn.pace.last() == reading.seconds {
                return;
            }
            match worn.pace.next(reading.seconds) {
                Verdict::Wait => {}
                Verdict::All(interval) => {
                    if let Some(before) = self.exchange_only(sensor, interval, reading) {
                        return counted(before, interval);
                    }
                    self.tell(sensor, 0, interval);
                }
                Verdict::AllButLast(interval) => self.tell(sensor, 1, interval),
            }
        } else {
            let start = self.starts.get(&id).copied().unwrap_or(reading.seconds);
            self.index.insert(id, sensor);
            self.sensors.push(Worn {
                rank: (start, id),
                pace: Pace::starting_at(reading.seconds),
                untold: 0,
            });
        }
        if let Some(worn) = self.sensors.get_mut(sensor) {
            worn.untold += 1;
        }
        self.queue.push_back(Waiting { reading, sensor, interval: None });
        // A sensor started later may still speak at this very second.
        self.release(reading.seconds, &mut counted);
        if self.queue.len() > MOST_WAITING {
            if let Some(sensor) = self.queue.iter().find(|w| w.interval.is_none()).map(|w| w.sensor)
            {
                self.settle(sensor);
            }
            self.release(reading.seconds, &mut counted);
        }
    }

    /// The usual case, without the detours of `tell` and `release`: only one sensor covers, and
    /// only its reading before this one waits. That one comes out, now told its interval, and
    /// this one waits in its place.
    #[inline]
    fn exchange_only(
        &mut self,
        sensor: usize,
        interval: Interval,
        reading: Placed,
    ) -> Option<Placed> {
        let rank = self.sensors.get(sensor)?.rank;
        let [(covering, until)] = self.covering.as_mut_slice() else { return None };
        let only = self.queue.len() == 1 && *covering == rank;
        let waiting = self
            .queue
            .front_mut()
            .filter(|w| only && w.sensor == sensor && w.interval.is_none())?;
        let before = std::mem::replace(&mut waiting.reading, reading);
        *until = before.seconds.saturating_add(interval.seconds());
        Some(before)
    }

    /// Lets the last ones through.
    pub(super) fn finish(mut self, mut counted: impl FnMut(Placed, Interval)) {
        for sensor in 0..self.sensors.len() {
            self.settle(sensor);
        }
        self.release(i64::MAX, &mut counted);
    }

    /// All of a sensor's waiting readings take the interval it seems to have.
    fn settle(&mut self, sensor: usize) {
        if let Some(interval) = self.sensors.get(sensor).map(|worn| worn.pace.settled()) {
            self.tell(sensor, 0, interval);
        }
    }

    /// Gives the sensor's waiting readings their interval, except the last `but`.
    fn tell(&mut self, sensor: usize, but: usize, interval: Interval) {
        let Some(worn) = self.sensors.get_mut(sensor) else { return };
        let told = worn.untold.saturating_sub(but);
        worn.untold -= told;
        let untold =
            self.queue.iter_mut().rev().filter(|w| w.sensor == sensor && w.interval.is_none());
        for waiting in untold.skip(but).take(told) {
            waiting.interval = Some(interval);
        }
    }

    /// Lets through what was measured before `now`, in order, until one still waits for its
    /// interval.
    fn release(&mut self, now: i64, counted: &mut impl FnMut(Placed, Interval)) {
        while let Some(instant) =
            self.queue.front().map(|first| first.reading.seconds).filter(|instant| *instant < now)
        {
            let together = self.queue.iter().take_while(|w| w.reading.seconds == instant).count();
            if !self.all_told(together, now) {
                return;
            }
            self.covering.retain(|(_, until)| *until > instant);
            for waiting in self.queue.iter().take(together) {
                if let (Some(worn), Some(interval)) =
                    (self.sensors.get(waiting.sensor), waiting.interval)
                {
                    let until = instant.saturating_add(interval.seconds());
                    match self.covering.iter_mut().find(|(rank, _)| *rank == worn.rank) {
                        Some((_, covered)) => *covered = until,
                        None => self.covering.push((worn.rank, until)),
                    }
                }
            }
            let last_started = self.covering.iter().map(|(rank, _)| *rank).max();
            for waiting in (0..together).map_while(|_| self.queue.pop_front()) {
                let rank = self.sensors.get(waiting.sensor).map(|worn| worn.rank);
                if let (true, Some(interval)) = (rank == last_started, waiting.interval) {
                    counted(waiting.reading, interval);
                }
            }
        }
    }

    /// Whether the first so many readings have their interval. A sensor silent for so long that its
    /// next gap tells nothing will not change it any more.
    fn all_told(&mut self, first: usize, now: i64) -> bool {
        for position in 0..first {
            let untold =
                self.queue.get(position).filter(|w| w.interval.is_none()).map(|w| w.sensor);
            let Some(sensor) = untold else { continue };
            let Some(interval) =
                self.sensors.get(sensor).and_then(|worn| worn.pace.certain_at(now))
            else {
                return false;
            };
            self.tell(sensor, 0, interval);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::{GlucoseUnit, GlucoseValue, Measurement};
    use Interval::{Fifteen, Five};

    /// Which readings `(sensor, second)` count, with their interval, and how many waited at most.
    fn counted(readings: &[(u32, i64)]) -> (Vec<(i64, Interval)>, usize) {
        let value = GlucoseValue::new(101, 0, GlucoseUnit::MgPerDl).unwrap();
        let level = Level::of(Measurement::Value(value)).unwrap();
        let (mut canonical, mut counted, mut waited) =
            (Canonical::new(BTreeMap::new()), Vec::new(), 0);
        for (sensor, seconds) in readings {
            let reading = Placed { seconds: *seconds, offset: UtcOffset::UTC, level };
            canonical.push(SensorId(*sensor), reading, |reading, interval| {
                counted.push((reading.seconds, interval));
            });
            waited = waited.max(canonical.queue.len());
        }
        canonical.finish(|reading, interval| counted.push((reading.seconds, interval)));
        (counted, waited)
    }

    #[test]
    fn a_sensor_that_comes_back_tells_the_interval_of_its_first_reading() {
        let mut readings = vec![(1, 0)];
        readings.extend((0..900).map(|n| (2, 300 + 300 * n)));
        readings.extend((1..9).map(|n| (1, 300_000 + 900 * n)));
        let (counted, _) = counted(&readings);
        assert_eq!((counted.len(), counted[0]), (909, (0, Fifteen)));
        assert!(counted.is_sorted_by_key(|(seconds, _)| *seconds));
    }

    #[test]
    fn few_readings_wait_whatever_comes() {
        // A sensor a week, each with a last reading that no other follows.
        let worn: Vec<_> = (0..30_000).map(|n| (n / 2016, 300 * i64::from(n))).collect();
        assert!(counted(&worn).1 <= 8);
        // Sensors of one reading each, ever new, beside one that goes on, in the same second.
        let lone: Vec<_> = (0..5_000)
            .flat_map(|n| [(0, 300 * i64::from(n)), (1 + n, 300 * i64::from(n))])
            .collect();
        let (counted, waited) = counted(&lone);
        assert!(waited <= MOST_WAITING + 1, "{waited}");
        assert_eq!(counted.len(), 5_000);
        assert!(counted.iter().all(|(_, interval)| *interval == Five));
    }
}
