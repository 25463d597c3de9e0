//! What a submission sends, over which dates, and how far it has come.

use crate::fhir::{Dialect, Part};
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

impl Wanted {
    /// Whether a part is to be sent.
    pub const fn has(self, part: Part) -> bool {
        match part {
            Part::Devices => self.devices,
            Part::Summary => self.summary,
            Part::Readings => self.readings,
        }
    }
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

/// A part a receiver will have nothing of, for now: the submission goes on without it, and the next
/// one tries again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoppedPart {
    /// Which part.
    pub part: Part,
    /// Whether for lack of permission; otherwise every entry was refused alike.
    pub for_consent: bool,
    /// The receiver's own words.
    pub reason: String,
}

/// Hides the receiver's words, which may quote the person's data.
impl std::fmt::Debug for StoppedPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoppedPart")
            .field("part", &self.part)
            .field("for_consent", &self.for_consent)
            .finish_non_exhaustive()
    }
}

/// How far a submission has come. The ledger tells what is still lacking; this only saves looking
/// again. Which part comes after which is the dialect's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// Before the first part.
    Start,
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
    /// At the begin of a part.
    pub const fn of(part: Part) -> Self {
        match part {
            Part::Devices => Self::Devices,
            Part::Summary => Self::Summary,
            Part::Readings => Self::Readings(None),
        }
    }

    /// The part that comes next; `None` before the first and after the last.
    pub const fn part(self) -> Option<Part> {
        match self {
            Self::Devices => Some(Part::Devices),
            Self::Summary => Some(Part::Summary),
            Self::Readings(_) => Some(Part::Readings),
            Self::Start | Self::End => None,
        }
    }

    /// Once the part here is done: at the dialect's next stage of those that are wanted.
    #[must_use]
    pub fn after(self, wanted: Wanted, dialect: Dialect) -> Self {
        let passed = self.order(dialect).0;
        let mut next = dialect.stages().iter().skip(passed);
        next.find(|part| wanted.has(**part)).map_or(Self::End, |part| Self::of(*part))
    }

    /// Whether a submission comes here no later than to `other`.
    pub fn is_up_to(self, other: Self, dialect: Dialect) -> bool {
        self.order(dialect) <= other.order(dialect)
    }

    /// How many stages have begun, and how far the last one is.
    fn order(self, dialect: Dialect) -> (usize, Option<i64>) {
        let begun = || dialect.stages().iter().position(|part| Some(*part) == self.part());
        match self {
            Self::Start => (0, None),
            Self::Devices | Self::Summary => (begun().map_or(0, |before| before + 1), None),
            Self::Readings(after) => (begun().map_or(0, |before| before + 1), after),
            Self::End => (usize::MAX, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(devices: bool, summary: bool, readings: bool) -> Wanted {
        Wanted { devices, summary, readings, unit: GlucoseUnit::MgPerDl }
    }

    #[test]
    fn a_submission_goes_through_the_dialects_stages_leaving_out_what_is_not_wanted() {
        for dialect in Dialect::ALL {
            let parts = |wanted| {
                let next = |at: &Position| Some(at.after(wanted, dialect));
                let all = std::iter::successors(Some(Position::Start), next).skip(1);
                all.map_while(Position::part).collect::<Vec<_>>()
            };
            assert_eq!(parts(wanted(true, true, true)), dialect.stages());
            assert_eq!(parts(wanted(false, false, true)), [Part::Readings]);
            assert_eq!(parts(wanted(true, false, true)), [Part::Devices, Part::Readings]);
            assert!(parts(wanted(false, false, false)).is_empty());
        }
    }

    #[test]
    fn positions_stand_in_the_order_of_the_dialects_stages() {
        for dialect in Dialect::ALL {
            let of = |part| match part {
                Part::Readings => [None, Some(-1), Some(7)].map(Position::Readings).to_vec(),
                other => vec![Position::of(other)],
            };
            let stages = dialect.stages().iter().flat_map(|part| of(*part));
            let all: Vec<_> =
                [Position::Start].into_iter().chain(stages).chain([Position::End]).collect();
            for (i, one) in all.iter().enumerate() {
                for (j, other) in all.iter().enumerate() {
                    assert_eq!(one.is_up_to(*other, dialect), i <= j, "{one:?} {other:?}");
                }
            }
        }
    }
}
