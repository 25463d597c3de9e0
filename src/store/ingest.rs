//! Taking readings in: one transaction that checks, dedupes, corrects and says what became of each.
//!
//! A sensor says one thing at one instant: the key is sensor and second, or the maker's record key
//! where there is one. Of several rows of one batch for the same instant or record the last counts,
//! so that the same batch again changes nothing.

use super::insertion::{Insertion, NewRow};
use super::placement::{self, Contested, Intake, Outcome, Unsettled};
use super::record::{Record, StoredRecord};
use super::records::Records;
use super::sources::{Source, Sources, within};
use super::{
    ImportSource, ReadingKey, Store, StoreError, imports, ledger, packing, readings, repack,
    sensors,
};
use crate::glucose::{Reading, ReadingError, Sensor, ZoneOffsets};
use crate::sorting::sort_by_key;
use chrono::{DateTime, Utc};
use rusqlite::Transaction;

/// A reading that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectedReading {
    /// Its place in the batch, from 0.
    pub row: usize,
    /// Why.
    pub reason: ReadingError,
}

/// What became of a batch. Every reading of it is counted once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngestReport {
    /// New readings.
    pub stored: usize,
    /// Readings that were stored before, or that a later one of the same batch overrode.
    pub already_there: usize,
    /// Readings that took the place of one nobody had been sent.
    pub replaced: usize,
    /// Readings that correct one a receiver has, or is being sent: it will be sent the correction.
    pub corrected: usize,
    /// Readings not taken. They do not hold up the others.
    pub rejected: Vec<RejectedReading>,
}

impl IngestReport {
    fn counts(&self) -> [usize; 5] {
        [self.stored, self.already_there, self.replaced, self.corrected, self.rejected.len()]
    }
}

/// A reading's sensor and key, or why it has none.
type Placed = Result<(Source, ReadingKey), ReadingError>;

/// The rows of a batch as they are best inserted: each sensor's in rising time, because pages fill
/// up only that way. Rows of one instant stay in the order given.
fn rising(batch: &[Reading]) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..batch.len()).collect();
    if !batch.is_sorted_by_key(Reading::seconds) {
        let at = |row: &usize| batch.get(*row).map(|r| (r.sensor().as_str(), r.seconds()));
        rows.sort_by(|a, b| at(a).cmp(&at(b)));
    }
    rows
}

/// A batch on its way in.
struct Taking<'a, 'tx> {
    tx: &'tx Transaction<'tx>,
    intake: Intake<'a>,
    insertion: Insertion<'tx>,
    sources: Sources<'a>,
    records: Records,
    report: IngestReport,
    /// Keys of new readings that the ledger's intervals must not cover.
    late: Vec<ReadingKey>,
    /// How many came before a later one of their sensor.
    loose: usize,
    contested: Vec<Contested<'a>>,
}

