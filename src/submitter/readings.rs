//! Readings: taking them in, from a device or a file, and what they come to.

use super::{Submitter, content, import};
use crate::error::Error;
use crate::glucose::{DateRange, GlucoseUnit, Reading, Sensor, SensorKey, ZoneOffsets};
use crate::statistics::Summary;
use crate::store::{IngestReport, Store};
use crate::submitter::{ImportChoices, ImportReport};
use chrono::{DateTime, Utc};

impl Submitter {
    /// Makes a sensor known. Readings of unknown sensors are refused.
    ///
    /// A sensor is told apart by its key alone: give each device its own. Registering a key again
    /// is no error; the sensor has the new name, serial number and scale from then on, and keeps
    /// its readings. What is sent later names it so. A device of a known model that is given no
    /// scale has its model's; readings off it are refused.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, _clinic| {
    /// use cgm_submitter::{Device, Sensor, SensorKey};
    ///
    /// let device = Device::new("Acme One", Some("4711"))?;
    /// cgm.register_sensor(Sensor::new(SensorKey::new("acme:4711")?, device)).await?;
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the database fails.
    pub async fn register_sensor(&self, sensor: Sensor) -> Result<(), Error> {
        let sensor = sensor.with_scale_of_model();
        self.run("register-sensor", |inner| async move {
            let parts = inner.parts().await?;
            parts.store.call(move |store| store.register_sensor(&sensor).map(drop)).await?;
            Ok(())
        })
        .await
    }

    /// Stores readings. A reading that is there already is not stored twice; a bad one is reported
    /// and the others go in.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # clinic.stock(&cgm).await;
    /// use cgm_submitter::{GlucoseUnit, GlucoseValue, Measurement, Reading, SensorKey};
    ///
    /// let value = Measurement::Value(GlucoseValue::parse("6.7", GlucoseUnit::MmolPerL)?);
    /// let time = "2024-05-02T08:15:00Z".parse()?;
    /// let reading = Reading::new(SensorKey::new("acme:4711")?, time, None, value);
    /// let report = cgm.ingest(vec![reading.clone()]).await?;
    /// assert_eq!(report.stored, 1);
    /// let report = cgm.ingest(vec![reading]).await?;
    /// assert_eq!(report.already_there, 1);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the database fails; then nothing of this call was stored.
    pub async fn ingest(&self, readings: Vec<Reading>) -> Result<IngestReport, Error> {
        self.ingest_beside(readings, 0).await
    }

    /// The same beside so many that the host gave and that are none: the log counts them too.
    pub(crate) async fn ingest_beside(
        &self,
        readings: Vec<Reading>,
        refused: usize,
    ) -> Result<IngestReport, Error> {
        self.run("ingest", |inner| async move {
            let (zone, now) = (inner.zone().await?, inner.now());
            let parts = inner.parts().await?;
            let report = parts.store.call(move |store| store.ingest(&readings, &zone, now)).await?;
            inner.environment.log.info(
                "ingested",
                &[
                    ("stored", report.stored.into()),
                    ("already-there", report.already_there.into()),
                    ("replaced", report.replaced.into()),
                    ("corrected", report.corrected.into()),
                    ("rejected", (report.rejected.len() + refused).into()),
                ],
            );
            Ok(report)
        })
        .await
    }

