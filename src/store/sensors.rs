//! The sensors readings are accepted from, with the first and last instant stored of each.

use super::{ReadingKey, Store, StoreError, key};
use crate::glucose::{
    Device, GlucoseUnit, GlucoseValue, Scale, Sensor, SensorId, SensorKey, Window,
};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

/// The sensors' table. `first` and `last` are unix seconds of stored readings, kept so that a query
/// of a short window need not ask every sensor of ten years.
pub(super) const TABLES: &str = "
    CREATE TABLE sensors (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        serial TEXT,
        lowest TEXT,
        highest TEXT,
        zone TEXT,
        first INTEGER,
        last INTEGER
    ) STRICT;
";

/// A sensor as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSensor {
    /// Its number in this database.
    pub id: SensorId,
    /// What it is.
    pub sensor: Sensor,
    /// Unix second of its earliest stored reading.
    pub first: Option<i64>,
    /// Unix second of its latest stored reading.
    pub last: Option<i64>,
}

const UNREADABLE: StoreError = StoreError::Row("sensor");

fn value_text(value: GlucoseValue) -> String {
    format!("{value} {}", value.unit())
}

fn value(text: &str) -> Result<GlucoseValue, StoreError> {
    let (digits, unit) = text.split_once(' ').ok_or(UNREADABLE)?;
    let unit: GlucoseUnit = unit.parse().map_err(|_| UNREADABLE)?;
    GlucoseValue::parse(digits, unit).map_err(|_| UNREADABLE)
}

fn scale(row: &Row<'_>) -> Result<Option<Scale>, StoreError> {
    let limits: (Option<String>, Option<String>) = (row.get("lowest")?, row.get("highest")?);
    let (Some(lowest), Some(highest)) = limits else { return Ok(None) };
    Scale::new(value(&lowest)?, value(&highest)?).map(Some).map_err(|_| UNREADABLE)
}

fn stored(row: &Row<'_>) -> Result<StoredSensor, StoreError> {
    let serial: Option<String> = row.get("serial")?;
    let device =
        Device::new(row.get::<_, String>("name")?, serial.as_deref()).map_err(|_| UNREADABLE)?;
    let key = SensorKey::new(row.get::<_, String>("key")?).map_err(|_| UNREADABLE)?;
    let mut sensor = Sensor::new(key, device);
    if let Some(scale) = scale(row)? {
        sensor = sensor.with_scale(scale);
    }
    if let Some(zone) = row.get::<_, Option<String>>("zone")? {
        sensor = sensor.with_zone(zone);
    }
    Ok(StoredSensor {
        id: SensorId(row.get("id")?),
        sensor,
        first: row.get("first")?,
        last: row.get("last")?,
    })
}

fn by_key(db: &Connection, key: &SensorKey) -> Result<Option<StoredSensor>, StoreError> {
    let mut statement = db.prepare_cached("SELECT * FROM sensors WHERE key = ?")?;
    let mut rows = statement.query([key.as_str()])?;
    rows.next()?.map(stored).transpose()
}

/// A sensor's number.
pub(super) fn id(db: &Connection, key: &SensorKey) -> Result<Option<SensorId>, StoreError> {
    let mut statement = db.prepare_cached("SELECT id FROM sensors WHERE key = ?")?;
    Ok(statement.query_row([key.as_str()], |row| row.get(0).map(SensorId)).optional()?)
}

/// What taking readings in needs of a sensor.
pub(super) struct Known {
    /// Its number.
    pub(super) id: SensorId,
    /// Unix second of its latest stored reading.
    pub(super) last: Option<i64>,
    /// What its device shows.
    pub(super) scale: Option<Scale>,
}

/// What is known of a sensor.
pub(super) fn known(db: &Connection, key: &SensorKey) -> Result<Option<Known>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT id, last, lowest, highest FROM sensors WHERE key = ?")?;
    let mut rows = statement.query([key.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Known { id: SensorId(row.get("id")?), last: row.get("last")?, scale: scale(row)? }))
}

/// A sensor's stretch of stored readings within a window: unix seconds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The sensor.
    pub(super) sensor: SensorId,
    /// No stored reading in the window is earlier.
    pub(super) first: i64,
    /// None is later.
    pub(super) last: i64,
}

/// The sensors that may have readings in a window, in order of their numbers.
pub(super) fn spans(db: &Connection, window: Window) -> Result<Vec<Span>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id, first, last FROM sensors WHERE first < ?2 AND last >= ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([window.start(), window.end()])?;
    let mut spans = Vec::new();
    while let Some(row) = rows.next()? {
        let (first, last): (i64, i64) = (row.get(1)?, row.get(2)?);
        let (first, last) = (first.max(window.start()), last.min(window.end() - 1));
        if first <= last {
            spans.push(Span { sensor: SensorId(row.get(0)?), first, last });
        }
    }
    Ok(spans)
}

