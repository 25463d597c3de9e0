//! Which UTC offset a device's clock had at each row of a transmitter that counts seconds.
//!
//! A row's instant is its local stamp less the offset the clock then had. The transmitter's count
//! gives no instants (it drifts from the stamps by up to two minutes over its life); it shows where
//! the offset steps, for stamps jump there and the count does not. So the offsets of one
//! transmitter's rows are known but for one number, the *base* that is added to all of them:
//!
//! 1. [`segments`] finds the steps, and each row's offset relative to the first;
//! 2. [`evidence`] says which bases put rows into the given time zone;
//! 3. [`choice`] chooses one base for each transmitter, by the best evidence there is;
//! 4. [`notes`] says what was taken where the person's zone does not explain the clock.
//!
//! Rows without a count have [`unticked`]: the zone alone, or what the host says.
//!
//! The rows are those of the file *and* those that are stored of the same transmitters: what is
//! decided is a function of all rows ever seen, whatever export held them. Nothing here reads a
//! file or a store.

mod choice;
mod evidence;
mod notes;
mod segments;
mod unticked;

pub use notes::{ClockAnswer, ClockBasis, ClockEvent, ClockNote};
pub(in crate::import) use unticked::StampClock;
#[cfg(test)]
mod tests;

use crate::glucose::{ReadingError, TimeError, UtcOffset, ZoneOffsets};
use crate::sorting::sort_by_key;
use chrono::DateTime;
use segments::Track;

/// Every UTC offset in use is a multiple of this.
const OFFSET_STEP: i64 = 15 * 60;
/// A person is taken to be where the last transmitter left them for so long; after that, at home.
const LONGEST_CARRY: i64 = 3 * 86_400;

/// One row of a transmitter.
#[derive(Clone, Copy)]
pub(super) struct ClockedRow {
    /// Its place in the list of offsets that [`offsets`] returns.
    pub(super) id: usize,
    /// Seconds by the transmitter's count.
    pub(super) tick: i64,
    /// The local stamp, as if it were UTC.
    pub(super) stamp: i64,
    /// Which phone or receiver stamped it: each has a clock of its own.
    pub(super) source: usize,
    /// The offset under which it is stored, in seconds, if it is.
    pub(super) stored: Option<i64>,
    /// Whether the file has it.
    pub(super) in_file: bool,
}

/// What the offsets are chosen by, besides the rows.
pub(super) struct Circumstances<'a> {
    /// The zone the person lives in.
    pub(super) zone: &'a ZoneOffsets,
    /// What the host said.
    pub(super) answers: &'a [ClockAnswer],
}

/// The offset of each row, by its id, and what had to be assumed.
pub(super) struct Offsets {
    pub(super) of_rows: Vec<Result<UtcOffset, ReadingError>>,
    pub(super) notes: Vec<ClockNote>,
}

/// Chooses the offsets of every transmitter's rows. The ids are 0 to one less than their number.
pub(super) fn offsets(
    transmitters: Vec<Vec<ClockedRow>>,
    circumstances: &Circumstances<'_>,
) -> Offsets {
    let unreadable = ReadingError::Column("Transmitter Time");
    let rows = transmitters.iter().map(Vec::len).sum();
    let mut offsets = Offsets { of_rows: vec![Err(unreadable); rows], notes: Vec::new() };
    let mut tracks: Vec<Track> = transmitters.into_iter().filter_map(Track::of).collect();
    sort_by_key(&mut tracks, Track::first_stamp);
    for chain in choice::chains(&tracks) {
        let choice = choice::choose(chain, circumstances);
        match &choice {
            Ok(choice) => {
                for (track, base) in chain.iter().zip(choice.bases()) {
                    set(&mut offsets.of_rows, track, |relative| offset(base + relative));
                }
                offsets.notes.extend(notes::of_chain(chain, choice, circumstances.zone));
            }
            Err(reason) => {
                for track in chain {
                    set(&mut offsets.of_rows, track, |_| Err(*reason));
                }
            }
        }
    }
    sort_by_key(&mut offsets.notes, |note| note.at);
    offsets
}

fn set(
    of_rows: &mut [Result<UtcOffset, ReadingError>],
    track: &Track,
    offset: impl Fn(i64) -> Result<UtcOffset, TimeError>,
) {
    for (row, relative) in track.rows() {
        if let Some(place) = of_rows.get_mut(row.id) {
            *place = offset(relative).map_err(ReadingError::Time);
        }
    }
}

fn offset(seconds: i64) -> Result<UtcOffset, TimeError> {
    i32::try_from(seconds / 60).map_err(|_| TimeError::Offset).and_then(UtcOffset::from_minutes)
}

/// A local stamp in unix seconds as chrono writes it.
fn local(stamp: i64) -> chrono::NaiveDateTime {
    DateTime::from_timestamp(stamp, 0).unwrap_or_default().naive_utc()
}

/// The nearest multiple of 15 minutes.
const fn nearest_offset(seconds: i64) -> i64 {
    (seconds + OFFSET_STEP / 2).div_euclid(OFFSET_STEP) * OFFSET_STEP
}
