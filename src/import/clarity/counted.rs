//! Rows with a transmitter's count: the file's and the stored ones of the same transmitters are
//! placed together, so that what an instant is does not depend on which export held its row.

use super::super::clock::{self, Circumstances, ClockedRow, Offsets};
use super::super::{Gathered, ImportError};
use super::sources::measurement;
use super::{FileRow, Placing, reading, stored};
use crate::glucose::{Reading, ReadingError, RecordKey, UtcOffset};
use chrono::DateTime;
use std::collections::HashMap;

/// A row of the file or of the store.
struct Entry<'a> {
    row: Option<&'a FileRow>,
    /// Its place among the stored readings, if it is stored.
    stored: Option<usize>,
    source: usize,
    transmitter: usize,
    tick: i64,
    stamp: i64,
    /// The line of a row that says something else of the same count.
    contradicted: Option<usize>,
}

/// Every row with a count that is known of, by transmitter.
struct Entries<'a> {
    all: Vec<Entry<'a>>,
    transmitters: Vec<String>,
}

impl Placing<'_> {
    pub(super) fn counted(&self, found: &mut Gathered) -> Result<(), ImportError> {
        let entries = self.entries(found);
        let offsets = self.offsets(&entries);
        let placed: Vec<_> = entries.all.iter().zip(offsets.of_rows).collect();
        if let Some(reason) = placed.iter().find_map(|(entry, offset)| self.conflict(entry, offset))
        {
            for row in placed.iter().filter_map(|(entry, _)| entry.row) {
                found.reject(row.line, reason.clone());
            }
            return Ok(());
        }
        found.notes(offsets.notes);
        for (entry, offset) in placed {
            match entry.row {
                Some(row) => self.take(entry, row, offset, &entries, found)?,
                None => self.mend(entry, offset, found),
            }
        }
        Ok(())
    }

    /// The file's rows, one for each count, and the stored ones of the same transmitters and of
    /// those that may be their neighbours.
    fn entries(&self, found: &mut Gathered) -> Entries<'_> {
        let file = self.file;
        let mut entries = Entries { all: Vec::new(), transmitters: file.transmitters.clone() };
        let mut of_count: HashMap<(usize, i64), usize> = HashMap::new();
        for row in &file.rows {
            let Some((transmitter, tick)) = row.count else { continue };
            let entry = Entry {
                row: Some(row),
                stored: self.match_stored(row, transmitter, tick),
                source: row.source,
                transmitter,
                tick,
                stamp: row.stamp,
                contradicted: None,
            };
            let Some(place) = of_count.get(&(transmitter, tick)).copied() else {
                of_count.insert((transmitter, tick), entries.all.len());
                entries.all.push(entry);
                continue;
            };
            if let Some(there) = entries.all.get_mut(place) {
                self.count_twice(there, entry, found);
            }
        }
        self.add_stored(&mut entries, &of_count);
        entries
    }

    /// A count twice: of two devices that listened to one transmitter the same one counts in every
    /// export. Of one device nothing tells which of two different rows is right.
    fn count_twice<'f>(&'f self, there: &mut Entry<'f>, entry: Entry<'f>, found: &mut Gathered) {
        let id = |entry: &Entry<'_>| self.file.sources.id(entry.source);
        let (Some(row), Some(earlier)) = (entry.row, there.row) else { return };
        let says_else = row.stamp != earlier.stamp || !row.cell.says_the_same_as(earlier.cell);
        if entry.source == there.source && (says_else || there.contradicted.is_some()) {
            there.contradicted.get_or_insert(row.line);
            found.reject(row.line, ReadingError::Contradiction { row: earlier.line });
            return;
        }
        found.skipped().repeated += 1;
        let finer = entry.source == there.source && row.cell.decimals() > earlier.cell.decimals();
        if finer || id(&entry) < id(there) {
            *there = entry;
        }
    }

    fn match_stored(&self, row: &FileRow, transmitter: usize, tick: i64) -> Option<usize> {
        let id = self.file.transmitters.get(transmitter)?;
        let by_stamp = || {
            // A row of the form without counts, stored earlier.
            let mut same = self.stored.by_stamp(row.source, row.stamp);
            same.find(|place| self.stored.is_stamped(*place))
        };
        self.stored.by_count(row.source, id, tick).or_else(by_stamp)
    }

    fn add_stored(&self, entries: &mut Entries<'_>, of_count: &HashMap<(usize, i64), usize>) {
        let mut numbers = self.file.numbers.clone();
        for (place, source, id, tick) in self.stored.counted() {
            let transmitter = *numbers.entry(id.to_owned()).or_insert_with(|| {
                entries.transmitters.push(id.to_owned());
                entries.transmitters.len() - 1
            });
            let stamp = self.stored.reading(place).and_then(stored::stamp);
            let Some(stamp) = stamp.filter(|_| !of_count.contains_key(&(transmitter, tick))) else {
                continue;
            };
            entries.all.push(Entry {
                row: None,
                stored: Some(place),
                source,
                transmitter,
                tick,
                stamp,
                contradicted: None,
            });
        }
    }

    fn offsets(&self, entries: &Entries<'_>) -> Offsets {
        let mut transmitters: Vec<Vec<ClockedRow>> = Vec::new();
        transmitters.resize_with(entries.transmitters.len(), Vec::new);
        for (id, entry) in entries.all.iter().enumerate() {
            let sensor = self.sensor(entry.source).ok();
            // What is stored by another zone's clock says nothing about this one's.
            let counts = sensor.is_some_and(|sensor| !self.is_of_another_zone(sensor))
                && !self.options.replace;
            let stored = entry.stored.filter(|place| counts && !self.is_by_zone(*place));
            let stored = stored.and_then(|place| self.stored.reading(place));
            let row = ClockedRow {
                id,
                tick: entry.tick,
                stamp: entry.stamp,
                source: entry.source,
                stored: stored.and_then(Reading::offset).map(UtcOffset::seconds),
                in_file: entry.row.is_some(),
            };
            if let Some(rows) = transmitters.get_mut(entry.transmitter) {
                rows.push(row);
            }
        }
        let circumstances = Circumstances { zone: self.zone, answers: &self.options.answers };
        clock::offsets(transmitters, &circumstances)
    }

    /// Whether a stored row has no count and the zone's own offset: only the zone need have placed
    /// it, which is no evidence.
    fn is_by_zone(&self, place: usize) -> bool {
        let offset = |there: &Reading| self.zone.offset_at(there.seconds());
        let there = self.stored.reading(place).filter(|_| self.stored.is_stamped(place));
        there.is_some_and(|there| there.offset() == Some(offset(there)))
    }

    /// Why nothing is taken: a row is stored elsewhere, by the clock of another zone.
    fn conflict(
        &self,
        entry: &Entry<'_>,
        offset: &Result<UtcOffset, ReadingError>,
    ) -> Option<ReadingError> {
        let (sensor, there) = (self.sensor(entry.source).ok()?, self.there(entry)?);
        let offset = offset.as_ref().ok()?;
        let moves = entry.stamp - offset.seconds() != there.seconds();
        let refused = entry.row.is_some() && moves && self.is_of_another_zone(sensor);
        refused.then(|| self.earlier(sensor, there.offset()))
    }

    fn there(&self, entry: &Entry<'_>) -> Option<&Reading> {
        self.stored.reading(entry.stored?)
    }

    fn take(
        &self,
        entry: &Entry<'_>,
        row: &FileRow,
        offset: Result<UtcOffset, ReadingError>,
        entries: &Entries<'_>,
        found: &mut Gathered,
    ) -> Result<(), ImportError> {
        if let Some(other) = entry.contradicted {
            found.reject(row.line, ReadingError::Contradiction { row: other });
            return Ok(());
        }
        let sensor = match self.sensor(entry.source) {
            Ok(sensor) => sensor,
            Err(reason) => {
                found.reject(row.line, reason);
                return Ok(());
            }
        };
        let measurement = measurement(row.cell, row.line, sensor)?;
        if let Err(reason) = found.scales().check(measurement, sensor) {
            found.reject(row.line, reason);
            return Ok(());
        }
        let record = || {
            if let Some(key) = self.there(entry).and_then(Reading::record_key) {
                Ok(key.clone())
            } else {
                let transmitter = entries.transmitters.get(entry.transmitter);
                stored::record(transmitter.map_or("", String::as_str), entry.tick)
            }
        };
        let placed = offset.and_then(|offset| {
            let placed = reading(sensor, entry.stamp - offset.seconds(), offset, measurement)?;
            Ok(placed.with_record_key(record()?))
        });
        found.row(row.line, placed);
        Ok(())
    }

    /// Moves a stored row that the file does not have, if the file shows that it stands elsewhere.
    fn mend(
        &self,
        entry: &Entry<'_>,
        offset: Result<UtcOffset, ReadingError>,
        found: &mut Gathered,
    ) {
        let of_file = entry.transmitter < self.file.transmitters.len();
        let (Some(there), Ok(offset)) = (self.there(entry).filter(|_| of_file), offset) else {
            return;
        };
        let instant = entry.stamp - offset.seconds();
        let mended = self
            .sensor(entry.source)
            .ok()
            .filter(|sensor| instant != there.seconds() && !self.is_of_another_zone(sensor));
        let record: Option<RecordKey> = there.record_key().cloned();
        let (Some(sensor), Some(record), Some(_)) =
            (mended, record, DateTime::from_timestamp(instant, 0))
        else {
            return;
        };
        if let Ok(moved) = reading(sensor, instant, offset, there.measurement()) {
            found.mended(moved.with_record_key(record));
        }
    }
}
