//! Events to the host, on a thread of their own: a callback that takes its time, or waits for the
//! caller's thread, holds up no delivery.

use crate::blocking::Work;
use crate::delivery::Event;
use crate::environment::Timer;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

/// How long a call's end waits for its last events to be heard.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// The host as it listens to one call.
pub(super) struct Listener {
    hearing: JoinHandle<()>,
    dropped: Arc<AtomicBool>,
}

/// Passes events on to `on_event`, in order: what to tell them to, and who listens. Call it inside
/// the runtime.
pub(super) fn heard_by(
    on_event: impl Fn(Event) + Send + Sync + 'static,
) -> (impl Fn(Event) + Send + Sync + 'static, Listener) {
    let (sender, mut receiver) = unbounded_channel();
    let dropped = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&dropped);
    let hear: Work = Box::new(move || {
        while let Some(event) = receiver.blocking_recv() {
            if stopped.load(Ordering::Acquire) {
                return;
            }
            on_event(event);
        }
    });
    let hearing = tokio::task::spawn_blocking(hear);
    let tell = move |event| {
        // A host whose callback panicked hears no more.
        let _ = sender.send(event);
    };
    (tell, Listener { hearing, dropped })
}

impl Listener {
    /// Waits until the host has heard all, unless it takes too long over it. What tells the events
    /// is dropped by then.
    pub(super) async fn finish(mut self, timer: &dyn Timer) {
        tokio::select! {
            _ = &mut self.hearing => {}
            () = timer.sleep(LAST_EVENTS) => {}
        }
    }
}

/// A call that was stopped tells nothing more.
impl Drop for Listener {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Release);
    }
}
