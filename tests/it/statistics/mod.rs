//! The summary against values computed elsewhere: series with the statistics of the published
//! definitions (`oracle.py`), a real export of 90 days, and what must hold for any
//! readings at all.

#![allow(clippy::float_cmp, reason = "what is exact is compared as such")]

#[cfg(feature = "shell")]
mod against_definitions;
mod cases;
mod compare;
#[cfg(feature = "shell")]
mod oracle;

use cases::Series;
use cgm_submitter::glucose::{
    AbsentReason, DateRange, GlucoseUnit, GlucoseValue, Measurement, Sample, SensorId, UtcOffset,
    Window,
};
use cgm_submitter::statistics::{Sufficiency, Summary, SummaryBuilder, SummaryError};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const DAY: i64 = 86_400;
/// 2024-05-01T00:00:00Z
const MAY: i64 = 1_714_521_600;

fn mg_dl(text: &str) -> Measurement {
    Measurement::Value(GlucoseValue::parse(text, GlucoseUnit::MgPerDl).unwrap())
}

fn measured(mantissa: u32, scale: u8, unit: GlucoseUnit) -> Measurement {
    Measurement::Value(GlucoseValue::new(mantissa, scale, unit).unwrap())
}

fn sample(sensor: u32, seconds: i64, measurement: Measurement) -> Sample {
    Sample { sensor: SensorId(sensor), seconds, offset: UtcOffset::UTC, measurement }
}

fn summarise(
    dates: DateRange,
    window: Window,
    starts: &[(SensorId, i64)],
    samples: impl IntoIterator<Item = Sample>,
) -> Result<Summary, SummaryError> {
    let mut builder = SummaryBuilder::new(dates, window, starts.iter().copied());
    for sample in samples {
        builder.push(sample);
    }
    builder.finish()
}

/// One to fourteen days from 2024-05-01, in UTC.
fn in_may(days: i64, samples: impl IntoIterator<Item = Sample>) -> Result<Summary, SummaryError> {
    let dates = format!("2024-05-01..2024-05-{days:02}").parse().unwrap();
    summarise(dates, Window::from_unix(MAY, MAY + days * DAY).unwrap(), &[], samples)
}

/// Readings of a fixture: see `compact` in `oracle.py`.
fn fixture_samples(lines: &Value, start: i64) -> Vec<Sample> {
    let mut samples = Vec::new();
    for line in lines.as_array().unwrap() {
        let line = line.as_array().unwrap();
        let sensor = SensorId(u32::try_from(line[0].as_u64().unwrap()).unwrap());
        let offset =
            UtcOffset::from_minutes(i32::try_from(line[1].as_i64().unwrap()).unwrap()).unwrap();
        let unit: GlucoseUnit = line[2].as_str().unwrap().parse().unwrap();
        let mut seconds = start;
        for pair in line[3..].chunks(2) {
            seconds += pair[0].as_i64().unwrap();
            let text = pair[1].as_str().unwrap();
            let value = |text| GlucoseValue::parse(text, unit).unwrap();
            let measurement = match text.split_at(usize::from(text.starts_with(['<', '>', '?']))) {
                ("<", limit) => Measurement::Below(value(limit)),
                (">", limit) => Measurement::Above(value(limit)),
                ("?", _) => Measurement::Absent(AbsentReason::Error),
                (_, text) => Measurement::Value(value(text)),
            };
            samples.push(Sample { sensor, seconds, offset, measurement });
        }
    }
    samples
}

/// A series of `fixtures` and what it gives.
struct Fixture {
    name: String,
    series: Series,
    sensor_starts: Value,
    expected: Value,
}

