//! The one object an app holds: it composes store, connections and delivery, and decides nothing by
//! itself.

mod content;
mod deliver;
mod events;
mod import;
mod lifecycle;
mod order_search;
mod types;

pub use types::{
    Config, Connection, ConnectionRun, ImportChoices, ImportReport, Orders, OutcomeStatus, Patient,
    RefusedItem, RunReport, Stalled, Standing, SubmissionOutcome, SubmissionPreview, UnknownItem,
};

use crate::connect::{AuthorizationRequest, Connector, Receiver, Revocation};
use crate::delivery::{Delivery, Event, Verification, preview};
use crate::environment::{Environment, EnvironmentError, LockFolder};
use crate::error::Error;
use crate::glucose::{DateRange, GlucoseUnit, Reading, Sensor, SensorKey, ZoneOffsets};
use crate::statistics::Summary;
use crate::store::{ConnectionId, IngestReport, Store, StoreError, StoreHandle, SubmissionId};
use crate::submission::SubmissionRequest;
use crate::transport::{Guard, RequestLimits};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use lifecycle::{Lifecycle, Phase};
use std::future::Future;
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
        self.lifecycle.abandon();
    }
}

impl Submitter {
    /// A submitter over this database and this environment. No I/O happens here.
    pub fn new(config: Config, environment: Environment) -> Self {
        let environment = Guard::around(environment, RequestLimits::default());
        let inner = Inner { config, environment, parts: Mutex::default() };
        Self { inner: Arc::new(inner), lifecycle: Lifecycle::new() }
    }

