//! What to do about what came back, and how a submission is counted. Pure decisions; the delivery
//! engine acts on them.
//!
//! The response table is data here and nowhere else: [`entry_verdict`] for one entry,
//! [`request_verdict`] for a whole request, [`Backoff`] for when to try again.

mod plan;
mod planning;
mod tally;
mod verdict;

pub use crate::backoff::{Backoff, RetryAfter};
pub use plan::{Part, Plan, Position, Stopped, Wanted};
pub use planning::{
    Circumstances, LeftOut, Planned, PlanningError, SubmissionRequest, Trigger, Unsupported, plan,
};
pub use tally::{Counts, Tally};
pub use verdict::{EntryVerdict, RequestVerdict, Said, Why, entry_verdict, request_verdict};
