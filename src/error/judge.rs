//! Which code each failure of a lower layer has. One verdict each, wherever it surfaces.

use super::{Error, ErrorCode};
use crate::connect::{ConnectError, EndpointError, TokenError};
use crate::environment::{EnvironmentError, TransportError, VaultError};
use crate::fhir::PatientError;
use crate::import::ImportError;
use crate::smart::{BaseError, CallbackError, DiscoveryError, FailureReason, TokenResponseError};
use crate::store::{ConnectionState, StoreError};
use chrono::{DateTime, Utc};

pub(super) fn error(error: &Error) -> ErrorCode {
    match error {
        Error::Store(error) => store(error),
        Error::Connect(error) => connect(error),
        Error::Token(error) => token(error),
        Error::Environment(error) => environment(*error),
        Error::Vault(error) => vault(*error),
        Error::Transport(error) => transport(*error),
        Error::Import(error) => import(error),
        Error::Summary(_) => ErrorCode::TooFewReadings,
        Error::Time(_) => ErrorCode::InvalidTime,
        Error::Blocked(state) => blocked(*state),
        Error::NoOrder => ErrorCode::NoOrder,
        Error::Answer { status, .. } => answered(*status),
        Error::Waiting { .. } => ErrorCode::ReceiverUnavailable,
        Error::TimedOut => ErrorCode::ConnectionBroken,
        Error::Unreadable { .. } => ErrorCode::ReceiverUnreadable,
        Error::Runtime => ErrorCode::Platform,
        Error::Closed => ErrorCode::Closed,
        Error::Paused => ErrorCode::Paused,
        Error::Stopped => ErrorCode::Cancelled,
        Error::Internal | Error::Assembly(_) => ErrorCode::Internal,
        Error::Dialect => ErrorCode::ReceiverDialect,
    }
}

pub(super) fn retry_at(error: &Error) -> Option<DateTime<Utc>> {
    match error {
        Error::Token(error) | Error::Connect(ConnectError::Token(error)) => error.retry_at(),
        Error::Waiting { until, .. } => Some(*until),
        _ => None,
    }
}

const fn store(error: &StoreError) -> ErrorCode {
    match error {
        StoreError::NewerSchema { .. } => ErrorCode::DatabaseNewer,
        StoreError::Corrupt => ErrorCode::DatabaseCorrupt,
        StoreError::Busy => ErrorCode::DatabaseBusy,
        StoreError::Disk(_) => ErrorCode::DatabaseDisk,
        StoreError::Row(_) => ErrorCode::DatabaseRow,
        StoreError::Closed => ErrorCode::Closed,
        StoreError::Internal => ErrorCode::Internal,
        StoreError::Missing(_) => ErrorCode::NotFound,
    }
}

const fn vault(error: VaultError) -> ErrorCode {
    match error {
        VaultError::Unavailable => ErrorCode::VaultUnavailable,
        VaultError::Failed => ErrorCode::VaultFailed,
    }
}

const fn environment(error: EnvironmentError) -> ErrorCode {
    match error {
        EnvironmentError::Lock => ErrorCode::DatabaseDisk,
        EnvironmentError::LockHeld => ErrorCode::Busy,
        EnvironmentError::Entropy
        | EnvironmentError::LocalTime
        | EnvironmentError::LocksUnsupported => ErrorCode::Platform,
        EnvironmentError::Time(_) => ErrorCode::InvalidTime,
    }
}

const fn transport(error: TransportError) -> ErrorCode {
    match error {
        TransportError::Unreachable => ErrorCode::ReceiverUnreachable,
        TransportError::Broken => ErrorCode::ConnectionBroken,
        TransportError::Untrusted => ErrorCode::ReceiverUntrusted,
        TransportError::TooLarge { .. } => ErrorCode::ReceiverUnreadable,
        TransportError::Redirected | TransportError::Request => ErrorCode::ReceiverConfiguration,
    }
}

/// A status that is not a success.
const fn answered(status: u16) -> ErrorCode {
    match status {
        408 | 425 | 429 | 500..=599 => ErrorCode::ReceiverUnavailable,
        _ => ErrorCode::ReceiverConfiguration,
    }
}

const fn import(error: &ImportError) -> ErrorCode {
    match error {
        ImportError::TimeZoneRequired | ImportError::ScaleRequired { .. } => {
            ErrorCode::FileNeedsAnswer
        }
        _ => ErrorCode::FileRefused,
    }
}

const fn blocked(state: ConnectionState) -> ErrorCode {
    match state {
        ConnectionState::Unconfirmed => ErrorCode::PatientUnconfirmed,
        ConnectionState::NeedsReauthorisation => ErrorCode::NeedsReauthorisation,
        ConnectionState::NeedsConsent => ErrorCode::NeedsConsent,
        ConnectionState::Misconfigured => ErrorCode::ReceiverConfiguration,
        ConnectionState::OtherPatient => ErrorCode::OtherPatient,
        ConnectionState::Disconnected => ErrorCode::Disconnected,
        // An active connection is not blocked.
        ConnectionState::Active => ErrorCode::Internal,
    }
}

