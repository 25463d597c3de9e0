//! How far a submission has come, and what it learnt on the way.

use super::{Item, Part, Policy, Position, SentBatch, StoppedPart, Tally, Wait};
use chrono::{DateTime, TimeDelta, Utc};
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
    pub stopped: Vec<StoppedPart>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// Where the batch ended: what begins beyond is no part of it.
    pub until: Position,
    /// Whether anything was accepted meanwhile: then the receiver does not fail whatever it gets.
    pub accepted: bool,
    /// When something was last accepted, as a Unix second.
    pub accepted_at: Option<i64>,
    /// Whether that was of another submission: such evidence comes far apart.
    pub heard: bool,
    /// Single units that failed in a row since then.
    pub failed: u32,
    /// Whether units were left for a later pass.
    pub left: bool,
    /// Passes that began with units left by the one before.
    pub passes: u32,
    /// Units that failed alone.
    pub suspects: Vec<Suspect>,
    /// Where it goes on after a suspect that is tried once more.
    pub resume: Option<Position>,
}

/// A unit that failed alone. An outage fails alike: it is to blame only if what was sent before and
/// after it was accepted, each time, close in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Its first entry.
    pub item: Item,
    /// The position at which it comes next.
    pub before: Position,
    /// When it failed last, as a Unix second.
    pub failed_at: Option<i64>,
    /// How often it failed right after something else was accepted: something new each time.
    pub times: u32,
}

impl Isolation {
    /// At its begin, over everything up to `until`.
    pub const fn of(until: Position) -> Self {
        Self {
            until,
            accepted: false,
            accepted_at: None,
            heard: false,
            failed: 0,
            left: false,
            passes: 0,
            suspects: Vec::new(),
            resume: None,
        }
    }

    /// Into the next pass; `None` if nothing was left to isolate.
    #[must_use]
    pub fn next_pass(self) -> Option<Self> {
        let passes = self.passes.saturating_add(1);
        self.left.then_some(Self { left: false, resume: None, passes, ..self })
    }

    /// Whether a batch begins in what is being isolated.
    pub fn covers(&self, batch: &SentBatch) -> bool {
        let begins = match (batch.part, batch.manifest.first().map(|listed| &listed.item)) {
            (Part::Readings, Some(Item::Reading(key, ..))) => Position::Readings(Some(*key)),
            (part, _) => Position::of(part),
        };
        begins.is_up_to(self.until, batch.dialect)
    }

    /// Ends the further try of a suspect, if this batch, sent at `before`, was one; returns where
    /// the submission goes on.
    pub fn tried(&mut self, batch: &SentBatch, before: Position) -> Position {
        let Some(resume) = self.resume.take() else { return batch.position_after };
        // Something else came at its place: it is no longer to be sent.
        let first = batch.manifest.first().map(|listed| &listed.item);
        self.suspects.retain(|one| one.before != before || Some(&one.item) == first);
        resume
    }

    /// Notes that the receiver accepted something of another submission at this Unix second. What
    /// it accepted before anything failed says nothing.
    pub fn hears_of(&mut self, accepted_at: Option<i64>) {
        if accepted_at > self.accepted_at && accepted_at.is_some_and(|at| self.failed_before(at)) {
            (self.accepted, self.accepted_at, self.heard) = (true, accepted_at, true);
        }
    }

    fn failed_before(&self, second: i64) -> bool {
        self.suspects.iter().any(|one| one.failed_at.is_some_and(|failed| failed < second))
    }

    /// Whether something was accepted so shortly before `now`, and after a suspect failed, that the
    /// suspect is worth another try at once.
    pub fn is_worth_a_try(&self, policy: &Policy, accepted_at: Option<i64>, now: i64) -> bool {
        let near = policy.isolation_nearness.num_seconds();
        accepted_at.is_some_and(|accepted| {
            (accepted..=accepted.saturating_add(near)).contains(&now)
                && self.failed_before(accepted)
        })
    }

    /// Notes that a unit beginning with `item`, which comes next at `before`, failed alone at a
    /// Unix second; `apart` is the time that lies between two tries in any case. Returns whether it
    /// failed often enough between others that were accepted.
    pub fn fails(
        &mut self,
        policy: &Policy,
        item: &Item,
        before: Position,
        (now, apart): (i64, TimeDelta),
    ) -> bool {
        self.failed = self.failed.saturating_add(1);
        let known = self.suspects.iter().position(|suspect| suspect.item == *item);
        let at = known.unwrap_or_else(|| {
            let item = item.clone();
            self.suspects.push(Suspect { item, before, failed_at: None, times: 0 });
            self.suspects.len() - 1
        });
        let Some(suspect) = self.suspects.get_mut(at) else { return false };
        if suspect.times >= policy.isolation_tries {
            return true;
        }
        let close = policy.isolation_nearness.num_seconds();
        let is_new = |accepted: i64| suspect.failed_at.is_none_or(|failed| accepted > failed);
        let is_near = |accepted: i64| (accepted..=accepted.saturating_add(close)).contains(&now);
        let passed = self.accepted_at.is_some_and(|at| is_new(at) && is_near(at));
        // What was accepted long after a failure says nothing about it.
        let long = if self.heard { i64::MAX } else { 2 * close + apart.num_seconds() };
        let long_after = suspect.failed_at.is_some_and(|failed| now - failed > long);
        suspect.times = if long_after { 0 } else { suspect.times } + u32::from(passed);
        suspect.failed_at = Some(now);
        suspect.times >= policy.isolation_tries
    }

    /// Notes that of a batch something was accepted: the receiver works right now. Returns the
    /// place of a suspect that is to be tried once more, if there is one.
    pub fn accepts(&mut self, policy: &Policy, now: i64) -> Option<Position> {
        (self.accepted, self.accepted_at) = (true, Some(now));
        let open = |suspect: &&Suspect| suspect.times < policy.isolation_tries;
        self.suspects.iter().find(open).map(|suspect| suspect.before)
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

    /// The connection was authorised anew: what was stopped for lack of consent is tried again.
    pub fn authorised(&mut self) {
        self.stopped.retain(|stopped| !stopped.for_consent);
    }

    /// Begins the next pass, at the first position. If a unit that fails is being isolated, after a
    /// while: it may have met an outage.
    pub fn start_pass(&mut self, policy: &Policy, now: DateTime<Utc>) {
        self.pass = self.pass.saturating_add(1);
        self.deferred = false;
        self.isolation = self.isolation.take().and_then(Isolation::next_pass);
        if let Some(isolation) = &self.isolation {
            let longer = isolation.passes.saturating_sub(policy.isolation_passes).min(3);
            self.wait = Wait::after(now, policy.isolation_pause * 2_i32.pow(longer));
        }
    }
}
