//! What came of a request.

use super::{Places, RetryAfter};
use chrono::TimeDelta;

/// What came of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// No answer came.
    None(NoAnswer),
    /// An answer came.
    Response(Response),
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The request did not arrive: no connection, or a certificate that is not trusted.
    NotArrived,
    /// The request may have arrived.
    Lost,
    /// The HTTP stack followed a redirect: another place was given the request, and answered.
    Redirected,
    /// An answer came that is larger than is read.
    TooLarge,
    /// The process that sent it is gone.
    SenderDied,
    /// The request could not be made: its address is malformed, or not the one the token is for.
    NotMade,
}

impl NoAnswer {
    /// The stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotArrived => "not-arrived",
            Self::Lost => "lost",
            Self::Redirected => "redirected",
            Self::TooLarge => "too-large",
            Self::SenderDied => "sender-died",
            Self::NotMade => "not-made",
        }
    }
}

/// An answer as it came.
#[derive(Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Its `Retry-After`.
    pub retry_after: Option<RetryAfter>,
    /// Its body.
    pub body: Vec<u8>,
    /// From the send to the end of the body.
    pub took: TimeDelta,
}

impl Response {
    /// Whether it names a time to wait.
    pub const fn asks_to_wait(&self) -> bool {
        self.retry_after.is_some()
    }
}

/// Hides what the receiver said.
impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// What came of looking up a batch whose outcome is unknown.
#[derive(Clone)]
pub enum LookedUp {
    /// The search answered: for each entry where it was found, if it was.
    Searched(Places),
    /// The receiver cannot be asked: no permission, or no such search.
    Impossible,
    /// The receiver failed this time, and asked for a wait or did not; it had answered for these
    /// entries.
    Failed(Option<RetryAfter>, Places),
    /// The time given was over, ours and not the receiver's, when it had answered for these
    /// entries.
    OutOfTime(Places),
    /// The HTTP stack followed a redirect: another place answered.
    Redirected,
    /// The access token was refused.
    TokenRefused,
}

/// Hides what was found.
impl std::fmt::Debug for LookedUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Searched(_) => "Searched(…)",
            Self::Impossible => "Impossible",
            Self::Failed(..) => "Failed",
            Self::OutOfTime(_) => "OutOfTime",
            Self::Redirected => "Redirected",
            Self::TokenRefused => "TokenRefused",
        })
    }
}
