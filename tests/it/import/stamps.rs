//! The form of the export without the transmitter's count: the zone or the host places its rows,
//! and what the export does not show is said.

use super::{
    HEADER, NEVER, REAL_BYTES, REAL_IMPORT, Stored, again, again_with, clarity, read, real_from,
    real_within, reasons, stretches, told, unix, utc,
};
use cgm_submitter::glucose::{ReadingError, TimeError, UtcOffset};
use cgm_submitter::import::{ClockAnswer, ClockEvent, ClockNote, Import};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// A file without its last two columns.
fn twelve(bytes: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    let line = |line: &str| line.trim_end().split(',').take(12).collect::<Vec<_>>().join(",");
    text.lines().map(|text| line(text) + "\n").collect::<String>().into_bytes()
}

static WHOLE: LazyLock<HashSet<String>> =
    LazyLock::new(|| told(&REAL_IMPORT).into_iter().collect());

fn events(import: &Import) -> Vec<(ClockEvent, String, bool)> {
    let note = |note: &ClockNote| (note.event, note.at.to_string(), note.open);
    import.clock_notes.iter().map(note).collect()
}

fn answer(at: &str, minutes: i32) -> ClockAnswer {
    ClockAnswer { at: at.parse().unwrap(), offset: UtcOffset::from_minutes(minutes).unwrap() }
}

#[test]
fn a_journey_is_not_guessed_but_said_with_its_dates_and_a_fuller_export_corrects_it() {
    let import = read(&twelve(&REAL_BYTES), "Europe/Bucharest");
    let zone = &super::ZONES["Europe/Bucharest"];
    assert!(
        import.readings.iter().all(|found| {
            found.reading.offset() == Some(zone.offset_at(found.reading.seconds()))
        })
    );
    // The hour that the clock went through twice.
    let ambiguous = ReadingError::Time(TimeError::Ambiguous);
    assert_eq!((import.readings.len(), import.rejected.len()), (25_340 - 24, 24));
    assert!(import.rejected.iter().all(|row| row.reason == ambiguous));
    assert_eq!((import.rejected[0].row, import.rejected[23].row), (15_753, 15_776));
    let not_shown = (ClockEvent::NotShown, "2024-03-16 02:21:46".to_owned(), true);
    assert_eq!(events(&import), [not_shown]);
    assert_eq!(
        import.clock_notes[0].to_string(),
        "the export does not show whether the device's clock moved between 2024-03-16 and \
         2024-06-13: taken by the time zone. If it did, say from when on it had which UTC offset \
         and import again; an export with the transmitter's times corrects what is stored"
    );

    let mut stored = Stored::of(&import);
    let fuller = again(&REAL_BYTES, &stored, "Europe/Bucharest");
    assert_eq!((fuller.readings.len(), fuller.rejected.len()), (25_340, 0));
    stored.take(&fuller);
    assert_eq!(stored.readings.len(), 25_340, "each has moved");
    assert!(stored.told().iter().all(|reading| WHOLE.contains(reading)));
}

#[test]
fn every_order_of_cuts_places_and_says_the_same() {
    let whole = twelve(&REAL_BYTES);
    let alone = read(&whole, "Europe/Bucharest");
    let mut stored = Stored::default();
    for (from, until) in
        [("2024-05-01", "2024-05-25"), ("2024-05-20", "2024-06-12"), ("2024-03-25", "2024-05-15")]
    {
        let cut = twelve(&real_within(from..until));
        stored.take(&again(&cut, &stored, "Europe/Bucharest"));
        let import = again(&whole, &stored, "Europe/Bucharest");
        assert!(import == alone, "{from}..{until}");
    }
}

#[test]
fn a_gap_is_no_move_of_the_clock_however_long_another_step_was() {
    // The zone's own change, and six days before it a sensor that warms up for just as long.
    let text = rows("2023-10-20T00:00:00Z", &[(9 * 24 + 1, 180), (48, 120)]);
    let gap: Vec<_> = (0..12)
        .map(|at| utc(unix("2023-10-23T07:00:00Z") + at * 300))
        .map(|stamp| format!("1,{},", stamp.trim_end_matches('Z')))
        .collect();
    let text: String = text
        .split_inclusive('\n')
        .filter(|line| !gap.iter().any(|stamp| line.starts_with(stamp)))
        .collect();
    let import = read(text.as_bytes(), "Europe/Bucharest");
    assert_eq!(
        stretches(&import, "dexcom-clarity:phone"),
        [
            "2023-10-20T00:00:00Z..2023-10-28T23:55:00Z +03:00",
            "2023-10-29T02:00:00Z..2023-10-31T00:55:00Z +02:00",
        ]
    );
    assert_eq!(import.rejected.len(), 24);

    let import = read(&twelve(&real_from("2024-05-25")), "Europe/Bucharest");
    assert_eq!(
        stretches(&import, super::SENSOR),
        ["2024-05-24T21:00:23Z..2024-06-13T04:16:49Z +03:00"]
    );
    assert_eq!(events(&import), [(ClockEvent::NotShown, "2024-05-25 00:00:23".to_owned(), true)]);
    assert_eq!(import.rejected, []);
}

