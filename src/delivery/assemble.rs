//! The next batch of a submission, from what the ledger says is lacking.
//!
//! Readings are read in chunks, written as JSON and compressed at once, so memory does not grow
//! with the window.

use crate::error::Error;
use crate::fhir::{
    self, AssembledBundle, BundleError, BundleLimits, BundleWriter, DeviceEntry, DeviceReference,
    Dialect, EntryKind, Fit, PatientId, ReadingEntry, Replaced, SubjectReference, SummaryEntry,
    SummaryFacts,
};
use crate::glucose::{DateRange, SensorId, Window};
use crate::statistics::{Sufficiency, Summary, SummaryBuilder, SummaryError};
use crate::store::{
    BatchId, BatchRecord, ConnectionRecord, Item, Listed, NewBatch, ReadingKey, SentResource,
    SentStatus, Store, StoredSensor, SubmissionId, SubmissionRecord, VersionedReading,
};
use crate::submission::{Plan, Position};
use chrono::{DateTime, Utc};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::collections::HashMap;
use std::io::{Read, Write};
use url::Url;

/// A batch before it is compressed and frozen.
pub struct Body {
    /// The bundle as JSON.
    pub json: Vec<u8>,
    /// What its entries are, in order.
    pub manifest: Vec<Listed>,
    /// Where the submission stands once it is settled.
    pub position_after: Position,
}

/// Hides the readings.
impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("position_after", &self.position_after).finish_non_exhaustive()
    }
}

/// A request to send.
pub struct Outgoing {
    /// The batch it carries.
    pub batch: BatchId,
    /// The submission it is part of.
    pub submission: SubmissionId,
    /// Where it goes.
    pub url: String,
    /// The body, with gzip where `gzip` says so.
    pub body: Vec<u8>,
    /// Whether the body is compressed.
    pub gzip: bool,
    /// Entries in it.
    pub entries: usize,
}

/// Hides the body.
impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("batch", &self.batch)
            .field("submission", &self.submission)
            .field("gzip", &self.gzip)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

/// What a plan would send.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// The plan.
    pub plan: Plan,
    /// Readings stored in its window.
    pub readings: u64,
    /// Those the receiver does not have yet, where readings are wanted.
    pub readings_to_send: u64,
    /// Entries in all: readings, devices, the summary and its members.
    pub entries_to_send: u64,
    /// The statistics over its dates; none under two readings.
    pub summary: Option<Summary>,
}

/// The consensus statistics of the stored readings over some dates.
///
/// # Errors
/// [`Error`] under two readings, or where the store fails.
pub fn summarise(store: &Store, dates: DateRange, window: Window) -> Result<Summary, Error> {
    let starts = store.sensors()?.into_iter().filter_map(|sensor| Some((sensor.id, sensor.first?)));
    let mut builder = SummaryBuilder::new(dates, window, starts);
    store.scan(window, |sample| builder.push(sample))?;
    Ok(builder.finish()?)
}

/// What a plan would send now.
///
/// # Errors
/// [`Error`] where the store fails.
pub fn preview(
    store: &Store,
    connection: &ConnectionRecord,
    plan: &Plan,
) -> Result<Preview, Error> {
    let readings = store.count(plan.window)?;
    let code = plan.wanted.unit;
    let readings_to_send = if plan.wanted.readings {
        store.unsent_count(connection.id, code, plan.window)?
    } else {
        0
    };
    let summary = match summarise(store, plan.dates, plan.window) {
        Ok(summary) => Some(summary),
        Err(Error::Summary(SummaryError::TooFewReadings { .. })) => None,
        Err(error) => return Err(error),
    };
    let assembly = Assembly::new(store, connection, plan)?;
    let devices = if plan.wanted.devices { assembly.unknown_devices()?.len() } else { 0 };
    let summaries = if plan.wanted.summary {
        assembly.summary()?.map_or(0, |batch| batch.manifest.len())
    } else {
        0
    };
    let entries_to_send = readings_to_send + (devices + summaries) as u64;
    Ok(Preview { plan: *plan, readings, readings_to_send, entries_to_send, summary })
}

