//! Rows with nothing but their local stamp: placed where the same row is stored already, else by
//! what the host says of the device's clock, else by the person's time zone.

use super::super::clock::{Circumstances, StampClock};
use super::super::{ClockBasis, ClockNote, Gathered, ImportError};
use super::sources::measurement;
use super::{FileRow, Placing, reading, stored};
use crate::glucose::{Measurement, Reading, ReadingError, Sensor, TimeError, UtcOffset};

/// How far, in seconds, a sensor's steady pace wanders: two readings closer than this are of two
/// times, or of two devices.
const WANDER: i64 = 60;

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
        let circumstances = Circumstances { zone: self.zone, answers: &self.options.answers };
        let first = rows.first().map_or(0, |row| row.stamp);
        let clock = StampClock::new(&circumstances, first);
        for close in rows.chunk_by(|a, b| b.stamp - a.stamp < WANDER) {
            // Different readings at one time: the clock went back, or two devices share a name.
            let twice = close
                .windows(2)
                .any(|pair| matches!(pair, [a, b] if !a.cell.says_the_same_as(b.cell)));
            for row in close {
                let measurement = measurement(row.cell, row.line, sensor)?;
                let shown = found.scales().check(measurement, sensor);
                let placed =
                    shown.and_then(|shown| self.by_stamp(row, sensor, shown, twice, &clock));
                if let Ok((_, Some(offset))) = placed {
                    let at = (row.stamp, offset);
                    let first = by_zone.map_or(at, |(first, _)| first.min(at));
                    *by_zone = Some((first, by_zone.map_or(at, |(_, last)| last.max(at))));
                }
                found.row(row.line, placed.map(|(reading, _)| reading));
            }
        }
        Ok(())
    }

    /// A row's reading, and its offset if only the zone places it.
    fn by_stamp(
        &self,
        row: &FileRow,
        sensor: &Sensor,
        measurement: Measurement,
        twice: bool,
        clock: &StampClock<'_>,
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
        let (offset, basis) = clock.offset(row.stamp)?;
        let record = stored::record_of_stamp(row.stamp)?;
        let instant = row.stamp - offset.seconds();
        let placed = reading(sensor, instant, offset, measurement)?.with_record_key(record);
        let uncertain = (basis != ClockBasis::Told).then_some(offset);
        // A row of another stamp is known to stand there: the clock moved, and the zone is wrong.
        let is_taken = matched.is_none() && self.stored.has_instant(row.source, instant);
        if is_taken && uncertain.is_some() && !self.options.replace {
            return Err(TimeError::Ambiguous.into());
        }
        let Some((_, there)) = matched.filter(|(_, there)| there.seconds() != instant) else {
            return Ok((placed, uncertain));
        };
        if self.is_of_another_zone(sensor) {
            return Err(self.earlier(sensor, there.offset()));
        }
        if self.options.replace || basis == ClockBasis::Told {
            return Ok((placed, uncertain));
        }
        // A file with counts has moved it since.
        Ok((at(sensor, there, measurement)?, None))
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
