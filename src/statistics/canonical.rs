//! One reading per instant: where sensors overlap, only that of the sensor started last counts.
//!
//! A sensor covers an instant while its latest reading is less than its interval old. A reading is let through when no sensor
//! started later covers its instant; of two sensors started in the same second, the one registered later counts. Readings wait,
//! in time order, until their sensor's interval is told, usually for one reading, and never for more than [`MOST_WAITING`].

use super::interval::{Interval, Pace, Verdict};
use super::level::Level;
use crate::glucose::{SensorId, UtcOffset};
use std::collections::{BTreeMap, VecDeque};

/// Readings that may wait at once. A sensor whose pace is still untold after so many (days of readings) is taken as it then
/// seems, so that memory stays bounded whatever comes.
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
    /// `starts` are the unix seconds of sensors' first readings ever; a sensor not named starts at its first reading here.
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

    /// Takes the next reading, not earlier than the one before; a second one of a sensor in one second is left out.
    pub(super) fn push(&mut self, id: SensorId, reading: Placed, mut counted: impl FnMut(Placed, Interval)) {
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
                Verdict::All(interval) => self.tell(sensor, 0, interval),
                Verdict::AllButLast(interval) => self.tell(sensor, 1, interval),
            }
        } else {
            let start = self.starts.get(&id).copied().unwrap_or(reading.seconds);
            self.index.insert(id, sensor);
            self.sensors.push(Worn { rank: (start, id), pace: Pace::starting_at(reading.seconds), untold: 0 });
        }
        if let Some(worn) = self.sensors.get_mut(sensor) {
            worn.untold += 1;
        }
        self.queue.push_back(Waiting { reading, sensor, interval: None });
        // A sensor started later may still speak at this very second.
        self.release(reading.seconds, &mut counted);
        if self.queue.len() > MOST_WAITING {
            if let Some(first) = self.queue.front().filter(|first| first.interval.is_none()).map(|first| first.sensor) {
                self.settle(first);
            }
            self.release(reading.seconds, &mut counted);
        }
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
        let untold = self.queue.iter_mut().rev().filter(|w| w.sensor == sensor && w.interval.is_none());
        for waiting in untold.skip(but).take(told) {
            waiting.interval = Some(interval);
        }
    }

    /// Lets through what was measured before `now`, in order, until one still waits for its interval.
    fn release(&mut self, now: i64, counted: &mut impl FnMut(Placed, Interval)) {
        while let Some(instant) = self.queue.front().map(|first| first.reading.seconds).filter(|instant| *instant < now)
        {
            let together = self.queue.iter().take_while(|w| w.reading.seconds == instant);
            if !together.clone().all(|w| w.interval.is_some()) {
                return;
            }
            let together = together.count();
            self.covering.retain(|(_, until)| *until > instant);
            for waiting in self.queue.iter().take(together) {
                if let (Some(worn), Some(interval)) = (self.sensors.get(waiting.sensor), waiting.interval) {
                    self.covering.retain(|(rank, _)| *rank != worn.rank);
                    self.covering.push((worn.rank, instant.saturating_add(interval.seconds())));
                }
            }
            let last_started = self.covering.iter().map(|(rank, _)| *rank).max();
            for waiting in self.queue.drain(..together) {
                let rank = self.sensors.get(waiting.sensor).map(|worn| worn.rank);
                if let (true, Some(interval)) = (rank == last_started, waiting.interval) {
                    counted(waiting.reading, interval);
                }
            }
        }
    }
}