fn fixtures() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/statistics/fixtures");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), 45, "fixtures");
    let read = |path: PathBuf| {
        let fixture: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let instant = |n: usize| fixture["window"][n].as_i64().unwrap();
        let date = |n: usize| fixture["dates"][n].as_str().unwrap().parse().unwrap();
        let series = Series {
            day_under_way: None,
            dates: DateRange::new(date(0), date(1)).unwrap(),
            window: Window::from_unix(instant(0), instant(1)).unwrap(),
            samples: fixture_samples(&fixture["readings"], instant(0)),
        };
        Fixture {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            series,
            sensor_starts: fixture["sensor_starts"].clone(),
            expected: fixture["expected"].clone(),
        }
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn every_series_agrees_with_the_published_definitions() {
    for Fixture { name, series, sensor_starts, expected } in fixtures() {
        let mut starts = series.starts();
        for (id, start) in sensor_starts.as_object().unwrap() {
            starts.insert(SensorId(id.parse().unwrap()), start.as_i64().unwrap());
        }
        let summary = series.summarise(starts);
        compare::figures(&summary, &expected)
            .unwrap_or_else(|difference| panic!("{name}: {difference}"));
    }
}

#[test]
fn twelve_values_around_the_thresholds_fall_in_their_ranges() {
    let values = ["53", "54", "55", "69", "70", "71", "179", "180", "181", "249", "250", "251"];
    let summary = in_may(
        1,
        (0..288)
            .zip(values.iter().cycle())
            .map(|(n, value)| sample(1, MAY + 300 * n, mg_dl(value))),
    )
    .unwrap();
    assert_eq!(summary.mean_mg_dl(), 138.5);
    assert_eq!(
        summary.ranges().percentages().map(|p| (p * 1000.0).round() / 1000.0),
        [8.333, 25.0, 33.333, 25.0, 8.333]
    );
    assert_eq!(summary.ranges().reconciled(2), [833, 2500, 3334, 2500, 833]);
    assert_eq!(summary.sensor_active_percent(), 100.0);
}

/// The readings of the real export, each placed by its transmitter's tick, with the offset its
/// local stamp shows.
fn real_readings() -> Vec<(Sample, String)> {
    let folder = std::env::var_os("CGM_SAMPLES_DIR")
        .map_or_else(|| "../shared/samples".into(), PathBuf::from);
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("dexcom_clarity_90d_real.csv");
    let mut rows =
        csv::ReaderBuilder::new().flexible(true).from_path(&path).unwrap_or_else(|error| {
            panic!(
                "{}: {error}: set CGM_SAMPLES_DIR to the folder of the sample exports",
                path.display()
            )
        });
    // Tick 0 of each transmitter, from its first row: at both times the person's clock showed
    // UTC+2.
    let mut epochs: BTreeMap<String, (u32, i64)> = BTreeMap::new();
    let mut readings = Vec::new();
    for row in rows.records().map(Result::unwrap).filter(|row| &row[2] == "EGV") {
        let stamp = row[1].parse::<chrono::NaiveDateTime>().unwrap().and_utc().timestamp();
        let tick: i64 = row[12].parse().unwrap();
        let sensor = u32::try_from(epochs.len()).unwrap();
        let (sensor, epoch) =
            *epochs.entry(row[13].to_owned()).or_insert((sensor, stamp - 7200 - tick));
        let measurement = match &row[7] {
            "Low" => Measurement::Below(GlucoseValue::parse("40", GlucoseUnit::MgPerDl).unwrap()),
            text => mg_dl(text),
        };
        let seconds = epoch + tick;
        let hours = (stamp - seconds + 1800).div_euclid(3600);
        let offset = UtcOffset::from_minutes(i32::try_from(hours * 60).unwrap()).unwrap();
        readings.push((
            Sample { sensor: SensorId(sensor), seconds, offset, measurement },
            row[1].to_owned(),
        ));
    }
    readings.sort_by_key(|(sample, _)| sample.seconds);
    readings
}

#[test]
fn ninety_real_days_give_the_known_values() {
    let readings = real_readings();
    // 2024-03-16T00:00+02:00 to 2024-06-14T00:00+03:00
    let window = Window::from_unix(1_710_540_000, 1_718_312_400).unwrap();
    let dates: DateRange = "2024-03-16..2024-06-13".parse().unwrap();
    let summary =
        summarise(dates, window, &[], readings.iter().map(|(sample, _)| *sample)).unwrap();
    assert_eq!((summary.readings(), summary.clipped()), (25_340, 166));
    for (actual, expected, what) in [
        (summary.mean_mg_dl(), 145.324_507, "mean"),
        (summary.sd_mg_dl(), 58.939_990, "SD"),
        (summary.cv_percent(), 40.557_502, "CV"),
        (summary.gmi_percent(), 6.786_162, "GMI"),
        (summary.ranges().very_low_percent(), 2.604_578, "very low"),
        (summary.ranges().low_percent(), 5.923_441, "low"),
        (summary.ranges().in_range_percent(), 65.276_243, "in range"),
        (summary.ranges().high_percent(), 21.602_210, "high"),
        (summary.ranges().very_high_percent(), 4.593_528, "very high"),
    ] {
        assert!((actual - expected).abs() <= 5.1e-7, "{what}: {actual} instead of {expected}");
    }
    assert_eq!(summary.ranges().rounded(2), [260, 592, 6528, 2160, 459], "as it is sent");
    assert_eq!(summary.ranges().reconciled(2), [261, 592, 6528, 2160, 459], "adding up to 100 %");
    let stamped: BTreeSet<_> = readings.iter().map(|(_, stamp)| &stamp[..10]).collect();
    assert_eq!(stamped.len(), 90);
    assert_eq!(summary.days_of_wear(), 90);
    assert_eq!(summary.elapsed_minutes(), (90.0 * 24.0 - 1.0) * 60.0);
    // 25,340 windows of five minutes, less what jitter lets overlap.
    assert!(
        (126_600.0..=126_700.0).contains(&summary.covered_minutes()),
        "{}",
        summary.covered_minutes()
    );
    assert_eq!(summary.sufficiency(), Sufficiency::Sufficient);
}

/// Two days of which the second began at midnight and is not over.
fn under_way(readings: impl IntoIterator<Item = i64>) -> Summary {
    let dates = "2024-05-01..2024-05-02".parse().unwrap();
    let window = Window::from_unix(MAY, MAY + 2 * DAY).unwrap();
    let mut builder = SummaryBuilder::new(dates, window, []).with_day_under_way(Some(MAY + DAY));
    for at in readings {
        builder.push(sample(1, MAY + at, mg_dl("101")));
    }
    builder.finish().unwrap()
}

#[test]
fn a_day_under_way_counts_up_to_its_last_reading() {
    // A day and six hours: 360 readings.
    let summary = under_way((0..360).map(|n| 300 * n));
    assert_eq!(summary.sensor_active_percent(), 100.0);
    assert_eq!(summary.elapsed_minutes(), 30.0 * 60.0);
    assert_eq!(summary.until(), Some((MAY + 359 * 300, UtcOffset::UTC)));
    // What is missing before the last reading is missing: an hour of thirty.
    let gap = under_way((0..360).filter(|n| !(100..112).contains(n)).map(|n| 300 * n));
    assert_eq!(gap.sensor_active_percent(), 100.0 * 29.0 / 30.0);
    // A sensor that ended on the first day leaves the rest of that day uncovered, not the second.
    let ended = under_way((0..144).map(|n| 300 * n));
    assert_eq!((ended.sensor_active_percent(), ended.elapsed_minutes()), (50.0, 24.0 * 60.0));
    // Dates that are over count as a whole.
    let over = in_may(2, (0..360).map(|n| sample(1, MAY + 300 * n, mg_dl("101")))).unwrap();
    assert_eq!((over.sensor_active_percent(), over.until()), (62.5, None));
}

#[test]
fn time_out_of_order_is_an_error() {
    let back =
        [(1, 600), (2, 300), (1, 900)].map(|(sensor, at)| sample(sensor, MAY + at, mg_dl("101")));
    let error = in_may(1, back).unwrap_err();
    assert!(matches!(error, SummaryError::NotInTimeOrder { .. }));
    assert_eq!(
        error.to_string(),
        "the readings of 2024-05-01..2024-05-01 are not in order of time: sort them"
    );
}

#[test]
fn under_two_readings_there_is_no_summary() {
    for readings in 0..2 {
        let error =
            in_may(1, (0..readings).map(|n| sample(1, MAY + 300 * n, mg_dl("101")))).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{readings} reading(s) with a value in 2024-05-01..2024-05-01, a summary needs 2: \
                 ingest readings first or choose other dates"
            )
        );
    }
}

