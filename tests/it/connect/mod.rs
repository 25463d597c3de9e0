//! Connecting to a receiver, keeping its tokens fresh and ending it, against a small authorisation
//! server in memory.

mod ending;
mod flows;
mod patient;
mod resting;
mod tokens;
mod world;