impl<'a> Taking<'a, '_> {
    /// Where a reading belongs.
    fn find(&mut self, reading: &'a Reading) -> Result<Placed, StoreError> {
        if let Err(reason) = reading.check(self.intake.now) {
            return Ok(Err(reason));
        }
        let source = self.sources.of(self.tx, reading.sensor())?;
        Ok(source.ok_or(ReadingError::UnknownSensor).and_then(|source| {
            if source.scale.is_some_and(|scale| !scale.shows(reading.measurement())) {
                return Err(ReadingError::OffScale);
            }
            let key = ReadingKey::new(source.id, reading.seconds());
            Ok((source, key.ok_or(ReadingError::InTheFuture)?))
        }))
    }

    /// Takes in what simply fits in; the rest is contested.
    fn take(&mut self, row: usize, reading: &'a Reading) -> Result<(), StoreError> {
        let (source, key) = match self.find(reading)? {
            Ok(placed) => placed,
            Err(reason) => {
                self.report.rejected.push(RejectedReading { row, reason });
                return Ok(());
            }
        };
        let zone = self.intake.zone;
        let offset = reading.offset().unwrap_or_else(|| zone.offset_at(reading.seconds()));
        let packed = packing::encode(reading.measurement()) | packing::offset(offset);
        let record = reading.record_key().map(|record| self.records.identify(record));
        let stays = match &record {
            Some(record) => self.records.stays(self.tx, key, record)?,
            None => true,
        };
        let is_new = self.sources.is_newest(key);
        let inserted = stays
            && !within(source.history, key)
            && self.insert(key, packed, record.as_ref(), is_new)?;
        if inserted {
            self.report.stored += 1;
            self.loose += usize::from(source.last.is_some_and(|last| key.seconds() < last));
            if within(source.ledger, key) {
                self.late.push(key);
            }
        } else {
            self.contested.push(Contested { row, key, reading, record, moved: None });
        }
        Ok(())
    }

    /// Inserts a reading if nothing stands at its key, as is known of a new one.
    fn insert(
        &mut self,
        key: ReadingKey,
        packed: i64,
        record: Option<&Record<'_>>,
        is_new: bool,
    ) -> Result<bool, StoreError> {
        let stored = record.map(|record| self.records.stored(self.tx, key, record)).transpose()?;
        let import = self.intake.import.map(|import| import.0);
        let mut row = NewRow { key, packed, count: None, import };
        if let Some(StoredRecord::Text(text)) = stored {
            let inserted = self.insertion.insert(row)?;
            if inserted {
                readings::add_text(self.tx, key, &text)?;
            }
            return Ok(inserted);
        }
        if let Some(StoredRecord::Count(count)) = stored {
            row.count = Some(count);
        }
        if !is_new {
            return self.insertion.insert(row);
        }
        self.insertion.append(row)?;
        Ok(true)
    }

    /// Puts what is contested in its place, and says what became of all.
    fn settle(self) -> Result<IngestReport, StoreError> {
        let Self { tx, intake, mut insertion, sources, mut records, mut report, .. } = self;
        insertion.end()?;
        ledger::cut(tx, &self.late)?;
        repack::note_loose(tx, self.loose)?;
        let all = self.contested.len();
        let mut contested = placement::last_of_each(self.contested);
        report.already_there += all - contested.len();
        placement::move_away(tx, &mut contested, &records)?;
        let mut unsettled = Unsettled::default();
        for c in &contested {
            *match placement::place(tx, c, intake, &mut records, &mut unsettled)? {
                Outcome::Stored => &mut report.stored,
                Outcome::AlreadyThere => &mut report.already_there,
                Outcome::Replaced => &mut report.replaced,
                Outcome::Corrected => &mut report.corrected,
            } += 1;
        }
        unsettled.settle(tx)?;
        for sensor in sources.known() {
            sensors::refresh_extent(tx, sensor)?;
        }
        sort_by_key(&mut report.rejected, |rejected| rejected.row);
        Ok(report)
    }
}

fn ingest(
    tx: &Transaction<'_>,
    batch: &[Reading],
    intake: Intake<'_>,
) -> Result<IngestReport, StoreError> {
    let mut taking = Taking {
        tx,
        intake,
        insertion: Insertion::new(tx)?,
        sources: Sources::default(),
        records: Records::of(tx, batch)?,
        report: IngestReport::default(),
        late: Vec::new(),
        loose: 0,
        contested: Vec::new(),
    };
    for row in rising(batch) {
        if let Some(reading) = batch.get(row) {
            taking.take(row, reading)?;
        }
    }
    taking.settle()
}

impl Store {
    /// Takes readings in, in one transaction, and says what became of each. A reading without UTC
    /// offset gets the one `zone` has at its instant. One refused does not hold up the others.
    ///
    /// The same measurement again changes nothing: digits, offset and record key of the first stay
    /// (one without record key takes the later one's). In the other unit it says the same if either
    /// converts to the other; the finer digits are kept then, unless they would show at a receiver
    /// that has the coarser ones: that is a correction. What the device cannot have shown, by the
    /// scale stored for the sensor, is refused. Another measurement for the same instant
    /// takes the earlier one's place, or becomes a new version of it where a receiver has the
    /// earlier one or is being sent it. A record key known at another instant is a correction: its
    /// reading moves.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored then.
    pub fn ingest(
        &mut self,
        readings: &[Reading],
        zone: &ZoneOffsets,
        now: DateTime<Utc>,
    ) -> Result<IngestReport, StoreError> {
        self.ingest_from(&[], readings, zone, now)
    }

