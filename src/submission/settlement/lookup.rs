//! What was sent with unknown outcome to a receiver that might store it twice: looked up, and sent
//! again only if it was not found.

use super::{EntryRecord, NextState, Settlement, Situation};
use crate::submission::{BlockReason, EntryVerdict, LookedUp, Places, Wait, WaitReason};

/// What a lookup changes.
pub fn settle_lookup(at: &Situation<'_>, looked_up: &LookedUp) -> Settlement {
    let mut settled = at.again("looked up");
    match looked_up {
        LookedUp::Impossible => at.rest(&mut settled, &at.batch.looked_up.0),
        LookedUp::TokenRefused => {
            at.look_on(&mut settled, &at.batch.looked_up);
            settled = at.token_refused(settled);
            let refused = settled.attempts.refused_lookups + u32::from(settled.block.is_some());
            settled.attempts.refused_lookups = refused;
            // A new authorisation did not help: it is the search that is refused.
            if refused > 1 {
                settled.block = None;
                at.rest(&mut settled, &at.batch.looked_up.0);
            }
        }
        LookedUp::OutOfTime(places) => {
            at.look_on(&mut settled, places);
            let further = places.0.len() > at.batch.looked_up.0.len();
            let stuck = at.batch.attempts.stuck_lookups.saturating_add(1);
            settled.attempts.stuck_lookups = if further { 0 } else { stuck };
        }
        LookedUp::Redirected => {
            at.look_on(&mut settled, &at.batch.looked_up);
            settled.block = Some(BlockReason::Configuration);
        }
        LookedUp::Failed(asked, places) => {
            at.look_on(&mut settled, places);
            let failed = settled.attempts.failed_lookups.saturating_add(1);
            settled.attempts.failed_lookups = failed;
            let now = at.now.timestamp();
            let first = settled.attempts.lookups_fail_since.filter(|_| failed > 1).unwrap_or(now);
            settled.attempts.lookups_fail_since = Some(first);
            let over = now.saturating_sub(first) >= at.policy.failed_lookups_over.num_seconds();
            if failed >= at.policy.failed_lookups && over {
                at.rest(&mut settled, &places.0);
            } else {
                let delay = at.policy.backoff.delay(failed, at.jitter, *asked, at.now);
                let reason = asked.map_or(WaitReason::ReceiverBusy, |_| WaitReason::ReceiverAsked);
                settled.receiver.leave_alone(at.now, Wait::after(at.now, delay), reason);
            }
        }
        LookedUp::Searched(Places(found)) => settled = at.searched(settled, found),
    }
    settled
}

/// What becomes of a batch whose submission was cancelled: nothing of it is sent any more.
pub fn settle_given_up(at: &Situation<'_>) -> Settlement {
    let mut settled = at.taken_apart("cancelled");
    if at.batch.attempts.unknown > 0 && !at.repeats_safely() {
        if at.searchable && at.batch.attempts.lookups < at.policy.lookups {
            settled.next = NextState::LookUp(at.batch.wait, WaitReason::LookUp);
        } else {
            at.rest(&mut settled, &[]);
        }
    }
    settled
}

impl Situation<'_> {
    /// The lookup goes on where it was. If it came further than before, its failures before are
    /// over.
    fn look_on(&self, settled: &mut Settlement, places: &Places) {
        if places.0.len() > self.batch.looked_up.0.len() {
            settled.attempts.failed_lookups = 0;
        }
        settled.looked_up = places.clone();
        settled.next = NextState::LookUp(Wait::NONE, WaitReason::LookUp);
    }

    fn searched(&self, mut settled: Settlement, found: &[Option<String>]) -> Settlement {
        settled.attempts.lookups = settled.attempts.lookups.saturating_add(1);
        settled.attempts.failed_lookups = 0;
        settled.attempts.stuck_lookups = 0;
        let last = settled.attempts.lookups >= self.policy.lookups;
        let all = found.len() == self.batch.manifest.len() && found.iter().all(Option::is_some);
        if !all && !last {
            // An index may lag: what is not found now may be found later.
            let wait = Wait::after(self.now, self.policy.lookup_pause);
            settled.next = NextState::LookUp(wait, WaitReason::LookUp);
        } else if found.iter().any(Option::is_some) {
            settled.progress.unknowns = 0;
            self.found(&mut settled, found, EntryVerdict::Later);
        } else if !self.open {
            settled.next = NextState::TakenApart { may_be_stored: true };
        } else {
            // Not there: it may go again.
            settled.next = NextState::Ready;
            self.smaller_if_too_slow(&mut settled);
            settled = self.go_on_failing(settled, None, "it fails with status 500");
        }
        settled
    }

    /// What was found is there; of what was not, `otherwise` is so. A unit of which only a part was
    /// found cannot go again without doubling that part: the rest of it stays unknown.
    pub(super) fn found(
        &self,
        settled: &mut Settlement,
        found: &[Option<String>],
        otherwise: EntryVerdict,
    ) {
        let mut records = Vec::with_capacity(self.batch.manifest.len());
        let mut places = found.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        for unit in self.batch.manifest.chunk_by(|one, next| one.unit == next.unit) {
            let places: Vec<Option<&String>> = places.by_ref().take(unit.len()).collect();
            let any = places.iter().any(Option::is_some);
            for (listed, place) in unit.iter().zip(places) {
                let (record, verdict) = match place {
                    Some(location) => {
                        let location = Some(location.clone()).filter(|place| !place.is_empty());
                        (EntryRecord::Delivered { location }, EntryVerdict::AlreadyThere)
                    }
                    None if !any && otherwise == EntryVerdict::Later => {
                        (EntryRecord::Deferred, EntryVerdict::Later)
                    }
                    None => (EntryRecord::Unknown, EntryVerdict::Unknown),
                };
                settled.progress.tally.count(listed.is_reading(), verdict);
                settled.progress.deferred |= record == EntryRecord::Deferred;
                records.push(record);
            }
        }
        settled.progress.position = self.batch.position_after;
        settled.progress.probe &= records.contains(&EntryRecord::Deferred);
        settled.next = NextState::Done(records);
    }
}
