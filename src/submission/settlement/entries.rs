//! A readable answer: every entry's status is read. A success of the request is not acceptance of
//! its entries.

use super::{EntryRecord, NextState, Settlement, Situation, duplicate};
use crate::fhir::EntryOutcome;
use crate::submission::{
    BlockReason, EntryVerdict, LoneRefusals, Part, Progress, Response, SentBatch, Stopped, Suspect,
    Wait, WaitReason, entry_verdict,
};

impl Situation<'_> {
    pub(super) fn read_entries(&self, response: &Response, entries: &[EntryOutcome]) -> Settlement {
        let mut settled = self.again("read");
        settled.receiver.gzip.get_or_insert(true);
        let progress = &mut settled.progress;
        (progress.unknowns, progress.unreadable, progress.stall) = (0, 0, None);
        settled.receiver.answered(self.policy, entries.len(), response.took);
        settled.receiver.passed(self.policy, entries.len(), progress.size_suspected);
        progress.size_suspected = false;
        if self.must_probe(&mut settled, entries) {
            settled.progress.probe = true;
            let may_be_stored = self.batch.attempts.may_be_stored();
            settled.next = NextState::TakenApart { may_be_stored };
            return settled;
        }
        let verdicts = verdicts(self.batch, entries, self.repeats_safely());
        settled.receiver.keeps_no_copies |= verdicts.contains(&EntryVerdict::Received);
        settled.receiver.finds_again |= verdicts.contains(&EntryVerdict::AlreadyThere);
        let records = self.records(&mut settled, entries, &verdicts);
        self.defer(&mut settled, response, &verdicts);
        let progress = &mut settled.progress;
        if progress.probe {
            let refused = verdicts.contains(&EntryVerdict::Refused);
            progress.probes_refused += u32::from(refused);
            progress.probe = records.contains(&EntryRecord::Deferred);
        }
        self.count_alike(progress, entries);
        if verdicts.contains(&EntryVerdict::Reauthorise) {
            settled.block = Some(BlockReason::Reauthorise);
        }
        settled.next = NextState::Done(records);
        settled.ask_for_consent(self.wanted);
        settled
    }

    /// Learns what the answers tell about conditional create. Whether one unit has to be sent
    /// without it to find out.
    fn must_probe(&self, settled: &mut Settlement, entries: &[EntryOutcome]) -> bool {
        if self.receiver.conditional_create.is_some() {
            return false;
        }
        let learnt = conditional_create(self.batch, entries);
        let refused = self.batch.conditional && entries.iter().all(|entry| entry.status == 400);
        if learnt.is_none() && refused {
            // Either the content is wrong or the receiver has no conditional create. One unit
            // without it will tell.
            if settled.progress.probes_refused < self.policy.probes {
                return true;
            }
            settled.receiver.conditional_create = Some(true);
        } else {
            settled.receiver.conditional_create = learnt;
        }
        false
    }

    /// Counts every entry, and says what is to be written down of it.
    fn records(
        &self,
        settled: &mut Settlement,
        entries: &[EntryOutcome],
        verdicts: &[EntryVerdict],
    ) -> Vec<EntryRecord> {
        let mut records = Vec::with_capacity(entries.len());
        for ((listed, entry), verdict) in self.batch.manifest.iter().zip(entries).zip(verdicts) {
            settled.progress.tally.count(listed.is_reading(), *verdict);
            records.push(match verdict {
                EntryVerdict::Accepted | EntryVerdict::AlreadyThere | EntryVerdict::Received => {
                    EntryRecord::Delivered { location: entry.reference().map(str::to_owned) }
                }
                EntryVerdict::Refused => EntryRecord::Refused { reason: reason(entry) },
                EntryVerdict::Ambiguous => {
                    EntryRecord::Refused { reason: duplicate(&reason(entry)) }
                }
                EntryVerdict::Consent => {
                    settled.stop_for_consent(self.batch.part, reason(entry));
                    EntryRecord::Deferred
                }
                EntryVerdict::Later | EntryVerdict::Reauthorise => EntryRecord::Deferred,
                EntryVerdict::Unknown => EntryRecord::Unknown,
            });
        }
        records
    }

    /// Moves on, and waits if entries were deferred.
    fn defer(&self, settled: &mut Settlement, response: &Response, verdicts: &[EntryVerdict]) {
        let later = verdicts.contains(&EntryVerdict::Later);
        let reauthorise = verdicts.contains(&EntryVerdict::Reauthorise);
        let accepted = verdicts.contains(&EntryVerdict::Accepted)
            || verdicts.contains(&EntryVerdict::AlreadyThere);
        let progress = &mut settled.progress;
        progress.lone_refusals = LoneRefusals::default();
        progress.unit_limit = wider(progress.unit_limit, self.policy.max_entries);
        progress.deferred |= later || reauthorise;
        progress.deferrals = if later { progress.deferrals.saturating_add(1) } else { 0 };
        // Readings refer to their devices: these are waited for, though not for ever.
        let wait_here = self.batch.part == Part::Devices
            && later
            && progress.deferrals < self.policy.device_waits;
        if !wait_here {
            progress.position = self.batch.position_after;
        }
        self.isolated(progress, accepted, later || reauthorise);
        let attempt = progress.deferrals;
        let delay = |asked| self.policy.backoff.delay(attempt, self.jitter, asked, self.now);
        if later {
            // A receiver that defers entries is busy: nothing more of this submission goes at once.
            progress.wait = Wait::after(self.now, delay(None));
        }
        // What it asks for binds everything that is sent to it.
        let asked = response.retry_after.filter(|_| later);
        settled.receiver.wait = None;
        if asked.is_some() {
            let wait = Wait::after(self.now, delay(asked));
            settled.receiver.leave_alone(self.now, wait, WaitReason::ReceiverAsked);
        }
    }

    /// A batch was read while units that fail are being isolated. If it was accepted, one of them
    /// is tried again at once: should it fail once more, the receiver is not down.
    fn isolated(&self, progress: &mut Progress, accepted: bool, deferred: bool) {
        let Some(isolation) = &mut progress.isolation else { return };
        isolation.failed = 0;
        if isolation.resume.is_some() {
            progress.position = isolation.tried(self.batch, self.progress.position);
        }
        let sent = |suspect: &Suspect| {
            self.batch.manifest.iter().any(|listed| listed.item == suspect.item)
        };
        isolation.suspects.retain(|suspect| !sent(suspect));
        if !accepted {
            return;
        }
        let again = isolation.accepts(self.policy, self.now.timestamp());
        if let Some(before) = again.filter(|_| !deferred) {
            isolation.resume = Some(std::mem::replace(&mut progress.position, before));
            progress.unit_limit = Some(1);
        }
    }

    /// After several batches of readings refused alike, the rest of them is not tried.
    fn count_alike(&self, progress: &mut Progress, entries: &[EntryOutcome]) {
        let part = self.batch.part;
        if part != Part::Readings {
            return;
        }
        let alike = refused_alike(entries).filter(|_| entries.len() > self.policy.alike_entries);
        progress.alike = if alike.is_some() { progress.alike + 1 } else { 0 };
        let none_taken = progress.tally.readings.total() == progress.tally.readings.refused;
        let enough = progress.alike >= self.policy.alike_batches && none_taken;
        if let Some(reason) = alike.filter(|_| enough) {
            progress.stopped.push(Stopped { part, for_consent: false, reason });
        }
    }
}