    /// The same for sensors that are made known in the same transaction: what places their readings
    /// binds only with them.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored then, and no sensor known.
    pub fn ingest_from(
        &mut self,
        sensors: &[Sensor],
        readings: &[Reading],
        zone: &ZoneOffsets,
        now: DateTime<Utc>,
    ) -> Result<IngestReport, StoreError> {
        let tx = self.write()?;
        for sensor in sensors {
            sensors::register(&tx, sensor)?;
        }
        let report = ingest(&tx, readings, Intake { zone, now, import: None })?;
        tx.commit()?;
        Ok(report)
    }

    /// The same for a file: its readings refer to it.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored then, and no sensor or import known.
    pub fn ingest_import(
        &mut self,
        source: ImportSource<'_>,
        sensors: &[Sensor],
        readings: &[Reading],
        zone: &ZoneOffsets,
        now: DateTime<Utc>,
    ) -> Result<IngestReport, StoreError> {
        let tx = self.write()?;
        for sensor in sensors {
            sensors::register(&tx, sensor)?;
        }
        let import = imports::begin(&tx, source, now)?;
        let report = ingest(&tx, readings, Intake { zone, now, import: Some(import) })?;
        let [stored, there, replaced, corrected, rejected] = report.counts();
        let (there, rejected) = (there + source.repeated, rejected + source.rejected);
        imports::end(&tx, import, [stored, there, replaced, corrected, rejected])?;
        tx.commit()?;
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::UtcOffset;
    use crate::glucose::{
        AbsentReason, GlucoseUnit, GlucoseValue, Measurement, Sample, SensorKey, Window,
    };
    use crate::store::ConnectionId;
    use crate::store::testing::{BASE, Scratch, earlier, reading, value, with_record};

    fn scratch() -> Scratch {
        let mut scratch = Scratch::new();
        scratch.register("s");
        scratch
    }

    fn all() -> Window {
        Window::from_unix(0, i64::MAX).unwrap()
    }

    fn samples(scratch: &Scratch) -> Vec<Sample> {
        let mut samples = Vec::new();
        scratch.store.scan(all(), |sample| samples.push(sample)).unwrap();
        samples
    }

    fn said(scratch: &Scratch) -> Vec<(i64, Measurement)> {
        samples(scratch).iter().map(|s| (s.seconds - BASE, s.measurement)).collect()
    }

    /// What became of them: stored, already there, replaced, corrected, rejected.
    fn counts(report: &IngestReport) -> [usize; 5] {
        [
            report.stored,
            report.already_there,
            report.replaced,
            report.corrected,
            report.rejected.len(),
        ]
    }

    fn send_all(scratch: &mut Scratch, connection: ConnectionId) {
        let unsent =
            scratch.store.unsent(connection, GlucoseUnit::MgPerDl, all(), None, 1_000).unwrap();
        let accepted: Vec<_> = unsent.iter().map(|u| (u.key, u.version)).collect();
        scratch.store.record_accepted(connection, GlucoseUnit::MgPerDl, &accepted).unwrap();
    }

    #[test]
    fn a_bad_reading_does_not_hold_up_the_good_ones() {
        let mut scratch = scratch();
        let report = scratch.take(&[
            reading("s", 0, value(100)),
            reading("unknown", 0, value(100)),
            reading("s", -BASE, value(100)),
            reading("s", 315_360_000 + 86_401, value(100)),
            reading("s", 300, Measurement::Absent(AbsentReason::Error)),
        ]);
        assert_eq!(counts(&report), [2, 0, 0, 0, 3]);
        let reasons: Vec<_> = report.rejected.into_iter().map(|r| (r.row, r.reason)).collect();
        let expected = [
            (1, ReadingError::UnknownSensor),
            (2, ReadingError::TooOld),
            (3, ReadingError::InTheFuture),
        ];
        assert_eq!(reasons, expected);
        assert_eq!(
            said(&scratch),
            [(0, value(100)), (300, Measurement::Absent(AbsentReason::Error))]
        );
    }

    #[test]
    fn what_the_sensor_as_it_is_stored_cannot_have_shown_is_refused() {
        let mut scratch = Scratch::new();
        let at = |mg_dl| GlucoseValue::new(mg_dl, 0, GlucoseUnit::MgPerDl).unwrap();
        let device = crate::glucose::Device::new("Dexcom G6", None).unwrap();
        let sensor = Sensor::new(SensorKey::new("g6").unwrap(), device);
        let sensor = sensor.with_scale(crate::glucose::Scale::new(at(40), at(400)).unwrap());
        scratch.store.register_sensor(&sensor).unwrap();
        let molar = GlucoseValue::parse("22.222222", GlucoseUnit::MmolPerL).unwrap();
        let report = scratch.take(&[
            reading("g6", 0, value(39)),
            reading("g6", 300, value(40)),
            reading("g6", 600, value(401)),
            reading("g6", 900, Measurement::Below(at(39))),
            reading("g6", 1_200, Measurement::Below(at(40))),
            reading("g6", 1_500, Measurement::Value(molar)),
        ]);
        assert_eq!(counts(&report), [3, 0, 0, 0, 3]);
        assert!(report.rejected.iter().all(|refused| refused.reason == ReadingError::OffScale));
        let rows: Vec<_> = report.rejected.iter().map(|refused| refused.row).collect();
        assert_eq!(rows, [0, 2, 3]);
    }

    #[test]
    fn the_same_again_changes_nothing_and_the_first_writing_stays() {
        let mut scratch = scratch();
        let written =
            |text| Measurement::Value(GlucoseValue::parse(text, GlucoseUnit::MgPerDl).unwrap());
        let at = DateTime::from_timestamp(BASE, 0).unwrap();
        let key = SensorKey::new("s").unwrap();
        let first = Reading::new(key.clone(), at, None, written("100.10"));
        let again = Reading::new(key, at, Some(UtcOffset::UTC), written("100.1"));
        assert_eq!(counts(&scratch.take(&[first])), [1, 0, 0, 0, 0]);
        assert_eq!(counts(&scratch.take(&[again])), [0, 1, 0, 0, 0]);
        let sample = samples(&scratch)[0];
        assert_eq!(sample.measurement, written("100.10"));
        assert_eq!(sample.offset.minutes(), 120, "the zone's, which the first had none of");
    }

    #[test]
    fn a_correction_replaces_what_nobody_has_and_is_a_new_version_of_what_was_sent() {
        let mut scratch = scratch();
        let connection = scratch.connect("https://a.example");
        scratch.take(&[reading("s", 0, value(100)), reading("s", 300, value(110))]);
        assert_eq!(counts(&scratch.take(&[reading("s", 0, value(101))])), [0, 0, 1, 0, 0]);
        send_all(&mut scratch, connection);
        assert_eq!(counts(&scratch.take(&[reading("s", 0, value(102))])), [0, 0, 0, 1, 0]);
        let unsent =
            scratch.store.unsent(connection, GlucoseUnit::MgPerDl, all(), None, 10).unwrap();
        let [correction] = unsent.as_slice() else { panic!("one to send") };
        assert_eq!((correction.version, correction.sample.measurement), (1, value(102)));
        assert_eq!(correction.history, [earlier(0, value(101))]);
        let molar =
            scratch.store.unsent(connection, GlucoseUnit::MmolPerL, all(), None, 10).unwrap();
        assert!(molar.iter().all(|unsent| unsent.history.is_empty()));
    }

    #[test]
    fn a_record_that_moved_takes_its_history_along_even_when_a_whole_series_shifts() {
        let mut scratch = scratch();
        let connection = scratch.connect("https://a.example");
        let at = |shift: i64| -> Vec<Reading> {
            let row = |i: u32| reading("s", i64::from(i) * 300 + shift, value(100 + i));
            (0..3).map(|i| with_record(row(i), &format!("r{i}"))).collect()
        };
        scratch.take(&at(0));
        send_all(&mut scratch, connection);
        assert_eq!(counts(&scratch.take(&at(300))), [0, 0, 0, 3, 0]);
        assert_eq!(said(&scratch), [(300, value(100)), (600, value(101)), (900, value(102))]);
        let unsent =
            scratch.store.unsent(connection, GlucoseUnit::MgPerDl, all(), None, 10).unwrap();
        let history: Vec<_> = unsent.iter().map(|u| u.history.clone()).collect();
        let was = |(seconds, said)| vec![earlier(seconds, value(said))];
        assert_eq!(history, [(0, 100), (300, 101), (600, 102)].map(was), "at their old instants");
        assert_eq!(counts(&scratch.take(&at(300))), [0, 3, 0, 0, 0]);
    }

    #[test]
    fn of_twins_in_one_batch_the_last_counts_and_the_same_batch_again_changes_nothing() {
        let mut scratch = scratch();
        let connection = scratch.connect("https://a.example");
        let instants = [reading("s", 0, value(100)), reading("s", 0, value(101))];
        let records = [reading("s", 300, value(100)), reading("s", 600, value(100))]
            .map(|r| with_record(r, "r"));
        for twins in [&instants, &records] {
            scratch.take(twins);
            send_all(&mut scratch, connection);
            assert_eq!(counts(&scratch.take(twins)), [0, 2, 0, 0, 0]);
        }
        assert_eq!(said(&scratch), [(0, value(101)), (600, value(100))]);
    }

    #[test]
    fn a_reading_gets_the_record_key_its_maker_names_later() {
        let mut scratch = scratch();
        scratch.take(&[reading("s", 0, value(100))]);
        let named = with_record(reading("s", 0, value(100)), "r");
        assert_eq!(counts(&scratch.take(&[named])), [0, 1, 0, 0, 0]);
        let moved = with_record(reading("s", 300, value(100)), "r");
        assert_eq!(counts(&scratch.take(&[moved])), [0, 0, 1, 0, 0]);
        assert_eq!(said(&scratch), [(300, value(100))]);
    }

    #[test]
    fn what_was_sent_in_one_unit_and_comes_again_in_the_other_is_no_correction() {
        let molar = |text: &str| {
            Measurement::Value(GlucoseValue::parse(text, GlucoseUnit::MmolPerL).unwrap())
        };
        let both = |mg_dl: u32| {
            let mass = GlucoseValue::new(mg_dl, 0, GlucoseUnit::MgPerDl).unwrap();
            (value(mg_dl), molar(&mass.to_unit(GlucoseUnit::MmolPerL).to_string()))
        };
        for molar_first in [false, true] {
            let mut scratch = scratch();
            let connection = scratch.connect("https://a.example");
            let rows = |second: bool| -> Vec<Reading> {
                let said = |i: u32| if second { both(60 + i).1 } else { both(60 + i).0 };
                (0..250).map(|i| reading("s", i64::from(i) * 300, said(i))).collect()
            };
            scratch.take(&rows(molar_first));
            let unit = if molar_first { GlucoseUnit::MmolPerL } else { GlucoseUnit::MgPerDl };
            let unsent = scratch.store.unsent(connection, unit, all(), None, 1_000).unwrap();
            let sent: Vec<_> = unsent.iter().map(|u| (u.key, u.version)).collect();
            scratch.store.record_accepted(connection, unit, &sent).unwrap();
            assert_eq!(counts(&scratch.take(&rows(!molar_first))), [0, 250, 0, 0, 0]);
            assert_eq!(scratch.store.unsent_count(connection, unit, all()).unwrap(), 0);
            assert_eq!(said(&scratch)[0], (0, value(60)), "the finer stays");
        }
    }

    #[test]
    fn finer_digits_that_a_receiver_would_see_are_a_correction() {
        let mut scratch = scratch();
        let connection = scratch.connect("https://a.example");
        let coarse = GlucoseValue::parse("6.7", GlucoseUnit::MmolPerL).unwrap();
        scratch.take(&[reading("s", 0, Measurement::Value(coarse))]);
        send_all(&mut scratch, connection);
        assert_eq!(counts(&scratch.take(&[reading("s", 0, value(121))])), [0, 1, 0, 0, 0]);
        assert_eq!(said(&scratch), [(0, value(121))], "121 was on the wire already");

        scratch.take(&[reading("s", 300, Measurement::Value(coarse))]);
        send_all(&mut scratch, connection);
        assert_eq!(counts(&scratch.take(&[reading("s", 300, value(120))])), [0, 0, 0, 1, 0]);
    }
}
