//! What to send next, and what an answer changes.
//!
//! The outcome of a request is decided by the response table in `submission`; this writes the
//! decision down. It sends nothing, reads no clock and draws no random number.

use super::batch::{Outgoing, next_batch, outgoing};
use crate::error::Error;
use crate::fhir::{BundleLimits, EntryKind, EntryOutcome, parse_outcome, parse_response};
use crate::store::{
    BatchId, BatchRecord, ConnectionId, ConnectionRecord, ConnectionState, EntryRecord, Item,
    Progress, Store, StoreError, SubmissionRecord, SubmissionState,
};
use crate::submission::{
    Backoff, EntryVerdict, Part, Position, RequestVerdict, RetryAfter, Said, Stopped, Why,
    entry_verdict, request_verdict,
};
use chrono::{DateTime, TimeDelta, Utc};

/// After so many single units refused as whole requests for one reason, the reason lies with the
/// connection.
const LONE_REFUSALS: u32 = 3;
/// How long a request may still be under way at the receiver after its sender was killed.
const LEASE: TimeDelta = TimeDelta::seconds(10);
/// Fewer entries than this are never remembered as a receiver's limit: its complaint was about
/// something else.
const SMALLEST_LIMIT: usize = 25;
/// So many batches of readings refused alike in a row, with none taken, and the rest is not tried.
const ALIKE_BATCHES: u32 = 3;
/// So many units refused without condition as well, and the condition was not to blame.
const PROBES: u32 = 3;
/// How often devices that were put off are waited for before their readings go without them.
const DEVICE_WAITS: u32 = 4;
/// A batch of more entries than this, all refused alike, says something about the connection and
/// nothing about its entries.
const ALIKE: usize = 3;

/// The delivery of one connection, as a value one steps.
///
/// The caller holds the connection's lock from the first step to the last: a batch found half-sent
/// was left by a process that died.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    connection: ConnectionId,
    backoff: Backoff,
    token: TokenUse,
}

/// Whether the token was refreshed because of the request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenUse {
    AsIs,
    RefreshDue,
    Refreshed,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this.
    Send(Box<Outgoing>),
    /// Refresh the access token, then step again.
    Refresh,
    /// Nothing before this instant.
    WaitUntil(DateTime<Utc>),
    /// Nothing is left.
    Idle,
    /// The connection cannot go on by itself.
    Blocked(ConnectionState),
}

/// What came of a request.
pub enum Answer {
    /// It was not sent, and need not be tried before this instant, if one is known.
    NotSent(Option<DateTime<Utc>>),
    /// No answer came.
    Nothing {
        /// A word why.
        why: &'static str,
        /// Whether the receiver may still be working on it.
        under_way: bool,
    },
    /// An answer came.
    Response {
        /// The HTTP status.
        status: u16,
        /// Its `Retry-After`.
        retry_after: Option<RetryAfter>,
        /// Its body.
        body: Vec<u8>,
    },
}

/// Hides what the receiver said.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSent(_) => f.write_str("NotSent"),
            Self::Nothing { why, .. } => write!(f, "Nothing({why})"),
            Self::Response { status, .. } => write!(f, "Response({status}, …)"),
        }
    }
}

impl Machine {
    /// The delivery of `connection`.
    pub fn new(connection: ConnectionId) -> Self {
        Self { connection, backoff: Backoff::default(), token: TokenUse::AsIs }
    }

    /// The token was refreshed, as a step asked.
    pub fn refreshed(&mut self) {
        self.token = TokenUse::Refreshed;
    }

    /// What to do next. A batch to be sent is claimed when this returns.
    ///
    /// # Errors
    /// [`Error`] where the store or the assembly of a batch fails.
    pub fn next(&self, store: &mut Store, now: DateTime<Utc>) -> Result<Step, Error> {
        let connection = store.connection(self.connection)?;
        if connection.state != ConnectionState::Active {
            return Ok(Step::Blocked(connection.state));
        }
        if self.token == TokenUse::RefreshDue {
            return Ok(Step::Refresh);
        }
        loop {
            if let Some(batch) = store.pending_batch(self.connection)? {
                if let Some(wait) = waits(batch.not_before, now) {
                    return Ok(Step::WaitUntil(wait));
                }
                let claimed = match store.claim(batch.id, now, LEASE) {
                    // Disconnected or blocked by another process since the look at its state.
                    Err(StoreError::Missing(_)) => {
                        return Ok(Step::Blocked(store.connection(self.connection)?.state));
                    }
                    claimed => claimed?,
                };
                return Ok(Step::Send(Box::new(outgoing(&connection, claimed)?)));
            }
            // A submission that waits holds up no other.
            let open = store.open_submissions(self.connection)?;
            let wait = |submission: &SubmissionRecord| waits(submission.progress.not_before, now);
            let Some(submission) = open.iter().find(|submission| wait(submission).is_none()) else {
                return Ok(open.iter().filter_map(wait).min().map_or(Step::Idle, Step::WaitUntil));
            };
            self.freeze_next(store, &connection, submission, now)?;
        }
    }

