//! How a measurement and the person's UTC offset are kept as one integer: a row of two columns is
//! read a quarter faster than one of three, and that is most of what a summary costs.
//!
//! From the low end: seven bits of form (kind, unit, decimal places, whether it has a history),
//! twelve bits of offset, and the digits. A value in whole mg/dL, the commonest, takes four bytes
//! on disk. An absent measurement keeps its reason in place of digits.

use super::ReadingKey;
use super::StoreError;
use crate::glucose::{AbsentReason, GlucoseUnit, GlucoseValue, Measurement, Sample, UtcOffset};

/// Bits 0 and 1: the kind.
const KINDS: i64 = 0b11;
const BELOW: i64 = 1;
const ABOVE: i64 = 2;
const ABSENT: i64 = 3;
/// Bit 2: mmol/L instead of mg/dL.
const MOLAR: i64 = 1 << 2;
/// Bits 3 to 5: decimal places.
const SCALE_SHIFT: u32 = 3;
const SCALES: i64 = 0b111;
/// Bit 6: `superseded` holds earlier versions of this reading.
pub(super) const HISTORY: i64 = 1 << 6;
/// Bits 7 to 18: the offset in minutes, raised so that it is never negative.
const OFFSET_SHIFT: u32 = 7;
const OFFSETS: i64 = 0xFFF;
const OFFSET_RAISED: i64 = 2048;
/// Where the offset stands.
pub(super) const OFFSET_MASK: i64 = OFFSETS << OFFSET_SHIFT;
/// Bit 19 and up: the digits.
const DIGITS_SHIFT: u32 = 19;

const REASONS: [AbsentReason; 4] =
    [AbsentReason::Unknown, AbsentReason::Error, AbsentReason::NotPerformed, AbsentReason::Masked];

/// Whether a packed measurement is marked to have earlier versions.
pub(super) const fn has_history(packed: i64) -> bool {
    packed & HISTORY != 0
}

/// An offset in its place.
#[inline]
pub(super) fn offset(offset: UtcOffset) -> i64 {
    (i64::from(offset.minutes()) + OFFSET_RAISED) << OFFSET_SHIFT
}

/// A measurement packed, without [`HISTORY`] and offset.
pub(super) fn encode(measurement: Measurement) -> i64 {
    let digits = |value: GlucoseValue, kind: i64| {
        let unit = if value.unit() == GlucoseUnit::MmolPerL { MOLAR } else { 0 };
        i64::from(value.mantissa()) << DIGITS_SHIFT
            | i64::from(value.scale()) << SCALE_SHIFT
            | unit
            | kind
    };
    match measurement {
        Measurement::Value(value) => digits(value, 0),
        Measurement::Below(limit) => digits(limit, BELOW),
        Measurement::Above(limit) => digits(limit, ABOVE),
        Measurement::Absent(reason) => {
            let code: i64 = match reason {
                AbsentReason::Unknown => 0,
                AbsentReason::Error => 1,
                AbsentReason::NotPerformed => 2,
                AbsentReason::Masked => 3,
            };
            code << DIGITS_SHIFT | ABSENT
        }
    }
}

/// The measurement behind a packed one.
#[inline]
pub(super) fn decode(packed: i64) -> Result<Measurement, StoreError> {
    const UNREADABLE: StoreError = StoreError::Row("reading");
    let (digits, form) = (packed >> DIGITS_SHIFT, packed);
    let kind = form & KINDS;
    if kind == ABSENT {
        let reason = usize::try_from(digits).ok().and_then(|code| REASONS.get(code));
        return reason.copied().map(Measurement::Absent).ok_or(UNREADABLE);
    }
    let unit = if form & MOLAR == 0 { GlucoseUnit::MgPerDl } else { GlucoseUnit::MmolPerL };
    let scale = u8::try_from(form >> SCALE_SHIFT & SCALES).map_err(|_| UNREADABLE)?;
    let mantissa = u32::try_from(digits).map_err(|_| UNREADABLE)?;
    let value = GlucoseValue::new(mantissa, scale, unit).map_err(|_| UNREADABLE)?;
    Ok(match kind {
        BELOW => Measurement::Below(value),
        ABOVE => Measurement::Above(value),
        _ => Measurement::Value(value),
    })
}

/// A stored row as statistics and bundles take it.
#[inline]
pub(super) fn sample(key: ReadingKey, packed: i64) -> Result<Sample, StoreError> {
    let minutes = i32::try_from((packed >> OFFSET_SHIFT & OFFSETS) - OFFSET_RAISED);
    let offset = minutes.ok().and_then(|minutes| UtcOffset::from_minutes(minutes).ok());
    Ok(Sample {
        sensor: key.sensor(),
        seconds: key.seconds(),
        offset: offset.ok_or(StoreError::Row("reading"))?,
        measurement: decode(packed)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, unit: GlucoseUnit) -> GlucoseValue {
        GlucoseValue::parse(text, unit).unwrap()
    }

    #[test]
    fn every_measurement_comes_back_digit_for_digit() {
        let (mass, molar) = (GlucoseUnit::MgPerDl, GlucoseUnit::MmolPerL);
        let values = [
            value("101", mass),
            value("100.10", mass),
            value("6.7", molar),
            value("6.700000", molar),
        ];
        let measured = values
            .into_iter()
            .flat_map(|v| [Measurement::Value(v), Measurement::Below(v), Measurement::Above(v)]);
        for measurement in measured.chain(REASONS.map(Measurement::Absent)) {
            for minutes in [-1080, -570, 0, 345, 1080] {
                let at = UtcOffset::from_minutes(minutes).unwrap();
                let packed = encode(measurement) | offset(at);
                assert_eq!(decode(packed).unwrap(), measurement);
                assert_eq!(decode(packed | HISTORY).unwrap(), measurement);
                let key = ReadingKey::new(crate::glucose::SensorId(3), 77).unwrap();
                let sample = sample(key, packed | HISTORY).unwrap();
                assert_eq!(
                    (sample.seconds, sample.offset, sample.measurement),
                    (77, at, measurement)
                );
            }
            assert_eq!(encode(measurement) & (HISTORY | OFFSET_MASK), 0);
        }
    }

    #[test]
    fn a_plain_value_in_whole_mg_dl_takes_four_bytes() {
        let east = UtcOffset::from_minutes(1080).unwrap();
        let packed = encode(Measurement::Value(value("1000", GlucoseUnit::MgPerDl))) | offset(east);
        assert!(i32::try_from(packed).is_ok());
    }

    #[test]
    fn what_was_never_written_is_unreadable() {
        for (digits, form) in [
            (4, ABSENT),
            (-1, ABSENT),
            (-1, 0),
            (0, 0),
            (1_001, 0),
            (101, 7 << SCALE_SHIFT),
            (i64::MAX >> DIGITS_SHIFT, 0),
        ] {
            assert!(
                matches!(decode(digits << DIGITS_SHIFT | form), Err(StoreError::Row("reading"))),
                "{digits} {form}"
            );
        }
    }
}
