//! Connecting to a receiver, keeping its tokens fresh and ending it, against a small authorisation
//! server in memory.

mod flows;
mod tokens;
mod world;
