//! Work that must not be cut: a refresh whose answer nobody records logs the person out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

/// How long such work may go on after its owner went away: longer than a lock is waited for and a
/// request may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// What is under way of such work. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Unfinished(Arc<RwLock<()>>);

impl Unfinished {
    /// Counts work in for as long as the guard lives.
    pub(super) async fn begin(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.0).read_owned().await
    }

    /// Waits until all that was begun has ended.
    pub async fn settle(&self) {
        drop(self.0.write().await);
    }

    /// Ends `runtime`, on which the work runs, but not before the work has ended. Returns at once;
    /// nothing begins any more.
    pub(crate) fn retire(&self, runtime: Runtime) {
        if let Ok(closed) = Arc::clone(&self.0).try_write_owned() {
            runtime.shutdown_background();
            drop(closed);
            return;
        }
        // The work needs its runtime, and a caller in async code must not wait for it.
        let work = Arc::clone(&self.0);
        let slot = Arc::new(Mutex::new(Some(runtime)));
        let taken = Arc::clone(&slot);
        let end = move || {
            let runtime = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(runtime) = runtime {
                let settled = async { tokio::time::timeout(PATIENCE, work.write_owned()).await };
                let closed = runtime.block_on(settled);
                runtime.shutdown_background();
                drop(closed);
            }
        };
        if std::thread::Builder::new().name("cgm-submitter-end".to_owned()).spawn(end).is_err()
            && let Some(runtime) = slot.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            runtime.shutdown_background();
        }
    }
}
