//! The sandbox's `SQLite` database: opening, layout and seeding. Every access goes through one
//! connection behind one lock, in short transactions; a killed process loses nothing that was
//! answered. No FHIR rule is judged here.

mod grants;
mod resources;
mod submissions;

use std::{
    fs::OpenOptions,
    path::Path,
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

pub use self::submissions::SubmissionRecord;
pub(crate) use self::{
    grants::{AccessToken, NewCode, RefreshOutcome},
    resources::{
        Coding, Comparison, DateColumn, Effective, NewResource, ResourceQuery, StoredResource,
        codes_of, find, insert, next_id, with_identifier,
    },
    submissions::NewSubmission,
};
use crate::{
    SandboxError,
    clock::now_millis,
    config::{ClientRegistration, Config},
    seed::seed_patients,
};

/// Raised when the tables change; a file with another number is refused rather than misread.
const LAYOUT: i64 = 1;

const TABLES: &str = "
CREATE TABLE client (id TEXT PRIMARY KEY, redirect_uris TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE resource (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    patient TEXT NOT NULL,
    starts INTEGER,
    ends INTEGER,
    updated INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (type, id)
);
CREATE INDEX resource_by_patient ON resource (patient, type);
CREATE TABLE coding (
    seq INTEGER NOT NULL REFERENCES resource ON DELETE CASCADE,
    element TEXT NOT NULL,
    system TEXT NOT NULL,
    code TEXT NOT NULL,
    PRIMARY KEY (seq, element, code, system)
) WITHOUT ROWID;
CREATE TABLE identifier (
    value TEXT NOT NULL,
    system TEXT NOT NULL,
    seq INTEGER NOT NULL REFERENCES resource ON DELETE CASCADE,
    PRIMARY KEY (value, system, seq)
) WITHOUT ROWID;
CREATE INDEX identifier_of_resource ON identifier (seq);
CREATE TABLE submission (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received INTEGER NOT NULL,
    patient TEXT NOT NULL,
    client TEXT NOT NULL,
    status INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    created INTEGER NOT NULL,
    already INTEGER NOT NULL,
    refused INTEGER NOT NULL
);
CREATE TABLE pending (id TEXT PRIMARY KEY, expires INTEGER NOT NULL, request TEXT NOT NULL)
WITHOUT ROWID;
CREATE TABLE family (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    client TEXT NOT NULL,
    patient TEXT NOT NULL,
    scope TEXT NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE code (
    digest TEXT PRIMARY KEY,
    family INTEGER NOT NULL REFERENCES family,
    redirect_uri TEXT NOT NULL,
    challenge TEXT NOT NULL,
    expires INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE token (
    digest TEXT PRIMARY KEY,
    family INTEGER NOT NULL REFERENCES family,
    kind TEXT NOT NULL CHECK (kind IN ('access', 'refresh')),
    scope TEXT NOT NULL,
    expires INTEGER,
    spent INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX token_of_family ON token (family);
";

/// The one database connection.
pub(crate) struct Store {
    connection: Mutex<Connection>,
}

/// Makes the file if it is not there, for its owner alone: what a clinic receives is a person's
/// data. `SQLite` gives the files beside it the same permissions, and says what is wrong with the
/// place.
fn make_private(path: &Path) {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let _ = options.open(path);
}

fn open_file(path: &Path) -> rusqlite::Result<Connection> {
    make_private(path);
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // The first that reads the file.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    Ok(connection)
}

impl Store {
    pub(crate) fn open(config: &Config) -> Result<Self, SandboxError> {
        let mut connection = match &config.database {
            Some(path) => open_file(path)
                .map_err(|source| SandboxError::Open { file: path.clone(), source })?,
            None => Connection::open_in_memory()?,
        };
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        prepare_layout(&transaction)?;
        register_clients(&transaction, &config.clients)?;
        seed(&transaction)?;
        transaction.commit()?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Runs `work` in one write transaction; an error rolls back.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, SandboxError>,
    ) -> Result<T, SandboxError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Runs `work` on the connection, for reading.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, SandboxError>,
    ) -> Result<T, SandboxError> {
        work(&self.connection.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The redirect URIs a client registered (empty: any native redirect), or `None` for an unknown
    /// client.
    pub(crate) fn client_redirects(
        &self,
        client: &str,
    ) -> Result<Option<Vec<String>>, SandboxError> {
        self.read(|connection| {
            let mut select =
                connection.prepare_cached("SELECT redirect_uris FROM client WHERE id = ?1")?;
            let mut rows = select.query([client])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(Some(serde_json::from_str(&row.get::<_, String>(0)?)?))
        })
    }
}

fn prepare_layout(transaction: &Transaction<'_>) -> Result<(), SandboxError> {
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found == LAYOUT {
        return Ok(());
    }
    if found != 0 {
        return Err(SandboxError::Layout { found, expected: LAYOUT });
    }
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "user_version", LAYOUT)?;
    Ok(())
}

fn register_clients(
    transaction: &Transaction<'_>,
    clients: &[ClientRegistration],
) -> Result<(), SandboxError> {
    for client in clients {
        transaction.execute(
            "INSERT INTO client (id, redirect_uris) VALUES (?1, ?2)
             ON CONFLICT (id) DO UPDATE SET redirect_uris = excluded.redirect_uris",
            params![client.id, serde_json::to_string(&client.redirect_uris)?],
        )?;
    }
    Ok(())
}

/// Adds the clinic's people if they are missing; orders only together with their person, so that
/// replaced orders stay replaced after a restart.
fn seed(transaction: &Transaction<'_>) -> Result<(), SandboxError> {
    for patient in seed_patients() {
        if resources::find(transaction, "Patient", patient.id)?.is_some() {
            continue;
        }
        let body = patient.resource.to_string();
        resources::insert_named(
            transaction,
            "Patient",
            patient.id,
            patient.id,
            &body,
            now_millis(),
        )?;
        resources::replace_orders(transaction, patient.id, &patient.orders)?;
    }
    Ok(())
}
