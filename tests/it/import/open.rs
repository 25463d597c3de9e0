//! The open format.

use super::{REAL_IMPORT, options, read, read_open, reasons, told, value};
use cgm_submitter::glucose::{
    AbsentReason, GlucoseError, GlucoseUnit, GlucoseValue, Measurement, ReadingError, Scale,
    TimeError,
};
use cgm_submitter::import::{Format, ImportError, TimesLike, import};

#[test]
fn open_csv_takes_columns_in_any_order_and_keeps_offsets() {
    let import = read_open(
        "\u{feff}unit,Status,\"time\",device,value\r\n\
         mmol/L,ok,2024-05-01T08:15:00+02:00,Libre 3,6.70\r\n\
         mg/dL,,2024-05-01T08:20:00.500-04:30,,100.10\r\n\
         mg/dL,low,2024-05-01T14:00:00+02:00,Libre 2,40\r\n\
         ,high,2024-05-01T14:05:00+02:00,Libre 2,\r\n\
         ,error,2024-05-01T14:10:00+02:00,Libre 3,\r\n\
         ,unknown,2024-05-01T14:15:00Z,Libre 3,\r\n",
    );
    assert_eq!((import.format, reasons(&import)), (Format::Csv, vec![]));
    assert_eq!(
        told(&import),
        [
            "open:Libre 3 2024-05-01T06:15:00Z +02:00 6.70mmol/L",
            "open:Libre 2 2024-05-01T12:00:00Z +02:00 <40mg/dL",
            "open:Libre 2 2024-05-01T12:05:00Z +02:00 >500mg/dL",
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
        ("2024-05-01T08:15:00Z,6.7,mg/dL,ok", ReadingError::OtherUnit),
        ("2024-05-01T08:15:00Z,0,mg/dL,ok", ReadingError::Value(GlucoseError::OutOfRange)),
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
        concat!(
            r#"{"time": "2024-05-01T08:15:00+02:00", "value": 6.70, "unit": "mmol/L", "#,
            r#""device": "Libre 3", "trend": [1]}"#
        ),
        "\n\n",
        r#"{"time": "2024-05-01T08:20:00+02:00", "value": "100.10", "unit": "mg/dL"}"#,
        "\n",
        r#"{"time": "2024-05-01T08:25:00+02:00", "value": 1e2, "unit": "mg/dL"}"#,
        "\n",
        r#"{"time": "2024-05-01T08:30:00+02:00", "value": true, "unit": "mg/dL"}"#,
        "\n",
        r#"{"time": 1714544400, "value": 100, "unit": "mg/dL"}"#,
        "\nnot json\n",
        concat!(
            r#"{"time": "2024-05-01T08:45:00+02:00", "value": null, "status": "low", "#,
            r#""device": "Dexcom G7"}"#
        ),
        "\n",
        r#"{"time": "2024-05-01T08:50:00+02:00", "value": 10"#,
    ));
    assert_eq!(import.format, Format::Ndjson);
    assert_eq!(
        told(&import),
        [
            "open:Libre 3 2024-05-01T06:15:00Z +02:00 6.70mmol/L",
            "open:unnamed 2024-05-01T06:20:00Z +02:00 100.10mg/dL",
            "open:Dexcom G7 2024-05-01T06:45:00Z +02:00 <40mg/dL",
        ]
    );
    let column = |row, name| (row, ReadingError::Column(name));
    assert_eq!(
        reasons(&import),
        [
            value(4, GlucoseError::NotANumber),
            column(5, "value"),
            column(6, "time"),
            (7, ReadingError::NotJson),
            (9, ReadingError::CutOff)
        ]
    );
}

