//! The main job against a real FHIR server, as its maker ships it. `scripts/test fhir-server`
//! starts one (the Java beside this file) and runs these; they are ignored otherwise. The server
//! asks for
//! no token, so the sandbox stands in front of it, as a SMART proxy does.
//!
//! What a test finds at the server is read back as text by means of its own (`read_back`), so that
//! no digit and no mistake of the library's writers is overlooked. Each test has a Patient of its
//! own.
#![cfg(all(feature = "shell", feature = "http-transport"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests and what they share")]

mod again;
mod at_once;
mod case;
mod changes;
mod content;
mod facts;
mod orders;
mod read_back;
mod refusals;
mod server;
#[path = "../../it/support/mod.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod support;
mod verifying;

use support::{tape, world, zone};
