//! What an answer changes: one answer in, everything to be written down out.
//!
//! Pure. [`settle`] is given what is known and what came back, and returns a [`Settlement`] that
//! the store writes in one transaction. The response table of the design is a table of tests here.

mod entries;
mod lookup;
#[cfg(test)]
mod tests;
mod whole;

pub use entries::settle_late;
pub use lookup::{settle_given_up, settle_lookup};

use super::{
    Answer, Attempts, BlockReason, NoAnswer, Part, Places, Policy, Progress, ReceiverFacts,
    RequestVerdict, Response, ResponseFacts, SentBatch, StoppedPart, TokenRefusal, Wait,
    WaitReason, Wanted, about_size, request_verdict,
};
use crate::fhir::{parse_outcome, parse_response};
use chrono::{DateTime, Utc};

/// What a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// Every limit and threshold.
    pub policy: &'a Policy,
    /// What is known of the receiver.
    pub receiver: &'a ReceiverFacts,
    /// What the submission sends.
    pub wanted: Wanted,
    /// How far it has come.
    pub progress: &'a Progress,
    /// What was sent.
    pub batch: &'a SentBatch,
    /// Whether the submission is still to be delivered: nobody cancelled it.
    pub open: bool,
    /// Whether what was sent can be searched for: the receiver offers it and granted it.
    pub searchable: bool,
    /// Whether the token was refreshed because this request was refused.
    pub token_refreshed: bool,
    /// The time.
    pub now: DateTime<Utc>,
    /// Spreads a wait, over all its values.
    pub jitter: u32,
}

/// What became of an entry, to be written down.
#[derive(Clone, PartialEq, Eq)]
pub enum EntryRecord {
    /// The receiver has it; where, if it said so.
    Delivered {
        /// `Type/id` at the receiver.
        location: Option<String>,
    },
    /// The receiver will not have it, or what it belongs to, and its reason.
    Refused {
        /// The receiver's own words, capped.
        reason: String,
        /// The status it was refused with: the entry's own, or the request's.
        status: u16,
        /// Where it is all the same: stored, while the unit it belongs to was refused.
        location: Option<String>,
    },
    /// It is sent again in a later pass.
    Deferred,
    /// It was sent, and nobody can tell what became of it: the person decides.
    Unknown,
}

/// Hides the receiver's words.
impl std::fmt::Debug for EntryRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Delivered { .. } => "Delivered",
            Self::Refused { .. } => "Refused",
            Self::Deferred => "Deferred",
            Self::Unknown => "Unknown",
        })
    }
}

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextState {
    /// The same bytes go again.
    Ready,
    /// It is looked up at the receiver before it goes again, not before the wait is over.
    LookUp(Wait, WaitReason),
    /// Every entry has one of these outcomes; the batch is gone.
    Done(Vec<EntryRecord>),
    /// Its content goes into later, other batches.
    TakenApart {
        /// Whether the receiver may have some of it: a correction then says what it corrects.
        may_be_stored: bool,
    },
}

/// Everything an answer changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// What becomes of the batch.
    pub next: NextState,
    /// How often it was sent, and with what result.
    pub attempts: Attempts,
    /// What a lookup that goes on has found so far.
    pub looked_up: Places,
    /// How far the submission has come.
    pub progress: Progress,
    /// What is known of the receiver.
    pub receiver: ReceiverFacts,
    /// The connection cannot go on by itself, for this reason.
    pub block: Option<BlockReason>,
    /// The access token is to be refreshed.
    pub refresh: bool,
    /// In a word, for the history.
    pub outcome: &'static str,
    /// The HTTP status, if an answer came.
    pub status: Option<u16>,
    /// When it was decided, as a Unix second.
    pub at: i64,
}

/// What an answer changes.
pub fn settle(at: &Situation<'_>, answer: &Answer) -> Settlement {
    match answer {
        Answer::None(NoAnswer::NotArrived) => at.not_arrived(),
        Answer::None(NoAnswer::NotMade) => at.blocked(BlockReason::Configuration),
        Answer::None(NoAnswer::Lost) => at.outcome_unknown("answer lost"),
        Answer::None(NoAnswer::Redirected) => at.redirected(),
        Answer::None(NoAnswer::SenderDied) => at.outcome_unknown("sender died"),
        Answer::None(NoAnswer::TooLarge) => at.unreadable(),
        Answer::Response(response) => {
            let mut settled = at.respond(response);
            settled.status = Some(response.status);
            settled
        }
    }
}

