//! Places the readings of transmitters that count seconds.
//!
//! A transmitter's count knows neither time zones nor travel, so a reading's instant is the
//! transmitter's epoch plus its count. What the local stamps add is the UTC offset: they run beside
//! the count, and where they jump by a multiple of 15 minutes the person's clock changed its
//! offset. Nothing here reads a file.
//!
//! A transmitter's quartz drifts against the phone's clock: 89 s over 65 days and 107 s over 24
//! days in a real export. The instants follow the count, so they stay within two minutes of the
//! stamps there; offsets are told from jumps between neighbours, which drift does not touch.

use crate::glucose::{
    LocalInstant, Measurement, ReadingError, Sensor, SensorKey, TimeError, UtcOffset, ZoneOffsets,
};
use chrono::DateTime;
use std::collections::HashMap;

/// Every UTC offset in use is a multiple of this.
const OFFSET_STEP: i64 = 15 * 60;
/// A jump of the stamps smaller than this is a clock being set, never a change of offset.
const SMALLEST_JUMP: i64 = 10 * 60;
/// How far a change of offset may be from a multiple of 15 minutes, for the clock's own wander.
const JUMP_TOLERANCE: i64 = 150;
/// Two epochs of one transmitter closer than this are the same but for drift.
const SAME_EPOCH: i64 = 10 * 60;
/// Stamps of one transmitter further apart than the world's offsets (26 h) and drift belong to a
/// wrong date.
const FURTHEST_STAMP: i64 = 27 * 3600;
/// A person is taken to be where the last transmitter left them for so long; after that, at home.
const LONGEST_CARRY: i64 = 3 * 86_400;

/// A row with a count.
pub(super) struct TickRow {
    /// The line in the file.
    pub(super) row: usize,
    /// Seconds by the transmitter's count.
    pub(super) tick: i64,
    /// The local stamp, as if it were UTC.
    pub(super) stamp: i64,
    /// Which phone or receiver stamped it: each has a clock of its own.
    pub(super) source: usize,
    /// What the sensor said.
    pub(super) measurement: Measurement,
}

/// A transmitter's rows, in any order.
pub(super) struct Transmitter {
    pub(super) key: SensorKey,
    pub(super) rows: Vec<TickRow>,
}

/// A transmitter's rows in time.
pub(super) struct Placed {
    pub(super) key: SensorKey,
    /// The unix second of the transmitter's count 0; none where no row means one instant only.
    epoch: Option<i64>,
    /// Whether a stored epoch had a say.
    bound: bool,
    /// Why none of it is taken.
    refused: Option<ReadingError>,
    rows: Vec<(TickRow, Result<UtcOffset, ReadingError>)>,
}

impl Placed {
    /// The epoch to store; none where nothing is taken.
    pub(super) fn epoch(&self) -> Option<i64> {
        self.epoch.filter(|_| self.refused.is_none())
    }

    /// The source of the first row.
    pub(super) fn source(&self) -> Option<usize> {
        self.rows.first().map(|(row, _)| row.source)
    }

    /// Each row with its instant in unix seconds and the offset of the person's clock, or why it is
    /// not taken.
    pub(super) fn into_rows(
        self,
    ) -> impl Iterator<Item = (TickRow, Result<(i64, UtcOffset), ReadingError>)> {
        let epoch = self.epoch.unwrap_or_default();
        self.rows.into_iter().map(move |(row, offset)| {
            let placed =
                self.refused.clone().map_or(offset, Err).map(|offset| (epoch + row.tick, offset));
            (row, placed)
        })
    }
}

/// Where the person was, against the zone's clock.
#[derive(Clone, Copy)]
struct Whereabouts {
    stamp: i64,
    /// The person's offset less the zone's, in seconds.
    deviation: i64,
}

/// Places every transmitter, the earliest first, so that a person who travels stays abroad when the
/// transmitter is changed.
pub(super) fn place<'a>(
    transmitters: Vec<Transmitter>,
    zone: &ZoneOffsets,
    known: impl Fn(&SensorKey) -> Option<&'a Sensor>,
) -> Vec<Placed> {
    let mut sorted: Vec<_> =
        transmitters.into_iter().map(|transmitter| sort(transmitter, zone)).collect();
    sorted.sort_by(|a, b| (a.first_stamp(), &a.key).cmp(&(b.first_stamp(), &b.key)));
    let mut placed: Vec<Placed> = Vec::with_capacity(sorted.len());
    for transmitter in sorted {
        let before = placed
            .last()
            .and_then(|previous| whereabouts(previous, transmitter.first_stamp()?, zone));
        let known = known(&transmitter.key);
        placed.push(transmitter.place(before, zone, known));
    }
    refuse_beside_refused(&mut placed);
    placed
}

