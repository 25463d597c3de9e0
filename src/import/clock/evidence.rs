//! Which bases put a transmitter's rows into the given time zone, which the zone's own changes of
//! the clocks prove, and which the host or the store names.

use super::segments::Track;
use super::{ClockAnswer, local};
use crate::glucose::{LocalInstant, TimeError, UtcOffset, ZoneOffsets};
use std::collections::HashMap;

/// A change of the zone's clocks counts as seen only if the rows around it are closer than this.
const CLOSE: i64 = 6 * 3600;

/// What is known of one transmitter's base.
pub(super) struct Evidence {
    /// How many rows are at the zone's own offset, by base.
    pub(super) home: HashMap<i64, usize>,
    /// What the host said.
    pub(super) told: Option<i64>,
    /// The base at which a step of the clock is a change of the zone's clocks, at its very instant.
    pub(super) zone_change: Option<i64>,
    /// The base under which most of its stored rows are stored.
    pub(super) stored: Option<i64>,
    /// The stamp of the first stored row.
    pub(super) first_stored: Option<i64>,
}

impl Evidence {
    pub(super) fn of(track: &Track, zone: &ZoneOffsets, answers: &[ClockAnswer]) -> Self {
        let mut home = HashMap::new();
        let mut stored = HashMap::new();
        let mut first_stored = None;
        for (row, relative) in track.rows() {
            match zone.resolve(local(row.stamp)) {
                LocalInstant::Single(offset) => count(&mut home, offset.seconds() - relative),
                LocalInstant::Fold(earlier, later) => {
                    count(&mut home, earlier.seconds() - relative);
                    count(&mut home, later.seconds() - relative);
                }
                LocalInstant::Gap { .. } => {}
            }
            if let Some(offset) = row.stored {
                count(&mut stored, offset - relative);
                first_stored = first_stored.or(Some(row.stamp));
            }
        }
        let zone_change = most(&zone_changes(track, zone));
        let told = answers.iter().rev().find_map(|answer| told(track, answer));
        Self { told, zone_change, stored: most(&stored), home, first_stored }
    }
}

fn count(bases: &mut HashMap<i64, usize>, base: i64) {
    *bases.entry(base).or_default() += 1;
}

/// The base that most speaks for; of several the lowest, so that the answer never depends on the
/// order of a map.
fn most(bases: &HashMap<i64, usize>) -> Option<i64> {
    bases.iter().max_by_key(|(base, rows)| (**rows, -**base)).map(|(base, _)| *base)
}

/// The bases at which a step is one of the zone's: of its size, and between the rows before and
/// after its instant. A clock in another zone steps an hour off, or by something else.
fn zone_changes(track: &Track, zone: &ZoneOffsets) -> HashMap<i64, usize> {
    let mut bases = HashMap::new();
    for step in track.steps() {
        let ((before, relative), (after, _)) = (track.at(step.before), track.at(step.after));
        if after - before - step.by > CLOSE {
            continue;
        }
        let day = 86_400;
        for (at, from, to) in zone.changes_between(before - day, after + day) {
            let between = before - from.seconds() < at && at <= after - to.seconds();
            if between && to.seconds() - from.seconds() == step.by {
                count(&mut bases, from.seconds() - relative);
            }
        }
    }
    bases
}

/// The base that an answer means, if it is about this transmitter: by the row with that very stamp,
/// the first after a step before all others, else by the row before.
fn told(track: &Track, answer: &ClockAnswer) -> Option<i64> {
    let at = answer.at.and_utc().timestamp();
    let base = |relative: i64| answer.offset.seconds() - relative;
    let stepped = track.steps().iter().map(|step| track.at(step.after));
    if let Some((_, relative)) = stepped.clone().find(|(stamp, _)| *stamp == at) {
        return Some(base(relative));
    }
    if !(track.first_stamp()..=track.last_stamp()).contains(&at) {
        return None;
    }
    let exact = track.rows().find(|(row, _)| row.stamp == at);
    let row = exact.or_else(|| track.rows().rev().find(|(row, _)| row.stamp <= at))?;
    Some(base(row.1))
}

/// The one offset a local stamp can have, in a zone.
pub(super) fn resolve(zone: &ZoneOffsets, stamp: i64) -> Result<UtcOffset, TimeError> {
    match zone.resolve(local(stamp)) {
        LocalInstant::Single(offset) => Ok(offset),
        LocalInstant::Fold(..) => Err(TimeError::Ambiguous),
        LocalInstant::Gap { .. } => Err(TimeError::Skipped),
    }
}
