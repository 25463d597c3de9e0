//! Bundles as receivers see them: each resource's shape, the guide's own codes, identity, limits, and answers read back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use cgm_submitter::fhir::{
    BundleError, BundleLimits, BundleWriter, DeviceEntry, DeviceReference, EntryKind, Fit, Identifier, PatientId,
    ReadingEntry, ReadingKey, Replaced, ResponseError, SubjectReference, SummaryEntry, SummaryFacts, SummaryMember,
    parse_capability, parse_outcome, parse_patient, parse_response,
};
use cgm_submitter::glucose::{
    AbsentReason, Device, GlucoseUnit, GlucoseValue, Measurement, RecordKey, Sensor, SensorKey, UtcOffset,
};
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

const MG: GlucoseUnit = GlucoseUnit::MgPerDl;
const MMOL: GlucoseUnit = GlucoseUnit::MmolPerL;
/// 2024-05-02T10:15:00+03:00
const SECONDS: i64 = 1_714_634_100;

fn subject() -> SubjectReference {
    SubjectReference::new(PatientId::new("p-1").unwrap())
}

fn sensor() -> SensorKey {
    SensorKey::new("dexcom:82AJ0D").unwrap()
}

fn value(text: &str, unit: GlucoseUnit) -> Measurement {
    Measurement::Value(GlucoseValue::parse(text, unit).unwrap())
}

fn limit(text: &str) -> GlucoseValue {
    GlucoseValue::parse(text, MG).unwrap()
}

/// A reading at 10:15 on 2 May 2024 in Bucharest, sent in `unit`.
struct Example {
    subject: SubjectReference,
    sensor: SensorKey,
}

impl Example {
    fn new() -> Self {
        Self { subject: subject(), sensor: sensor() }
    }

    fn reading(&self, measurement: Measurement, unit: GlucoseUnit) -> ReadingEntry<'_> {
        ReadingEntry {
            subject: &self.subject,
            sensor: &self.sensor,
            key: ReadingKey::Second(SECONDS),
            seconds: SECONDS,
            offset: UtcOffset::from_minutes(180).unwrap(),
            measurement,
            unit,
            device: None,
            replaces: None,
        }
    }
}

fn facts() -> SummaryFacts {
    SummaryFacts {
        dates: "2024-05-01..2024-05-14".parse().unwrap(),
        mean_mg_dl: 145.25,
        gmi_percent: 6.784_58,
        cv_percent: 35.999,
        ranges_hundredths: [301, 799, 6500, 2000, 400],
        days_of_wear: 14,
        sensor_active_percent: 95.0,
        note: None,
    }
}

fn writer() -> BundleWriter {
    BundleWriter::new("2024-05-15T06:00:00Z".parse::<DateTime<Utc>>().unwrap(), BundleLimits::default())
}

fn parsed(bundle: BundleWriter) -> Value {
    serde_json::from_slice(&bundle.finish().unwrap().json).unwrap()
}

fn check(name: &str, bundle: BundleWriter) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("fixtures/fhir/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // As written, not as parsed: the digits are part of what is checked.
    let text = String::from_utf8(bundle.finish().unwrap().json).unwrap();
    settings.bind(|| insta::assert_snapshot!(name, indented(&text)));
}

/// The same JSON on many lines, every token as it was.
fn indented(json: &str) -> String {
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    for letter in json.chars() {
        if quoted {
            quoted = escaped || letter != '"';
            escaped = letter == '\\' && !escaped;
            out.push(letter);
            continue;
        }
        match letter {
            '{' | '[' => {
                depth += 1;
                out.push(letter);
                line(&mut out, depth);
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                line(&mut out, depth);
            }
            _ => {
                quoted = letter == '"';
                out.push(letter);
                if letter == ':' {
                    out.push(' ');
                }
            }
        }
    }
    out
}

mod resources {
    use super::*;

