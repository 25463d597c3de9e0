//! Values that their devices cannot have shown, and files whose unit is another than they say.

use super::{
    REAL_BYTES, SENSOR, Stored, again, clarity, options, read_open, reasons, told, within,
};
use cgm_submitter::glucose::{GlucoseUnit, GlucoseValue, ReadingError, Scale};
use cgm_submitter::import::{ImportError, import};

fn scale(lowest: u32, highest: u32) -> Scale {
    let at = |mg_dl| GlucoseValue::new(mg_dl, 0, GlucoseUnit::MgPerDl).unwrap();
    Scale::new(at(lowest), at(highest)).unwrap()
}

fn refused(bytes: &[u8]) -> ImportError {
    import(bytes, &within("Europe/Bucharest")).expect_err("refused")
}

/// The real file with the other unit in its header.
fn real_as_mmol() -> String {
    std::str::from_utf8(&REAL_BYTES).unwrap().replacen("(mg/dL)", "(mmol/L)", 1)
}

/// The real file's values in mmol/L under its own header.
fn real_in_mmol() -> String {
    let text = std::str::from_utf8(&REAL_BYTES).unwrap();
    let line = |line: &str| {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        if let Ok(mg_dl) = cells[7].trim_matches('"').parse::<f64>() {
            cells[7] = format!("\"{:.1}\"", mg_dl / 18.0156);
        }
        cells.join(",")
    };
    text.split_inclusive('\n').map(line).collect()
}

#[test]
fn a_file_whose_header_has_the_wrong_unit_is_refused_as_a_whole_and_says_what_it_looks_like() {
    use GlucoseUnit::{MgPerDl, MmolPerL};
    for (text, says, is) in
        [(real_as_mmol(), MmolPerL, MgPerDl), (real_in_mmol(), MgPerDl, MmolPerL)]
    {
        for text in [text.clone(), text.replace("G6", "model X").replace("\"Low\"", "\"50\"")] {
            let error = refused(text.as_bytes());
            let ImportError::WrongUnit { stated, like, count, of } = error else {
                panic!("{error}")
            };
            assert_eq!((stated, like), (says, is));
            assert!(count > 25_000 && of == 25_340, "{count} of {of}");
            let words =
                format!("{count} of 25340 values can only be {is} and the file says {says}");
            assert!(error.to_string().starts_with(&words), "{error}");
        }
    }
}

#[test]
fn a_value_of_the_other_unit_among_good_ones_costs_its_row_whatever_the_model() {
    for source in ["iPhone G6", "phone"] {
        let text = clarity(&[
            ("2024-05-01T10:00:00", "100", "1000", "TX"),
            ("2024-05-01T10:05:00", "13.0", "1300", "TX"),
            ("2024-05-01T10:10:00", "5.6", "1600", "TX"),
        ]);
        let text = text.replace("phone", source);
        let found = import(text.as_bytes(), &within("Europe/Bucharest")).unwrap();
        let other = |row| (row, ReadingError::OtherUnit);
        assert_eq!((reasons(&found), found.readings.len()), (vec![other(3), other(4)], 1));
        let molar = text.replace("(mg/dL)", "(mmol/L)").replace("100", "40");
        let found = import(molar.as_bytes(), &within("Europe/Bucharest")).unwrap();
        assert_eq!((reasons(&found), found.readings.len()), (vec![other(2)], 2));
    }
}

#[test]
fn a_value_outside_what_its_model_shows_is_refused_with_its_row() {
    let text = clarity(&[
        ("2024-05-01T10:00:00", "400", "1000", "TX"),
        ("2024-05-01T10:05:00", "401", "1300", "TX"),
        ("2024-05-01T10:10:00", "600", "1600", "TX"),
    ]);
    let text = text.replace("phone", "iPhone G6");
    for text in [text.clone(), text.replace(",1000,TX", ",,").replace(",1300,TX", ",,")] {
        let found = import(text.as_bytes(), &within("Europe/Bucharest")).unwrap();
        let off = |row| (row, ReadingError::OffScale);
        assert_eq!((reasons(&found), found.readings.len()), (vec![off(3), off(4)], 1));
    }
}

