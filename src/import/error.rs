//! Why a whole file is refused. What is wrong with one row is a
//! [`ReadingError`](crate::glucose::ReadingError) instead.

use super::{MAX_BYTES, MAX_ROW_BYTES, MAX_ROWS, MAX_SENSORS, TimesLike};
use crate::glucose::GlucoseUnit;

/// Why a whole file is refused. Quotes nothing from the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// None of the accepted formats.
    #[error(
        "{}not a file this can import: give a Dexcom Clarity CSV, a CSV with the columns time, \
         value and unit, or the same fields as one JSON object a line",
        .recognised.map_or_else(String::new, |what| format!("this looks like {what}, "))
    )]
    UnknownFormat {
        /// What it looks like, if that can be told.
        recognised: Option<&'static str>,
    },
    /// Not UTF-8.
    #[error(
        "{}: save the file as UTF-8",
        .row.map_or_else(
            || "the text is UTF-16".to_owned(),
            |row| format!("row {row} is not UTF-8")
        )
    )]
    Encoding {
        /// The first row that is not UTF-8; `None` for UTF-16.
        row: Option<usize>,
    },
    /// The file has local times only, and no time zone was given.
    #[error(
        "the file has local times without UTC offsets: say in which time zone the person lives"
    )]
    TimeZoneRequired,
    /// A device of no known model says "Low" or "High", and its scale was not given.
    #[error(
        "row {row} says Low or High, and its device's model is not known: say the lowest and the \
         highest value the device shows"
    )]
    ScaleRequired {
        /// The first such row's line number, from 1.
        row: usize,
    },
    /// Two columns have one name.
    #[error("columns {first} and {second} have one name: give each its own, or leave one out")]
    DoubledColumn {
        /// The earlier column, from 1.
        first: usize,
        /// The later one.
        second: usize,
    },
    /// The lines end with carriage returns alone.
    #[error(
        "the lines end with bare carriage returns, as old spreadsheet programs write them: save \
         the file with Windows or Unix line ends"
    )]
    LineEnds,
    /// The header is not the first row.
    #[error("the header is in row {row}: delete the rows above it")]
    HeaderBelow {
        /// Its line number, from 1.
        row: usize,
    },
    /// The open format with other delimiters than commas.
    #[error(
        "the columns time, value and unit are separated by {delimiter}: save the file with commas \
        between them"
    )]
    Delimiter {
        /// What separates them: `semicolons` or `tabs`.
        delimiter: &'static str,
    },
    /// Most times are written in a way that is not taken.
    #[error("{like}")]
    Times {
        /// How.
        like: TimesLike,
    },
    /// A Clarity header without a unit.
    #[error("the header names neither mg/dL nor mmol/L: export the file again")]
    Unit,
    /// The values are in the other unit than the file says.
    #[error(
        "{count} of {of} values can only be {like} and the file says {stated}, so its unit is \
         wrong: export the file again, or correct the unit"
    )]
    WrongUnit {
        /// What the file says.
        stated: GlucoseUnit,
        /// What the values look like.
        like: GlucoseUnit,
        /// How many of the values.
        count: usize,
        /// Of how many.
        of: usize,
    },
    /// The devices cannot have shown these values.
    #[error(
        "{count} of {of} values are outside what their device shows: check the device's model, the \
         unit, and the lowest and highest value if you gave them"
    )]
    OffScale {
        /// How many of the values.
        count: usize,
        /// Of how many.
        of: usize,
    },
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
