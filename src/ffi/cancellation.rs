//! Stops a call from outside it. Kotlin and Python drop the Rust future when their own task is
//! cancelled; Swift does not, and an app may want to stop a delivery it started elsewhere.

use super::error::CgmError;
use crate::Error;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::watch;

/// Stops the calls it was given to. Make one for each call. What was sent stays sent, and the next
/// call goes on from there.
#[derive(Debug, Default, uniffi::Object)]
pub struct Cancellation(watch::Sender<bool>);

#[uniffi::export]
impl Cancellation {
    /// A cancellation not yet requested.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Stops the calls: each ends in `TryAgain` with the code `cancelled`. Calling it twice is the
    /// same as once.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

/// Waits for `work`, or until it is cancelled; then `work` is dropped, which is as safe as a kill.
pub(super) async fn unless_cancelled<T>(
    cancellation: Option<Arc<Cancellation>>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, CgmError> {
    let Some(cancellation) = cancellation else { return Ok(work.await?) };
    let mut asked = cancellation.0.subscribe();
    tokio::select! {
        biased;
        _ = asked.wait_for(|asked| *asked) => Err(CgmError::cancelled()),
        done = work => Ok(done?),
    }
}
