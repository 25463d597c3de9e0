//! HTTP: the guard around every transport, the host's own HTTP stack, and the built-in one for
//! every place where the host brings none.
//!
//! A transport sends one request once. It must not retry, follow redirects or judge a status: those
//! are decided above.

#[cfg(any(feature = "http-transport", feature = "reqwest"))]
mod body;
mod guard;
mod host;
#[cfg(feature = "http-transport")]
mod http;
#[cfg(feature = "reqwest")]
mod reqwest;

pub use guard::{Guard, RequestLimits};
pub use host::{Completion, HostAnswer, HostRequest, HostTransport, HostedTransport};

#[cfg(feature = "reqwest")]
pub use self::reqwest::ReqwestTransport;

#[cfg(feature = "http-transport")]
pub use self::http::{HttpTransport, HttpTransportBuilder, TransportSetupError};

#[cfg(feature = "http-transport")]
use crate::environment::{
    Environment, FileLocks, LocalTime, NoLog, SystemClock, SystemEntropy, SystemTimer, Vault,
};
#[cfg(feature = "http-transport")]
use std::sync::Arc;

#[cfg(feature = "http-transport")]
impl Environment {
    /// The operating system's clocks, randomness and locks and the built-in transport, with the
    /// app's secure storage and time zone. No log is kept: [`Environment::with_log`].
    ///
    /// # Errors
    /// [`TransportSetupError`] where TLS cannot be set up.
    pub fn system(
        vault: Arc<dyn Vault>,
        local_time: Arc<dyn LocalTime>,
    ) -> Result<Self, TransportSetupError> {
        let transport = Arc::new(HttpTransport::new()?);
        Ok(Self {
            clock: Arc::new(SystemClock),
            timer: Arc::new(SystemTimer),
            entropy: Arc::new(SystemEntropy),
            local_time,
            transport,
            vault,
            locks: Arc::new(FileLocks),
            log: Arc::new(NoLog),
        })
    }
}
