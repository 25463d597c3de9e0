//! Other makers' files, and files another program has rewritten: one sentence each.

use super::{HEADER, clarity, options, sample, within};
use cgm_submitter::import::{ImportError, TimesLike, import};

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

fn refused(text: &str) -> ImportError {
    import(text.as_bytes(), &within("Europe/Bucharest")).unwrap_err()
}

#[test]
fn bare_carriage_returns_are_named() {
    let text = clarity(&vec![("2024-05-01T10:00:00", "100", "1000", "TX"); 900]);
    let error = refused(&text.replace('\n', "\r"));
    assert_eq!(error, ImportError::LineEnds);
    assert!(error.to_string().contains("save the file with Windows or Unix line ends"));
    // A stray carriage return is none of it.
    assert!(import(text.replacen("phone", "pho\rne", 1).as_bytes(), &within("UTC")).is_ok());
}

#[test]
fn times_that_a_spreadsheet_rewrote_get_one_sentence() {
    for (time, like, words) in [
        ("5/1/2024 8:15:00 AM", TimesLike::TwelveHours, "AM and PM"),
        ("5/1/2024 8:15", TimesLike::Spreadsheet, "without opening it"),
        ("01.05.2024 08:15:00", TimesLike::Spreadsheet, "without opening it"),
        ("45413.34375", TimesLike::DayNumber, "day numbers"),
    ] {
        let row = (time, "100", "1000", "TX");
        let open = format!("time,value,unit\n{time},100,mg/dL\n{time},101,mg/dL\n");
        for text in [clarity(&[row, row, row]), open] {
            let error = refused(&text);
            assert_eq!(error, ImportError::Times { like }, "{time}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
    // One such row among good ones costs that row.
    let text = clarity(&[
        ("5/1/2024 8:15", "100", "1000", "TX"),
        ("2024-05-01T10:00:00", "100", "1300", "TX"),
        ("2024-05-01T10:05:00", "100", "1600", "TX"),
    ]);
    let import = import(text.as_bytes(), &within("Europe/Bucharest")).unwrap();
    assert_eq!((import.readings.len(), import.rejected.len()), (2, 1));
}

#[test]
fn a_header_below_other_rows_is_said_with_its_row() {
    for header in [HEADER, "time,value,unit\n"] {
        let text = format!("Report for a person\n\nExported today\n{header}");
        assert_eq!(refused(&text), ImportError::HeaderBelow { row: 4 });
    }
}

#[test]
fn other_delimiters_in_the_open_format_are_named() {
    for (mark, delimiter) in [(";", "semicolons"), ("\t", "tabs")] {
        let text = "time,value,unit\n2024-05-01T08:15:00Z,100,mg/dL\n".replace(',', mark);
        assert_eq!(refused(&text), ImportError::Delimiter { delimiter });
    }
}

#[test]
fn files_of_other_programs_are_named_even_if_they_have_a_time_and_a_value() {
    for (text, name) in [
        (
            r#"{"type":"cbg","time":"2024-05-01T08:15:00Z","value":6.7,"units":"mmol/L"}"#,
            "Tidepool",
        ),
        (r#"[{"deviceTime":"2024-05-01T08:15:00","type":"cbg"}]"#, "Tidepool"),
        (r#"{"sgv":112,"time":"2024-05-01T08:15:00Z"}"#, "Nightscout"),
        (r#"{"recordType":"egv","records":[]}"#, "Dexcom"),
        ("Name:A,Date Range:B\nTimestamp,CGM Glucose Value (mg/dl),Serial Number\n", "Glooko"),
        ("DAY;TIME;UDT_CGMS;BG_LEVEL\n", "xDrip"),
        ("<HealthData locale=\"en\">", "Apple Health"),
    ] {
        let error = refused(text).to_string();
        assert!(error.contains(name) && error.contains("Dexcom Clarity CSV"), "{error}");
    }
}