    #[test]
    fn readings_of_every_kind() {
        let example = Example::new();
        let device = Device::new("Dexcom G6", Some("82AJ0D")).unwrap();
        let mut bundle = writer();
        let readings = [
            example.reading(value("121", MG), MG),
            example.reading(value("100.10", MG), MG),
            example.reading(value("6.7", MMOL), MMOL),
            example.reading(value("6.0", MMOL), MG),
            example.reading(Measurement::Below(limit("40")), MG),
            example.reading(Measurement::Above(limit("400")), MMOL),
            example.reading(Measurement::Absent(AbsentReason::Error), MG),
        ];
        let fit = bundle.try_unit(|unit| {
            let device =
                unit.device(&DeviceEntry { subject: &example.subject, device: &device, sensor: &example.sensor })?;
            for reading in readings {
                unit.reading(&ReadingEntry { device: Some(DeviceReference::Entry(device)), ..reading })?;
            }
            Ok(())
        });
        assert_eq!(fit, Ok(Fit::Added));
        check("readings", bundle);
    }

    #[test]
    fn a_correction_says_what_it_replaces() {
        let example = Example::new();
        let earlier = example.reading(value("121", MG), MG).identifier();
        let mut bundle = writer();
        for (text, replaced) in [("120", Replaced::Identifier(earlier)), ("119", Replaced::Location("Observation/12"))]
        {
            let reading = ReadingEntry {
                offset: UtcOffset::UTC,
                device: Some(DeviceReference::Location("Device/7")),
                replaces: Some(replaced),
                ..example.reading(value(text, MG), MG)
            };
            assert_eq!(bundle.try_unit(|unit| unit.reading(&reading).map(drop)), Ok(Fit::Added));
        }
        check("corrections", bundle);
    }

    #[test]
    fn summaries_with_their_members() {
        let subject = subject();
        for (name, unit) in [("summary_mass", MG), ("summary_molar", MMOL)] {
            let note = Some("Only 6 days of data: at least 14 days are needed to judge by.".to_owned());
            let facts = SummaryFacts { note, ..facts() };
            let summary =
                SummaryEntry::new(&subject, &facts, unit).unwrap().replacing(Replaced::Location("Observation/41"));
            let mut bundle = writer();
            assert_eq!(bundle.try_unit(|unit| unit.summary(&summary).map(drop)), Ok(Fit::Added));
            assert_eq!(bundle.len(), 7);
            check(name, bundle);
        }
    }

    #[test]
    fn a_device_without_serial_number_and_a_bundle_without_conditions() {
        let example = Example::new();
        let device = Device::new("Sensor \"A\" | β", None).unwrap();
        let mut bundle = writer().with_conditional_create(false);
        let entry = DeviceEntry { subject: &example.subject, device: &device, sensor: &example.sensor };
        assert_eq!(bundle.try_unit(|unit| unit.device(&entry).map(drop)), Ok(Fit::Added));
        check("device_unconditional", bundle);
    }

