//! Where a maker's record is stored.

use super::{Store, StoreError, readings, sensors};
use crate::glucose::{RecordKey, SensorKey};

impl Store {
    /// The unix second under which a sensor's record of this key is stored, if it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn recorded_at(
        &self,
        sensor: &SensorKey,
        record: &RecordKey,
    ) -> Result<Option<i64>, StoreError> {
        let Some(sensor) = sensors::id(&self.db, sensor)? else { return Ok(None) };
        Ok(readings::by_record(&self.db, sensor, record)?.map(|stored| stored.key.seconds()))
    }
}
