//! Why there is no access token.

use crate::environment::{EnvironmentError, TransportError, VaultError};
use crate::smart::{FailureReason, ReauthorisationCause};
use crate::store::{ConnectionState, StoreError};
use chrono::{DateTime, Utc};

/// Why there is no access token. Carries no data of a person and no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The person has to authorise again; the connection says so too.
    #[error("the person has to authorise this connection again ({})", cause_text(*.0))]
    NeedsReauthorisation(ReauthorisationCause),
    /// The receiver gave a token for another patient: it is given back, and the connection is
    /// blocked.
    #[error("the receiver gave a token for another patient: disconnect and connect anew")]
    OtherPatient,
    /// The receiver does not accept the app any more; the connection says so too.
    #[error(
        "{host} no longer accepts this app's client id: check the app's registration at the \
            receiver"
    )]
    AppRefused {
        /// The token endpoint's host.
        host: String,
    },
    /// The token endpoint refuses for a day and longer; the connection says so too.
    #[error("{host} gives no access, and waiting does not help ({reason}): ask the receiver")]
    Misconfigured {
        /// The token endpoint's host.
        host: String,
        /// What it did last.
        reason: FailureReason,
    },
    /// The token endpoint failed, or asked to wait: it is left alone until then.
    #[error("{host} gives no access for now ({reason}): it is asked again later")]
    Waiting {
        /// The token endpoint's host.
        host: String,
        /// What it did last.
        reason: FailureReason,
        /// When it may be asked again.
        until: DateTime<Utc>,
    },
    /// The vault did not answer. A locked one is waited for; nobody authorises again for that.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Another process or task holds this connection's lock.
    #[error("another part of the app is refreshing this connection's token: try again")]
    Busy,
    /// There is no such connection.
    #[error("there is no such connection")]
    NoConnection,
    /// The database did not do as asked.
    #[error(transparent)]
    Store(StoreError),
    /// No lock, or no randomness.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
}

impl TokenError {
    /// When the token endpoint may be asked again, if that is what is waited for.
    pub fn retry_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Waiting { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// The state the connection is in because of it; `None` if it stays as it was.
    pub fn blocks(&self) -> Option<ConnectionState> {
        match self {
            Self::NeedsReauthorisation(_) => Some(ConnectionState::NeedsReauthorisation),
            Self::OtherPatient => Some(ConnectionState::OtherPatient),
            Self::AppRefused { .. } | Self::Misconfigured { .. } => {
                Some(ConnectionState::Misconfigured)
            }
            _ => None,
        }
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing(_) => Self::NoConnection,
            error => Self::Store(error),
        }
    }
}

fn cause_text(cause: ReauthorisationCause) -> &'static str {
    match cause {
        ReauthorisationCause::NoToken => "no token is kept on this device",
        ReauthorisationCause::NoRefreshToken => {
            "the access ended, and the receiver does not let this app renew it"
        }
        ReauthorisationCause::Refused => "the receiver ended the access",
        ReauthorisationCause::Interrupted => {
            "renewing the access was cut off, and the receiver ended it"
        }
    }
}

/// What a request without an answer says of the endpoint.
pub(super) fn failure_reason(error: TransportError) -> FailureReason {
    match error {
        TransportError::Unreachable => FailureReason::Unreachable,
        TransportError::Untrusted => FailureReason::Untrusted,
        TransportError::Broken => FailureReason::Broken,
        TransportError::Request => FailureReason::Request,
        TransportError::TooLarge { .. } | TransportError::Redirected => FailureReason::Unreadable,
    }
}
