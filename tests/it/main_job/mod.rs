//! The main job as an app and a clinic see it: through the `Submitter` alone, over loopback HTTP,
//! to a receiver that shares no code with the crate.

mod bad_input;
mod changes;
mod confirmation;
mod ending;
mod faults;
mod kills;
mod lifecycle;
mod log;
mod orders;
mod outcome;
mod privacy;
mod real_file;
mod refusals;
mod right_record;
mod two_at_once;
mod verifying;
mod waits;
