//! From the first call to `close`: the runtime the work runs on, and stopping all of it.
//!
//! Work holds the gate for reading; whoever closes it first says so, which ends all work at its
//! next await, and then waits for the gate. Ending there is the same as a kill, and as safe.

use crate::connect::Unfinished;
use crate::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{RwLock, watch};

/// Threads the SDK's own futures run on. Blocking work has threads of its own.
const WORKER_THREADS: usize = 2;

/// Whether calls are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// They are.
    Open,
    /// Not before `resume`.
    Paused,
    /// Never again.
    Closed,
}

impl Phase {
    const fn refusal(self) -> Option<Error> {
        match self {
            Self::Open => None,
            Self::Paused => Some(Error::Paused),
            Self::Closed => Some(Error::Closed),
        }
    }

    /// What it is after what ran alone, and was to leave it at `then`. Calls that were taken again
    /// meanwhile stay taken; a close is for good.
    const fn after(self, then: Self) -> Self {
        match (self, then) {
            (_, Self::Closed) => Self::Closed,
            (Self::Paused, then) => then,
            (now, _) => now,
        }
    }
}

/// The runtime of one submitter, and whether it takes calls.
pub(super) struct Lifecycle {
    runtime: Mutex<Option<Runtime>>,
    phase: watch::Sender<Phase>,
    gate: Arc<RwLock<()>>,
}

/// A task that ends when it is no longer waited for.
struct Aborting(tokio::task::JoinHandle<Result<(), Error>>);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Lifecycle {
    pub(super) fn new() -> Self {
        Self {
            runtime: Mutex::default(),
            phase: watch::Sender::new(Phase::Open),
            gate: Arc::default(),
        }
    }

    /// The runtime's handle; the first call makes the runtime.
    ///
    /// Under a lock: of two first calls one would make a runtime in vain, and dropping that one
    /// inside async code panics.
    fn handle(&self) -> Result<Handle, Error> {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtime.as_ref() {
            return Ok(runtime.handle().clone());
        }
        let made = Builder::new_multi_thread()
            .worker_threads(WORKER_THREADS)
            .thread_name("cgm-submitter")
            .enable_all()
            .build()
            .map_err(|_| Error::Runtime)?;
        let handle = made.handle().clone();
        *runtime = Some(made);
        Ok(handle)
    }

    /// Runs `work` on the SDK's own runtime while calls are taken, and waits for it; dropping the
    /// wait stops it.
    pub(super) async fn run(&self, work: Work) -> Result<(), Error> {
        let (mut phase, gate) = (self.phase.subscribe(), Arc::clone(&self.gate));
        if let Some(refusal) = phase.borrow().refusal() {
            return Err(refusal);
        }
        let guarded: Work = Box::pin(async move {
            let _working = gate.read_owned().await;
            // Paused and resumed while this waited is as good as never.
            if let Some(refusal) = phase.borrow_and_update().refusal() {
                return Err(refusal);
            }
            tokio::select! {
                biased;
                _ = phase.wait_for(|phase| *phase != Phase::Open) => Err(Error::Stopped),
                done = work => done,
            }
        });
        let mut task = Aborting(self.handle()?.spawn(guarded));
        (&mut task.0).await.unwrap_or_else(|error| Err(ended(&error)))
    }

    /// Stops all work, lets nothing new begin, and runs `work` alone; the phase is `then`
    /// afterwards. The wait may be dropped: `work` goes on to its end.
    pub(super) async fn alone<T, F>(
        &self,
        then: Phase,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (work, result) = erased(async move { work().await });
        self.excluding(then, work).await?;
        result.take()
    }

    async fn excluding(&self, then: Phase, work: Work) -> Result<(), Error> {
        let before = self.phase.send_replace(Phase::Paused);
        if before == Phase::Closed {
            self.phase.send_replace(Phase::Closed);
            return Err(Error::Closed);
        }
        let (phase, gate) = (self.phase.clone(), Arc::clone(&self.gate));
        let task: Work = Box::pin(async move {
            let _alone = gate.write_owned().await;
            if *phase.borrow() == Phase::Closed {
                return Err(Error::Closed);
            }
            let done = work.await;
            phase.send_modify(|phase| *phase = phase.after(then));
            done
        });
        self.handle()?.spawn(task).await.unwrap_or_else(|error| Err(ended(&error)))
    }

    /// Takes calls again after a pause.
    pub(super) fn resume(&self) -> Result<(), Error> {
        let mut refusal = None;
        self.phase.send_if_modified(|phase| match *phase {
            Phase::Paused => {
                *phase = Phase::Open;
                true
            }
            Phase::Open => false,
            Phase::Closed => {
                refusal = Some(Error::Closed);
                false
            }
        });
        refusal.map_or(Ok(()), Err)
    }

    /// Takes no calls any more, without waiting for what is under way. What of it must not be cut
    /// goes on to its end in the background.
    pub(super) fn abandon(&self, unfinished: &Unfinished) {
        self.phase.send_replace(Phase::Closed);
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            unfinished.retire(runtime);
        }
    }
}

/// A call's work, which leaves its result elsewhere. One type for all calls: what guards, runs and
/// drops it is compiled once more for each type.
pub(super) type Work = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Where the result of a call's work is left, if it has one.
pub(super) struct Left<T>(Arc<Mutex<Option<T>>>);

impl<T> Left<T> {
    pub(super) fn take(&self) -> Result<T, Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(Error::Stopped)
    }
}

pub(super) fn erased<T, F>(work: F) -> (Work, Left<T>)
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let place = Arc::default();
    let left = Left(Arc::clone(&place));
    let work = Box::pin(async move {
        let result = work.await?;
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        Ok(())
    });
    (work, left)
}

/// What a task that did not end by itself ended of.
fn ended(error: &tokio::task::JoinError) -> Error {
    if error.is_panic() { Error::Internal } else { Error::Stopped }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs something alone that goes on until told to end.
    async fn slow(lifecycle: &Lifecycle, then: Phase, meanwhile: impl FnOnce()) {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let work = move || async move {
            let _ = ended.await;
            Ok(())
        };
        let stop = async {
            tokio::task::yield_now().await;
            meanwhile();
            end.send(()).unwrap();
        };
        let (done, ()) = tokio::join!(lifecycle.alone(then, work), stop);
        done.unwrap();
    }

    #[tokio::test]
    async fn calls_taken_again_while_a_pause_ends_stay_taken() {
        let lifecycle = Lifecycle::new();
        slow(&lifecycle, Phase::Paused, || lifecycle.resume().unwrap()).await;
        lifecycle.run(Box::pin(async { Ok(()) })).await.unwrap();
        slow(&lifecycle, Phase::Paused, || ()).await;
        assert!(matches!(lifecycle.run(Box::pin(async { Ok(()) })).await, Err(Error::Paused)));
        lifecycle.abandon(&Unfinished::default());
    }

    #[tokio::test]
    async fn a_close_is_for_good_whatever_is_called_while_it_ends() {
        let lifecycle = Lifecycle::new();
        slow(&lifecycle, Phase::Closed, || lifecycle.resume().unwrap()).await;
        assert!(matches!(lifecycle.run(Box::pin(async { Ok(()) })).await, Err(Error::Closed)));
        assert!(matches!(lifecycle.resume(), Err(Error::Closed)));
        let again = lifecycle.alone(Phase::Open, || async { Ok(()) }).await;
        assert!(matches!(again, Err(Error::Closed)));
        lifecycle.abandon(&Unfinished::default());
    }
}
