//! A maker's record key as its column has it.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use std::borrow::Cow;

/// A record key: a text as it came, or a packed count.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Record<'a> {
    Text(Cow<'a, str>),
    /// The count above the number of its series.
    Count(i64),
}

impl ToSql for Record<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Text(text) => text.to_sql(),
            Self::Count(count) => count.to_sql(),
        }
    }
}

impl FromSql for Record<'static> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Integer(count) => Ok(Self::Count(count)),
            ValueRef::Text(_) => Ok(Self::Text(value.as_str()?.to_owned().into())),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}