    /// Runs work on the SDK's own runtime and waits for it.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.lifecycle.run(work(Arc::clone(&self.inner))).await
    }

    /// The same for work that tells what happens.
    async fn run_telling<T, F>(
        &self,
        on_event: impl Fn(Event) + Send + Sync + 'static,
        work: impl FnOnce(Arc<Inner>, Box<Tell>) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.run(|inner| async move {
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
    /// # Errors
    /// [`Error::Closed`] after `close`; [`Error`] if the database cannot be closed in order, which
    /// loses nothing.
    pub async fn pause(&self) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        self.lifecycle.alone(Phase::Paused, move || inner.release()).await
    }

    /// Takes calls again after [`Submitter::pause`].
    ///
    /// # Errors
    /// [`Error::Closed`] after `close`.
    pub fn resume(&self) -> Result<(), Error> {
        self.lifecycle.resume()
    }

    /// The same as [`Submitter::pause`], for good.
    ///
    /// # Errors
    /// As `pause`.
    pub async fn close(&self) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        self.lifecycle.alone(Phase::Closed, move || inner.release()).await
    }

    /// Removes everything this device keeps of the person: the database with its log and locks, and
    /// the entries in the secure storage. What receivers have stays there, and nothing is revoked:
    /// call [`Submitter::disconnect`] first. The object is as new afterwards.
    ///
    /// # Errors
    /// [`Error`] if the secure storage or the disk fails: call it again then.
    pub async fn erase(&self) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        self.lifecycle.alone(Phase::Open, move || inner.erase()).await
    }

    /// Makes a sensor known. Readings of unknown sensors are refused.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    pub async fn register_sensor(&self, sensor: Sensor) -> Result<(), Error> {
        self.run(|inner| async move {
            let parts = inner.parts().await?;
            parts.store.call(move |store| store.register_sensor(&sensor).map(drop)).await?;
            Ok(())
        })
        .await
    }

    /// Stores readings. A reading that is there already is not stored twice; a bad one is reported
    /// and the others go in.
    ///
    /// # Errors
    /// [`Error`] where the database fails; then nothing of this call was stored.
    pub async fn ingest(&self, readings: Vec<Reading>) -> Result<IngestReport, Error> {
        self.run(|inner| async move {
            let (zone, now) = (inner.zone().await?, inner.now());
            let parts = inner.parts().await?;
            Ok(parts.store.call(move |store| store.ingest(&readings, &zone, now)).await?)
        })
        .await
    }

    /// When a sensor's latest stored reading was measured: the place to read on from.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    pub async fn latest_reading(&self, sensor: SensorKey) -> Result<Option<DateTime<Utc>>, Error> {
        self.run(|inner| async move {
            let parts = inner.parts().await?;
            let seconds = parts.store.call(move |store| store.latest(&sensor)).await?;
            Ok(seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)))
        })
        .await
    }

    /// The local dates of the stored readings; none where there are none.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    pub async fn dates(&self) -> Result<Option<DateRange>, Error> {
        self.run(|inner| async move {
            let zone = inner.zone().await?;
            let parts = inner.parts().await?;
            let extent = parts.store.call(|store| store.extent()).await?;
            Ok(extent
                .map(|(first, last)| DateRange::new(zone.date_at(first), zone.date_at(last)))
                .transpose()?)
        })
        .await
    }

    /// Stores the readings of a file: its format is recognised from its content. A file whose times
    /// have no UTC offset needs the person's time zone; [`ImportChoices`] says more.
    ///
    /// The same file again, a shorter or a longer one of the same device change nothing but what
    /// they know better: readings that move are corrected at receivers that have them.
    ///
    /// # Errors
    /// [`Error`] if the file is of no known format, or needs a zone or a scale, or the database
    /// fails.
    pub async fn import(
        &self,
        bytes: Vec<u8>,
        choices: impl Into<ImportChoices>,
    ) -> Result<ImportReport, Error> {
        let choices = choices.into();
        self.run(|inner| async move {
            let (local, now) = (inner.zone().await?, inner.now());
            let parts = inner.parts().await?;
            parts
                .store
                .call(move |store| import::import_into(store, &bytes, choices, &local, now))
                .await
        })
        .await
    }

    /// The unit the person's device shows: the one of the latest reading, mg/dL where there is
    /// none.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    pub async fn own_unit(&self) -> Result<GlucoseUnit, Error> {
        self.run(|inner| async move {
            let parts = inner.parts().await?;
            parts.store.call(|store| content::own_unit(store)).await
        })
        .await
    }

    /// The person's own time zone, over all time a reading can have: for a file whose clock it is.
    ///
    /// # Errors
    /// [`Error`] where the host cannot tell.
    pub async fn local_zone(&self) -> Result<ZoneOffsets, Error> {
        self.run(|inner| async move { inner.zone().await }).await
    }

    /// The consensus statistics over local dates.
    ///
    /// # Errors
    /// [`Error`] where there are fewer than two readings, or the database fails.
    pub async fn summary(&self, dates: DateRange) -> Result<Summary, Error> {
        self.run(|inner| async move {
            let window = dates.window(&inner.zone().await?)?;
            let parts = inner.parts().await?;
            parts.store.call(move |store| crate::delivery::summarise(store, dates, window)).await
        })
        .await
    }

    /// Starts connecting to a receiver: open the URL in the system's browser, then pass the
    /// redirect to [`Submitter::complete_connection`], also in a new process.
    ///
    /// # Errors
    /// [`Error`] where the receiver cannot be reached or is no SMART server, or the vault fails.
    pub async fn begin_connection(
        &self,
        receiver: Receiver,
    ) -> Result<AuthorizationRequest, Error> {
        self.run(|inner| async move { Ok(inner.parts().await?.connector.begin(&receiver).await?) })
            .await
    }

    /// Completes connecting with the URL the browser was redirected to. Nothing is sent before the
    /// person confirmed the patient.
    ///
    /// # Errors
    /// [`Error`] where the redirect is not the one asked for, was denied, or brings a token for
    /// another patient.
    pub async fn complete_connection(&self, redirect_url: String) -> Result<Connection, Error> {
        self.run(|inner| async move {
            let parts = inner.parts().await?;
            let record = parts.connector.complete(&redirect_url).await?;
            Ok(Connection::of(record))
        })
        .await
    }

    /// The person said "this is me" to the connection's patient.
    ///
    /// # Errors
    /// [`Error`] where there is no such connection.
    pub async fn confirm_patient(&self, connection: ConnectionId) -> Result<(), Error> {
        self.run(|inner| async move {
            inner.parts().await?.connector.confirm(connection).await?;
            Ok(())
        })
        .await
    }

    /// Every connection and its state.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    pub async fn connections(&self) -> Result<Vec<Connection>, Error> {
        self.run(|inner| async move {
            let records = inner.parts().await?.store.call(|store| store.connections()).await?;
            Ok(records.into_iter().map(Connection::of).collect())
        })
        .await
    }

    /// Ends a connection: its tokens and what is queued for it go at once, and the token is revoked
    /// where the receiver can.
    ///
    /// # Errors
    /// [`Error`] where the database or the vault fails.
    pub async fn disconnect(&self, connection: ConnectionId) -> Result<Revocation, Error> {
        self.run(
            |inner| async move { Ok(inner.parts().await?.connector.disconnect(connection).await?) },
        )
        .await
    }

    /// Reads the receiver's standing orders for the patient, and keeps them as they came, also those
    /// that are not followed. One that the receiver no longer has runs no more.
    ///
    /// # Errors
    /// [`Error`] if the receiver does not answer, or not with all of them, or the connection needs
    /// the person. The orders that were read before stay.
    pub async fn refresh_orders(&self, connection: ConnectionId) -> Result<Orders, Error> {
        self.run(|inner| async move {
            let (today, now) = (inner.today().await?, inner.now());
            let parts = inner.parts().await?;
            let when = (now, today);
            order_search::refresh_orders(&parts.store, &parts.connector, connection, when).await
        })
        .await
    }

    /// The standing orders as last read, and what of them is not followed, and why.
    ///
    /// # Errors
    /// [`Error`] if the host cannot tell the time zone, or the database fails.
    pub async fn orders(&self, connection: ConnectionId) -> Result<Orders, Error> {
        self.run(|inner| async move {
            let today = inner.today().await?;
            let parts = inner.parts().await?;
            parts
                .store
                .call(move |store| {
                    let connection = store.connection(connection)?;
                    order_search::stored_orders(store, &connection, today)
                })
                .await
        })
        .await
    }

    /// What a submission would send now. Sends nothing.
    ///
    /// # Errors
    /// [`Error`] where the database fails, or an order was asked for and there is none.
    pub async fn preview(
        &self,
        connection: ConnectionId,
        request: SubmissionRequest,
    ) -> Result<SubmissionPreview, Error> {
        self.run(|inner| async move {
            let (zone, now) = (inner.zone().await?, inner.now());
            let parts = inner.parts().await?;
            parts
                .store
                .call(move |store| {
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

    /// Verifies a finished submission: asks the receiver for what it accepted, by identifier, and
    /// compares. What the receiver turns out to lack is sent again by the next submission,
    /// once, where that cannot put it there twice.
    ///
    /// A receiver that cannot be asked, for lack of permission ([`Receiver::with_read_back`]) or of
    /// a search, is not an error: the parts that could not be verified are in the result.
    /// 25,000 readings take some forty requests to a receiver that can be asked by date, else a few
    /// hundred; waits the receiver asks for are waited out up to `patience`.
    ///
    /// # Errors
    /// [`Error`] where the receiver does not answer, the connection needs the person, or the
    /// database or the vault fails.
    pub async fn verify(
        &self,
        submission: SubmissionId,
        patience: Duration,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Verification, Error> {
        self.run_telling(on_event, move |inner, hear| async move {
            inner.parts().await?.delivery.verify(submission, patience, &*hear).await
        })
        .await
    }

    /// What receivers refused and is set aside.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    pub async fn quarantine(&self, connection: ConnectionId) -> Result<Vec<RefusedItem>, Error> {
        self.run(|inner| async move {
            let parts = inner.parts().await?;
            parts.store.call(move |store| content::refused(store, connection)).await
        })
        .await
    }

    /// Lets everything a receiver refused be sent again with the next submission; how many there
    /// are. For when the receiver, or what it was that it refused, was mended.
    ///
    /// # Errors
    /// [`Error`] where the database fails.
    pub async fn retry_refused(&self, connection: ConnectionId) -> Result<usize, Error> {
        self.run(|inner| async move {
            let parts = inner.parts().await?;
            Ok(parts.store.call(move |store| store.retry_refused(connection)).await?)
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
        let asked = tokio::task::spawn_blocking(move || local_time.offsets(from, to));
        Ok(asked.await.map_err(|_| EnvironmentError::LocalTime)??)
    }

    async fn parts(&self) -> Result<Parts, Error> {
        let mut parts = self.parts.lock().await;
        if let Some(parts) = parts.as_ref() {
            return Ok(parts.clone());
        }
        Ok(parts.insert(self.open().await?).clone())
    }

    /// Lets the database go when nothing uses it any more.
    async fn release(self: Arc<Self>) -> Result<(), Error> {
        let Some(parts) = self.parts.lock().await.take() else { return Ok(()) };
        parts.connector.settle().await;
        drop(parts);
        Ok(())
    }

    /// Removes the vault's entries, which the database names, then the database.
    async fn erase(self: Arc<Self>) -> Result<(), Error> {
        self.parts().await?.connector.forget_secrets().await?;
        Arc::clone(&self).release().await?;
        let path = self.config.database.clone();
        let removed = tokio::task::spawn_blocking(move || Store::remove(&path));
        Ok(removed.await.unwrap_or(Err(StoreError::Internal))?)
    }

    async fn open(&self) -> Result<Parts, Error> {
        let path = self.config.database.clone();
        let mut locks = path.clone().into_os_string();
        locks.push("-locks");
        let locks = LockFolder::new(locks, &self.environment);
        let lock = locks.acquire_within("open", OPENING_PATIENCE).await?;
        let lock = lock.ok_or(EnvironmentError::LockHeld)?;
        let entropy = Arc::clone(&self.environment.entropy);
        let opened =
            tokio::task::spawn_blocking(move || content::open(&path, entropy.as_ref(), lock));
        let (store, namespace) = opened.await.unwrap_or(Err(Error::Runtime))?;
        let store = StoreHandle::new(store);
        let connector =
            Connector::new(store.clone(), self.environment.clone(), locks.clone(), &namespace);
        let delivery =
            Delivery::new(store.clone(), self.environment.clone(), connector.clone(), locks);
        Ok(Parts { store, connector, delivery })
    }
}