fn connect(error: &ConnectError) -> ErrorCode {
    match error {
        ConnectError::Base(BaseError::InsecureUrl) => ErrorCode::InsecureUrl,
        ConnectError::Base(_) | ConnectError::Redirect(_) | ConnectError::ClientId => {
            ErrorCode::InvalidReceiver
        }
        ConnectError::OtherPatient
        | ConnectError::Patient { error: PatientError::OtherPatient, .. } => {
            ErrorCode::OtherPatient
        }
        ConnectError::Discovery { error: DiscoveryError::NoPublicClients, .. } => {
            ErrorCode::AppRegistration
        }
        ConnectError::Discovery { .. }
        | ConnectError::Capability { .. }
        | ConnectError::Unreadable(_) => ErrorCode::ReceiverConfiguration,
        ConnectError::Patient { .. } => ErrorCode::ReceiverUnreadable,
        ConnectError::Status { status, .. } => answered(*status),
        ConnectError::Transport { error, .. } => transport(*error),
        ConnectError::Callback(error) => callback(*error),
        ConnectError::Scopes(_) => ErrorCode::ScopesRefused,
        ConnectError::Ended => ErrorCode::Disconnected,
        ConnectError::UnknownAuthorisation => ErrorCode::AuthorisationUnknown,
        ConnectError::Endpoint { error, .. } => endpoint(*error),
        ConnectError::PatientUnknown => ErrorCode::PatientUnknown,
        ConnectError::Token(error) => token(error),
        ConnectError::Vault(error) => vault(*error),
        ConnectError::Store(error) => store(error),
        ConnectError::Environment(error) => environment(*error),
        ConnectError::Busy => ErrorCode::Busy,
        ConnectError::Stopped => ErrorCode::Cancelled,
    }
}

const fn callback(error: CallbackError) -> ErrorCode {
    match error {
        CallbackError::AccessDenied => ErrorCode::AccessDenied,
        CallbackError::InvalidScope => ErrorCode::ScopesRefused,
        CallbackError::AppRefused => ErrorCode::AppRegistration,
        CallbackError::UnknownIssuer => ErrorCode::ReceiverConfiguration,
        CallbackError::Expired => ErrorCode::AuthorisationUnknown,
        CallbackError::Refused(_) => ErrorCode::AuthorisationRefused,
        CallbackError::Unreadable
        | CallbackError::OtherRedirectUri
        | CallbackError::Missing(_)
        | CallbackError::Duplicate(_)
        | CallbackError::OtherState
        | CallbackError::OtherIssuer => ErrorCode::InvalidCallback,
    }
}

fn endpoint(error: EndpointError) -> ErrorCode {
    let unused = error.leaves_the_code_unused();
    match error {
        // Only a code that never reached the receiver can be sent again.
        EndpointError::Transport(error) if unused => transport(error),
        EndpointError::Transport(_) | EndpointError::Unavailable { .. } => {
            ErrorCode::AuthorisationLost
        }
        EndpointError::InvalidGrant | EndpointError::Refused => ErrorCode::AuthorisationRefused,
        EndpointError::InvalidScope => ErrorCode::ScopesRefused,
        EndpointError::AppRefused => ErrorCode::AppRegistration,
        EndpointError::Status { .. } | EndpointError::Response(TokenResponseError::NoPatient) => {
            ErrorCode::ReceiverConfiguration
        }
        EndpointError::Response(_) => ErrorCode::AuthorisationLost,
    }
}

fn token(error: &TokenError) -> ErrorCode {
    match error {
        TokenError::NeedsReauthorisation(_) => ErrorCode::NeedsReauthorisation,
        TokenError::OtherPatient => ErrorCode::OtherPatient,
        TokenError::AppRefused { .. } => ErrorCode::AppRegistration,
        TokenError::Misconfigured { .. } => ErrorCode::ReceiverConfiguration,
        TokenError::Waiting { reason, .. } => waiting(*reason),
        TokenError::Vault(error) => vault(*error),
        TokenError::Busy => ErrorCode::Busy,
        TokenError::NoConnection => ErrorCode::NotFound,
        TokenError::Store(error) => store(error),
        TokenError::Environment(error) => environment(*error),
    }
}

/// An endpoint that is asked again later, whatever it did.
const fn waiting(reason: FailureReason) -> ErrorCode {
    match reason {
        FailureReason::Unreachable => ErrorCode::ReceiverUnreachable,
        FailureReason::Untrusted => ErrorCode::ReceiverUntrusted,
        FailureReason::Broken => ErrorCode::ConnectionBroken,
        FailureReason::Request => ErrorCode::ReceiverConfiguration,
        FailureReason::Status(_) | FailureReason::Unreadable => ErrorCode::ReceiverUnavailable,
    }
}
