//! Series of readings: as the crate takes them, as the oracle takes them, and drawn at random in
//! many shapes.
//!
//! What is drawn is small (a few runs of readings, each with a pattern that repeats), so that a
//! case that fails shrinks to one a person can follow; it prints as the oracle's input.

use cgm_submitter::glucose::{
    AbsentReason, DateRange, GlucoseUnit, GlucoseValue, Measurement, Sample, SensorId, UtcOffset,
    Window, ZoneOffsets,
};
use cgm_submitter::statistics::{Summary, SummaryBuilder, SummaryError};
use chrono::{DateTime, Days, NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::LazyLock;

const DAY: i64 = 86_400;

/// Readings in order of time, and the dates they are summarised over.
#[derive(Clone)]
pub(crate) struct Series {
    pub(crate) dates: DateRange,
    pub(crate) window: Window,
    /// The second at which the last date began, if it is taken to be under way.
    pub(crate) day_under_way: Option<i64>,
    pub(crate) samples: Vec<Sample>,
}

impl Series {
    /// When each sensor first said anything.
    pub(crate) fn starts(&self) -> BTreeMap<SensorId, i64> {
        self.samples.iter().rev().map(|sample| (sample.sensor, sample.seconds)).collect()
    }

    pub(crate) fn summarise(
        &self,
        starts: BTreeMap<SensorId, i64>,
    ) -> Result<Summary, SummaryError> {
        let mut builder = SummaryBuilder::new(self.dates, self.window, starts)
            .with_day_under_way(self.day_under_way);
        for sample in &self.samples {
            builder.push(*sample);
        }
        builder.finish()
    }

    /// As the oracle takes it, with the window.
    pub(crate) fn request(&self) -> Value {
        json!({
            "dates": [self.dates.first().to_string(), self.dates.last().to_string()],
            "window": [self.window.start(), self.window.end()],
            "day_under_way": self.day_under_way,
            "readings": self.samples.iter().map(reading).collect::<Vec<_>>(),
        })
    }
}

fn reading(sample: &Sample) -> Value {
    let kind = match sample.measurement {
        Measurement::Value(_) => "value",
        Measurement::Below(_) => "below",
        Measurement::Above(_) => "above",
        Measurement::Absent(_) => "absent",
    };
    let value = sample.measurement.value();
    let digits = value.map(|value| value.to_string()).unwrap_or_default();
    let unit = value.map_or("", |value| value.unit().ucum());
    json!([sample.sensor.0, sample.seconds, sample.offset.minutes(), kind, digits, unit])
}

/// A series drawn at random, in the time zone of the person it is of.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) series: Series,
    pub(crate) zone: ZoneOffsets,
    /// Each offset with the second from which it holds.
    table: Vec<(i64, UtcOffset)>,
    /// The unit it is sent in.
    pub(crate) unit: GlucoseUnit,
    /// How many readings are stored at once.
    pub(crate) batch: usize,
}

impl Case {
    /// As the oracle takes it, with the zone: it finds the window by itself.
    pub(crate) fn request(&self) -> Value {
        let mut request = self.series.request();
        let table: Vec<_> =
            self.table.iter().map(|(since, offset)| json!([since, offset.minutes()])).collect();
        request["window"] = Value::Null;
        request["zone"] = table.into();
        request
    }
}

/// What to give the oracle to see the same; of a long one only that it was.
impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { series: Series { dates, samples, .. }, zone, unit, batch, .. } = self;
        writeln!(
            f,
            "{dates} in {}, {} readings, stored by {batch}, sent in {unit}",
            zone.name(),
            samples.len()
        )?;
        if samples.len() <= 300 { write!(f, "{}", self.request()) } else { Ok(()) }
    }
}

// ---- where and when ----

/// Clocks that change by an hour, half an hour, two, not at all, at midnight, in the south, the
/// other way round; a zone that skipped a date.
const ZONES: [Tz; 17] = [
    Tz::UTC,
    Tz::Europe__Berlin,
    Tz::Europe__Bucharest,
    Tz::America__New_York,
    Tz::America__St_Johns,
    Tz::America__Santiago,
    Tz::America__Havana,
    Tz::Australia__Lord_Howe,
    Tz::Australia__Sydney,
    Tz::Australia__Adelaide,
    Tz::Asia__Beirut,
    Tz::Asia__Kathmandu,
    Tz::Africa__Cairo,
    Tz::Africa__Casablanca,
    Tz::Antarctica__Troll,
    Tz::Pacific__Chatham,
    Tz::Pacific__Apia,
];

