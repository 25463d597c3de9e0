//! The single seam to the outside: clock, randomness, local time, network, secure storage, locks.
//!
//! Everything above takes these as an [`Environment`]; nothing above reads a clock or draws a
//! random number by itself.

use crate::glucose::{TimeError, ZoneOffsets};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

/// A future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The wall clock. It may jump.
    fn now(&self) -> DateTime<Utc>;
}

/// Gives unpredictable bytes, fit for keys.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// [`EnvironmentError::Entropy`] where the platform has none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EnvironmentError>;
}

/// Knows the person's time zone, from the host's current tz database.
pub trait LocalTime: Send + Sync {
    /// The zone's offsets over `from..to`.
    ///
    /// # Errors
    /// [`EnvironmentError::LocalTime`] where the host cannot tell.
    fn offsets(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<ZoneOffsets, EnvironmentError>;
}

/// Sends one HTTP request. Redirects are never followed; the body of a response is bounded.
pub trait Transport: Send + Sync {
    /// Sends `request` and reads the whole response.
    ///
    /// # Errors
    /// [`TransportError`]; a status of 400 and above is a response, not an error.
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'_, Result<http::Response<Vec<u8>>, TransportError>>;
}

/// The platform's secure storage: Keychain, Keystore. Small values under short names.
pub trait Vault: Send + Sync {
    /// The value under `name`, none where there is none.
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
pub enum VaultError {
    /// Locked for now, as before the first unlock of a phone: wait, never re-authorise.
    #[error("the secure storage is locked for now: try again after the device was unlocked")]
    Unavailable,
    /// It failed.
    #[error("the secure storage failed")]
    Failed,
}

/// Why no response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection: offline, name not found, refused.
    #[error("no connection to the receiver")]
    Unreachable,
    /// The connection broke or timed out after the request was on its way: the receiver may have
    /// acted on it.
    #[error("the connection to the receiver broke before its answer was complete")]
    Broken,
    /// The receiver's certificate is not trusted.
    #[error("the receiver's certificate is not trusted on this device")]
    Untrusted,
    /// More bytes than a response may have.
    #[error("the receiver's answer is larger than {limit} bytes")]
    TooLarge {
        /// The cap.
        limit: usize,
    },
    /// The request could not be made.
    #[error("the request could not be made")]
    Request,
}

/// What of the outside failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// No randomness.
    #[error("the platform gives no random bytes")]
    Entropy,
    /// No time zone.
    #[error("the platform does not tell its time zone")]
    LocalTime,
    /// A lock file cannot be made.
    #[error("a lock file cannot be made beside the database")]
    Lock,
    /// The time zone's table is malformed.
    #[error(transparent)]
    Time(#[from] TimeError),
}

/// Locks the kernel frees when the process dies: one file each, beside the database.
#[derive(Clone, Debug)]
pub struct Locks {
    folder: PathBuf,
}

/// A held lock. Freed on drop, and by the kernel at death.
#[derive(Debug)]
pub struct Lock(
    #[expect(dead_code, reason = "held for its lock, which closing the file frees")] File,
);

impl Locks {
    /// Locks in `folder`, made when the first is taken.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Takes the lock `name`; none where another process or task holds it.
    ///
    /// # Errors
    /// [`EnvironmentError::Lock`] where the file cannot be made.
    pub fn try_lock(&self, name: &str) -> Result<Option<Lock>, EnvironmentError> {
        std::fs::create_dir_all(&self.folder).map_err(|_| EnvironmentError::Lock)?;
        let path: &Path = &self.folder.join(format!("{name}.lock"));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|_| EnvironmentError::Lock)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(_)) => Err(EnvironmentError::Lock),
        }
    }
}

/// The outside, as one value.
#[derive(Clone)]
pub struct Environment {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The person's time zone.
    pub local_time: Arc<dyn LocalTime>,
    /// The network.
    pub transport: Arc<dyn Transport>,
    /// Secure storage.
    pub vault: Arc<dyn Vault>,
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place the wall clock is read")]
    fn now(&self) -> DateTime<Utc> {
        let since =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        DateTime::from_timestamp(
            i64::try_from(since.as_secs()).unwrap_or_default(),
            since.subsec_nanos(),
        )
        .unwrap_or_default()
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "the one place randomness is drawn")]
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EnvironmentError> {
        getrandom::fill(bytes).map_err(|_| EnvironmentError::Entropy)
    }
}