/// What a submission sends next, as JSON; none where nothing is left.
///
/// # Errors
/// [`Error`] where the store or the assembly fails.
pub fn next_body(
    store: &Store,
    connection: &ConnectionRecord,
    submission: &SubmissionRecord,
    now: DateTime<Utc>,
) -> Result<Option<Body>, Error> {
    let plan = &submission.plan;
    let progress = &submission.progress;
    let unit_limit = if progress.probe { Some(1) } else { progress.unit_limit };
    let conditional = conditional(connection, submission);
    let assembly =
        Assembly { unit_limit, conditional, now, ..Assembly::new(store, connection, plan)? };
    let mut position = progress.position;
    loop {
        if progress.stopped.iter().any(|stopped| Some(stopped.part) == position.part()) {
            position = position.next_part(plan.wanted);
            continue;
        }
        let body = match position {
            Position::Devices => assembly.devices(&assembly.unknown_devices()?)?,
            Position::Summary => assembly.summary()?,
            Position::Readings(after) => assembly.unsent_readings(after)?,
            Position::End => return Ok(None),
        };
        match body {
            Some(body) => return Ok(Some(body)),
            None => position = position.next_part(plan.wanted),
        }
    }
}

/// What the receiver accepted of a submission's part at `position`, written as it would be sent
/// now, at most `limit` readings; none where there is nothing.
pub(super) fn accepted_body(
    store: &Store,
    connection: &ConnectionRecord,
    plan: &Plan,
    position: Position,
    limit: usize,
) -> Result<Option<Body>, Error> {
    let assembly = Assembly::new(store, connection, plan)?;
    let delivered =
        |sent: Option<&SentResource>| sent.is_some_and(|sent| sent.status == SentStatus::Delivered);
    match position {
        Position::Devices => assembly.devices(&assembly.devices_where(delivered)?),
        Position::Summary => assembly.summary_where(delivered),
        Position::Readings(after) => {
            let (code, key) = (plan.wanted.unit, after.and_then(ReadingKey::from_packed));
            let accepted = store.accepted(connection.id, code, plan.window, key, limit)?;
            assembly.readings(&accepted, after)
        }
        Position::End => Ok(None),
    }
}

/// What a submission sends next, ready to be frozen.
pub(super) fn next_batch(
    store: &Store,
    connection: &ConnectionRecord,
    submission: &SubmissionRecord,
    now: DateTime<Utc>,
) -> Result<Option<NewBatch>, Error> {
    let seen = store.seen()?;
    let Some(body) = next_body(store, connection, submission, now)? else { return Ok(None) };
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.json.len() / 16), Compression::fast());
    let compressed = encoder.write_all(&body.json).and_then(|()| encoder.finish());
    Ok(Some(NewBatch {
        seen,
        submission: submission.id,
        body: compressed.map_err(|_| Error::Assembly("compression failed"))?,
        bytes: body.json.len(),
        manifest: body.manifest,
        conditional: conditional(connection, submission),
        position_after: body.position_after,
    }))
}

/// A claimed batch as a request.
pub(super) fn outgoing(
    connection: &ConnectionRecord,
    batch: BatchRecord,
) -> Result<Outgoing, Error> {
    let gzip = connection.details.gzip != Some(false);
    let body = if gzip {
        batch.body
    } else {
        let mut plain = Vec::with_capacity(batch.bytes);
        let inflated = GzDecoder::new(batch.body.as_slice()).read_to_end(&mut plain);
        inflated.map_err(|_| Error::Assembly("a frozen batch is not readable"))?;
        plain
    };
    let base = Url::parse(&connection.base)
        .map_err(|_| Error::Assembly("the receiver's address is malformed"))?;
    let url = dialect(connection)?.endpoint(&base).into();
    Ok(Outgoing {
        batch: batch.id,
        submission: batch.submission,
        url,
        body,
        gzip,
        entries: batch.manifest.len(),
    })
}

