//! The one SQLite database of a person: readings, sensors, connections, orders, outbox, ledger.
//!
//! Every public method is one short transaction. Nothing here decides, and nothing here knows FHIR or HTTP.

mod connections;
mod error;
mod handle;
mod outbox;
mod schema;

pub use connections::{ConnectionDetails, ConnectionId, ConnectionRecord, ConnectionState};
pub use error::StoreError;
pub use handle::StoreHandle;

use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

/// An open database.
#[derive(Debug)]
pub struct Store {
    db: Connection,
}

impl Store {
    /// Opens the database at `path`, making or migrating it.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] and [`StoreError::Corrupt`], which leave the file as it is; [`StoreError::Disk`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut db = Connection::open(path)?;
        db.busy_timeout(Duration::from_secs(5))?;
        schema::prepare(&mut db)?;
        Ok(Self { db })
    }
}
