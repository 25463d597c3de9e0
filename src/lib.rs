#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// An app reaches what is named below and nothing else. Inside, modules serve each other by `pub`;
// what only the shell, a test or a host of another language calls is no dead code.
#![cfg_attr(not(feature = "internals"), warn(unnameable_types))]
#![cfg_attr(
    not(all(feature = "internals", feature = "shell")),
    allow(dead_code, unreachable_pub, unused_imports)
)]

// ---- core: pure, synchronous, no clock, no I/O ----
mod backoff;
pub mod import;
mod sorting;
pub mod statistics;

#[cfg(feature = "internals")]
pub mod fhir;
#[cfg(not(feature = "internals"))]
mod fhir;
#[cfg(feature = "internals")]
pub mod glucose;
#[cfg(not(feature = "internals"))]
mod glucose;
#[cfg(feature = "internals")]
pub mod orders;
#[cfg(not(feature = "internals"))]
mod orders;
#[cfg(feature = "internals")]
pub mod smart;
#[cfg(not(feature = "internals"))]
mod smart;
#[cfg(feature = "internals")]
pub mod submission;
#[cfg(not(feature = "internals"))]
mod submission;

// ---- shell: owns time, randomness, disk, network ----
#[cfg(feature = "shell")]
mod blocking;
#[cfg(feature = "shell")]
pub mod environment;
#[cfg(feature = "shell")]
mod error;

#[cfg(all(feature = "shell", feature = "internals"))]
pub mod connect;
#[cfg(all(feature = "shell", not(feature = "internals")))]
mod connect;
#[cfg(all(feature = "shell", feature = "internals"))]
pub mod delivery;
#[cfg(all(feature = "shell", not(feature = "internals")))]
mod delivery;
#[cfg(all(feature = "shell", feature = "internals"))]
pub mod store;
#[cfg(all(feature = "shell", not(feature = "internals")))]
mod store;
#[cfg(all(feature = "shell", feature = "internals"))]
pub mod submitter;
#[cfg(all(feature = "shell", not(feature = "internals")))]
mod submitter;
#[cfg(all(feature = "shell", feature = "internals"))]
pub mod transport;
#[cfg(all(feature = "shell", not(feature = "internals")))]
mod transport;

#[cfg(feature = "testing")]
pub mod testing;

// What the public traits and types are written in.
pub use chrono;
#[cfg(feature = "shell")]
pub use http;
#[cfg(feature = "shell")]
pub use secrecy;

// ---- readings ----
pub use glucose::{
    DateRange, Device, GlucoseUnit, GlucoseValue, Measurement, Reading, Scale, Sensor, SensorKey,
    UtcOffset, ZoneOffsets,
};

// ---- connecting ----
#[cfg(feature = "shell")]
pub use connect::{AuthorizationRequest, Receiver};
#[cfg(feature = "shell")]
pub use store::{ConnectionId, ConnectionState};

// ---- submitting ----
#[cfg(feature = "shell")]
pub use delivery::Event;
#[cfg(feature = "shell")]
pub use store::SubmissionId;
pub use submission::SubmissionRequest;
#[cfg(feature = "shell")]
pub use submitter::{
    Config, Connection, ImportChoices, ImportReport, OutcomeStatus, Patient, SubmissionOutcome,
    Submitter,
};

#[cfg(feature = "shell")]
pub use environment::Environment;
#[cfg(feature = "shell")]
pub use error::{Error, ErrorCode, ErrorKind};
#[cfg(feature = "reqwest")]
pub use transport::ReqwestTransport;
#[cfg(feature = "http-transport")]
pub use transport::{HttpTransport, HttpTransportBuilder};

/// What else a reading is made of, and what becomes of readings that are handed over.
pub mod reading {
    pub use super::glucose::{AbsentReason, LocalInstant, RecordKey, Sample, SensorId, Window};
    #[cfg(feature = "shell")]
    pub use super::store::{IngestReport, RejectedReading};
}

/// How a receiver is named, which guide it speaks, and what becomes of its token at the end.
pub mod receiver {
    #[cfg(feature = "shell")]
    pub use super::connect::Revocation;
    pub use super::fhir::{Dialect, PatientId};
    pub use super::smart::{ReceiverBase, RedirectUri};
}

/// What a receiver's order says: its schedules, how often, how far back, and which data.
pub mod order {
    pub use super::fhir::SummaryMember;
    pub use super::orders::{
        Content, Occurrence, OrderId, OrderStatus, RefusedOrder, Schedule, StandingOrder, TimeUnit,
        UcumPeriod,
    };
    #[cfg(feature = "shell")]
    pub use super::submitter::Orders;
}

/// What would be sent, how a submission stands in detail, and what a receiver has of it.
pub mod outcome {
    #[cfg(feature = "shell")]
    pub use super::delivery::{CannotVerify, Difference, NotVerified, Preview, Verification};
    pub use super::fhir::EntryKind;
    pub use super::submission::{
        Counts, EntryVerdict, LeftOut, Part, Plan, StoppedPart, Tally, Unsupported, WaitReason,
        Wanted,
    };
    #[cfg(feature = "shell")]
    pub use super::submitter::{
        ConnectionRun, RefusedItem, RunReport, Stalled, Standing, SubmissionPreview, UnknownItem,
    };
}

/// What an `Error` was caused by, and what the constructors of values say.
pub mod errors {
    #[cfg(feature = "shell")]
    pub use super::connect::{ConnectError, EndpointError, ReauthorisationCause, TokenError};
    #[cfg(feature = "shell")]
    pub use super::environment::{EnvironmentError, TransportError, VaultError};
    pub use super::fhir::{CapabilityError, PatientError, SubjectError};
    pub use super::glucose::{GlucoseError, ReadingError, SensorError, TimeError};
    pub use super::import::ImportError;
    pub use super::orders::{OrderError, PeriodError};
    pub use super::smart::{
        BaseError, CallbackError, DiscoveryError, FailureReason, RedirectError, ScopesRefused,
        TokenResponseError,
    };
    pub use super::statistics::SummaryError;
    #[cfg(feature = "shell")]
    pub use super::store::StoreError;
    #[cfg(feature = "shell")]
    pub use super::submission::RetryAfter;
    #[cfg(feature = "http-transport")]
    pub use super::transport::TransportSetupError;
}

// ---- the border ----
#[cfg(feature = "ffi")]
uniffi::setup_scaffolding!("cgm_submitter");

#[cfg(feature = "ffi")]
#[allow(unnameable_types, reason = "named by the scaffolding, for other languages")]
mod ffi;
