//! A real person's 90 days, against the file itself: an instant is the row's own stamp less the
//! offset then in force.

use super::{
    Import, REAL_BYTES, REAL_IMPORT, SENSOR, Stored, again, again_with, import, one, options, read,
    real_from, sample, stretches, told, unix,
};
use cgm_submitter::glucose::ReadingError;
use cgm_submitter::import::{ClockBasis, ClockEvent, Format, ImportError};
use std::collections::HashSet;

#[test]
fn the_real_file_gives_every_reading_once() {
    let import = &*REAL_IMPORT;
    assert_eq!(
        (import.format, import.readings.len(), import.rejected.len()),
        (Format::DexcomClarity, 25_340, 0)
    );
    assert_eq!(import.sensors.iter().map(|s| s.key().as_str()).collect::<Vec<_>>(), [SENSOR]);
    assert_eq!(import.sensors[0].device().name(), "Dexcom G6");
    let scale = import.sensors[0].scale().unwrap();
    assert_eq!(
        (scale.lowest().to_string(), scale.highest().to_string()),
        ("40".into(), "400".into())
    );
    let clipped =
        import.readings.iter().filter(|found| found.reading.measurement().is_clipped()).count();
    assert_eq!(clipped, 166);
    let instants: HashSet<_> = import.readings.iter().map(|f| f.reading.seconds()).collect();
    assert_eq!(instants.len(), 25_340);
    let sum: f64 = import.readings.iter().filter_map(|f| f.reading.measurement().mg_dl()).sum();
    assert!((sum / 25_340.0 - 145.324_507).abs() < 5e-7, "{}", sum / 25_340.0);
    let skipped = import.skipped;
    let counts =
        [skipped.alerts, skipped.calibrations, skipped.insulin, skipped.other, skipped.repeated];
    assert_eq!(counts, [7, 21, 377, 5, 0]);
}

#[test]
fn a_dst_change_in_a_clarity_file_shows_in_the_offsets_as_does_travel() {
    assert_eq!(
        stretches(&REAL_IMPORT, SENSOR),
        [
            "2024-03-16T00:21:46Z..2024-03-31T00:57:06Z +02:00",
            "2024-03-31T01:02:06Z..2024-05-09T11:28:01Z +03:00",
            "2024-05-09T11:33:01Z..2024-06-08T20:11:29Z +02:00",
            "2024-06-08T20:16:28Z..2024-06-13T04:16:49Z +03:00",
        ]
    );
}

#[test]
fn every_instant_is_its_rows_stamp_less_the_offset_then_in_force() {
    let text = std::str::from_utf8(&REAL_BYTES).unwrap();
    let lines: Vec<_> = text.lines().collect();
    for found in &REAL_IMPORT.readings {
        let cells: Vec<_> = lines[found.row - 1].split('"').collect();
        let stamp = unix(&format!("{}Z", cells[3]));
        let (tick, transmitter): (i64, _) = (cells[25].parse().unwrap(), cells[27]);
        assert_eq!(found.reading.seconds(), stamp - expected_offset(transmitter, tick, stamp));
        let record = found.reading.record_key().unwrap().text();
        assert_eq!(record, format!("transmitter {transmitter}/{tick}"));
    }
}

/// Bucharest's offset, and the journey's: from the count at which the first transmitter's stamps go
/// back, until the stamp at which the second one's go forward.
fn expected_offset(transmitter: &str, tick: i64, stamp: i64) -> i64 {
    let away = match transmitter {
        "82AJ0D" => tick >= 7_916_774,
        _ => stamp < unix("2024-06-08T22:30:00Z"),
    };
    if away || stamp < unix("2024-03-31T03:00:00Z") { 2 * 3_600 } else { 3 * 3_600 }
}

#[test]
fn a_journey_is_noted_with_its_dates() {
    let notes: Vec<_> = REAL_IMPORT
        .clock_notes
        .iter()
        .map(|note| (note.event, note.at.to_string(), note.moved_by(), note.basis, note.open))
        .collect();
    let moved =
        |at: &str, by| (ClockEvent::Moved, at.to_owned(), by, ClockBasis::ZoneChange, false);
    assert_eq!(notes, [moved("2024-05-09 13:33:01", -60), moved("2024-06-08 23:16:28", 60)]);
    assert_eq!(
        REAL_IMPORT.clock_notes[0].to_string(),
        "the device's clock moved by −1 h on 2024-05-09: taken as UTC+03:00 until then and \
         UTC+02:00 from then on, as the change of the zone's clocks shows"
    );
}

