//! A database in a folder of its own, and short ways to fill it, for this module's tests.

use super::{ConnectionDetails, ConnectionId, ConnectionState, IngestReport, Store};
use crate::glucose::{
    Device, EarlierReading, GlucoseUnit, GlucoseValue, Measurement, Reading, RecordKey, Sensor,
    SensorId, SensorKey, UtcOffset, ZoneOffsets,
};
use chrono::{DateTime, Utc};
use std::path::PathBuf;

/// The unix second tests count from: 2024-05-01T00:00:00Z.
pub(super) const BASE: i64 = 1_714_521_600;

pub(super) struct Scratch {
    folder: tempfile::TempDir,
    pub(super) store: Store,
}

/// A whole value in mg/dL.
pub(super) fn value(mg_dl: u32) -> Measurement {
    Measurement::Value(GlucoseValue::new(mg_dl, 0, GlucoseUnit::MgPerDl).unwrap())
}

/// A reading `seconds` after [`BASE`], at UTC.
pub(super) fn reading(sensor: &str, seconds: i64, measurement: Measurement) -> Reading {
    let time = DateTime::<Utc>::from_timestamp(BASE + seconds, 0).unwrap();
    Reading::new(SensorKey::new(sensor).unwrap(), time, Some(UtcOffset::UTC), measurement)
}

pub(super) fn with_record(reading: Reading, record: &str) -> Reading {
    reading.with_record_key(RecordKey::new(record).unwrap())
}

/// An earlier version that stood `seconds` after [`BASE`].
pub(super) fn earlier(seconds: i64, measurement: Measurement) -> EarlierReading {
    EarlierReading { seconds: BASE + seconds, measurement }
}

impl Scratch {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("cgm.db")).unwrap();
        Self { folder, store }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("cgm.db")
    }

    /// Closes the store; the folder lives as long as what is returned.
    pub(super) fn close(self) -> (tempfile::TempDir, PathBuf) {
        let path = self.path();
        drop(self.store);
        (self.folder, path)
    }

    pub(super) fn reopen(&mut self) {
        self.store = Store::open(&self.path()).unwrap();
    }

    #[expect(clippy::unused_self, reason = "reads as what it is beside `ingest`")]
    pub(super) fn at(&self, seconds: i64) -> i64 {
        BASE + seconds
    }

    pub(super) fn register(&mut self, sensor: &str) -> SensorId {
        let device = Device::new("a sensor", None).unwrap();
        self.store.register_sensor(&Sensor::new(SensorKey::new(sensor).unwrap(), device)).unwrap()
    }

    #[expect(clippy::unused_self, reason = "reads as what it is beside `take`")]
    pub(super) fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(BASE + 315_360_000, 0).unwrap()
    }

    /// Ingests a batch, ten years after [`BASE`].
    pub(super) fn take(&mut self, readings: &[Reading]) -> IngestReport {
        let now = self.now();
        self.store
            .ingest(readings, &ZoneOffsets::fixed(UtcOffset::from_minutes(120).unwrap()), now)
            .unwrap()
    }

    /// Registers a sensor and ingests readings of it.
    pub(super) fn ingest(
        &mut self,
        sensor: &str,
        readings: impl Iterator<Item = (i64, Measurement)>,
    ) -> SensorId {
        let id = self.register(sensor);
        let readings: Vec<Reading> =
            readings.map(|(seconds, what)| reading(sensor, seconds, what)).collect();
        self.take(&readings);
        id
    }

    pub(super) fn connect(&mut self, base: &str) -> ConnectionId {
        self.store
            .add_connection(base, "p1", ConnectionState::Active, &ConnectionDetails::default())
            .unwrap()
    }
}
