//! The unit a reading is sent in, as the database keeps it: a connection may have been asked for
//! both, and each is an account of its own.

use crate::glucose::GlucoseUnit;
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

/// Both units, in the order of their numbers here.
pub(super) const UNITS: [GlucoseUnit; 2] = [GlucoseUnit::MgPerDl, GlucoseUnit::MmolPerL];

impl ToSql for GlucoseUnit {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::MgPerDl => 0,
            Self::MmolPerL => 1,
        }
        .into())
    }
}

impl FromSql for GlucoseUnit {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::MgPerDl),
            1 => Ok(Self::MmolPerL),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}
