//! The operating system's clocks, timer, randomness and file locks.

use super::{BoxFuture, Clock, Entropy, EnvironmentError, Lock, Locks, Timer};
use chrono::{DateTime, Utc};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The operating system's clocks.
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

    fn monotonic(&self) -> Duration {
        monotonic()
    }
}

/// `Instant` stands still while a device sleeps, on Linux, Android and Apple's systems.
#[cfg(unix)]
fn monotonic() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    // On Apple's systems it counts sleep; elsewhere there is nothing that does.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let now = clock_gettime(CLOCK);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "the one place the monotonic clock is read")]
fn monotonic() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// The timer of the tokio runtime it is used on.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemTimer;

impl Timer for SystemTimer {
    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move { tokio::time::sleep(wait).await })
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

/// Locks on files, one file a lock, readable by its owner only. The files stay.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileLocks;

impl Locks for FileLocks {
    fn try_lock(&self, path: &Path) -> Result<Option<Lock>, EnvironmentError> {
        let file = open(path).map_err(|_| EnvironmentError::Lock)?;
        Ok(try_flock(&file)?.then(|| Lock::new(file)))
    }
}

/// The lock's file. Its folder is made if it is missing, but not the folder that holds that one.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        match private_folder().create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn private_folder() -> std::fs::DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "permissions are a matter of unix"))]
    let mut folder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder
}

/// Whether the lock is ours now. `flock` belongs to the open file, so that two tasks of one process
/// exclude each other; std's own locks are unsupported on Android.
#[cfg(unix)]
fn try_flock(file: &File) -> Result<bool, EnvironmentError> {
    use rustix::fs::{FlockOperation, flock};
    use rustix::io::retry_on_intr;

    match retry_on_intr(|| flock(file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(error) => meaning(error),
    }
}

/// What an error of `flock` says: held by another, or why no lock can be had.
#[cfg(unix)]
fn meaning(error: rustix::io::Errno) -> Result<bool, EnvironmentError> {
    use rustix::io::Errno;

    // Some of these are one number on some systems.
    let unsupported = [Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::INVAL];
    match error {
        Errno::WOULDBLOCK => Ok(false),
        _ if unsupported.contains(&error) => Err(EnvironmentError::LocksUnsupported),
        _ => Err(EnvironmentError::Lock),
    }
}

#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "supported where this is compiled: on Windows")]
fn try_flock(file: &File) -> Result<bool, EnvironmentError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            Err(EnvironmentError::LocksUnsupported)
        }
        Err(std::fs::TryLockError::Error(_)) => Err(EnvironmentError::Lock),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_its_own_process_too_and_is_free_after_a_drop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks").join("send-1.lock");
        let held = FileLocks.try_lock(&path).unwrap();
        assert!(held.is_some());
        assert!(FileLocks.try_lock(&path).unwrap().is_none());
        assert!(FileLocks.try_lock(&path.with_file_name("send-2.lock")).unwrap().is_some());
        drop(held);
        assert!(FileLocks.try_lock(&path).unwrap().is_some());
    }

    #[test]
    fn a_lock_whose_folder_has_no_place_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("locks").join("open.lock");
        assert_eq!(FileLocks.try_lock(&path).unwrap_err(), EnvironmentError::Lock);
        assert!(!folder.path().join("missing").exists());
    }

    #[cfg(unix)]
    #[test]
    fn lock_files_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks").join("open.lock");
        let _lock = FileLocks.try_lock(&path).unwrap();
        for (path, mode) in [(path.as_path(), 0o600), (path.parent().unwrap(), 0o700)] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_unsupported_lock_is_told_from_a_held_one_and_is_not_tried_again() {
        use rustix::io::Errno;

        assert_eq!(meaning(Errno::WOULDBLOCK), Ok(false));
        for unsupported in [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::INVAL] {
            let error = meaning(unsupported).unwrap_err();
            assert_eq!(error, EnvironmentError::LocksUnsupported);
            assert!(!error.retryable());
        }
        assert!(meaning(Errno::NOLCK).unwrap_err().retryable());
    }

    #[test]
    fn the_monotonic_clock_goes_on_and_the_timer_waits_at_least_as_long_as_asked() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (wait, before) = (Duration::from_millis(20), SystemClock.monotonic());
        runtime.block_on(SystemTimer.sleep(wait));
        assert!(SystemClock.monotonic() >= before + wait);
    }
}
