//! Where the cells of a Clarity file stand, and what a glucose cell says.

use super::super::scales::Scales;
use super::super::text;
use super::super::{ImportError, header};
use crate::glucose::{GlucoseError, GlucoseUnit, GlucoseValue, ReadingError};
use std::borrow::Cow;

/// The event type of a reading, in every language.
pub(super) const READING: &str = "EGV";
/// How many columns the known forms have.
const COLUMNS: std::ops::RangeInclusive<usize> = 12..=14;
/// The columns read, by how their English names begin. The first three must be there.
const NAMES: [&str; 7] = [
    "timestamp (",
    "event type",
    "glucose value",
    "device info",
    "source device id",
    "transmitter time",
    "transmitter id",
];
/// What the export says beyond the device's scale, by language.
const LOW: [&str; 9] = ["low", "niedrig", "bas", "bajo", "basso", "baixo", "laag", "låg", "lav"];
const HIGH: [&str; 9] = ["high", "hoch", "haut", "alto", "élevé", "hoog", "hög", "høj", "høy"];

/// Where the cells of a Clarity file stand.
pub(in crate::import) struct Layout {
    pub(super) delimiter: char,
    pub(super) columns: usize,
    pub(super) stamp: usize,
    pub(super) event: usize,
    pub(super) device: usize,
    pub(super) source: usize,
    pub(super) glucose: usize,
    pub(super) tick: Option<usize>,
    pub(super) transmitter: Option<usize>,
    pub(super) unit: GlucoseUnit,
    /// Whether the decimal point may be a comma: in another language than English, and where commas
    /// do not part the cells.
    decimal_comma: bool,
}

/// What a glucose cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GlucoseCell {
    Value(GlucoseValue),
    Low,
    High,
}

impl GlucoseCell {
    /// Whether both say the same, if perhaps with other digits: 5.6 and 5.60.
    pub(super) fn says_the_same_as(self, other: Self) -> bool {
        match (self, other) {
            (Self::Value(a), Self::Value(b)) => a.is_same_as(b),
            _ => self == other,
        }
    }

    /// How many digits follow the decimal point.
    pub(super) const fn decimals(self) -> u8 {
        match self {
            Self::Value(value) => value.scale(),
            Self::Low | Self::High => 0,
        }
    }
}

impl Layout {
    /// By the English column names; `None` if it has others.
    pub(in crate::import) fn by_name(
        line: &str,
        delimiter: char,
    ) -> Option<Result<Self, ImportError>> {
        let mut cells = Vec::new();
        text::split(line, delimiter, &mut cells);
        let names: Vec<_> = cells.iter().map(|cell| text::column_name(cell)).collect();
        let [stamp, event, glucose, device, source, tick, transmitter] =
            NAMES.map(|name| names.iter().position(|cell| cell.starts_with(name)));
        let (stamp, event, glucose) = (stamp?, event?, glucose?);
        let layout = || {
            header::refuse_doubled(&names, &NAMES)?;
            Ok(Self {
                delimiter,
                columns: names.len(),
                stamp,
                event,
                device: device.unwrap_or(usize::MAX),
                source: source.unwrap_or(usize::MAX),
                glucose,
                tick,
                transmitter,
                unit: unit(names.get(glucose).map_or("", String::as_str))?,
                decimal_comma: delimiter != ',',
            })
        };
        Some(layout())
    }

    /// By the positions of the known forms, for a header in another language; `None` for another
    /// number of columns.
    pub(in crate::import) fn by_position(
        line: &str,
        delimiter: char,
    ) -> Option<Result<Self, ImportError>> {
        let mut cells = Vec::new();
        text::split(line, delimiter, &mut cells);
        let names: Vec<_> = cells.iter().map(|cell| text::column_name(cell)).collect();
        let columns = cells.len();
        let ticks = columns == *COLUMNS.end();
        let layout = || {
            header::refuse_doubled(&names, &[])?;
            Ok(Self {
                delimiter,
                columns,
                stamp: 1,
                event: 2,
                device: 5,
                source: 6,
                glucose: 7,
                tick: ticks.then_some(12),
                transmitter: ticks.then_some(13),
                unit: unit(names.get(7).map_or("", String::as_str))?,
                decimal_comma: true,
            })
        };
        COLUMNS.contains(&columns).then(layout)
    }

    /// Whether a row is a reading by the positions of the known forms.
    pub(in crate::import) fn is_reading(row: &str, delimiter: char) -> bool {
        let mut cells = Vec::new();
        text::split(row, delimiter, &mut cells);
        COLUMNS.contains(&cells.len()) && cells.get(2).is_some_and(|event| event == READING)
    }

    /// Refuses a row that a decimal comma without quotes, or a stray delimiter, has split: more
    /// cells than the header has, or something in the insulin cell of a reading.
    pub(super) fn refuse_split(&self, cells: &[Cow<'_, str>]) -> Result<(), ReadingError> {
        let says = |cell: &Cow<'_, str>| !cell.trim().is_empty();
        let surplus = cells.iter().skip(self.columns).any(says);
        let after_value = self.glucose + 1;
        let beside = ![self.tick, self.transmitter].contains(&Some(after_value))
            && after_value < self.columns
            && cells.get(after_value).is_some_and(says);
        if surplus || beside { Err(ReadingError::SurplusCells) } else { Ok(()) }
    }

    /// What a glucose cell says. A number of the other unit is counted as such.
    pub(super) fn glucose(
        &self,
        cell: &str,
        scales: &mut Scales,
    ) -> Result<GlucoseCell, ReadingError> {
        if cell.is_empty() {
            return Err(ReadingError::Column("Glucose Value"));
        }
        if cell.starts_with(char::is_alphabetic) {
            let word = cell.to_lowercase();
            return if LOW.contains(&word.as_str()) {
                Ok(GlucoseCell::Low)
            } else if HIGH.contains(&word.as_str()) {
                Ok(GlucoseCell::High)
            } else {
                Err(GlucoseError::NotANumber.into())
            };
        }
        let value = if self.decimal_comma {
            Cow::Owned(cell.replacen(',', ".", 1))
        } else {
            Cow::Borrowed(cell)
        };
        let parsed = GlucoseValue::parse(&value, self.unit).map_err(ReadingError::Value);
        let parsed = parsed.map_err(|reason| scales.impossible(&value, self.unit, reason))?;
        Ok(GlucoseCell::Value(parsed))
    }
}

fn unit(header: &str) -> Result<GlucoseUnit, ImportError> {
    match (header.contains("mmol"), header.contains("mg")) {
        (true, _) => Ok(GlucoseUnit::MmolPerL),
        (false, true) => Ok(GlucoseUnit::MgPerDl),
        (false, false) => Err(ImportError::Unit),
    }
}
