//! Clarity's forms.

use super::{
    HEADER, Stored, ZONES, again, again_with, clarity, one, read, reasons, sample, stretches,
    times, told, unix, utc, value, within,
};
use cgm_submitter::glucose::{
    GlucoseError, GlucoseUnit, GlucoseValue, ReadingError, Scale, TimeError,
};
use cgm_submitter::import::{ImportError, import};

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
        (reading.row, reading.reading.record_key().unwrap().count()),
        (13, Some(("stamp", 1_477_308_257)))
    );
    assert_eq!(first.sensors[0].device().name(), "Dexcom G6");

    let stored = Stored::of(&first);
    assert_eq!(again(&bytes, &stored, "America/New_York"), first);
    let second = again(&bytes, &stored, "Europe/Berlin");
    let earlier = "America/New_York".to_owned();
    let reason = ReadingError::AlreadyImportedElsewhere { earlier };
    assert_eq!((second.readings.len(), second.rejected.len()), (0, 48));
    assert!(second.rejected.iter().all(|row| row.reason == reason));

    let mut replaced = stored.clone();
    replaced.take(&again_with(&bytes, &stored, "Europe/Berlin", |options| options.replacing(true)));
    assert!(replaced.told() == Stored::of(&read(&bytes, "Europe/Berlin")).told());
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
    // The instants follow the stamps, by which every export has them.
    let wrong = &import.readings[600].reading;
    assert_eq!(wrong.seconds(), start + 600 * 3_600 + 125 + 660);
    let last = &import.readings[2_399].reading;
    assert_eq!(last.seconds(), start + 2_399 * 3_600 + 499);
    assert_eq!(
        stretches(&import, "dexcom-clarity:phone"),
        [
            "2024-02-01T00:00:00Z..2024-03-31T00:04:55Z +02:00",
            "2024-03-31T01:04:55Z..2024-05-10T23:08:19Z +03:00"
        ]
    );
    let end = read((HEADER.to_owned() + &rows[2_300..].concat()).as_bytes(), "Europe/Bucharest");
    assert_eq!((end.readings.len(), end.rejected.len()), (100, 0));
    assert_eq!(&end.readings[99].reading, last);
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
            "2024-05-01T07:05:20Z +02:00",
            "2024-05-01T07:10:00Z +03:00"
        ]
    );
}

