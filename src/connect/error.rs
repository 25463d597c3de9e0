//! Why a connection could not be made, and why a token could not be had: typed, with a stable code
//! and what to do next.

use super::endpoint::EndpointError;
use crate::environment::{EnvironmentError, TransportError, VaultError};
use crate::fhir::{CapabilityError, PatientError};
use crate::smart::{BaseError, CallbackError, DiscoveryError, RedirectError};
use crate::store::StoreError;
use chrono::{DateTime, Utc};

/// Why connecting, confirming or disconnecting failed. Carries no data of a person and no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The base URL is not one data may go to.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The redirect URI is none.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// The client id is empty or overlong.
    #[error(
        "the client id is empty or longer than 512 characters: take the one the receiver registered for the app"
    )]
    ClientId,
    /// The receiver's discovery document cannot be used.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The receiver's `CapabilityStatement` cannot be used.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// The receiver's Patient cannot be used.
    #[error(transparent)]
    Patient(#[from] PatientError),
    /// The receiver answered with another status than 200.
    #[error("the receiver answered {status} for its {what}")]
    Status {
        /// What was asked for.
        what: &'static str,
        /// The HTTP status.
        status: u16,
    },
    /// What is kept of the receiver cannot be used.
    #[error("the receiver's {0} cannot be read: connect anew")]
    Unreadable(&'static str),
    /// No answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The browser brought back something else than a code.
    #[error(transparent)]
    Callback(#[from] CallbackError),
    /// No authorisation has this state: it was used, is too old, or was begun elsewhere.
    #[error(
        "this authorisation is not known here, or was used already: begin the connection again"
    )]
    UnknownAuthorisation,
    /// The token endpoint gave no token.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The authorisation is for another patient than the connection.
    #[error(
        "the receiver authorised another patient's record: disconnect before connecting that one"
    )]
    OtherPatient,
    /// The patient's name and birth date were not read yet.
    #[error(
        "the patient's name and birth date are not known yet: fetch the patient, show them, and confirm then"
    )]
    PatientUnknown,
    /// A token is needed and cannot be had.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The vault did not answer.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database did not do as asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The platform failed.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// Another process or task works on the same connection.
    #[error("another part of the app is working on this connection: try again")]
    Busy,
    /// The runtime is shutting down.
    #[error("the work was stopped: try again")]
    Stopped,
}

impl ConnectError {
    /// A stable word for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Base(BaseError::InsecureUrl) => "insecure-url",
            Self::Base(_) | Self::Redirect(_) | Self::ClientId => "invalid-receiver",
            Self::OtherPatient | Self::Patient(PatientError::OtherPatient) => "other-patient",
            Self::Discovery(_)
            | Self::Capability(_)
            | Self::Patient(_)
            | Self::Status { .. }
            | Self::Unreadable(_) => "receiver-configuration",
            Self::Transport(error) => transport_code(*error),
            Self::Callback(CallbackError::AccessDenied) => "access-denied",
            Self::Callback(CallbackError::InvalidScope) => "invalid-scope",
            Self::Callback(_) => "invalid-callback",
            Self::UnknownAuthorisation => "unknown-authorisation",
            Self::Endpoint(error) => error.code(),
            Self::PatientUnknown => "patient-unknown",
            Self::Token(error) => error.code(),
            Self::Vault(VaultError::Unavailable) => "vault-unavailable",
            Self::Vault(VaultError::Failed) => "vault-failed",
            Self::Store(StoreError::Missing(_)) => "not-found",
            Self::Store(_) => "store",
            Self::Environment(_) => "environment",
            Self::Busy | Self::Stopped => "busy",
        }
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Transport(error) => transport_retryable(*error),
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::Endpoint(error) => error.retryable(),
            Self::Token(error) => error.retryable(),
            Self::Vault(VaultError::Unavailable)
            | Self::Store(StoreError::Busy)
            | Self::Busy
            | Self::Stopped => true,
            _ => false,
        }
    }
}