/// Whether entries are conditional creates: unless the receiver is known not to have them, or is
/// being asked.
fn conditional(connection: &ConnectionRecord, submission: &SubmissionRecord) -> bool {
    connection.details.conditional_create != Some(false) && !submission.progress.probe
}

/// Whether there is a way to write what this receiver reads.
///
/// # Errors
/// [`Error::Dialect`] where it speaks no guide this version knows.
pub(crate) fn speaks_known_guide(connection: &ConnectionRecord) -> Result<(), Error> {
    dialect(connection).map(drop)
}

fn dialect(connection: &ConnectionRecord) -> Result<Dialect, Error> {
    connection.details.dialect.as_deref().and_then(Dialect::from_code).ok_or(Error::Dialect)
}

/// What is being put together, for one connection and plan.
struct Assembly<'a> {
    store: &'a Store,
    connection: &'a ConnectionRecord,
    plan: &'a Plan,
    subject: SubjectReference,
    dialect: Dialect,
    unit_limit: Option<usize>,
    conditional: bool,
    now: DateTime<Utc>,
}

impl<'a> Assembly<'a> {
    fn new(
        store: &'a Store,
        connection: &'a ConnectionRecord,
        plan: &'a Plan,
    ) -> Result<Self, Error> {
        let patient = PatientId::new(connection.patient.as_str())
            .map_err(|_| Error::Assembly("the patient id is no FHIR id"))?;
        let dialect = dialect(connection)?;
        let subject = SubjectReference::new(patient);
        Ok(Self {
            store,
            connection,
            plan,
            subject,
            dialect,
            unit_limit: None,
            conditional: true,
            now: DateTime::UNIX_EPOCH,
        })
    }

    /// Units a batch may have.
    fn max_units(&self) -> usize {
        let limits = BundleLimits::default();
        let remembered = self.connection.details.max_entries.unwrap_or(usize::MAX);
        limits.max_entries.min(remembered).min(self.unit_limit.unwrap_or(usize::MAX)).max(1)
    }

    fn writer(&self) -> BundleWriter {
        let default = BundleLimits::default();
        let max_bytes = self
            .connection
            .details
            .max_bytes
            .map_or(default.max_bytes, |known| known.min(default.max_bytes));
        // A unit stays together even where a receiver takes fewer entries than it has.
        let max_entries = self.max_units().max(SUMMARY_ENTRIES);
        BundleWriter::new(self.now, BundleLimits { max_entries, max_bytes })
            .for_dialect(self.dialect)
            .with_conditional_create(self.conditional)
    }

    /// The devices whose readings are sent and which the receiver was not told of. Refused once is
    /// told too: such a device is not sent again, and its readings go without it.
    fn unknown_devices(&self) -> Result<Vec<StoredSensor>, Error> {
        self.devices_where(|sent| !sent.is_some_and(SentResource::is_settled))
    }

    /// The devices whose readings are sent, one sensor for each, of those where `is_meant` says so
    /// of what is known of it.
    fn devices_where(
        &self,
        is_meant: impl Fn(Option<&SentResource>) -> bool,
    ) -> Result<Vec<StoredSensor>, Error> {
        let window = self.plan.window;
        let in_window = |sensor: &StoredSensor| {
            sensor
                .first
                .zip(sensor.last)
                .is_some_and(|(first, last)| first < window.end() && last >= window.start())
        };
        let mut found: Vec<StoredSensor> = Vec::new();
        let mut seen = Vec::new();
        for sensor in self.store.sensors()?.into_iter().filter(in_window) {
            let identifier = self.device(&sensor).identifier().urn();
            let sent = self.store.resource(self.connection.id, &identifier)?;
            if is_meant(sent.as_ref()) && !seen.contains(&identifier) {
                seen.push(identifier);
                found.push(sensor);
            }
        }
        Ok(found)
    }

    fn device<'s>(&'s self, sensor: &'s StoredSensor) -> DeviceEntry<'s> {
        DeviceEntry {
            subject: &self.subject,
            device: sensor.sensor.device(),
            sensor: sensor.sensor.key(),
        }
    }

