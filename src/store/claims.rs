//! Whether a version of a reading is still the store's own to overwrite.
//!
//! A version that a receiver has seen, or is about to see, is never overwritten: a correction then
//! makes a new one.

use super::{ReadingKey, StoreError, ledger, outbox, quarantine};
use rusqlite::Transaction;

/// Whether anything pins this version of the reading at `key`: the ledger (accepted), the
/// quarantine (refused), the outbox (frozen in a batch that is not done). Everything that shows
/// readings to receivers answers here.
pub(super) fn is_claimed(
    tx: &Transaction<'_>,
    key: ReadingKey,
    version: u32,
) -> Result<bool, StoreError> {
    Ok(!ledger::covering(tx, key)?.is_empty()
        || quarantine::holds(tx, key, version)?
        || ledger::remembers(tx, key, version)?
        || outbox::is_frozen(tx, key)?)
}
