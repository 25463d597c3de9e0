//! Which facts share an identifier, and which do not.

use super::*;
use std::collections::HashSet;

fn reading(
    patient: &str,
    sensor: &str,
    seconds: i64,
    unit: GlucoseUnit,
    measurement: Measurement,
) -> Identifier {
    reading_after(&[], patient, sensor, seconds, unit, measurement)
}

fn reading_after(
    history: &[EarlierReading],
    patient: &str,
    sensor: &str,
    seconds: i64,
    unit: GlucoseUnit,
    measurement: Measurement,
) -> Identifier {
    let subject = SubjectReference::new(PatientId::new(patient).unwrap());
    let sensor = SensorKey::new(sensor).unwrap();
    let offset = UtcOffset::from_minutes(180).unwrap();
    let (subject, sensor) = (&subject, &sensor);
    ReadingEntry { subject, sensor, seconds, offset, measurement, unit, device: None, history }
        .identifier()
}

/// What a receiver saw before: seconds after [`SECONDS`], and a value in mg/dL.
fn seen<const N: usize>(versions: [(i64, &str); N]) -> [EarlierReading; N] {
    versions.map(|(after, text)| EarlierReading {
        seconds: SECONDS + after,
        measurement: value(text, MG),
    })
}

/// A summary with this mean and GMI, after others, and its mean's identifier.
fn summary_after(
    earlier: &[(EntryKind, Identifier)],
    mean_mg_dl: f64,
    gmi_percent: f64,
) -> [(EntryKind, Identifier); 2] {
    let (subject, facts) = (subject(), SummaryFacts { mean_mg_dl, gmi_percent, ..facts() });
    let earlier: Vec<EarlierResource<'_>> = earlier
        .iter()
        .map(|(kind, identifier)| EarlierResource {
            kind: *kind,
            identifier: *identifier,
            location: None,
            is_there: true,
        })
        .collect();
    let summary = SummaryEntry::after(Dialect::Hl7Cgm, &earlier, &subject, &facts, MG).unwrap();
    let mean = SummaryMember::Mean(MG);
    [
        (EntryKind::Summary, summary.identifier()),
        (EntryKind::SummaryMember(mean), summary.member_identifier(mean).unwrap()),
    ]
}

/// Everything in `golden/identifiers.tsv` by its name there.
fn identifiers() -> Vec<(&'static str, Identifier)> {
    let of = |unit, measurement| reading("p-1", "dexcom:82AJ0D", SECONDS, unit, measurement);
    let after = |history: &[EarlierReading], seconds, text| {
        reading_after(history, "p-1", "dexcom:82AJ0D", seconds, MG, value(text, MG))
    };
    let device = |serial| {
        let device = Device::new("Dexcom G6", serial).unwrap();
        Identifier::device(subject().patient(), &device, &sensor())
    };
    let [first_summary, first_mean] = summary_after(&[], 145.25, 6.784_58);
    let [second_summary, second_mean] =
        summary_after(&[first_summary, first_mean], 146.0, 6.802_32);
    let sent = [first_summary, first_mean, second_summary, second_mean];
    let [third_summary, third_mean] = summary_after(&sent, 145.25, 6.784_58);
    let sent = [first_summary, second_summary, third_summary];
    let [fourth_summary, _] = summary_after(&sent, 146.0, 6.802_32);
    vec![
        ("mass", of(MG, value("121", MG))),
        ("molar", of(MMOL, value("6.7", MMOL))),
        ("converted", of(MG, value("6.0", MMOL))),
        ("below", of(MG, Measurement::Below(limit("40")))),
        ("above", of(MMOL, Measurement::Above(limit("400")))),
        ("absent", of(MG, Measurement::Absent(AbsentReason::Error))),
        ("escaped", reading("p-1", "a|b\\c", SECONDS, MG, value("121", MG))),
        ("corrected", after(&seen([(0, "121")]), SECONDS, "120")),
        ("corrected back", after(&seen([(0, "121"), (0, "120")]), SECONDS, "121")),
        (
            "corrected forth again",
            after(&seen([(0, "121"), (0, "120"), (0, "121.0")]), SECONDS, "120"),
        ),
        (
            "corrected back twice",
            after(&seen([(0, "121"), (0, "120"), (0, "121"), (0, "120.0")]), SECONDS, "121"),
        ),
        ("moved", after(&seen([(0, "121")]), SECONDS + 3600, "121")),
        ("moved back", after(&seen([(0, "121"), (3600, "121")]), SECONDS, "121")),
        ("device", device(Some("82AJ0D"))),
        ("device without serial number", device(None)),
        ("mean", first_mean.1),
        ("summary", first_summary.1),
        ("changed mean", second_mean.1),
        ("changed summary", second_summary.1),
        ("mean back", third_mean.1),
        ("summary back", third_summary.1),
        ("summary forth again", fourth_summary.1),
    ]
}

/// `golden/identifiers.py` works them out from the recipe. They never change: a changed identifier
/// would send everything a second time.
#[test]
fn the_same_fact_has_the_same_identifier_for_ever() {
    let golden: Vec<(&str, &str)> = include_str!("golden/identifiers.tsv")
        .lines()
        .map(|line| {
            let mut cells = line.split('\t');
            (cells.next().unwrap(), cells.next().unwrap())
        })
        .collect();
    let ours = identifiers();
    let ours: Vec<(&str, String)> = ours.into_iter().map(|(case, one)| (case, one.urn())).collect();
    let ours: Vec<(&str, &str)> = ours.iter().map(|(case, urn)| (*case, urn.as_str())).collect();
    assert_eq!(ours, golden);
    let distinct: HashSet<&str> = golden.iter().map(|(_, urn)| *urn).collect();
    assert_eq!(distinct.len(), golden.len());
}

