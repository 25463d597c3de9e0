//! The store as async code reaches it: one at a time, off the executor's threads.

use super::{Store, StoreError};
use std::sync::{Arc, Mutex, PoisonError};

/// A store shared by the SDK's tasks. Work runs on tokio's blocking threads.
#[derive(Clone, Debug)]
pub struct StoreHandle(Arc<Mutex<Store>>);

impl StoreHandle {
    /// Shares `store`.
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    /// Runs `work` with the store. A panic in earlier work does not poison it: every method is a
    /// transaction of its own.
    ///
    /// # Errors
    /// What `work` returns, [`StoreError::Internal`] where it panicked, [`StoreError::Busy`] where
    /// the runtime is shutting down.
    pub async fn call<T, E>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let store = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            work(&mut store.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await
        .unwrap_or_else(|stopped| {
            Err(if stopped.is_panic() { StoreError::Internal } else { StoreError::Busy }.into())
        })
    }
}
