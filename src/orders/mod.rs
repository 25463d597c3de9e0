//! Which data a receiver asks for, how often and how far back.
//!
//! Reads the standing orders a receiver holds for a patient, and one-time orders that reach the app
//! by another way (`ServiceRequest`s of HL7 CGM). Nothing here knows when an order was last served,
//! and nothing here sends. What cannot be followed is refused with a reason for the person to see,
//! never passed over.

mod approval;
mod content;
mod error;
mod occurrence;
mod one_time;
mod order;
mod period;
mod read;
mod request;
mod search;

pub use approval::{Fingerprint, asks_for_more, order_fingerprint, schedule_fingerprint};
pub use content::Content;
pub use error::{OrderError, OrderStatus};
pub use occurrence::Occurrence;
pub use one_time::{OneTimeOrder, OneTimeOrderError, parse_one_time_order};
pub use order::{OrderId, RefusedOrder, Schedule, StandingOrder};
pub use period::{PeriodError, TimeUnit, UcumPeriod};
pub use read::{ReadOrder, read_order};
pub use search::{OrderSearch, OrderSource, parse_order_search};