/// Why the person has to authorise again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReauthorisationCause {
    /// No tokens are kept: a restored phone, or an authorisation that never ended.
    NoToken,
    /// The access token ended, and the receiver gave no refresh token.
    NoRefreshToken,
    /// The receiver no longer takes the refresh token.
    Refused,
    /// A refresh was cut off before its answer was recorded, and the receiver no longer takes the
    /// token it was made with.
    Interrupted,
}

/// Why there is no access token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The person has to authorise again; the connection says so too.
    #[error("the person has to authorise this connection again ({})", cause_text(*.0))]
    NeedsReauthorisation(ReauthorisationCause),
    /// The receiver gave a token for another patient: it was given back, and the connection is
    /// blocked.
    #[error("the receiver gave a token for another patient: disconnect and connect anew")]
    OtherPatient,
    /// The receiver no longer knows the app, or its token endpoint is gone.
    #[error("the receiver no longer accepts this app's registration: ask the receiver")]
    Misconfigured,
    /// The vault is locked for now: wait, never re-authorise.
    #[error("the secure storage is locked for now: try again after the device was unlocked")]
    VaultUnavailable,
    /// The vault failed.
    #[error("the secure storage failed: try again")]
    VaultFailed,
    /// No answer.
    #[error(transparent)]
    Transport(TransportError),
    /// The token endpoint asks to wait, or fails.
    #[error("the receiver's token endpoint answered {status}: try again later")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// When to try again, where the receiver says so.
        not_before: Option<DateTime<Utc>>,
    },
    /// The token endpoint's answer cannot be read.
    #[error("the receiver's token endpoint gave an answer that cannot be read")]
    Unreadable,
    /// Another process or task holds this connection's lock.
    #[error("another part of the app is refreshing this connection's token: try again")]
    Busy,
    /// There is no such connection.
    #[error("there is no such connection")]
    NoConnection,
    /// The database did not do as asked.
    #[error("the connection cannot be read from the database")]
    Store,
    /// No lock file can be made.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
}

impl TokenError {
    /// A stable word for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NeedsReauthorisation(_) => "needs-reauthorisation",
            Self::OtherPatient => "other-patient",
            Self::Misconfigured => "receiver-configuration",
            Self::VaultUnavailable => "vault-unavailable",
            Self::VaultFailed => "vault-failed",
            Self::Transport(error) => transport_code(*error),
            Self::Unavailable { .. } => "receiver-unavailable",
            Self::Unreadable => "unreadable-answer",
            Self::Busy => "busy",
            Self::NoConnection => "no-connection",
            Self::Store => "store",
            Self::Environment(_) => "environment",
        }
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Transport(error) => transport_retryable(*error),
            Self::VaultUnavailable
            | Self::VaultFailed
            | Self::Unavailable { .. }
            | Self::Unreadable
            | Self::Busy
            | Self::Store => true,
            Self::NeedsReauthorisation(_)
            | Self::OtherPatient
            | Self::Misconfigured
            | Self::NoConnection => false,
            Self::Environment(error) => error.retryable(),
        }
    }
}

impl From<VaultError> for TokenError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Unavailable => Self::VaultUnavailable,
            VaultError::Failed => Self::VaultFailed,
        }
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing(_) => Self::NoConnection,
            _ => Self::Store,
        }
    }
}

fn cause_text(cause: ReauthorisationCause) -> &'static str {
    match cause {
        ReauthorisationCause::NoToken => "no token is kept on this device",
        ReauthorisationCause::NoRefreshToken => {
            "the access ended, and the receiver lets this app not renew it"
        }
        ReauthorisationCause::Refused => "the receiver ended the access",
        ReauthorisationCause::Interrupted => {
            "renewing the access was cut off, and the receiver ended it"
        }
    }
}

fn transport_code(error: TransportError) -> &'static str {
    match error {
        TransportError::Unreachable => "unreachable",
        TransportError::Broken => "connection-broken",
        TransportError::Untrusted => "untrusted",
        TransportError::TooLarge { .. } => "answer-too-large",
        TransportError::Redirected => "redirected",
        TransportError::Request => "invalid-request",
    }
}

fn transport_retryable(error: TransportError) -> bool {
    matches!(
        error,
        TransportError::Unreachable | TransportError::Broken | TransportError::Untrusted
    )
}