fn offset_at(zone: Tz, seconds: i64) -> UtcOffset {
    let at = DateTime::from_timestamp(seconds, 0).unwrap().naive_utc();
    UtcOffset::from_minutes(zone.offset_from_utc_datetime(&at).fix().local_minus_utc() / 60)
        .unwrap()
}

/// A zone's offsets, each with the second from which it holds: every hour is looked at, and every
/// minute if it changes.
fn table(zone: Tz, from: i64, to: i64) -> Vec<(i64, UtcOffset)> {
    let mut table = vec![(from, offset_at(zone, from))];
    for hour in (from..to).step_by(3600) {
        let before = table[table.len() - 1].1;
        if offset_at(zone, hour + 3600) != before {
            let changed = (hour..=hour + 3600)
                .step_by(60)
                .find(|minute| offset_at(zone, *minute) != before)
                .unwrap();
            table.push((changed, offset_at(zone, changed)));
        }
    }
    table
}

/// Every change of clocks of every zone in fifteen years: the date, in UTC.
static CHANGES: LazyLock<Vec<(Tz, NaiveDate)>> = LazyLock::new(|| {
    let days = || date(2011, 1, 1).iter_days().take(15 * 365);
    let at = |day: NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
    let changes = |zone: Tz| {
        days().filter(move |day| offset_at(zone, at(*day)) != offset_at(zone, at(*day) + DAY))
    };
    ZONES.into_iter().flat_map(|zone| changes(zone).map(move |day| (zone, day))).collect()
});

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

/// A zone and the dates of a window: about a change of clocks, a leap day, or anywhere. Before 1990
/// only if asked for: no such reading is ever stored.
fn place(days: RangeInclusive<u64>) -> impl Strategy<Value = (Tz, DateRange)> {
    let change = any::<prop::sample::Index>().prop_map(|index| *index.get(&CHANGES));
    let leap_day = (
        select(&ZONES),
        select([date(2000, 2, 29), date(2024, 2, 29), date(2028, 2, 29)].to_vec()),
    );
    let anywhere = |from: NaiveDate, days: u64| {
        (
            select(&ZONES[..]),
            (0..days).prop_map(move |after| from.checked_add_days(Days::new(after)).unwrap()),
        )
    };
    let within = prop_oneof![
        8 => change,
        2 => leap_day,
        6 => anywhere(date(1990, 1, 10), 40 * 365),
        1 => (Just(Tz::UTC), select(
            [date(1969, 12, 31), date(1970, 1, 1), date(1952, 2, 29)].to_vec()
        )),
        1 => (select(&ZONES[..2]), (0..30 * 365_u64).prop_map(|after| {
            date(1955, 1, 1).checked_add_days(Days::new(after)).unwrap()
        })),
    ];
    (within, days, 0..91_u64).prop_map(|((zone, within), days, before)| {
        let first = within.checked_sub_days(Days::new(before % days)).unwrap();
        (zone, DateRange::new(first, first.checked_add_days(Days::new(days - 1)).unwrap()).unwrap())
    })
}

// ---- what sensors say ----

fn value(mantissa: u32, scale: u8, unit: GlucoseUnit) -> Option<GlucoseValue> {
    GlucoseValue::new(mantissa, scale, unit).ok()
}

/// What is next to the ends of ranges, in mg/dL and in mmol/L, as it is shown and between.
const EDGES: [(&str, GlucoseUnit); 44] = {
    use GlucoseUnit::{MgPerDl as Mass, MmolPerL as Molar};
    [
        ("53", Mass),
        ("53.4", Mass),
        ("53.499999", Mass),
        ("53.5", Mass),
        ("54", Mass),
        ("69", Mass),
        ("69.49", Mass),
        ("69.5", Mass),
        ("70", Mass),
        ("70.0", Mass),
        ("180", Mass),
        ("180.4", Mass),
        ("180.499999", Mass),
        ("180.5", Mass),
        ("181", Mass),
        ("250", Mass),
        ("250.49", Mass),
        ("250.5", Mass),
        ("251", Mass),
        ("100.10", Mass),
        ("2.9", Molar),
        ("2.94", Molar),
        ("2.949999", Molar),
        ("2.95", Molar),
        ("3", Molar),
        ("3.0", Molar),
        ("3.8", Molar),
        ("3.84", Molar),
        ("3.849999", Molar),
        ("3.85", Molar),
        ("3.9", Molar),
        ("4", Molar),
        ("10", Molar),
        ("10.0", Molar),
        ("10.04", Molar),
        ("10.049999", Molar),
        ("10.05", Molar),
        ("10.1", Molar),
        ("13.9", Molar),
        ("13.949", Molar),
        ("13.949999", Molar),
        ("13.95", Molar),
        ("14", Molar),
        ("14.0", Molar),
    ]
};

