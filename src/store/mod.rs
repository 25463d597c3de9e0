//! The one SQLite database of a person: readings, sensors, connections, orders, outbox, ledger.
//!
//! Every public method is one short transaction. Nothing here decides, and nothing here knows FHIR
//! or HTTP.

mod connection_record;
mod connections;
mod corrections;
mod counts;
mod error;
mod file;
mod handle;
mod history;
mod imports;
mod ingest;
mod insertion;
mod json;
mod key;
mod ledger;
mod meta;
#[cfg(test)]
mod model_tests;
mod orders;
mod outbox;
mod packing;
mod placement;
mod quarantine;
mod read_back;
mod readings;
mod record;
mod records;
mod repack;
mod resources;
mod revocations;
mod scan;
mod schedules;
mod schema;
mod sensors;
mod settlement;
mod sources;
mod stretch;
#[cfg(test)]
mod testing;
mod unit;
mod unknown;
mod unsent;
mod versions;

pub use connection_record::{ConnectionDetails, ConnectionId, ConnectionRecord, ConnectionState};
pub use error::StoreError;
pub(crate) use file::LOCKS;
pub use handle::StoreHandle;
pub use history::{Attempt, RefusedEntry};
pub use imports::{ImportId, ImportRecord, ImportSource};
pub use ingest::{IngestReport, RejectedReading};
pub use key::ReadingKey;
pub use orders::{FetchedOrder, OrderRow, StoredOrder};
pub use outbox::{
    BatchId, BatchRecord, BatchState, DataVersion, NewBatch, Pending, SubmissionId,
    SubmissionRecord, SubmissionState,
};
pub use quarantine::QuarantinedReading;
pub use resources::{SentResource, SentStatus};
pub use revocations::{NewRevocation, RevocationId, StoredRevocation};
pub use schedules::{Approval, ScheduleRecord};
pub use sensors::StoredSensor;
pub use unknown::{SetAside, UnknownOutcome};
pub use unsent::VersionedReading;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};

/// An open database.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
}

impl Store {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a transaction that writes: it waits for other writers now, not in its middle.
    fn write(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(self.db.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// Begins a transaction that reads one moment's state.
    fn read(&self) -> Result<Transaction<'_>, StoreError> {
        Ok(Transaction::new_unchecked(&self.db, TransactionBehavior::Deferred)?)
    }
}