    #[test]
    fn one_figure_goes_alone_where_that_is_asked_for() {
        let (subject, facts) = (subject(), facts());
        let summary = SummaryEntry::new(&subject, &facts, MG).unwrap();
        let mut bundle = writer();
        let fit = bundle.try_unit(|unit| {
            assert_eq!(unit.summary_member(&summary, SummaryMember::Mean(MMOL))?, None);
            unit.summary_member(&summary, SummaryMember::Gmi).map(drop)
        });
        assert_eq!(fit, Ok(Fit::Added));
        let bundle = bundle.finish().unwrap();
        assert_eq!(bundle.entries[0].kind, EntryKind::SummaryMember(SummaryMember::Gmi));
        assert!(String::from_utf8(bundle.json).unwrap().contains(r#""value":6.78,"#));
    }

    #[test]
    fn a_summary_that_cannot_be_said_is_refused() {
        let subject = subject();
        for broken in [
            SummaryFacts { cv_percent: f64::NAN, ..facts() },
            SummaryFacts { mean_mg_dl: -1.0, ..facts() },
            SummaryFacts { ranges_hundredths: [0, 0, 9_999, 0, 0], ..facts() },
            SummaryFacts { ranges_hundredths: [u32::MAX, 10_001, 0, 0, 0], ..facts() },
        ] {
            assert!(SummaryEntry::new(&subject, &broken, MG).is_err());
        }
    }
}

mod the_guide {
    use super::*;

    fn definition(name: &str) -> Value {
        let folder = std::env::var("CGM_IG_DIR").unwrap_or_else(|_| "../shared/ig/hl7.fhir.uv.cgm-1.0.0".into());
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("StructureDefinition-{name}.json"));
        serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
    }

    /// What the profile fixes on an element, by the element's id.
    fn fixed(profile: &Value, element: &str) -> Value {
        let elements = profile["differential"]["element"].as_array().unwrap();
        let element = elements.iter().find(|e| e["id"] == element).unwrap_or_else(|| panic!("{element}"));
        let pattern = element.as_object().unwrap().iter().find(|(key, _)| key.starts_with("pattern"));
        pattern.unwrap_or_else(|| panic!("no pattern")).1.clone()
    }

    /// Whether everything the pattern says stands in `found`.
    fn matches(pattern: &Value, found: &Value) -> bool {
        match (pattern, found) {
            (Value::Object(pattern), Value::Object(found)) => {
                pattern.iter().all(|(key, value)| found.get(key).is_some_and(|f| matches(value, f)))
            }
            (Value::Array(pattern), Value::Array(found)) => {
                pattern.iter().all(|value| found.iter().any(|f| matches(value, f)))
            }
            _ => pattern == found,
        }
    }

    fn assert_fixed(profile: &Value, element: &str, found: &Value) {
        let pattern = fixed(profile, element);
        assert!(matches(&pattern, found), "{element}: {pattern} is not in {found}");
    }

    #[test]
    fn readings_have_the_profiles_codes_and_units() {
        for (name, unit) in [("cgm-sensor-reading-mass-per-volume", MG), ("cgm-sensor-reading-moles-per-volume", MMOL)]
        {
            let example = Example::new();
            let mut bundle = writer();
            let reading = example.reading(value("6.7", MMOL), unit);
            assert_eq!(bundle.try_unit(|unit| unit.reading(&reading).map(drop)), Ok(Fit::Added));
            let resource = &parsed(bundle)["entry"][0]["resource"];
            let profile = definition(name);
            assert_fixed(&profile, "Observation.code", &resource["code"]);
            assert_fixed(&profile, "Observation.value[x]", &resource["valueQuantity"]);
        }
    }

    #[test]
    fn summaries_have_the_profiles_codes_and_units() {
        let (subject, facts) = (subject(), facts());
        for unit in [MG, MMOL] {
            let summary = SummaryEntry::new(&subject, &facts, unit).unwrap();
            let mut bundle = writer();
            assert_eq!(bundle.try_unit(|unit| unit.summary(&summary).map(drop)), Ok(Fit::Added));
            let bundle = bundle.finish().unwrap();
            let json: Value = serde_json::from_slice(&bundle.json).unwrap();
            for (index, entry) in bundle.entries.iter().enumerate() {
                let resource = &json["entry"][index]["resource"];
                let EntryKind::SummaryMember(member) = entry.kind else {
                    assert_fixed(&definition("cgm-summary"), "Observation.code", &resource["code"]);
                    continue;
                };
                let profile = definition(member.profile());
                assert_fixed(&profile, "Observation.code", &resource["code"]);
                match member {
                    SummaryMember::TimesInRanges => {
                        let slices = ["VeryLow", "Low", "Target", "High", "VeryHigh"];
                        for (component, slice) in resource["component"].as_array().unwrap().iter().zip(slices) {
                            let at = format!("Observation.component:timeIn{slice}");
                            assert_fixed(&profile, &format!("{at}.code"), &component["code"]);
                            assert_fixed(&profile, &format!("{at}.value[x]"), &component["valueQuantity"]);
                        }
                    }
                    SummaryMember::DaysOfWear => {
                        assert_fixed(&profile, "Observation.value[x]:valueQuantity", &resource["valueQuantity"]);
                    }
                    _ => assert_fixed(&profile, "Observation.value[x]", &resource["valueQuantity"]),
                }
            }
        }
    }

    #[test]
    fn every_member_is_referred_to_by_its_full_url() {
        let (subject, facts) = (subject(), facts());
        let summary = SummaryEntry::new(&subject, &facts, MG).unwrap();
        let mut bundle = writer();
        assert_eq!(bundle.try_unit(|unit| unit.summary(&summary).map(drop)), Ok(Fit::Added));
        let json = parsed(bundle);
        let entries = json["entry"].as_array().unwrap();
        let urls: Vec<&Value> = entries[..6].iter().map(|entry| &entry["fullUrl"]).collect();
        let members = entries[6]["resource"]["hasMember"].as_array().unwrap();
        assert_eq!(members.iter().map(|member| &member["reference"]).collect::<Vec<_>>(), urls);
    }

    #[test]
    fn the_bundle_and_the_device_are_as_the_profiles_fix_them() {
        let example = Example::new();
        let device = Device::new("Dexcom G6", Some("82AJ0D")).unwrap();
        let entry = DeviceEntry { subject: &example.subject, device: &device, sensor: &example.sensor };
        let mut bundle = writer();
        assert_eq!(bundle.try_unit(|unit| unit.device(&entry).map(drop)), Ok(Fit::Added));
        let json = parsed(bundle);
        assert_fixed(&definition("cgm-data-submission-bundle"), "Bundle.type", &json["type"]);
        let name = &json["entry"][0]["resource"]["deviceName"][0];
        assert_fixed(&definition("cgm-device"), "Device.deviceName:cgmDeviceName.type", &name["type"]);
        assert_eq!(json["timestamp"], "2024-05-15T06:00:00.000Z");
    }
}

mod identity {
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
            (of(second, MG, Measurement::Absent(AbsentReason::Error)), "1cb2550d-648f-5ffb-bd1b-334d04864c00"),
            // reading|p-1|99504-3|dexcom:82AJ0D|tick:-86400|121
            (of(ReadingKey::Tick(-86_400), MG, value("121", MG)), "cfd1a0f1-74ff-5b9f-a810-890ae0c74ec6"),
            // reading|p-1|99504-3|dexcom:82AJ0D|key:a\|b\\c|121
            (of(ReadingKey::Record(&record), MG, value("121", MG)), "bf5434e3-4e72-5f69-b689-d462ab93bcba"),
            // device|p-1|Dexcom G6|serial:82AJ0D
            (Identifier::device(subject.patient(), &device, &sensor()).urn(), "59f249d7-8414-50e8-9b2d-7ed95a841627"),
            // member|p-1|97507-8|2024-05-01|2024-05-14|mg/dL|<SHA-256 of "145.3" and a line end>
            (summary.member_identifier(SummaryMember::Mean(MG)).unwrap().urn(), "9647ce29-e652-513a-a167-8097b6744ce8"),
            // summary|p-1|107931-8|2024-05-01|2024-05-14|mg/dL|<SHA-256 of every figure, each with a line end>
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
        assert_eq!(one.identifier(), Identifier::from_bytes(one.identifier().to_bytes()));
    }

