//! A small, strict receiver of glucose data as the HL7 CGM guide (STU1 1.0.0) describes it, with
//! SMART App Launch and a page that shows what the clinic got. For tests, demonstrations and an app
//! developer's laptop: it listens on loopback only, its people are invented, and it must never be
//! mistaken for a place to keep health data.
//!
//! It shares no code with the submitter it is used to test. Start one with [`Sandbox::builder`].

mod app;
mod capability;
mod clinic;
mod clock;
mod config;
mod error;
mod faults;
mod fhir;
mod front;
mod http;
mod listener;
mod oauth;
mod query;
mod sandbox;
mod seed;
mod store;
mod submit;

pub use config::{Limits, SandboxBuilder, ScopeSupport};
pub use error::SandboxError;
pub use faults::Endpoint;
pub use sandbox::Sandbox;
pub use store::SubmissionRecord;
