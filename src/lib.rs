#![doc = include_str!("../README.md")]

// ---- core: pure, synchronous, no clock, no I/O ----
pub mod fhir;
pub mod glucose;
pub mod import;
pub mod orders;
pub mod smart;
pub mod statistics;
pub mod submission;

// ---- shell: owns time, randomness, disk, network ----
#[cfg(feature = "shell")]
pub mod connect;
#[cfg(feature = "shell")]
pub mod delivery;
#[cfg(feature = "shell")]
pub mod environment;
#[cfg(feature = "shell")]
mod error;
#[cfg(feature = "shell")]
pub mod store;
#[cfg(feature = "shell")]
mod submitter;
#[cfg(feature = "shell")]
pub mod transport;

// What the public traits and types are written in.
pub use chrono;
#[cfg(feature = "shell")]
pub use secrecy;

#[cfg(feature = "shell")]
pub use connect::Receiver;
#[cfg(feature = "shell")]
pub use delivery::{CannotVerify, Verification};
#[cfg(feature = "shell")]
pub use environment::Environment;
#[cfg(feature = "shell")]
pub use error::Error;
#[cfg(feature = "shell")]
pub use submitter::{
    Config, Connection, ImportChoices, ImportReport, LeftOut, Orders, OutcomeStatus, Patient,
    RefusedItem, SubmissionOutcome, SubmissionPreview, SubmissionRequest, Submitter,
};

// ---- the border ----
#[cfg(feature = "ffi")]
uniffi::setup_scaffolding!("cgm_submitter");

#[cfg(feature = "ffi")]
mod ffi;