    /// When a sensor's latest stored reading was measured: the place to read on from.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # clinic.stock(&cgm).await;
    /// use cgm_submitter::SensorKey;
    ///
    /// let latest = cgm.latest_reading(SensorKey::new("acme:4711")?).await?;
    /// assert_eq!(latest, Some("2024-05-01T23:55:00Z".parse()?));
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the database fails.
    pub async fn latest_reading(&self, sensor: SensorKey) -> Result<Option<DateTime<Utc>>, Error> {
        self.run("latest-reading", |inner| async move {
            let parts = inner.parts().await?;
            let seconds = parts.store.read(move |store| store.latest(&sensor)).await?;
            Ok(seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)))
        })
        .await
    }

    /// The local dates of the stored readings; `None` if there are none.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # clinic.stock(&cgm).await;
    /// assert_eq!(cgm.dates().await?, Some("2024-05-01..2024-05-01".parse()?));
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the database fails.
    pub async fn dates(&self) -> Result<Option<DateRange>, Error> {
        self.run("dates", |inner| async move {
            let zone = inner.zone().await?;
            let parts = inner.parts().await?;
            let extent = parts.store.read(Store::extent).await?;
            Ok(extent.and_then(|(first, last)| zone.dates_of([first, last])))
        })
        .await
    }

    /// Stores the readings of a file: its format is recognised from its content. A file whose times
    /// have no UTC offset needs the person's time zone; [`ImportChoices`] says more.
    ///
    /// The same file again, a shorter or a longer one of the same device change nothing but what
    /// they know better: readings that move are corrected at receivers that have them.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, _clinic| {
    /// let file = "time,value,unit\n2024-05-01T08:15:00+02:00,6.7,mmol/L\n";
    /// let report = cgm.import(file.into(), None).await?;
    /// assert_eq!(report.stored, 1);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the file is of no known format, or needs a zone or a scale, or the database
    /// fails.
    pub async fn import(
        &self,
        bytes: Vec<u8>,
        choices: impl Into<ImportChoices>,
    ) -> Result<ImportReport, Error> {
        let choices = choices.into();
        self.run("import", |inner| async move {
            let (local, now) = (inner.zone().await?, inner.now());
            let parts = inner.parts().await?;
            let import =
                move |store: &mut Store| import::import_into(store, &bytes, choices, &local, now);
            let report = parts.store.call(import).await?;
            inner.environment.log.info(
                "imported",
                &[
                    ("stored", report.stored.into()),
                    ("already-there", report.already_there.into()),
                    ("replaced", report.replaced.into()),
                    ("corrected", report.corrected.into()),
                    ("skipped", report.skipped.into()),
                    ("rejected", report.rejected.len().into()),
                    ("clock-notes", report.clock_notes.len().into()),
                ],
            );
            Ok(report)
        })
        .await
    }

    /// The unit the person's device shows: the one of the latest reading, mg/dL if there is
    /// none.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # clinic.stock(&cgm).await;
    /// use cgm_submitter::GlucoseUnit;
    ///
    /// assert_eq!(cgm.own_unit().await?, GlucoseUnit::MmolPerL);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the database fails.
    pub async fn own_unit(&self) -> Result<GlucoseUnit, Error> {
        self.run("own-unit", |inner| async move {
            let parts = inner.parts().await?;
            parts.store.read(content::own_unit).await
        })
        .await
    }

    /// The person's own time zone, over all time a reading can have: for a file whose clock it is.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, _clinic| {
    /// let zone = cgm.local_zone().await?;
    /// let noon = 1_714_564_800;
    /// println!("{}", zone.date_at(noon));
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the host cannot tell.
    pub async fn local_zone(&self) -> Result<ZoneOffsets, Error> {
        self.run("local-zone", |inner| async move { inner.zone().await }).await
    }

    /// The consensus statistics over local dates.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # clinic.stock(&cgm).await;
    /// let summary = cgm.summary("2024-05-01..2024-05-01".parse()?).await?;
    /// assert_eq!(summary.readings(), 288);
    /// println!("{:.0} % of the time in range", summary.ranges().in_range_percent());
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if there are fewer than two readings, or the database fails.
    pub async fn summary(&self, dates: DateRange) -> Result<Summary, Error> {
        self.run("summary", |inner| async move {
            let zone = inner.zone().await?;
            let window = dates.window(&zone)?;
            let today = dates.day_under_way(&zone, inner.now().timestamp())?;
            let parts = inner.parts().await?;
            parts
                .store
                .read(move |store| crate::delivery::summarise(store, dates, window, today))
                .await
        })
        .await
    }
}
