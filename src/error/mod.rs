//! The public error: what failed, on what, a stable code, whether trying again can help, and what
//! to do.

mod code;
mod judge;

pub use code::{ErrorCode, ErrorKind};

use crate::connect::{ConnectError, TokenError};
use crate::environment::{EnvironmentError, TransportError, VaultError};
use crate::fhir::BundleError;
use crate::glucose::TimeError;
use crate::import::ImportError;
use crate::statistics::SummaryError;
use crate::store::{ConnectionState, StoreError};
use crate::submission::WaitReason;
use chrono::{DateTime, Utc};

/// Why something could not be done. Neither its text nor its fields hold a token, a name, an
/// identifier or a glucose value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
        "the receiver has no standing order that runs: read its orders again, \
        or submit what the person chose"
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
    /// The receiver asked to be left alone, or failed, and nothing is sent to it before then.
    #[error("the receiver is left alone for now ({reason}): try again later")]
    Waiting {
        /// When it may be asked again.
        until: DateTime<Utc>,
        /// Why.
        reason: WaitReason,
    },
    /// What the receiver was asked for did not come in the time there was for all of it.
    #[error("the receiver did not answer in the time there was: try again")]
    TimedOut,
    /// The receiver's answer is not what was asked for.
    #[error("the receiver's {what} is not readable: {why}")]
    Unreadable {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The SDK's own threads cannot be started.
    #[error("the platform gives the SDK no threads")]
    Runtime,
    /// The object was closed.
    #[error("this submitter was closed: make a new one")]
    Closed,
    /// The object is paused.
    #[error("this submitter is paused: resume it first")]
    Paused,
    /// The call was stopped: the object was closed, paused or dropped meanwhile.
    #[error("the call was stopped: what is left goes with the next one")]
    Stopped,
    /// A fault of this SDK.
    #[error(
        "the SDK failed inside: what was sent is looked after by the next call; please report it"
    )]
    Internal,
    /// A batch could not be put together.
    #[error("a batch could not be assembled: {0}")]
    Assembly(&'static str),
    /// The receiver would understand nothing this version writes.
    #[error(
        "the receiver says neither that it receives CGM data (HL7 CGM) \
        nor that it is a FHIR R4 server that takes transactions: ask it which guide it speaks"
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
    /// Its code: a stable word, what kind of failure it is, what to do.
    pub fn code(&self) -> ErrorCode {
        judge::error(self)
    }

    /// What an app can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.code().kind()
    }

    /// Whether the same call can succeed later without anybody doing anything.
    pub fn retryable(&self) -> bool {
        self.kind() == ErrorKind::TryAgain
    }

    /// Before when trying again is of no use, if the receiver or a wait of the SDK's own said so.
    pub fn retry_at(&self) -> Option<DateTime<Utc>> {
        judge::retry_at(self)
    }
}
