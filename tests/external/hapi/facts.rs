//! Readings as anybody would write them down: whose sensor, when by the person's clock, what it
//! said. The tests make readings of them, and find them again at the server.

use cgm_submitter::glucose::{
    AbsentReason, GlucoseUnit, GlucoseValue, Measurement, Reading, SensorKey, UtcOffset,
};
use chrono::{DateTime, Offset, SecondsFormat, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// The sensor of most.
pub(crate) const FIRST_SENSOR: &str = "demo:SN-1";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fact {
    /// `2024-10-27T02:55:00+02:00`.
    pub(crate) at: String,
    /// `100.10`, `<40`, `>400`, or why there is nothing: `error`.
    pub(crate) said: String,
    /// The sensor's key, which is the serial number of its device too; or the name of a device
    /// without.
    pub(crate) sensor: String,
}

impl Fact {
    pub(crate) fn new(at: impl Into<String>, said: impl Into<String>) -> Self {
        Self { at: at.into(), said: said.into(), sensor: FIRST_SENSOR.to_owned() }
    }

    pub(crate) fn of_sensor(mut self, sensor: &str) -> Self {
        sensor.clone_into(&mut self.sensor);
        self
    }

    pub(crate) fn saying(&self, said: &str) -> Self {
        Self { said: said.to_owned(), ..self.clone() }
    }

    /// What an app would pass on, its device showing `unit`.
    pub(crate) fn reading(&self, unit: GlucoseUnit) -> Reading {
        let time = DateTime::parse_from_rfc3339(&self.at).unwrap();
        let offset = UtcOffset::from_minutes(time.offset().fix().local_minus_utc() / 60).unwrap();
        let value = |text: &str| GlucoseValue::parse(text, unit).unwrap();
        let measurement = match (self.said.split_at(1), self.said.as_str()) {
            (("<", limit), _) => Measurement::Below(value(limit)),
            ((">", limit), _) => Measurement::Above(value(limit)),
            (_, "unknown") => Measurement::Absent(AbsentReason::Unknown),
            (_, "error") => Measurement::Absent(AbsentReason::Error),
            (_, "not-performed") => Measurement::Absent(AbsentReason::NotPerformed),
            (_, "masked") => Measurement::Absent(AbsentReason::Masked),
            (_, number) => Measurement::Value(value(number)),
        };
        Reading::new(
            SensorKey::new(&self.sensor).unwrap(),
            time.with_timezone(&Utc),
            Some(offset),
            measurement,
        )
    }
}

/// This many facts, one every five minutes from a local midnight.
pub(crate) fn every_five_minutes(
    zone: Tz,
    (year, month, day): (i32, u32, u32),
    count: usize,
    said: impl Fn(usize) -> String,
) -> Vec<Fact> {
    let midnight = zone.with_ymd_and_hms(year, month, day, 0, 0, 0).unwrap();
    let at = |n| {
        (midnight + TimeDelta::minutes(5 * i64::try_from(n).unwrap()))
            .to_rfc3339_opts(SecondsFormat::Secs, true)
    };
    (0..count).map(|n| Fact::new(at(n), said(n))).collect()
}

/// Facts of an ordinary day in mg/dL, in UTC.
pub(crate) fn ordinary(count: usize) -> Vec<Fact> {
    every_five_minutes(Tz::UTC, (2024, 5, 1), count, |n| (90 + n * 7 % 120).to_string())
}
