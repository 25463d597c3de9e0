//! Files as people have them: real exports, cut ones, the same one twice under another zone, and
//! bytes that are no file at all.

use cgm_submitter::glucose::{
    AbsentReason, GlucoseError, Measurement, Reading, ReadingError, RecordKey, Sensor, SensorKey,
    TimeError, UtcOffset, ZoneOffsets,
};
use cgm_submitter::import::{Format, Import, ImportError, ImportOptions, import};
use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::LazyLock;

// ---- what the tests share ----

const FIRST: &str = "dexcom:82AJ0D";
const SECOND: &str = "dexcom:86JDQQ";
const HEADER: &str = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,Source Device ID,\
    Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams),Duration (hh:mm:ss),Glucose Rate of Change (mg/dL/min),\
    Transmitter Time (Long Integer),Transmitter ID\n";

fn sample(name: &str) -> Vec<u8> {
    let folder =
        std::env::var("CGM_SAMPLES_DIR").unwrap_or_else(|_| "../shared/samples".to_owned());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: set CGM_SAMPLES_DIR", path.display()))
}

static REAL_BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| sample("dexcom_clarity_90d_real.csv"));
static REAL_IMPORT: LazyLock<Import> = LazyLock::new(|| read(&REAL_BYTES, "Europe/Bucharest"));

/// The zone as a host would give it: every change of offset, found by the quarter hour.
fn zone(name: &str) -> ZoneOffsets {
    let tz: Tz = name.parse().unwrap();
    let offset = |at: i64| {
        let seconds = tz.timestamp_opt(at, 0).unwrap().offset().fix().local_minus_utc();
        UtcOffset::from_minutes(seconds / 60).unwrap()
    };
    let (from, to) = (unix("2016-01-01T00:00:00Z"), unix("2025-01-01T00:00:00Z"));
    let mut offsets = vec![(from, offset(from))];
    for second in (from..to).step_by(900) {
        if offsets.last().unwrap().1 != offset(second) {
            offsets.push((second, offset(second)));
        }
    }
    ZoneOffsets::new(name, offsets).unwrap()
}

static ZONES: LazyLock<BTreeMap<&str, ZoneOffsets>> = LazyLock::new(|| {
    let names = ["Europe/Bucharest", "Europe/Athens", "Europe/Berlin", "America/New_York", "UTC"];
    names.into_iter().map(|name| (name, zone(name))).collect()
});

fn options<'a>() -> ImportOptions<'a> {
    ImportOptions::new("2024-07-01T00:00:00Z".parse().unwrap())
}

fn within<'a>(zone: &str) -> ImportOptions<'a> {
    options().with_zone(ZONES[zone].clone())
}

fn read(bytes: &[u8], zone: &str) -> Import {
    import(bytes, &within(zone)).unwrap()
}

fn read_open(text: &str) -> Import {
    import(text.as_bytes(), &options()).unwrap()
}

fn again(bytes: &[u8], zone: &str, known: &Import) -> Import {
    import(bytes, &within(zone).with_known(known.sensors.clone())).unwrap()
}

fn unix(text: &str) -> i64 {
    text.parse::<DateTime<Utc>>().unwrap().timestamp()
}