fn any_value() -> impl Strategy<Value = GlucoseValue> {
    use GlucoseUnit::{MgPerDl, MmolPerL};
    prop_oneof![
        6 => (40..=400_u32).prop_filter_map("a value", |n| value(n, 0, MgPerDl)),
        4 => (22..=222_u32).prop_filter_map("a value", |n| value(n, 1, MmolPerL)),
        4 => select(&EDGES[..]).prop_map(|(text, unit)| GlucoseValue::parse(text, unit).unwrap()),
        1 => (1..=600_u32, 0..=6_u8, 0..1_000_000_u32).prop_filter_map("a value", |of| {
            let (whole, scale, rest) = of;
            let one = 10_u32.pow(u32::from(scale));
            value(whole * one + rest % one, scale, MgPerDl)
        }),
        1 => (560_000..=55_000_000_u32).prop_filter_map("a value", |n| value(n, 6, MmolPerL)),
    ]
}

fn any_measurement() -> impl Strategy<Value = Measurement> {
    let limit = |limits: &'static [(&'static str, GlucoseUnit)]| {
        select(limits).prop_map(|(text, unit)| GlucoseValue::parse(text, unit).unwrap())
    };
    let (mass, molar) = (GlucoseUnit::MgPerDl, GlucoseUnit::MmolPerL);
    let lowest = [
        ("40", mass),
        ("2.2", molar),
        ("54", mass),
        ("55", mass),
        ("3.0", molar),
        ("70", mass),
        ("3.9", molar),
    ];
    let highest = [
        ("400", mass),
        ("500", mass),
        ("22.2", molar),
        ("27.8", molar),
        ("10.0", molar),
        ("180", mass),
        ("250", mass),
    ];
    let (lowest, highest): (&'static [_], &'static [_]) =
        (lowest.to_vec().leak(), highest.to_vec().leak());
    let reasons = [
        AbsentReason::Unknown,
        AbsentReason::Error,
        AbsentReason::NotPerformed,
        AbsentReason::Masked,
    ];
    prop_oneof![
        16 => any_value().prop_map(Measurement::Value),
        1 => limit(lowest).prop_map(Measurement::Below),
        1 => limit(highest).prop_map(Measurement::Above),
        1 => select(reasons.to_vec()).prop_map(Measurement::Absent),
    ]
}

// ---- when sensors say it ----

/// Where in a window something begins.
#[derive(Clone, Debug)]
enum Start {
    /// After this many thousandths of it, and this many seconds.
    Within(i64, i64),
    /// This many seconds from its first one.
    First(i64),
    /// This many seconds from its end.
    End(i64),
    /// This many seconds from a midnight in it.
    Midnight(i64, i64),
}

impl Start {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            6 => (0..1000_i64, 0..900_i64)
                .prop_map(|(share, seconds)| Self::Within(share, seconds)),
            2 => (-900..=900_i64).prop_map(Self::First),
            1 => Just(Self::First(0)),
            1 => (-2000..=300_i64).prop_map(Self::End),
            2 => (0..91_i64, -1200..=1200_i64)
                .prop_map(|(day, seconds)| Self::Midnight(day, seconds)),
            1 => (-3 * DAY..0_i64).prop_map(Self::First),
        ]
    }

    fn second(&self, window: Window, zone: &ZoneOffsets) -> i64 {
        match *self {
            Self::Within(share, seconds) => {
                window.start() + window.seconds() * share / 1000 + seconds
            }
            Self::First(seconds) => window.start() + seconds,
            Self::End(seconds) => window.end() + seconds,
            Self::Midnight(day, seconds) => {
                let days = window.seconds() / DAY + 1;
                let near = window.start() + day % days * DAY + DAY / 2;
                zone.start_of_day(zone.date_at(near)) + seconds
            }
        }
    }
}

/// Readings of one sensor at one pace.
#[derive(Clone, Debug)]
struct Run {
    sensor: u32,
    start: Start,
    pace: i64,
    count: usize,
    /// More seconds before the reading of this number.
    gaps: Vec<(usize, i64)>,
    /// These repeat: seconds off the pace, whether it is lost, what is said and for how many
    /// readings in a row.
    jitter: Vec<i64>,
    lost: Vec<bool>,
    said: Vec<Measurement>,
    held: usize,
    /// The first readings, this many, are never lost: they tell the pace.
    kept: usize,
}