#[test]
fn a_sensor_whose_pace_never_shows_does_not_hold_up_the_others() {
    // One reading of sensor 1, then ten days of sensor 2; sensor 1 has but its one reading to tell
    // its interval.
    let others = (1..2880).map(|n| sample(2, MAY + 300 * n, mg_dl("101")));
    let summary = in_may(10, std::iter::once(sample(1, MAY, mg_dl("201"))).chain(others)).unwrap();
    assert_eq!((summary.readings(), summary.sensor_active_percent()), (2880, 100.0));
    // One that speaks every ten minutes measures every ten minutes.
    let summary = in_may(14, (0..2016).map(|n| sample(1, MAY + 600 * n, mg_dl("101")))).unwrap();
    assert_eq!((summary.readings(), summary.sensor_active_percent()), (2016, 100.0));
}

#[test]
fn debug_output_tells_no_statistics() {
    let summary = in_may(1, (0..9).map(|n| sample(1, MAY + 300 * n, mg_dl("137")))).unwrap();
    let output = format!("{summary:?} {:?} {:?}", summary.ranges(), summary.sufficiency());
    assert!(
        !output.contains("137") && !output.contains("3.1") && !output.contains("100"),
        "{output}"
    );
}

/// Up to three sensors at their own paces, with losses, absent values and both units.
fn any_readings() -> impl Strategy<Value = Vec<Sample>> {
    let measurement = prop_oneof![
        8 => (40_u32..=400).prop_map(|n| measured(n, 0, GlucoseUnit::MgPerDl)),
        6 => (22_u32..=222).prop_map(|n| measured(n, 1, GlucoseUnit::MmolPerL)),
        1 => Just(Measurement::Below(GlucoseValue::new(40, 0, GlucoseUnit::MgPerDl).unwrap())),
        1 => Just(Measurement::Above(GlucoseValue::new(278, 1, GlucoseUnit::MmolPerL).unwrap())),
        1 => Just(Measurement::Absent(AbsentReason::Unknown)),
    ];
    let offset = prop_oneof![6 => Just(120), 1 => -720_i32..=840];
    let reading = (prop_oneof![9 => Just(1_i64), 1 => 2..9_i64], -14..=14_i64, measurement, offset);
    let sensor = (
        0..DAY,
        prop_oneof![Just(60_i64), Just(300), Just(900)],
        prop::collection::vec(reading, 0..80),
    );
    prop::collection::vec(sensor, 1..=3).prop_map(|sensors| {
        let mut samples = Vec::new();
        for (id, (start, pace, readings)) in (0..).zip(sensors) {
            let mut at = MAY + start;
            for (steps, jitter, measurement, offset) in readings {
                at += steps * pace;
                let offset = UtcOffset::from_minutes(offset).unwrap();
                samples.push(Sample {
                    sensor: SensorId(id),
                    seconds: at + jitter,
                    offset,
                    measurement,
                });
            }
        }
        samples.sort_by_key(|sample| sample.seconds);
        samples
    })
}

