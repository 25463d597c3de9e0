//! The plain records that cross the border, and how they map to the SDK's types.

pub(super) mod connections;
pub(super) mod dates;
pub(super) mod imports;
pub(super) mod orders;
pub(super) mod outcomes;
pub(super) mod readings;
pub(super) mod runs;
pub(super) mod submissions;
pub(super) mod summary;
pub(super) mod verification;
pub(super) mod zone;

use crate::{glucose, store};
use chrono::{DateTime, Utc};
use std::time::{SystemTime, UNIX_EPOCH};

/// Prints a record that holds a person's data by its name and nothing else, in every form another
/// language has for it: `toString`, `str`, `repr`, string interpolation, a logged exception.
macro_rules! hidden {
    ($($record:ident),+) => {$(
        impl std::fmt::Debug for $record {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($record), "(…)"))
            }
        }

        impl std::fmt::Display for $record {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self, f)
            }
        }
    )+};
}
pub(super) use hidden;

/// A connection's number in this database. A type of its own: no other number is taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, uniffi::Record)]
pub struct ConnectionId {
    /// The number, to be kept by the app.
    pub value: i64,
}

/// A submission's number in this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, uniffi::Record)]
pub struct SubmissionId {
    /// The number, to be kept by the app.
    pub value: i64,
}

impl From<store::ConnectionId> for ConnectionId {
    fn from(id: store::ConnectionId) -> Self {
        Self { value: id.0 }
    }
}

impl From<ConnectionId> for store::ConnectionId {
    fn from(id: ConnectionId) -> Self {
        Self(id.value)
    }
}

impl From<store::SubmissionId> for SubmissionId {
    fn from(id: store::SubmissionId) -> Self {
        Self { value: id.0 }
    }
}

impl From<SubmissionId> for store::SubmissionId {
    fn from(id: SubmissionId) -> Self {
        Self(id.value)
    }
}

/// A count as other languages have it: signed.
pub(super) fn count(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// A host's instant; a host can name one that no calendar has.
pub(super) fn instant(time: SystemTime) -> Result<DateTime<Utc>, glucose::TimeError> {
    let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()), since.subsec_nanos()),
        // Rounded away from the epoch: nothing before it is a reading's time.
        Err(before) => (i64::try_from(before.duration().as_secs()).map(|s| -s - 1), 0),
    };
    seconds
        .ok()
        .and_then(|s| DateTime::from_timestamp(s, nanos))
        .ok_or(glucose::TimeError::Unreadable)
}
