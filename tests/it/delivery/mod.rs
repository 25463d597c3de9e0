//! The real machine over the real store, stepped without tokio under a virtual clock, against a
//! receiver that plays what a test says.

mod failures;
mod pace;
mod receiver;
mod summary;
mod unknown;
mod virtual_time;