impl Run {
    fn readings(&self, from: i64) -> Vec<(i64, Measurement)> {
        let mut at = from;
        let mut readings = Vec::new();
        for n in 0..self.count {
            at += self
                .gaps
                .iter()
                .filter(|(before, _)| *before == n)
                .map(|(_, seconds)| seconds)
                .sum::<i64>();
            let lost = n >= self.kept && self.lost[n % self.lost.len()];
            if !lost {
                let said = self.said[n / self.held % self.said.len()];
                readings.push((at + self.jitter[n % self.jitter.len()], said));
            }
            at += self.pace;
        }
        readings
    }
}

fn any_pace() -> impl Strategy<Value = i64> {
    // Some are next to what still speaks for an interval.
    let odd = [120, 150, 151, 209, 210, 240, 420, 450, 451, 600, 749, 750, 1050, 1051, 1200, 1800]
        .to_vec();
    prop_oneof![5 => Just(300_i64), 3 => Just(900), 3 => Just(60), 2 => select(odd)]
}

fn jitter() -> impl Strategy<Value = Vec<i64>> {
    prop_oneof![
        3 => Just(vec![0]),
        2 => prop::collection::vec(-15..=15_i64, 1..8),
        1 => prop::collection::vec(-140..=140_i64, 1..8),
    ]
}

fn lost() -> impl Strategy<Value = Vec<bool>> {
    prop_oneof![
        3 => Just(vec![false]),
        1 => prop::collection::vec(prop::bool::weighted(0.3), 1..20),
    ]
}

fn run(sensors: u32, count: RangeInclusive<usize>) -> impl Strategy<Value = Run> {
    let gaps = prop::collection::vec((0..160_usize, prop_oneof![1..2_000_i64, 1..2 * DAY]), 0..4);
    let said = prop_oneof![
        1 => prop::collection::vec(any_measurement(), 1..=1),
        4 => prop::collection::vec(any_measurement(), 1..24),
    ];
    let held = prop_oneof![3 => Just(1_usize), 1 => 2..40_usize];
    (0..sensors, Start::any(), any_pace(), count, gaps, jitter(), lost(), said, held).prop_map(
        |(sensor, start, pace, count, gaps, jitter, lost, said, held)| Run {
            sensor,
            start,
            pace,
            count,
            gaps,
            jitter,
            lost,
            said,
            held,
            kept: 0,
        },
    )
}

/// A sensor worn for days on end, whose pace shows from the beginning.
fn wear() -> impl Strategy<Value = Run> {
    let gaps =
        prop::collection::vec((8..9_000_usize, prop_oneof![1..20_000_i64, 1..9 * DAY]), 0..9);
    let lost =
        prop_oneof![Just(vec![false]), prop::collection::vec(prop::bool::weighted(0.1), 1..90)];
    let said = prop::collection::vec(any_measurement(), 1..90);
    let pace = prop_oneof![4 => Just(300_i64), 2 => Just(900), 1 => Just(60)];
    let jitter = prop_oneof![Just(vec![0]), prop::collection::vec(-15..=15_i64, 1..8)];
    (Start::any(), pace, 500..9_000_usize, gaps, jitter, lost, said, 1..9_usize).prop_map(
        |(start, pace, count, gaps, jitter, lost, said, held)| Run {
            sensor: 0,
            start,
            pace,
            count,
            gaps,
            jitter,
            lost,
            said,
            held,
            kept: 8,
        },
    )
}

/// Some time elsewhere: from when, for how many hours, and what the clocks say there, in quarters
/// of an hour.
type Trip = (Start, i64, i32);

fn trips() -> impl Strategy<Value = Vec<Trip>> {
    let trip = (Start::any(), 1..100_i64, -48..=56_i32);
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(trip, 1..4)]
}

// ---- cases ----