/// Where a stored transmitter shows that the file was given another zone, the new ones after it
/// (and before it, at the start of the file) would be stored at wrong instants, and bind them: they
/// are refused with it.
fn refuse_beside_refused(placed: &mut [Placed]) {
    let mut reason =
        placed.iter().find(|placed| placed.bound).and_then(|placed| placed.refused.clone());
    for transmitter in placed {
        if transmitter.bound {
            reason.clone_from(&transmitter.refused);
        } else {
            transmitter.refused.clone_from(&reason);
        }
    }
}

/// A transmitter's rows by count, those of a wrong date set apart.
struct Sorted<'z> {
    key: SensorKey,
    rows: Vec<TickRow>,
    astray: Vec<TickRow>,
    zone: &'z ZoneOffsets,
}

fn sort(mut transmitter: Transmitter, zone: &ZoneOffsets) -> Sorted<'_> {
    let mut skews: Vec<_> = transmitter.rows.iter().map(|row| row.stamp - row.tick).collect();
    let middle = skews.len() / 2;
    let median = if skews.is_empty() { 0 } else { *skews.select_nth_unstable(middle).1 };
    transmitter.rows.sort_by_key(|row| (row.tick, row.stamp, row.row));
    let (rows, astray) = transmitter
        .rows
        .into_iter()
        .partition(|row| (row.stamp - row.tick - median).abs() <= FURTHEST_STAMP);
    Sorted { key: transmitter.key, rows, astray, zone }
}

