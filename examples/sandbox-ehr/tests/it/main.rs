//! The sandbox as an app meets it: over HTTP on loopback, one sandbox per test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "a test that meets the unexpected should stop and say where"
)]

mod app;
mod bundles;
mod clinic;
mod conditional_create;
mod discovery;
mod front;
mod limits;
mod oauth;
mod persistence;
mod reading_back;
mod references;
mod rules;
mod submission;
