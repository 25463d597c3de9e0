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
//! | CSV with the columns `time`, `value`, `unit`, in any order; optional `device`, `status` | every row |
//! | the same fields as one JSON object a line | every line |

mod clarity;
mod error;
mod format;
mod open;
mod text;
mod ticks;

pub use error::ImportError;

use crate::glucose::{Reading, ReadingError, RecordKey, Sensor, SensorKey, ZoneOffsets};
use chrono::{DateTime, Utc};
use format::Recognised;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// Bytes a file may have.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Bytes a row may have.
pub const MAX_ROW_BYTES: usize = 16 * 1024;
/// Rows a file may have: nineteen years of five minutes.
pub const MAX_ROWS: usize = 2_000_000;
/// Sensors a file may name.
pub const MAX_SENSORS: usize = 1_000;

/// Where the store has a record: the unix second under which it stored this sensor's record of this
/// key, if any.
pub type StoredInstant<'a> = &'a dyn Fn(&SensorKey, &RecordKey) -> Option<i64>;

/// What an import has to know besides the file.
#[derive(Clone)]
pub struct ImportOptions<'a> {
    now: DateTime<Utc>,
    zone: Option<ZoneOffsets>,
    known: HashMap<SensorKey, Sensor>,
    stored: Option<StoredInstant<'a>>,
}

impl<'a> ImportOptions<'a> {
    /// An import at `now`. Readings more than a day later are refused.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self { now, zone: None, known: HashMap::new(), stored: None }
    }

    /// With the time zone the person lives in, over the whole stretch of the file: a file with
    /// local times needs it.
    #[must_use]
    pub fn with_zone(mut self, zone: ZoneOffsets) -> Self {
        self.zone = Some(zone);
        self
    }

    /// With the sensors that are stored already. The tick epoch of one binds: its readings are
    /// placed by it, and a file that would place them elsewhere is refused.
    #[must_use]
    pub fn with_known(mut self, sensors: impl IntoIterator<Item = Sensor>) -> Self {
        self.known = sensors.into_iter().map(|sensor| (sensor.key().clone(), sensor)).collect();
        self
    }

    /// With a look into the store, for files whose rows have nothing but a local time: a row that
    /// is stored at another instant already is refused.
    #[must_use]
    pub const fn with_stored(mut self, stored: StoredInstant<'a>) -> Self {
        self.stored = Some(stored);
        self
    }

    fn known(&self, key: &SensorKey) -> Option<&Sensor> {
        self.known.get(key)
    }

    /// The sensor as stored, or as `found` in the file.
    fn known_or(&self, found: Sensor) -> Sensor {
        self.known(found.key()).cloned().unwrap_or(found)
    }
}

/// Says no identifier: a sensor's key holds its serial number.
impl fmt::Debug for ImportOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportOptions")
            .field("now", &self.now)
            .field("zone", &self.zone.as_ref().map(ZoneOffsets::name))
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
pub struct ImportedReading {
    /// The line in the file, from 1.
    pub row: usize,
    /// The reading.
    pub reading: Reading,
}

/// A row that holds a reading which cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// The line in the file, from 1.
    pub row: usize,
    /// Why.
    pub reason: ReadingError,
}

/// Rows that are no readings, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkippedRows {
    /// Alerts and alert settings.
    pub alerts: usize,
    /// Fingersticks entered to calibrate.
    pub calibrations: usize,
    /// Insulin doses.
    pub insulin: usize,
    /// Everything else: names, devices, carbohydrates, exercise.
    pub other: usize,
    /// The same reading once more; of two different ones of a sensor at one instant the first,
    /// which the later row corrects.
    pub repeated: usize,
}

/// What a file gave.
#[derive(Clone, PartialEq, Eq)]
pub struct Import {
    /// The file's format.
    pub format: Format,
    /// The sensors of the readings, to be registered before them.
    pub sensors: Vec<Sensor>,
    /// The readings in order of time, no two of one sensor at one instant.
    pub readings: Vec<ImportedReading>,
    /// The rows that could not be taken, in the file's order.
    pub rejected: Vec<RejectedRow>,
    /// The rows that are no readings.
    pub skipped: SkippedRows,
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
            .finish()
    }
}

/// Reads one file. A row that cannot be taken is reported and the others go in.
///
/// ```
/// use cgm_submitter::import::{ImportOptions, import};
/// let file = "time,value,unit\n2024-05-01T08:15:00+02:00,6.7,mmol/L\n2024-05-01T08:20:00+02:00,1e2,mg/dL\n";
/// let import = import(file.as_bytes(), &ImportOptions::new("2024-05-02T00:00:00Z".parse()?))?;
/// assert_eq!(import.readings.len(), 1);
/// assert_eq!(import.rejected[0].row, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ImportError`] where the file as a whole is not taken: another format, no time zone for local
/// times, beyond a cap.
pub fn import(bytes: &[u8], options: &ImportOptions<'_>) -> Result<Import, ImportError> {
    let text = text::decode(bytes)?;
    text::check_size(text)?;
    let recognised = format::recognise(text)?;
    let mut found = Found::new(recognised.format(), options.now);
    match recognised {
        Recognised::Clarity { layout, header } => {
            clarity::read(text, &layout, header, options, &mut found)?;
        }
        Recognised::Csv { columns, header } => {
            open::read_csv(text, &columns, header, options, &mut found)?;
        }
        Recognised::Ndjson => open::read_ndjson(text, options, &mut found)?,
    }
    Ok(found.finish())
}

/// What has been found in a file so far.
struct Found {
    now: DateTime<Utc>,
    sensors: BTreeMap<SensorKey, Sensor>,
    import: Import,
}

impl Found {
    fn new(format: Format, now: DateTime<Utc>) -> Self {
        let skipped = SkippedRows::default();
        let import = Import {
            format,
            sensors: Vec::new(),
            readings: Vec::new(),
            rejected: Vec::new(),
            skipped,
        };
        Self { now, sensors: BTreeMap::new(), import }
    }

    fn sensor(&mut self, sensor: Sensor) {
        self.sensors.insert(sensor.key().clone(), sensor);
    }

    fn row(&mut self, row: usize, reading: Result<Reading, ReadingError>) {
        match reading.and_then(|reading| reading.check(self.now).map(|()| reading)) {
            Ok(reading) => self.import.readings.push(ImportedReading { row, reading }),
            Err(reason) => self.reject(row, reason),
        }
    }

    fn reject(&mut self, row: usize, reason: ReadingError) {
        self.import.rejected.push(RejectedRow { row, reason });
    }

    fn finish(self) -> Import {
        let mut import = self.import;
        import.readings.sort_by(|a, b| {
            let by_sensor = || a.reading.sensor().cmp(b.reading.sensor());
            a.reading
                .seconds()
                .cmp(&b.reading.seconds())
                .then_with(by_sensor)
                .then(a.row.cmp(&b.row))
        });
        let all = import.readings.len();
        // The later row stands: what a file says last is its correction.
        import.readings.dedup_by(|later, kept| {
            let same = later.reading.seconds() == kept.reading.seconds()
                && later.reading.sensor() == kept.reading.sensor();
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        import.skipped.repeated += all - import.readings.len();
        import.rejected.sort_by_key(|rejected| rejected.row);
        let read: HashSet<_> = import.readings.iter().map(|found| found.reading.sensor()).collect();
        import.sensors =
            self.sensors.into_values().filter(|sensor| read.contains(sensor.key())).collect();
        import
    }
}
