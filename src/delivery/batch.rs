//! A batch on its way: assembled and compressed to be frozen, and a claimed one as a request.

use super::assemble::{conditional, dialect, next_body};
use crate::error::Error;
use crate::store::{
    BatchId, BatchRecord, ConnectionRecord, NewBatch, Store, SubmissionId, SubmissionRecord,
};
use chrono::{DateTime, Utc};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::io::{Read, Write};
use url::Url;

/// A request to send.
pub struct Outgoing {
    /// The batch it carries.
    pub batch: BatchId,
    /// The submission it is part of.
    pub submission: SubmissionId,
    /// Where it goes.
    pub url: String,
    /// The body, with gzip where `gzip` says so.
    pub body: Vec<u8>,
    /// Whether the body is compressed.
    pub gzip: bool,
    /// Entries in it.
    pub entries: usize,
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
    let seen = store.seen()?;
    let Some(body) = next_body(store, connection, submission, now)? else { return Ok(None) };
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.json.len() / 16), Compression::fast());
    let compressed = encoder.write_all(&body.json).and_then(|()| encoder.finish());
    Ok(Some(NewBatch {
        seen,
        submission: submission.id,
        body: compressed.map_err(|_| Error::Assembly("compression failed"))?,
        bytes: body.json.len(),
        manifest: body.manifest,
        conditional: conditional(connection, submission),
        position_after: body.position_after,
    }))
}

/// A claimed batch as a request.
pub(super) fn outgoing(
    connection: &ConnectionRecord,
    batch: BatchRecord,
) -> Result<Outgoing, Error> {
    let gzip = connection.details.gzip != Some(false);
    let body = if gzip {
        batch.body
    } else {
        let mut plain = Vec::with_capacity(batch.bytes);
        let inflated = GzDecoder::new(batch.body.as_slice()).read_to_end(&mut plain);
        inflated.map_err(|_| Error::Assembly("a frozen batch is not readable"))?;
        plain
    };
    let base = Url::parse(&connection.base)
        .map_err(|_| Error::Assembly("the receiver's address is malformed"))?;
    let url = dialect(connection)?.endpoint(&base).into();
    Ok(Outgoing {
        batch: batch.id,
        submission: batch.submission,
        url,
        body,
        gzip,
        entries: batch.manifest.len(),
    })
}
