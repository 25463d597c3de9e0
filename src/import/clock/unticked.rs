//! Rows without a transmitter's count: what their stamps alone show of the clock.
//!
//! A sensor measures at a steady pace. A clock that goes back stamps twice as many readings, for as
//! long as it went back: that is proof. One that goes forward leaves a gap of just that length: that
//! is taken for a move only if the zone's clocks went forward then by as much, or if the clock went
//! back by as much at another time, for who travels comes home. What else happened to the clock in
//! a gap nobody can tell: that the export does not show it is a [`ClockNote`] of its own, by the
//! caller.

use super::evidence::resolve;
use super::segments::Track;
use super::{Circumstances, ClockBasis, ClockEvent, ClockNote, ClockedRow, choice, notes, offset};
use crate::glucose::{ReadingError, TimeError, UtcOffset, ZoneOffsets};
use crate::sorting::sort;

/// Seconds from one reading to the next.
const INTERVAL: i64 = 300;
/// How far the pace wanders. Two readings closer than this are of two times.
const WANDER: i64 = 60;
/// So many pairs of close readings are a clock that went back; one may be anything.
const FEWEST_PAIRS: usize = 2;
/// Pairs further apart are not of one move: so many readings may be missing between them.
const FURTHEST_PAIRS: i64 = 4 * INTERVAL;
/// What a clock goes back by is a multiple of this: its length is known by whole readings only.
const HALF_HOUR: i64 = 30 * 60;
/// No clock goes back by more than the world's offsets are apart: what is doubled for longer are two
/// devices under one name.
const FURTHEST_BACK: i64 = 26 * 3600;

/// Which offset each row has, by its id, and what had to be assumed.
pub(in crate::import) struct Unticked {
    pub(in crate::import) of_rows: Vec<Result<(UtcOffset, ClockBasis), ReadingError>>,
    pub(in crate::import) notes: Vec<ClockNote>,
}

/// Chooses the offsets of one device's rows, in order of their stamps, whose ids are 0 to one less
/// than their number. Their ticks are not looked at. `differ` tells of two ids whether their rows say different things: who
/// says the same twice did not go back.
pub(in crate::import) fn offsets_of_stamps(
    mut rows: Vec<ClockedRow>,
    differ: impl Fn(usize, usize) -> bool,
    circumstances: &Circumstances<'_>,
) -> Unticked {
    let backwards = moves_back(&rows, differ);
    // Of two hours under the same stamps nothing tells which row is of which.
    let ambiguous = Err(ReadingError::Time(TimeError::Ambiguous));
    let mut unticked = Unticked { of_rows: vec![ambiguous; rows.len()], notes: Vec::new() };
    rows.retain(|row| {
        let next = backwards.partition_point(|back| back.last < row.stamp);
        if backwards.get(next).is_some_and(|back| back.first <= row.stamp) {
            return false;
        }
        let resolved = resolve(circumstances.zone, row.stamp);
        if let (Err(reason), Some(place)) = (resolved, unticked.of_rows.get_mut(row.id)) {
            *place = Err(reason.into());
        }
        resolved.is_ok()
    });
    let stretches = stretches(&rows, &backwards, circumstances.zone);
    let tracks: Vec<Track> = stretches.into_iter().filter_map(Track::of).collect();
    for chain in choice::chains(&tracks) {
        unticked.place(chain, circumstances);
    }
    unticked
}

impl Unticked {
    fn place(&mut self, chain: &[Track], circumstances: &Circumstances<'_>) {
        let choice = choice::choose(chain, circumstances);
        let bases: Vec<_> = match &choice {
            Ok(choice) => choice.bases().map(|base| Ok((base, choice.basis))).collect(),
            Err(reason) => vec![Err(*reason); chain.len()],
        };
        for (track, base) in chain.iter().zip(bases) {
            for (row, relative) in track.rows() {
                let placed = base.and_then(|(base, basis)| Ok((offset(base + relative)?, basis)));
                if let Some(place) = self.of_rows.get_mut(row.id) {
                    *place = placed.map_err(ReadingError::Time);
                }
            }
        }
        let Ok(choice) = choice else { return };
        let notes = notes::of_chain(chain, &choice, circumstances.zone).into_iter();
        // A stretch is no transmitter; and no stamp proves what only a count can.
        let notes = notes.filter(|note| note.event != ClockEvent::NewTransmitter);
        self.notes
            .extend(notes.map(|note| ClockNote { open: choice.basis != ClockBasis::Told, ..note }));
    }
}

