//! The border to Kotlin, Swift and Python: plain records in and out, one object, a few callbacks.
//! Nothing is decided here.
//!
//! Every exported future runs on the SDK's own runtime; the host's thread only waits. Every
//! callback is fallible, so that an exception in the host becomes an error here and never a panic.

#![expect(
    unreachable_pub,
    reason = "what UniFFI exports must be public, and Rust callers use the crate itself"
)]

mod cancellation;
mod error;
mod host;
mod records;
mod transport;

use crate::environment::{
    Environment, FileLocks, NoLog, SystemClock, SystemEntropy, SystemTimer, Transport,
};
use crate::transport::{HostedTransport, RequestLimits};
use crate::{Config, Submitter};
use cancellation::{Cancellation, unless_cancelled};
use error::CgmError;
use host::{HostLocalTime, HostObserver, HostVault};
use records::connections::{AuthorizationRequest, Connection, Receiver};
use records::readings::{ImportReport, IngestReport, Reading, Sensor};
use records::submissions::{SubmissionOutcome, SubmissionRequest};
use records::verification::Verification;
use records::{ConnectionId, SubmissionId, count};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use transport::{ForeignTransport, HostTransport};

/// Gets one person's readings from this device into the clinic's record. Making one does no I/O.
#[derive(Debug, uniffi::Object)]
pub struct CgmSubmitter {
    submitter: Submitter,
}

#[cfg(feature = "http-transport")]
#[uniffi::export]
impl CgmSubmitter {
    /// A submitter over the database file at `database`, with the platform's secure storage and
    /// time zone, and the built-in transport.
    #[uniffi::constructor]
    pub fn new(
        database: String,
        vault: Arc<dyn HostVault>,
        local_time: Arc<dyn HostLocalTime>,
    ) -> Result<Arc<Self>, CgmError> {
        let transport = crate::transport::HttpTransport::new()
            .map_err(|e| CgmError::invalid(crate::ErrorCode::Platform, &e))?;
        Ok(Self::over(Arc::new(transport), database, vault, local_time))
    }
}

impl CgmSubmitter {
    fn over(
        transport: Arc<dyn Transport>,
        database: String,
        vault: Arc<dyn HostVault>,
        local_time: Arc<dyn HostLocalTime>,
    ) -> Arc<Self> {
        let environment = Environment {
            clock: Arc::new(SystemClock),
            timer: Arc::new(SystemTimer),
            entropy: Arc::new(SystemEntropy),
            local_time: Arc::new(host::ForeignLocalTime(local_time)),
            transport,
            vault: Arc::new(host::ForeignVault(vault)),
            locks: Arc::new(FileLocks),
            log: Arc::new(NoLog),
        };
        Arc::new(Self { submitter: Submitter::new(Config::new(database), environment) })
    }
}

#[uniffi::export]
impl CgmSubmitter {
    /// A submitter over the database file at `database`, with the platform's secure storage and
    /// time zone, and the host's own HTTP stack.
    #[uniffi::constructor]
    pub fn with_transport(
        database: String,
        vault: Arc<dyn HostVault>,
        local_time: Arc<dyn HostLocalTime>,
        transport: Arc<dyn HostTransport>,
    ) -> Arc<Self> {
        let host = Arc::new(ForeignTransport(transport));
        let hosted = HostedTransport::new(host, RequestLimits::default());
        Self::over(Arc::new(hosted), database, vault, local_time)
    }

    /// Stops all work and lets the database go, before the app is suspended. Calls fail with the
    /// code `paused` until `resume`.
    pub async fn pause(&self) -> Result<(), CgmError> {
        Ok(self.submitter.pause().await?)
    }

    /// Takes calls again after `pause`.
    pub fn resume(&self) -> Result<(), CgmError> {
        Ok(self.submitter.resume()?)
    }

    /// The same as `pause`, for good.
    pub async fn shut_down(&self) -> Result<(), CgmError> {
        Ok(self.submitter.close().await?)
    }

    /// Removes everything this device keeps of the person. What receivers have stays there:
    /// `disconnect` first.
    pub async fn erase(&self) -> Result<(), CgmError> {
        Ok(self.submitter.erase().await?)
    }

    /// Makes a sensor known. Readings of unknown sensors are refused.
    pub async fn register_sensor(&self, sensor: Sensor) -> Result<(), CgmError> {
        Ok(self.submitter.register_sensor(sensor.try_into()?).await?)
    }

    /// Stores readings. One that is there already is not stored twice; a bad one is reported by its
    /// place in the list.
    pub async fn ingest(&self, readings: Vec<Reading>) -> Result<IngestReport, CgmError> {
        let (good, rejected, rows) = records::readings::readings(readings);
        let report = self.submitter.ingest(good).await?;
        Ok(records::readings::ingest_report(&report, rejected, &rows))
    }

