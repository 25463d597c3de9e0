//! Receivers and connections.

use super::{ConnectionId, hidden};
use crate::ffi::error::CgmError;
use crate::store::ConnectionState as State;
use crate::{connect, fhir};
use std::fmt;
use std::time::SystemTime;

hidden!(AuthorizationRequest);

/// A receiver, and how the app is registered there.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Receiver {
    /// The FHIR base URL.
    pub base: String,
    /// The app's client id.
    pub client_id: String,
    /// The app's redirect URI.
    pub redirect_uri: String,
    /// Whether the person is also asked for leave to look at what was sent, so that submissions
    /// can be verified.
    #[uniffi(default = false)]
    pub read_back: bool,
    /// Which guide the receiver speaks, if the app knows; otherwise it is found out.
    #[uniffi(default = None)]
    pub dialect: Option<Dialect>,
}

/// The guide a receiver speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Dialect {
    /// HL7 CGM STU1.
    Hl7Cgm,
    /// No guide: any FHIR R4 server that takes transactions.
    Plain,
}

impl From<Dialect> for fhir::Dialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Hl7Cgm => Self::Hl7Cgm,
            Dialect::Plain => Self::Plain,
        }
    }
}

impl TryFrom<Receiver> for connect::Receiver {
    type Error = CgmError;

    fn try_from(receiver: Receiver) -> Result<Self, CgmError> {
        let made = Self::new(&receiver.base, &receiver.client_id, &receiver.redirect_uri);
        let mut made = made.map_err(crate::Error::from)?;
        if receiver.read_back {
            made = made.with_read_back();
        }
        if let Some(dialect) = receiver.dialect {
            made = made.with_dialect(dialect.into());
        }
        Ok(made)
    }
}

/// An authorisation to be asked for in the browser.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct AuthorizationRequest {
    /// Open this in the system's browser.
    pub url: String,
    /// The state the redirect will carry, to tell redirects apart.
    pub state: String,
    /// After this it must be begun anew.
    pub expires_at: SystemTime,
}

impl From<connect::AuthorizationRequest> for AuthorizationRequest {
    fn from(request: connect::AuthorizationRequest) -> Self {
        Self { url: request.url, state: request.state, expires_at: request.expires_at.into() }
    }
}

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ConnectionState {
    /// Authorised; nothing is sent before the person confirmed the patient.
    Unconfirmed,
    /// Ready to send.
    Active,
    /// The receiver wants a new authorisation.
    NeedsReauthorisation,
    /// The consent does not cover what is to be sent.
    NeedsConsent,
    /// The receiver has moved, or its set-up changed.
    Misconfigured,
    /// A token for another patient came back.
    OtherPatient,
    /// Ended by the person.
    Disconnected,
}

impl From<State> for ConnectionState {
    fn from(state: State) -> Self {
        match state {
            State::Unconfirmed => Self::Unconfirmed,
            State::Active => Self::Active,
            State::NeedsReauthorisation => Self::NeedsReauthorisation,
            State::NeedsConsent => Self::NeedsConsent,
            State::Misconfigured => Self::Misconfigured,
            State::OtherPatient => Self::OtherPatient,
            State::Disconnected => Self::Disconnected,
        }
    }
}

/// This person's authorised link to one receiver.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct Connection {
    /// Its number in this database.
    pub id: ConnectionId,
    /// The receiver's FHIR base URL.
    pub base: String,
    /// The patient id at the receiver.
    pub patient_id: String,
    /// The patient's name, to be confirmed by the person.
    pub patient_name: Option<String>,
    /// The patient's birth date, `YYYY-MM-DD`.
    pub birth_date: Option<String>,
    /// What it may do.
    pub state: ConnectionState,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection(id={}, state={:?}, …)", self.id.value, self.state)
    }
}

/// The same as its `Debug`.
impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl From<crate::Connection> for Connection {
    fn from(connection: crate::Connection) -> Self {
        Self {
            id: connection.id.into(),
            base: connection.base,
            patient_id: connection.patient.id,
            patient_name: connection.patient.name,
            birth_date: connection.patient.birth_date,
            state: connection.state.into(),
        }
    }
}

/// What became of a connection's token at the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Revocation {
    /// The receiver took it back.
    Done,
    /// There was no token.
    NothingToRevoke,
    /// The receiver has no place to give tokens back: the token ends by itself.
    NotOffered,
    /// It could not be given back yet: it is tried again until the receiver took it.
    Pending,
}

impl From<connect::Revocation> for Revocation {
    fn from(revocation: connect::Revocation) -> Self {
        match revocation {
            connect::Revocation::Done => Self::Done,
            connect::Revocation::NothingToRevoke => Self::NothingToRevoke,
            connect::Revocation::NotOffered => Self::NotOffered,
            connect::Revocation::Pending => Self::Pending,
        }
    }
}
