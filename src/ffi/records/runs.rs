//! What a run over all connections did.

use super::outcomes::{OutcomeStatus, Tally};
use super::{ConnectionId, count};
use crate::ffi::error::CgmError;
use std::time::SystemTime;

/// What a run over all connections did.
#[derive(Clone, Debug, uniffi::Record)]
pub struct RunReport {
    /// What was delivered, to all of them.
    pub tally: Tally,
    /// Each connection that can send, in the order of their numbers.
    pub connections: Vec<ConnectionRun>,
    /// Tokens of ended connections that their receivers have not taken back yet.
    pub revocations_left: i64,
    /// When the next run is of use at the earliest; null if nothing is left that time brings on.
    pub next_wake: Option<SystemTime>,
}

impl From<crate::outcome::RunReport> for RunReport {
    fn from(report: crate::outcome::RunReport) -> Self {
        Self {
            tally: report.tally.into(),
            connections: report.connections.into_iter().map(ConnectionRun::from).collect(),
            revocations_left: count(report.revocations_left),
            next_wake: report.next_wake.map(SystemTime::from),
        }
    }
}

/// What a run did for one connection.
#[derive(Clone, Debug, uniffi::Record)]
pub struct ConnectionRun {
    /// The connection.
    pub connection: ConnectionId,
    /// What was delivered to it.
    pub tally: Tally,
    /// Whether anything is left, and why it was not sent.
    pub status: RunStatus,
}

/// How a run for one connection ended.
#[derive(Clone, Debug, uniffi::Enum)]
pub enum RunStatus {
    /// The connection was served.
    Served {
        /// Whether anything is left, and why it was not sent.
        status: OutcomeStatus,
    },
    /// It could not be served.
    Failed {
        /// What the app can do about it.
        kind: FailureKind,
        /// Stable: docs/errors.md has them all.
        code: String,
        /// For developers and logs.
        explanation: String,
        /// Before when trying again is of no use, if known.
        retry_at: Option<SystemTime>,
    },
}

/// What an app can do about a failure: the cases of `CgmError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum FailureKind {
    /// Trying again later can help.
    TryAgain,
    /// The person must do something: authorise again, choose the right patient.
    NeedsPerson,
    /// What was given cannot be used as it is.
    Invalid,
    /// Something outside the app is not as it must be.
    Unavailable,
    /// A fault of this SDK.
    Internal,
}

impl From<CgmError> for RunStatus {
    fn from(error: CgmError) -> Self {
        let (kind, code, explanation, retry_at) = match error {
            CgmError::TryAgain { code, explanation, retry_at } => {
                (FailureKind::TryAgain, code, explanation, retry_at)
            }
            CgmError::NeedsPerson { code, explanation } => {
                (FailureKind::NeedsPerson, code, explanation, None)
            }
            CgmError::Invalid { code, explanation } => {
                (FailureKind::Invalid, code, explanation, None)
            }
            CgmError::Unavailable { code, explanation } => {
                (FailureKind::Unavailable, code, explanation, None)
            }
            CgmError::Internal { code, explanation } => {
                (FailureKind::Internal, code, explanation, None)
            }
        };
        Self::Failed { kind, code, explanation, retry_at }
    }
}

impl From<crate::outcome::ConnectionRun> for ConnectionRun {
    fn from(run: crate::outcome::ConnectionRun) -> Self {
        Self {
            connection: run.connection.into(),
            tally: run.tally.into(),
            status: match run.status {
                Ok(status) => RunStatus::Served { status: status.into() },
                Err(error) => CgmError::from(error).into(),
            },
        }
    }
}
