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
}

/// How far a submission has come. The ledger tells what is still lacking; this only saves looking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

    /// What comes after this part is done.
    #[must_use]
    pub const fn next_part(self, wanted: Wanted) -> Self {
        match self {
            Self::Devices if wanted.summary => Self::Summary,
            Self::Devices | Self::Summary if wanted.readings => Self::Readings(None),
            _ => Self::End,
        }
    }
}
