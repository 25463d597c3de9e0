//! One reading per instant: where sensors overlap, only that of the sensor started last counts.
//!
//! A sensor is worn at an instant while its latest reading is less than its interval old, and on to
//! its next reading if that comes within a day: what it misses in between is a gap, which an older
//! sensor beside it does not fill. A reading is let through when no sensor started later is worn at
//! its instant; of two sensors started in the same second, the one registered later counts.
//! Readings wait, in time order, until their sensor's interval is told, usually for one reading,
//! and until it is known whether a newer sensor comes back; never more than [`MOST_WAITING`].

use super::interval::{Interval, Pace, Verdict};
use super::level::Level;
use crate::glucose::{SensorId, UtcOffset};
use std::collections::{BTreeMap, VecDeque};

/// Readings that may wait at once. A sensor whose pace is still untold after so many (days of
/// readings) is taken as it then seems, so that memory stays bounded whatever comes. There is room
/// for a day of several one-minute sensors beside a newer one that fell silent.
const MOST_WAITING: usize = 6144;
/// A sensor that speaks again within so many seconds was worn all the while.
const WORN_ON: i64 = 86_400;

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
    /// Its readings in the queue.
    queued: usize,
    /// Those of them without an interval.
    untold: usize,
}

/// A sensor that spoke within the last day.
struct Spoken {
    sensor: usize,
    rank: Rank,
    /// Its latest reading.
    at: i64,
    /// When that reading's interval is over.
    until: i64,
}

