//! Chooses one base for each transmitter of a chain.
//!
//! Transmitters that follow each other within days are a chain: the person stays where the last one
//! left them. The evidence, best first:
//!
//! 1. what the host said of this transmitter;
//! 2. a change of the zone's clocks, seen in the stamps at its very instant;
//! 3. the clock was away from home and came back to it, and was at home most of the time;
//! 4. how the rows are stored, unless the rows reach further back than those, or the clock was at
//!    home at both ends, and not as they are stored;
//! 5. the clock was at home at both ends; at the end, for days; for most rows.
//!
//! A transmitter without evidence of the first two kinds takes the whereabouts of its neighbour.

use super::evidence::Evidence;
use super::segments::Track;
use super::{Circumstances, ClockBasis, LONGEST_CARRY, local};
use crate::glucose::{LocalInstant, TimeError, ZoneOffsets};
use crate::sorting::sort_by_key;
use std::cmp::Reverse;
use std::collections::HashSet;

/// The offsets in use on earth, in seconds.
const OFFSETS_IN_USE: std::ops::RangeInclusive<i64> = -12 * 3600..=14 * 3600;
/// A last stretch this long is where the person is at home, who now names that zone; a shorter one
/// may be a journey under way.
const LONG_STRETCH: i64 = 3 * 86_400;
/// Rows that reach back further than what is stored by this know more than what is stored.
const FURTHER_BACK: i64 = 86_400;
/// How many ways to read a chain are weighed.
const MOST_WAYS: usize = 64;
/// How many are looked at for that.
const MOST_LOOKED_AT: usize = 512;

/// What was chosen for a chain.
pub(super) struct Choice {
    chosen: Vec<i64>,
    /// The best evidence there was.
    pub(super) basis: ClockBasis,
    /// The other ways to read the chain.
    pub(super) others: Vec<Vec<i64>>,
}

impl Choice {
    /// The base of each transmitter, in the chain's order.
    pub(super) fn bases(&self) -> impl Iterator<Item = i64> {
        self.chosen.iter().copied()
    }
}

/// Parts tracks in order of time into chains.
pub(super) fn chains(tracks: &[Track]) -> Vec<&[Track]> {
    let mut chains = Vec::new();
    let (mut rest, mut from, mut last) = (tracks, 0, i64::MIN);
    while let Some(track) = rest.get(from) {
        if from > 0 && track.first_stamp() - last > LONGEST_CARRY {
            let (chain, after) = rest.split_at(from);
            chains.push(chain);
            (rest, from, last) = (after, 0, i64::MIN);
            continue;
        }
        last = last.max(track.last_stamp());
        from += 1;
    }
    if !rest.is_empty() {
        chains.push(rest);
    }
    chains
}

/// Chooses the bases of a chain.
pub(super) fn choose(
    chain: &[Track],
    circumstances: &Circumstances<'_>,
) -> Result<Choice, TimeError> {
    let zone = circumstances.zone;
    let evidence: Vec<_> =
        chain.iter().map(|track| Evidence::of(track, zone, circumstances.answers)).collect();
    let links = chain.windows(2).map(|pair| match pair {
        [before, after] => link(before, after),
        _ => 0,
    });
    let chain = Chain { tracks: chain, links: links.collect(), evidence, zone };
    let ways = chain.ways();
    let choice = |(chosen, basis): (Vec<i64>, ClockBasis)| {
        let others = ways.iter().map(|way| way.bases.clone()).filter(|way| *way != chosen);
        Choice { others: others.collect(), chosen, basis }
    };
    let told = |evidence: &Evidence| evidence.told;
    let proven = |evidence: &Evidence| evidence.told.or(evidence.zone_change);
    if let Some(bases) = chain.anchored(proven) {
        let basis = match chain.anchored(told) {
            Some(_) => ClockBasis::Told,
            None => ClockBasis::ZoneChange,
        };
        return Ok(choice((bases, basis)));
    }
    let rows: usize = chain.tracks.iter().map(Track::len).sum();
    let returned = |way: &&Way| way.ends_home && way.home < rows && way.home * 2 > rows;
    if let Some(way) = ways.iter().find(returned) {
        return Ok(choice((way.bases.clone(), ClockBasis::Return)));
    }
    let ends_home = ways.first().is_some_and(|way| way.ends_home);
    // What is stored may be the guess of a file that held less.
    if !chain.reaches_further_back()
        && let Some(bases) = chain.anchored(|evidence| evidence.stored)
        && (!ends_home || chain.way(bases.clone()).ends_home)
    {
        return Ok(choice((bases, ClockBasis::Stored)));
    }
    let Some(best) = ways.first() else { return Err(TimeError::Skipped) };
    if ways.iter().skip(1).any(|way| way.home == rows) && best.home == rows {
        return Err(TimeError::Ambiguous);
    }
    let basis = if best.last_home { ClockBasis::LastStretch } else { ClockBasis::LongestStretch };
    Ok(choice((best.bases.clone(), if best.home == rows { ClockBasis::Zone } else { basis })))
}

