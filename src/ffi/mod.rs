//! The border to Kotlin, Swift and Python: plain records in and out, one object, a few callbacks.
//! Nothing is decided here.
//!
//! Every exported future runs on the SDK's own runtime; the host's thread only waits. Every
//! callback is fallible, so that an exception in the host becomes an error here and never a panic.

#![expect(
    unreachable_pub,
    reason = "what UniFFI exports must be public, and Rust callers use the crate itself"
)]

mod calls;
mod cancellation;
mod error;
mod host;
mod log;
mod records;
#[cfg(test)]
mod tests;
mod transport;

use crate::environment::{
    Environment, FileLocks, LogSink, NoLog, SystemClock, SystemEntropy, SystemTimer, Transport,
};
use crate::transport::{HostedTransport, RequestLimits};
use crate::{Config, Submitter};
use error::CgmError;
use host::{HostLocalTime, HostVault};
use log::{ForeignLog, HostLogSink};
use std::sync::Arc;
use transport::{ForeignTransport, HostTransport};

/// Gets one person's readings from this device into the clinic's record. Making one does no I/O.
#[derive(Debug, uniffi::Object)]
pub struct CgmSubmitter {
    submitter: Submitter,
}

#[cfg(feature = "http-transport")]
#[uniffi::export]
impl CgmSubmitter {
    /// A submitter over the database file at `database`, with the platform's secure storage and
    /// time zone, and the built-in transport. Steps and decisions go to `log`, if there is one.
    #[uniffi::constructor(default(log = None))]
    pub fn new(
        database: String,
        vault: Arc<dyn HostVault>,
        local_time: Arc<dyn HostLocalTime>,
        log: Option<Arc<dyn HostLogSink>>,
    ) -> Result<Arc<Self>, CgmError> {
        let transport = crate::transport::HttpTransport::new()
            .map_err(|e| CgmError::invalid(crate::ErrorCode::Platform, &e))?;
        Ok(Self::over(Arc::new(transport), database, vault, local_time, log))
    }
}

impl CgmSubmitter {
    fn over(
        transport: Arc<dyn Transport>,
        database: String,
        vault: Arc<dyn HostVault>,
        local_time: Arc<dyn HostLocalTime>,
        log: Option<Arc<dyn HostLogSink>>,
    ) -> Arc<Self> {
        let log = log.map(|log| -> Arc<dyn LogSink> { Arc::new(ForeignLog(log)) });
        let environment = Environment {
            clock: Arc::new(SystemClock),
            timer: Arc::new(SystemTimer),
            entropy: Arc::new(SystemEntropy),
            local_time: Arc::new(host::ForeignLocalTime(local_time)),
            transport,
            vault: Arc::new(host::ForeignVault(vault)),
            locks: Arc::new(FileLocks),
            log: log.unwrap_or_else(|| Arc::new(NoLog)),
        };
        Arc::new(Self { submitter: Submitter::new(Config::new(database), environment) })
    }
}

#[uniffi::export]
impl CgmSubmitter {
    /// A submitter over the database file at `database`, with the platform's secure storage and
    /// time zone, and the host's own HTTP stack. Steps and decisions go to `log`, if there is one.
    #[uniffi::constructor(default(log = None))]
    pub fn with_transport(
        database: String,
        vault: Arc<dyn HostVault>,
        local_time: Arc<dyn HostLocalTime>,
        transport: Arc<dyn HostTransport>,
        log: Option<Arc<dyn HostLogSink>>,
    ) -> Arc<Self> {
        let host = Arc::new(ForeignTransport(transport));
        let hosted = HostedTransport::new(host, RequestLimits::default());
        Self::over(Arc::new(hosted), database, vault, local_time, log)
    }

    /// Stops all work and lets the database go, before the app is suspended. Calls fail with the
    /// code `paused` until `resume`.
    pub async fn pause(&self) -> Result<(), CgmError> {
        Ok(self.submitter.pause().await?)
    }

    /// Takes calls again after `pause`.
    pub fn resume(&self) -> Result<(), CgmError> {
        Ok(self.submitter.resume()?)
    }

    /// The same as `pause`, for good.
    pub async fn shut_down(&self) -> Result<(), CgmError> {
        Ok(self.submitter.close().await?)
    }

    /// Removes everything this device keeps of the person. What receivers have stays there:
    /// `disconnect` first.
    pub async fn erase(&self) -> Result<(), CgmError> {
        Ok(self.submitter.erase().await?)
    }
}
