//! The single seam to the outside: clocks, timer, randomness, local time, network, secure storage,
//! locks.
//!
//! Everything above takes these as an [`Environment`]; nothing above reads a clock, sleeps, takes a
//! lock or draws a random number by itself.

mod locks;
mod log;
mod network;
mod system;
mod time;
#[cfg(feature = "system-zone")]
mod zone;

pub use locks::{Lock, LockFolder, Locks};
#[cfg(feature = "tracing")]
pub use log::TracingLog;
pub use log::{LogEntry, LogLevel, LogSink, LogValue, NoLog};
pub use network::{FinalUrl, Redirects, Transport, TransportError};
pub use system::{FileLocks, SystemClock, SystemEntropy, SystemTimer};
pub(crate) use time::within;
pub use time::{Clock, Deadline, Timer};
#[cfg(feature = "system-zone")]
pub use zone::{NamedZone, SystemZone, UnknownZone};

use crate::glucose::{TimeError, ZoneOffsets};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Gives unpredictable bytes, fit for keys.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// [`EnvironmentError::Entropy`] if the platform has none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EnvironmentError>;
}

/// Knows the person's time zone, from the host's current tz database.
pub trait LocalTime: Send + Sync {
    /// The zone's offsets over `from..to`.
    ///
    /// # Errors
    /// [`EnvironmentError::LocalTime`] if the host cannot tell.
    fn offsets(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<ZoneOffsets, EnvironmentError>;
}

/// The platform's secure storage: Keychain, Keystore. Small values under short names.
pub trait Vault: Send + Sync {
    /// Returns the value under `name`, `None` if there is none.
    ///
    /// # Errors
    /// [`VaultError`].
    fn load(&self, name: &str) -> Result<Option<SecretString>, VaultError>;
    /// Puts `value` under `name`; it is on disk when this returns.
    ///
    /// # Errors
    /// [`VaultError`].
    fn save(&self, name: &str, value: &SecretString) -> Result<(), VaultError>;
    /// Removes what is under `name`, if anything.
    ///
    /// # Errors
    /// [`VaultError`].
    fn delete(&self, name: &str) -> Result<(), VaultError>;
}

/// Why the vault did not answer. Absent is not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// Locked for now, as before the first unlock of a phone: wait, never re-authorise.
    #[error("the secure storage is locked for now: try again after the device was unlocked")]
    Unavailable,
    /// It failed.
    #[error("the secure storage failed")]
    Failed,
}

/// What of the outside failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// No randomness.
    #[error("the platform gives no random bytes")]
    Entropy,
    /// No time zone.
    #[error("the platform does not tell its time zone")]
    LocalTime,
    /// A lock file cannot be made.
    #[error("a lock file cannot be made beside the database: check the folder and its permissions")]
    Lock,
    /// Another process or task kept a lock for longer than it is waited for.
    #[error("another part of the app is at work on the same data: try again")]
    LockHeld,
    /// There are no file locks at the database's place.
    #[error(
        "the place of the database has no file locks: put the database on the device's own storage"
    )]
    LocksUnsupported,
    /// The time zone's table is malformed.
    #[error(transparent)]
    Time(#[from] TimeError),
}

impl EnvironmentError {
    /// Whether the same call can succeed later without anybody changing anything.
    pub const fn retryable(self) -> bool {
        match self {
            Self::Lock | Self::LockHeld => true,
            Self::Entropy | Self::LocalTime | Self::LocksUnsupported | Self::Time(_) => false,
        }
    }
}

/// The outside, as one value.
#[derive(Clone)]
pub struct Environment {
    /// The wall clock and the monotonic clock.
    pub clock: Arc<dyn Clock>,
    /// What waits.
    pub timer: Arc<dyn Timer>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The person's time zone.
    pub local_time: Arc<dyn LocalTime>,
    /// The network.
    pub transport: Arc<dyn Transport>,
    /// Secure storage.
    pub vault: Arc<dyn Vault>,
    /// Locks between processes and tasks.
    pub locks: Arc<dyn Locks>,
    /// Takes each step and decision; [`NoLog`] for none.
    pub log: Arc<dyn LogSink>,
}

impl Environment {
    /// The same, and each step and decision goes to `log`. With the feature `tracing`, a
    /// `TracingLog` passes them to the app's `tracing`.
    #[must_use]
    pub fn with_log(self, log: Arc<dyn LogSink>) -> Self {
        Self { log, ..self }
    }
}
