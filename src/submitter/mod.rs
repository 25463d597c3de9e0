//! The one object an app holds: it composes store, connections and delivery, and decides nothing by
//! itself.

mod connections;
mod content;
mod deliver;
mod events;
mod import;
mod lifecycle;
mod order_search;
mod readings;
mod types;

pub use types::{
    Config, Connection, ConnectionRun, ImportChoices, ImportReport, Orders, OutcomeStatus, Patient,
    RefusedItem, RunReport, Stalled, Standing, SubmissionOutcome, SubmissionPreview, UnknownItem,
};

use crate::blocking::blocking;
use crate::connect::{Connector, Unfinished};
use crate::delivery::{Delivery, Event, Verification, preview};
use crate::environment::{Environment, EnvironmentError, LockFolder, within};
use crate::error::Error;
use crate::glucose::ZoneOffsets;
use crate::store::{ConnectionId, LOCKS, Store, StoreError, StoreHandle, SubmissionId};
use crate::submission::SubmissionRequest;
use crate::transport::{Guard, RequestLimits};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use lifecycle::{Lifecycle, Phase, Work, erased};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long another process that opens the database is waited for: a migration may take its time.
const OPENING_PATIENCE: Duration = Duration::from_mins(1);

/// Gets one person's readings from this device into the clinic's record.
///
/// Making one does no I/O. Its methods may be awaited on any executor: the work runs on a small
/// runtime of its own. Dropping a method's future stops the work where it is, which is as safe as a
/// kill.
pub struct Submitter {
    inner: Arc<Inner>,
    lifecycle: Lifecycle,
}

struct Inner {
    config: Config,
    environment: Environment,
    parts: Mutex<Option<Parts>>,
    /// Work that outlives a call, and this object.
    unfinished: Unfinished,
}

/// What takes a call's events.
type Tell = dyn Fn(Event) + Send + Sync;

/// What is opened at first use.
#[derive(Clone)]
struct Parts {
    store: StoreHandle,
    connector: Connector,
    delivery: Delivery,
}

impl std::fmt::Debug for Submitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Submitter(…)")
    }
}

impl Drop for Submitter {
    fn drop(&mut self) {
        self.lifecycle.abandon(&self.inner.unfinished);
    }
}

impl Submitter {
    /// A submitter over this database and this environment. No I/O happens here.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |_, clinic| {
    /// # let (database, environment) = (clinic.config().database, clinic.environment());
    /// use cgm_submitter::{Config, Submitter};
    ///
    /// let cgm = Submitter::new(Config::new(database), environment);
    /// # drop(cgm);
    /// # Ok(()) }) }
    /// ```
    pub fn new(config: Config, environment: Environment) -> Self {
        let environment = Guard::around(environment, RequestLimits::default());
        let inner = Inner {
            config,
            environment,
            parts: Mutex::default(),
            unfinished: Unfinished::default(),
        };
        Self { inner: Arc::new(inner), lifecycle: Lifecycle::new() }
    }

    /// Runs the work of `call` on the SDK's own runtime and waits for it.
    async fn run<T, F>(
        &self,
        call: &'static str,
        work: impl FnOnce(Arc<Inner>) -> F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (work, result) = erased(work(Arc::clone(&self.inner)));
        self.run_logged(call, work).await?;
        result.take()
    }

    async fn run_logged(&self, call: &'static str, work: Work) -> Result<(), Error> {
        let Environment { log, clock, .. } = &self.inner.environment;
        let begun = clock.monotonic();
        let done = self.lifecycle.run(work).await;
        let took = clock.monotonic().saturating_sub(begun);
        let fields = [("call", call.into()), ("took", took.into())];
        match &done {
            Ok(()) => log.debug("call-ended", &fields),
            Err(error) => {
                let [call, took] = fields;
                log.warn("call-failed", &[call, ("code", error.code().word().into()), took]);
            }
        }
        done
    }

    /// The same for work that may take `limit` in all, whatever the receiver does.
    async fn run_within<T, F>(
        &self,
        call: &'static str,
        limit: TimeDelta,
        work: impl FnOnce(Arc<Inner>) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.run(call, |inner| async move {
            let timer = Arc::clone(&inner.environment.timer);
            let limit = limit.to_std().unwrap_or_default();
            let done = Box::pin(work(inner));
            within(timer.as_ref(), limit, done).await.unwrap_or(Err(Error::TimedOut))
        })
        .await
    }

    /// The same as `run` for work that tells what happens.
    async fn run_telling<T, F>(
        &self,
        call: &'static str,
        on_event: impl Fn(Event) + Send + Sync + 'static,
        work: impl FnOnce(Arc<Inner>, Box<Tell>) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.run(call, |inner| async move {
            let timer = Arc::clone(&inner.environment.timer);
            let (tell, listener) = events::heard_by(on_event);
            let done = Box::pin(work(inner, Box::new(tell))).await;
            listener.finish(timer.as_ref()).await;
            done
        })
        .await
    }