/// A move of the clock backwards: the stamps that readings of before and after it share.
struct Back {
    first: i64,
    last: i64,
    /// Seconds by which it went back.
    by: i64,
}

/// Where the clock went back, by rows in order of their stamps.
fn moves_back(rows: &[ClockedRow], differ: impl Fn(usize, usize) -> bool) -> Vec<Back> {
    let mut found: Vec<(Back, usize)> = Vec::new();
    let pairs = rows.windows(2).filter_map(|pair| match pair {
        [a, b] if b.stamp - a.stamp < WANDER && differ(a.id, b.id) => Some((a.stamp, b.stamp)),
        _ => None,
    });
    for (first, last) in pairs {
        match found.last_mut() {
            Some((back, pairs)) if first - back.last <= FURTHEST_PAIRS => {
                back.last = last;
                *pairs += 1;
            }
            _ => found.push((Back { first, last, by: 0 }, 1)),
        }
    }
    let whole = |(back, pairs): (Back, usize)| {
        let long = back.last - back.first + INTERVAL;
        let by = (long + HALF_HOUR / 2) / HALF_HOUR * HALF_HOUR;
        let is_move = pairs >= FEWEST_PAIRS && (1..=FURTHEST_BACK).contains(&by);
        is_move.then_some(Back { by, ..back })
    };
    found.into_iter().filter_map(whole).collect()
}

/// The rows by stretches in which each step of the clock is seen, with the ticks that a transmitter
/// would have counted.
fn stretches(rows: &[ClockedRow], backwards: &[Back], zone: &ZoneOffsets) -> Vec<Vec<ClockedRow>> {
    let mut stretches: Vec<Vec<ClockedRow>> = Vec::new();
    let mut lengths: Vec<_> = backwards.iter().map(|back| back.by).collect();
    sort(&mut lengths);
    lengths.dedup();
    let seen = Seen { backwards, lengths, zone };
    let (mut last, mut relative) = (None, 0);
    for row in rows {
        let step = last.map_or(Some(0), |last| seen.step(last, row.stamp));
        last = Some(row.stamp);
        relative = step.map_or(0, |step| relative + step);
        let row = ClockedRow { tick: row.stamp - relative, ..*row };
        match stretches.last_mut().filter(|_| step.is_some()) {
            Some(stretch) => stretch.push(row),
            None => stretches.push(vec![row]),
        }
    }
    stretches
}

/// What the stamps of a file show of its clock.
struct Seen<'a> {
    backwards: &'a [Back],
    /// By how much it went back, each once.
    lengths: Vec<i64>,
    zone: &'a ZoneOffsets,
}

impl Seen<'_> {
    /// By how much the clock stepped between two stamps that follow each other; `None` if the
    /// zone's clocks changed between them, and the stamps do not show whether it followed.
    fn step(&self, before: i64, after: i64) -> Option<i64> {
        let next = self.backwards.partition_point(|back| back.first <= before);
        let between = self.backwards.get(next..).unwrap_or_default();
        let back: i64 =
            between.iter().take_while(|back| back.last < after).map(|back| back.by).sum();
        if back > 0 {
            return Some(-back);
        }
        let is_gap_of = |by: i64| (after - before - INTERVAL - by).abs() <= WANDER;
        let offset = |stamp| resolve(self.zone, stamp).map_or(0, UtcOffset::seconds);
        match offset(after) - offset(before) {
            0 => Some(self.lengths.iter().copied().find(|by| is_gap_of(*by)).unwrap_or(0)),
            change => is_gap_of(change).then_some(change),
        }
    }
}