    #[test]
    fn the_best_key_there_is_is_used() {
        let plain = Sensor::new(sensor(), Device::new("G6", None).unwrap());
        let ticking = plain.clone().with_tick_epoch(SECONDS - 300);
        let record = RecordKey::new("r").unwrap();
        let of = |key| reading("p", "s", key, MG, value("121", MG));
        assert_eq!(of(ReadingKey::of(&plain, SECONDS, None)), of(ReadingKey::Second(SECONDS)));
        assert_eq!(of(ReadingKey::of(&ticking, SECONDS, None)), of(ReadingKey::Tick(300)));
        assert_eq!(of(ReadingKey::of(&ticking, SECONDS, Some(&record))), of(ReadingKey::Record(&record)));
    }

    #[test]
    fn a_fuller_summary_is_another_fact_and_its_unchanged_figures_are_not() {
        let (subject, facts) = (subject(), facts());
        let fuller = SummaryFacts { mean_mg_dl: 146.0, note: Some("note".into()), ..facts.clone() };
        let reworded = SummaryFacts { note: Some("other words".into()), ..facts.clone() };
        let entry = |facts| SummaryEntry::new(&subject, facts, MG).unwrap();
        assert_ne!(entry(&facts).identifier(), entry(&fuller).identifier());
        assert_eq!(entry(&facts).identifier(), entry(&reworded).identifier());
        let of = |facts, member| SummaryEntry::new(&subject, facts, MG).unwrap().member_identifier(member);
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
}

mod bundles {
    use super::*;