    /// Stops all work, as a kill would, and lets the database and its locks go: before the app is
    /// suspended. A renewal of a token under way is waited for, because its answer must not be
    /// lost. Calls fail with [`Error::Paused`] until [`Submitter::resume`].
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, _clinic| {
    /// cgm.pause().await?;
    /// assert!(cgm.dates().await.is_err());
    /// cgm.resume()?;
    /// assert!(cgm.dates().await.is_ok());
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`] after `close`; [`Error`] if the database cannot be closed in order, which
    /// loses nothing.
    pub async fn pause(&self) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        self.inner.environment.log.info("pause", &[]);
        self.lifecycle.alone(Phase::Paused, move || inner.release()).await
    }

    /// Takes calls again after [`Submitter::pause`].
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, _clinic| {
    /// cgm.pause().await?;
    /// cgm.resume()?;
    /// assert_eq!(cgm.dates().await?, None);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`] after `close`.
    pub fn resume(&self) -> Result<(), Error> {
        self.inner.environment.log.info("resume", &[]);
        self.lifecycle.resume()
    }

    /// The same as [`Submitter::pause`], for good.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, _clinic| {
    /// cgm.close().await?;
    /// assert!(cgm.dates().await.is_err());
    /// assert!(cgm.resume().is_err());
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// As `pause`.
    pub async fn close(&self) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        self.inner.environment.log.info("close", &[]);
        self.lifecycle.alone(Phase::Closed, move || inner.release()).await
    }

    /// Removes everything this device keeps of the person: the database with its log and locks, and
    /// the entries in the secure storage. What receivers have stays there, and nothing is revoked:
    /// call [`Submitter::disconnect`] first. The object is as new afterwards.
    ///
    /// A damaged database, or one that a newer version made, is removed too. Only the database
    /// names the entries in the secure storage: those of such a one stay.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # clinic.stock(&cgm).await;
    /// # clinic.connect(&cgm).await;
    /// for connection in cgm.connections().await? {
    ///     cgm.disconnect(connection.id).await?;
    /// }
    /// cgm.erase().await?;
    /// assert_eq!(cgm.dates().await?, None);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the secure storage or the disk fails: call it again then.
    pub async fn erase(&self) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        self.inner.environment.log.info("erase", &[]);
        self.lifecycle.alone(Phase::Open, move || inner.erase()).await
    }

    /// What a submission would send now. Sends nothing.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # clinic.stock(&cgm).await;
    /// # let connection = clinic.connect(&cgm).await;
    /// use cgm_submitter::{GlucoseUnit, SubmissionRequest};
    ///
    /// let request = SubmissionRequest::Own {
    ///     dates: "2024-05-01..2024-05-01".parse()?,
    ///     unit: GlucoseUnit::MmolPerL,
    /// };
    /// let preview = cgm.preview(connection.id, request).await?;
    /// assert_eq!(preview.readings_to_send(), 288);
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the database fails, or an order was asked for and there is none.
    pub async fn preview(
        &self,
        connection: ConnectionId,
        request: SubmissionRequest,
    ) -> Result<SubmissionPreview, Error> {
        self.run("preview", |inner| async move {
            let (zone, now) = (inner.zone().await?, inner.now());
            let parts = inner.parts().await?;
            parts
                .store
                .read(move |store| {
                    let connection = store.connection(connection)?;
                    let planned = content::planned(store, &connection, request, &zone, now)?;
                    let previews: Vec<_> = planned
                        .plans
                        .iter()
                        .map(|plan| preview(store, &connection, plan))
                        .collect::<Result<_, Error>>()?;
                    let left_out = planned.left_out;
                    Ok::<_, Error>(SubmissionPreview { parts: previews, left_out })
                })
                .await
        })
        .await
    }

    /// Verifies a finished submission: asks the receiver for what it accepted, and compares. What
    /// the receiver turns out to lack is sent again by the next submission, once, if that cannot
    /// put it there twice.
    ///
    /// A receiver that cannot be asked is not an error: the result says which parts could not be
    /// verified, and why. It needs a search, and the person's leave to read
    /// ([`Receiver::with_read_back`](crate::Receiver::with_read_back)).
    ///
    /// 25,000 readings take some forty requests to a receiver that can be asked by date, otherwise
    /// a few hundred. All of it, with the waits that the receiver asks for, takes at most
    /// `patience`.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # clinic.stock(&cgm).await;
    /// # let connection = clinic.connect(&cgm).await;
    /// # let request = cgm_submitter::SubmissionRequest::Own {
    /// #     dates: "2024-05-01..2024-05-01".parse()?,
    /// #     unit: cgm_submitter::GlucoseUnit::MmolPerL,
    /// # };
    /// # let patience = std::time::Duration::from_secs(60);
    /// # let outcome = cgm.submit_now(connection.id, request, patience, |_| ()).await?;
    /// use std::time::Duration;
    ///
    /// for submission in outcome.submissions {
    ///     let verification = cgm.verify(submission, Duration::from_secs(60), |_| ()).await?;
    ///     assert!(verification.is_complete());
    /// }
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the receiver does not answer, the connection needs the person, or the
    /// database or the vault fails.
    pub async fn verify(
        &self,
        submission: SubmissionId,
        patience: Duration,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Verification, Error> {
        self.run_telling("verify", on_event, move |inner, hear| async move {
            inner.parts().await?.delivery.verify(submission, patience, &*hear).await
        })
        .await
    }

    /// What the receiver refused: it is set aside, and not sent again as it is.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # let connection = clinic.connect(&cgm).await;
    /// for refused in cgm.quarantine(connection.id).await? {
    ///     println!("{:?}: {}", refused.time, refused.reason);
    /// }
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if there is no such connection, or the database fails.
    pub async fn quarantine(&self, connection: ConnectionId) -> Result<Vec<RefusedItem>, Error> {
        self.run("quarantine", |inner| async move {
            let parts = inner.parts().await?;
            parts
                .store
                .read(move |store| {
                    store.connection(connection)?;
                    content::refused(store, connection)
                })
                .await
        })
        .await
    }

    /// Lets everything the receiver refused be sent again with the next submission; returns how
    /// much that is. For when the receiver was mended.
    ///
    /// # Example
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/example.rs"));
    /// # fn main() { outside::example(async |cgm, clinic| {
    /// # let connection = clinic.connect(&cgm).await;
    /// let count = cgm.retry_refused(connection.id).await?;
    /// println!("{count} go again with the next submission");
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if there is no such connection, or the database fails.
    pub async fn retry_refused(&self, connection: ConnectionId) -> Result<usize, Error> {
        self.run("retry-refused", |inner| async move {
            let parts = inner.parts().await?;
            let retry = move |store: &mut Store| {
                store.connection(connection)?;
                store.retry_refused(connection)
            };
            Ok(parts.store.call(retry).await?)
        })
        .await
    }
}

