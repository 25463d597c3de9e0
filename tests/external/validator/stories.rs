//! Whose readings they are, what the sensors said, and what is asked for: each story is one thing
//! that shows on the wire.

use crate::world::{SENSOR, mg, molar, sensor};
use cgm_submitter::fhir::SummaryMember;
use cgm_submitter::glucose::{
    AbsentReason, Device, GlucoseUnit, GlucoseValue, Measurement, Reading, RecordKey, Sensor,
    SensorKey, UtcOffset,
};
use cgm_submitter::orders::Content;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::{America, Asia, Australia, Europe, Pacific, Tz};
use std::sync::LazyLock;

const MASS: GlucoseUnit = GlucoseUnit::MgPerDl;
const MOLAR: GlucoseUnit = GlucoseUnit::MmolPerL;
const DAY: &str = "2024-05-02..2024-05-02";

/// What is sent.
#[derive(Clone, Copy)]
pub(crate) enum Ask {
    /// What the person chose: local dates, unit.
    Own(&'static str, GlucoseUnit),
    /// What a standing order asks for.
    Ordered { days: u32, lookback: Option<u32>, profiles: &'static [&'static str] },
}

pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) zone: Tz,
    pub(crate) sensors: Vec<Sensor>,
    pub(crate) readings: Vec<Reading>,
    /// What comes after all was sent once; then all is asked for again.
    pub(crate) later: Vec<Reading>,
    pub(crate) asks: Vec<Ask>,
    /// Whether the receiver knows conditional create.
    pub(crate) conditional: bool,
}

