//! Rows with nothing but their local stamp: placed in the person's time zone, or where the same row
//! is stored already.

use super::super::clock::resolve;
use super::super::{Found, ImportError};
use super::sources::measurement;
use super::{FileRow, Placing, reading, stored};
use crate::glucose::{Measurement, Reading, ReadingError, Sensor, TimeError};

impl Placing<'_> {
    pub(super) fn stamped(&self, found: &mut Found) -> Result<(), ImportError> {
        let mut rows: Vec<_> = self.file.rows.iter().filter(|row| row.count.is_none()).collect();
        rows.sort_by_key(|row| (row.source, row.stamp, row.line));
        for of_stamp in rows.chunk_by(|a, b| (a.source, a.stamp) == (b.source, b.stamp)) {
            let Some(source) = of_stamp.first().map(|row| row.source) else { continue };
            let sensor = match self.sensor(source) {
                Ok(sensor) => sensor,
                Err(reason) => {
                    for row in of_stamp {
                        found.reject(row.line, reason.clone());
                    }
                    continue;
                }
            };
            // Different readings under one stamp: the person travelled west, and nothing tells
            // which came first.
            let twice = of_stamp.windows(2).any(|pair| match pair {
                [a, b] => a.cell != b.cell,
                _ => false,
            });
            for row in of_stamp {
                let measurement = measurement(row.cell, row.line, sensor)?;
                let shown = found.scales().check(measurement, sensor);
                let placed = shown.and_then(|shown| self.by_stamp(row, sensor, shown, twice));
                found.row(row.line, placed);
            }
        }
        Ok(())
    }

    fn by_stamp(
        &self,
        row: &FileRow,
        sensor: &Sensor,
        measurement: Measurement,
        twice: bool,
    ) -> Result<Reading, ReadingError> {
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
            return at(sensor, there, measurement);
        }
        if twice || (matched.is_none() && !there.is_empty()) {
            return Err(TimeError::Ambiguous.into());
        }
        let placed = resolve(self.zone, row.stamp).map_err(ReadingError::Time).and_then(|offset| {
            let record = stored::record_of_stamp(row.stamp)?;
            let instant = row.stamp - offset.seconds();
            Ok(reading(sensor, instant, offset, measurement)?.with_record_key(record))
        });
        match (matched, placed) {
            (Some((_, there)), Ok(placed)) if there.seconds() != placed.seconds() => {
                if self.is_of_another_zone(sensor) {
                    Err(self.earlier(sensor, there.offset()))
                } else if self.options.replace {
                    Ok(placed)
                } else {
                    // A file with counts has moved it since.
                    at(sensor, there, measurement)
                }
            }
            (_, placed) => placed,
        }
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
