//! Vendor files and open formats to readings.
//!
//! [`import`] takes the bytes of one file and gives its readings, placed in time, with what it
//! could not take and why, row by row. It stores nothing, and knows no clock, no time zone database
//! and no disk: the caller says the time, the person's time zone and what is stored already.
//!
//! Accepted, recognised by content:
//!
//! | format | what is taken |
//! | --- | --- |
//! | Dexcom Clarity CSV | the `EGV` rows; alerts, calibrations, insulin and the rest are counted |
//! | CSV with `time`, `value`, `unit`, in any order; optional `device`, `status` | every row |
//! | the same fields as one JSON object a line | every line |

mod clarity;
mod clock;
mod error;
mod foreign;
mod format;
mod found;
mod header;
mod open;
mod options;
mod scales;
mod text;
mod times;

pub use clock::{ClockAnswer, ClockBasis, ClockEvent, ClockNote};
pub use error::ImportError;
pub use options::{ImportOptions, StoredReadings};
pub use times::TimesLike;

use crate::glucose::{Reading, ReadingError, Sensor};
use format::Recognised;
use found::Gathered;
use std::fmt;

/// Bytes a file may have.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Bytes a row may have.
pub const MAX_ROW_BYTES: usize = 16 * 1024;
/// Rows a file may have: nineteen years of five minutes.
pub const MAX_ROWS: usize = 2_000_000;
/// Sensors a file may name.
pub const MAX_SENSORS: usize = 1_000;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Dexcom Clarity CSV.
    DexcomClarity,
    /// CSV with the columns `time`, `value`, `unit` and perhaps `device`, `status`.
    Csv,
    /// The same fields as one JSON object a line.
    Ndjson,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DexcomClarity => "Dexcom Clarity CSV",
            Self::Csv => "CSV",
            Self::Ndjson => "JSON lines",
        })
    }
}

/// A reading and the row it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedReading {
    /// The line in the file, from 1.
    pub row: usize,
    /// The reading.
    pub reading: Reading,
}

/// A row that holds a reading which cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectedRow {
    /// The line in the file, from 1.
    pub row: usize,
    /// Why.
    pub reason: ReadingError,
}

/// Rows that are no readings, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedRows {
    /// Alerts and alert settings.
    pub alerts: usize,
    /// Fingersticks entered to calibrate.
    pub calibrations: usize,
    /// Insulin doses.
    pub insulin: usize,
    /// Everything else: names, devices, carbohydrates, exercise.
    pub other: usize,
    /// The same reading once more.
    pub repeated: usize,
}

/// What a file gave.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Import {
    /// The file's format.
    pub format: Format,
    /// The sensors of the readings, to be registered before them.
    pub sensors: Vec<Sensor>,
    /// The readings in order of time, no two of one sensor at one instant.
    pub readings: Vec<ImportedReading>,
    /// Stored readings that the file does not have, and shows to stand at another instant: to be
    /// stored with its own.
    pub mended: Vec<Reading>,
    /// The rows that could not be taken, in the file's order.
    pub rejected: Vec<RejectedRow>,
    /// The rows that are no readings.
    pub skipped: SkippedRows,
    /// What the person's time zone does not explain about the device's clock, and what was taken
    /// for it.
    pub clock_notes: Vec<ClockNote>,
}

/// Says how much, never what.
impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import")
            .field("format", &self.format)
            .field("sensors", &self.sensors.len())
            .field("readings", &self.readings.len())
            .field("rejected", &self.rejected.len())
            .field("skipped", &self.skipped)
            .field("mended", &self.mended.len())
            .field("clock_notes", &self.clock_notes.len())
            .finish()
    }
}

/// Reads one file. A row that cannot be taken is reported and the others go in.
///
/// ```
/// use cgm_submitter::import::{ImportOptions, import};
/// let file = "time,value,unit\n\
///     2024-05-01T08:15:00+02:00,6.7,mmol/L\n\
///     2024-05-01T08:20:00+02:00,1e2,mg/dL\n";
/// let import = import(file.as_bytes(), &ImportOptions::new("2024-05-02T00:00:00Z".parse()?))?;
/// assert_eq!(import.readings.len(), 1);
/// assert_eq!(import.rejected[0].row, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ImportError`] if the file as a whole is not taken: another format, no time zone for local
/// times, no scale for "Low" and "High", beyond a cap.
pub fn import(bytes: &[u8], options: &ImportOptions<'_>) -> Result<Import, ImportError> {
    let text = text::decode(bytes)?;
    text::check_size(text)?;
    let recognised = format::recognise(text)?;
    let mut found = Gathered::new(recognised.format(), options.now);
    match recognised {
        Recognised::Clarity { layout, header } => {
            clarity::read(text, &layout, header, options, &mut found)?;
        }
        Recognised::Csv { columns, header } => {
            open::read_csv(text, &columns, header, options, &mut found)?;
        }
        Recognised::Ndjson => open::read_ndjson(text, options, &mut found)?,
    }
    found.finish()
}
