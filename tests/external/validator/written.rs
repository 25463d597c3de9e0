//! What the crate can write and the SDK does not send of itself, or only rarely: straight through
//! `BundleWriter`.

use crate::bundles::Bundle;
use crate::chance::Chance;
use cgm_submitter::fhir::{
    BundleError, BundleLimits, BundleWriter, DeviceEntry, DeviceReference, Dialect,
    EarlierResource, EntryKind, Fit, PatientId, ReadingEntry, SubjectReference, SummaryEntry,
    SummaryFacts, SummaryMember, UnitWriter,
};
use cgm_submitter::glucose::{
    AbsentReason, DateRange, Device, EarlierReading, GlucoseUnit, GlucoseValue, Measurement,
    SensorKey, UtcOffset,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use proptest::prelude::*;

const UNITS: [GlucoseUnit; 2] = [GlucoseUnit::MgPerDl, GlucoseUnit::MmolPerL];
const RANDOM_READINGS: usize = 16;
const RANDOM_DEVICES: usize = 4;
/// 1990 and 2030, in unix seconds.
const YEARS: std::ops::Range<i64> = 631_152_000..1_893_456_000;

type Written = Result<(), BundleError>;

/// A patient and a sensor of theirs.
struct Person {
    subject: SubjectReference,
    sensor: SensorKey,
}

impl Person {
    fn new(patient: &str) -> Self {
        let subject = SubjectReference::new(PatientId::new(patient).unwrap());
        Self { subject, sensor: SensorKey::new("demo:CGM-0001").unwrap() }
    }

    fn reading(
        &self,
        seconds: i64,
        measurement: Measurement,
        unit: GlucoseUnit,
    ) -> ReadingEntry<'_> {
        ReadingEntry {
            subject: &self.subject,
            sensor: &self.sensor,
            seconds,
            offset: UtcOffset::from_minutes(-210).unwrap(),
            measurement,
            unit,
            device: None,
            history: &[],
        }
    }

    fn device<'a>(&'a self, device: &'a Device) -> DeviceEntry<'a> {
        DeviceEntry { subject: &self.subject, device, sensor: &self.sensor }
    }

    fn summary<'a>(&'a self, facts: &'a SummaryFacts, unit: GlucoseUnit) -> SummaryEntry<'a> {
        SummaryEntry::new(&self.subject, facts, unit).unwrap()
    }
}

