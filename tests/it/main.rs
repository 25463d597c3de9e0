//! Everything but what needs another program: one binary, so that it is linked once. A folder here
//! is a part of the crate or of its main job; `support` is what they share, with the suites of
//! `tests/external` too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests and what they share"
)]

#[cfg(feature = "shell")]
mod connect;
#[cfg(feature = "shell")]
mod delivery;
mod fhir;
mod hostile;
mod import;
mod layers;
#[cfg(all(feature = "shell", feature = "http-transport"))]
mod main_job;
#[cfg(all(feature = "shell", feature = "http-transport"))]
mod send_now;
mod statistics;
#[cfg(all(feature = "shell", feature = "http-transport"))]
mod support;

#[cfg(all(feature = "shell", feature = "http-transport"))]
use support::{tape, world, zone};

/// How many of what a slow test can try it tries: all if nobody waits (`--profile ci`), at the desk
/// a third.
fn share_of(all: u32) -> u32 {
    if is_thorough() { all } else { all.div_ceil(3) }
}

/// Whether nobody waits.
fn is_thorough() -> bool {
    std::env::var("NEXTEST_PROFILE").is_ok_and(|profile| profile == "ci")
}