/// Imports a file with answers beside what is stored.
fn answered(bytes: &[u8], stored: &Stored, answers: &[ClockAnswer]) -> Import {
    again_with(bytes, stored, "Europe/Bucharest", |options| {
        options.with_clock_answers(answers.iter().copied())
    })
}

#[test]
fn what_the_host_says_of_the_clock_places_rows_without_a_count_too() {
    let whole = twelve(&REAL_BYTES);
    let mut stored = Stored::of(&read(&whole, "Europe/Bucharest"));
    let journey = [answer("2024-05-09T14:33:00", 120), answer("2024-06-08T23:16:28", 180)];
    let import = answered(&whole, &stored, &journey);
    assert!(told(&import).iter().all(|reading| WHOLE.contains(reading)));
    // What comes before the first answer stays open.
    let [note] = import.clock_notes.as_slice() else { panic!("{:?}", import.clock_notes) };
    let dates = (note.at.to_string(), note.until.unwrap().to_string());
    assert_eq!(dates, ("2024-03-16 02:21:46".to_owned(), "2024-05-09 13:28:01".to_owned()));
    let readings = stored.readings.len();
    stored.take(&import);
    assert_eq!(stored.readings.len(), readings, "each has moved");
    assert!(stored.told().iter().all(|reading| WHOLE.contains(reading)));

    // A cut between the answers; one from after the last, of which they say nothing.
    let abroad = twelve(&real_within("2024-05-21".."2024-06-01"));
    let import = answered(&abroad, &Stored::default(), &journey);
    assert!(told(&import).iter().all(|reading| WHOLE.contains(reading)));
    assert_eq!((events(&import), import.rejected.len()), (vec![], 0));
    let later = answered(&abroad, &Stored::default(), &[answer("2024-05-12T00:00:00", 120)]);
    assert!(later == read(&abroad, "Europe/Bucharest"));
    assert_eq!(events(&later).len(), 1);
}

#[test]
fn the_host_can_say_that_the_clock_did_not_move() {
    let whole = twelve(&REAL_BYTES);
    let import = read(&whole, "Europe/Bucharest");
    let first = ClockAnswer { at: import.clock_notes[0].at, offset: import.clock_notes[0].before };
    let both = [first, answer("2024-05-01T00:00:00", 180), answer("2024-06-01T00:00:00", 180)];
    for answers in [&both[..1], &both] {
        let again = answered(&whole, &Stored::of(&import), answers);
        assert!(again.readings == import.readings, "nothing moves");
        assert_eq!(again.clock_notes, []);
    }
}

#[test]
fn what_counts_have_placed_is_certain_and_needs_no_word() {
    let stored = Stored::of(&REAL_IMPORT);
    let import = again(&twelve(&REAL_BYTES), &stored, "Europe/Bucharest");
    assert!(told(&import) == told(&REAL_IMPORT));
    assert_eq!((import.rejected.len(), import.mended.len()), (0, 0));
    assert!(import.clock_notes.iter().all(|note| note.event != ClockEvent::NotShown));
}

/// Five-minute rows without a count, at these offsets from UTC in minutes for so many hours each.
fn rows(start: &str, stretches: &[(i64, i64)]) -> String {
    let mut text = HEADER.to_owned();
    let mut instant = unix(start);
    for (hours, minutes) in stretches {
        for _ in 0..hours * 12 {
            let stamp = utc(instant + minutes * 60);
            let value = 100 + (instant / 300) % 50;
            let stamp = stamp.trim_end_matches('Z');
            writeln!(text, "1,{stamp},EGV,,,,phone,{value},,,,,,").unwrap();
            instant += 300;
        }
    }
    text
}

#[test]
fn the_zones_own_changes_are_followed_and_need_no_note_of_their_own() {
    for (start, stretches_of, refused, expected) in [
        (
            "2024-03-30T12:00:00Z",
            [(13, 120), (24, 180)],
            0,
            [
                "2024-03-30T12:00:00Z..2024-03-31T00:55:00Z +02:00",
                "2024-03-31T01:00:00Z..2024-04-01T00:55:00Z +03:00",
            ],
        ),
        // The hour that there was twice.
        (
            "2023-10-28T12:00:00Z",
            [(13, 180), (24, 120)],
            24,
            [
                "2023-10-28T12:00:00Z..2023-10-28T23:55:00Z +03:00",
                "2023-10-29T02:00:00Z..2023-10-30T00:55:00Z +02:00",
            ],
        ),
    ] {
        let import = read(rows(start, &stretches_of).as_bytes(), "Europe/Bucharest");
        assert_eq!(stretches(&import, "dexcom-clarity:phone"), expected);
        assert_eq!(import.rejected.len(), refused, "{start}");
        let events: Vec<_> = import.clock_notes.iter().map(|note| note.event).collect();
        assert_eq!(events, [ClockEvent::NotShown], "{start}");
    }
}