impl Sorted<'_> {
    fn first_stamp(&self) -> Option<i64> {
        self.rows.first().map(|row| row.stamp)
    }

    /// The epoch that the zone implies: by the first row whose stamp means one instant only.
    /// Otherwise why there is none.
    fn implied_epoch(&self, deviation: i64) -> Result<(i64, &TickRow), TimeError> {
        let mut reason = TimeError::Unreadable;
        for row in &self.rows {
            match resolve(self.zone, row.stamp - deviation) {
                Ok(offset) => {
                    return Ok((row.stamp - deviation - offset.seconds() - row.tick, row));
                }
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    fn place(
        self,
        before: Option<Whereabouts>,
        zone: &ZoneOffsets,
        known: Option<&Sensor>,
    ) -> Placed {
        let deviation = before.map_or(0, |before| before.deviation);
        let implied = self.implied_epoch(deviation);
        let known = known.and_then(|sensor| Some((sensor, sensor.tick_epoch()?)));
        let same_zone = known.is_some_and(|(sensor, _)| sensor.zone() == Some(zone.name()));
        let (epoch, refused) = match (known, implied) {
            (None, Ok((epoch, _))) => (Ok(epoch), None),
            (None, Err(reason)) => (Err(reason), None),
            // The same zone by name: the person travelled in between, and the stored epoch knows
            // better.
            (Some((_, bound)), _) if same_zone => (Ok(bound), None),
            (Some((_, bound)), Err(_)) => (Ok(bound), None),
            (Some((_, bound)), Ok((epoch, _))) if (epoch - bound).abs() < SAME_EPOCH => {
                (Ok(bound), None)
            }
            // The next transmitter is judged by where this zone would have left the person.
            (Some((sensor, bound)), Ok((epoch, anchor))) => {
                let earlier = earlier(sensor, zone, anchor.stamp - anchor.tick - bound);
                (Ok(epoch), Some(ReadingError::AlreadyImportedElsewhere { earlier }))
            }
        };
        let mut rows: Vec<_> = match epoch {
            Ok(epoch) => offsets(self.rows, epoch, deviation, zone),
            Err(reason) => self.rows.into_iter().map(|row| (row, Err(reason.into()))).collect(),
        };
        rows.extend(
            self.astray.into_iter().map(|row| (row, Err(ReadingError::Column("Transmitter Time")))),
        );
        Placed { key: self.key, epoch: epoch.ok(), bound: known.is_some(), refused, rows }
    }
}

/// The one offset a local stamp can have, in a zone.
pub(super) fn resolve(zone: &ZoneOffsets, stamp: i64) -> Result<UtcOffset, TimeError> {
    let local = DateTime::from_timestamp(stamp, 0).ok_or(TimeError::Unreadable)?.naive_utc();
    match zone.resolve(local) {
        LocalInstant::Single(offset) => Ok(offset),
        LocalInstant::Fold(..) => Err(TimeError::Ambiguous),
        LocalInstant::Gap { .. } => Err(TimeError::Skipped),
    }
}

/// What the zone of an earlier import is called: by name where it is stored, else by the offset it
/// gave, in seconds.
pub(super) fn earlier(sensor: &Sensor, zone: &ZoneOffsets, offset: i64) -> String {
    let named = sensor.zone().filter(|name| *name != zone.name()).map(str::to_owned);
    let minutes = i32::try_from(nearest_offset(offset) / 60).unwrap_or(i32::MAX);
    let offset = || UtcOffset::from_minutes(minutes).map(|offset| offset.to_string());
    named.or_else(|| offset().ok()).unwrap_or_else(|| "another time zone".to_owned())
}

/// Where the person was when `stamp` was written, by the last row of `previous` before it.
fn whereabouts(previous: &Placed, stamp: i64, zone: &ZoneOffsets) -> Option<Whereabouts> {
    let epoch = previous.epoch?;
    let last = previous.rows.iter().rev().find_map(|(row, offset)| {
        let offset = offset.as_ref().ok().filter(|_| row.stamp <= stamp)?;
        let deviation = offset.seconds() - zone.offset_at(epoch + row.tick).seconds();
        Some(Whereabouts { stamp: row.stamp, deviation })
    })?;
    (stamp - last.stamp <= LONGEST_CARRY).then_some(last)
}

/// The offset of each row, told from how the stamps run beside the count.
fn offsets(
    rows: Vec<TickRow>,
    epoch: i64,
    deviation: i64,
    zone: &ZoneOffsets,
) -> Vec<(TickRow, Result<UtcOffset, ReadingError>)> {
    let mut clocks: HashMap<usize, LocalClock> = HashMap::new();
    let mut last = None;
    let place = |row: TickRow| {
        let ahead = row.stamp - row.tick - epoch;
        let offset = match clocks.entry(row.source) {
            std::collections::hash_map::Entry::Occupied(mut clock) => clock.get_mut().next(ahead),
            std::collections::hash_map::Entry::Vacant(slot) => {
                let expected =
                    last.unwrap_or_else(|| zone.offset_at(epoch + row.tick).seconds() + deviation);
                slot.insert(LocalClock::first(ahead, expected)).offset
            }
        };
        last = Some(offset);
        let minutes = i32::try_from(offset / 60).map_err(|_| TimeError::Offset);
        let offset = minutes.and_then(UtcOffset::from_minutes).map_err(ReadingError::Time);
        (row, offset)
    };
    rows.into_iter().map(place).collect()
}

/// One phone's or receiver's clock against the transmitter's: how far ahead of UTC by the count,
/// and how much of that is offset.
struct LocalClock {
    ahead: i64,
    offset: i64,
    /// By how much the clock was set wrong by hand: no offset, and taken back some day.
    wrong: i64,
}

impl LocalClock {
    fn first(ahead: i64, expected: i64) -> Self {
        // Drift since the epoch can reach minutes: where the expected offset explains the stamp, it
        // is that one.
        let offset =
            if (ahead - expected).abs() < SMALLEST_JUMP { expected } else { nearest_offset(ahead) };
        Self { ahead, offset, wrong: 0 }
    }

    fn next(&mut self, ahead: i64) -> i64 {
        let jump = ahead - self.ahead;
        self.ahead = ahead;
        if jump.abs() < SMALLEST_JUMP {
            return self.offset;
        }
        let near = |jump: i64| (jump - nearest_offset(jump)).abs() <= JUMP_TOLERANCE;
        if near(jump) {
            self.offset += nearest_offset(jump);
        } else if near(self.wrong + jump) {
            self.offset += nearest_offset(self.wrong + jump);
            self.wrong = 0;
        } else {
            self.wrong += jump;
        }
        self.offset
    }
}

/// The nearest multiple of 15 minutes.
const fn nearest_offset(seconds: i64) -> i64 {
    (seconds + OFFSET_STEP / 2).div_euclid(OFFSET_STEP) * OFFSET_STEP
}