impl Inner {
    fn now(&self) -> DateTime<Utc> {
        self.environment.clock.now()
    }

    /// The date it is for the person.
    async fn today(&self) -> Result<NaiveDate, Error> {
        Ok(self.zone().await?.date_at(self.now().timestamp()))
    }

    /// The person's time zone over all time a reading can have.
    async fn zone(&self) -> Result<ZoneOffsets, Error> {
        let from = DateTime::from_timestamp(631_152_000, 0).unwrap_or_default();
        let to = self.now() + TimeDelta::days(366);
        let local_time = Arc::clone(&self.environment.local_time);
        // A host may take its time over it.
        let ask = move || local_time.offsets(from, to);
        Ok(blocking(ask, |_| Err(EnvironmentError::LocalTime)).await?)
    }

    async fn parts(&self) -> Result<Parts, Error> {
        let mut parts = self.parts.lock().await;
        if let Some(parts) = parts.as_ref() {
            return Ok(parts.clone());
        }
        Ok(parts.insert(self.open().await?).clone())
    }

    /// Closes the database when nothing uses it any more: no file of it is open afterwards.
    async fn release(self: Arc<Self>) -> Result<(), Error> {
        let Some(parts) = self.parts.lock().await.take() else { return Ok(()) };
        parts.connector.settle().await;
        Ok(parts.store.close().await?)
    }

    /// Removes the vault's entries, which the database names, then the database.
    /// What cannot be opened names no entries.
    async fn erase(self: Arc<Self>) -> Result<(), Error> {
        let remove: fn(&Path) -> _ = match self.parts().await {
            Ok(parts) => {
                parts.connector.forget_secrets().await?;
                drop(parts);
                Arc::clone(&self).release().await?;
                Store::remove
            }
            Err(Error::Store(StoreError::Corrupt | StoreError::NewerSchema { .. })) => {
                Store::remove_unreadable
            }
            Err(error) => return Err(error),
        };
        let path = self.config.database.clone();
        Ok(blocking(move || remove(&path), |_| Err(StoreError::Internal)).await?)
    }

    async fn open(&self) -> Result<Parts, Error> {
        let Environment { clock, log, .. } = &self.environment;
        let begun = clock.monotonic();
        let path = self.config.database.clone();
        let mut locks = path.clone().into_os_string();
        locks.push(LOCKS);
        let locks = LockFolder::new(locks, &self.environment);
        let lock = locks.acquire_within("open", OPENING_PATIENCE).await?;
        let lock = lock.ok_or(EnvironmentError::LockHeld)?;
        let entropy = Arc::clone(&self.environment.entropy);
        let open = move || content::open(&path, entropy.as_ref(), lock);
        let (store, namespace) = blocking(open, |_| Err(Error::Runtime)).await?;
        let store = StoreHandle::new(store);
        let connector = Connector::new(
            store.clone(),
            self.environment.clone(),
            locks.clone(),
            &namespace,
            self.unfinished.clone(),
        );
        let delivery =
            Delivery::new(store.clone(), self.environment.clone(), connector.clone(), locks);
        log.info("opened", &[("took", clock.monotonic().saturating_sub(begun).into())]);
        Ok(Parts { store, connector, delivery })
    }
}