    /// Freezes a submission's next batch, starts its next pass, or ends it.
    fn freeze_next(
        &self,
        store: &mut Store,
        connection: &ConnectionRecord,
        submission: &SubmissionRecord,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let mut submission = submission.clone();
        let first = Position::first(submission.plan.wanted);
        if let Some(batch) = next_batch(store, connection, &submission, now)? {
            // Not frozen where another process wrote meanwhile: the next look assembles it anew.
            let _ = store.freeze(self.connection, &batch)?;
            return Ok(());
        }
        let progress = &mut submission.progress;
        // The ledger, not the position, tells whether everything was sent: a reading may have come
        // in, or been corrected, behind the position.
        let again = progress.put_off || progress.position != first;
        progress.position = first;
        if again && (progress.put_off || next_batch(store, connection, &submission, now)?.is_some())
        {
            submission.progress.pass += 1;
            submission.progress.put_off = false;
            store.save_progress(submission.id, &submission.progress)?;
        } else {
            store.end_submission(submission.id, SubmissionState::Done)?;
        }
        Ok(())
    }

    /// What an answer changes. `jitter` spreads a wait.
    ///
    /// # Errors
    /// [`Error`] where the store fails; the batch then stays claimed and is sent again.
    pub fn apply(
        &mut self,
        store: &mut Store,
        now: DateTime<Utc>,
        jitter: u8,
        batch: BatchId,
        answer: &Answer,
    ) -> Result<(), Error> {
        let Some(batch) =
            store.pending_batch(self.connection)?.filter(|pending| pending.id == batch)
        else {
            // Disconnected or erased meanwhile: there is nothing left to write down.
            return Ok(());
        };
        let details = store.connection(self.connection)?.details;
        let gzip = details.gzip != Some(false);
        let (status, retry_after, body) = match answer {
            Answer::NotSent(until) => {
                let wait =
                    until.map_or(self.backoff.first, |until| until - now).max(TimeDelta::zero());
                return Ok(store.unclaim(&batch, now, wait)?);
            }
            Answer::Nothing { why, under_way } => {
                return self.again(store, now, jitter, &batch, None, (why, *under_way));
            }
            Answer::Response { status, retry_after, body } => (*status, *retry_after, body),
        };
        let said = Said {
            status,
            gzip,
            gzip_proved: details.gzip == Some(true),
            about_size: about_size(body),
        };
        if status != 401 {
            self.token = TokenUse::AsIs;
        }
        match request_verdict(said) {
            RequestVerdict::ReadEntries => match parse_response(body, batch.manifest.len()) {
                Ok(entries) => {
                    if gzip && details.gzip.is_none() {
                        store.change_connection(self.connection, |details| {
                            details.gzip = Some(true);
                        })?;
                    }
                    self.read_entries(store, now, (jitter, retry_after), &batch, &entries)
                }
                Err(_) => self.again(store, now, jitter, &batch, None, ("unreadable answer", true)),
            },
            RequestVerdict::SameBytesLater => {
                let under_way = matches!(status, 408 | 409 | 502 | 504);
                self.again(
                    store,
                    now,
                    jitter,
                    &batch,
                    retry_after,
                    ("put off by the receiver", under_way),
                )
            }
            RequestVerdict::RefreshToken if self.token == TokenUse::AsIs => {
                self.token = TokenUse::RefreshDue;
                Ok(store.postpone(batch.id, now, TimeDelta::zero(), "token refused")?)
            }
            RequestVerdict::RefreshToken => self.block(store, now, &batch, Why::Reauthorise),
            RequestVerdict::Block(Why::Consent) => {
                // The content of this batch is not covered; other content goes on.
                let mut progress = store.submission(batch.submission)?.progress;
                stop_for_consent(&mut progress, part_of(&batch), refusal(status, body));
                store.take_apart(self.connection, &batch, &progress)?;
                self.ask_for_consent(store, &batch)
            }
            RequestVerdict::Block(why) => self.block(store, now, &batch, why),
            RequestVerdict::Uncompressed => {
                store.change_connection(self.connection, |details| details.gzip = Some(false))?;
                Ok(store.postpone(batch.id, now, TimeDelta::zero(), "compression refused")?)
            }
            RequestVerdict::Smaller => {
                let half = batch.manifest.len() / 2;
                if status >= 500 && half < SMALLEST_LIMIT {
                    // So small a request is not too large: the word about size meant something
                    // else.
                    return self.again(
                        store,
                        now,
                        jitter,
                        &batch,
                        retry_after,
                        ("put off by the receiver", false),
                    );
                }
                if half >= SMALLEST_LIMIT {
                    store.change_connection(self.connection, |details| {
                        details.max_entries = Some(half);
                    })?;
                }
                self.isolate(store, now, &batch, status, body)
            }
            RequestVerdict::Bisect => self.isolate(store, now, &batch, status, body),
        }
    }

