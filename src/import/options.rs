//! What an import has to know besides the file.

use super::ClockAnswer;
use crate::glucose::{Reading, Scale, Sensor, SensorKey, ZoneOffsets};
use crate::sorting::sort;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::fmt;

/// The stored readings of a sensor from one unix second to another, both included.
pub type StoredReadings<'a> = &'a dyn Fn(&SensorKey, i64, i64) -> Vec<Reading>;

/// What an import has to know besides the file.
#[derive(Clone)]
pub struct ImportOptions<'a> {
    pub(super) now: DateTime<Utc>,
    pub(super) zone: Option<ZoneOffsets>,
    known: HashMap<SensorKey, Sensor>,
    pub(super) stored: Option<StoredReadings<'a>>,
    scale: Option<Scale>,
    pub(super) answers: Vec<ClockAnswer>,
    pub(super) replace: bool,
}

impl<'a> ImportOptions<'a> {
    /// An import at `now`. Readings more than a day later are refused.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            now,
            zone: None,
            known: HashMap::new(),
            stored: None,
            scale: None,
            answers: Vec::new(),
            replace: false,
        }
    }

    /// With the time zone the person lives in, over the whole stretch of the file: a file with
    /// local times needs it.
    #[must_use]
    pub fn with_zone(mut self, zone: ZoneOffsets) -> Self {
        self.zone = Some(zone);
        self
    }

    /// With the sensors that are stored already.
    #[must_use]
    pub fn with_known(mut self, sensors: impl IntoIterator<Item = Sensor>) -> Self {
        self.known = sensors.into_iter().map(|sensor| (sensor.key().clone(), sensor)).collect();
        self
    }

    /// With a look into the store, for files with local times: their rows are placed together with
    /// the stored ones, and a row that is stored by the clock of another zone is refused.
    #[must_use]
    pub const fn with_stored(mut self, stored: StoredReadings<'a>) -> Self {
        self.stored = Some(stored);
        self
    }

    /// With the lowest and highest value the device shows, for sensors of no known model: a file
    /// in which one says "Low" or "High" needs it.
    #[must_use]
    pub const fn with_scale(mut self, scale: Scale) -> Self {
        self.scale = Some(scale);
        self
    }

    /// With what the host says of the device's clock. Of several answers about one transmitter the
    /// last counts.
    #[must_use]
    pub fn with_clock_answers(mut self, answers: impl IntoIterator<Item = ClockAnswer>) -> Self {
        self.answers = answers.into_iter().collect();
        self
    }

    /// Whether rows that are stored by the clock of another zone move to where this file and zone
    /// put them, instead of being refused.
    #[must_use]
    pub const fn replacing(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    pub(super) fn known(&self, key: &SensorKey) -> Option<&Sensor> {
        self.known.get(key)
    }

    /// The keys of the sensors that are stored, in order.
    pub(super) fn known_keys(&self) -> impl Iterator<Item = &SensorKey> {
        let mut keys: Vec<_> = self.known.keys().collect();
        sort(&mut keys);
        keys.into_iter()
    }

    /// The sensor as stored, or as `found` in the file.
    pub(super) fn known_or(&self, found: Sensor) -> Sensor {
        self.known(found.key()).cloned().unwrap_or(found)
    }

    pub(super) const fn scale(&self) -> Option<Scale> {
        self.scale
    }
}

/// Says no identifier: a sensor's key may hold its serial number.
impl fmt::Debug for ImportOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportOptions")
            .field("now", &self.now)
            .field("zone", &self.zone.as_ref().map(ZoneOffsets::name))
            .field("known", &self.known.len())
            .field("answers", &self.answers.len())
            .field("replace", &self.replace)
            .finish_non_exhaustive()
    }
}