/// Readings of all sensors in time order, on their way to one per instant.
pub(super) struct Canonical {
    starts: BTreeMap<SensorId, i64>,
    index: BTreeMap<SensorId, usize>,
    sensors: Vec<Worn>,
    /// The sensor of the last reading: the next is mostly of the same.
    latest: Option<(SensorId, usize)>,
    queue: VecDeque<Waiting>,
    /// Sensors that spoke within a day of the instant reached.
    recent: Vec<Spoken>,
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
            recent: Vec::new(),
        }
    }

    /// Takes the next reading, not earlier than the one before; a second one of a sensor in one
    /// second is left out. What is not usual is in functions of its own: this one becomes part of
    /// the loop that reads the database.
    #[inline]
    pub(super) fn push(
        &mut self,
        id: SensorId,
        reading: Placed,
        mut counted: impl FnMut(Placed, Interval),
    ) {
        let sensor = match self.latest {
            Some((latest, sensor)) if latest == id => sensor,
            _ => self.turn_to(id),
        };
        let Some(worn) = self.sensors.get_mut(sensor) else {
            self.begin(id, reading.seconds);
            return self.enqueue(sensor, reading, &mut counted);
        };
        if worn.pace.last() == reading.seconds {
            return;
        }
        let verdict = worn.pace.next(reading.seconds);
        if let Verdict::All(interval) = verdict
            && let Some(before) = self.exchange_only(sensor, interval, reading)
        {
            return counted(before, interval);
        }
        match verdict {
            Verdict::Wait => {}
            Verdict::All(interval) => self.tell(sensor, 0, interval),
            Verdict::AllButLast(interval) => self.tell(sensor, 1, interval),
        }
        self.enqueue(sensor, reading, &mut counted);
    }

    /// The place of the sensor that speaks now; after the last if it is new.
    #[cold]
    fn turn_to(&mut self, id: SensorId) -> usize {
        let sensor = self.index.get(&id).copied().unwrap_or(self.sensors.len());
        self.latest = Some((id, sensor));
        sensor
    }

    #[cold]
    fn begin(&mut self, id: SensorId, first: i64) {
        let start = self.starts.get(&id).copied().unwrap_or(first);
        self.index.insert(id, self.sensors.len());
        let pace = Pace::starting_at(first);
        self.sensors.push(Worn { rank: (start, id), pace, queued: 0, untold: 0 });
    }

    /// Lets a reading wait, and through what no longer has to.
    #[inline(never)]
    fn enqueue(
        &mut self,
        sensor: usize,
        reading: Placed,
        counted: &mut impl FnMut(Placed, Interval),
    ) {
        if let Some(worn) = self.sensors.get_mut(sensor) {
            worn.untold += 1;
            worn.queued += 1;
        }
        self.queue.push_back(Waiting { reading, sensor, interval: None });
        // A sensor started later may still speak at this very second.
        self.release(reading.seconds, false, counted);
        if self.queue.len() > MOST_WAITING {
            if let Some(sensor) = self.queue.iter().find(|w| w.interval.is_none()).map(|w| w.sensor)
            {
                self.settle(sensor);
            }
            self.release(reading.seconds, true, counted);
        }
    }

    /// The usual case, without the detours of `tell` and `release`: only one sensor is recent, and
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
        let [recent] = self.recent.as_mut_slice() else { return None };
        let only = self.queue.len() == 1 && recent.rank == rank;
        let waiting = self
            .queue
            .front_mut()
            .filter(|w| only && w.sensor == sensor && w.interval.is_none())?;
        let before = std::mem::replace(&mut waiting.reading, reading);
        recent.at = before.seconds;
        recent.until = before.seconds.saturating_add(interval.seconds());
        Some(before)
    }

    /// Lets the last ones through.
    pub(super) fn finish(mut self, mut counted: impl FnMut(Placed, Interval)) {
        for sensor in 0..self.sensors.len() {
            self.settle(sensor);
        }
        self.release(i64::MAX, true, &mut counted);
    }

    /// All of a sensor's waiting readings take the interval it seems to have.
    fn settle(&mut self, sensor: usize) {
        if let Some(interval) = self.sensors.get(sensor).map(|worn| worn.pace.settled()) {
            self.tell(sensor, 0, interval);
        }
    }

    /// Gives the sensor's waiting readings their interval, except the last `but`.
    #[inline(never)]
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
    /// interval or for a newer sensor. If `as_it_seems`, no newer one comes back that has not yet.
    fn release(&mut self, now: i64, as_it_seems: bool, counted: &mut impl FnMut(Placed, Interval)) {
        while let Some(instant) =
            self.queue.front().map(|first| first.reading.seconds).filter(|instant| *instant < now)
        {
            let together = self.queue.iter().take_while(|w| w.reading.seconds == instant).count();
            if !self.all_told(together, now) {
                return;
            }
            self.hear(instant, together);
            let Some(worn) = self.newest_worn(instant, if as_it_seems { i64::MAX } else { now })
            else {
                return;
            };
            for waiting in (0..together).map_while(|_| self.queue.pop_front()) {
                let Some(sensor) = self.sensors.get_mut(waiting.sensor) else { continue };
                sensor.queued = sensor.queued.saturating_sub(1);
                if let (true, Some(interval)) = (sensor.rank == worn, waiting.interval) {
                    counted(waiting.reading, interval);
                }
            }
        }
    }

    /// Notes who speaks at an instant, by the first readings of the queue, and forgets who has not
    /// for a day.
    fn hear(&mut self, instant: i64, together: usize) {
        self.recent.retain(|one| one.until > instant || instant - one.at <= WORN_ON);
        for waiting in self.queue.iter().take(together) {
            let (Some(worn), Some(interval)) = (self.sensors.get(waiting.sensor), waiting.interval)
            else {
                continue;
            };
            let (at, until) = (instant, instant.saturating_add(interval.seconds()));
            if let Some(known) = self.recent.iter_mut().find(|one| one.rank == worn.rank) {
                (known.at, known.until) = (at, until);
            } else {
                let (sensor, rank) = (waiting.sensor, worn.rank);
                self.recent.push(Spoken { sensor, rank, at, until });
            }
        }
    }

    /// The sensor started last of those worn at an instant. `None` if that depends on whether one
    /// that fell silent speaks again within its day, which is not known at `now`.
    fn newest_worn(&self, instant: i64, now: i64) -> Option<Rank> {
        let covers = |one: &&Spoken| one.until > instant;
        let mut newest = self.recent.iter().filter(covers).map(|one| one.rank).max()?;
        for silent in self.recent.iter().filter(|one| one.until <= instant) {
            if silent.rank <= newest {
                continue;
            }
            let queued = self.sensors.get(silent.sensor).is_some_and(|worn| worn.queued > 0);
            let next = self.queue.iter().find(|w| queued && w.sensor == silent.sensor);
            // Until it speaks again its silence is as long as what was seen of the time after it.
            let silence = next.map_or(now, |next| next.reading.seconds).saturating_sub(silent.at);
            if silence <= WORN_ON {
                next?;
                newest = silent.rank;
            }
        }
        Some(newest)
    }

    /// Whether the `first` waiting readings have an interval. A sensor silent for so long that its
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
    fn an_older_sensor_does_not_fill_the_gaps_of_a_newer_one_that_comes_back_within_a_day() {
        let newer_after = |silence: i64| {
            // Sensor 1 speaks every five minutes for three days; sensor 2, begun at noon, is
            // silent for a while, and ends a day later.
            let mut readings: Vec<_> = (0..864).map(|n| (1, 300 * n)).collect();
            let (fell_silent, back) = (43_200 + 3_600, 43_200 + 3_600 + silence);
            readings.extend((0..12).map(|n| (2, 43_200 + 300 * n)));
            readings.extend((0..12).map(|n| (2, back + 300 * n)));
            readings.sort_by_key(|(sensor, seconds)| (*seconds, *sensor));
            let (counted, _) = counted(&readings);
            let within = |(seconds, _): &&(i64, Interval)| (fell_silent..back).contains(seconds);
            (counted.iter().filter(within).count(), counted.len())
        };
        // 864 readings of sensor 1, less those beside sensor 2, and 24 of sensor 2.
        assert_eq!(newer_after(5_400), (0, 864 - 24 - 18 + 24));
        assert_eq!(newer_after(86_100), (0, 864 - 24 - 287 + 24));
        assert_eq!(newer_after(86_400), (288, 864));
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
