//! The form of the export without the transmitter's count: what its stamps show of the device's
//! clock, and what it says of the rest.

use super::{
    HEADER, REAL_BYTES, REAL_IMPORT, Stored, again, again_with, clarity, read, real_from,
    real_within, stretches, times, told, unix, utc,
};
use cgm_submitter::glucose::{ReadingError, TimeError, UtcOffset};
use cgm_submitter::import::{ClockAnswer, ClockBasis, ClockEvent, ClockNote, Import};
use std::collections::HashSet;
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
fn a_journey_shows_in_stamps_that_are_doubled_and_what_does_not_show_is_said_with_its_dates() {
    let import = read(&twelve(&REAL_BYTES), "Europe/Bucharest");
    assert!(told(&import).iter().all(|reading| WHOLE.contains(reading)));
    // The hour that the clock went through twice.
    assert_eq!((import.readings.len(), import.rejected.len()), (25_340 - 24, 24));
    let ambiguous = ReadingError::Time(TimeError::Ambiguous);
    assert!(import.rejected.iter().all(|row| row.reason == ambiguous));
    assert_eq!((import.rejected[0].row, import.rejected[23].row), (15_753, 15_776));

    let moved = |at: &str| (ClockEvent::Moved, at.to_owned(), true);
    let not_shown = (ClockEvent::NotShown, "2024-03-16 02:21:46".to_owned(), true);
    let expected = [moved("2024-05-09 14:33:00"), moved("2024-06-08 23:16:28"), not_shown];
    assert_eq!(events(&import), expected);
    assert_eq!(import.clock_notes[0].moved_by(), -60);
    assert_eq!(
        import.clock_notes[2].to_string(),
        "the export does not show whether the device's clock moved between 2024-03-16 and \
         2024-06-13: taken by the time zone. If it did, say which UTC offset it had at a time of \
         then and import again; an export with the transmitter's times corrects what is stored"
    );
}

#[test]
fn a_gap_alone_is_no_move_of_the_clock() {
    let import = read(&twelve(&real_from("2024-05-25")), "Europe/Bucharest");
    assert_eq!(
        stretches(&import, super::SENSOR),
        ["2024-05-24T21:00:23Z..2024-06-13T04:16:49Z +03:00"]
    );
    assert_eq!(events(&import), [(ClockEvent::NotShown, "2024-05-25 00:00:23".to_owned(), true)]);
    assert_eq!(import.rejected, []);
}

#[test]
fn what_the_host_says_of_the_clock_places_rows_without_a_count_too() {
    let abroad = twelve(&real_within("2024-05-21".."2024-06-01"));
    let mut stored = Stored::of(&read(&abroad, "Europe/Bucharest"));
    let told_so = again_with(&abroad, &stored, "Europe/Bucharest", |options| {
        options.with_clock_answers([answer("2024-05-25T12:00:00", 120)])
    });
    assert!(told(&told_so).iter().all(|reading| WHOLE.contains(reading)));
    assert_eq!((events(&told_so), told_so.rejected.len()), (vec![], 0));
    let readings = stored.readings.len();
    stored.take(&told_so);
    assert_eq!(stored.readings.len(), readings, "each has moved");
    assert!(stored.told().iter().all(|reading| WHOLE.contains(reading)));
}

#[test]
fn a_fuller_export_of_the_same_form_mends_what_the_zone_alone_placed() {
    let mut stored =
        Stored::of(&read(&twelve(&real_within("2024-05-21".."2024-06-01")), "Europe/Bucharest"));
    assert!(!stored.told().iter().any(|reading| WHOLE.contains(reading)), "an hour off");
    stored.take(&again(&twelve(&REAL_BYTES), &stored, "Europe/Bucharest"));
    assert!(stored.told().iter().all(|reading| WHOLE.contains(reading)));
    assert_eq!(stored.readings.len(), 25_340 - 24);
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
fn a_clock_that_went_back_and_stayed_is_open_with_what_else_it_may_have_been() {
    let text = rows("2024-05-01T00:00:00Z", &[(20 * 24, 180), (2 * 24, 60)]);
    let import = read(text.as_bytes(), "Europe/Bucharest");
    let [note, _] = import.clock_notes.as_slice() else { panic!("{:?}", import.clock_notes) };
    assert_eq!((note.event, note.open, note.moved_by()), (ClockEvent::Moved, true, -120));
    assert_eq!((note.basis, note.alternatives.len()), (ClockBasis::LongestStretch, 1));
    let otherwise = ClockAnswer { at: note.at, offset: note.alternatives[0] };
    let again = again_with(text.as_bytes(), &Stored::of(&import), "Europe/Bucharest", |options| {
        options.with_clock_answers([otherwise])
    });
    let [note] = again.clock_notes.as_slice() else { panic!("{:?}", again.clock_notes) };
    assert_eq!((note.basis, note.open), (ClockBasis::Told, false));
    assert!(times(&again)[0].ends_with("+05:00"));
}

#[test]
fn two_readings_close_to_each_other_are_no_move() {
    let text = clarity(&[
        ("2024-05-01T10:00:00", "100", "", ""),
        ("2024-05-01T10:00:30", "101", "", ""),
        ("2024-05-01T10:05:00", "102", "", ""),
    ]);
    let import = read(text.as_bytes(), "Europe/Bucharest");
    assert_eq!((import.readings.len(), import.rejected.len()), (3, 0));
}

#[test]
fn two_devices_under_one_name_are_no_clock_that_went_back() {
    let whole = rows("2024-05-01T00:00:00Z", &[(48, 180)]);
    let second = |line: &str, value: &str| {
        let cells: Vec<_> = line.split(',').collect();
        line.replacen(":00,EGV", ":07,EGV", 1).replacen(&format!(",{},", cells[7]), value, 1)
    };
    // One says the same, the other something else for two days.
    for (lines, value) in [(24, None), (48 * 12, Some(",90,"))] {
        let doubled: String = whole
            .lines()
            .skip(1)
            .take(lines)
            .map(|line| {
                let same = format!(",{},", line.split(',').nth(7).unwrap());
                second(line, value.unwrap_or(&same)) + "\n"
            })
            .collect();
        let import = read((whole.clone() + &doubled).as_bytes(), "Europe/Bucharest");
        assert_eq!((import.readings.len(), import.rejected.len()), (48 * 12 + lines, 0));
        let events: Vec<_> = import.clock_notes.iter().map(|note| note.event).collect();
        assert_eq!(events, [ClockEvent::NotShown]);
    }
}
