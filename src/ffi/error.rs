//! The error a host sees: what kind of thing to do, a stable code, and an explanation without a
//! person's data.

use crate::import::ImportError;
use crate::{Error, ErrorCode, ErrorKind};
use std::time::SystemTime;

/// What went wrong, by what the app can do about it. `code` is stable: docs/errors.md has them all.
/// `explanation` is English, for developers and logs.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum CgmError {
    /// Trying again later can help.
    #[error("{code}: {explanation}")]
    TryAgain {
        /// Stable.
        code: String,
        /// For developers and logs.
        explanation: String,
        /// Before when it is of no use, if known.
        retry_at: Option<SystemTime>,
    },
    /// The person must do something: authorise again, choose the right patient.
    #[error("{code}: {explanation}")]
    NeedsPerson {
        /// Stable.
        code: String,
        /// For developers and logs.
        explanation: String,
    },
    /// What was given cannot be used as it is.
    #[error("{code}: {explanation}")]
    Invalid {
        /// Stable.
        code: String,
        /// For developers and logs.
        explanation: String,
    },
    /// Something outside the app is not as it must be: the receiver's set-up, the disk, the
    /// platform.
    #[error("{code}: {explanation}")]
    Unavailable {
        /// Stable.
        code: String,
        /// For developers and logs.
        explanation: String,
    },
    /// A fault of this SDK.
    #[error("{code}: {explanation}")]
    Internal {
        /// Stable.
        code: String,
        /// For developers and logs.
        explanation: String,
    },
}

impl CgmError {
    /// A failure by its code.
    pub(super) fn new(code: ErrorCode, explanation: String, retry_at: Option<SystemTime>) -> Self {
        let (kind, code) = (code.kind(), code.word().to_owned());
        match kind {
            ErrorKind::TryAgain => Self::TryAgain { code, explanation, retry_at },
            ErrorKind::NeedsPerson => Self::NeedsPerson { code, explanation },
            ErrorKind::Invalid => Self::Invalid { code, explanation },
            ErrorKind::Unavailable => Self::Unavailable { code, explanation },
            ErrorKind::Internal => Self::Internal { code, explanation },
        }
    }

    /// An argument that cannot be used.
    pub(super) fn invalid(code: ErrorCode, error: &dyn std::error::Error) -> Self {
        Self::new(code, error.to_string(), None)
    }

    /// The host asked for it.
    pub(super) fn cancelled() -> Self {
        let explanation = "the app stopped it: what is left goes with the next call".to_owned();
        Self::new(ErrorCode::Cancelled, explanation, None)
    }
}

impl From<Error> for CgmError {
    fn from(error: Error) -> Self {
        // What only the border knows: where in a call the answer goes.
        let answer = match &error {
            Error::Import(ImportError::TimeZoneRequired) => " (`ImportChoices.zone`)",
            Error::Import(ImportError::ScaleRequired { .. }) => " (`ImportChoices.scale`)",
            _ => "",
        };
        let explanation = format!("{error}{answer}");
        Self::new(error.code(), explanation, error.retry_at().map(SystemTime::from))
    }
}
