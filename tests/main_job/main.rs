//! The main job as an app and a clinic see it: through the `Submitter` alone, over loopback HTTP,
//! to a receiver that shares no code with the crate.
#![cfg(all(feature = "shell", feature = "reqwest"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests and what they share")]

mod bad_input;
mod changes;
mod confirmation;
mod faults;
mod kills;
mod orders;
mod privacy;
mod real_file;
mod refusals;
mod right_record;
mod tape;
mod two_at_once;
mod verifying;
mod world;
#[path = "../../examples/shared/zone.rs"]
mod zone;
