//! One answer, one transaction: what became of a batch, with ledger, resources, quarantine, the
//! submission's progress, what is known of the receiver, and the connection's state.

use super::outcomes::{remember_all, write_outcomes};
use super::records::{BatchId, BatchRecord, BatchState, SubmissionRecord};
use super::submissions::{cancel, find, save_progress};
use super::{batches, unreadable};
use crate::fhir::EntryKind;
use crate::smart::ReauthorisationCause;
use crate::store::history::{self, Attempt, RefusedEntry};
use crate::store::{
    ConnectionId, ConnectionRecord, ConnectionState, ReadingKey, Store, StoreError, connections,
};
use crate::submission::{
    BlockReason, EntryRecord, Item, ManifestEntry, NextState, ReceiverFacts, Settlement, Wait,
    WaitReason,
};
use rusqlite::Transaction;

/// A batch with everything a decision about it needs.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The connection.
    pub connection: ConnectionRecord,
    /// The submission the batch is part of.
    pub submission: SubmissionRecord,
    /// The batch.
    pub batch: BatchRecord,
}

impl Store {
    /// Writes down what `decide` makes of a batch. What it sees and what is written are one
    /// transaction.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the batch is gone: its connection was ended meanwhile.
    pub fn settle(
        &mut self,
        connection: ConnectionId,
        batch: BatchId,
        decide: impl FnOnce(&Pending) -> Settlement,
    ) -> Result<Settlement, StoreError> {
        let tx = self.write()?;
        let found = batches::pending(&tx, connection)?.filter(|found| found.id == batch);
        let batch = found.ok_or(StoreError::Missing("batch"))?;
        let pending = Pending {
            connection: connections::find(&tx, connection)?,
            submission: find(&tx, batch.submission)?,
            batch,
        };
        let settlement = decide(&pending);
        write(&tx, &pending, &settlement)?;
        tx.commit()?;
        Ok(settlement)
    }

    /// Writes down what an answer proves that came when its batch was gone already: its connection
    /// was ended, or another process had settled it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn record_late(
        &mut self,
        connection: ConnectionId,
        manifest: &[ManifestEntry],
        proved: &[EntryRecord],
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        match connections::find(&tx, connection) {
            // Erased: nothing is kept of it.
            Err(StoreError::Missing(_)) => return Ok(()),
            found => drop(found?),
        }
        write_outcomes(&tx, connection, manifest, proved)?;
        tx.commit()?;
        Ok(())
    }

    /// Ends a batch whose submission cannot be read, and that submission: others go on. What may
    /// have been sent of it rests with unknown outcome; nothing is left to decide by.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn end_unreadable_submission(
        &mut self,
        connection: ConnectionId,
        batch: BatchId,
    ) -> Result<(), StoreError> {
        let tx = self.write()?;
        let found = batches::pending(&tx, connection)?.filter(|found| found.id == batch);
        let Some(batch) = found else { return Ok(()) };
        cancel(&tx, batch.submission)?;
        delete(&tx, batch.id)?;
        if batch.content.attempts.sent > 0 {
            let records = vec![EntryRecord::Unknown; batch.content.manifest.len()];
            write_outcomes(&tx, connection, &batch.content.manifest, &records)?;
        }
        tx.commit()?;
        Ok(())
    }
}

fn delete(tx: &Transaction<'_>, batch: BatchId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM batches WHERE id = ?", [batch.0])?;
    Ok(())
}

