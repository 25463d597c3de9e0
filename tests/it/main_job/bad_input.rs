//! What people and phones really hand over: the bad part is named, by row and reason, and the good
//! part goes in.

use crate::world::{SENSOR, World, mg, reading, reading_of, sensor};
use cgm_submitter::environment::Clock;
use cgm_submitter::glucose::{
    DateRange, Device, GlucoseError, GlucoseUnit, GlucoseValue, Measurement, Reading, ReadingError,
    Sensor, SensorKey, TimeError, Window, ZoneOffsets,
};
use cgm_submitter::import::ImportError;
use cgm_submitter::{Error, ImportReport, SubmissionRequest, Submitter};
use chrono::TimeDelta;
use std::fmt::Write as _;
use std::path::PathBuf;

fn sample(name: &str) -> Vec<u8> {
    let folder =
        std::env::var("CGM_SAMPLES_DIR").unwrap_or_else(|_| "../shared/samples".to_owned());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: set CGM_SAMPLES_DIR", path.display()))
}

/// The real file's first lines, which hold readings of one transmitter.
fn beginning(lines: usize) -> String {
    let file = String::from_utf8(sample("dexcom_clarity_90d_real.csv")).unwrap();
    file.split_inclusive('\n').take(lines).collect()
}

fn zone(world: &World, tz: chrono_tz::Tz) -> ZoneOffsets {
    crate::zone::zone(tz).whole(world.clock.now()).unwrap()
}

async fn import(app: &Submitter, text: &str) -> ImportReport {
    app.import(text.as_bytes().to_vec(), None).await.unwrap()
}

#[tokio::test]
async fn bad_rows_of_a_file_are_named_by_row_and_reason_and_the_good_ones_go_in() {
    let bad: [(&str, ReadingError); 14] = [
        ("2024-05-01T08:20:00+02:00,9,mg/dL", ReadingError::OtherUnit),
        ("2024-05-01T08:20:00+02:00,1001,mg/dL", GlucoseError::OutOfRange.into()),
        ("2024-05-01T08:20:00+02:00,56,mmol/L", ReadingError::OtherUnit),
        ("2024-05-01T08:20:00+02:00,NaN,mg/dL", GlucoseError::NotANumber.into()),
        ("2024-05-01T08:20:00+02:00,-100,mg/dL", GlucoseError::NotANumber.into()),
        ("2024-05-01T08:20:00+02:00,1e2,mg/dL", GlucoseError::NotANumber.into()),
        ("2024-05-01T08:20:00+02:00,100.1234567,mg/dL", GlucoseError::TooPrecise.into()),
        ("2024-05-01T08:20:00+02:00,100,g/L", GlucoseError::Unit.into()),
        ("2024-05-01T08:20:00+02:00,,mg/dL", ReadingError::Column("value")),
        ("1989-12-31T23:59:59+00:00,100,mg/dL", ReadingError::TooOld),
        ("2024-07-02T08:00:01+00:00,100,mg/dL", ReadingError::InTheFuture),
        ("2024-05-01T08:20:00,100,mg/dL", TimeError::NoOffset.into()),
        ("2024-13-01T08:20:00+02:00,100,mg/dL", TimeError::Unreadable.into()),
        ("01.05.2024 08:20,100,mg/dL", TimeError::Unreadable.into()),
    ];
    let world = World::new().await;
    let app = world.app();
    let mut file = "time,value,unit\n2024-05-01T08:15:00+02:00,6.7,mmol/L\n".to_owned();
    for (row, _) in &bad {
        file.push_str(row);
        file.push('\n');
    }
    // The last second that may be, and the first; the lowest value that is not like mmol/L.
    file.push_str("2024-07-02T08:00:00+00:00,30,mg/dL\n1990-01-01T00:00:00+00:00,1000,mg/dL\n");
    let report = import(&app, &file).await;
    assert_eq!(report.stored, 3);
    let expected: Vec<_> =
        bad.iter().zip(3..).map(|((_, reason), row)| (row, reason.clone())).collect();
    assert_eq!(report.rejected, expected);
    for (row, reason) in &report.rejected {
        let text = reason.to_string();
        assert!(text.len() > 15 && !text.contains("1001"), "row {row}: {text}");
    }
}