fn assemble(
    zone: Tz,
    dates: DateRange,
    runs: &[Run],
    trips: &[Trip],
    unit: GlucoseUnit,
    batch: usize,
) -> Case {
    let noon = |date: NaiveDate| date.and_hms_opt(12, 0, 0).unwrap().and_utc().timestamp();
    let table = table(zone, noon(dates.first()) - 5 * DAY, noon(dates.last()) + 5 * DAY);
    let offsets = ZoneOffsets::new(zone.name(), table.clone()).unwrap();
    let window = dates.window(&offsets).unwrap();
    let trips: Vec<_> = trips
        .iter()
        .map(|(start, hours, quarters)| {
            (
                start.second(window, &offsets),
                3600 * hours,
                UtcOffset::from_minutes(15 * quarters).unwrap(),
            )
        })
        .collect();
    let offset = |seconds: i64| {
        let away = trips.iter().find(|(from, length, _)| (*from..from + length).contains(&seconds));
        away.map_or(offsets.offset_at(seconds), |(.., offset)| *offset)
    };
    let mut samples: Vec<Sample> = Vec::new();
    for run in runs {
        let readings = run.readings(run.start.second(window, &offsets)).into_iter();
        samples.extend(readings.map(|(seconds, measurement)| Sample {
            sensor: SensorId(run.sensor),
            seconds,
            offset: offset(seconds),
            measurement,
        }));
    }
    samples.sort_by_key(|sample| sample.seconds);
    // Where a sensor both said a value and none in one second, the store keeps what came last: that
    // is its own tests' matter.
    let with_value = |sample: &Sample| sample.measurement.value().is_some();
    let values: HashSet<_> =
        samples.iter().filter(|s| with_value(s)).map(|s| (s.sensor, s.seconds)).collect();
    samples
        .retain(|sample| with_value(sample) || !values.contains(&(sample.sensor, sample.seconds)));
    // Nor is it the statistics' matter which of two units' twins is kept.
    let mut said: HashMap<_, Vec<Measurement>> = HashMap::new();
    samples.retain(|sample| {
        let before = said.entry((sample.sensor, sample.seconds)).or_default();
        let twin = |other: &Measurement| {
            other.unit() != sample.measurement.unit() && other.says_the_same_as(sample.measurement)
        };
        let keep = !before.iter().any(twin);
        before.push(sample.measurement);
        keep
    });
    // Every third case was sent while its last day was under way.
    let last_day = || DateRange::day(dates.last()).window(&offsets).unwrap().start();
    let day_under_way = batch.is_multiple_of(3).then(last_day);
    let series = Series { dates, window, day_under_way, samples };
    Case { series, zone: offsets, table, unit, batch }
}

/// Now and then with one of them again, saying other things in the same seconds: the first counts.
fn now_and_then_doubled(runs: impl Strategy<Value = Vec<Run>>) -> impl Strategy<Value = Vec<Run>> {
    let again = (any::<prop::sample::Index>(), prop::collection::vec(any_measurement(), 1..9));
    (runs, prop::option::weighted(0.15, again)).prop_map(|(mut runs, again)| {
        if let Some((index, said)) = again {
            runs.push(Run { said, ..index.get(&runs).clone() });
        }
        runs
    })
}

fn case(
    days: RangeInclusive<u64>,
    runs: impl Strategy<Value = Vec<Run>>,
) -> impl Strategy<Value = Case> {
    let runs = now_and_then_doubled(runs);
    let unit = select([GlucoseUnit::MgPerDl, GlucoseUnit::MmolPerL].to_vec());
    (place(days), runs, trips(), unit, 1..2_000_usize).prop_map(
        |((zone, dates), runs, trips, unit, batch)| {
            assemble(zone, dates, &runs, &trips, unit, batch)
        },
    )
}

/// Up to four sensors over some days, one after the other, at once, coming back.
pub(crate) fn some_days() -> impl Strategy<Value = Case> {
    let days = prop_oneof![3 => Just(1..=3_u64), 1 => Just(1..=16)];
    let count = prop_oneof![1 => Just(0..=6_usize), 4 => Just(0..=160)];
    (days, count)
        .prop_flat_map(|(days, count)| case(days, prop::collection::vec(run(4, count), 1..=5)))
}

/// A handful of readings: ties, constant values, fewer readings than a summary takes.
pub(crate) fn a_few_readings() -> impl Strategy<Value = Case> {
    case(1..=2, prop::collection::vec(run(2, 0..=5), 1..=3))
}

/// Weeks to months of wear, sensor after sensor, some of them overlapping.
pub(crate) fn long_wear() -> impl Strategy<Value = Case> {
    let sensors = prop::collection::vec(wear(), 1..=4).prop_map(|mut runs| {
        for (sensor, run) in (0..).zip(&mut runs) {
            run.sensor = sensor;
        }
        runs
    });
    case(14..=90, sensors)
}
