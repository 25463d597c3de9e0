//! The error a host sees: what kind of thing to do, a stable code, and an explanation without a
//! person's data.

use crate::Error;

/// What went wrong, by what the app can do about it. `code` is stable; `explanation` is English,
/// for developers and logs.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum CgmError {
    /// Trying again later can help.
    #[error("{code}: {explanation}")]
    TryAgain {
        /// Stable.
        code: String,
        /// For developers and logs.
        explanation: String,
    },
    /// The person must do something: authorise again, choose the right patient, unlock the device.
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
}

impl CgmError {
    /// An argument that cannot be used.
    pub(super) fn invalid(code: &str, error: &dyn std::error::Error) -> Self {
        Self::Invalid { code: code.to_owned(), explanation: error.to_string() }
    }

    /// The host asked for it.
    pub(super) fn cancelled() -> Self {
        let explanation = "the app stopped it: what is left goes with the next call".to_owned();
        Self::TryAgain { code: "cancelled".to_owned(), explanation }
    }
}

impl From<Error> for CgmError {
    fn from(error: Error) -> Self {
        let (code, explanation) = (error.code().to_owned(), error.to_string());
        if error.retryable() {
            Self::TryAgain { code, explanation }
        } else if error.needs_person() {
            Self::NeedsPerson { code, explanation }
        } else {
            Self::Invalid { code, explanation }
        }
    }
}
