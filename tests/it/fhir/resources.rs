//! What each resource looks like on the wire.

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
        let device = unit.device(&DeviceEntry {
            subject: &example.subject,
            device: &device,
            sensor: &example.sensor,
        })?;
        for reading in readings {
            unit.reading(&ReadingEntry {
                device: Some(DeviceReference::Entry(device)),
                ..reading
            })?;
        }
        Ok(())
    });
    assert_eq!(fit, Ok(Fit::Added));
    check("readings", bundle);
}

#[test]
fn a_correction_says_what_it_replaces() {
    let example = Example::new();
    let history = ["121", "120"]
        .map(|text| EarlierReading { seconds: SECONDS, measurement: value(text, MG) });
    let mut bundle = writer();
    for (text, seen) in [("120", 1), ("119", 2)] {
        let reading = ReadingEntry {
            offset: UtcOffset::UTC,
            device: Some(DeviceReference::Location("Device/7")),
            history: &history[..seen],
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
        let earlier = EarlierResource {
            kind: EntryKind::Summary,
            identifier: Example::new().reading(value("121", MG), MG).identifier(),
            location: Some("Observation/41"),
            is_there: true,
        };
        let summary =
            SummaryEntry::after(Dialect::Hl7Cgm, &[earlier], &subject, &facts, unit).unwrap();
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
        SummaryFacts { ranges_hundredths: [0, 0, 9_997, 0, 0], ..facts() },
        SummaryFacts { ranges_hundredths: [u32::MAX, 10_001, 0, 0, 0], ..facts() },
    ] {
        assert!(SummaryEntry::new(&subject, &broken, MG).is_err());
    }
}