    fn again(
        self,
        store: &mut Store,
        now: DateTime<Utc>,
        jitter: u8,
        batch: &BatchRecord,
        asked: Option<RetryAfter>,
        (why, under_way): (&str, bool),
    ) -> Result<(), Error> {
        let wait = self.backoff.delay(batch.attempt.max(1), jitter, asked, now);
        let wait = if under_way { wait.max(LEASE) } else { wait };
        Ok(store.postpone(batch.id, now, wait, why)?)
    }

    fn block(
        self,
        store: &mut Store,
        now: DateTime<Utc>,
        batch: &BatchRecord,
        why: Why,
    ) -> Result<(), Error> {
        store.postpone(batch.id, now, TimeDelta::zero(), "blocked")?;
        let state = match why {
            Why::Reauthorise => ConnectionState::NeedsReauthorisation,
            Why::Consent => ConnectionState::NeedsConsent,
            Why::Configuration => ConnectionState::Misconfigured,
        };
        Ok(store.block_connection(self.connection, state)?)
    }

    /// Every entry's status is read: a success of the request is not acceptance of its entries.
    fn read_entries(
        self,
        store: &mut Store,
        now: DateTime<Utc>,
        (jitter, asked): (u8, Option<RetryAfter>),
        batch: &BatchRecord,
        entries: &[EntryOutcome],
    ) -> Result<(), Error> {
        let mut progress = store.submission(batch.submission)?.progress;
        let known = store.connection(self.connection)?.details.conditional_create;
        if let Some(learnt) = conditional_create(batch, entries).filter(|_| known.is_none()) {
            store.change_connection(self.connection, |details| {
                details.conditional_create = Some(learnt);
            })?;
        } else if known.is_none()
            && batch.conditional
            && entries.iter().all(|entry| entry.status == 400)
        {
            if progress.probes_refused < PROBES {
                // Either the content is wrong or the receiver has no conditional create. One unit
                // without it will tell.
                progress.probe = true;
                return Ok(store.take_apart(self.connection, batch, &progress)?);
            }
            store.change_connection(self.connection, |details| {
                details.conditional_create = Some(true);
            })?;
        }
        let part = part_of(batch);
        let verdicts = verdicts(batch, entries);
        let (received, found) = (EntryVerdict::Received, EntryVerdict::AlreadyThere);
        let details = store.connection(self.connection)?.details;
        let keeps_no_copies = details.keeps_no_copies || verdicts.contains(&received);
        let finds_again = details.finds_again || verdicts.contains(&found);
        if (keeps_no_copies, finds_again) != (details.keeps_no_copies, details.finds_again) {
            store.change_connection(self.connection, |details| {
                details.keeps_no_copies |= keeps_no_copies;
                details.finds_again |= finds_again;
            })?;
        }
        let mut records = Vec::with_capacity(entries.len());
        for ((listed, entry), verdict) in batch.manifest.iter().zip(entries).zip(&verdicts) {
            progress.tally.count(matches!(listed.item, Item::Reading(..)), *verdict);
            records.push(match verdict {
                EntryVerdict::Accepted | EntryVerdict::AlreadyThere | EntryVerdict::Received => {
                    EntryRecord::Delivered { location: entry.reference().map(str::to_owned) }
                }
                EntryVerdict::Refused => EntryRecord::Refused { reason: reason(entry) },
                EntryVerdict::Ambiguous => {
                    EntryRecord::Refused { reason: duplicate(&reason(entry)) }
                }
                EntryVerdict::Consent => {
                    stop_for_consent(&mut progress, part, reason(entry));
                    EntryRecord::PutOff
                }
                EntryVerdict::Later | EntryVerdict::Reauthorise => EntryRecord::PutOff,
            });
        }
        let later = verdicts.contains(&EntryVerdict::Later);
        let reauthorise = verdicts.contains(&EntryVerdict::Reauthorise);
        progress.lone_refusals = (0, 0);
        progress.unit_limit = wider(progress.unit_limit);
        progress.put_off |= later || reauthorise;
        progress.put_offs = if later { progress.put_offs.saturating_add(1) } else { 0 };
        // Readings refer to their devices: these are waited for, though not for ever.
        let wait_here = part == Part::Devices && later && progress.put_offs < DEVICE_WAITS;
        if !wait_here {
            progress.position = batch.position_after;
        }
        if later {
            // A receiver that puts entries off is busy: nothing more of this submission goes at
            // once.
            let wait = self.backoff.delay(progress.put_offs, jitter, asked, now).num_seconds() + 1;
            progress.not_before = (now.timestamp() + wait, wait);
        }
        if progress.probe {
            let refused = verdicts.contains(&EntryVerdict::Refused);
            progress.probes_refused += u32::from(refused);
            progress.probe = records.contains(&EntryRecord::PutOff);
        }
        if part == Part::Readings {
            let alike = refused_alike(entries);
            progress.alike = if alike.is_some() { progress.alike + 1 } else { 0 };
            let none_taken = progress.tally.readings.total() == progress.tally.readings.refused;
            if let Some(reason) = alike.filter(|_| progress.alike >= ALIKE_BATCHES && none_taken) {
                progress.stopped.push(Stopped { part, for_consent: false, reason });
            }
        }
        store.settle(self.connection, batch, &records, &progress)?;
        if reauthorise {
            store.block_connection(self.connection, ConnectionState::NeedsReauthorisation)?;
        }
        self.ask_for_consent(store, batch)
    }

