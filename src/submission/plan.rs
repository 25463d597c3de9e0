//! What a submission sends, over which dates, and how far it has come.

use crate::glucose::{DateRange, GlucoseUnit, Window};
use serde::{Deserialize, Serialize};

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The devices the readings came from.
    pub devices: bool,
    /// The summary with its members.
    pub summary: bool,
    /// The readings.
    pub readings: bool,
    /// The unit of readings and of the summary's mean.
    pub unit: GlucoseUnit,
}

/// One triggered delivery: what, over which local dates, as instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What is to be sent.
    pub wanted: Wanted,
    /// The local dates, both included.
    pub dates: DateRange,
    /// The same as instants, by the person's clocks when it was planned.
    pub window: Window,
    /// The unix second at which the day began that was under way when this was planned, if the
    /// dates include it. Kept with the plan, so that what it sends is the same whenever it is sent.
    pub day_under_way: Option<i64>,
}

impl Plan {
    /// What makes it the same as another one: who asked, for what, over which dates. Not until when
    /// today's readings go, which changes from one tap on a button to the next.
    pub(crate) fn key(&self, origin: Origin) -> String {
        let Wanted { devices, summary, readings, unit } = self.wanted;
        let parts = [(devices, "d"), (summary, "s"), (readings, "r")];
        let parts: String = parts.into_iter().filter_map(|(has, of)| has.then_some(of)).collect();
        format!("{} {parts} {} {unit}", origin.code(), self.dates)
    }
}

/// Who asked for a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// The person.
    Person,
    /// An order of the receiver's.
    Order,
}

impl Origin {
    /// The stable word for it.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Order => "order",
        }
    }
}

/// A part of what a submission sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Part {
    /// The devices.
    Devices,
    /// The summary with its members.
    Summary,
    /// The readings.
    Readings,
}

impl Part {
    /// In a word for a person.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Summary => "the summary",
            Self::Readings => "readings",
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// A part a receiver will have nothing of, for now: the submission goes on without it, and the next
/// one tries again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stopped {
    /// Which part.
    pub part: Part,
    /// Whether for lack of permission; otherwise every entry was refused alike.
    pub for_consent: bool,
    /// The receiver's own words.
    pub reason: String,
}

/// Hides the receiver's words, which may quote the person's data.
impl std::fmt::Debug for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stopped")
            .field("part", &self.part)
            .field("for_consent", &self.for_consent)
            .finish_non_exhaustive()
    }
}

/// How far a submission has come. The ledger tells what is still lacking; this only saves looking
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Position {
    /// The devices, which later requests refer to by the location they got.
    Devices,
    /// The summary.
    Summary,
    /// The readings after this key of the store.
    Readings(Option<i64>),
    /// Nothing is left.
    End,
}

impl Position {
    /// Where a submission starts.
    pub const fn first(wanted: Wanted) -> Self {
        if wanted.devices {
            Self::Devices
        } else if wanted.summary {
            Self::Summary
        } else if wanted.readings {
            Self::Readings(None)
        } else {
            Self::End
        }
    }

    /// The part that comes next; none at the end.
    pub const fn part(self) -> Option<Part> {
        match self {
            Self::Devices => Some(Part::Devices),
            Self::Summary => Some(Part::Summary),
            Self::Readings(_) => Some(Part::Readings),
            Self::End => None,
        }
    }
}
