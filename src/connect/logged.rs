//! What a log may say of a connection: numbers of this database, and the SDK's own words.

use super::{Revocation, TokenError};
use crate::environment::LogValue;
use crate::smart::{FailureReason, ReauthorisationCause};
use crate::store::{ConnectionId, ConnectionState, SubmissionId};
use crate::submission::WaitReason;

impl From<ConnectionId> for LogValue {
    fn from(id: ConnectionId) -> Self {
        Self::Id(id.0)
    }
}

impl From<SubmissionId> for LogValue {
    fn from(id: SubmissionId) -> Self {
        Self::Id(id.0)
    }
}

impl From<ConnectionState> for LogValue {
    fn from(state: ConnectionState) -> Self {
        Self::Word(state.code())
    }
}

impl From<WaitReason> for LogValue {
    fn from(reason: WaitReason) -> Self {
        Self::Word(reason.code())
    }
}

impl From<FailureReason> for LogValue {
    fn from(reason: FailureReason) -> Self {
        Self::Word(match reason {
            FailureReason::Unreachable => "unreachable",
            FailureReason::Untrusted => "untrusted",
            FailureReason::Request => "request-not-made",
            FailureReason::Broken => "broken",
            FailureReason::Status(status) => return Self::Status(status),
            FailureReason::Unreadable => "unreadable",
        })
    }
}

impl From<ReauthorisationCause> for LogValue {
    fn from(cause: ReauthorisationCause) -> Self {
        Self::Word(match cause {
            ReauthorisationCause::NoToken => "no-token",
            ReauthorisationCause::NoRefreshToken => "no-refresh-token",
            ReauthorisationCause::Refused => "refused",
            ReauthorisationCause::Interrupted => "interrupted",
        })
    }
}

impl From<Revocation> for LogValue {
    fn from(revocation: Revocation) -> Self {
        Self::Word(match revocation {
            Revocation::Done => "done",
            Revocation::NothingToRevoke => "nothing-to-revoke",
            Revocation::NotOffered => "not-offered",
            Revocation::Pending => "pending",
        })
    }
}

impl From<&TokenError> for LogValue {
    fn from(error: &TokenError) -> Self {
        Self::Word(match error {
            TokenError::NeedsReauthorisation(cause) => return (*cause).into(),
            TokenError::Misconfigured { reason, .. } | TokenError::Waiting { reason, .. } => {
                return (*reason).into();
            }
            TokenError::OtherPatient => "other-patient",
            TokenError::AppRefused { .. } => "app-refused",
            TokenError::Vault(_) => "vault",
            TokenError::Busy => "busy",
            TokenError::NoConnection => "no-connection",
            TokenError::Store(_) => "database",
            TokenError::Environment(_) => "platform",
        })
    }
}
