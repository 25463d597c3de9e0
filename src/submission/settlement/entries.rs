//! A readable answer: every entry's status is read. A success of the request is not acceptance of
//! its entries.

use super::{EntryRecord, NextState, Settlement, Situation, duplicate};
use crate::fhir::{EntryOutcome, parse_response};
use crate::submission::{
    Answer, BlockReason, EntryVerdict, LoneRefusals, Part, Progress, Response, SentBatch,
    StoppedPart, Suspect, Wait, WaitReason, entry_verdict,
};

/// What an answer proves that came when nobody waited for it any more: what of a batch the receiver
/// has. Of the rest nothing is written down.
pub fn settle_late(batch: &SentBatch, answer: &Answer) -> Vec<EntryRecord> {
    let Answer::Response(response) = answer else { return Vec::new() };
    if !(200..300).contains(&response.status) {
        return Vec::new();
    }
    let Ok(entries) = parse_response(&response.body, batch.manifest.len()) else {
        return Vec::new();
    };
    let record = |(entry, said): (&EntryOutcome, EntryVerdict)| {
        if said.is_stored() {
            EntryRecord::Delivered { location: entry.reference().map(str::to_owned) }
        } else {
            EntryRecord::Deferred
        }
    };
    entries.iter().zip(said(batch, &entries)).map(record).collect()
}

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
        let said = said(self.batch, entries);
        let verdicts = of_units(self.batch, &said, self.repeats_safely());
        let stored = said.iter().any(|verdict| verdict.is_stored());
        let receiver = &mut settled.receiver;
        receiver.keeps_no_copies |= said.contains(&EntryVerdict::Received);
        receiver.finds_again |= said.contains(&EntryVerdict::AlreadyThere);
        receiver.points_elsewhere = false;
        receiver.accepted_at = stored.then_some(self.now.timestamp()).or(receiver.accepted_at);
        let records = self.records(&mut settled, entries, (&said, &verdicts));
        self.defer(&mut settled, response, (stored, &verdicts));
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
        (said, verdicts): (&[EntryVerdict], &[EntryVerdict]),
    ) -> Vec<EntryRecord> {
        let mut records = Vec::with_capacity(entries.len());
        let manifest = &self.batch.manifest;
        for (at, ((listed, entry), verdict)) in
            manifest.iter().zip(entries).zip(verdicts).enumerate()
        {
            settled.progress.tally.count(listed.is_reading(), *verdict);
            let (status, itself) = (entry.status, said.get(at));
            records.push(match verdict {
                EntryVerdict::Accepted | EntryVerdict::AlreadyThere | EntryVerdict::Received => {
                    EntryRecord::Delivered { location: entry.reference().map(str::to_owned) }
                }
                EntryVerdict::Refused if itself == Some(verdict) => {
                    EntryRecord::Refused { reason: reason(entry), status, location: None }
                }
                EntryVerdict::Refused => {
                    let is_stored = itself.is_some_and(|said| said.is_stored());
                    let location = entry.reference().filter(|_| is_stored).map(str::to_owned);
                    let reason = self.refused_with(listed.unit, entries, said);
                    EntryRecord::Refused { reason, status, location }
                }
                EntryVerdict::Ambiguous => {
                    let reason = duplicate(&reason(entry));
                    EntryRecord::Refused { reason, status, location: None }
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

    /// Why an entry is refused that belongs to a refused unit.
    fn refused_with(&self, unit: u32, entries: &[EntryOutcome], said: &[EntryVerdict]) -> String {
        let all = self.batch.manifest.iter().zip(entries).zip(said);
        let mut of_unit = all.filter(|((listed, _), _)| listed.unit == unit);
        let refused = of_unit.find(|(_, said)| **said == EntryVerdict::Refused);
        let reason = refused.map(|((_, entry), _)| reason(entry)).unwrap_or_default();
        format!("refused with what it belongs to: {reason}")
    }

    /// Moves on, and waits if entries were deferred.
    fn defer(
        &self,
        settled: &mut Settlement,
        response: &Response,
        (accepted, verdicts): (bool, &[EntryVerdict]),
    ) {
        let later = verdicts.contains(&EntryVerdict::Later);
        let reauthorise = verdicts.contains(&EntryVerdict::Reauthorise);
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
            progress.stopped.push(StoppedPart { part, for_consent: false, reason });
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

/// What each entry's status means by itself.
fn said(batch: &SentBatch, entries: &[EntryOutcome]) -> Vec<EntryVerdict> {
    let verdict = |entry: &EntryOutcome| {
        entry_verdict(entry.status, entry.location.is_some(), batch.conditional)
    };
    entries.iter().map(verdict).collect()
}

/// What becomes of each entry. A unit stays together: if one of its entries goes later, all do,
/// unless that would store a part of it twice: then the deferred ones stay unknown instead. If one
/// is refused, all are.
fn of_units(batch: &SentBatch, said: &[EntryVerdict], repeats_safely: bool) -> Vec<EntryVerdict> {
    let mut verdicts = said.to_vec();
    let defers = |v: &EntryVerdict| {
        matches!(v, EntryVerdict::Later | EntryVerdict::Reauthorise | EntryVerdict::Consent)
    };
    let mut begin = 0;
    for unit in batch.manifest.chunk_by(|a, b| a.unit == b.unit) {
        let end = begin + unit.len();
        let Some(unit) = verdicts.get_mut(begin..end) else { break };
        begin = end;
        // A refusal beside it may be for what went later: a summary refers to its figures.
        if let Some(worst) = unit.iter().copied().find(defers) {
            if repeats_safely || !unit.iter().any(|verdict| verdict.is_stored()) {
                unit.fill(worst);
            } else {
                let deferred = unit.iter_mut().filter(|verdict| defers(verdict));
                deferred.for_each(|verdict| *verdict = EntryVerdict::Unknown);
            }
        } else if unit.contains(&EntryVerdict::Refused) {
            unit.fill(EntryVerdict::Refused);
        }
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
