//! What is known of a batch's entries, written to the ledger, the resources and the quarantine.

use super::reading_key;
use super::records::BatchRecord;
use crate::glucose::GlucoseUnit;
use crate::store::resources::{self, SentResource, SentStatus};
use crate::store::unit::UNITS;
use crate::store::versions::Held;
use crate::store::{ConnectionId, ReadingKey, StoreError, quarantine, settlement};
use crate::submission::{EntryRecord, Item, ManifestEntry};
use rusqlite::Transaction;

/// Entry outcomes to ledger, resources and quarantine.
pub(super) fn write_outcomes(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    manifest: &[ManifestEntry],
    records: &[EntryRecord],
) -> Result<(), StoreError> {
    let mut delivered: Vec<(GlucoseUnit, (ReadingKey, u32))> = Vec::new();
    for (listed, record) in manifest.iter().zip(records) {
        match &listed.item {
            Item::Reading(key, version, unit) => {
                let reading = (reading_key(*key)?, *version);
                match record {
                    EntryRecord::Delivered { .. } => delivered.push((*unit, reading)),
                    EntryRecord::Refused { reason, .. } => {
                        quarantine::quarantine(tx, connection, *unit, reading, reason)?;
                    }
                    EntryRecord::Unknown => {
                        settlement::set_aside(tx, (connection, *unit), reading)?;
                    }
                    EntryRecord::Deferred => {}
                }
            }
            Item::Resource(identifier, kind, covered) => {
                let (location, status) = match record {
                    EntryRecord::Delivered { location } => {
                        (location.clone(), SentStatus::Delivered)
                    }
                    EntryRecord::Refused { reason, location, .. } => {
                        (location.clone(), SentStatus::Refused(reason.clone()))
                    }
                    EntryRecord::Unknown => (None, SentStatus::Unknown),
                    EntryRecord::Deferred => continue,
                };
                let sent =
                    SentResource::new((identifier.as_str(), *kind, *covered), location, status);
                resources::record_resource(tx, connection, &sent)?;
            }
        }
    }
    for unit in UNITS {
        let of_unit: Vec<_> =
            delivered.iter().filter(|(u, _)| *u == unit).map(|(_, reading)| *reading).collect();
        if !of_unit.is_empty() {
            settlement::record_accepted(tx, connection, unit, &of_unit)?;
        }
    }
    Ok(())
}

/// Remembers that the receiver may have what it was sent: a correction says what it corrects.
pub(super) fn remember_all(
    tx: &Transaction<'_>,
    connection: ConnectionId,
    batch: &BatchRecord,
) -> Result<(), StoreError> {
    for listed in &batch.content.manifest {
        if let Item::Reading(key, version, unit) = listed.item {
            let reading = (reading_key(key)?, version);
            settlement::remember(tx, (connection, unit), reading, Held::MayHave)?;
        }
    }
    Ok(())
}