#[test]
fn the_same_file_again_gives_the_same_readings() {
    let stored = Stored::of(&REAL_IMPORT);
    for zone in ["Europe/Bucharest", "Europe/Athens"] {
        let again = again(&REAL_BYTES, &stored, zone);
        assert!(told(&again) == told(&REAL_IMPORT) && again.mended.is_empty(), "{zone}");
        assert_eq!(again.sensors, REAL_IMPORT.sensors, "{zone}");
    }
}

#[test]
fn the_same_file_under_another_zone_is_refused_and_says_which_it_was() {
    let stored = Stored::of(&REAL_IMPORT);
    for zone in ["America/New_York", "UTC", "Europe/Berlin"] {
        let import = again(&REAL_BYTES, &stored, zone);
        assert_eq!(
            (import.readings.len(), import.rejected.len(), import.sensors.len()),
            (0, 25_340, 0),
            "{zone}"
        );
        let earlier =
            ReadingError::AlreadyImportedElsewhere { earlier: "Europe/Bucharest".to_owned() };
        assert!(import.rejected.iter().all(|row| row.reason == earlier), "{zone}");
        assert!(import.mended.is_empty(), "{zone}");
    }
}

#[test]
fn another_zone_replaces_the_earlier_one_if_the_host_says_so() {
    let mut stored = Stored::of(&read(&REAL_BYTES, "Europe/Berlin"));
    let replaced =
        again_with(&REAL_BYTES, &stored, "Europe/Bucharest", |options| options.replacing(true));
    stored.take(&replaced);
    assert!(stored.told() == Stored::of(&REAL_IMPORT).told());
    assert_eq!(stored.sensors[0].zone(), Some("Europe/Bucharest"));
}

#[test]
fn local_times_need_a_zone() {
    assert_eq!(import(&REAL_BYTES, &options()), Err(ImportError::TimeZoneRequired));
    assert_eq!(
        import(&sample("dexcom_clarity_g6_12col.csv"), &options()),
        Err(ImportError::TimeZoneRequired)
    );
}

#[test]
fn both_forms_of_the_export_name_one_sensor_and_match_each_other() {
    let twelve = |line: &str| {
        let cells: Vec<_> = line.trim_end().split(',').take(12).collect();
        cells.join(",") + "\n"
    };
    let before_travel = |line: &&str| {
        line.split('"')
            .nth(3)
            .is_none_or(|stamp| !stamp.starts_with("20") || stamp < "2024-05-09T12")
    };
    let fourteen: String = std::str::from_utf8(&REAL_BYTES)
        .unwrap()
        .split_inclusive('\n')
        .filter(before_travel)
        .collect();
    let short: String = fourteen.split_inclusive('\n').map(twelve).collect();
    let long = read(fourteen.as_bytes(), "Europe/Bucharest");
    let without_counts = read(short.as_bytes(), "Europe/Bucharest");
    assert!(long.readings.len() > 15_000 && told(&without_counts) == told(&long));

    for (first, second) in [(&long, &short), (&without_counts, &fourteen)] {
        let mut stored = Stored::of(first);
        let later = again(second.as_bytes(), &stored, "Europe/Bucharest");
        assert_eq!(later.rejected, []);
        stored.take(&later);
        assert_eq!(stored.readings.len(), long.readings.len(), "no row is stored twice");
        assert!(stored.told() == Stored::of(&long).told());
    }
}

#[test]
fn a_form_with_counts_mends_what_the_other_form_could_only_guess() {
    let from_travel = real_from("2024-05-20");
    let text = std::str::from_utf8(&from_travel).unwrap();
    let short: String = text
        .split_inclusive('\n')
        .map(|line| line.trim_end().split(',').take(12).collect::<Vec<_>>().join(",") + "\n")
        .collect();
    let mut stored = Stored::of(&read(short.as_bytes(), "Europe/Bucharest"));
    assert!(one(stored.readings.values().next().unwrap()).contains("+03:00"));
    stored.take(&again(&REAL_BYTES, &stored, "Europe/Bucharest"));
    assert_eq!(stored.readings.len(), 25_340);
    assert!(stored.told() == Stored::of(&REAL_IMPORT).told());
    let back: Import = again(short.as_bytes(), &stored, "Europe/Bucharest");
    stored.take(&back);
    assert!(back.rejected.is_empty() && stored.told() == Stored::of(&REAL_IMPORT).told());
}