    fn filled(limits: BundleLimits, count: i64) -> (BundleWriter, i64) {
        let example = Example::new();
        let mut bundle = BundleWriter::new(DateTime::UNIX_EPOCH, limits);
        for number in 0..count {
            let reading = ReadingEntry { key: ReadingKey::Second(number), ..example.reading(value("121", MG), MG) };
            if bundle.try_unit(|unit| unit.reading(&reading).map(drop)).unwrap() == Fit::Full {
                return (bundle, number);
            }
        }
        (bundle, count)
    }

    #[test]
    fn a_bundle_takes_up_to_500_entries() {
        let (bundle, taken) = filled(BundleLimits::default(), 600);
        assert_eq!(taken, 500);
        let bundle = bundle.finish().unwrap();
        let json: Value = serde_json::from_slice(&bundle.json).unwrap();
        assert_eq!((bundle.entries.len(), json["entry"].as_array().unwrap().len()), (500, 500));
        assert_eq!(bundle.entries.last().unwrap().unit, 499);
    }

    #[test]
    fn a_bundle_is_never_larger_than_its_limit_by_a_single_byte() {
        let (exact, _) = filled(BundleLimits::default(), 3);
        let bytes = exact.finish().unwrap().json.len();
        let within = |max_bytes| filled(BundleLimits { max_entries: 500, max_bytes }, 3).1;
        assert_eq!((within(bytes), within(bytes - 1)), (3, 2));
    }