    /// The devices, in a request of their own: readings then refer to the location they got, and do
    /// not fail with them.
    fn devices(&self, sensors: &[StoredSensor]) -> Result<Option<Body>, Error> {
        let mut bundle = self.writer();
        for sensor in sensors.iter().take(self.max_units()) {
            if bundle.try_unit(|unit| unit.device(&self.device(sensor)).map(drop))? == Fit::Full {
                break;
            }
        }
        Ok(bundle
            .finish()
            .map(|done| resources(done, Position::Devices.next_part(self.plan.wanted), "")))
    }

    /// The summary and its members, one unit, where `is_meant` says so of what is known of it.
    fn summary_where(
        &self,
        is_meant: impl Fn(Option<&SentResource>) -> bool,
    ) -> Result<Option<Body>, Error> {
        let summary = match summarise(self.store, self.plan.dates, self.plan.window) {
            Ok(summary) => summary,
            Err(Error::Summary(SummaryError::TooFewReadings { .. })) => return Ok(None),
            Err(error) => return Err(error),
        };
        let unit = self.plan.wanted.unit;
        let facts = facts(&summary);
        let entry = SummaryEntry::new(&self.subject, &facts, unit)
            .map_err(|_| Error::Assembly("a figure cannot be sent"))?;
        let identifier = entry.identifier().urn();
        if !is_meant(self.store.resource(self.connection.id, &identifier)?.as_ref()) {
            return Ok(None);
        }
        // A summary of the same dates that said something else is the one this takes the place of.
        let of_dates = of_dates(self.plan);
        let earlier = self.store.resources_of_kind(self.connection.id, &summary_kind(self.plan))?;
        let location = earlier
            .into_iter()
            .rev()
            .filter(SentResource::is_settled)
            .find_map(|earlier| earlier.location);
        let entry = match &location {
            Some(location) => entry.replacing(Replaced::Location(location)),
            None => entry,
        };
        let mut bundle = self.writer();
        let _ = bundle.try_unit(|unit| unit.summary(&entry).map(drop))?;
        Ok(bundle
            .finish()
            .map(|done| resources(done, Position::Summary.next_part(self.plan.wanted), &of_dates)))
    }

    /// What the receiver lacks: the summary and its members, unless it was told.
    fn summary(&self) -> Result<Option<Body>, Error> {
        self.summary_where(|sent| !sent.is_some_and(SentResource::is_settled))
    }

    /// As many readings after `after` as a batch takes, of those the receiver lacks.
    fn unsent_readings(&self, after: Option<i64>) -> Result<Option<Body>, Error> {
        let code = self.plan.wanted.unit;
        let key = after.and_then(ReadingKey::from_packed);
        let unsent =
            self.store.unsent(self.connection.id, code, self.plan.window, key, self.max_units())?;
        self.readings(&unsent, after)
    }

    /// These readings, as many as a batch takes.
    fn readings(
        &self,
        readings: &[VersionedReading],
        after: Option<i64>,
    ) -> Result<Option<Body>, Error> {
        if readings.is_empty() {
            return Ok(None);
        }
        let code = self.plan.wanted.unit;
        let sensors = self.store.sensors()?;
        let known: HashMap<SensorId, (&StoredSensor, Option<String>)> = sensors
            .iter()
            .map(|sensor| Ok((sensor.id, (sensor, self.location_of(sensor)?))))
            .collect::<Result<_, Error>>()?;
        let mut bundle = self.writer();
        let mut manifest = Vec::with_capacity(readings.len());
        let mut last = after;
        for reading in readings {
            let Some((sensor, location)) = known.get(&reading.sample.sensor) else {
                return Err(Error::Assembly("a reading's sensor is gone"));
            };
            let entry = self.reading(sensor, location.as_deref(), reading);
            match bundle.try_unit(|unit| unit.reading(&entry).map(drop)) {
                Ok(Fit::Added) => {
                    let unit = u32::try_from(manifest.len()).unwrap_or(u32::MAX);
                    let item = Item::Reading(reading.key.packed(), reading.version, code);
                    manifest.push(Listed { unit, item });
                }
                Ok(Fit::Full) => break,
                // Two records of the maker with one identity are one fact: the first speaks for
                // both.
                Err(BundleError::Twin(_)) => {}
                Err(error) => return Err(error.into()),
            }
            last = Some(reading.key.packed());
        }
        Ok(bundle.finish().map(|done| Body {
            json: done.json,
            manifest,
            position_after: Position::Readings(last),
        }))
    }