#[test]
fn json_lines_that_are_no_object_or_say_a_field_twice_say_so() {
    let good = r#"{"time": "2024-05-01T08:15:00Z", "value": 100, "unit": "mg/dL"}"#;
    let time = r#""time": "2024-05-01T08:20:00Z""#;
    for (line, reason) in [
        (format!(r#"{{{time}, "value": 100, "unit": "mg/dL", {time}}}"#), true),
        (format!(r#"{{{time}, "value": 100, "value": 250, "unit": "mg/dL"}}"#), true),
        (r#"["2024-05-01T08:20:00Z", 100, "mg/dL"]"#.to_owned(), false),
        ("100".to_owned(), false),
        (format!(r#"{{{time}, "value": 100,, "unit": "mg/dL"}}"#), false),
        (format!("{{{time}, "), false),
    ] {
        let reason = if reason { ReadingError::DoubledField } else { ReadingError::NotJson };
        let import = read_open(&format!("{good}\n{line}\n"));
        assert_eq!((reasons(&import), import.readings.len()), (vec![(2, reason)], 1), "{line}");
    }
    // Also on the first line, by which the format is told.
    let twice = good.replace('}', r#", "value": 101}"#);
    assert_eq!(reasons(&read_open(&format!("{twice}\n"))), [(1, ReadingError::DoubledField)]);
    // A field that nobody reads may be there twice.
    let other = good.replace('}', r#", "note": 1, "note": 2}"#);
    assert_eq!(read_open(&format!("{other}\n")).readings.len(), 1);
}

#[test]
fn rows_that_say_different_things_of_one_sensor_and_time_are_all_refused_by_their_lines() {
    let row = |minute: u32, value: &str, device: &str| {
        format!("2024-05-01T08:{minute}:00Z,{value},{device}\n")
    };
    let rows = [
        row(15, "100,mg/dL", "A"),
        row(15, "101,mg/dL", "B"),
        row(20, "100,mg/dL", "A"),
        row(25, "6.7,mmol/L", "A"),
        row(20, "100.0,mg/dL", "A"),
        row(20, "250,mg/dL", "A"),
        row(25, "121,mg/dL", "A"),
        row(30, "100,mg/dL", "A"),
        row(30, "100,mg/dL", "A"),
    ];
    let expected = [
        "open:A 2024-05-01T08:15:00Z ? 100mg/dL",
        "open:B 2024-05-01T08:15:00Z ? 101mg/dL",
        "open:A 2024-05-01T08:25:00Z ? 121mg/dL",
        "open:A 2024-05-01T08:30:00Z ? 100mg/dL",
    ];
    let header = "time,value,unit,device\n".to_owned();
    let import = read_open(&(header.clone() + &rows.concat()));
    assert_eq!(told(&import), expected);
    let says = |row, other| (row, ReadingError::Contradiction { row: other });
    assert_eq!(reasons(&import), [says(4, 7), says(6, 7), says(7, 4)]);
    assert_eq!(import.skipped.repeated, 2, "what says the same again");
    let text = import.rejected[0].reason.to_string();
    assert!(text.starts_with("row 7 says something else of the same sensor and time"), "{text}");

    // In whatever order they stand.
    let backwards: String = rows.iter().rev().map(String::as_str).collect();
    let import = read_open(&(header + &backwards));
    assert_eq!(told(&import), expected);
    assert_eq!((import.rejected.len(), import.skipped.repeated), (3, 2));
}

#[test]
fn a_quote_out_of_place_costs_its_line_and_a_row_is_one_line() {
    let import = read_open(concat!(
        "time,value,unit,device,note\n",
        "2024-05-01T08:15:00Z,100,mg/dL,A,\"before\nbreakfast\"\n",
        "2024-05-01T08:20:00Z,101,mg/dL,A,\"no end\n",
        "2024-05-01T08:25:00Z,102,mg/dL,A,\n",
        "2024-05-01T08:30:00Z,\"10\"3,mg/dL,A,\n",
    ));
    let rows: Vec<_> = import.readings.iter().map(|found| found.row).collect();
    let refused = [2, 3, 4, 6].map(|row| (row, ReadingError::StrayQuote));
    assert_eq!((rows, reasons(&import)), (vec![5], refused.to_vec()));
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

#[test]
fn a_row_with_more_cells_than_its_columns_is_refused() {
    for (text, taken) in [
        ("time,value,unit\n2024-05-01T08:15:00Z,3,9,mmol/L\n", false),
        ("time,unit,value\n2024-05-01T08:15:00Z,mmol/L,3,9\n", false),
        ("time,unit,value,device\n2024-05-01T08:15:00Z,mmol/L,3,9,\n", false),
        ("time,unit,value\n2024-05-01T08:15:00Z,mmol/L,3.9,,\n", true),
    ] {
        let import = read_open(text);
        let refused = if taken { vec![] } else { vec![(2, ReadingError::SurplusCells)] };
        assert_eq!((import.readings.len() == 1, reasons(&import)), (taken, refused), "{text}");
    }
}

#[test]
fn doubled_columns_are_refused() {
    let text = "time,value,unit,value\n2024-05-01T08:15:00Z,100,mg/dL,200\n";
    let error = import(text.as_bytes(), &options()).unwrap_err();
    assert_eq!(error, ImportError::DoubledColumn { first: 2, second: 4 });
}

#[test]
fn low_without_a_value_asks_for_the_devices_scale() {
    let text = "time,value,unit,status,device\n2024-05-01T08:15:00Z,,mg/dL,low,My CGM\n";
    assert_eq!(import(text.as_bytes(), &options()), Err(ImportError::ScaleRequired { row: 2 }));
    let at = |mg_dl| GlucoseValue::new(mg_dl, 0, GlucoseUnit::MgPerDl).unwrap();
    let scale = Scale::new(at(70), at(250)).unwrap();
    let import = import(text.as_bytes(), &options().with_scale(scale)).unwrap();
    assert_eq!(told(&import), ["open:My CGM 2024-05-01T08:15:00Z ? <70mg/dL"]);
}

#[test]
fn times_without_offset_get_one_sentence_for_all_rows() {
    let row = |minute: i32| format!("2024-05-01T08:{minute}:00,100,mg/dL\n");
    let rows = (10..40).map(row).collect::<Vec<_>>().concat();
    let error =
        import(("time,value,unit\n".to_owned() + &rows).as_bytes(), &options()).unwrap_err();
    assert_eq!(error, ImportError::Times { like: TimesLike::NoOffset });
}
