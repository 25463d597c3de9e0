//! 90 days of generated readings: a plausible person, the same on every run of a day.

use cgm_submitter::environment::{LocalTime, NamedZone};
use cgm_submitter::{
    Device, GlucoseUnit, GlucoseValue, Measurement, Reading, Scale, Sensor, SensorKey,
};
use chrono::{DateTime, TimeDelta, Utc};

const DAYS: i64 = 90;
const INTERVAL: usize = 300;

/// A sensor and its readings, every five minutes over 90 complete local days, with gaps, Lows and
/// Highs.
pub(crate) fn readings(
    now: DateTime<Utc>,
    zone: NamedZone,
) -> Result<(Sensor, Vec<Reading>), crate::Failure> {
    let key = SensorKey::new("demo:CGM-0001")?;
    let at = |mg_dl| GlucoseValue::new(mg_dl, 0, GlucoseUnit::MgPerDl);
    let scale = Scale::new(at(40)?, at(400)?)?;
    let sensor =
        Sensor::new(key.clone(), Device::new("Demo CGM", Some("CGM-0001"))?).with_scale(scale);

    let offsets = zone.offsets(now - TimeDelta::days(DAYS + 2), now)?;
    let end = offsets.start_of_day(offsets.date_at(now.timestamp()));
    let start = offsets.start_of_day(offsets.date_at(end - DAYS * 86_400 + 43_200));
    let mut readings = Vec::new();
    for seconds in (start..end).step_by(INTERVAL) {
        let step = (seconds - start) / 300;
        // A new sensor warms up for two hours every ten days; a phone is out of reach now and then.
        if step % 2_880 < 24 || (step / 37) % 97 == 13 {
            continue;
        }
        let offset = offsets.offset_at(seconds);
        let hour = ((seconds + offset.seconds()).rem_euclid(86_400)) as f64 / 3_600.0;
        let day = (step / 288) as f64;
        let meal = |at: f64, size: f64| {
            let since = hour - at;
            if (0.0..5.0).contains(&since) {
                size * since * (-since).exp() * std::f64::consts::E
            } else {
                0.0
            }
        };
        let slow = 18.0 * (day * 0.9).sin() + 12.0 * (day * 0.37).cos();
        let wobble = 9.0 * (step as f64 * 0.61).sin() + 6.0 * (step as f64 * 0.173).cos();
        let night = if hour < 6.0 { -28.0 * (day * 1.7).sin().max(0.0) } else { 0.0 };
        let level = 118.0
            + slow
            + wobble
            + night
            + meal(7.3, 75.0 + 25.0 * (day * 2.1).sin())
            + meal(12.6, 65.0)
            + meal(18.9, 90.0 + 40.0 * (day * 1.3).cos());
        let measurement = if level < 40.0 {
            Measurement::Below(scale.lowest())
        } else if level > 400.0 {
            Measurement::Above(scale.highest())
        } else {
            Measurement::Value(GlucoseValue::from_f64(level.round(), GlucoseUnit::MgPerDl)?)
        };
        let time = DateTime::from_timestamp(seconds, 0).ok_or("time out of range")?;
        readings.push(Reading::new(key.clone(), time, Some(offset), measurement));
    }
    Ok((sensor, readings))
}
