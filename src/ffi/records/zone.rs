//! A time zone as the host tells it: its name, and its offsets.

use super::instant;
use crate::glucose::{TimeError, UtcOffset, ZoneOffsets};
use std::time::SystemTime;

/// A UTC offset and the instant from which it holds.
#[derive(Clone, Debug, uniffi::Record)]
pub struct OffsetChange {
    /// From when on.
    pub from: SystemTime,
    /// Minutes east of UTC.
    pub utc_offset_minutes: i32,
}

/// The zone a host names by its offsets.
pub(in crate::ffi) fn zone_offsets(
    name: String,
    changes: Vec<OffsetChange>,
) -> Result<ZoneOffsets, TimeError> {
    let offsets = changes.into_iter().map(|change| {
        let from = instant(change.from)?.timestamp();
        Ok((from, UtcOffset::from_minutes(change.utc_offset_minutes)?))
    });
    ZoneOffsets::new(name, offsets.collect::<Result<_, TimeError>>()?)
}