#[test]
fn a_scale_that_the_host_gave_or_that_is_stored_holds_for_values_too() {
    let text = clarity(&[
        ("2024-05-01T10:00:00", "100", "1000", "TX"),
        ("2024-05-01T10:05:00", "200", "1300", "TX"),
    ]);
    let given = within("Europe/Bucharest").with_scale(scale(150, 400));
    let first = import(text.as_bytes(), &given).unwrap();
    assert_eq!(reasons(&first), [(2, ReadingError::OffScale)]);
    assert_eq!(told(&first), ["dexcom-clarity:phone 2024-05-01T07:05:00Z +03:00 200mg/dL"]);
    let later = again(text.as_bytes(), &Stored::of(&first), "Europe/Bucharest");
    assert_eq!(reasons(&later), [(2, ReadingError::OffScale)]);

    let open = "time,value,unit\n2024-05-01T10:00:00Z,100,mg/dL\n";
    let found = import(open.as_bytes(), &options().with_scale(scale(150, 400))).unwrap();
    assert_eq!(reasons(&found), [(2, ReadingError::OffScale)]);
}

#[test]
fn a_scale_that_most_values_are_off_is_refused_with_the_file() {
    let text = std::str::from_utf8(&REAL_BYTES).unwrap().replace("G6", "model X");
    let options = within("Europe/Bucharest").with_scale(scale(150, 400));
    let error = import(text.as_bytes(), &options).expect_err("refused");
    let ImportError::OffScale { count, of } = error else { panic!("{error}") };
    assert!(count > 10_000 && of == 25_340, "{count} of {of}");
    assert!(error.to_string().contains("the lowest and highest value if you gave them"));
}

#[test]
fn a_few_damaged_rows_never_refuse_a_real_file() {
    let mut text = String::from_utf8(REAL_BYTES.clone()).unwrap();
    for value in ["\"234\"", "\"233\"", "\"150\"", "\"151\"", "\"152\""] {
        text = text.replacen(&format!("\"android G6\",{value}"), "\"android G6\",\"600\"", 10);
    }
    let found = import(text.as_bytes(), &within("Europe/Bucharest")).unwrap();
    assert!(found.rejected.iter().all(|row| row.reason == ReadingError::OffScale));
    assert_eq!((found.rejected.len(), found.readings.len()), (50, 25_290));
    assert_eq!(found.sensors[0].key().as_str(), SENSOR);
}

#[test]
fn low_with_a_number_is_the_limit_or_refused() {
    let row = |value: &str, status: &str, device: &str| {
        format!(
            "time,value,unit,status,device\n2024-05-01T08:15:00Z,{value},mg/dL,{status},{device}\n"
        )
    };
    for (value, status, device, says) in [
        ("40", "low", "Dexcom G6", Some("<40mg/dL")),
        ("39", "low", "Dexcom G6", Some("<40mg/dL")),
        ("401", "high", "Dexcom G6", Some(">400mg/dL")),
        ("38", "low", "Dexcom G6", None),
        ("100", "low", "Dexcom G6", None),
        ("100", "high", "Dexcom G6", None),
        ("54", "low", "Libre 2", None),
        ("54", "low", "My CGM", Some("<54mg/dL")),
    ] {
        let found = read_open(&row(value, status, device));
        let refused = if says.is_some() { vec![] } else { vec![(2, ReadingError::OffScale)] };
        assert_eq!(reasons(&found), refused, "{value} {status}");
        let told = told(&found);
        assert_eq!(told.first().and_then(|told| told.rsplit(' ').next()), says, "{value} {status}");
    }
}

#[test]
fn rows_of_the_open_format_in_the_wrong_unit_refuse_the_file_or_cost_their_rows() {
    let row = |minute: usize, value: &str| format!("2024-05-01T08:{minute}:00Z,{value},mg/dL\n");
    let file = |good: usize, bad: usize| {
        let rows = (0..good).map(|n| row(10 + n, "100"));
        let rows = rows.chain((0..bad).map(|n| row(10 + good + n, "5.6")));
        "time,value,unit\n".to_owned() + &rows.collect::<String>()
    };
    assert_eq!(reasons(&read_open(&file(2, 2))).len(), 2);
    let error = import(file(20, 3).as_bytes(), &options()).expect_err("refused");
    assert!(matches!(error, ImportError::WrongUnit { count: 3, of: 23, .. }), "{error}");
}
