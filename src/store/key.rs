//! Where a reading stands in the database: sensor and unix second, packed into one integer.
//!
//! `readings` is a rowid table whose `INTEGER PRIMARY KEY` is this integer, and not a WITHOUT ROWID
//! table keyed by two columns: only rowid tables have SQLite's append fast path and its dense leaf
//! packing, and a sensor's readings arrive nearly in order. Key order is sensor by sensor, each in
//! time order, so a sensor's stretch of time is one contiguous range of the tree.

use crate::glucose::{SensorId, Window};
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

/// Bits of the unix second: enough until the year 2514.
const SECOND_BITS: u32 = 34;
/// First second beyond them.
const SECONDS_END: i64 = 1 << SECOND_BITS;
/// First sensor number beyond what an SQLite integer still holds above the second.
const SENSORS_END: u32 = 1 << (63 - SECOND_BITS);

/// A reading's key: its sensor and its unix second. Ordered by sensor, then by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReadingKey(i64);

impl ReadingKey {
    /// The key of the reading of `sensor` at a unix second; none for a second before 1970 or after
    /// 2514.
    pub const fn new(sensor: SensorId, seconds: i64) -> Option<Self> {
        if seconds < 0 || seconds >= SECONDS_END || sensor.0 >= SENSORS_END {
            return None;
        }
        Some(Self((sensor.0 as i64) << SECOND_BITS | seconds))
    }

    /// The sensor.
    #[expect(clippy::cast_possible_truncation, reason = "29 bits are left")]
    pub const fn sensor(self) -> SensorId {
        SensorId((self.0 >> SECOND_BITS).unsigned_abs() as u32)
    }

    /// The unix second.
    pub const fn seconds(self) -> i64 {
        self.0 & (SECONDS_END - 1)
    }

    /// The packed integer, as the database keeps it.
    pub const fn packed(self) -> i64 {
        self.0
    }

    /// The key a packed integer stands for; none for a negative one.
    pub const fn from_packed(packed: i64) -> Option<Self> {
        if packed < 0 { None } else { Some(Self(packed)) }
    }
}

/// First and last packed key a sensor can have in a window; none where the window holds no possible
/// second.
pub(super) fn range(sensor: SensorId, window: Window) -> Option<(i64, i64)> {
    let first = ReadingKey::new(sensor, window.start().max(0))?;
    let last = ReadingKey::new(sensor, window.end().min(SECONDS_END).checked_sub(1)?)?;
    (first <= last).then_some((first.0, last.0))
}

/// First and last packed key a sensor can have at all.
pub(super) const fn whole(sensor: SensorId) -> (i64, i64) {
    let first = (sensor.0 as i64) << SECOND_BITS;
    (first, first + (SECONDS_END - 1))
}

/// Whether two packed keys are of one sensor.
pub(super) const fn same_sensor(a: i64, b: i64) -> bool {
    a >> SECOND_BITS == b >> SECOND_BITS
}

impl ToSql for ReadingKey {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

impl FromSql for ReadingKey {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let packed = value.as_i64()?;
        Self::from_packed(packed).ok_or(FromSqlError::OutOfRange(packed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_gives_back_what_it_was_made_of(
            sensor in 0..SENSORS_END,
            seconds in 0..SECONDS_END,
        ) {
            let key = ReadingKey::new(SensorId(sensor), seconds).unwrap();
            prop_assert_eq!((key.sensor(), key.seconds()), (SensorId(sensor), seconds));
            prop_assert_eq!(ReadingKey::from_packed(key.packed()), Some(key));
        }

        #[test]
        fn keys_are_ordered_by_sensor_then_time(
            a in (0..9_u32, 0..SECONDS_END),
            b in (0..9_u32, 0..SECONDS_END),
        ) {
            let key = |(sensor, seconds)| ReadingKey::new(SensorId(sensor), seconds).unwrap();
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        }
    }

    #[test]
    fn what_does_not_fit_is_no_key() {
        assert_eq!(ReadingKey::new(SensorId(1), -1), None);
        assert_eq!(ReadingKey::new(SensorId(1), SECONDS_END), None);
        assert_eq!(ReadingKey::new(SensorId(SENSORS_END), 0), None);
        assert!(
            ReadingKey::new(SensorId(SENSORS_END - 1), SECONDS_END - 1)
                .is_some_and(|k| k.packed() == i64::MAX)
        );
        assert_eq!(ReadingKey::from_packed(-1), None);
    }

    #[test]
    fn a_windows_range_ends_before_its_end() {
        let window = Window::from_unix(100, 200).unwrap();
        let (first, last) = range(SensorId(3), window).unwrap();
        assert_eq!(ReadingKey(first).seconds(), 100);
        assert_eq!(ReadingKey(last).seconds(), 199);
        assert_eq!(range(SensorId(3), Window::from_unix(100, 100).unwrap()), None);
        assert_eq!(
            range(SensorId(3), Window::from_unix(i64::MIN, i64::MAX).unwrap()),
            Some(whole(SensorId(3)))
        );
    }
}
