//! Connecting to a receiver, keeping its tokens fresh and ending it, against a small authorisation
//! server in memory.
#![cfg(feature = "shell")]
#![expect(clippy::unwrap_used, reason = "a test ends where its world cannot be built")]

mod flows;
mod tokens;
mod world;
