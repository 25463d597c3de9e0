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
use tokio::sync::{RwLock, oneshot, watch};

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
}

/// The runtime of one submitter, and whether it takes calls.
pub(super) struct Lifecycle {
    runtime: Mutex<Option<Runtime>>,
    phase: watch::Sender<Phase>,
    gate: Arc<RwLock<()>>,
}

/// A task that ends when it is no longer waited for.
struct Aborting<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Aborting<T> {
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

    /// Runs `work` on the SDK's own runtime and waits for it; dropping the wait stops it.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (mut phase, gate) = (self.phase.subscribe(), Arc::clone(&self.gate));
        if let Some(refusal) = phase.borrow().refusal() {
            return Err(refusal);
        }
        let work = Box::pin(work);
        let guarded = async move {
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
        };
        self.spawned(guarded).await
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
        let before = self.phase.send_replace(Phase::Paused);
        if before == Phase::Closed {
            self.phase.send_replace(Phase::Closed);
            return Err(Error::Closed);
        }
        let (phase, gate) = (self.phase.clone(), Arc::clone(&self.gate));
        let handle = self.handle()?;
        let task = handle.spawn(async move {
            let _alone = gate.write_owned().await;
            let done = work().await;
            phase.send_replace(then);
            done
        });
        task.await.unwrap_or_else(|error| Err(ended(&error)))
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

    async fn spawned<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let (give, done) = oneshot::channel();
        // One type of task for all work: of each type the runtime's code is compiled once more.
        let work: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { drop(give.send(work.await)) });
        let mut task = Aborting(self.handle()?.spawn(work));
        match (&mut task.0).await {
            Ok(()) => done.await.unwrap_or(Err(Error::Stopped)),
            Err(error) => Err(ended(&error)),
        }
    }
}

/// What a task that did not end by itself ended of.
fn ended(error: &tokio::task::JoinError) -> Error {
    if error.is_panic() { Error::Internal } else { Error::Stopped }
}
