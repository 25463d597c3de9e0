//! The one SQLite database of a person: readings, sensors, connections, orders, outbox, ledger.
//!
//! Every public method is one short transaction. Nothing here decides, and nothing here knows FHIR
//! or HTTP.

#[cfg(test)]
mod agreement;
mod claims;
mod connections;
mod error;
mod file;
mod form;
mod handle;
mod ingest;
mod key;
mod ledger;
mod meta;
mod orders;
mod outbox;
mod quarantine;
mod read_back;
mod readings;
mod records;
mod resources;
mod scan;
mod schema;
mod sensors;
#[cfg(test)]
mod testing;
mod unsent;

pub use connections::{ConnectionDetails, ConnectionId, ConnectionRecord, ConnectionState};
pub use error::StoreError;
pub use handle::StoreHandle;
pub use ingest::{IngestReport, RejectedReading};
pub use key::ReadingKey;
pub use ledger::ReadingCode;
pub use orders::StoredOrder;
pub use outbox::{
    BatchId, BatchRecord, BatchState, DataVersion, NewBatch, Pending, SubmissionId,
    SubmissionRecord, SubmissionState,
};
pub use quarantine::{QuarantinedReading, SetAside, UnknownOutcome};
pub use resources::{SentResource, SentStatus};
pub use sensors::StoredSensor;
pub use unsent::VersionedReading;

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// An open database.
#[derive(Debug)]
pub struct Store {
    db: Connection,
}

impl Store {
    /// Begins a transaction that writes: it waits for other writers now, not in its middle.
    fn write(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(self.db.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// Begins a transaction that reads one moment's state.
    fn read(&self) -> Result<Transaction<'_>, StoreError> {
        Ok(Transaction::new_unchecked(&self.db, TransactionBehavior::Deferred)?)
    }
}
