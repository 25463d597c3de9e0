//! What had to be assumed about a device's clock, with dates, for the person: what the given zone
//! does not explain.

use super::choice::{self, Choice, deviation};
use super::segments::Track;
use super::{local, offset};
use crate::glucose::{UtcOffset, ZoneOffsets};
use chrono::NaiveDateTime;
use std::collections::HashMap;
use std::fmt;

/// How many alternatives are named.
const MOST_ALTERNATIVES: usize = 3;

/// What a host says of a device's clock: at its local time `at` it was at this UTC offset.
///
/// Taken from a [`ClockNote`], `at` is the note's and `offset` one of its alternatives.
///
/// For rows with a transmitter's count, which shows each step, one answer settles the whole
/// transmitter. For rows without ([`ClockEvent::NotShown`]) it holds from `at` to the next answer;
/// the last one to the end of a file that begins at most three days after it. Rows before the first
/// have the zone's time. An answer of the zone's own offset says that the clock had the zone's time
/// from then on, and followed its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockAnswer {
    /// The device's local time.
    pub at: NaiveDateTime,
    /// The UTC offset its clock then had.
    pub offset: UtcOffset,
}

/// What a device's clock did that the person's time zone does not explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClockEvent {
    /// It moved: the person travelled, or set it by hand.
    Moved,
    /// The zone's clocks changed, and it did not.
    DidNotFollow,
    /// A new transmitter began while it was away from home, and nothing shows that it still was.
    NewTransmitter,
    /// The export has no transmitter's count, so that it does not show whether the clock moved.
    NotShown,
}

/// What an offset was chosen by, the best evidence first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ClockBasis {
    /// The host said so.
    Told,
    /// The zone's own change of the clocks is in the stamps, at its very instant.
    ZoneChange,
    /// The clock left the zone's time and came back to it, and had it most of the time.
    Return,
    /// The rows are stored so.
    Stored,
    /// The clock had the zone's time throughout.
    Zone,
    /// The clock has the zone's time in the last days.
    LastStretch,
    /// The clock has the zone's time for most rows.
    LongestStretch,
}

/// Something the person's time zone does not explain, and what was taken for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClockNote {
    /// The device's local time of the first reading after it.
    pub at: NaiveDateTime,
    /// The device's local time of the last reading it is about, if it ends.
    pub until: Option<NaiveDateTime>,
    /// What happened.
    pub event: ClockEvent,
    /// The UTC offset taken before it.
    pub before: UtcOffset,
    /// The UTC offset taken from then on.
    pub after: UtcOffset,
    /// Other offsets the clock may have had from then on. To say so, import again with a
    /// [`ClockAnswer`] of one of them.
    pub alternatives: Vec<UtcOffset>,
    /// What it was taken by.
    pub basis: ClockBasis,
    /// Whether it stays open: the evidence is weak, and the person knows better.
    pub open: bool,
}

impl ClockNote {
    /// Says of rows without a count that they were placed by the zone alone.
    pub(in crate::import) fn not_shown(first: (i64, UtcOffset), last: (i64, UtcOffset)) -> Self {
        Self {
            at: local(first.0),
            until: Some(local(last.0)),
            event: ClockEvent::NotShown,
            before: first.1,
            after: last.1,
            alternatives: Vec::new(),
            basis: ClockBasis::Zone,
            open: true,
        }
    }

    /// Minutes by which the clock moved.
    pub fn moved_by(&self) -> i32 {
        i32::from(self.after.minutes()) - i32::from(self.before.minutes())
    }
}

/// In words for the person.
impl fmt::Display for ClockNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.at.format("%Y-%m-%d");
        let (before, after) = (self.before, self.after);
        match self.event {
            ClockEvent::Moved => {
                let by = Hours(self.moved_by());
                write!(
                    f,
                    "the device's clock moved by {by} on {date}: \
                    taken as UTC{before} until then and UTC{after} from then on"
                )?;
            }
            ClockEvent::DidNotFollow => write!(
                f,
                "the device's clock did not follow the change of the zone's clocks before {date}: \
                 taken as UTC{after} throughout"
            )?,
            ClockEvent::NewTransmitter => write!(
                f,
                "a new transmitter began on {date} while the device's clock was away from the \
                 zone's: taken as UTC{after}"
            )?,
            ClockEvent::NotShown => {
                let until = self.until.unwrap_or(self.at).format("%Y-%m-%d");
                return write!(
                    f,
                    "the export does not show whether the device's clock moved between {date} and \
                     {until}: taken by the time zone. If it did, say from when on it had which \
                     UTC offset and import again; an export with the transmitter's times corrects \
                     what is stored"
                );
            }
        }
        f.write_str(match self.basis {
            ClockBasis::Told => ", as you said",
            ClockBasis::ZoneChange => ", as the change of the zone's clocks shows",
            ClockBasis::Return => ", as it came back to the zone's time",
            ClockBasis::Stored => ", as it is stored",
            ClockBasis::Zone => ", as the zone says",
            ClockBasis::LastStretch => ", as its last days have the zone's time",
            ClockBasis::LongestStretch => ", as most of its readings have the zone's time",
        })?;
        if let (true, Some((first, rest))) = (self.open, self.alternatives.split_first()) {
            write!(f, "; if from then on it was UTC{first}")?;
            for offset in rest {
                write!(f, " or UTC{offset}")?;
            }
            f.write_str(", say so and import again")?;
        }
        Ok(())
    }
}