#[test]
fn different_readings_close_to_each_other_are_refused_and_nothing_else() {
    let text = clarity(&[
        ("2024-05-01T10:00:00", "100", "", ""),
        ("2024-05-01T10:00:30", "101", "", ""),
        ("2024-05-01T10:05:00", "102", "", ""),
    ]);
    let import = read(text.as_bytes(), "Europe/Bucharest");
    let ambiguous = |row| (row, ReadingError::Time(TimeError::Ambiguous));
    assert_eq!((import.readings.len(), reasons(&import)), (1, vec![ambiguous(2), ambiguous(3)]));
}

#[test]
fn two_devices_under_one_name_cost_what_they_say_differently_and_move_nothing() {
    let whole = rows("2024-05-01T00:00:00Z", &[(48, 180)]);
    let alone: HashSet<_> = told(&read(whole.as_bytes(), "Europe/Bucharest")).into_iter().collect();
    // One says the same; or something else for a quarter of an hour, twelve hours, two days.
    for (lines, value, refused) in
        [(24, None, 0), (3, Some(",90,"), 6), (144, Some(",90,"), 288), (576, Some(",90,"), 1_152)]
    {
        let second = |line: &str| {
            let said = format!(",{},", line.split(',').nth(7).unwrap());
            let line = line.replacen(":00,EGV", ":07,EGV", 1);
            line.replacen(&said, value.unwrap_or(&said), 1) + "\n"
        };
        let doubled: String = whole.lines().skip(1 + 576 - lines).map(second).collect();
        let import = read((whole.clone() + &doubled).as_bytes(), "Europe/Bucharest");
        assert_eq!(import.rejected.len(), refused, "{lines}");
        assert_eq!(import.readings.len(), 576 + lines - refused, "{lines}");
        let moved = told(&import).iter().filter(|reading| !alone.contains(*reading)).count();
        assert_eq!(moved, if value.is_none() { lines } else { 0 }, "{lines}");
    }
}

#[test]
fn a_row_twice_with_other_digits_is_one_reading_with_the_finest() {
    for (tick, id) in [("", ""), ("1000", "TX")] {
        for values in [["5.6", "5.60"], ["5.60", "5.6"]] {
            let text = clarity(&values.map(|value| ("2024-05-01T10:00:00", value, tick, id)));
            let text = text.replace("(mg/dL)", "(mmol/L)");
            let import = read(text.as_bytes(), "Europe/Bucharest");
            let expected = "dexcom-clarity:phone 2024-05-01T07:00:00Z +03:00 5.60mmol/L";
            assert_eq!(told(&import), [expected]);
            assert_eq!((reasons(&import), import.skipped.repeated), (vec![], 1));
        }
    }
}

#[test]
fn what_the_zone_placed_is_no_evidence_against_counts() {
    let expected = WHOLE.clone();
    for until in ["2024-06-01", "2024-06-12"] {
        let mut stored =
            Stored::of(&read(&twelve(&real_within("2024-05-12"..until)), "Europe/Bucharest"));
        stored.take(&again(&real_within("2024-05-12"..NEVER), &stored, "Europe/Bucharest"));
        assert!(stored.told().iter().all(|reading| expected.contains(reading)), "{until}");
    }
}

#[test]
fn a_row_placed_by_the_zone_alone_never_takes_the_place_of_a_better_known_one() {
    let stored = Stored::of(&read(&real_within("2024-03-16".."2024-05-15"), "Europe/Bucharest"));
    let there: HashMap<_, _> = stored
        .readings
        .values()
        .map(|reading| (reading.seconds(), reading.measurement()))
        .collect();
    for bytes in [twelve(&real_within("2024-05-15".."2024-06-01")), twelve(&REAL_BYTES)] {
        let import = again(&bytes, &stored, "Europe/Bucharest");
        let ambiguous = ReadingError::Time(TimeError::Ambiguous);
        assert!(import.rejected.iter().all(|row| row.reason == ambiguous));
        assert!((1..12).contains(&import.rejected.len()), "{}", import.rejected.len());
        let readings = import.readings.iter().map(|found| &found.reading);
        let known = readings.filter_map(|reading| Some((there.get(&reading.seconds())?, reading)));
        for (there, reading) in known {
            assert_eq!(*there, reading.measurement(), "{}", utc(reading.seconds()));
        }
    }
}
