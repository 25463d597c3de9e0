//! A sensor's readings over a stretch of time, with their record keys: what an import matches the
//! rows of a file with.

use super::record::StoredRecord;
use super::records::Series;
use super::{ReadingKey, Store, StoreError, key, packing, readings, sensors};
use crate::glucose::{Reading, SensorKey, Window};
use chrono::DateTime;
use rusqlite::params;

impl Store {
    /// A sensor's stored readings within a window, in order of time; none of an unknown sensor.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn readings_within(
        &self,
        sensor: &SensorKey,
        window: Window,
    ) -> Result<Vec<Reading>, StoreError> {
        const UNREADABLE: StoreError = StoreError::Row("reading");
        let range = sensors::id(&self.db, sensor)?.and_then(|id| key::range(id, window));
        let Some((first, last)) = range else { return Ok(Vec::new()) };
        let mut statement = self.db.prepare_cached(&format!(
            "{} WHERE key BETWEEN ? AND ? ORDER BY key",
            readings::SELECT
        ))?;
        let series = Series::read(&self.db)?;
        let mut rows = statement.query(params![first, last])?;
        let mut readings = Vec::new();
        while let Some(row) = rows.next()? {
            let key: ReadingKey = row.get(0)?;
            let sample = packing::sample(key, row.get(1)?)?;
            let time = DateTime::from_timestamp(sample.seconds, 0).ok_or(UNREADABLE)?;
            let reading =
                Reading::new(sensor.clone(), time, Some(sample.offset), sample.measurement);
            readings.push(match row.get::<_, Option<StoredRecord<'_>>>(2)? {
                Some(record) => reading.with_record_key(series.unpack(key, &record)?),
                None => reading,
            });
        }
        Ok(readings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{BASE, Scratch, reading, value, with_record};

    #[test]
    fn a_stretch_has_the_readings_as_they_came_with_their_record_keys() {
        let mut scratch = Scratch::new();
        scratch.register("s");
        scratch.register("other");
        let keyed = with_record(reading("s", 300, value(101)), "r1");
        scratch.take(&[
            reading("s", 0, value(100)),
            keyed.clone(),
            reading("s", 600, value(102)),
            reading("other", 300, value(103)),
        ]);
        let within = |from, to| {
            let window = Window::from_unix(BASE + from, BASE + to).unwrap();
            scratch.store.readings_within(keyed.sensor(), window).unwrap()
        };
        let [found] = within(1, 600).try_into().unwrap_or_else(|_| panic!("one reading"));
        assert_eq!((found.seconds(), found.measurement()), (BASE + 300, value(101)));
        assert_eq!(found.record_key(), keyed.record_key());
        assert_eq!(within(0, 601).len(), 3);
        let unknown = SensorKey::new("unknown").unwrap();
        let all = Window::from_unix(0, i64::MAX).unwrap();
        assert!(scratch.store.readings_within(&unknown, all).unwrap().is_empty());
    }
}