#[test]
fn after_days_without_a_sensor_the_person_is_taken_to_be_home_again() {
    let mut rows = vec![
        ("2024-05-01T09:50:00", "100", "400", "A"),
        ("2024-05-01T09:55:00", "100", "700", "A"),
        ("2024-05-01T10:00:00", "100", "1000", "A"),
        ("2024-05-01T09:05:00", "100", "1300", "A"),
        ("2024-05-01T12:00:00", "100", "5000", "B"),
    ];
    assert_eq!(
        times(&read(clarity(&rows).as_bytes(), "Europe/Bucharest"))[4],
        "2024-05-01T10:00:00Z +02:00"
    );
    rows[4].0 = "2024-05-11T12:00:00";
    assert_eq!(
        times(&read(clarity(&rows).as_bytes(), "Europe/Bucharest"))[4],
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
    assert_eq!(told(&import)[0], "dexcom-clarity:phone 2024-05-01T07:00:00Z +03:00 100mg/dL");
}

#[test]
fn one_count_twice_is_one_reading_unless_the_rows_say_different_things() {
    let rows = [
        ("2024-05-01T10:00:00", "100", "1000", "TX"),
        ("2024-05-01T10:00:00", "100", "1000", "TX"),
        ("2024-05-01T10:05:00", "101", "1300", "TX"),
        ("2024-05-01T10:05:00", "111", "1300", "TX"),
        ("2024-05-01T10:05:00", "101", "1300", "TX"),
    ];
    let import = read(clarity(&rows).as_bytes(), "Europe/Bucharest");
    assert_eq!(told(&import), ["dexcom-clarity:phone 2024-05-01T07:00:00Z +03:00 100mg/dL"]);
    assert_eq!(import.skipped.repeated, 1);
    let says = |row, other| (row, ReadingError::Contradiction { row: other });
    assert_eq!(reasons(&import), [says(4, 5), says(5, 4), says(6, 4)]);
}

#[test]
fn millimoles_keep_their_digits_and_have_their_own_limits() {
    let text = clarity(&[
        ("2024-05-01T10:00:00", "6.70", "1000", "TX"),
        ("2024-05-01T10:05:00", "Low", "1300", "TX"),
        ("2024-05-01T10:10:00", "High", "1600", "TX"),
    ]);
    let text = text.replace("(mg/dL)", "(mmol/L)").replace("phone", "iPhone G6");
    let import = read(text.as_bytes(), "Europe/Bucharest");
    let values: Vec<_> =
        told(&import).iter().map(|told| told.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(values, ["6.70mmol/L", "<2.2mmol/L", ">22.2mmol/L"]);
}

#[test]
fn a_header_in_another_language_is_read_by_position() {
    let header = "Index;Zeitstempel \
        (JJJJ-MM-TTThh:mm:ss);Ereignistyp;Ereignissubtyp;Patienteninfo;Geräteinfo;Quellgerät-ID;\
        Glukosewert (mmol/l);Insulinwert (u);Kohlenhydratwert (Gramm);Dauer \
        (hh:mm:ss);Glukoseänderungsrate (mmol/l/min);\
        Transmitterzeit (Ganzzahl);Transmitter-ID\r\n";
    let rows = "1;;FirstName;;X;;;;;;;;;\r\n2;2024-05-01 10:00:00;EGV;;;;iPhone \
        G6;6,7;;;;;1000;TX\r\n\
        3;2024-05-01 10:05:00;EGV;;;;iPhone G6;Niedrig;;;;;1300;TX\r\n";
    let import = read(format!("{header}{rows}").as_bytes(), "Europe/Berlin");
    assert_eq!(
        told(&import),
        [
            "dexcom-clarity:iPhone G6 2024-05-01T08:00:00Z +02:00 6.7mmol/L",
            "dexcom-clarity:iPhone G6 2024-05-01T08:05:00Z +02:00 <2.2mmol/L"
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
            (3, ReadingError::OtherUnit),
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
fn a_stray_quote_costs_its_line_wherever_it_stands() {
    let row = "1,2024-05-01T10:05:00,EGV,,,,phone,101,,,,,1300,TX";
    let quoted = row.split(',').map(|cell| format!("\"{cell}\"")).collect::<Vec<_>>().join(",");
    let around = |row: &str| {
        let before = clarity(&[("2024-05-01T10:00:00", "100", "1000", "TX")]);
        let after = clarity(&[("2024-05-01T10:10:00", "102", "1600", "TX")]).replace(HEADER, "");
        read(format!("{before}{row}\n{after}").as_bytes(), "Europe/Berlin")
    };
    for row in [row, &quoted] {
        assert_eq!(around(row).readings.len(), 3);
        for at in 0..=row.len() {
            let (left, right) = row.split_at(at);
            let added = format!("{left}\"{right}");
            let dropped = right.strip_prefix('"').map(|right| format!("{left}{right}"));
            for stray in [Some(added), dropped].into_iter().flatten() {
                let import = around(&stray);
                assert_eq!(import.readings.len(), 2, "{stray}");
                assert_eq!(reasons(&import), [(3, ReadingError::StrayQuote)], "{stray}");
            }
        }
    }
    let import = around(&row.replace("EGV,,", "EGV,,\"a\nb\""));
    let (lines, refused): (Vec<_>, Vec<_>) = reasons(&import).into_iter().unzip();
    assert_eq!((import.readings.len(), lines), (2, vec![3, 4]), "a row is one line");
    assert!(refused.iter().all(|reason| *reason == ReadingError::StrayQuote));
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

// ---- surplus cells, doubled columns ----

#[test]
fn a_row_with_more_cells_than_its_header_is_refused_unless_they_are_blank() {
    // A decimal comma without quotes: 3,9 mmol/L is not 3.
    let split = |value: &str, end: &str| {
        format!("1,2024-05-01T10:00:00,EGV,,,,phone,{value},,,,,1000,TX{end}\n")
    };
    for (row, taken) in [
        (split("3,9", ""), false),
        (split("3", ",9"), false),
        (split("3.9", ",,"), true),
        (split("\"3.9\"", ""), true),
    ] {
        let text = HEADER.replace("(mg/dL)", "(mmol/L)") + &row;
        let import = read(text.as_bytes(), "Europe/Bucharest");
        let refused = if taken { vec![] } else { vec![(2, ReadingError::SurplusCells)] };
        assert_eq!((import.readings.len() == 1, reasons(&import)), (taken, refused), "{row}");
    }
}

#[test]
fn a_value_split_before_blank_cells_is_refused_too() {
    let header: Vec<_> = HEADER.trim_end().split(',').take(12).collect();
    let text = header.join(",").replace("(mg/dL)", "(mmol/L)")
        + "\n1,2024-05-01T10:00:00,EGV,,,,phone,3,9,,,,\n";
    let import = read(text.as_bytes(), "Europe/Bucharest");
    assert_eq!(
        (import.readings.len(), reasons(&import)),
        (0, vec![(2, ReadingError::SurplusCells)])
    );
}

#[test]
fn doubled_column_names_are_refused() {
    let rows = "1,2024-05-01T10:00:00,EGV,,,,phone,100,,,,,1000,TX\n";
    for header in [
        HEADER.replace("Insulin Value (u)", "Glucose Value (mg/dL)"),
        HEADER.replace("Insulin Value (u)", "Glucose Value (mmol/L)"),
        HEADER.replace("Carb Value (grams)", "Insulin Value (u)"),
    ] {
        let error = import((header + rows).as_bytes(), &within("Europe/Bucharest")).unwrap_err();
        assert!(matches!(error, ImportError::DoubledColumn { .. }), "{error}");
    }
}

#[test]
fn where_semicolons_part_the_cells_a_decimal_comma_is_one() {
    let text = HEADER.replace(',', ";").replace("(mg/dL)", "(mmol/L)")
        + "1;2024-05-01T10:00:00;EGV;;;;phone;3,9;;;;;1000;TX\n";
    let import = read(text.as_bytes(), "Europe/Bucharest");
    assert_eq!(told(&import), ["dexcom-clarity:phone 2024-05-01T07:00:00Z +03:00 3.9mmol/L"]);
}

// ---- the device's scale ----

fn with_low(model: &str, source: &str) -> String {
    let rows = clarity(&[
        ("2024-05-01T10:00:00", "100", "1000", "TX"),
        ("2024-05-01T10:05:00", "Low", "1300", "TX"),
        ("2024-05-01T10:10:00", "High", "1600", "TX"),
    ]);
    let device = format!("{HEADER}1,,Device,,,{model},{source},,,,,,,\n");
    rows.replace(HEADER, &device).replace(",phone,", &format!(",{source},"))
}

#[test]
fn low_and_high_are_counted_at_the_limits_of_the_known_model() {
    for (model, source, low, high) in [
        ("Dexcom G6 Mobile App", "phone", "<40mg/dL", ">400mg/dL"),
        ("Stelo Mobile App", "phone", "<70mg/dL", ">250mg/dL"),
        ("", "iPhone G7", "<40mg/dL", ">400mg/dL"),
    ] {
        let import = read(with_low(model, source).as_bytes(), "Europe/Bucharest");
        let told = told(&import);
        assert!(told[1].ends_with(low) && told[2].ends_with(high), "{model}: {told:?}");
    }
}

#[test]
fn low_of_an_unknown_model_asks_for_its_scale_and_takes_nothing_until_told() {
    let text = with_low("Some Receiver", "phone");
    assert_eq!(
        import(text.as_bytes(), &within("Europe/Bucharest")),
        Err(ImportError::ScaleRequired { row: 4 })
    );
    let at = |mg_dl| GlucoseValue::new(mg_dl, 0, GlucoseUnit::MgPerDl).unwrap();
    let scale = Scale::new(at(70), at(250)).unwrap();
    let import = import(text.as_bytes(), &within("Europe/Bucharest").with_scale(scale)).unwrap();
    let told = told(&import);
    assert!(told[1].ends_with("<70mg/dL") && told[2].ends_with(">250mg/dL"), "{told:?}");
    assert_eq!(import.sensors[0].scale(), Some(scale));

    // Once told, a later file of the same sensor need not ask again.
    let later = again(text.as_bytes(), &Stored::of(&import), "Europe/Bucharest");
    assert_eq!(later.readings, import.readings);
}

#[test]
fn a_file_without_low_needs_no_scale() {
    let text = clarity(&[("2024-05-01T10:00:00", "100", "1000", "TX")]);
    let import = read(text.as_bytes(), "Europe/Bucharest");
    assert_eq!((import.readings.len(), import.sensors[0].scale()), (1, None));
}