fn story(name: &'static str, readings: Vec<Reading>, asks: &[Ask]) -> Story {
    let sensors = vec![sensor(SENSOR)];
    Story {
        name,
        zone: Europe::Bucharest,
        sensors,
        readings,
        later: Vec::new(),
        asks: asks.to_vec(),
        conditional: true,
    }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn of(key: &str, time: DateTime<Utc>, measurement: Measurement) -> Reading {
    Reading::new(SensorKey::new(key).unwrap(), time, None, measurement)
}

/// Every five minutes from the morning of 2 May 2024.
fn in_a_row(measurements: impl IntoIterator<Item = Measurement>) -> Vec<Reading> {
    let start = time("2024-05-02T06:00:00Z");
    let at = |(n, measurement): (i64, Measurement)| {
        of(SENSOR, start + TimeDelta::minutes(5 * n), measurement)
    };
    (0_i64..).zip(measurements).map(at).collect()
}

fn mass(text: &str) -> Measurement {
    Measurement::Value(value(text, MASS))
}

fn value(text: &str, unit: GlucoseUnit) -> GlucoseValue {
    GlucoseValue::parse(text, unit).unwrap()
}

const ABSENT: [Measurement; 4] = [
    Measurement::Absent(AbsentReason::Unknown),
    Measurement::Absent(AbsentReason::Error),
    Measurement::Absent(AbsentReason::NotPerformed),
    Measurement::Absent(AbsentReason::Masked),
];

pub(crate) fn all() -> Vec<Story> {
    let mut all = values();
    all.extend(clocks());
    all.extend(devices());
    all.extend(changes());
    all.extend(orders());
    all
}

fn values() -> Vec<Story> {
    let both = [Ask::Own(DAY, MASS), Ask::Own(DAY, MOLAR)];
    let digits = ["100.10", "120", "10", "1000", "55.5", "180.000001"].map(mass);
    let molar_digits = ["6.70", "5.6", "0.56", "55.50", "12.345678", "7"].map(molar);
    let clipped = [
        Measurement::Below(value("40", MASS)),
        Measurement::Above(value("400", MASS)),
        Measurement::Below(value("2.20", MOLAR)),
        Measurement::Above(value("22.2", MOLAR)),
    ];
    let twice = |measurement| [measurement, measurement];
    vec![
        story("digits", in_a_row(digits.into_iter().chain(molar_digits)), &both),
        story("clipped", in_a_row(clipped), &both),
        story("absent", in_a_row(ABSENT.into_iter().chain([mg(100), mg(110)])), &both[..1]),
        story("only-absent", in_a_row(ABSENT), &both[..1]),
        story("one-reading", in_a_row([mg(100)]), &both),
        story("two-readings", in_a_row([mg(100), mg(101)]), &both[..1]),
        story("two-alike", in_a_row(twice(molar("6.7"))), &both[1..]),
        story("very-low", in_a_row(twice(Measurement::Below(value("40", MASS)))), &both[..1]),
        story("very-high", in_a_row(twice(mg(1000))), &both[1..]),
    ]
}

/// Readings about the instant at which local clocks change.
fn clock_change(name: &'static str, zone: Tz, change: &str, dates: &'static str) -> Story {
    let change = time(change);
    let minutes = [-90, -30, -5, 0, 30, 90];
    let readings = minutes.map(|minutes| of(SENSOR, change + TimeDelta::minutes(minutes), mg(120)));
    Story { zone, ..story(name, readings.to_vec(), &[Ask::Own(dates, MASS)]) }
}

fn clock_changes() -> Vec<Story> {
    vec![
        clock_change(
            "spring-new-york",
            America::New_York,
            "2024-03-10T07:00:00Z",
            "2024-03-10..2024-03-10",
        ),
        clock_change(
            "autumn-new-york",
            America::New_York,
            "2023-11-05T06:00:00Z",
            "2023-11-05..2023-11-05",
        ),
        clock_change(
            "spring-lord-howe",
            Australia::Lord_Howe,
            "2023-09-30T15:30:00Z",
            "2023-10-01..2023-10-01",
        ),
        clock_change(
            "autumn-lord-howe",
            Australia::Lord_Howe,
            "2024-04-06T15:00:00Z",
            "2024-04-07..2024-04-07",
        ),
        clock_change(
            "spring-st-johns",
            America::St_Johns,
            "2024-03-10T05:30:00Z",
            "2024-03-10..2024-03-10",
        ),
        clock_change(
            "autumn-st-johns",
            America::St_Johns,
            "2023-11-05T04:30:00Z",
            "2023-11-05..2023-11-05",
        ),
    ]
}

fn clocks() -> Vec<Story> {
    let at = |text: &str, offset: i32| {
        let offset = UtcOffset::from_minutes(offset).unwrap();
        Reading::new(SensorKey::new(SENSOR).unwrap(), time(text), Some(offset), mg(100))
    };
    // 14 hours is the widest FHIR can say.
    let offsets = [840, -840, 841, -1080, 0, 345, -570, 765, -1];
    let offsets = (0..)
        .zip(offsets)
        .map(|(n, minutes)| at(&format!("2024-05-02T12:{:02}:00Z", 5 * n), minutes));
    let edge = |name, zone, dates, times: [&str; 4]| Story {
        zone,
        ..story(
            name,
            times.map(|text| of(SENSOR, time(text), mg(99))).to_vec(),
            &[Ask::Own(dates, MASS)],
        )
    };
    let leap = [
        "2024-02-28T18:15:00Z",
        "2024-02-29T18:10:00Z",
        "2024-02-29T18:15:00Z",
        "2024-03-01T18:14:59Z",
    ];
    let years = [
        "2023-12-30T10:00:00Z",
        "2023-12-31T09:59:59Z",
        "2023-12-31T10:00:00Z",
        "2024-01-01T09:59:59Z",
    ];
    let mut stories = clock_changes();
    stories.extend([
        Story { zone: Tz::UTC, ..story("offsets", offsets.collect(), &[Ask::Own(DAY, MASS)]) },
        edge("leap-day", Asia::Kathmandu, "2024-02-29..2024-03-01", leap),
        edge("new-year", Pacific::Kiritimati, "2023-12-31..2024-01-01", years),
    ]);
    stories
}

fn devices() -> Vec<Story> {
    let (long_name, long_serial) = ("N".repeat(256), "9".repeat(256));
    let described = [
        ("a", "Demo CGM", Some("SN-1")),
        ("b", "Demo CGM", None),
        ("c", r#"Glükose "Pro" & <Söhne> 'x' \ / {} 100 %"#, Some(r#"#1&2|3\4"5"#)),
        ("d", "血糖センサー 🩸 مستشعر e\u{301}", None),
        ("e", long_name.as_str(), Some(long_serial.as_str())),
        ("f|\\ж", "A", Some("0")),
    ];
    let sensors = described.map(|(key, name, serial)| {
        Sensor::new(SensorKey::new(key).unwrap(), Device::new(name, serial).unwrap())
    });
    let start = time("2024-05-02T06:00:00Z");
    let at = |n: usize, key: &str| {
        of(key, start + TimeDelta::minutes(i64::try_from(n).unwrap()), mg(100))
    };
    let readings =
        described.iter().enumerate().flat_map(|(n, (key, ..))| [at(n, key), at(n + 60, key)]);
    let keyed = |n: usize, key: &str| at(n, SENSOR).with_record_key(RecordKey::new(key).unwrap());
    let keys = [
        keyed(0, "1"),
        keyed(5, "a|b\\c"),
        keyed(10, "ключ \"&<"),
        at(12, "ticks"),
        at(17, "ticks"),
    ];
    vec![
        Story {
            sensors: sensors.to_vec(),
            ..story("devices", readings.collect(), &[Ask::Own(DAY, MASS)])
        },
        Story {
            sensors: vec![sensor(SENSOR), sensor("ticks")],
            ..story("record-keys", keys.to_vec(), &[Ask::Own(DAY, MOLAR)])
        },
    ]
}

fn changes() -> Vec<Story> {
    let first =
        [mg(100), mg(101), mg(102), ABSENT[1], Measurement::Below(value("40", MASS)), mg(103)];
    let then = [
        mg(200),
        Measurement::Above(value("400", MASS)),
        ABSENT[0],
        mg(104),
        mg(55),
        mg(103),
        mg(300),
    ];
    let both = [Ask::Own(DAY, MASS), Ask::Own(DAY, MOLAR)];
    vec![
        Story { later: in_a_row(then), ..story("corrections", in_a_row(first), &both) },
        Story {
            later: in_a_row(then),
            conditional: false,
            ..story("no-conditional-create", in_a_row(first), &both[..1])
        },
    ]
}

static MEMBERS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let both = [MASS, MOLAR].into_iter().flat_map(SummaryMember::of_summary);
    both.map(|member| Content::SummaryMember(member).profile()).collect()
});
static EVERYTHING: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| Content::ALL.map(Content::profile).to_vec());