    /// Where everything a submission has is stopped for lack of consent, the person has to give it.
    fn ask_for_consent(self, store: &mut Store, batch: &BatchRecord) -> Result<(), Error> {
        let submission = store.submission(batch.submission)?;
        let stopped =
            |part| submission.progress.stopped.iter().any(|s| s.part == part && s.for_consent);
        let wanted = submission.plan.wanted;
        let parts = [
            (wanted.devices, Part::Devices),
            (wanted.summary, Part::Summary),
            (wanted.readings, Part::Readings),
        ];
        if parts.into_iter().all(|(wanted, part)| !wanted || stopped(part)) {
            store.block_connection(self.connection, ConnectionState::NeedsConsent)?;
        }
        Ok(())
    }

    /// Halves a batch that was refused as a whole, down to the single unit that is to blame, which
    /// is set aside.
    fn isolate(
        self,
        store: &mut Store,
        now: DateTime<Utc>,
        batch: &BatchRecord,
        status: u16,
        body: &[u8],
    ) -> Result<(), Error> {
        let mut progress: Progress = store.submission(batch.submission)?.progress;
        let units = units(batch);
        if units > 1 {
            progress.unit_limit = Some(units / 2);
            return Ok(store.take_apart(self.connection, batch, &progress)?);
        }
        if status == 400
            && batch.conditional
            && store.connection(self.connection)?.details.conditional_create.is_none()
        {
            progress.probe = true;
            return Ok(store.take_apart(self.connection, batch, &progress)?);
        }
        progress.probe = false;
        let in_a_row =
            if progress.lone_refusals.1 == status { progress.lone_refusals.0 + 1 } else { 1 };
        // A duplicate at the receiver is settled, and says nothing about the connection.
        if status != 412 && in_a_row >= LONE_REFUSALS {
            progress.lone_refusals = (0, 0);
            store.save_progress(batch.submission, &progress)?;
            return self.block(store, now, batch, Why::Configuration);
        }
        progress.lone_refusals = (in_a_row, status);
        for listed in &batch.manifest {
            progress.tally.count(matches!(listed.item, Item::Reading(..)), EntryVerdict::Refused);
        }
        progress.position = batch.position_after;
        let reason = refusal(status, body);
        let reason = if status == 412 { duplicate(&reason) } else { reason };
        let records = vec![EntryRecord::Refused { reason }; batch.manifest.len()];
        Ok(store.settle(self.connection, batch, &records, &progress)?)
    }
}

