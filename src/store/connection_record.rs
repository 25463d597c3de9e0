//! A connection as it is stored, and its row.

use super::{StoreError, json};
use crate::smart::TokenHistory;
use crate::submission::ReceiverFacts;
use chrono::{DateTime, Utc};
use rusqlite::Row;
use serde::{Deserialize, Serialize};

/// The form in which details are kept; one more whenever what is there can no longer be read.
const DETAILS_VERSION: u32 = 1;
/// The version of what is kept as `receiver`.
const RECEIVER_VERSION: u32 = 1;

/// A connection's number within one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub i64);

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Authorised; nothing is sent before the person confirmed the patient.
    Unconfirmed,
    /// Ready to send.
    Active,
    /// The receiver wants a new authorisation.
    NeedsReauthorisation,
    /// The receiver withdrew its consent, or granted none for what is to be sent.
    NeedsConsent,
    /// The receiver's configuration is not as it was.
    Misconfigured,
    /// A token for another patient came back: disconnect and connect anew.
    OtherPatient,
    /// Ended by the person. What the receiver has is still known, should they connect again as the
    /// same patient.
    Disconnected,
}

const STATES: [(ConnectionState, &str); 7] = [
    (ConnectionState::Unconfirmed, "unconfirmed"),
    (ConnectionState::Active, "active"),
    (ConnectionState::NeedsReauthorisation, "reauthorise"),
    (ConnectionState::NeedsConsent, "consent"),
    (ConnectionState::Misconfigured, "configuration"),
    (ConnectionState::OtherPatient, "other-patient"),
    (ConnectionState::Disconnected, "disconnected"),
];

impl ConnectionState {
    /// The stable word for it.
    pub fn code(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("configuration", |(_, code)| code)
    }

    fn from_code(code: &str) -> Result<Self, StoreError> {
        STATES
            .iter()
            .find(|(_, c)| *c == code)
            .map(|(state, _)| *state)
            .ok_or(StoreError::Row("connection state"))
    }
}

/// A connection as it is stored. Tokens are in the vault, never here.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// Its number.
    pub id: ConnectionId,
    /// The receiver's FHIR base URL, without a trailing slash.
    pub base: String,
    /// The patient id at that receiver.
    pub patient: String,
    /// What it may do.
    pub state: ConnectionState,
    /// How often it was ended.
    pub generation: i64,
    /// The rest.
    pub details: ConnectionDetails,
    /// What is known of the receiver.
    pub receiver: ReceiverFacts,
}

/// What is known of the authorisation.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionDetails {
    /// The app's client id there.
    pub client_id: String,
    /// The app's redirect URI there.
    pub redirect_uri: String,
    /// The authorisation endpoint.
    pub authorization_endpoint: String,
    /// The token endpoint.
    pub token_endpoint: String,
    /// The revocation endpoint, if there is one.
    pub revocation_endpoint: Option<String>,
    /// The scopes as granted.
    pub scopes: String,
    /// What is recorded of its tokens. They themselves are in the vault.
    pub tokens: TokenHistory,
    /// The patient's name as the receiver writes it.
    pub patient_name: Option<String>,
    /// The patient's birth date, `YYYY-MM-DD`.
    pub birth_date: Option<String>,
    /// Whether the person confirmed that this patient is them.
    pub confirmed: bool,
    /// The guide the receiver speaks: `hl7-cgm`, or none that we know.
    pub dialect: Option<String>,
}

impl ConnectionRecord {
    /// Whether anything may be sent: it is active, or the receiver pointed elsewhere for long and
    /// it is time to look whether it still does.
    pub fn may_send(&self, now: DateTime<Utc>) -> bool {
        self.state == ConnectionState::Active
            || (self.is_tried_again() && self.receiver.waits(now).is_none())
    }

    /// Whether the receiver is asked again by itself although the connection is misconfigured.
    pub fn is_tried_again(&self) -> bool {
        self.state == ConnectionState::Misconfigured && self.receiver.points_elsewhere
    }
}

impl std::fmt::Debug for ConnectionRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionRecord")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ConnectionDetails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionDetails").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

/// Reads a row of connections.
pub(super) fn record(row: &Row<'_>) -> Result<ConnectionRecord, StoreError> {
    let details: String = row.get("details")?;
    Ok(ConnectionRecord {
        id: ConnectionId(row.get("id")?),
        base: row.get("base")?,
        patient: row.get("patient")?,
        state: ConnectionState::from_code(&row.get::<_, String>("state")?)?,
        generation: row.get("generation")?,
        details: json::decode(&details, DETAILS_VERSION, "connection")?,
        // Only what was learnt is lost with it: it is learnt again.
        receiver: json::decode(&row.get::<_, String>("receiver")?, RECEIVER_VERSION, "receiver")
            .unwrap_or_default(),
    })
}

/// The details, as they are stored.
pub(super) fn text(details: &ConnectionDetails) -> Result<String, StoreError> {
    json::encode(details, DETAILS_VERSION, "connection")
}

/// What is known of a receiver, as it is stored.
pub(super) fn encode_receiver(receiver: &ReceiverFacts) -> Result<String, StoreError> {
    json::encode(receiver, RECEIVER_VERSION, "receiver")
}