fn orders() -> Vec<Story> {
    const SUMMARY: &str = Content::Summary.profile();
    const PDF: &str = Content::SummaryPdf.profile();
    const DEVICE: &str = Content::Device.profile();
    const MASS_READINGS: &str = Content::Readings(MASS).profile();
    const MOLAR_READINGS: &str = Content::Readings(MOLAR).profile();
    let asked: [(&str, u32, Option<u32>, &[&str]); 10] = [
        ("order-summary", 14, Some(3), &[SUMMARY]),
        ("order-mass", 14, Some(3), &[MASS_READINGS]),
        ("order-molar", 14, Some(3), &[MOLAR_READINGS]),
        ("order-both-units", 14, Some(3), &[MOLAR_READINGS, MASS_READINGS]),
        ("order-device", 14, Some(3), &[DEVICE]),
        ("order-device-readings", 14, Some(3), &[DEVICE, MASS_READINGS]),
        ("order-summary-readings", 1, None, &[SUMMARY, MASS_READINGS]),
        ("order-pdf", 14, None, &[PDF, MOLAR_READINGS]),
        ("order-members", 14, Some(3), &MEMBERS),
        ("order-everything", 14, Some(3), &EVERYTHING),
    ];
    // Today is 1 July, and it is 08:00.
    let days_ago =
        |hour: &str, days| time(&format!("2024-07-01T{hour}:00:00Z")) - TimeDelta::days(days);
    let readings: Vec<_> = (0..=2)
        .flat_map(|days| ["06", "07"].map(|hour| of(SENSOR, days_ago(hour, days), mg(140))))
        .collect();
    let mut stories: Vec<_> = asked
        .into_iter()
        .map(|(name, days, lookback, profiles)| {
            story(name, readings.clone(), &[Ask::Ordered { days, lookback, profiles }])
        })
        .collect();
    // Two weeks, worn throughout: a summary without a note.
    let start = days_ago("07", 16);
    let fortnight = (0..16 * 96).map(|n| {
        of(SENSOR, start + TimeDelta::minutes(15 * n), mg(60 + u32::try_from(n % 200).unwrap()))
    });
    let ask = [Ask::Ordered { days: 14, lookback: None, profiles: &[SUMMARY] }];
    stories.push(story("order-fortnight", fortnight.collect(), &ask));
    stories
}
