//! Work that may block, off the executor's threads.

use std::future::Future;
use std::pin::Pin;
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

/// Work's end, as whoever waits for it holds it: a pointer, whatever the work is.
pub(crate) type Blocking<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs `work` where it may block, once this is awaited; `lost` is the result of work that has
/// none. Work that was begun goes on to its end, also if the wait is dropped.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    lost: fn(Lost) -> T,
) -> Blocking<T> {
    let left = Arc::new(Mutex::new(None));
    let place = Arc::clone(&left);
    let work: Work = Box::new(move || {
        let result = work();
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    Box::pin(async move {
        let why = ended(work).await;
        let result = left.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.unwrap_or_else(|| lost(why))
    })
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
        assert_eq!(blocking(|| Ok(7), Err).await, Ok(7));
        let panics = || panic!("as a test wants it");
        assert_eq!(blocking::<Result<(), _>>(panics, Err).await, Err(Lost::Panicked));
    }
}