/// A number of minutes as a person says it.
struct Hours(i32);

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '−' } else { '+' };
        let (hours, minutes) = (self.0.unsigned_abs() / 60, self.0.unsigned_abs() % 60);
        match (hours, minutes) {
            (0, minutes) => write!(f, "{sign}{minutes} min"),
            (hours, 0) => write!(f, "{sign}{hours} h"),
            (hours, minutes) => write!(f, "{sign}{hours} h {minutes} min"),
        }
    }
}

/// The notes of a chain, about rows of the file.
pub(super) fn of_chain(chain: &[Track], choice: &Choice, zone: &ZoneOffsets) -> Vec<ClockNote> {
    let bases: Vec<_> = choice.bases().collect();
    let mut notes = Vec::new();
    for (at, (track, base)) in chain.iter().zip(&bases).enumerate() {
        let here = Here { at, track, base: *base, choice, zone };
        notes.extend(here.steps());
        notes.extend(here.zone_changes_not_followed());
    }
    let ended_home = chain
        .last()
        .zip(bases.last())
        .is_some_and(|(track, base)| deviation(track, track.len() - 1, *base, zone) == 0);
    if !ended_home {
        for (at, (track, base)) in chain.iter().zip(&bases).enumerate().skip(1) {
            let here = Here { at, track, base: *base, choice, zone };
            notes.extend(here.begun_away());
        }
    }
    notes
}

/// One transmitter of a chain.
struct Here<'a> {
    at: usize,
    track: &'a Track,
    base: i64,
    choice: &'a Choice,
    zone: &'a ZoneOffsets,
}

impl Here<'_> {
    fn steps(&self) -> impl Iterator<Item = ClockNote> {
        let steps = self.track.steps().iter().filter(|step| {
            let in_file = self.track.is_in_file(step.before) || self.track.is_in_file(step.after);
            // A clock that follows the zone's change, at home or away, needs no word.
            in_file && self.deviation(step.before) != self.deviation(step.after)
        });
        steps.filter_map(|step| {
            self.note(ClockEvent::Moved, step.before, step.after, self.is_open())
        })
    }

    /// Changes of the zone's clocks between rows of one clock that did not step.
    fn zone_changes_not_followed(&self) -> Vec<ClockNote> {
        let mut last: HashMap<usize, (usize, i64, i64)> = HashMap::new();
        let mut notes = Vec::new();
        for (place, (row, relative)) in self.track.rows().enumerate() {
            let deviation = self.deviation(place);
            let before = last.insert(row.source, (place, relative, deviation));
            let Some((before, earlier, was)) = before else { continue };
            let one_home = (was == 0) != (deviation == 0);
            if relative == earlier && one_home && self.track.is_in_file(place) {
                let open = self.choice.basis != super::ClockBasis::Told;
                notes.extend(self.note(ClockEvent::DidNotFollow, before, place, open));
            }
        }
        notes
    }

    fn begun_away(&self) -> Option<ClockNote> {
        let away = self.deviation(0) != 0 && self.track.is_in_file(0);
        let open = self.choice.basis != ClockBasis::Told;
        let mut note = away.then(|| self.note(ClockEvent::NewTransmitter, 0, 0, open)).flatten()?;
        let home = choice::base_for(self.track, 0, 0, self.zone) + self.track.at(0).1;
        note.alternatives = offset(home).into_iter().collect();
        Some(note)
    }

    fn note(
        &self,
        event: ClockEvent,
        before: usize,
        after: usize,
        open: bool,
    ) -> Option<ClockNote> {
        let at = |place: usize, base: i64| offset(base + self.track.at(place).1).ok();
        let taken = at(after, self.base)?;
        let mut alternatives = Vec::new();
        for other in self.choice.others.iter().filter_map(|bases| at(after, *bases.get(self.at)?)) {
            if other != taken
                && !alternatives.contains(&other)
                && alternatives.len() < MOST_ALTERNATIVES
            {
                alternatives.push(other);
            }
        }
        Some(ClockNote {
            at: local(self.track.at(after).0),
            until: None,
            event,
            before: at(before, self.base)?,
            after: taken,
            alternatives,
            basis: self.choice.basis,
            open,
        })
    }

    fn is_open(&self) -> bool {
        !matches!(self.choice.basis, ClockBasis::Told | ClockBasis::ZoneChange | ClockBasis::Return)
    }

    fn deviation(&self, place: usize) -> i64 {
        deviation(self.track, place, self.base, self.zone)
    }
}
