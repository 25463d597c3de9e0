//! Locks between processes and tasks: freed on drop, and by the kernel at death.
//!
//! [`LockFolder::acquire`] is the one place where a held lock is waited for.

use super::{Clock, Deadline, Environment, EnvironmentError, Timer};
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a held lock is left alone before it is tried again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Takes locks. One that is held excludes every other taker, in this process too.
pub trait Locks: Send + Sync {
    /// Takes the lock at `path`; `None` if another process or task holds it.
    ///
    /// # Errors
    /// [`EnvironmentError::Lock`] if the lock cannot be made,
    /// [`EnvironmentError::LocksUnsupported`] if there are no locks at that place.
    fn try_lock(&self, path: &Path) -> Result<Option<Lock>, EnvironmentError>;
}

/// A held lock. Freed on drop, and by the kernel at death.
pub struct Lock(
    #[expect(dead_code, reason = "held for what its drop frees")] Box<dyn Any + Send + Sync>,
);

impl Lock {
    /// A lock that is held as long as `guard` lives.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self(Box::new(guard))
    }
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lock")
    }
}

/// The locks of one database, by their names, in a folder of their own. Cheap to clone.
#[derive(Clone)]
pub struct LockFolder {
    folder: Arc<Path>,
    locks: Arc<dyn Locks>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
}

impl LockFolder {
    /// The locks in `folder`, which is made if the first lock needs it.
    pub fn new(folder: impl Into<PathBuf>, environment: &Environment) -> Self {
        Self {
            folder: folder.into().into(),
            locks: Arc::clone(&environment.locks),
            clock: Arc::clone(&environment.clock),
            timer: Arc::clone(&environment.timer),
        }
    }

    /// Takes the lock `name`; `None` if another process or task holds it.
    ///
    /// # Errors
    /// As [`Locks::try_lock`].
    pub fn try_lock(&self, name: &str) -> Result<Option<Lock>, EnvironmentError> {
        self.locks.try_lock(&self.folder.join(format!("{name}.lock")))
    }

    /// Takes the lock `name`, waiting until `deadline` for whoever holds it; `None` if it is still
    /// held then. It is tried once even if the deadline has passed.
    ///
    /// # Errors
    /// As [`Locks::try_lock`].
    pub async fn acquire(
        &self,
        name: &str,
        deadline: Deadline,
    ) -> Result<Option<Lock>, EnvironmentError> {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(lock) = self.try_lock(name)? {
                return Ok(Some(lock));
            }
            let left = deadline.left(self.clock.monotonic());
            if left.is_zero() {
                return Ok(None);
            }
            self.timer.sleep(pause.min(left)).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Takes the lock `name`, waiting at most `patience`; as [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// As [`Locks::try_lock`].
    pub async fn acquire_within(
        &self,
        name: &str,
        patience: Duration,
    ) -> Result<Option<Lock>, EnvironmentError> {
        self.acquire(name, Deadline::after(self.clock.as_ref(), patience)).await
    }
}

impl std::fmt::Debug for LockFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LockFolder")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::BoxFuture;
    use chrono::{DateTime, Utc};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Waker};

    /// A clock that a timer of its own moves: no time passes outside.
    #[derive(Clone, Default)]
    struct Virtual(Arc<Mutex<Duration>>);

    impl Clock for Virtual {
        fn now(&self) -> DateTime<Utc> {
            DateTime::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    impl Timer for Virtual {
        fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
            *self.0.lock().unwrap() += wait;
            Box::pin(std::future::ready(()))
        }
    }

    /// A lock that is held for so many tries.
    struct HeldFor(AtomicUsize);

    impl Locks for HeldFor {
        fn try_lock(&self, _: &Path) -> Result<Option<Lock>, EnvironmentError> {
            let left =
                self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            Ok(left.is_err().then(|| Lock::new(())))
        }
    }

    fn folder(held_for: usize) -> (LockFolder, Virtual) {
        let time = Virtual::default();
        let locks = LockFolder {
            folder: PathBuf::from("locks").into(),
            locks: Arc::new(HeldFor(AtomicUsize::new(held_for))),
            clock: Arc::new(time.clone()),
            timer: Arc::new(time.clone()),
        };
        (locks, time)
    }

    fn acquired(locks: &LockFolder, deadline: Deadline) -> bool {
        let acquire = std::pin::pin!(locks.acquire("open", deadline));
        match acquire.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(lock) => lock.unwrap().is_some(),
            Poll::Pending => panic!("virtual time never waits"),
        }
    }

    #[test]
    fn a_held_lock_is_waited_for_until_it_is_free() {
        let (locks, time) = folder(20);
        assert!(acquired(&locks, Deadline::NEVER));
        let waited = time.monotonic();
        assert!(waited > LONGEST_PAUSE && waited < 20 * LONGEST_PAUSE, "{waited:?}");
    }

    #[test]
    fn a_lock_held_past_the_deadline_is_given_up_at_the_deadline() {
        let (locks, time) = folder(usize::MAX);
        let patience = Duration::from_millis(1234);
        assert!(!acquired(&locks, Deadline::at(patience)));
        assert_eq!(time.monotonic(), patience);
    }

    #[test]
    fn a_free_lock_is_taken_even_after_the_deadline() {
        let (locks, _) = folder(0);
        assert!(acquired(&locks, Deadline::at(Duration::ZERO)));
    }
}