fn utc(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A reading as text: sensor, instant, offset, what it said.
fn one(reading: &Reading) -> String {
    let (kind, value) = match reading.measurement() {
        Measurement::Value(value) => ("", value.to_string()),
        Measurement::Below(value) => ("<", value.to_string()),
        Measurement::Above(value) => (">", value.to_string()),
        Measurement::Absent(reason) => ("-", reason.code().to_owned()),
    };
    let unit = reading.measurement().unit().map_or("", |unit| unit.ucum());
    let offset = reading.offset().map_or("?".to_owned(), |offset| offset.to_string());
    format!("{} {} {offset} {kind}{value}{unit}", reading.sensor().as_str(), utc(reading.seconds()))
}

fn told(import: &Import) -> Vec<String> {
    import.readings.iter().map(|found| one(&found.reading)).collect()
}

/// Instant and offset of every reading.
fn times(import: &Import) -> Vec<String> {
    told(import)
        .iter()
        .map(|told| told.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

fn reasons(import: &Import) -> Vec<(usize, ReadingError)> {
    import.rejected.iter().map(|row| (row.row, row.reason.clone())).collect()
}

fn value(row: usize, error: GlucoseError) -> (usize, ReadingError) {
    (row, ReadingError::Value(error))
}

/// The stretches of equal offset of a sensor: its first instant, its last, its offset.
fn stretches(import: &Import, sensor: &str) -> Vec<String> {
    let of_sensor = import
        .readings
        .iter()
        .map(|found| &found.reading)
        .filter(|r| r.sensor().as_str() == sensor);
    let readings: Vec<_> = of_sensor.collect();
    let ends = |r: &[&Reading]| {
        format!(
            "{}..{} {}",
            utc(r[0].seconds()),
            utc(r[r.len() - 1].seconds()),
            r[0].offset().unwrap()
        )
    };
    readings.chunk_by(|a, b| a.offset() == b.offset()).map(ends).collect()
}

/// The real file with its rows stamped `from` on.
fn real_from(from: &str) -> Vec<u8> {
    let text = std::str::from_utf8(&REAL_BYTES).unwrap();
    let keep = |line: &&str| {
        line.split('"').nth(3).is_none_or(|stamp| !stamp.starts_with("20") || stamp >= from)
    };
    text.split_inclusive('\n').filter(keep).collect::<String>().into_bytes()
}

/// Clarity rows `stamp, value, tick, transmitter` under the header.
fn clarity(rows: &[(&str, &str, &str, &str)]) -> String {
    let row = |(stamp, value, tick, id): &(&str, &str, &str, &str)| {
        format!("1,{stamp},EGV,,,,phone,{value},,,,,{tick},{id}\n")
    };
    HEADER.to_owned() + &rows.iter().map(row).collect::<String>()
}

// ---- the real file ----

#[test]
fn the_real_file_gives_every_reading_once() {
    let import = &*REAL_IMPORT;
    assert_eq!(
        (import.format, import.readings.len(), import.rejected.len()),
        (Format::DexcomClarity, 25_340, 0)
    );
    assert_eq!(
        import.sensors.iter().map(|s| s.key().as_str()).collect::<Vec<_>>(),
        [FIRST, SECOND]
    );
    let device = import.sensors[0].device();
    assert_eq!((device.name(), device.serial()), ("Dexcom G6", Some("82AJ0D")));
    let clipped =
        import.readings.iter().filter(|found| found.reading.measurement().is_clipped()).count();
    assert_eq!(clipped, 166);
    let keys: HashSet<_> =
        import.readings.iter().map(|f| (f.reading.sensor(), f.reading.seconds())).collect();
    assert_eq!(keys.len(), 25_340);
    let sum: f64 = import.readings.iter().filter_map(|f| f.reading.measurement().mg_dl()).sum();
    assert!((sum / 25_340.0 - 145.324_507).abs() < 5e-7, "{}", sum / 25_340.0);
    let skipped = import.skipped;
    let counts =
        [skipped.alerts, skipped.calibrations, skipped.insulin, skipped.other, skipped.repeated];
    assert_eq!(counts, [7, 21, 377, 5, 0]);
}

#[test]
fn offsets_follow_summer_time_travel_and_a_new_transmitter_abroad() {
    assert_eq!(
        stretches(&REAL_IMPORT, FIRST),
        [
            "2024-03-16T00:21:46Z..2024-03-31T00:56:46Z +02:00",
            "2024-03-31T01:01:46Z..2024-05-09T11:26:46Z +03:00",
            "2024-05-09T11:31:46Z..2024-05-19T18:01:46Z +02:00",
        ]
    );
    assert_eq!(
        stretches(&REAL_IMPORT, SECOND),
        [
            "2024-05-19T21:05:02Z..2024-06-08T20:10:02Z +02:00",
            "2024-06-08T20:15:02Z..2024-06-13T04:15:02Z +03:00"
        ]
    );
}

#[test]
fn instants_by_count_stay_within_two_minutes_of_the_stamps() {
    let text = std::str::from_utf8(&REAL_BYTES).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let apart = REAL_IMPORT.readings.iter().map(|found| {
        let stamp = unix(&format!("{}Z", lines[found.row - 1].split('"').nth(3).unwrap()));
        (stamp - found.reading.offset().unwrap().seconds() - found.reading.seconds()).abs()
    });
    assert_eq!(apart.max(), Some(108));
}

#[test]
fn the_same_file_again_gives_the_same_readings() {
    assert_eq!(again(&REAL_BYTES, "Europe/Bucharest", &REAL_IMPORT), *REAL_IMPORT);
    let by_another_name = again(&REAL_BYTES, "Europe/Athens", &REAL_IMPORT);
    assert_eq!(told(&by_another_name), told(&REAL_IMPORT));
    assert_eq!(by_another_name.sensors, REAL_IMPORT.sensors);
}

#[test]
fn the_same_file_under_another_zone_is_refused_and_says_which_it_was() {
    for zone in ["America/New_York", "UTC", "Europe/Berlin"] {
        let import = again(&REAL_BYTES, zone, &REAL_IMPORT);
        assert_eq!(
            (import.readings.len(), import.rejected.len(), import.sensors.len()),
            (0, 25_340, 0),
            "{zone}"
        );
        let earlier =
            ReadingError::AlreadyImportedElsewhere { earlier: "Europe/Bucharest".to_owned() };
        assert!(import.rejected.iter().all(|row| row.reason == earlier), "{zone}");
    }
}

#[test]
fn a_new_transmitter_in_a_file_of_a_refused_zone_is_refused_with_it() {
    let first = &REAL_IMPORT.sensors[..1];
    for (zone, taken) in [("America/New_York", 0), ("Europe/Bucharest", 25_340)] {
        let import = import(&REAL_BYTES, &within(zone).with_known(first.to_vec())).unwrap();
        assert_eq!(
            (import.readings.len(), import.rejected.len()),
            (taken, 25_340 - taken),
            "{zone}"
        );
    }
}

#[test]
fn where_no_zone_is_stored_the_earlier_offset_is_said() {
    let bare = |sensor: &Sensor| {
        Sensor::new(sensor.key().clone(), sensor.device().clone())
            .with_tick_epoch(sensor.tick_epoch().unwrap())
    };
    let known: Vec<_> = REAL_IMPORT.sensors.iter().map(bare).collect();
    let under = |zone: &str| import(&REAL_BYTES, &within(zone).with_known(known.clone())).unwrap();
    let elsewhere = under("America/New_York");
    let earlier = ReadingError::AlreadyImportedElsewhere { earlier: "+02:00".to_owned() };
    assert!(
        elsewhere.readings.is_empty() && elsewhere.rejected.iter().all(|row| row.reason == earlier)
    );
    assert_eq!(told(&under("Europe/Bucharest")), told(&REAL_IMPORT));
}

#[test]
fn a_later_overlapping_export_tells_the_same_even_when_it_starts_abroad() {
    let stored: HashSet<_> = told(&REAL_IMPORT).into_iter().collect();
    for from in ["2024-04-20", "2024-05-15", "2024-05-25"] {
        let later = again(&real_from(from), "Europe/Bucharest", &REAL_IMPORT);
        assert!(later.rejected.is_empty() && later.readings.len() > 5_000, "{from}");
        assert!(told(&later).iter().all(|reading| stored.contains(reading)), "{from}");
        assert_eq!(later.sensors.last(), REAL_IMPORT.sensors.last());
    }
}

#[test]
fn an_earlier_stretch_fits_onto_a_later_one() {
    let later = read(&real_from("2024-04-20"), "Europe/Bucharest");
    let all = again(&REAL_BYTES, "Europe/Bucharest", &later);
    assert_eq!((all.readings.len(), all.rejected.len()), (25_340, 0));
    let all: HashSet<_> = told(&all).into_iter().collect();
    assert!(told(&later).iter().all(|reading| all.contains(reading)));
}

#[test]
fn local_times_need_a_zone() {
    assert_eq!(import(&REAL_BYTES, &options()), Err(ImportError::TimeZoneRequired));
    assert_eq!(
        import(&sample("dexcom_clarity_g6_12col.csv"), &options()),
        Err(ImportError::TimeZoneRequired)
    );
}

// ---- Clarity's forms ----

#[test]
fn dates_before_1990_are_refused_row_by_row() {
    let import = read(&sample("dexcom_clarity_bom_space.csv"), "Europe/Bucharest");
    assert_eq!((import.readings.len(), import.rejected.len(), import.sensors.len()), (0, 107, 0));
    assert!(import.rejected.iter().all(|row| row.reason == ReadingError::TooOld));
    assert_eq!((import.rejected[0].row, import.skipped.insulin), (12, 2));
}

#[test]
fn the_form_without_counts_is_placed_by_stamp_and_keyed_by_it() {
    let bytes = sample("dexcom_clarity_g6_12col.csv");
    let first = read(&bytes, "America/New_York");
    assert_eq!((first.readings.len(), first.rejected.len()), (48, 0));
    let reading = &first.readings[0];
    assert_eq!(
        one(&reading.reading),
        "dexcom-clarity:iPhone G6 2016-10-24T15:24:17Z -04:00 103mg/dL"
    );
    assert_eq!(
        (reading.row, reading.reading.record_key().unwrap().as_str()),
        (13, "2016-10-24T11:24:17")
    );
    assert_eq!(first.sensors[0].device().name(), "Dexcom G6");

    let stored = |sensor: &SensorKey, record: &RecordKey| {
        let same =
            |reading: &&Reading| reading.sensor() == sensor && reading.record_key() == Some(record);
        first.readings.iter().map(|found| &found.reading).find(same).map(Reading::seconds)
    };
    let under = |zone: &str, known: &[Sensor]| {
        import(&bytes, &within(zone).with_known(known.to_vec()).with_stored(&stored)).unwrap()
    };
    assert_eq!(under("America/New_York", &first.sensors), first);
    for (known, earlier) in [(&first.sensors[..], "America/New_York"), (&[], "-04:00")] {
        let second = under("Europe/Berlin", known);
        let reason = ReadingError::AlreadyImportedElsewhere { earlier: earlier.to_owned() };
        assert_eq!((second.readings.len(), second.rejected.len()), (0, 48));
        assert!(second.rejected.iter().all(|row| row.reason == reason), "{earlier}");
    }
}

#[test]
fn stamps_without_count_in_a_gap_a_fold_or_twice_are_reported() {
    let text = clarity(&[
        ("2024-03-31T03:30:00", "100", "", ""),
        ("2023-10-29T03:30:00", "100", "", ""),
        ("2024-05-01T10:00:00", "100", "", ""),
        ("2024-05-01T10:00:00", "101", "", ""),
        ("2024-05-01T10:05:00", "102", "", ""),
        ("2024-05-01T10:05:00", "102", "", ""),
    ]);
    let import = read(text.as_bytes(), "Europe/Bucharest");
    let time = |row, error| (row, ReadingError::Time(error));
    let ambiguous = TimeError::Ambiguous;
    assert_eq!(
        reasons(&import),
        [time(2, TimeError::Skipped), time(3, ambiguous), time(4, ambiguous), time(5, ambiguous)]
    );
    assert_eq!(told(&import), ["dexcom-clarity:phone 2024-05-01T07:05:00Z +03:00 102mg/dL"]);
    assert_eq!(import.skipped.repeated, 1);
}

#[test]
fn a_transmitter_that_starts_in_the_fold_is_placed_by_its_first_clear_row() {
    let text = clarity(&[
        ("2023-10-29T03:55:00", "100", "1000", "TX"),
        ("2023-10-29T03:00:00", "101", "1300", "TX"),
        ("2023-10-29T03:55:00", "102", "4600", "TX"),
        ("2023-10-29T04:00:00", "103", "4900", "TX"),
    ]);
    assert_eq!(
        times(&read(text.as_bytes(), "Europe/Bucharest")),
        [
            "2023-10-29T00:55:00Z +03:00",
            "2023-10-29T01:00:00Z +02:00",
            "2023-10-29T01:55:00Z +02:00",
            "2023-10-29T02:00:00Z +02:00"
        ]
    );
}

#[test]
fn drift_of_minutes_and_a_clock_set_by_hand_change_no_offset() {
    // 100 days at 5 s a day, with summer time, and 11 minutes wrong for a while.
    let start = unix("2024-02-01T00:00:00Z");
    let mut rows = Vec::new();
    for hour in 0..2_400_i64 {
        let instant = start + hour * 3_600;
        let wrong = if (500..900).contains(&hour) { 660 } else { 0 };
        let stamp = instant
            + ZONES["Europe/Bucharest"].offset_at(instant).seconds()
            + hour * 5 / 24
            + wrong;
        let stamp = utc(stamp);
        rows.push(format!(
            "1,{},EGV,,,,phone,100,,,,,{},TX\n",
            stamp.trim_end_matches('Z'),
            hour * 3_600
        ));
    }
    let import = read((HEADER.to_owned() + &rows.concat()).as_bytes(), "Europe/Bucharest");
    assert_eq!((import.readings.len(), import.rejected.len()), (2_400, 0));
    let last = &import.readings[2_399].reading;
    assert_eq!(last.seconds(), start + 2_399 * 3_600);
    assert_eq!(
        stretches(&import, "dexcom:TX"),
        [
            "2024-02-01T00:00:00Z..2024-03-31T00:00:00Z +02:00",
            "2024-03-31T01:00:00Z..2024-05-10T23:00:00Z +03:00"
        ]
    );
    // An export of its end alone, minutes adrift, keeps the epoch and the offset.
    let end =
        again((HEADER.to_owned() + &rows[2_300..].concat()).as_bytes(), "Europe/Athens", &import);
    assert_eq!((end.readings.len(), end.rejected.len()), (100, 0));
    assert_eq!((&end.readings[99].reading, stretches(&end, "dexcom:TX").len()), (last, 1));
}

#[test]
fn a_receiver_with_another_clock_keeps_its_own_offset() {
    let rows = [
        ("2024-05-01T10:00:00", "100", "1000", "TX"),
        ("2024-05-01T10:10:00", "102", "1600", "TX"),
    ];
    let text = clarity(&rows) + "1,2024-05-01T09:05:20,EGV,,,,receiver,101,,,,,1300,TX\n";
    assert_eq!(
        times(&read(text.as_bytes(), "Europe/Bucharest")),
        [
            "2024-05-01T07:00:00Z +03:00",
            "2024-05-01T07:05:00Z +02:00",
            "2024-05-01T07:10:00Z +03:00"
        ]
    );
}

#[test]
fn after_days_without_a_sensor_the_person_is_taken_to_be_home_again() {
    let mut rows = vec![
        ("2024-05-01T10:00:00", "100", "1000", "A"),
        ("2024-05-01T09:05:00", "100", "1300", "A"),
        ("2024-05-01T12:00:00", "100", "5000", "B"),
    ];
    assert_eq!(
        times(&read(clarity(&rows).as_bytes(), "Europe/Bucharest"))[2],
        "2024-05-01T10:00:00Z +02:00"
    );
    rows[2].0 = "2024-05-11T12:00:00";
    assert_eq!(
        times(&read(clarity(&rows).as_bytes(), "Europe/Bucharest"))[2],
        "2024-05-11T09:00:00Z +03:00"
    );
}

#[test]
fn a_wrong_date_costs_its_row_only() {
    let text = clarity(&[
        ("2023-05-01T10:00:00", "99", "700", "TX"),
        ("2024-05-01T10:00:00", "100", "1000", "TX"),
        ("2024-05-01T10:05:00", "101", "1300", "TX"),
    ]);
    let import = read(text.as_bytes(), "Europe/Bucharest");
    assert_eq!(reasons(&import), [(2, ReadingError::Column("Transmitter Time"))]);
    assert_eq!(told(&import)[0], "dexcom:TX 2024-05-01T07:00:00Z +03:00 100mg/dL");
}

#[test]
fn one_count_twice_is_one_reading_and_the_later_row_stands() {
    let text = clarity(&[
        ("2024-05-01T10:00:00", "100", "1000", "TX"),
        ("2024-05-01T10:00:00", "100", "1000", "TX"),
        ("2024-05-01T10:05:00", "101", "1300", "TX"),
        ("2024-05-01T10:05:00", "111", "1300", "TX"),
    ]);
    let import = read(text.as_bytes(), "Europe/Bucharest");
    assert_eq!(
        told(&import),
        [
            "dexcom:TX 2024-05-01T07:00:00Z +03:00 100mg/dL",
            "dexcom:TX 2024-05-01T07:05:00Z +03:00 111mg/dL"
        ]
    );
    assert_eq!(import.skipped.repeated, 2);
}

#[test]
fn millimoles_keep_their_digits_and_have_their_own_limits() {
    let text = clarity(&[
        ("2024-05-01T10:00:00", "6.70", "1000", "TX"),
        ("2024-05-01T10:05:00", "Low", "1300", "TX"),
        ("2024-05-01T10:10:00", "High", "1600", "TX"),
    ]);
    let import = read(text.replace("(mg/dL)", "(mmol/L)").as_bytes(), "Europe/Bucharest");
    let values: Vec<_> =
        told(&import).iter().map(|told| told.split(' ').nth(3).unwrap().to_owned()).collect();
    assert_eq!(values, ["6.70mmol/L", "<2.2mmol/L", ">22.2mmol/L"]);
}

#[test]
fn a_header_in_another_language_is_read_by_position() {
    let header = "Index;Zeitstempel (JJJJ-MM-TTThh:mm:ss);Ereignistyp;Ereignissubtyp;Patienteninfo;Geräteinfo;Quellgerät-ID;\
        Glukosewert (mmol/l);Insulinwert (u);Kohlenhydratwert (Gramm);Dauer (hh:mm:ss);Glukoseänderungsrate (mmol/l/min);\
        Transmitterzeit (Ganzzahl);Transmitter-ID\r\n";
    let rows = "1;;FirstName;;X;;;;;;;;;\r\n2;2024-05-01 10:00:00;EGV;;;;iPhone G6;6,7;;;;;1000;TX\r\n\
        3;2024-05-01 10:05:00;EGV;;;;iPhone G6;Niedrig;;;;;1300;TX\r\n";
    let import = read(format!("{header}{rows}").as_bytes(), "Europe/Berlin");
    assert_eq!(
        told(&import),
        [
            "dexcom:TX 2024-05-01T08:00:00Z +02:00 6.7mmol/L",
            "dexcom:TX 2024-05-01T08:05:00Z +02:00 <2.2mmol/L"
        ]
    );
}

#[test]
fn bad_cells_cost_their_rows_only() {
    let text = clarity(&[
        ("2024-05-01T10:00:00", "100", "1000", "TX"),
        ("2024-05-01T10:05:00", "9", "1300", "TX"),
        ("2024-05-01T10:10:00", "1e2", "1600", "TX"),
        ("2024-05-01T10:15:00", "\"1,5\"", "1900", "TX"),
        ("2024-05-01T25:00:00", "100", "2200", "TX"),
        ("2024-05-01T10:25:00", "", "2500", "TX"),
        ("2024-05-01T10:30:00", "100", "-5", "TX"),
        ("2024-05-01T10:35:00", "NaN", "3100", "TX"),
        ("2024-05-01T10:40:00", "100", "3400", "TX"),
    ]);
    let import = read(text.as_bytes(), "Europe/Berlin");
    assert_eq!(
        reasons(&import),
        [
            value(3, GlucoseError::OutOfRange),
            value(4, GlucoseError::NotANumber),
            value(5, GlucoseError::NotANumber),
            (6, ReadingError::Time(TimeError::Unreadable)),
            (7, ReadingError::Column("Glucose Value")),
            (8, ReadingError::Column("Transmitter Time")),
            value(9, GlucoseError::NotANumber),
        ]
    );
    assert_eq!(import.readings.len(), 2);
}

#[test]
fn readings_ahead_of_the_clock_are_refused() {
    let text = clarity(&[
        ("2024-07-01T10:00:00", "100", "1000", "TX"),
        ("2024-07-02T10:00:00", "100", "87400", "TX"),
    ]);
    let import = read(text.as_bytes(), "Europe/Berlin");
    assert_eq!(
        (reasons(&import), import.readings.len()),
        (vec![(3, ReadingError::InTheFuture)], 1)
    );
}

#[test]
fn a_stray_quote_costs_one_row() {
    let text = clarity(&[
        ("\"2024-05-01T10:00:00", "100", "1000", "TX"),
        ("2024-05-01T10:05:00", "101", "1300", "TX"),
        ("2024-05-01T10:10:00", "102", "1600", "TX"),
    ]);
    let import = read(text.as_bytes(), "Europe/Berlin");
    assert_eq!(
        (import.readings.len(), reasons(&import)),
        (2, vec![(2, ReadingError::Column("Event Type"))])
    );
}

#[test]
fn an_unquoted_last_row_is_taken_only_when_it_is_surely_whole() {
    let rows = [
        ("2024-05-01T10:00:00", "100", "1000", "82AJ0D"),
        ("2024-05-01T10:05:00", "101", "1300", "82AJ0D"),
    ];
    let text = clarity(&rows);
    let whole = text.trim_end().as_bytes();
    let row = whole.len() - whole.iter().rposition(|byte| *byte == b'\n').unwrap() - 1;
    for cut in 0..=row {
        let import = read(&whole[..whole.len() - cut], "Europe/Berlin");
        let (taken, rejected) = match cut {
            0 => (2, vec![]),
            _ if cut == row => (1, vec![]),
            _ => (1, vec![(3, ReadingError::CutOff)]),
        };
        assert_eq!((import.readings.len(), reasons(&import)), (taken, rejected), "cut by {cut}");
    }
}

// ---- other makers' files ----

#[test]
fn files_of_other_makers_are_named() {
    for (file, name) in [
        ("libreview_libre3_ddmm.csv", "LibreView"),
        ("medtronic_carelink.csv", "CareLink"),
        ("nightscout_entries.json", "Nightscout"),
    ] {
        let error = import(&sample(file), &options()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(matches!(error, ImportError::UnknownFormat { recognised: Some(_) }));
    }
}

// ---- the open format ----

#[test]
fn open_csv_takes_columns_in_any_order_and_keeps_offsets() {
    let import = read_open(
        "\u{feff}unit,Status,\"time\",device,value\r\n\
         mmol/L,ok,2024-05-01T08:15:00+02:00,Libre 3,6.70\r\n\
         mg/dL,,2024-05-01T08:20:00.500-04:30,,100.10\r\n\
         mg/dL,low,2024-05-01T14:00:00+02:00,Libre 3,54\r\n\
         ,high,2024-05-01T14:05:00+02:00,Libre 3,\r\n\
         ,error,2024-05-01T14:10:00+02:00,Libre 3,\r\n\
         ,unknown,2024-05-01T14:15:00Z,Libre 3,\r\n",
    );
    assert_eq!((import.format, reasons(&import)), (Format::Csv, vec![]));
    assert_eq!(
        told(&import),
        [
            "open:Libre 3 2024-05-01T06:15:00Z +02:00 6.70mmol/L",
            "open:Libre 3 2024-05-01T12:00:00Z +02:00 <54mg/dL",
            "open:Libre 3 2024-05-01T12:05:00Z +02:00 >400mg/dL",
            "open:Libre 3 2024-05-01T12:10:00Z +02:00 -error",
            "open:unnamed 2024-05-01T12:50:00Z -04:30 100.10mg/dL",
            "open:Libre 3 2024-05-01T14:15:00Z ? -unknown",
        ]
    );
    assert_eq!(import.readings[3].reading.measurement(), Measurement::Absent(AbsentReason::Error));
}

#[test]
fn a_time_in_utc_takes_the_person_s_offset_from_the_zone() {
    let text = "time,value,unit\n2024-05-01T08:15:00Z,100,mg/dL\n";
    let import = read(text.as_bytes(), "Europe/Berlin");
    assert_eq!(told(&import), ["open:unnamed 2024-05-01T08:15:00Z +02:00 100mg/dL"]);
}

#[test]
fn open_rows_that_cannot_be_taken_say_why() {
    let cases = [
        ("2024-05-01T08:15:00,100,mg/dL,ok", ReadingError::Time(TimeError::NoOffset)),
        ("2024-05-01 08:15,100,mg/dL,ok", ReadingError::Time(TimeError::Unreadable)),
        ("2024-05-01T08:15:00+19:00,100,mg/dL,ok", ReadingError::Time(TimeError::Offset)),
        (",100,mg/dL,ok", ReadingError::Column("time")),
        ("2024-05-01T08:15:00Z,1e2,mg/dL,ok", ReadingError::Value(GlucoseError::NotANumber)),
        ("2024-05-01T08:15:00Z,\"1,5\",mmol/L,ok", ReadingError::Value(GlucoseError::NotANumber)),
        ("2024-05-01T08:15:00Z,-100,mg/dL,ok", ReadingError::Value(GlucoseError::NotANumber)),
        ("2024-05-01T08:15:00Z,NaN,mg/dL,ok", ReadingError::Value(GlucoseError::NotANumber)),
        ("2024-05-01T08:15:00Z,6.7,mg/dL,ok", ReadingError::Value(GlucoseError::OutOfRange)),
        ("2024-05-01T08:15:00Z,100,mg,ok", ReadingError::Value(GlucoseError::Unit)),
        ("2024-05-01T08:15:00Z,100,,ok", ReadingError::Column("unit")),
        ("2024-05-01T08:15:00Z,,mg/dL,ok", ReadingError::Column("value")),
        ("2024-05-01T08:15:00Z,100,mg/dL,fine", ReadingError::Status),
        ("1961-05-01T08:15:00Z,100,mg/dL,ok", ReadingError::TooOld),
        ("2031-05-01T08:15:00Z,100,mg/dL,ok", ReadingError::InTheFuture),
    ];
    for (row, reason) in cases {
        let import = read_open(&format!(
            "time,value,unit,status\n{row}\n2024-05-01T08:20:00Z,100,mg/dL,ok\n"
        ));
        assert_eq!((reasons(&import), import.readings.len()), (vec![(2, reason)], 1), "{row}");
    }
}

#[test]
fn json_lines_keep_the_digits_of_numbers_and_take_strings() {
    let import = read_open(concat!(
        r#"{"time": "2024-05-01T08:15:00+02:00", "value": 6.70, "unit": "mmol/L", "device": "Libre 3", "trend": [1]}"#,
        "\n\n",
        r#"{"time": "2024-05-01T08:20:00+02:00", "value": "100.10", "unit": "mg/dL"}"#,
        "\n",
        r#"{"time": "2024-05-01T08:25:00+02:00", "value": 1e2, "unit": "mg/dL"}"#,
        "\n",
        r#"{"time": "2024-05-01T08:30:00+02:00", "value": true, "unit": "mg/dL"}"#,
        "\n",
        r#"{"time": 1714544400, "value": 100, "unit": "mg/dL"}"#,
        "\nnot json\n",
        r#"{"time": "2024-05-01T08:45:00+02:00", "value": null, "status": "low"}"#,
        "\n",
        r#"{"time": "2024-05-01T08:50:00+02:00", "value": 10"#,
    ));
    assert_eq!(import.format, Format::Ndjson);
    assert_eq!(
        told(&import),
        [
            "open:Libre 3 2024-05-01T06:15:00Z +02:00 6.70mmol/L",
            "open:unnamed 2024-05-01T06:20:00Z +02:00 100.10mg/dL",
            "open:unnamed 2024-05-01T06:45:00Z +02:00 <40mg/dL",
        ]
    );
    let column = |row, name| (row, ReadingError::Column(name));
    assert_eq!(
        reasons(&import),
        [
            value(4, GlucoseError::NotANumber),
            column(5, "value"),
            column(6, "time"),
            column(7, "time"),
            (9, ReadingError::CutOff)
        ]
    );
}

#[test]
fn a_last_open_row_whose_end_is_open_is_cut_off() {
    for (text, taken) in [
        ("time,value,unit\n2024-05-01T08:15:00Z,100,mg/dL", true),
        ("unit,time,value\nmg/dL,2024-05-01T08:15:00Z,10", false),
        ("unit,time,value\nmg/dL,2024-05-01T08:15:00Z,\"100\"", true),
        ("time,value,unit,status\n2024-05-01T08:15:00Z,40,mg/dL,", false),
        ("time,value,unit,status\n2024-05-01T08:15:00Z,40,mg/dL,low", true),
        ("time,value,unit,device\n2024-05-01T08:15:00Z,100,mg/dL,Lib", false),
        ("time,value,unit\n2024-05-01T08:15:00Z,100", false),
    ] {
        let import = read_open(text);
        let rejected = if taken { vec![] } else { vec![(2, ReadingError::CutOff)] };
        assert_eq!((import.readings.len() == 1, reasons(&import)), (taken, rejected), "{text}");
    }
}

#[test]
fn more_sensors_than_a_person_wears_are_refused() {
    let rows =
        (0..=1_000).map(|number| format!("2024-05-01T08:15:00Z,100,mg/dL,sensor {number}\n"));
    let text = "time,value,unit,device\n".to_owned() + &rows.collect::<Vec<_>>().concat();
    assert_eq!(import(text.as_bytes(), &options()), Err(ImportError::TooManySensors));
}

#[test]
fn debug_output_names_no_serial_number_and_no_value() {
    let text =
        format!("{:?} {:?}", *REAL_IMPORT, options().with_known(REAL_IMPORT.sensors.clone()));
    assert!(!text.contains("82AJ0D") && !text.contains("234"), "{text}");
}

// ---- properties ----

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_make_it_panic(
        start in prop::sample::select(vec![HEADER, "time,value,unit,device,status\n", "{\"time\":\"", ""]),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        text in "[\\PC\n\r,;\"]{0,300}",
    ) {
        for rest in [&bytes[..], text.as_bytes()] {
            let _ = import(&[start.as_bytes(), rest].concat(), &within("Europe/Bucharest"));
        }
    }

    #[test]
    fn every_clarity_row_is_taken_rejected_or_repeated(rows in prop::collection::vec((
        "[0-9]{4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-5][0-9]", "Low|High|[0-9]{1,4}", "[0-9]{0,12}", "[AB]?",
    ), 0..40)) {
        let rows: Vec<_> = rows.iter().map(|(a, b, c, d)| (a.as_str(), b.as_str(), c.as_str(), d.as_str())).collect();
        let import = read(clarity(&rows).as_bytes(), "Europe/Bucharest");
        prop_assert_eq!(import.readings.len() + import.rejected.len() + import.skipped.repeated, rows.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_cut_anywhere_loses_the_cut_row_only(cut in 3_000_usize..2_426_178) {
        let bytes = &REAL_BYTES[..cut];
        let import = read(bytes, "Europe/Bucharest");
        let ended = bytes.split(|byte| *byte == b'\n').count() - 1;
        let kept: Vec<_> = REAL_IMPORT.readings.iter().filter(|found| found.row <= ended).cloned().collect();
        let found: Vec<_> = import.readings.iter().filter(|found| found.row <= ended).cloned().collect();
        prop_assert!(found == kept);
        prop_assert!(import.readings.len() + import.rejected.len() <= kept.len() + 1);
        prop_assert!(import.rejected.iter().all(|row| row.row == ended + 1 && row.reason == ReadingError::CutOff));
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter(seed in any::<u64>()) {
        let text = std::str::from_utf8(&REAL_BYTES).unwrap();
        let mut lines: Vec<_> = text.split_inclusive('\n').collect();
        let mut state = seed | 1;
        for at in (2..lines.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let other = usize::try_from(state >> 33).unwrap() % at + 1;
            lines.swap(at, other);
        }
        let shuffled = read(lines.concat().as_bytes(), "Europe/Bucharest");
        prop_assert!(told(&shuffled) == told(&REAL_IMPORT));
        prop_assert!(shuffled.sensors == REAL_IMPORT.sensors && shuffled.rejected.is_empty());
    }
}