/// One way to read a chain.
struct Way {
    bases: Vec<i64>,
    /// Rows at the zone's own offset.
    home: usize,
    /// Whether the first and the last row are.
    ends_home: bool,
    /// Whether the last days are.
    last_home: bool,
}

/// Transmitters that follow each other, with what is known of each.
struct Chain<'a> {
    tracks: &'a [Track],
    /// For each track but the last: the row of it that the next track's first row follows.
    links: Vec<usize>,
    evidence: Vec<Evidence>,
    zone: &'a ZoneOffsets,
}

impl Chain<'_> {
    /// Every way that has some row at home and no offset that is not in use, the best first.
    fn ways(&self) -> Vec<Way> {
        let mut bases: Vec<_> = self
            .evidence
            .iter()
            .enumerate()
            .flat_map(|(at, evidence)| {
                evidence.home.iter().map(move |(base, rows)| (*rows, at, *base))
            })
            .collect();
        sort_by_key(&mut bases, |(rows, at, base)| (Reverse(*rows), *at, *base));
        let mut seen = HashSet::new();
        let mut ways: Vec<_> = bases
            .into_iter()
            .take(MOST_LOOKED_AT)
            .filter_map(|(_, at, base)| {
                let bases = self.anchored_at(at, base)?;
                (seen.len() < MOST_WAYS && seen.insert(bases.clone())).then_some(bases)
            })
            .filter(|bases| self.is_in_use(bases))
            .map(|bases| self.way(bases))
            .collect();
        // Stable: of equal ways the one found first stays first, which does not depend on a map.
        sort_by_key(&mut ways, |way| Reverse((way.ends_home, way.last_home, way.home)));
        ways
    }

    fn way(&self, bases: Vec<i64>) -> Way {
        let home = self.evidence.iter().zip(&bases);
        let home = home.filter_map(|(evidence, base)| evidence.home.get(base)).sum();
        let first = self.is_home(0, 0, &bases);
        let (last, row) = self.last();
        let last_home = self.is_home(last, row, &bases);
        let long = self.last_stretch() >= LONG_STRETCH;
        Way { home, ends_home: first && last_home, last_home: last_home && long, bases }
    }

    fn is_home(&self, track: usize, row: usize, bases: &[i64]) -> bool {
        let of = self.tracks.get(track).zip(bases.get(track));
        of.is_some_and(|(track, base)| deviation(track, row, *base, self.zone) == 0)
    }

    /// The place of the chain's last row: its track and its row there.
    fn last(&self) -> (usize, usize) {
        let last = self.tracks.len().saturating_sub(1);
        (last, self.tracks.last().map_or(0, |track| track.len() - 1))
    }

    /// How long the clock has not stepped, at the end.
    fn last_stretch(&self) -> i64 {
        let end = self.tracks.last().map_or(0, Track::last_stamp);
        let step = |track: &Track| track.steps().last().map(|step| track.at(step.after).0);
        let from = self.tracks.iter().rev().find_map(step);
        end - from.or(self.tracks.first().map(Track::first_stamp)).unwrap_or(end)
    }

    fn is_in_use(&self, bases: &[i64]) -> bool {
        self.tracks.iter().zip(bases).all(|(track, base)| {
            let (lowest, highest) = track.range();
            OFFSETS_IN_USE.contains(&(base + lowest)) && OFFSETS_IN_USE.contains(&(base + highest))
        })
    }

    fn reaches_further_back(&self) -> bool {
        let first = self.tracks.iter().map(Track::first_stamp).min();
        let stored = self.evidence.iter().filter_map(|evidence| evidence.first_stored).min();
        first.zip(stored).is_some_and(|(first, stored)| first < stored - FURTHER_BACK)
    }

    /// The bases of all by those of some: the others take the whereabouts of the transmitter before
    /// them, the first ones of the one after. `None` if there is no anchor.
    fn anchored(&self, anchor: impl Fn(&Evidence) -> Option<i64>) -> Option<Vec<i64>> {
        self.spread(&self.evidence.iter().map(anchor).collect::<Vec<_>>())
    }

    /// The bases of all by that of the track at `at`.
    fn anchored_at(&self, at: usize, base: i64) -> Option<Vec<i64>> {
        let mut anchors = vec![None; self.tracks.len()];
        *anchors.get_mut(at)? = Some(base);
        self.spread(&anchors)
    }

    fn spread(&self, anchors: &[Option<i64>]) -> Option<Vec<i64>> {
        let first = anchors.iter().position(Option::is_some)?;
        let mut bases = vec![0; anchors.len()];
        let mut base = anchors.get(first).copied().flatten()?;
        for at in (0..=first).rev() {
            if at < first {
                base = self.before(at, base)?;
            }
            *bases.get_mut(at)? = base;
        }
        base = anchors.get(first).copied().flatten()?;
        for at in first + 1..anchors.len() {
            base = match anchors.get(at).copied().flatten() {
                Some(anchor) => anchor,
                None => self.after(at, base)?,
            };
            *bases.get_mut(at)? = base;
        }
        Some(bases)
    }

    /// The base of the track at `at` by that of the track before it.
    fn after(&self, at: usize, base: i64) -> Option<i64> {
        let (before, track) = (self.tracks.get(at - 1)?, self.tracks.get(at)?);
        let deviation = deviation(before, *self.links.get(at - 1)?, base, self.zone);
        Some(base_for(track, 0, deviation, self.zone))
    }

    /// The base of the track at `at` by that of the track after it.
    fn before(&self, at: usize, base: i64) -> Option<i64> {
        let (track, after) = (self.tracks.get(at)?, self.tracks.get(at + 1)?);
        let deviation = deviation(after, 0, base, self.zone);
        Some(base_for(track, *self.links.get(at)?, deviation, self.zone))
    }
}

/// The row of `before` that the first row of `after` follows.
fn link(before: &Track, after: &Track) -> usize {
    let first = after.first_stamp();
    let last = (0..before.len()).rev().find(|row| before.at(*row).0 <= first);
    last.unwrap_or_default()
}

/// How far a row's offset is from the zone's, in seconds.
pub(super) fn deviation(track: &Track, row: usize, base: i64, zone: &ZoneOffsets) -> i64 {
    let (stamp, relative) = track.at(row);
    let offset = base + relative;
    offset - zone.offset_at(stamp - offset).seconds()
}

/// The base under which a row's offset is so far from the zone's.
pub(super) fn base_for(track: &Track, row: usize, deviation: i64, zone: &ZoneOffsets) -> i64 {
    let (stamp, relative) = track.at(row);
    let (LocalInstant::Single(offset)
    | LocalInstant::Fold(offset, _)
    | LocalInstant::Gap { before: offset, .. }) = zone.resolve(local(stamp - deviation));
    offset.seconds() + deviation - relative
}
