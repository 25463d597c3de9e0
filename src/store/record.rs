//! A maker's record key: as batches are compared by it, and as its column has it.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use std::borrow::Cow;

/// What a record key is, wherever its reading stands.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Record<'a> {
    /// A text as it came.
    Text(Cow<'a, str>),
    /// A count within a series; the series by its place among those of the batch.
    Count(usize, u32),
}

/// A record key as it is stored with the reading at a key.
#[derive(Clone)]
pub(super) enum StoredRecord<'a> {
    Text(Cow<'a, str>),
    /// A part of a series, and how far the count lags within it.
    Count(i64),
}

impl FromSql for StoredRecord<'static> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Integer(count) => Ok(Self::Count(count)),
            ValueRef::Text(_) => Ok(Self::Text(value.as_str()?.to_owned().into())),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}