/// Sets a sensor's first and last instant by what is stored.
pub(super) fn refresh_extent(tx: &Transaction<'_>, sensor: SensorId) -> Result<(), StoreError> {
    let (from, to) = key::whole(sensor);
    let edge = |sql: &str| -> Result<Option<i64>, StoreError> {
        let key: Option<ReadingKey> =
            tx.prepare_cached(sql)?.query_row([from, to], |row| row.get(0)).optional()?;
        Ok(key.map(ReadingKey::seconds))
    };
    let first = edge("SELECT key FROM readings WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1")?;
    let last =
        edge("SELECT key FROM readings WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1")?;
    tx.prepare_cached(
        "UPDATE sensors SET first = ?2, last = ?3 WHERE id = ?1
         AND (first IS NOT ?2 OR last IS NOT ?3)",
    )?
    .execute(params![sensor.0, first, last])?;
    Ok(())
}

/// Makes a sensor known within a transaction.
pub(super) fn register(tx: &Transaction<'_>, sensor: &Sensor) -> Result<SensorId, StoreError> {
    let known = by_key(tx, sensor.key())?;
    let mut wanted = sensor.clone();
    let zone = known.as_ref().and_then(|known| known.sensor.zone());
    if let (None, Some(zone)) = (sensor.zone(), zone) {
        wanted = wanted.with_zone(zone);
    }
    if let Some(known) = known.as_ref().filter(|k| k.sensor == wanted) {
        return Ok(known.id);
    }
    let id = tx.query_row(
        "INSERT INTO sensors (key, name, serial, lowest, highest, zone) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (key) DO UPDATE SET name = excluded.name, serial = excluded.serial,
         lowest = excluded.lowest,
         highest = excluded.highest, zone = excluded.zone
         RETURNING id",
        params![
            sensor.key().as_str(),
            sensor.device().name(),
            sensor.device().serial(),
            sensor.scale().map(|scale| value_text(scale.lowest())),
            sensor.scale().map(|scale| value_text(scale.highest())),
            wanted.zone(),
        ],
        |row| row.get(0).map(SensorId),
    )?;
    Ok(id)
}

impl Store {
    /// Makes a sensor known, or brings its description up to date. A time zone stays until
    /// another is given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn register_sensor(&mut self, sensor: &Sensor) -> Result<SensorId, StoreError> {
        let tx = self.write()?;
        let id = register(&tx, sensor)?;
        tx.commit()?;
        Ok(id)
    }

    /// Every sensor, in order of registration.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sensors(&self) -> Result<Vec<StoredSensor>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT * FROM sensors ORDER BY id")?;
        let mut rows = statement.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(stored(row)?);
        }
        Ok(all)
    }

    /// The sensor known by a key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sensor(&self, key: &SensorKey) -> Result<Option<StoredSensor>, StoreError> {
        by_key(&self.db, key)
    }

    /// Unix second of a sensor's latest stored reading; none where the sensor is unknown or has
    /// none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn latest(&self, key: &SensorKey) -> Result<Option<i64>, StoreError> {
        Ok(by_key(&self.db, key)?.and_then(|sensor| sensor.last))
    }

    /// Unix seconds of the earliest and the latest stored reading of all sensors.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn extent(&self) -> Result<Option<(i64, i64)>, StoreError> {
        let edges: (Option<i64>, Option<i64>) =
            self.db.query_row("SELECT min(first), max(last) FROM sensors", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        Ok(edges.0.zip(edges.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Scratch;

    fn sensor(name: &str) -> Sensor {
        Sensor::new(
            SensorKey::new("dexcom:82AJ0D").unwrap(),
            Device::new(name, Some("82AJ0D")).unwrap(),
        )
    }

    fn scale(sensor: Sensor, lowest: &str, highest: &str) -> Sensor {
        let value = |text| GlucoseValue::parse(text, GlucoseUnit::MmolPerL).unwrap();
        sensor.with_scale(Scale::new(value(lowest), value(highest)).unwrap())
    }

    #[test]
    fn registering_again_keeps_the_number_and_updates_the_description() {
        let mut scratch = Scratch::new();
        let first = scratch.store.register_sensor(&sensor("G6")).unwrap();
        let better = scale(sensor("Dexcom G6"), "2.2", "22.2");
        assert_eq!(scratch.store.register_sensor(&better).unwrap(), first);
        let stored = scratch.store.sensors().unwrap();
        assert_eq!(stored, [StoredSensor { id: first, sensor: better, first: None, last: None }]);
        assert_eq!(scratch.store.sensor(sensor("G6").key()).unwrap().as_ref(), stored.first());
    }

    #[test]
    fn a_zone_stays_until_another_is_given() {
        let mut scratch = Scratch::new();
        let zones = [Some("Europe/Bucharest"), None, Some("Europe/Berlin")];
        let stored = zones.map(|zone| {
            let sensor = sensor("Dexcom G6");
            let sensor = zone.map_or(sensor.clone(), |zone| sensor.with_zone(zone));
            scratch.store.register_sensor(&sensor).unwrap();
            let stored = scratch.store.sensor(sensor.key()).unwrap().unwrap();
            stored.sensor.zone().unwrap().to_owned()
        });
        assert_eq!(stored, ["Europe/Bucharest", "Europe/Bucharest", "Europe/Berlin"]);
    }
}
