//! What the entries of a batch are, and how often and with what result it was sent.

use super::{Part, Position, Wait};
use crate::fhir::{Covered, Dialect, EntryKind};
use crate::glucose::GlucoseUnit;
use serde::{Deserialize, Serialize};

/// What one entry of a batch is, so that its outcome can be written down.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// A reading: its packed key, its version, and the unit it was sent in.
    Reading(i64, u32, GlucoseUnit),
    /// Anything else: its identifier, what it is, and what it covers.
    Resource(String, EntryKind, Option<Covered>),
}

/// Hides identifiers.
impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reading(..) => "Reading(…)",
            Self::Resource(..) => "Resource(…)",
        })
    }
}

/// One entry of a batch: the unit it belongs to, and what it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Entries with the same number stay together.
    pub unit: u32,
    /// What it is.
    pub item: Item,
}

impl ManifestEntry {
    /// Whether it is a reading.
    pub const fn is_reading(&self) -> bool {
        matches!(self.item, Item::Reading(..))
    }
}

/// Hides identifiers.
impl std::fmt::Debug for ManifestEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManifestEntry").field("unit", &self.unit).finish_non_exhaustive()
    }
}

/// A batch as the decisions about it see it: everything but its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentBatch {
    /// What its entries are, in order.
    pub manifest: Vec<ManifestEntry>,
    /// The part of the submission it is of.
    pub part: Part,
    /// The guide its bytes follow.
    pub dialect: Dialect,
    /// Whether its entries are conditional creates.
    pub conditional: bool,
    /// Where the submission stands once it is settled.
    pub position_after: Position,
    /// What became of it so far.
    pub attempts: Attempts,
    /// What a lookup under way has found so far.
    pub looked_up: Places,
    /// Until when it stays as it is: while it is being sent, the lease.
    pub wait: Wait,
}

/// Where entries are at the receiver, from the first one on: `Type/id` of what was found, empty if
/// it was found without one; `None` for what is not there.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places(pub Vec<Option<String>>);

/// Says how many: ids reach no log.
impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Places({})", self.0.len())
    }
}

impl SentBatch {
    /// How many units it has.
    pub fn units(&self) -> usize {
        self.manifest.chunk_by(|one, next| one.unit == next.unit).count()
    }
}

/// How often a batch was sent, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempts {
    /// How often it was sent, as far as is known.
    pub sent: u32,
    /// How often in a row there was no connection: it was not sent then.
    pub unreached: u32,
    /// How often its outcome stayed unknown.
    pub unknown: u32,
    /// When it was first sent, as a Unix second.
    pub first_sent: Option<i64>,
    /// Lookups since the outcome was last unknown.
    pub lookups: u32,
    /// Lookups that failed in a row since then, none of which came further.
    pub failed_lookups: u32,
    /// When the first of these failed, as a Unix second.
    pub lookups_fail_since: Option<i64>,
    /// Lookups that ended because the receiver refused an access token it had just given.
    pub refused_lookups: u32,
    /// Lookups in a row that ended for lack of time and came no further: the next asks for less at
    /// once.
    pub stuck_lookups: u32,
    /// The failure it met again and again.
    pub failing: Option<Failing>,
}

impl Attempts {
    /// Whether the receiver may have any of it.
    pub const fn may_be_stored(self) -> bool {
        self.sent > 1 || self.unknown > 0
    }
}

/// A request-level failure that repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The status.
    pub status: u16,
    /// How often in a row.
    pub count: u32,
    /// Since when, as a Unix second.
    pub since: i64,
    /// When last, as a Unix second.
    pub last: i64,
}

impl Failing {
    /// With a failure of this status `now`. One of another kind begins a new row; all redirects are
    /// of one kind.
    pub(super) fn again(before: Option<Self>, status: u16, now: i64) -> Self {
        let kind = |status: u16| if status / 100 == 3 { 3 } else { status };
        match before.filter(|before| kind(before.status) == kind(status)) {
            Some(before) => Self { count: before.count.saturating_add(1), last: now, ..before },
            None => Self { status, count: 1, since: now, last: now },
        }
    }
}
