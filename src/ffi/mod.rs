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

use crate::environment::{
    Environment, FileLocks, SystemClock, SystemEntropy, SystemTimer, Transport,
};
use crate::store::{ConnectionId, SubmissionId};
use crate::{Config, ErrorCode, Submitter};
use cancellation::{Cancellation, unless_cancelled};
use error::CgmError;
use host::{HostLocalTime, HostObserver, HostVault};
use records::{
    AuthorizationRequest, Connection, ImportReport, IngestReport, Reading, Receiver, Sensor,
    SubmissionOutcome, SubmissionRequest, Verification,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

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
            .map_err(|e| CgmError::invalid(ErrorCode::Platform, &e))?;
        Ok(Self::over(Arc::new(transport), database, vault, local_time))
    }
}

impl CgmSubmitter {
    #[cfg_attr(
        not(feature = "http-transport"),
        expect(dead_code, reason = "the host's own transport does not cross the border yet")
    )]
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
        };
        Arc::new(Self { submitter: Submitter::new(Config::new(database), environment) })
    }
}

#[uniffi::export]
impl CgmSubmitter {
    /// Makes a sensor known. Readings of unknown sensors are refused.
    pub async fn register_sensor(&self, sensor: Sensor) -> Result<(), CgmError> {
        Ok(self.submitter.register_sensor(sensor.try_into()?).await?)
    }

    /// Stores readings. One that is there already is not stored twice; a bad one is reported by its
    /// place in the list.
    pub async fn ingest(&self, readings: Vec<Reading>) -> Result<IngestReport, CgmError> {
        let (good, rejected, rows) = records::readings(readings);
        let report = self.submitter.ingest(good).await?;
        Ok(records::ingest_report(&report, rejected, &rows))
    }

    /// When a sensor's latest stored reading was measured.
    pub async fn latest_reading(&self, sensor: String) -> Result<Option<SystemTime>, CgmError> {
        let key = crate::glucose::SensorKey::new(sensor)
            .map_err(|e| CgmError::invalid(ErrorCode::InvalidSensor, &e))?;
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
    pub async fn confirm_patient(&self, connection: i64) -> Result<(), CgmError> {
        Ok(self.submitter.confirm_patient(ConnectionId(connection)).await?)
    }

    /// Every connection and its state.
    pub async fn connections(&self) -> Result<Vec<Connection>, CgmError> {
        Ok(self.submitter.connections().await?.into_iter().map(Connection::from).collect())
    }

    /// Ends a connection: its tokens and what is queued for it go at once.
    pub async fn disconnect(&self, connection: i64) -> Result<(), CgmError> {
        self.submitter.disconnect(ConnectionId(connection)).await?;
        Ok(())
    }

    /// Reads the receiver's standing orders for the patient; how many run.
    pub async fn refresh_orders(&self, connection: i64) -> Result<u32, CgmError> {
        let orders = self.submitter.refresh_orders(ConnectionId(connection)).await?;
        Ok(u32::try_from(orders.active.len()).unwrap_or(u32::MAX))
    }

    /// How many readings a submission would send now. Sends nothing.
    pub async fn readings_to_send(
        &self,
        connection: i64,
        request: SubmissionRequest,
    ) -> Result<u64, CgmError> {
        Ok(self
            .submitter
            .preview(ConnectionId(connection), request.try_into()?)
            .await?
            .readings_to_send())
    }

    /// Submits now, telling `observer` what happens, and waits at most `patience_seconds` where the
    /// receiver asks to.
    #[uniffi::method(default(cancellation = None))]
    pub async fn submit_now(
        &self,
        connection: i64,
        request: SubmissionRequest,
        patience_seconds: u32,
        observer: Arc<dyn HostObserver>,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<SubmissionOutcome, CgmError> {
        let patience = Duration::from_secs(u64::from(patience_seconds));
        let on_event = host::events_to(observer);
        let id = ConnectionId(connection);
        let work = self.submitter.submit_now(id, request.try_into()?, patience, on_event);
        Ok(unless_cancelled(cancellation, work).await?.into())
    }

    /// Verifies a finished submission: asks the receiver for what it accepted, and compares. What
    /// the receiver turns out to lack is sent again by the next submission, once.
    #[uniffi::method(default(cancellation = None))]
    pub async fn verify(
        &self,
        submission: i64,
        patience_seconds: u32,
        observer: Arc<dyn HostObserver>,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<Verification, CgmError> {
        let patience = Duration::from_secs(u64::from(patience_seconds));
        let work =
            self.submitter.verify(SubmissionId(submission), patience, host::events_to(observer));
        Ok(unless_cancelled(cancellation, work).await?.into())
    }

    /// Goes on with whatever is queued, for at most `budget_seconds` of waiting; how many entries
    /// were delivered.
    #[uniffi::method(default(cancellation = None))]
    pub async fn run_due(
        &self,
        budget_seconds: u32,
        observer: Arc<dyn HostObserver>,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<u64, CgmError> {
        let budget = Duration::from_secs(u64::from(budget_seconds));
        let report = unless_cancelled(
            cancellation,
            self.submitter.run_due(budget, host::events_to(observer)),
        )
        .await?;
        let delivered = report.tally.entries.delivered();
        report.into_first_error().map_or(Ok(delivered), |error| Err(error.into()))
    }
}
