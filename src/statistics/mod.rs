//! What a stretch of readings says: the consensus statistics of continuous glucose monitoring.
//!
//! Pure: readings in, numbers out. Nothing here knows a clock, a database, FHIR or a report's
//! layout.
//!
//! One pass, in time order, in three steps:
//! 1. `interval` learns how often each sensor measures, from the gaps between its readings;
//! 2. `canonical` leaves one reading per instant: where sensors overlap, that of the sensor started
//!    last;
//! 3. `totals` and `days` add up, in whole numbers, so that no order of adding changes a digit.
//!
//! [`SummaryBuilder`] joins them.

mod canonical;
mod days;
mod interval;
mod level;
mod ranges;
mod summary;
mod totals;

pub use ranges::TimesInRanges;
pub use summary::{Sufficiency, Summary, SummaryBuilder, SummaryError};