/// What the answers tell about conditional create, if anything: a conditional entry that was taken
/// proves it; a 201 to the unit that was sent without proves that the receiver lacks it.
fn conditional_create(batch: &SentBatch, entries: &[EntryOutcome]) -> Option<bool> {
    if batch.conditional {
        entries.iter().any(|entry| matches!(entry.status, 200 | 201)).then_some(true)
    } else {
        entries.iter().any(|entry| entry.status == 201).then_some(false)
    }
}

/// What each entry's status means. A unit stays together: if one of its entries goes later, all do.
/// If that would store a part of it twice, the deferred ones stay unknown instead.
fn verdicts(
    batch: &SentBatch,
    entries: &[EntryOutcome],
    repeats_safely: bool,
) -> Vec<EntryVerdict> {
    let mut verdicts: Vec<EntryVerdict> = entries
        .iter()
        .map(|entry| entry_verdict(entry.status, entry.location.is_some(), batch.conditional))
        .collect();
    let defers = |v: &EntryVerdict| {
        matches!(v, EntryVerdict::Later | EntryVerdict::Reauthorise | EntryVerdict::Consent)
    };
    let mut begin = 0;
    for unit in batch.manifest.chunk_by(|a, b| a.unit == b.unit) {
        let end = begin + unit.len();
        if let Some(unit) = verdicts.get_mut(begin..end)
            && let Some(worst) = unit.iter().copied().find(|verdict| defers(verdict))
        {
            let stored = unit
                .iter()
                .any(|v| matches!(v, EntryVerdict::Accepted | EntryVerdict::AlreadyThere));
            if repeats_safely || !stored {
                unit.fill(worst);
            } else {
                let deferred = unit.iter_mut().filter(|verdict| defers(verdict));
                deferred.for_each(|verdict| *verdict = EntryVerdict::Unknown);
            }
        }
        begin = end;
    }
    verdicts
}

/// Twice the units; `None`, no limit of its own, from the normal limit on.
pub(super) fn wider(unit_limit: Option<usize>, normal: usize) -> Option<usize> {
    unit_limit.map(|limit| limit.saturating_mul(2)).filter(|limit| *limit < normal)
}

/// The one reason for which a whole batch was refused, if it was.
fn refused_alike(entries: &[EntryOutcome]) -> Option<String> {
    let first = entries.first()?;
    let alike = |entry: &EntryOutcome| {
        entry.status == first.status
            && entry_verdict(entry.status, false, true) == EntryVerdict::Refused
    };
    entries.iter().all(alike).then(|| reason(first))
}

/// A refusal in the receiver's own words.
fn reason(entry: &EntryOutcome) -> String {
    let said = entry.outcome.as_ref().map(|said| said.text().to_owned());
    said.unwrap_or_else(|| format!("refused with status {}, without a reason", entry.status))
}
