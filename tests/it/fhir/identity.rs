//! Which facts share an identifier, and which do not.

use super::*;

fn reading(
    patient: &str,
    sensor: &str,
    key: ReadingKey<'_>,
    unit: GlucoseUnit,
    measurement: Measurement,
) -> Identifier {
    let (patient, sensor) = (PatientId::new(patient).unwrap(), SensorKey::new(sensor).unwrap());
    Identifier::reading(&patient, &sensor, key, unit, measurement)
}

/// These never change: a changed identifier would send everything a second time.
#[test]
fn the_same_fact_has_the_same_identifier_for_ever() {
    let record = RecordKey::new("a|b\\c").unwrap();
    let second = ReadingKey::Second(SECONDS);
    let of = |key, unit, measurement| reading("p-1", "dexcom:82AJ0D", key, unit, measurement).urn();
    let device = Device::new("Dexcom G6", Some("82AJ0D")).unwrap();
    let (subject, facts) = (subject(), facts());
    let summary = SummaryEntry::new(&subject, &facts, MG).unwrap();
    // Beside each, the text it is the UUIDv5 of.
    let golden = [
        // reading|p-1|99504-3|dexcom:82AJ0D|1714634100|121
        (of(second, MG, value("121", MG)), "b39e3b0e-d30f-533e-b554-6c27e1690344"),
        // reading|p-1|105272-9|dexcom:82AJ0D|1714634100|6.7
        (of(second, MMOL, value("6.7", MMOL)), "8dbd781e-9e31-55b1-aa6f-1defab1796eb"),
        // reading|p-1|99504-3|dexcom:82AJ0D|1714634100|<40
        (of(second, MG, Measurement::Below(limit("40"))), "c0aac62c-0e0d-5a1b-b71e-45a614127b15"),
        // reading|p-1|99504-3|dexcom:82AJ0D|1714634100|error
        (
            of(second, MG, Measurement::Absent(AbsentReason::Error)),
            "1cb2550d-648f-5ffb-bd1b-334d04864c00",
        ),
        // reading|p-1|99504-3|dexcom:82AJ0D|tick:-86400|121
        (
            of(ReadingKey::Tick(-86_400), MG, value("121", MG)),
            "cfd1a0f1-74ff-5b9f-a810-890ae0c74ec6",
        ),
        // reading|p-1|99504-3|dexcom:82AJ0D|key:a\|b\\c|121
        (
            of(ReadingKey::Record(&record), MG, value("121", MG)),
            "bf5434e3-4e72-5f69-b689-d462ab93bcba",
        ),
        // device|p-1|Dexcom G6|serial:82AJ0D
        (
            Identifier::device(subject.patient(), &device, &sensor()).urn(),
            "59f249d7-8414-50e8-9b2d-7ed95a841627",
        ),
        // member|p-1|97507-8|2024-05-01|2024-05-14|mg/dL|<SHA-256 of "145.3" and a line end>
        (
            summary.member_identifier(SummaryMember::Mean(MG)).unwrap().urn(),
            "9647ce29-e652-513a-a167-8097b6744ce8",
        ),
        // summary|p-1|107931-8|2024-05-01|2024-05-14|mg/dL|<SHA-256 of every figure, each with a
        // line end>
        (summary.identifier().urn(), "27ea4517-43f1-5da4-ad65-5c10d96dd27f"),
    ];
    for (urn, expected) in golden {
        assert_eq!(urn, format!("urn:uuid:{expected}"));
    }
}

#[test]
fn any_changed_part_is_another_fact() {
    let record = RecordKey::new(&SECONDS.to_string()).unwrap();
    let second = ReadingKey::Second(SECONDS);
    let all = [
        reading("p-1", "s", second, MG, value("121", MG)),
        reading("p-2", "s", second, MG, value("121", MG)),
        reading("p-1", "t", second, MG, value("121", MG)),
        reading("p-1", "s", ReadingKey::Second(SECONDS + 1), MG, value("121", MG)),
        reading("p-1", "s", ReadingKey::Tick(SECONDS), MG, value("121", MG)),
        reading("p-1", "s", ReadingKey::Record(&record), MG, value("121", MG)),
        reading("p-1", "s", second, MMOL, value("121", MG)),
        reading("p-1", "s", second, MG, value("122", MG)),
        reading("p-1", "s", second, MG, Measurement::Below(limit("121"))),
        reading("p-1", "s", second, MG, Measurement::Above(limit("121"))),
        reading("p-1", "s", second, MG, Measurement::Absent(AbsentReason::Error)),
        reading("p-1", "s", second, MG, Measurement::Absent(AbsentReason::Unknown)),
    ];
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn zeros_offset_and_what_it_replaces_make_no_other_fact() {
    let example = Example::new();
    let one = example.reading(value("121", MG), MG);
    let same = ReadingEntry {
        offset: UtcOffset::UTC,
        measurement: value("121.00", MG),
        device: Some(DeviceReference::Location("Device/1")),
        replaces: Some(Replaced::Location("Observation/2")),
        ..one
    };
    assert_eq!(one.identifier(), same.identifier());
}

#[test]
fn the_best_key_there_is_is_used() {
    let plain = Sensor::new(sensor(), Device::new("G6", None).unwrap());
    let ticking = plain.clone().with_tick_epoch(SECONDS - 300);
    let record = RecordKey::new("r").unwrap();
    let of = |key| reading("p", "s", key, MG, value("121", MG));
    assert_eq!(of(ReadingKey::of(&plain, SECONDS, None)), of(ReadingKey::Second(SECONDS)));
    assert_eq!(of(ReadingKey::of(&ticking, SECONDS, None)), of(ReadingKey::Tick(300)));
    assert_eq!(
        of(ReadingKey::of(&ticking, SECONDS, Some(&record))),
        of(ReadingKey::Record(&record))
    );
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
        let of = |sensor: &str, record: &str| {
            let record = RecordKey::new(record).unwrap();
            reading("p", sensor, ReadingKey::Record(&record), MG, value("121", MG))
        };
        prop_assert_eq!(of(&a, &b) == of(&c, &d), (&a, &b) == (&c, &d));
    }
}
