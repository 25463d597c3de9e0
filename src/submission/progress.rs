//! How far a submission has come, and what it learnt on the way.

use super::{Policy, Position, Stopped, Tally, Wait};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How far a submission has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What comes next.
    pub position: Position,
    /// The account so far.
    pub tally: Tally,
    /// How often everything was gone through; entries the receiver deferred are sent in a later
    /// pass.
    pub pass: u32,
    /// Whether entries were deferred in this pass.
    pub deferred: bool,
    /// How many batches in a row had entries deferred: the wait grows with them.
    pub deferrals: u32,
    /// Until when nothing of it is sent.
    pub wait: Wait,
    /// Units a batch may have while offending ones are being isolated.
    pub unit_limit: Option<usize>,
    /// Whether `unit_limit` was set because a refusal spoke of size.
    pub size_suspected: bool,
    /// How many batches of readings in a row were refused alike, entry for entry.
    pub alike: u32,
    /// Whether the next batch asks, with one unit sent without condition, if the receiver knows
    /// conditional create at all.
    pub probe: bool,
    /// How many units sent without condition were refused all the same.
    pub probes_refused: u32,
    /// Parts the receiver will have nothing of.
    pub stopped: Vec<Stopped>,
    /// Single units in a row that were refused as whole requests.
    pub lone_refusals: LoneRefusals,
    /// How many outcomes in a row were unknown.
    pub unknowns: u32,
    /// How many answers in a row were unreadable.
    pub unreadable: u32,
    /// The search for the unit that makes the receiver fail.
    pub isolation: Option<Isolation>,
    /// That the receiver fails again and again, and nothing can be done but wait.
    pub stall: Option<Stall>,
}

/// Single units in a row that were refused as whole requests with one status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoneRefusals {
    /// How many.
    pub count: u32,
    /// The status.
    pub status: u16,
}

/// A batch is being taken apart because the receiver answers it 500 again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// Where the batch ended: what lies beyond says nothing about it.
    pub until: Position,
    /// Whether another unit of the batch was accepted meanwhile. Only then is one that fails alone
    /// to blame.
    pub accepted: bool,
    /// Single units that failed in a row before any was accepted.
    pub failed: u32,
    /// Whether units were left for a later pass.
    pub left: bool,
    /// Passes that began with units left by the one before.
    pub passes: u32,
}

impl Isolation {
    /// At its begin, over everything up to `until`.
    pub const fn of(until: Position) -> Self {
        Self { until, accepted: false, failed: 0, left: false, passes: 0 }
    }

    /// Into the next pass; `None` if nothing was left to isolate.
    #[must_use]
    pub const fn next_pass(self) -> Option<Self> {
        if self.left {
            Some(Self { left: false, passes: self.passes.saturating_add(1), ..self })
        } else {
            None
        }
    }
}

/// A receiver that fails again and again: nothing is lost, and nothing goes on, until it recovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    /// Since when, as a Unix second.
    pub since: i64,
    /// The status it answers.
    pub status: u16,
    /// How often the unit to blame was looked for: less and less often.
    pub isolations: u32,
}

impl Progress {
    /// At the start.
    pub fn start() -> Self {
        Self {
            position: Position::Start,
            tally: Tally::default(),
            pass: 1,
            deferred: false,
            deferrals: 0,
            wait: Wait::NONE,
            unit_limit: None,
            size_suspected: false,
            alike: 0,
            probe: false,
            probes_refused: 0,
            stopped: Vec::new(),
            lone_refusals: LoneRefusals::default(),
            unknowns: 0,
            unreadable: 0,
            isolation: None,
            stall: None,
        }
    }

    /// Begins the next pass, at the first position. If a unit that fails is being isolated, after a
    /// while: it may have met an outage.
    pub fn start_pass(&mut self, policy: &Policy, now: DateTime<Utc>) {
        self.pass = self.pass.saturating_add(1);
        self.deferred = false;
        self.isolation = self.isolation.and_then(Isolation::next_pass);
        if self.isolation.is_some() {
            self.wait = Wait::after(now, policy.isolation_pause);
        }
    }
}
