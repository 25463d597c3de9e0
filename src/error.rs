//! The public error: what failed, on what, a stable code, whether trying again can help, and what
//! to do.

use crate::connect::{ConnectError, TokenError};
use crate::environment::{EnvironmentError, TransportError, VaultError};
use crate::fhir::{BundleError, PatientError};
use crate::glucose::TimeError;
use crate::import::ImportError;
use crate::statistics::SummaryError;
use crate::store::{ConnectionState, StoreError};

/// Why something could not be done. Neither its text nor its fields hold a token, a name, an
/// identifier or a glucose value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Connecting to a receiver.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Getting an access token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Clock, randomness, time zone or locks.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The secure storage.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The network.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A file.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A summary.
    #[error(transparent)]
    Summary(#[from] SummaryError),
    /// A window, date or offset.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// The connection cannot send as it is.
    #[error("the connection cannot send: {}", blocked(*.0))]
    Blocked(ConnectionState),
    /// An ordered submission without an order.
    #[error(
        "the receiver has no standing order that runs: read its orders again, or submit what the person chose"
    )]
    NoOrder,
    /// The receiver answered a search or read with this status.
    #[error("the receiver answered {status} when asked for {what}")]
    Answer {
        /// What was asked for.
        what: &'static str,
        /// The HTTP status.
        status: u16,
    },
    /// The receiver's answer is not what was asked for.
    #[error("the receiver's {what} is not readable: {why}")]
    Unreadable {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The SDK's own threads cannot be started, or it is shutting down.
    #[error("the SDK's own threads are not running: make a new submitter")]
    Runtime,
    /// A batch could not be put together.
    #[error("a batch could not be assembled: {0}")]
    Assembly(&'static str),
    /// The receiver would understand nothing this version writes.
    #[error(
        "the receiver says neither that it receives CGM data (HL7 CGM) nor that it is a FHIR R4 server that takes transactions: ask it which guide it speaks"
    )]
    Dialect,
}

impl Error {
    /// No `From`: an app would see the types of [`fhir`](crate::fhir) through it.
    pub(crate) const fn bundle(error: BundleError) -> Self {
        Self::Assembly(match error {
            BundleError::Twin(_) => "two of its entries have the same identifier",
            BundleError::Time => "the time of an entry is outside the years 1 to 9999",
            BundleError::Json => "an entry could not be written as JSON",
        })
    }
}

const fn blocked(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Active => "it is active",
        ConnectionState::Unconfirmed => "show its patient to the person and call confirm_patient",
        ConnectionState::NeedsReauthorisation => "authorise again",
        ConnectionState::NeedsConsent => "the person's consent does not cover it: authorise again",
        ConnectionState::Misconfigured => "the receiver is not where or what it was: connect anew",
        ConnectionState::Disconnected => "it was ended: connect anew",
        ConnectionState::OtherPatient => {
            "it was authorised for another patient: disconnect and connect anew"
        }
    }
}

impl Error {
    /// A stable word for the kind of failure, for an app's own texts and for support.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(StoreError::NewerSchema { .. }) => "database-newer",
            Self::Store(StoreError::Corrupt) => "database-corrupt",
            Self::Store(StoreError::Busy) => "database-busy",
            Self::Store(StoreError::Disk(_)) => "database-disk",
            Self::Store(StoreError::Row(_)) => "database-row",
            Self::Store(StoreError::Internal) => "internal",
            Self::Store(StoreError::Missing(_)) => "not-found",
            Self::Connect(error) => error.code(),
            Self::Token(error) => error.code(),
            Self::Environment(_) => "environment",
            Self::Vault(VaultError::Unavailable) => "vault-unavailable",
            Self::Vault(VaultError::Failed) => "vault-failed",
            Self::Transport(TransportError::Untrusted) => "receiver-untrusted",
            Self::Transport(TransportError::Request) => "request-malformed",
            Self::Transport(_) => "receiver-unreachable",
            Self::Import(_) => "file-refused",
            Self::Summary(_) => "too-few-readings",
            Self::Time(_) => "time",
            Self::Blocked(state) => state.code(),
            Self::NoOrder => "no-order",
            Self::Answer { .. } => "receiver-answer",
            Self::Unreadable { .. } => "receiver-unreadable",
            Self::Runtime => "runtime",
            Self::Assembly(_) => "assembly",
            Self::Dialect => "receiver-dialect",
        }
    }

    /// Whether the same call can succeed later without anybody doing anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Store(error) => matches!(error, StoreError::Busy),
            Self::Connect(error) => error.retryable(),
            Self::Token(error) => error.retryable(),
            Self::Vault(error) => *error == VaultError::Unavailable,
            Self::Transport(error) => {
                matches!(error, TransportError::Unreachable | TransportError::Broken)
            }
            Self::Answer { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Environment(error) => error.retryable(),
            _ => false,
        }
    }

    /// Whether the person has to do something: confirm, authorise, choose.
    pub fn needs_person(&self) -> bool {
        match self {
            Self::Blocked(_) => true,
            Self::Token(error) | Self::Connect(ConnectError::Token(error)) => {
                matches!(error, TokenError::NeedsReauthorisation(_) | TokenError::OtherPatient)
            }
            Self::Connect(error) => matches!(
                error,
                ConnectError::Callback(_)
                    | ConnectError::UnknownAuthorisation
                    | ConnectError::OtherPatient
                    | ConnectError::Patient(PatientError::OtherPatient)
                    | ConnectError::PatientUnknown
            ),
            _ => false,
        }
    }
}
