//! What to do about what came back, and how a submission is counted. Pure decisions; the delivery
//! engine acts on them.
//!
//! Every limit is in [`Policy`]. The response table is data: [`entry_verdict`] for one entry,
//! [`request_verdict`] for a whole request. [`settle`] makes from an answer everything that is to
//! be written down: one answer, one [`Settlement`].

mod answer;
mod manifest;
mod plan;
mod planning;
mod policy;
mod progress;
mod receiver;
mod settlement;
mod tally;
mod verdict;
mod wait;

pub use crate::backoff::{Backoff, RetryAfter};
pub use crate::fhir::Part;
pub use answer::{Answer, LookedUp, NoAnswer, Response};
pub use manifest::{Attempts, Failing, Item, ManifestEntry, Places, SentBatch};
pub use plan::{Origin, Plan, Position, StoppedPart, Wanted};
pub use planning::{
    Circumstances, LeftOut, Planned, PlanningError, SubmissionRequest, Trigger, Unsupported, plan,
};
pub use policy::Policy;
pub use progress::{Isolation, LoneRefusals, Progress, Stall, Suspect};
pub use receiver::{EntryLimit, Pace, ReceiverFacts, ReceiverWait};
pub use settlement::{
    EntryRecord, NextState, Settlement, Situation, settle, settle_given_up, settle_late,
    settle_lookup,
};
pub use tally::{Counts, Tally};
pub use verdict::{
    BlockReason, EntryVerdict, RequestVerdict, ResponseFacts, TokenRefusal, about_size,
    entry_verdict, is_unprocessed, request_verdict,
};
pub use wait::{Wait, WaitReason};
