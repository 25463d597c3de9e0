//! What happens to a reading that is corrected or moves: whether its present version is the store's
//! own to overwrite, or is kept because someone has seen it.
//!
//! A version that a receiver has seen, or is about to see, is never overwritten: a correction then
//! makes a new one.

use super::readings::{self, StoredReading};
use super::unit::UNITS;
use super::versions::Held;
use super::{ReadingKey, StoreError, ledger, outbox, quarantine, versions};
use crate::glucose::GlucoseUnit;
use rusqlite::Transaction;

/// The units in which anything pins a version of the reading at `key`: the ledger (accepted), the
/// quarantine (refused), the outbox (frozen in a batch that is not done). Everything that shows
/// readings to receivers answers here.
pub(super) fn claimed_in(
    tx: &Transaction<'_>,
    key: ReadingKey,
    version: u32,
) -> Result<Vec<GlucoseUnit>, StoreError> {
    if outbox::is_frozen(tx, key)? {
        return Ok(UNITS.to_vec());
    }
    let mut units: Vec<_> = ledger::covering(tx, key)?.into_iter().map(|(_, unit)| unit).collect();
    units.extend(quarantine::refused_in(tx, key, version)?);
    units.extend(versions::remembered_in(tx, key, version)?);
    Ok(units)
}

/// Keeps the current version as an earlier one, if someone has seen it. True if so. If the ledger
/// covers the reading, its key goes to `cuts`: the caller takes them out together, once for a
/// batch.
pub(super) fn supersede(
    tx: &Transaction<'_>,
    reading: &StoredReading,
    cuts: &mut Vec<ReadingKey>,
) -> Result<bool, StoreError> {
    let version = reading.version(tx)?;
    let holders = ledger::covering(tx, reading.key)?;
    if holders.is_empty() && claimed_in(tx, reading.key, version)?.is_empty() {
        return Ok(false);
    }
    reading.keep_as(tx, version)?;
    for holder in &holders {
        versions::remember(tx, *holder, (reading.key, version), Held::Accepted)?;
    }
    if !holders.is_empty() {
        cuts.push(reading.key);
    }
    Ok(true)
}

/// Takes a reading away because its record now stands at `target`. True if someone has seen it;
/// `cuts` as for [`supersede`].
pub(super) fn move_away(
    tx: &Transaction<'_>,
    reading: &StoredReading,
    target: ReadingKey,
    cuts: &mut Vec<ReadingKey>,
) -> Result<bool, StoreError> {
    let seen = supersede(tx, reading, cuts)?;
    readings::remove(tx, reading.key)?;
    versions::move_along(tx, reading.key, target)?;
    Ok(seen)
}