    /// When a sensor's latest stored reading was measured.
    pub async fn latest_reading(&self, sensor: String) -> Result<Option<SystemTime>, CgmError> {
        let key = crate::glucose::SensorKey::new(sensor)
            .map_err(|e| CgmError::invalid(crate::ErrorCode::InvalidSensor, &e))?;
        Ok(self.submitter.latest_reading(key).await?.map(SystemTime::from))
    }

    /// Stores the readings of a file. Where its times have no UTC offset, as in a Dexcom Clarity
    /// export, say that its clock is the one of this device's time zone; a file of another zone
    /// must carry offsets.
    #[uniffi::method(default(in_device_time_zone = false))]
    pub async fn import_file(
        &self,
        bytes: Vec<u8>,
        in_device_time_zone: bool,
    ) -> Result<ImportReport, CgmError> {
        let zone =
            if in_device_time_zone { Some(self.submitter.local_zone().await?) } else { None };
        Ok(self.submitter.import(bytes, zone).await?.into())
    }

    /// Starts connecting: open the URL in the system's browser.
    pub async fn begin_connection(
        &self,
        receiver: Receiver,
    ) -> Result<AuthorizationRequest, CgmError> {
        Ok(self.submitter.begin_connection(receiver.try_into()?).await?.into())
    }

    /// Completes connecting with the URL the browser was redirected to, also in a new process.
    pub async fn complete_connection(&self, redirect_url: String) -> Result<Connection, CgmError> {
        Ok(self.submitter.complete_connection(redirect_url).await?.into())
    }

    /// The person said "this is me" to the connection's patient.
    pub async fn confirm_patient(&self, connection: ConnectionId) -> Result<(), CgmError> {
        Ok(self.submitter.confirm_patient(connection.into()).await?)
    }

    /// Every connection and its state.
    pub async fn connections(&self) -> Result<Vec<Connection>, CgmError> {
        Ok(self.submitter.connections().await?.into_iter().map(Connection::from).collect())
    }

    /// Ends a connection: its tokens and what is queued for it go at once.
    pub async fn disconnect(&self, connection: ConnectionId) -> Result<(), CgmError> {
        self.submitter.disconnect(connection.into()).await?;
        Ok(())
    }

    /// Reads the receiver's standing orders for the patient; how many run.
    pub async fn refresh_orders(&self, connection: ConnectionId) -> Result<i64, CgmError> {
        let orders = self.submitter.refresh_orders(connection.into()).await?;
        Ok(count(orders.active.len()))
    }

    /// How many readings a submission would send now. Sends nothing.
    pub async fn readings_to_send(
        &self,
        connection: ConnectionId,
        request: SubmissionRequest,
    ) -> Result<i64, CgmError> {
        let preview = self.submitter.preview(connection.into(), request.try_into()?).await?;
        Ok(count(preview.readings_to_send()))
    }

    /// Submits now, telling `observer` what happens, and waits at most `patience` where the
    /// receiver asks to.
    #[uniffi::method(default(cancellation = None))]
    pub async fn submit_now(
        &self,
        connection: ConnectionId,
        request: SubmissionRequest,
        patience: Duration,
        observer: Arc<dyn HostObserver>,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<SubmissionOutcome, CgmError> {
        let on_event = host::events_to(observer);
        let id = connection.into();
        let work = self.submitter.submit_now(id, request.try_into()?, patience, on_event);
        Ok(unless_cancelled(cancellation, work).await?.into())
    }

    /// Verifies a finished submission: asks the receiver for what it accepted, and compares. What
    /// the receiver turns out to lack is sent again by the next submission, once.
    #[uniffi::method(default(cancellation = None))]
    pub async fn verify(
        &self,
        submission: SubmissionId,
        patience: Duration,
        observer: Arc<dyn HostObserver>,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<Verification, CgmError> {
        let work = self.submitter.verify(submission.into(), patience, host::events_to(observer));
        Ok(unless_cancelled(cancellation, work).await?.into())
    }

    /// Goes on with whatever is queued, for at most `budget_seconds` of waiting; how many entries
    /// were delivered.
    #[uniffi::method(default(cancellation = None))]
    pub async fn run_due(
        &self,
        budget: Duration,
        observer: Arc<dyn HostObserver>,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<i64, CgmError> {
        let report = unless_cancelled(
            cancellation,
            self.submitter.run_due(budget, host::events_to(observer)),
        )
        .await?;
        let delivered = count(report.tally.entries.delivered());
        report.into_first_error().map_or(Ok(delivered), |error| Err(error.into()))
    }
}
