//! What holds for any bytes and any order.

use super::{HEADER, REAL_BYTES, REAL_IMPORT, clarity, read, told, within};
use crate::share_of;
use cgm_submitter::glucose::{GlucoseUnit, GlucoseValue, ReadingError, Scale};
use cgm_submitter::import::{ImportedReading, RejectedRow, import};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(share_of(400)))]

    #[test]
    fn no_bytes_make_it_panic(
        start in prop::sample::select(vec![HEADER, "time,value,unit,device,status\n",
            "{\"time\":\"", ""]),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        text in "[\\PC\n\r,;\"]{0,300}",
    ) {
        for rest in [&bytes[..], text.as_bytes()] {
            let _ = import(&[start.as_bytes(), rest].concat(), &within("Europe/Bucharest"));
        }
    }

    #[test]
    fn every_clarity_row_is_taken_rejected_or_repeated(rows in prop::collection::vec((
        "[0-9]{4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-5][0-9]",
        "Low|High|[1-3][0-9]{2}|9[0-9]{3}|[a-z]",
        "[0-9]{0,12}", "[AB]?",
    ), 0..40)) {
        let rows: Vec<_> =
            rows.iter().map(|(a, b, c, d)| (&a[..], &b[..], &c[..], &d[..])).collect();
        let at = |mg_dl| GlucoseValue::new(mg_dl, 0, GlucoseUnit::MgPerDl).unwrap();
        let options = within("Europe/Bucharest").with_scale(Scale::new(at(40), at(400)).unwrap());
        let import = import(clarity(&rows).as_bytes(), &options).unwrap();
        let counted = import.readings.len() + import.rejected.len() + import.skipped.repeated;
        prop_assert_eq!(counted, rows.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(share_of(12)))]

    #[test]
    fn a_cut_anywhere_loses_the_cut_row_only(cut in 3_000_usize..2_426_178) {
        let bytes = &REAL_BYTES[..cut];
        let import = read(bytes, "Europe/Bucharest");
        let ended = bytes.split(|byte| *byte == b'\n').count() - 1;
        let until_ended = |readings: &[ImportedReading]| -> Vec<ImportedReading> {
            readings.iter().filter(|found| found.row <= ended).cloned().collect()
        };
        let kept = until_ended(&REAL_IMPORT.readings);
        let found = until_ended(&import.readings);
        prop_assert!(found == kept);
        prop_assert!(import.readings.len() + import.rejected.len() <= kept.len() + 1);
        let is_the_cut =
            |row: &RejectedRow| row.row == ended + 1 && row.reason == ReadingError::CutOff;
        prop_assert!(import.rejected.iter().all(is_the_cut));
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter(seed in any::<u64>()) {
        let text = std::str::from_utf8(&REAL_BYTES).unwrap();
        let mut lines: Vec<_> = text.split_inclusive('\n').collect();
        let mut state = seed | 1;
        for at in (2..lines.len()).rev() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let other = usize::try_from(state >> 33).unwrap() % at + 1;
            lines.swap(at, other);
        }
        let shuffled = read(lines.concat().as_bytes(), "Europe/Bucharest");
        prop_assert!(told(&shuffled) == told(&REAL_IMPORT));
        prop_assert!(shuffled.sensors == REAL_IMPORT.sensors && shuffled.rejected.is_empty());
    }
}