proptest! {
    #[test]
    fn a_summary_stays_within_its_readings(samples in any_readings()) {
        let values: Vec<f64> =
            samples.iter().filter_map(|sample| sample.measurement.mg_dl()).collect();
        let Ok(summary) = in_may(3, samples.iter().copied()) else { return Ok(()) };
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        let most = values.iter().copied().fold(f64::MIN, f64::max);
        prop_assert!(least - 1e-9 <= summary.mean_mg_dl() && summary.mean_mg_dl() <= most + 1e-9);
        prop_assert!(summary.sd_mg_dl() >= 0.0 && summary.sd_mg_dl() <= (most - least) + 1e-9);
        prop_assert!(summary.readings() <= values.len() as u64);
        prop_assert!(summary.clipped() <= summary.readings());
        prop_assert!((summary.ranges().percentages().iter().sum::<f64>() - 100.0).abs() < 1e-9);
        prop_assert!(summary.sensor_active_percent() > 0.0);
        prop_assert!(summary.sensor_active_percent() <= 100.0);
        prop_assert!(summary.covered_minutes() <= 15.0 * summary.readings() as f64);
        prop_assert!((1..=3).contains(&summary.days_of_wear()));
        prop_assert!(summary.days_well_covered() <= summary.days_of_wear());
    }

    #[test]
    fn the_order_of_sensors_within_a_second_does_not_matter(samples in any_readings()) {
        let (mut other, mut rounded) = (samples.clone(), samples);
        // Whole minutes, so that sensors do speak in the same second.
        for sample in rounded.iter_mut().chain(&mut other) {
            sample.seconds -= sample.seconds % 300;
        }
        other.sort_by_key(|sample| (sample.seconds, std::cmp::Reverse(sample.sensor)));
        rounded.sort_by_key(|sample| (sample.seconds, sample.sensor));
        prop_assert_eq!(in_may(3, rounded), in_may(3, other));
    }

    #[test]
    fn readings_without_a_value_or_outside_the_window_change_nothing(samples in any_readings()) {
        let mut more: Vec<_> = (-9..900)
            .zip((0..4).cycle())
            .map(|(n, sensor)| {
                sample(sensor, MAY + 299 * n, Measurement::Absent(AbsentReason::NotPerformed))
            })
            .collect();
        let outside = [-600, -300, 3 * DAY, 3 * DAY + 300];
        more.extend(outside.map(|at| sample(9, MAY + at, mg_dl("101"))));
        more.extend(&samples);
        more.sort_by_key(|sample| sample.seconds);
        prop_assert_eq!(in_may(3, more), in_may(3, samples));
    }

    #[test]
    fn two_summaries_side_by_side_say_what_one_does(
        readings in prop::collection::vec((any::<bool>(), 40_u32..=400), 8..900),
        cut in 1..700_i64,
    ) {
        // Every five minutes, now and then one lost, never so often that it looks like every ten;
        // cut between two readings.
        let mut samples: Vec<Sample> = Vec::new();
        let mut last_lost = 0;
        for (n, (lost, value)) in (0..).zip(readings) {
            let at = MAY + 300 * n;
            if lost && n - last_lost > 3 {
                last_lost = n;
            } else {
                let value = GlucoseValue::new(value, 0, GlucoseUnit::MgPerDl).unwrap();
                samples.push(sample(1, at, Measurement::Value(value)));
            }
        }
        let dates: DateRange = "2024-05-01..2024-05-04".parse().unwrap();
        let cut = MAY + 300 * cut;
        let part = |from, to| {
            let window = Window::from_unix(from, to).unwrap();
            summarise(dates, window, &[], samples.iter().copied())
        };
        let all = part(MAY, MAY + 4 * DAY).unwrap();
        let (before, after) = (part(MAY, cut), part(cut, MAY + 4 * DAY));
        let (Ok(before), Ok(after)) = (before, after) else { return Ok(()) };
        // Of fewer, one gap may tell the interval.
        prop_assume!(before.readings() > 7 && after.readings() > 7);
        prop_assert_eq!(before.readings() + after.readings(), all.readings());
        prop_assert_eq!(before.covered_minutes() + after.covered_minutes(), all.covered_minutes());
        prop_assert_eq!(before.elapsed_minutes() + after.elapsed_minutes(), all.elapsed_minutes());
        let share = |of: fn(&Summary) -> f64| {
            let sum = of(&before) * before.readings() as f64 + of(&after) * after.readings() as f64;
            (sum / all.readings() as f64 - of(&all)).abs() < 1e-9
        };
        prop_assert!(share(Summary::mean_mg_dl) && share(|part| part.ranges().in_range_percent()));
    }
}
