//! An outside for an app's own tests and for a first app on a desktop: vaults, a clock, a zone,
//! locks and a network that do as they are told. With the feature `testing`.
//!
//! # Example
//! An app that meets a receiver which is not there:
//! ```
//! use cgm_submitter::environment::TransportError;
//! use cgm_submitter::testing::{ScriptedTransport, environment};
//! use cgm_submitter::{Config, ErrorCode, Receiver, Submitter};
//! use std::sync::Arc;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! let folder = tempfile::tempdir()?;
//! let offline = Arc::new(ScriptedTransport::new(|_| Err(TransportError::Unreachable)));
//! let config = Config::new(folder.path().join("me.db"));
//! let app = Submitter::new(config, environment(offline.clone()));
//!
//! let redirect = "com.example.app:/callback";
//! let receiver = Receiver::new("https://ehr.example/fhir", "my-app", redirect)?;
//! let error = app.begin_connection(receiver).await.unwrap_err();
//! assert_eq!(error.code(), ErrorCode::ReceiverUnreachable);
//! assert!(offline.sent()[0].uri().path().starts_with("/fhir/"));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod locks;
mod time;
mod transport;
mod vault;

pub use locks::MemoryLocks;
pub use time::{FixedClock, FixedZone};
pub use transport::{ScriptedTransport, answer};
pub use vault::{FileVault, MemoryVault};

use crate::environment::{Environment, NoLog, SystemEntropy, SystemTimer, Transport};
use chrono::DateTime;
use std::sync::Arc;

/// An environment of the parts in this module, over `transport`: 2024-07-01 08:00 in UTC, an empty
/// vault, no lock held. Its fields can be exchanged.
pub fn environment(transport: Arc<dyn Transport>) -> Environment {
    let first_of_july = DateTime::from_timestamp(1_719_820_800, 0).unwrap_or_default();
    Environment {
        clock: Arc::new(FixedClock::new(first_of_july)),
        timer: Arc::new(SystemTimer),
        entropy: Arc::new(SystemEntropy),
        local_time: Arc::new(FixedZone::default()),
        transport,
        vault: Arc::new(MemoryVault::default()),
        locks: Arc::new(MemoryLocks::default()),
        log: Arc::new(NoLog),
    }
}