fn write(tx: &Transaction<'_>, of: &Pending, settled: &Settlement) -> Result<(), StoreError> {
    let (batch, connection) = (&of.batch, of.connection.id);
    let attempts = &settled.attempts;
    match &settled.next {
        NextState::Ready => {
            let no_wait = (Wait::NONE, WaitReason::OutcomeUnknown);
            batches::save_state(tx, batch.id, BatchState::Ready, attempts, no_wait)?;
        }
        NextState::LookUp(wait, reason) => {
            batches::save_state(tx, batch.id, BatchState::LookUp, attempts, (*wait, *reason))?;
        }
        NextState::Done(records) => {
            delete(tx, batch.id)?;
            write_outcomes(tx, connection, &batch.content.manifest, records)?;
        }
        NextState::TakenApart { may_be_stored } => {
            delete(tx, batch.id)?;
            if *may_be_stored {
                remember_all(tx, connection, batch)?;
            }
        }
    }
    if settled.looked_up != batch.content.looked_up {
        batches::save_looked_up(tx, batch.id, &settled.looked_up)?;
    }
    history::append(tx, &attempt(of, settled))?;
    save_progress(tx, batch.submission, &settled.progress)?;
    if settled.receiver != of.connection.receiver {
        connections::save_receiver(tx, connection, &settled.receiver)?;
    }
    if let Some(reason) = settled.block {
        let state = match reason {
            BlockReason::Reauthorise => ConnectionState::NeedsReauthorisation,
            BlockReason::Consent => ConnectionState::NeedsConsent,
            BlockReason::Configuration => ConnectionState::Misconfigured,
        };
        connections::block(tx, connection, state)?;
        if reason == BlockReason::Reauthorise {
            // No token is asked for any more, whatever it is for.
            connections::edit(tx, connection, |record| {
                record.details.tokens.ended.get_or_insert(ReauthorisationCause::Refused);
            })?;
        }
    }
    Ok(())
}

/// Writes down what the receiver may have of the batch of a connection that ends: nobody is left to
/// hear what became of it. What cannot be repeated safely rests.
pub(in crate::store) fn set_aside_pending(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    receiver: &ReceiverFacts,
) -> Result<(), StoreError> {
    let batch = match batches::pending(tx, connection) {
        Ok(None) => return Ok(()),
        Err(StoreError::Row(_)) => return unreadable::set_aside(tx, connection),
        found => found?.ok_or(StoreError::Missing("batch"))?,
    };
    if batch.state == BatchState::Ready && batch.content.attempts.unknown == 0 {
        return Ok(());
    }
    if batch.state == BatchState::Sending {
        // A receiver that looks before it creates does not find what another request of ours is
        // just creating: the next connection to it waits as this one would have.
        let mut receiver = receiver.clone();
        receiver.outlast(batch.content.wait);
        connections::save_receiver(tx, connection, &receiver)?;
    }
    if receiver.repeats_safely(&batch.content) {
        return remember_all(tx, connection, &batch);
    }
    let records = vec![EntryRecord::Unknown; batch.content.manifest.len()];
    write_outcomes(tx, connection, &batch.content.manifest, &records)
}

/// The attempt as the history keeps it.
fn attempt(of: &Pending, settled: &Settlement) -> Attempt {
    let manifest = &of.batch.content.manifest;
    let records = match &settled.next {
        NextState::Done(records) => records.as_slice(),
        _ => &[],
    };
    let count = |is: fn(&EntryRecord) -> bool| {
        u32::try_from(records.iter().filter(|record| is(record)).count()).unwrap_or(u32::MAX)
    };
    let refused = manifest.iter().zip(records).filter_map(|(listed, record)| {
        let EntryRecord::Refused { reason, status, .. } = record else { return None };
        let (kind, key) = match &listed.item {
            Item::Reading(key, ..) => (EntryKind::Reading, ReadingKey::from_packed(*key)),
            Item::Resource(_, kind, _) => (*kind, None),
        };
        let kind = kind.code().to_owned();
        Some(RefusedEntry { kind, key, status: Some(*status), reason: reason.clone() })
    });
    Attempt {
        connection: of.connection.id,
        submission: of.submission.id,
        at: settled.at,
        ended: settled.outcome.to_owned(),
        status: settled.status,
        bytes: of.batch.bytes as u64,
        entries: u32::try_from(manifest.len()).unwrap_or(u32::MAX),
        accepted: count(|record| matches!(record, EntryRecord::Delivered { .. })),
        deferred: count(|record| matches!(record, EntryRecord::Deferred)),
        refused: refused.collect(),
    }
}