    #[test]
    fn a_unit_that_does_not_fit_leaves_no_trace() {
        let (subject, facts) = (subject(), facts());
        let summary = SummaryEntry::new(&subject, &facts, MG).unwrap();
        let limits = BundleLimits { max_entries: 8, ..BundleLimits::default() };
        let (mut bundle, _) = filled(limits, 2);
        assert_eq!(bundle.try_unit(|unit| unit.summary(&summary).map(drop)), Ok(Fit::Full));
        let (untouched, _) = filled(limits, 2);
        assert_eq!(bundle.finish(), untouched.finish());
        // One fewer, and it fits.
        let (mut bundle, _) = filled(limits, 1);
        assert_eq!(bundle.try_unit(|unit| unit.summary(&summary).map(drop)), Ok(Fit::Added));
        let entries = bundle.finish().unwrap().entries;
        assert_eq!(entries.iter().map(|entry| entry.unit).collect::<Vec<_>>(), [0, 1, 1, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_unit_larger_than_the_limits_goes_alone() {
        let (subject, facts) = (subject(), facts());
        let summary = SummaryEntry::new(&subject, &facts, MG).unwrap();
        let mut bundle = BundleWriter::new(DateTime::UNIX_EPOCH, BundleLimits { max_entries: 1, max_bytes: 100 });
        assert_eq!(bundle.try_unit(|unit| unit.summary(&summary).map(drop)), Ok(Fit::Added));
        let example = Example::new();
        let reading = example.reading(value("121", MG), MG);
        assert_eq!(bundle.try_unit(|unit| unit.reading(&reading).map(drop)), Ok(Fit::Full));
        assert_eq!(bundle.finish().unwrap().entries.len(), 7);
    }

    #[test]
    fn twins_are_refused_and_what_else_the_unit_had_is_undone() {
        let example = Example::new();
        let (one, other) = (example.reading(value("121", MG), MG), example.reading(value("122", MG), MG));
        let mut bundle = writer();
        assert_eq!(bundle.try_unit(|unit| unit.reading(&one).map(drop)), Ok(Fit::Added));
        let twin = bundle.try_unit(|unit| {
            unit.reading(&other)?;
            unit.reading(&one).map(drop)
        });
        assert_eq!(twin, Err(BundleError::Twin(one.identifier())));
        assert_eq!(bundle.len(), 1);
        assert_eq!(bundle.try_unit(|unit| unit.reading(&other).map(drop)), Ok(Fit::Added), "it was undone");
        assert_eq!(bundle.try_unit(|unit| unit.reading(&one).map(drop)), Err(BundleError::Twin(one.identifier())));
        assert_eq!(parsed(bundle)["entry"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn an_impossible_time_is_an_error_and_an_empty_bundle_is_none() {
        let example = Example::new();
        let reading = ReadingEntry { seconds: i64::MAX, ..example.reading(value("121", MG), MG) };
        let mut bundle = writer();
        assert_eq!(bundle.try_unit(|unit| unit.reading(&reading).map(drop)), Err(BundleError::Time));
        assert_eq!(bundle.try_unit(|_| Ok(())), Ok(Fit::Added));
        assert!(bundle.is_empty());
        assert_eq!(bundle.finish(), None);
    }

    #[test]
    fn two_installations_write_the_same_bytes() {
        let bytes = || filled(BundleLimits::default(), 20).0.finish().unwrap().json;
        assert_eq!(bytes(), bytes());
    }

    #[test]
    fn debug_output_shows_no_value_and_no_identifier() {
        let example = Example::new();
        let reading = example.reading(value("121", MG), MG);
        let mut bundle = writer();
        assert_eq!(bundle.try_unit(|unit| unit.reading(&reading).map(drop)), Ok(Fit::Added));
        let twin = bundle.try_unit(|unit| unit.reading(&reading).map(drop)).unwrap_err();
        let urn = reading.identifier().urn();
        let writer = format!("{bundle:?}");
        let bundle = bundle.finish().unwrap();
        let shown = format!("{reading:?} {writer} {twin:?} {twin} {bundle:?} {:?}", bundle.entries);
        assert!(!shown.contains("121") && !shown.contains(&urn[9..17]) && !shown.contains("p-1"), "{shown}");
    }
}

mod answers {
    use super::*;

    fn answer(entries: &[Value]) -> Vec<u8> {
        json!({"resourceType": "Bundle", "type": "transaction-response", "x": {"y": [1]}, "entry": entries})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn each_entry_has_its_own_outcome() {
        let refused = json!({"resourceType": "OperationOutcome", "issue": [
            {"severity": "warning", "code": "informational", "diagnostics": "slow today"},
            {"severity": "error", "code": "invalid", "details": {"text": "unit\u{202e} not\nallowed"},
             "diagnostics": "see guide", "expression": ["Observation.value"]},
        ]});
        let body = answer(&[
            json!({"response": {"status": "201 Created", "location": "Observation/12/_history/1", "etag": "W/\"1\""}}),
            json!({"fullUrl": "x", "response": {"status": "200", "location": "https://a.example/fhir/Device/b.7"}}),
            json!({"response": {"status": 200}}),
            json!({"response": {"status": "400 Bad Request", "outcome": refused}}),
            json!({"response": {"status": "412", "location": "", "outcome": {"resourceType": "Patient"}}}),
        ]);
        let outcomes = parse_response(&body, 5).unwrap();
        assert_eq!(outcomes.iter().map(|one| one.status).collect::<Vec<_>>(), [201, 200, 200, 400, 412]);
        let references: Vec<_> = outcomes.iter().map(|one| one.reference()).collect();
        assert_eq!(references, [Some("Observation/12"), Some("Device/b.7"), None, None, None]);
        let said = outcomes[3].outcome.as_ref().unwrap();
        assert_eq!(said.text(), "error: unit not allowed - see guide (Observation.value)");
        assert_eq!(said.code(), Some("invalid"));
        assert!(!format!("{outcomes:?} {said:?}").contains("unit"));
        assert_eq!((&outcomes[4].location, &outcomes[4].outcome), (&None, &None));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let ok = json!({"response": {"status": "201"}});
        let bundle =
            |kind: &str| json!({"resourceType": "Bundle", "type": kind, "entry": [ok]}).to_string().into_bytes();
        let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let cases: [(Vec<u8>, usize, ResponseError); 13] = [
            (b"<html>".to_vec(), 1, ResponseError::Unparsable),
            (Vec::new(), 1, ResponseError::Unparsable),
            (b"[]".to_vec(), 1, ResponseError::NotABundle),
            (nested.into_bytes(), 1, ResponseError::NotABundle),
            (br#"{"resourceType":"OperationOutcome"}"#.to_vec(), 1, ResponseError::NotABundle),
            (bundle("transaction"), 1, ResponseError::WrongType),
            (bundle("batch-response"), 2, ResponseError::WrongLength { expected: 2, found: 1 }),
            (answer(&[]), 1, ResponseError::WrongLength { expected: 1, found: 0 }),
            (answer(&[ok.clone(), json!({})]), 2, ResponseError::MissingStatus(1)),
            (answer(&[ok.clone(), json!(null)]), 2, ResponseError::MissingStatus(1)),
            (answer(&[json!({"response": {"status": "OK"}})]), 1, ResponseError::MissingStatus(0)),
            (answer(&[json!({"response": {"status": "2010"}})]), 1, ResponseError::MissingStatus(0)),
            (vec![b' '; (16 << 20) + 1], 1, ResponseError::TooLarge),
        ];
        for (body, expected, error) in cases {
            assert_eq!(parse_response(&body, expected), Err(error));
        }
    }

    #[test]
    fn a_receivers_words_are_cut_to_1000_characters() {
        let long = json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "invalid", "diagnostics": "é".repeat(5000)}]});
        let said = parse_outcome(long.to_string().as_bytes()).unwrap();
        assert_eq!(said.text().chars().count(), 1000);
        assert!(said.text().ends_with('…'));
        let bare =
            json!({"resourceType": "OperationOutcome", "issue": [{"severity": "fatal", "code": "throttled"}, 7]});
        assert_eq!(parse_outcome(bare.to_string().as_bytes()).unwrap().text(), "fatal: throttled");
        assert_eq!(parse_outcome(b"{}"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_response(&bytes, 1);
            let _ = parse_outcome(&bytes);
            let _ = parse_capability(&bytes);
            let _ = parse_patient(&bytes, &PatientId::new("p").unwrap());
        }

        #[test]
        fn a_damaged_answer_never_panics_and_never_grows(at in 0_usize..150, byte in any::<u8>()) {
            let mut body = answer(&[json!({"response": {"status": "201 Created", "location": "Observation/12"}})]);
            let at = at % body.len();
            body[at] = byte;
            if let Ok(outcomes) = parse_response(&body, 1) {
                prop_assert_eq!(outcomes.len(), 1);
            }
        }

        #[test]
        fn outcomes_stay_in_the_order_of_the_entries(statuses in proptest::collection::vec(200_u16..600, 0..50)) {
            let entries: Vec<_> = statuses.iter().map(|s| json!({"response": {"status": format!("{s} Some words")}})).collect();
            let outcomes = parse_response(&answer(&entries), statuses.len()).unwrap();
            prop_assert_eq!(outcomes.iter().map(|one| one.status).collect::<Vec<_>>(), statuses);
        }
    }
}

mod receivers {
    use super::*;
    use cgm_submitter::fhir::{CapabilityError, Dialect, PatientError};

    #[test]
    fn the_guides_statement_is_recognised() {
        let statement = json!({
            "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
            "instantiates": ["http://hl7.org/fhir/uv/cgm/CapabilityStatement/cgm-data-receiver|1.0.0"],
            "rest": [{"mode": "server", "resource": [
                {"type": "ServiceRequest", "interaction": [{"code": "search-type"}]},
                {"type": "Observation", "interaction": [{"code": "create"}, {"code": "search-type"}],
                 "conditionalCreate": true, "searchParam": [{"name": "identifier", "type": "token"}]},
            ]}],
        });
        let capability = parse_capability(statement.to_string().as_bytes()).unwrap();
        assert_eq!(capability.dialect, Some(Dialect::Hl7Cgm));
        assert!(capability.fhir_r4 && capability.order_search && capability.conditional_create);
        assert!(capability.observation_search_by_identifier && !capability.submit_operation);
    }

    #[test]
    fn the_operation_alone_is_enough_and_a_clients_half_is_not_looked_at() {
        let with = |mode: &str| {
            let statement = json!({"resourceType": "CapabilityStatement", "fhirVersion": "5.0.0", "rest": [
                {"mode": mode, "operation": [{"name": "submit-cgm-bundle", "definition": {"reference": "old form"}}, 7]}]});
            parse_capability(statement.to_string().as_bytes()).unwrap()
        };
        assert_eq!((with("server").dialect, with("server").submit_operation), (Some(Dialect::Hl7Cgm), true));
        assert_eq!((with("client").dialect, with("server").fhir_r4), (None, false));
        assert_eq!(parse_capability(b"{}"), Err(CapabilityError::NotACapabilityStatement));
        assert_eq!(parse_capability(b"<"), Err(CapabilityError::Unparsable));
    }

    #[test]
    fn the_official_name_is_shown_and_another_patient_is_an_error() {
        let id = PatientId::new("p-1").unwrap();
        let patient = |names: Value| {
            let patient = json!({"resourceType": "Patient", "id": "p-1", "birthDate": "1990-02-28", "name": names});
            parse_patient(patient.to_string().as_bytes(), &id).unwrap()
        };
        let name = |names: Value| patient(names).name;
        assert_eq!(
            name(
                json!([{"use": "nickname", "text": "Jim"}, {"use": "official", "family": "Kirk", "given": ["James", " T. "]}])
            ),
            Some("James T. Kirk".into())
        );
        assert_eq!(name(json!([{"use": "old", "text": "A"}, {"text": "B\u{7}"}])), Some("B".into()));
        assert_eq!(name(json!([{"use": "official"}, {"use": "usual", "family": "C"}])), Some("C".into()));
        assert_eq!(name(json!("not a list")), None);
        let shown = patient(json!([]));
        assert_eq!(shown.birth_date.as_deref(), Some("1990-02-28"));
        let other = json!({"resourceType": "Patient", "id": "p-2"}).to_string();
        assert_eq!(parse_patient(other.as_bytes(), &id), Err(PatientError::OtherPatient));
        assert_eq!(parse_patient(b"{\"resourceType\":\"Bundle\"}", &id), Err(PatientError::NotAPatient));
        let odd = json!({"resourceType": "Patient", "id": "p-1", "birthDate": "28.02.1990"}).to_string();
        assert_eq!(parse_patient(odd.as_bytes(), &id).unwrap().birth_date, None);
    }
}
