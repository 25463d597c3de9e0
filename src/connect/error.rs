//! Why a connection could not be made or ended: typed, with what to do next.
//!
//! Host names of receivers are no secret and are named; a URL with its query is never.

use super::TokenError;
use super::endpoint::EndpointError;
use super::token_error::failure_reason;
use crate::environment::{EnvironmentError, TransportError, VaultError};
use crate::fhir::{CapabilityError, PatientError};
use crate::smart::{BaseError, CallbackError, DiscoveryError, RedirectError, ScopesRefused};
use crate::store::StoreError;

/// Why connecting, confirming or disconnecting failed. Carries no data of a person and no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The base URL is not one data may go to.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The redirect URI is invalid.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// The client id is empty or overlong.
    #[error(
        "the client id is empty or longer than 512 characters: take the one the receiver \
            registered for the app"
    )]
    ClientId,
    /// The receiver's discovery document cannot be used.
    #[error("{error} ({host})")]
    Discovery {
        /// The receiver.
        host: String,
        /// What is wrong with it.
        error: DiscoveryError,
    },
    /// The receiver's `CapabilityStatement` cannot be used.
    #[error("{error} ({host})")]
    Capability {
        /// The receiver.
        host: String,
        /// What is wrong with it.
        error: CapabilityError,
    },
    /// The receiver's Patient cannot be used.
    #[error("{error} ({host})")]
    Patient {
        /// The receiver.
        host: String,
        /// What is wrong with it.
        error: PatientError,
    },
    /// The receiver answered with another status than 200.
    #[error("{host} answered {status} when asked for its {what}{}", advice(*status))]
    Status {
        /// The receiver.
        host: String,
        /// What was asked for.
        what: &'static str,
        /// The HTTP status.
        status: u16,
    },
    /// What is kept of the receiver cannot be used.
    #[error("the receiver's {0} cannot be read: connect anew")]
    Unreadable(&'static str),
    /// No answer.
    #[error("{error} ({host})")]
    Transport {
        /// Who was asked.
        host: String,
        /// Why there was no answer.
        error: TransportError,
    },
    /// The browser brought back something else than a code.
    #[error(transparent)]
    Callback(#[from] CallbackError),
    /// The receiver refuses the scopes asked for.
    #[error(transparent)]
    Scopes(ScopesRefused),
    /// No authorisation has this state: it was used, is too old, or was begun elsewhere.
    #[error(
        "this authorisation is not known here, or was used already: begin the connection again"
    )]
    UnknownAuthorisation,
    /// The token endpoint gave no token.
    #[error("{error} ({host})")]
    Endpoint {
        /// The token endpoint's host.
        host: String,
        /// Why.
        error: EndpointError,
    },
    /// The authorisation is for another patient than the connection.
    #[error(
        "the receiver authorised another patient's record: disconnect before connecting that one"
    )]
    OtherPatient,
    /// The connection was ended while it was authorised anew: the new tokens were given back.
    #[error("the connection was ended meanwhile: begin the connection again")]
    Ended,
    /// The patient's name and birth date were not known, so nobody can have confirmed them.
    #[error(
        "the patient's name and birth date are not known: fetch the patient, show both, and \
            confirm then"
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

/// What to do about a status, if anything helps.
fn advice(status: u16) -> &'static str {
    match status {
        404 | 410 => ": check the base URL",
        429 | 500..=599 => ": try again later",
        _ => "",
    }
}

impl EndpointError {
    /// A code is used once: only if it never reached the server, it can be sent again.
    pub(crate) fn leaves_the_code_unused(&self) -> bool {
        match self {
            Self::Transport(error) => failure_reason(*error).proves_unused(),
            _ => false,
        }
    }
}