impl Situation<'_> {
    fn respond(&self, response: &Response) -> Settlement {
        let facts = ResponseFacts {
            status: response.status,
            gzip: self.receiver.gzip != Some(false),
            gzip_proved: self.receiver.gzip == Some(true),
            about_size: about_size(&response.body),
        };
        match request_verdict(facts) {
            RequestVerdict::ReadEntries => {
                match parse_response(&response.body, self.batch.manifest.len()) {
                    Ok(entries) => self.read_entries(response, &entries),
                    Err(_) => self.unreadable(),
                }
            }
            RequestVerdict::SameBytesLater => self.failed(response),
            RequestVerdict::Elsewhere => self.elsewhere(response),
            RequestVerdict::OutcomeUnknown => {
                let mut settled = self.outcome_unknown("no answer in time");
                if response.retry_after.is_some() {
                    settled.leave_alone(self, response.retry_after, WaitReason::ReceiverAsked);
                }
                settled
            }
            RequestVerdict::TokenRefused => self.token_refused(self.again("token refused")),
            RequestVerdict::Block(BlockReason::Consent) => {
                let mut settled = self.taken_apart("no permission");
                settled.stop_for_consent(self.batch.part, refusal(response));
                settled.ask_for_consent(self.wanted);
                settled
            }
            RequestVerdict::Block(reason) => self.blocked(reason),
            RequestVerdict::Uncompressed => {
                let mut settled = self.again("compression refused");
                settled.receiver.gzip = Some(false);
                settled
            }
            RequestVerdict::Smaller => self.smaller(response),
            RequestVerdict::Bisect => self.isolate(response),
        }
    }

    /// The same bytes again, as everything stands. An answer whose meaning is known ends a row of
    /// unknown outcomes; callers that know better say so.
    fn again(&self, outcome: &'static str) -> Settlement {
        Settlement {
            next: NextState::Ready,
            attempts: Attempts { unreached: 0, ..self.batch.attempts },
            looked_up: Places::default(),
            progress: self.progress.clone(),
            receiver: self.receiver.clone(),
            block: None,
            refresh: false,
            outcome,
            status: None,
            at: self.now.timestamp(),
        }
    }

    fn taken_apart(&self, outcome: &'static str) -> Settlement {
        let may_be_stored = self.batch.attempts.may_be_stored();
        Settlement { next: NextState::TakenApart { may_be_stored }, ..self.again(outcome) }
    }

    /// The batch stays as it is, and goes on when the connection does.
    fn blocked(&self, reason: BlockReason) -> Settlement {
        Settlement { block: Some(reason), ..self.again("blocked") }
    }

    /// The same request with a new token, or a new authorisation.
    fn token_refused(&self, settled: Settlement) -> Settlement {
        match TokenRefusal::of(self.token_refreshed) {
            TokenRefusal::Refresh => Settlement { refresh: true, ..settled },
            TokenRefusal::Reauthorise => {
                Settlement { block: Some(BlockReason::Reauthorise), outcome: "blocked", ..settled }
            }
        }
    }

    /// Whether sending the same bytes again cannot store anything twice.
    fn repeats_safely(&self) -> bool {
        self.receiver.repeats_safely(self.batch)
    }
}

impl Settlement {
    /// Leaves the receiver alone: as long as it asked, or as our own back-off says.
    fn leave_alone(
        &mut self,
        at: &Situation<'_>,
        asked: Option<super::RetryAfter>,
        reason: WaitReason,
    ) {
        let attempt = self.attempts.sent.max(self.progress.unknowns).max(1);
        let delay = at.policy.backoff.delay(attempt, at.jitter, asked, at.now);
        let reason = if asked.is_some() { WaitReason::ReceiverAsked } else { reason };
        self.receiver.leave_alone(at.now, Wait::after(at.now, delay), reason);
    }

    /// Counts one more outcome that is not known.
    fn note_unknown(&mut self, at: &Situation<'_>) {
        let attempts = &mut self.attempts;
        attempts.unknown = attempts.unknown.saturating_add(1);
        (attempts.lookups, attempts.failed_lookups) = (0, 0);
        (attempts.stuck_lookups, attempts.refused_lookups) = (0, 0);
        self.progress.unknowns = at.progress.unknowns.saturating_add(1);
    }

    fn stop_for_consent(&mut self, part: Part, reason: String) {
        if !self.progress.stopped.iter().any(|stopped| stopped.part == part) {
            self.progress.stopped.push(StoppedPart { part, for_consent: true, reason });
        }
    }

    /// If everything a submission has is stopped for lack of consent, the person has to give it.
    fn ask_for_consent(&mut self, wanted: Wanted) {
        let stopped =
            |part| self.progress.stopped.iter().any(|stop| stop.part == part && stop.for_consent);
        let parts = [
            (wanted.devices, Part::Devices),
            (wanted.summary, Part::Summary),
            (wanted.readings, Part::Readings),
        ];
        if parts.into_iter().all(|(wanted, part)| !wanted || stopped(part)) {
            self.block.get_or_insert(BlockReason::Consent);
        }
    }
}

/// The refusal of a whole request in the receiver's own words.
fn refusal(response: &Response) -> String {
    parse_outcome(&response.body).map_or_else(
        || format!("refused with status {}, without a reason", response.status),
        |said| said.text().to_owned(),
    )
}

/// What is there several times already, said before the receiver's own words.
fn duplicate(reason: &str) -> String {
    format!("duplicate at the receiver: {reason}")
}
