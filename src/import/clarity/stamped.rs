//! Rows with nothing but their local stamp: placed where the same row is stored already, else by
//! what the stamps show of the device's clock, else by the person's time zone.

use super::super::clock::{self, Circumstances, ClockedRow};
use super::super::{ClockBasis, ClockNote, Gathered, ImportError};
use super::sources::measurement;
use super::{FileRow, Placing, reading, stored};
use crate::glucose::{Measurement, Reading, ReadingError, Sensor, TimeError, UtcOffset};

/// The offset of a row's clock, and what it was chosen by.
type Clock = Result<(UtcOffset, ClockBasis), ReadingError>;

/// First and last stamp, with their offsets, of rows placed by the zone alone.
type Span = Option<((i64, UtcOffset), (i64, UtcOffset))>;

impl Placing<'_> {
    pub(super) fn stamped(&self, found: &mut Gathered) -> Result<(), ImportError> {
        let mut rows: Vec<_> = self.file.rows.iter().filter(|row| row.count.is_none()).collect();
        rows.sort_by_key(|row| (row.source, row.stamp, row.line));
        let mut by_zone: Span = None;
        for of_source in rows.chunk_by(|a, b| a.source == b.source) {
            let Some(source) = of_source.first().map(|row| row.source) else { continue };
            match self.sensor(source) {
                Ok(sensor) => self.of_source(of_source, sensor, &mut by_zone, found)?,
                Err(reason) => {
                    for row in of_source {
                        found.reject(row.line, reason.clone());
                    }
                }
            }
        }
        found.notes(by_zone.map(|(first, last)| ClockNote::not_shown(first, last)));
        Ok(())
    }

    fn of_source(
        &self,
        rows: &[&FileRow],
        sensor: &Sensor,
        by_zone: &mut Span,
        found: &mut Gathered,
    ) -> Result<(), ImportError> {
        let same_stamp = |a: &&FileRow, b: &&FileRow| a.stamp == b.stamp;
        // What says the same under one stamp is one reading.
        let of_stamps: Vec<&[&FileRow]> = rows
            .chunk_by(same_stamp)
            .flat_map(|of_stamp| of_stamp.chunk_by(|a, b| a.cell == b.cell))
            .collect();
        let mut clocks = self.clocks(&of_stamps, sensor);
        found.notes(std::mem::take(&mut clocks.notes));
        let mut clocks = clocks.of_rows.into_iter();
        for of_stamp in rows.chunk_by(same_stamp) {
            let said: Vec<_> = of_stamp.chunk_by(|a, b| a.cell == b.cell).collect();
            // Different readings under one stamp: the clock went back, and nothing tells which came
            // first.
            let twice = said.len() > 1;
            for (rows, clock) in said.into_iter().zip(&mut clocks) {
                for row in rows {
                    let measurement = measurement(row.cell, row.line, sensor)?;
                    let shown = found.scales().check(measurement, sensor);
                    let placed = shown
                        .and_then(|shown| self.by_stamp(row, sensor, shown, twice, clock.clone()));
                    if let Ok((_, Some(offset))) = placed {
                        let at = (row.stamp, offset);
                        let first = by_zone.map_or(at, |(first, _)| first.min(at));
                        *by_zone = Some((first, by_zone.map_or(at, |(_, last)| last.max(at))));
                    }
                    found.row(row.line, placed.map(|(reading, _)| reading));
                }
            }
        }
        Ok(())
    }

    /// What the clock of each reading was.
    fn clocks(&self, readings: &[&[&FileRow]], sensor: &Sensor) -> clock::Unticked {
        let counts = !self.is_of_another_zone(sensor) && !self.options.replace;
        let row = |(id, rows): (usize, &&[&FileRow])| {
            let row = rows.first()?;
            let mut there = self.stored.by_stamp(row.source, row.stamp).filter(|_| counts);
            let there = there.next().and_then(|place| self.stored.reading(place));
            Some(ClockedRow {
                id,
                tick: 0,
                stamp: row.stamp,
                source: row.source,
                stored: there.and_then(Reading::offset).map(UtcOffset::seconds),
                in_file: true,
            })
        };
        let rows = readings.iter().enumerate().filter_map(row).collect();
        let cell = |id: usize| Some(readings.get(id)?.first()?.cell);
        let circumstances = Circumstances { zone: self.zone, answers: &self.options.answers };
        clock::offsets_of_stamps(rows, |a, b| cell(a) != cell(b), &circumstances)
    }

    /// A row's reading, and its offset if only the zone places it.
    fn by_stamp(
        &self,
        row: &FileRow,
        sensor: &Sensor,
        measurement: Measurement,
        twice: bool,
        clock: Clock,
    ) -> Result<(Reading, Option<UtcOffset>), ReadingError> {
        let there: Vec<_> = self
            .stored
            .by_stamp(row.source, row.stamp)
            .filter_map(|place| self.stored.reading(place).map(|there| (place, there)))
            .collect();
        let same =
            there.iter().find(|(_, there)| there.measurement().says_the_same_as(measurement));
        // With a count stored, the row is that one, and its instant is known better than by zone.
        let matched = same.or(if twice || there.len() > 1 { None } else { there.first() });
        let counted = matched.filter(|(place, _)| !self.stored.is_stamped(*place));
        if let Some((_, there)) = counted {
            return Ok((at(sensor, there, measurement)?, None));
        }
        if twice || (matched.is_none() && !there.is_empty()) {
            return Err(TimeError::Ambiguous.into());
        }
        let (offset, basis) = clock?;
        let record = stored::record_of_stamp(row.stamp)?;
        let instant = row.stamp - offset.seconds();
        let placed = reading(sensor, instant, offset, measurement)?.with_record_key(record);
        let is_zones = self.zone.offset_at(instant) == offset && basis != ClockBasis::Told;
        let uncertain = is_zones.then_some(offset);
        let Some((_, there)) = matched.filter(|(_, there)| there.seconds() != instant) else {
            return Ok((placed, uncertain));
        };
        if self.is_of_another_zone(sensor) {
            return Err(self.earlier(sensor, there.offset()));
        }
        if self.options.replace || basis == ClockBasis::Told || self.was_a_guess(there, basis) {
            return Ok((placed, uncertain));
        }
        // A file with counts has moved it since.
        Ok((at(sensor, there, measurement)?, None))
    }

    /// Whether a stored row was placed by the zone alone, and the stamps now show better.
    fn was_a_guess(&self, there: &Reading, basis: ClockBasis) -> bool {
        let by_zone = there.offset() == Some(self.zone.offset_at(there.seconds()));
        by_zone && matches!(basis, ClockBasis::ZoneChange | ClockBasis::Return)
    }
}

/// A reading where the same row is stored.
fn at(sensor: &Sensor, there: &Reading, measurement: Measurement) -> Result<Reading, ReadingError> {
    let offset = there.offset().ok_or(TimeError::NoOffset)?;
    let placed = reading(sensor, there.seconds(), offset, measurement)?;
    Ok(match there.record_key() {
        Some(record) => placed.with_record_key(record.clone()),
        None => placed,
    })
}
