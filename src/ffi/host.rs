//! What a host implements: secure storage, its time zone, an observer. Synchronous and fallible,
//! all of them.

use super::records::count;
use super::records::outcomes::WaitReason;
use super::records::zone::{OffsetChange, zone_offsets};
use crate::delivery::Event;
use crate::environment::{EnvironmentError, LocalTime, Vault, VaultError};
use crate::glucose::ZoneOffsets;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::SystemTime;

/// Why a host's callback did not do as asked.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum HostError {
    /// Not for now: the device is locked.
    #[error("unavailable for now")]
    Unavailable,
    /// It failed.
    #[error("failed")]
    Failed,
}

impl From<uniffi::UnexpectedUniFFICallbackError> for HostError {
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        // The exception's own text may hold anything: it is not passed on.
        Self::Failed
    }
}

impl From<HostError> for VaultError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Unavailable => Self::Unavailable,
            HostError::Failed => Self::Failed,
        }
    }
}

/// The platform's secure storage: Keychain, Keystore.
#[uniffi::export(foreign)]
pub trait HostVault: Send + Sync {
    /// The value under `name`; null if there is none.
    fn load(&self, name: String) -> Result<Option<String>, HostError>;
    /// Puts `value` under `name`; it is on disk when this returns.
    fn save(&self, name: String, value: String) -> Result<(), HostError>;
    /// Removes what is under `name`, if anything.
    fn delete(&self, name: String) -> Result<(), HostError>;
}

/// The person's time zone.
#[uniffi::export(foreign)]
pub trait HostLocalTime: Send + Sync {
    /// The zone's name, for example `Europe/Bucharest`.
    fn zone_name(&self) -> Result<String, HostError>;
    /// Its offsets over `from..to` in rising order, the first being the one in force at `from`.
    fn transitions(&self, from: SystemTime, to: SystemTime)
    -> Result<Vec<OffsetChange>, HostError>;
}

/// What happens during a delivery.
#[derive(Clone, Debug, uniffi::Enum)]
pub enum DeliveryEvent {
    /// A request is on its way.
    Sending {
        /// Entries in it.
        entries: i64,
    },
    /// An answer was written down: entries with an outcome so far.
    Progress {
        /// Accepted, there already, or received.
        delivered: i64,
        /// Refused.
        refused: i64,
        /// Entries this call has to deliver in all: never fewer than have an outcome.
        total: i64,
    },
    /// Nothing can be sent before this instant.
    Waiting {
        /// When it goes on.
        until: SystemTime,
        /// Why.
        reason: WaitReason,
    },
    /// The receiver was asked for more of what it accepted.
    Verifying {
        /// Entries that were looked for so far.
        done: i64,
        /// Entries to look for in all.
        total: i64,
    },
}

/// Hears what happens. Called off the main thread.
#[uniffi::export(foreign)]
pub trait HostObserver: Send + Sync {
    /// Something happened. An error is ignored.
    fn delivery_event(&self, event: DeliveryEvent) -> Result<(), HostError>;
}

pub(super) struct ForeignVault(pub(super) Arc<dyn HostVault>);

impl Vault for ForeignVault {
    fn load(&self, name: &str) -> Result<Option<SecretString>, VaultError> {
        Ok(self.0.load(name.to_owned())?.map(SecretString::from))
    }

    fn save(&self, name: &str, value: &SecretString) -> Result<(), VaultError> {
        Ok(self.0.save(name.to_owned(), value.expose_secret().to_owned())?)
    }

    fn delete(&self, name: &str) -> Result<(), VaultError> {
        Ok(self.0.delete(name.to_owned())?)
    }
}

pub(super) struct ForeignLocalTime(pub(super) Arc<dyn HostLocalTime>);

impl LocalTime for ForeignLocalTime {
    fn offsets(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<ZoneOffsets, EnvironmentError> {
        let name = self.0.zone_name().map_err(|_| EnvironmentError::LocalTime)?;
        let changes =
            self.0.transitions(from.into(), to.into()).map_err(|_| EnvironmentError::LocalTime)?;
        Ok(zone_offsets(name, changes)?)
    }
}

/// Passes a delivery's events on to a host.
pub(super) fn events_to(observer: Arc<dyn HostObserver>) -> impl Fn(Event) + Send + Sync + 'static {
    move |event| {
        let event = match event {
            Event::Sending { entries, .. } => DeliveryEvent::Sending { entries: count(entries) },
            Event::Progress { tally, total, .. } => DeliveryEvent::Progress {
                delivered: count(tally.entries.delivered()),
                refused: count(tally.entries.refused),
                total: count(total),
            },
            Event::Waiting { until, reason } => {
                DeliveryEvent::Waiting { until: until.into(), reason: reason.into() }
            }
            Event::Verifying { done, total, .. } => {
                DeliveryEvent::Verifying { done: count(done), total: count(total) }
            }
        };
        // What an observer does with it is its own affair: a delivery never fails for it.
        let _ = observer.delivery_event(event);
    }
}
