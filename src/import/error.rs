//! Why a whole file is refused. What is wrong with one row is a
//! [`ReadingError`](crate::glucose::ReadingError) instead.

use super::{MAX_BYTES, MAX_ROW_BYTES, MAX_ROWS, MAX_SENSORS};

/// Why a whole file is refused. Quotes nothing from the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// None of the accepted formats.
    #[error(
        "{}not a file this can import: give a Dexcom Clarity CSV, a CSV with the columns time, value and unit, or the same \
         fields as one JSON object a line",
        .recognised.map_or_else(String::new, |what| format!("this looks like {what}, "))
    )]
    UnknownFormat {
        /// What it looks like, where that can be told.
        recognised: Option<&'static str>,
    },
    /// Not UTF-8.
    #[error("{}: save the file as UTF-8", .row.map_or_else(|| "the text is UTF-16".to_owned(), |row| format!("row {row} is not UTF-8")))]
    Encoding {
        /// The first row that is not UTF-8; none for UTF-16.
        row: Option<usize>,
    },
    /// The file has local times only, and no time zone was given.
    #[error(
        "the file has local times without UTC offsets: say in which time zone the person lives"
    )]
    TimeZoneRequired,
    /// A Clarity header without a unit.
    #[error("the header names neither mg/dL nor mmol/L: export the file again")]
    Unit,
    /// More bytes than a file may have.
    #[error("the file has more than {MAX_BYTES} bytes: export a shorter stretch of time")]
    TooLarge,
    /// A row longer than any reading needs.
    #[error("row {row} has more than {MAX_ROW_BYTES} bytes: check that this is the right file")]
    RowTooLong {
        /// Its line number, from 1.
        row: usize,
    },
    /// More rows than a file may have.
    #[error("the file has more than {MAX_ROWS} rows: export a shorter stretch of time")]
    TooManyRows,
    /// More sensors than one person wears.
    #[error("the file names more than {MAX_SENSORS} sensors: check that it is one person's file")]
    TooManySensors,
}
