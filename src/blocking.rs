//! Work that may block, off the executor's threads.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::spawn_blocking;

/// Why work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It panicked.
    Panicked,
    /// The runtime shuts down.
    Stopped,
}

/// One type of task for all work: of each type the runtime's code is compiled once more.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// Runs `work` where it may block, and waits for it. Work that was begun goes on to its end, also
/// if the wait is dropped.
pub(crate) async fn blocking<T>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Lost>
where
    T: Send + 'static,
{
    let left = Arc::new(Mutex::new(None));
    let place = Arc::clone(&left);
    let work: Work = Box::new(move || {
        let result = work();
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    let lost = ended(work).await;
    left.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(lost)
}

/// Waits until the work has ended, and returns why it has no result if it has none.
async fn ended(work: Work) -> Lost {
    match spawn_blocking(work).await {
        Err(error) if error.is_panic() => Lost::Panicked,
        Ok(()) | Err(_) => Lost::Stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_is_told_from_work_that_ends() {
        assert_eq!(blocking(|| 7).await, Ok(7));
        assert_eq!(blocking(|| panic!("as a test wants it")).await, Err::<(), _>(Lost::Panicked));
    }
}
