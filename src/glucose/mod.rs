//! What a glucose reading is: an exact value in the unit it came in, where and when it was
//! measured.
//!
//! Pure values. Nothing here knows a clock, a database or FHIR.

mod measurement;
mod reading;
mod scale;
mod sensor;
mod time;
mod value;

pub use measurement::{AbsentReason, Measurement};
pub use reading::{EarlierReading, Reading, ReadingError, RecordKey, Sample, SensorId};
pub use scale::Scale;
pub(crate) use sensor::reorders;
pub use sensor::{Device, Sensor, SensorError, SensorKey};
pub use time::{DateRange, LocalInstant, TimeError, UtcOffset, Window, ZoneOffsets};
pub(crate) use value::MG_DL_E5_PER_MMOL_L;
pub use value::{GlucoseError, GlucoseUnit, GlucoseValue};