/// What the answers tell about conditional create, if anything: a conditional entry that was taken
/// proves it; a 201 to the unit that was sent without proves that the receiver lacks it.
fn conditional_create(batch: &BatchRecord, entries: &[EntryOutcome]) -> Option<bool> {
    if batch.conditional {
        entries.iter().any(|entry| matches!(entry.status, 200 | 201)).then_some(true)
    } else {
        entries.iter().any(|entry| entry.status == 201).then_some(false)
    }
}

/// What each entry's status means. A unit stays together: where one of its entries goes later, all
/// do.
fn verdicts(batch: &BatchRecord, entries: &[EntryOutcome]) -> Vec<EntryVerdict> {
    let mut verdicts: Vec<EntryVerdict> = entries
        .iter()
        .map(|entry| entry_verdict(entry.status, entry.location.is_some(), batch.conditional))
        .collect();
    let puts_off = |v: &EntryVerdict| {
        matches!(v, EntryVerdict::Later | EntryVerdict::Reauthorise | EntryVerdict::Consent)
    };
    let mut begin = 0;
    for unit in batch.manifest.chunk_by(|a, b| a.unit == b.unit) {
        let end = begin + unit.len();
        if let Some(unit) = verdicts.get_mut(begin..end)
            && let Some(worst) = unit.iter().copied().find(|verdict| puts_off(verdict))
        {
            unit.fill(worst);
        }
        begin = end;
    }
    verdicts
}

/// Twice the units, or the normal limit again.
fn wider(unit_limit: Option<usize>) -> Option<usize> {
    let normal = BundleLimits::default().max_entries;
    unit_limit.map(|limit| limit.saturating_mul(2)).filter(|limit| *limit < normal)
}

/// The one reason for which a whole batch was refused, if it was.
fn refused_alike(entries: &[EntryOutcome]) -> Option<String> {
    let first = entries.first()?;
    let alike = |entry: &EntryOutcome| {
        entry.status == first.status
            && entry_verdict(entry.status, false, true) == EntryVerdict::Refused
    };
    (entries.len() > ALIKE && entries.iter().all(alike)).then(|| reason(first))
}

/// The part of a submission a batch is of.
fn part_of(batch: &BatchRecord) -> Part {
    match batch.manifest.first().map(|listed| &listed.item) {
        Some(Item::Resource(_, EntryKind::Device, _)) => Part::Devices,
        Some(Item::Resource(..)) => Part::Summary,
        Some(Item::Reading(..)) | None => Part::Readings,
    }
}

fn stop_for_consent(progress: &mut Progress, part: Part, reason: String) {
    if !progress.stopped.iter().any(|stopped| stopped.part == part) {
        progress.stopped.push(Stopped { part, for_consent: true, reason });
    }
}

/// A refusal in the receiver's own words.
fn reason(entry: &EntryOutcome) -> String {
    let said = entry.outcome.as_ref().map(|said| said.text().to_owned());
    said.unwrap_or_else(|| format!("refused with status {}, without a reason", entry.status))
}

/// The refusal of a whole request in the receiver's own words.
fn refusal(status: u16, body: &[u8]) -> String {
    parse_outcome(body).map_or_else(
        || format!("refused with status {status}, without a reason"),
        |said| said.text().to_owned(),
    )
}

/// What is there several times already, said before the receiver's own words.
fn duplicate(reason: &str) -> String {
    format!("duplicate at the receiver: {reason}")
}

/// Until when to wait, if at all. A wait further ahead than its own length was set by a clock that
/// has since been put back: it is over.
fn waits((not_before, delay): (i64, i64), now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let ahead = not_before - now.timestamp();
    (ahead > 0 && ahead <= delay).then(|| DateTime::from_timestamp(not_before, 0)).flatten()
}

fn units(batch: &BatchRecord) -> usize {
    let mut numbers: Vec<u32> = batch.manifest.iter().map(|listed| listed.unit).collect();
    numbers.dedup();
    numbers.len()
}

/// Whether a refusal speaks of size: receivers answer 400, 422 and 500 to bodies that are merely
/// too large.
fn about_size(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&body[..body.len().min(4096)]).to_ascii_lowercase();
    // `too-long` and `too-costly` are FHIR's own codes for it.
    [
        "too large",
        "too many",
        "toolarge",
        "exceeds",
        "too-costly",
        "too-long",
        "too long",
        "entity size",
        "maximum number",
    ]
    .iter()
    .any(|phrase| text.contains(phrase))
}