#[tokio::test]
async fn a_reading_that_its_known_model_cannot_have_shown_is_refused() {
    let world = World::new().await;
    let app = world.app();
    let key = SensorKey::new("dexcom:82AJ0D").unwrap();
    let device = Device::new("Dexcom G6", Some("82AJ0D")).unwrap();
    app.register_sensor(Sensor::new(key.clone(), device)).await.unwrap();
    let at = |minutes: i64, mg_dl| {
        let time = world.clock.now() - TimeDelta::minutes(minutes);
        Reading::new(key.clone(), time, None, mg(mg_dl))
    };
    let report = app.ingest(vec![at(15, 39), at(10, 40), at(5, 401)]).await.unwrap();
    let rejected: Vec<_> =
        report.rejected.iter().map(|bad| (bad.row, bad.reason.clone())).collect();
    let off = ReadingError::OffScale;
    assert_eq!((report.stored, rejected), (1, vec![(0, off.clone()), (2, off)]));
}

#[tokio::test]
async fn bad_readings_of_a_host_are_named_by_place_and_reason_and_the_good_ones_go_in() {
    let world = World::new().await;
    let app = world.app();
    app.register_sensor(sensor(SENSOR)).await.unwrap();
    let now = world.clock.now();
    let at = |time| Reading::new(SensorKey::new(SENSOR).unwrap(), time, None, mg(100));
    let unknown = Reading::new(SensorKey::new("demo:nobody").unwrap(), now, None, mg(100));
    let readings = vec![
        reading(0),
        unknown,
        at("1989-12-31T23:59:59Z".parse().unwrap()),
        at(now + TimeDelta::days(1) + TimeDelta::seconds(1)),
        at(now + TimeDelta::days(1)),
        reading(1),
    ];
    let report = app.ingest(readings).await.unwrap();
    assert_eq!(report.stored, 3);
    let rejected: Vec<_> =
        report.rejected.iter().map(|bad| (bad.row, bad.reason.clone())).collect();
    let expected = [
        (1, ReadingError::UnknownSensor),
        (2, ReadingError::TooOld),
        (3, ReadingError::InTheFuture),
    ];
    assert_eq!(rejected, expected);
    assert_eq!(app.latest_reading(SensorKey::new("demo:nobody").unwrap()).await.unwrap(), None);
}

#[test]
fn no_value_outside_what_a_meter_can_measure_can_be_made() {
    use GlucoseUnit::{MgPerDl, MmolPerL};
    for (value, unit) in
        [(9.99, MgPerDl), (1000.1, MgPerDl), (0.5, MmolPerL), (55.6, MmolPerL), (0.0, MgPerDl)]
    {
        assert_eq!(GlucoseValue::from_f64(value, unit), Err(GlucoseError::OutOfRange), "{value}");
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -100.0] {
        assert_eq!(
            GlucoseValue::from_f64(value, MgPerDl),
            Err(GlucoseError::NotANumber),
            "{value}"
        );
    }
    for value in [10.0, 1000.0] {
        assert!(GlucoseValue::from_f64(value, MgPerDl).is_ok());
    }
}

#[test]
fn a_window_that_ends_before_it_starts_cannot_be_made() {
    assert_eq!("2024-05-14..2024-05-01".parse::<DateRange>(), Err(TimeError::EndBeforeStart));
    let (early, late) =
        ("2024-05-01T00:00:00Z".parse().unwrap(), "2024-05-02T00:00:00Z".parse().unwrap());
    assert_eq!(Window::new(late, early), Err(TimeError::EndBeforeStart));
    assert!(Window::new(early, late).is_ok());
    for text in ["", "2024-05-01", "2024-05-01..", "2024-05-32..2024-06-01"] {
        assert_eq!(text.parse::<DateRange>(), Err(TimeError::Dates), "{text}");
    }
}

#[tokio::test]
async fn another_makers_file_is_refused_by_name_and_what_is_taken_is_said() {
    let world = World::new().await;
    let app = world.app();
    for (file, name) in [
        ("libreview_libre3_ddmm.csv", "a LibreView file"),
        ("medtronic_carelink.csv", "a Medtronic CareLink file"),
        ("nightscout_entries.json", "Nightscout entries"),
    ] {
        let error = app.import(sample(file), None).await.unwrap_err();
        assert!(
            matches!(error, Error::Import(ImportError::UnknownFormat { recognised: Some(_) })),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains(name) && text.contains("Dexcom Clarity CSV"), "{text}");
        assert_eq!((error.code().word(), error.retryable()), ("file-refused", false));
    }
    for bytes in [vec![], vec![0xff, 0xfe, 0x00], b"a,b,c\n1,2,3\n".to_vec()] {
        assert!(matches!(app.import(bytes, None).await, Err(Error::Import(_))));
    }
    assert_eq!(app.dates().await.unwrap(), None, "nothing went in");
}

