//! The clinic's list of what was submitted when. Counts only: the content is in the resources.

use rusqlite::{Connection, params};

use super::Store;
use crate::{SandboxError, clock::instant_text};

/// One `$submit-cgm-bundle` request the sandbox answered, refused ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubmissionRecord {
    /// Counts up from 1.
    pub id: i64,
    /// When it was received, as a FHIR instant.
    pub received: String,
    /// The patient of the token.
    pub patient: String,
    /// The app it came from.
    pub client: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// Size of the body as it was sent.
    pub bytes: u64,
    /// Entries in the Bundle; 0 when the request was refused before they were read.
    pub entries: u32,
    /// Entries answered 201.
    pub created: u32,
    /// Entries answered 200: already there.
    pub already: u32,
    /// Entries refused.
    pub refused: u32,
}

/// A submission before it has its number.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewSubmission {
    pub(crate) received: i64,
    pub(crate) patient: String,
    pub(crate) client: String,
    pub(crate) status: u16,
    pub(crate) bytes: usize,
    pub(crate) entries: usize,
    pub(crate) created: usize,
    pub(crate) already: usize,
    pub(crate) refused: usize,
}

impl NewSubmission {
    pub(crate) fn insert(&self, connection: &Connection) -> Result<(), SandboxError> {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        connection
            .prepare_cached(
                "INSERT INTO submission (received, patient, client, status, bytes, entries, \
                    created, already, refused)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                self.received,
                self.patient,
                self.client,
                self.status,
                count(self.bytes),
                count(self.entries),
                count(self.created),
                count(self.already),
                count(self.refused),
            ])?;
        Ok(())
    }
}

impl Store {
    /// All submissions, oldest first; of one patient when given.
    pub(crate) fn submissions(
        &self,
        patient: Option<&str>,
    ) -> Result<Vec<SubmissionRecord>, SandboxError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT id, received, patient, client, status, bytes, entries, created, already, \
                    refused
                 FROM submission WHERE ?1 IS NULL OR patient = ?1 ORDER BY id",
            )?;
            let records = select.query_map([patient], |row| {
                Ok(SubmissionRecord {
                    id: row.get(0)?,
                    received: instant_text(row.get(1)?),
                    patient: row.get(2)?,
                    client: row.get(3)?,
                    status: row.get(4)?,
                    bytes: u64::try_from(row.get::<_, i64>(5)?).unwrap_or_default(),
                    entries: row.get(6)?,
                    created: row.get(7)?,
                    already: row.get(8)?,
                    refused: row.get(9)?,
                })
            })?;
            Ok(records.collect::<Result<_, _>>()?)
        })
    }
}