/// A bundle of one unit.
fn bundle(
    dialect: Dialect,
    conditional: bool,
    write: impl FnOnce(&mut UnitWriter<'_>) -> Written,
) -> Vec<u8> {
    let timestamp: DateTime<Utc> = "2024-02-29T23:59:59.999Z".parse().unwrap();
    let writer = BundleWriter::new(timestamp, BundleLimits::default()).for_dialect(dialect);
    let mut writer = writer.with_conditional_create(conditional);
    assert_eq!(writer.try_unit(write), Ok(Fit::Added));
    writer.finish().unwrap().json
}

fn mg(text: &str) -> GlucoseValue {
    GlucoseValue::parse(text, GlucoseUnit::MgPerDl).unwrap()
}

/// Figures of these dates. GMI follows from the mean by the formula of Bergenstal 2018.
fn facts(dates: &str, mean_mg_dl: f64) -> SummaryFacts {
    SummaryFacts {
        dates: dates.parse().unwrap(),
        mean_mg_dl,
        gmi_percent: 3.31 + 0.023_92 * mean_mg_dl,
        cv_percent: 35.995,
        ranges_hundredths: [301, 799, 6500, 2000, 400],
        days_of_wear: 1,
        sensor_active_percent: 95.0,
        note: None,
    }
}

pub(crate) fn write(dialect: Dialect) -> Vec<Bundle> {
    let bundle = |name, number, conditional, write: &dyn Fn(&mut UnitWriter<'_>) -> Written| {
        Bundle::new(dialect, name, number, conditional, bundle(dialect, conditional, write))
    };
    let mut all = vec![
        bundle("written-together", 1, true, &together),
        bundle("written-together", 2, false, &together),
    ];
    for (number, unit) in (1..).zip(UNITS) {
        all.push(bundle("written-replacing", number, true, &|entries| replacing(unit, entries)));
        all.push(bundle("written-members-alone", number, true, &|entries| {
            members_alone(unit, entries)
        }));
        all.push(bundle("written-limits", number, true, &|entries| limits(unit, entries)));
        all.push(bundle("written-random", number, true, &|entries| random(unit, entries)));
    }
    all
}

/// A device, readings that refer to its entry, and a summary.
fn together(bundle: &mut UnitWriter<'_>) -> Written {
    let (person, device) = (Person::new("7"), Device::new("Demo CGM", Some("0001")).unwrap());
    let entry = bundle.device(&person.device(&device))?;
    for unit in UNITS {
        let measurement = Measurement::Value(mg("100.10"));
        let reading = person.reading(1_714_634_100, measurement, unit);
        bundle.reading(&ReadingEntry { device: Some(DeviceReference::Entry(entry)), ..reading })?;
    }
    bundle
        .summary(&person.summary(&facts("2024-05-01..2024-05-14", 145.25), GlucoseUnit::MgPerDl))
        .map(drop)
}

/// What names an earlier one the way the SDK does not.
fn replacing(unit: GlucoseUnit, bundle: &mut UnitWriter<'_>) -> Written {
    let person = Person::new("A.b-3");
    let reading = person.reading(1_709_251_199, Measurement::Above(mg("400")), unit);
    let earlier = EarlierReading { seconds: 1_709_251_200, measurement: reading.measurement };
    bundle.reading(&ReadingEntry { history: &[earlier], ..reading })?;
    let (facts, before) =
        (facts("2024-02-29..2024-02-29", 99.95), facts("2024-02-29..2024-02-29", 99.85));
    let before = person.summary(&before, unit);
    let members = SummaryMember::of_summary(unit).into_iter().filter_map(|member| {
        let kind = EntryKind::SummaryMember(member);
        Some((kind, before.member_identifier(member)?, Some("Observation/b.7-C")))
    });
    let summary = (EntryKind::Summary, before.identifier(), None);
    let earlier: Vec<EarlierResource<'_>> = members
        .chain([summary])
        .map(|(kind, identifier, location)| EarlierResource {
            kind,
            identifier,
            location,
            is_there: true,
        })
        .collect();
    let summary =
        SummaryEntry::after(Dialect::Hl7Cgm, &earlier, &person.subject, &facts, unit).unwrap();
    bundle.summary(&summary).map(drop)
}

fn members_alone(unit: GlucoseUnit, bundle: &mut UnitWriter<'_>) -> Written {
    let (person, facts) = (Person::new("7"), facts("2023-12-31..2024-01-01", 154.0));
    for member in SummaryMember::of_summary(unit) {
        bundle.summary_member(&person.summary(&facts, unit), member)?.unwrap();
    }
    Ok(())
}

/// The widest of everything: patient id, times, values, figures.
fn limits(unit: GlucoseUnit, bundle: &mut UnitWriter<'_>) -> Written {
    let person = Person::new(&format!("{}{}", "-.aZ09".repeat(10), "abcd"));
    let ends = match unit {
        GlucoseUnit::MgPerDl => ["10.000000", "1000"],
        GlucoseUnit::MmolPerL => ["0.555075", "55.507479"],
    };
    for (text, seconds) in ends.into_iter().zip([YEARS.start, YEARS.end]) {
        let value = GlucoseValue::parse(text, unit).unwrap();
        bundle.reading(&person.reading(seconds, Measurement::Value(value), unit))?;
        bundle.reading(&person.reading(seconds + 1, Measurement::Below(value), unit))?;
    }
    let low = SummaryFacts {
        ranges_hundredths: [10_000, 0, 0, 0, 0],
        cv_percent: 0.0,
        days_of_wear: 0,
        sensor_active_percent: 0.0,
        note: Some(
            "Fewer data than \"enough\": <interpret> & take care,\n2 lines — ≥ 70 %".to_owned(),
        ),
        ..facts("1990-01-01..1990-01-01", 10.0)
    };
    let high = SummaryFacts {
        ranges_hundredths: [0, 0, 0, 0, 10_000],
        cv_percent: 999.994,
        days_of_wear: 366,
        sensor_active_percent: 100.0,
        ..facts("2024-01-01..2024-12-31", 1000.0)
    };
    bundle.summary(&person.summary(&low, unit))?;
    bundle.summary(&person.summary(&high, unit)).map(drop)
}

fn random(unit: GlucoseUnit, bundle: &mut UnitWriter<'_>) -> Written {
    let (person, mut chance) = (Person::new("7"), Chance::new());
    let mut devices = Vec::new();
    while devices.len() < RANDOM_DEVICES {
        let (name, serial) = chance.draw((r"\PC{1,40}", proptest::option::of(r"\PC{1,20}")));
        if let Ok(device) = Device::new(name, serial.as_deref()) {
            devices.push(bundle.device(&person.device(&device))?);
        }
    }
    for _ in 0..RANDOM_READINGS {
        let (seconds, offset) = chance.draw((YEARS, -1080..=1080));
        let location = chance.draw("Device/[A-Za-z0-9-]{1,64}");
        let reading = person.reading(seconds, chance.draw(measurement()), unit);
        let device = match chance.draw(0..3) {
            0 => None,
            1 => Some(DeviceReference::Location(&location)),
            _ => {
                Some(DeviceReference::Entry(chance.draw(proptest::sample::select(devices.clone()))))
            }
        };
        let measurement = Measurement::Below(mg("39"));
        let earlier = [EarlierReading { seconds, measurement }];
        let history = if chance.draw(0..3) == 0 { &earlier[..] } else { &[] };
        let offset = UtcOffset::from_minutes(offset).unwrap();
        bundle.reading(&ReadingEntry { offset, device, history, ..reading })?;
    }
    let facts = chance.draw(random_facts());
    bundle.summary(&person.summary(&facts, unit)).map(drop)
}

fn measurement() -> impl Strategy<Value = Measurement> {
    let reasons = [
        AbsentReason::Unknown,
        AbsentReason::Error,
        AbsentReason::NotPerformed,
        AbsentReason::Masked,
    ];
    let text = |least: f64, most: f64| {
        (least..most, 0..=6_usize).prop_map(|(v, scale)| format!("{v:.scale$}"))
    };
    let mass = text(11.0, 999.0)
        .prop_map(|text| GlucoseValue::parse(&text, GlucoseUnit::MgPerDl).unwrap());
    let molar =
        text(1.0, 54.0).prop_map(|text| GlucoseValue::parse(&text, GlucoseUnit::MmolPerL).unwrap());
    prop_oneof![
        4 => mass.clone().prop_map(Measurement::Value),
        4 => molar.clone().prop_map(Measurement::Value),
        1 => mass.prop_map(Measurement::Below),
        1 => molar.prop_map(Measurement::Above),
        1 => proptest::sample::select(reasons.to_vec()).prop_map(Measurement::Absent),
    ]
}

fn random_facts() -> impl Strategy<Value = SummaryFacts> {
    let first = NaiveDate::from_ymd_opt(1990, 1, 1).unwrap();
    let dates = (0_i64..12_000, 0_i64..366).prop_map(move |(from, days)| {
        let from = first + TimeDelta::days(from);
        DateRange::new(from, from + TimeDelta::days(days)).unwrap()
    });
    let cuts = proptest::array::uniform4(0_u32..=10_000).prop_map(|mut cuts| {
        cuts.sort_unstable();
        let [a, b, c, d] = cuts;
        [a, b - a, c - b, d - c, 10_000 - d]
    });
    let note = proptest::option::of(r"\PC{1,60}");
    (dates, 10.0..1000.0_f64, 0.0..200.0_f64, cuts, 0.0..100.0_f64, note).prop_map(
        |(dates, mean, cv, cuts, active, note)| SummaryFacts {
            dates,
            cv_percent: cv,
            ranges_hundredths: cuts,
            sensor_active_percent: active,
            note,
            ..facts("2024-05-01..2024-05-14", mean)
        },
    )
}