#[tokio::test]
async fn a_file_cut_in_the_middle_of_a_line_gives_all_but_that_line() {
    let world = World::new().await;
    let app = world.app();
    let whole = "time,value,unit\n2024-05-01T08:15:00+02:00,101,mg/dL\n\
        2024-05-01T08:20:00+02:00,132,mg/dL\n";
    let cuts = [
        (0, None),
        (1, None),
        (3, Some(ReadingError::Value(GlucoseError::Unit))),
        (6, Some(ReadingError::CutOff)),
        (8, Some(ReadingError::CutOff)),
        (20, Some(ReadingError::CutOff)),
    ];
    for (cut, reason) in cuts {
        let world = World::new().await;
        let report = import(&world.app(), &whole[..whole.len() - cut]).await;
        let lost = usize::from(reason.is_some());
        assert_eq!(
            report.rejected,
            reason.map(|reason| (3, reason)).into_iter().collect::<Vec<_>>(),
            "cut by {cut}"
        );
        assert_eq!(report.stored, 2 - lost, "cut by {cut}");
    }
    // A real file cut within a row: the row is named, the others are in.
    let clarity = beginning(60);
    let readings = clarity.matches("\"EGV\"").count();
    let cut = &clarity[..clarity.len() - 25];
    let report = app
        .import(cut.as_bytes().to_vec(), Some(zone(&world, chrono_tz::Europe::Bucharest)))
        .await
        .unwrap();
    assert_eq!((report.stored, report.rejected), (readings - 1, vec![(60, ReadingError::CutOff)]));
    let report = app
        .import(clarity.into_bytes(), Some(zone(&world, chrono_tz::Europe::Bucharest)))
        .await
        .unwrap();
    assert_eq!(
        (report.stored, report.already_there),
        (1, readings - 1),
        "the whole file adds what was cut"
    );
}

#[tokio::test]
async fn a_file_with_local_times_needs_a_zone_and_keeps_to_the_first_one() {
    let world = World::new().await;
    let app = world.app();
    let file = beginning(111);
    let readings = file.matches("\"EGV\"").count();
    let file = file.into_bytes();
    let error = app.import(file.clone(), None).await.unwrap_err();
    assert!(matches!(error, Error::Import(ImportError::TimeZoneRequired)), "{error}");

    let report =
        app.import(file.clone(), Some(zone(&world, chrono_tz::Europe::Bucharest))).await.unwrap();
    assert_eq!((report.stored, report.rejected.len()), (readings, 0));
    let report =
        app.import(file.clone(), Some(zone(&world, chrono_tz::America::New_York))).await.unwrap();
    assert_eq!((report.stored, report.already_there, report.rejected.len()), (0, 0, readings));
    let (row, reason) = &report.rejected[0];
    assert_eq!(*row, 12, "the first reading's line");
    assert!(reason.to_string().contains("Europe/Bucharest"), "{reason}");
    assert!(matches!(reason, ReadingError::AlreadyImportedElsewhere { .. }));
    let report = app.import(file, Some(zone(&world, chrono_tz::Europe::Bucharest))).await.unwrap();
    assert_eq!((report.stored, report.already_there), (0, readings));
}

#[tokio::test]
async fn the_same_readings_again_are_nothing_new() {
    let world = World::new().await;
    let app = world.app();
    app.register_sensor(sensor(SENSOR)).await.unwrap();
    let twice = vec![reading(0), reading(0), reading(1)];
    let report = app.ingest(twice.clone()).await.unwrap();
    assert_eq!((report.stored, report.already_there), (2, 1));
    let report = app.ingest(twice).await.unwrap();
    assert_eq!((report.stored, report.already_there, report.corrected), (0, 3, 0));
    let low = Measurement::Below(GlucoseValue::new(40, 0, GlucoseUnit::MgPerDl).unwrap());
    let report = app.ingest(vec![reading_of(0, low)]).await.unwrap();
    assert_eq!(report.replaced, 1, "a Low at 40 is not a value of 40");
}

#[tokio::test]
async fn a_submission_of_an_imports_dates_has_all_of_its_readings_whatever_their_offset() {
    let world = World::new().await;
    let app = world.app();
    let connection = world.connect(&app).await;
    let mut file = String::from("time,value,unit\n");
    for hour in 0..24 {
        for offset in ["+14:00", "-11:00"] {
            writeln!(file, "2024-05-01T{hour:02}:00:00{offset},{},mg/dL", 100 + hour).unwrap();
        }
    }
    let report = app.import(file.into_bytes(), None).await.unwrap();
    let dates = report.dates.unwrap();
    let request = SubmissionRequest::Own { dates, unit: GlucoseUnit::MgPerDl };
    let preview = app.preview(connection, request).await.unwrap();
    assert_eq!((report.stored as u64, preview.readings_to_send()), (48, 48), "{dates}");
}
