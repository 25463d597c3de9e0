//! The SMART flow end to end, through the `Submitter` alone, against an authorisation server that
//! nobody here wrote: `oidc-provider`, as `server.mjs` beside this file runs it. `scripts/test
//! authorisation` starts it and tells where in `CGM_AUTHORISATION_SERVER`.
#![cfg(all(feature = "shell", feature = "http-transport"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests and what they share")]

mod browser;
mod connecting;
mod forgeries;
mod network;
mod refreshing;
mod world;
