//! A batch on its way: assembled and compressed to be frozen, and a claimed one as a request.

use super::assemble::{conditional, dialect, next_body};
use crate::error::Error;
use crate::fhir::EntryKind;
use crate::store::{
    BatchId, BatchRecord, ConnectionRecord, NewBatch, Store, SubmissionId, SubmissionRecord,
};
use crate::submission::{Attempts, Item, ManifestEntry, Part, Places, SentBatch, Wait};
use chrono::{DateTime, Utc};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::io::{Read, Write};
use std::time::Duration;
use url::Url;

/// A request to send.
pub struct Outgoing {
    /// The batch it carries.
    pub batch: BatchId,
    /// The submission it is part of.
    pub submission: SubmissionId,
    /// Where it goes.
    pub url: String,
    /// The body, with gzip if `gzip` says so.
    pub body: Vec<u8>,
    /// Whether the body is compressed.
    pub gzip: bool,
    /// Entries in it.
    pub entries: usize,
    /// How long its answer is waited for.
    pub timeout: Duration,
}

/// Hides the body.
impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("batch", &self.batch)
            .field("submission", &self.submission)
            .field("gzip", &self.gzip)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

/// What a submission sends next, ready to be frozen.
pub(super) fn next_batch(
    store: &Store,
    connection: &ConnectionRecord,
    submission: &SubmissionRecord,
    now: DateTime<Utc>,
) -> Result<Option<NewBatch>, Error> {
    let data_version = store.data_version()?;
    let Some(body) = next_body(store, connection, submission, now)? else { return Ok(None) };
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.json.len() / 16), Compression::fast());
    let compressed = encoder.write_all(&body.json).and_then(|()| encoder.finish());
    let dialect = dialect(connection)?;
    let base = Url::parse(&connection.base)
        .map_err(|_| Error::Assembly("the receiver's address is malformed"))?;
    Ok(Some(NewBatch {
        data_version,
        submission: submission.id,
        url: dialect.endpoint(&base).into(),
        body: compressed.map_err(|_| Error::Assembly("compression failed"))?,
        bytes: body.json.len(),
        content: SentBatch {
            part: part_of(&body.manifest),
            manifest: body.manifest,
            dialect,
            conditional: conditional(connection, submission),
            position_after: body.position_after,
            attempts: Attempts::default(),
            looked_up: Places::default(),
            wait: Wait::NONE,
        },
    }))
}

/// A claimed batch as a request.
pub(super) fn outgoing(
    connection: &ConnectionRecord,
    batch: BatchRecord,
    timeout: Duration,
) -> Result<Outgoing, Error> {
    let gzip = connection.receiver.gzip != Some(false);
    Ok(Outgoing {
        batch: batch.id,
        submission: batch.submission,
        entries: batch.content.manifest.len(),
        body: if gzip { batch.body } else { plain(&batch)? },
        url: batch.url,
        gzip,
        timeout,
    })
}

/// A batch's body as it was before it was compressed.
pub(super) fn plain(batch: &BatchRecord) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::with_capacity(batch.bytes);
    GzDecoder::new(batch.body.as_slice())
        .read_to_end(&mut plain)
        .map_err(|_| Error::Assembly("a frozen batch is not readable"))?;
    Ok(plain)
}

/// The part of a submission that entries are of.
fn part_of(manifest: &[ManifestEntry]) -> Part {
    match manifest.first().map(|listed| &listed.item) {
        Some(Item::Resource(_, EntryKind::Device, _)) => Part::Devices,
        Some(Item::Resource(..)) => Part::Summary,
        Some(Item::Reading(..)) | None => Part::Readings,
    }
}