#[test]
fn a_version_that_says_the_same_as_the_one_before_it_is_that_one() {
    let of = |history: &[EarlierReading], measurement| {
        reading_after(history, "p-1", "s", SECONDS, MG, measurement)
    };
    let first = of(&[], value("121", MG));
    assert_eq!(of(&seen([(0, "121.00")]), value("121", MG)), first);
    // 120.704 and 120.885 mg/dL.
    let molar = EarlierReading { seconds: SECONDS, measurement: value("6.7", MMOL) };
    assert_eq!(of(&[molar], value("6.71", MMOL)), first);
    let back = of(&seen([(0, "121"), (0, "120")]), value("121", MG));
    assert_eq!(of(&seen([(0, "121"), (0, "120"), (0, "121")]), value("121.0", MG)), back);
}

#[test]
fn any_changed_part_is_another_fact() {
    let all = [
        reading("p-1", "s", SECONDS, MG, value("121", MG)),
        reading("p-2", "s", SECONDS, MG, value("121", MG)),
        reading("p-1", "t", SECONDS, MG, value("121", MG)),
        reading("p-1", "s", SECONDS + 1, MG, value("121", MG)),
        reading("p-1", "s", SECONDS, MMOL, value("121", MG)),
        reading("p-1", "s", SECONDS, MG, value("122", MG)),
        reading("p-1", "s", SECONDS, MG, Measurement::Below(limit("121"))),
        reading("p-1", "s", SECONDS, MG, Measurement::Above(limit("121"))),
        reading("p-1", "s", SECONDS, MG, Measurement::Absent(AbsentReason::Error)),
        reading("p-1", "s", SECONDS, MG, Measurement::Absent(AbsentReason::Unknown)),
    ];
    let distinct: HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn zeros_offset_and_device_make_no_other_fact() {
    let example = Example::new();
    let one = example.reading(value("121", MG), MG);
    let same = ReadingEntry {
        offset: UtcOffset::UTC,
        measurement: value("121.00", MG),
        device: Some(DeviceReference::Location("Device/1")),
        ..one
    };
    assert_eq!(one.identifier(), same.identifier());
}

#[test]
fn a_fuller_summary_is_another_fact_and_its_unchanged_figures_are_not() {
    let (subject, facts) = (subject(), facts());
    let fuller = SummaryFacts { mean_mg_dl: 146.0, note: Some("note".into()), ..facts.clone() };
    let reworded = SummaryFacts { note: Some("other words".into()), ..facts.clone() };
    let entry = |facts| SummaryEntry::new(&subject, facts, MG).unwrap();
    assert_ne!(entry(&facts).identifier(), entry(&fuller).identifier());
    assert_eq!(entry(&facts).identifier(), entry(&reworded).identifier());
    let of =
        |facts, member| SummaryEntry::new(&subject, facts, MG).unwrap().member_identifier(member);
    assert_ne!(of(&facts, SummaryMember::Mean(MG)), of(&fuller, SummaryMember::Mean(MG)));
    assert_eq!(of(&facts, SummaryMember::Gmi), of(&fuller, SummaryMember::Gmi));
    let molar = SummaryEntry::new(&subject, &facts, MMOL).unwrap();
    assert_ne!(entry(&facts).identifier(), molar.identifier());
    assert_eq!(of(&facts, SummaryMember::Gmi), molar.member_identifier(SummaryMember::Gmi));
}

#[test]
fn a_device_is_told_apart_by_patient_name_and_serial_number() {
    let identifier = |patient: &str, name: &str, serial: Option<&str>, sensor: &str| {
        let device = Device::new(name, serial).unwrap();
        let (patient, sensor) = (PatientId::new(patient).unwrap(), SensorKey::new(sensor).unwrap());
        Identifier::device(&patient, &device, &sensor)
    };
    let one = identifier("p", "G6", Some("82AJ0D"), "a");
    assert_eq!(one, identifier("p", "G6", Some("82AJ0D"), "b"), "a receiver with another sensor");
    assert_ne!(one, identifier("q", "G6", Some("82AJ0D"), "a"));
    assert_ne!(one, identifier("p", "G7", Some("82AJ0D"), "a"));
    assert_ne!(one, identifier("p", "G6", Some("82AJ0E"), "a"));
    assert_ne!(identifier("p", "G6", None, "a"), identifier("p", "G6", None, "b"));
    assert_ne!(identifier("p", "G6", None, "a"), identifier("p", "G6", Some("a"), "a"));
}

proptest! {
    /// Parts with the separator and the escape in them, moved across their border.
    #[test]
    fn no_two_lists_of_parts_join_alike(
        a in "[a|\\\\]{1,6}", b in "[a|\\\\]{1,6}", c in "[a|\\\\]{1,6}", d in "[a|\\\\]{1,6}",
    ) {
        let of = |name: &str, serial: &str| {
            let device = Device::new(name, Some(serial)).unwrap();
            Identifier::device(&PatientId::new("p").unwrap(), &device, &sensor())
        };
        prop_assert_eq!(of(&a, &b) == of(&c, &d), (&a, &b) == (&c, &d));
    }
}