    /// Where the receiver put a sensor's device, where it is to be referred to.
    fn location_of(&self, sensor: &StoredSensor) -> Result<Option<String>, Error> {
        if !self.plan.wanted.devices {
            return Ok(None);
        }
        let identifier = self.device(sensor).identifier().urn();
        let sent =
            self.store.resource(self.connection.id, &identifier)?.filter(SentResource::is_settled);
        Ok(sent.and_then(|sent| sent.location))
    }

    fn reading<'s>(
        &'s self,
        sensor: &'s StoredSensor,
        device: Option<&'s str>,
        reading: &'s VersionedReading,
    ) -> ReadingEntry<'s> {
        let key = fhir::ReadingKey::of(
            &sensor.sensor,
            reading.sample.seconds,
            reading.record_key.as_ref(),
        );
        let entry = ReadingEntry {
            subject: &self.subject,
            sensor: sensor.sensor.key(),
            key,
            seconds: reading.sample.seconds,
            offset: reading.sample.offset,
            measurement: reading.sample.measurement,
            unit: self.plan.wanted.unit,
            device: device.map(DeviceReference::Location),
            replaces: None,
        };
        // The ledger keeps no locations: what a correction replaces is named by the identifier it
        // was sent with.
        let earlier = reading.history.last().map(|earlier| {
            let key =
                fhir::ReadingKey::of(&sensor.sensor, earlier.seconds, reading.record_key.as_ref());
            ReadingEntry { key, measurement: earlier.measurement, ..entry }.identifier()
        });
        ReadingEntry { replaces: earlier.map(Replaced::Identifier), ..entry }
    }
}

/// What a device is called in the store.
pub(super) const DEVICE: &str = "device";
/// What a summary of a plan's dates is called in the store.
pub(super) fn summary_kind(plan: &Plan) -> String {
    format!("summary{}", of_dates(plan))
}

fn of_dates(plan: &Plan) -> String {
    format!(" {} {}", plan.dates, plan.wanted.unit)
}

/// Entries of a summary: itself and six members.
const SUMMARY_ENTRIES: usize = 7;

/// A bundle of devices or a summary, each entry listed under its identifier and kind.
fn resources(bundle: AssembledBundle, position_after: Position, suffix: &str) -> Body {
    let listed = |info: &fhir::EntryInfo| {
        let kind = match info.kind {
            EntryKind::Device => DEVICE.to_owned(),
            EntryKind::Summary => format!("summary{suffix}"),
            EntryKind::SummaryMember(_) => format!("summary-member{suffix}"),
            EntryKind::Reading => "reading".to_owned(),
        };
        Listed { unit: info.unit, item: Item::Resource(info.identifier.urn(), kind) }
    };
    Body {
        manifest: bundle.entries.iter().map(listed).collect(),
        json: bundle.json,
        position_after,
    }
}

/// The summary in the form it is sent.
fn facts(summary: &Summary) -> SummaryFacts {
    let note = match summary.sufficiency() {
        Sufficiency::Sufficient => None,
        Sufficiency::Short { .. } => Some(
            "Fewer data than the consensus asks for (at least 14 days, sensor active at least 70 % of the time): \
             interpret with care."
                .to_owned(),
        ),
    };
    SummaryFacts {
        dates: summary.dates(),
        mean_mg_dl: summary.mean_mg_dl(),
        gmi_percent: summary.gmi_percent(),
        cv_percent: summary.cv_percent(),
        ranges_hundredths: summary.ranges().reconciled(2),
        days_of_wear: summary.days_of_wear(),
        sensor_active_percent: summary.sensor_active_percent(),
        note,
    }
}
