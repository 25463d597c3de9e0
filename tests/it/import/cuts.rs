//! Exports of a part: the same row is the same instant, whatever range the export had, or the
//! report says that it is open.

use super::{
    HEADER, Import, REAL_BYTES, REAL_IMPORT, Stored, again, again_with, clarity, read, real_from,
    real_within, stretches, times, told, unix, utc,
};
use crate::is_thorough;
use cgm_submitter::glucose::{Reading, RecordKey, UtcOffset};
use cgm_submitter::import::{ClockAnswer, ClockEvent};
use chrono::{Days, NaiveDate};
use std::collections::{HashMap, HashSet};

/// Every date of the real file but its first, as text.
fn dates() -> Vec<String> {
    let first = NaiveDate::from_ymd_opt(2024, 3, 17).unwrap();
    (0..89).map(|day| (first + Days::new(day)).to_string()).collect()
}

fn real_until(until: &str) -> Vec<u8> {
    real_within("2024"..until)
}

/// Instant and offset of a record.
type Place = (i64, Option<UtcOffset>);

fn place(reading: &Reading) -> (&RecordKey, Place) {
    (reading.record_key().unwrap(), (reading.seconds(), reading.offset()))
}

/// Every record of the whole file.
fn whole() -> HashMap<&'static RecordKey, Place> {
    REAL_IMPORT.readings.iter().map(|found| place(&found.reading)).collect()
}

/// How many rows of a cut stand elsewhere than in the whole.
fn differing(cut: &Import, whole: &HashMap<&RecordKey, Place>) -> usize {
    let places = cut.readings.iter().map(|found| place(&found.reading));
    places.filter(|(record, place)| whole[record] != *place).count()
}

/// Whether a cut has no step of the clock, so that nothing in it speaks against the zone.
fn follows_the_zone(cut: &Import) -> bool {
    let zone = &super::ZONES["Europe/Bucharest"];
    cut.readings.iter().all(|found| {
        let reading = &found.reading;
        reading.offset() == Some(zone.offset_at(reading.seconds()))
    })
}

/// Every cut is right, or open with its dates, or has no step and follows the zone.
fn check(cut: &Import, whole: &HashMap<&RecordKey, Place>, name: &str) -> bool {
    assert!(cut.rejected.is_empty(), "{name}");
    let differing = differing(cut, whole);
    let open = cut.clock_notes.iter().any(|note| note.open && !note.alternatives.is_empty());
    let steps = cut.clock_notes.iter().any(|note| note.event == ClockEvent::Moved);
    assert!(differing == 0 || open || (!steps && follows_the_zone(cut)), "{name}: {differing}");
    differing == 0
}

/// Every cut of a share of the days, at the desk of every third, is not only reported if it is
/// open, but right. The shares are tests of their own, to run beside each other.
fn check_share(share: usize, cut: impl Fn(&str) -> Vec<u8>) {
    let whole = whole();
    let every = if is_thorough() { 1 } else { 3 };
    for date in dates().iter().skip(every * share).step_by(every * 4) {
        let cut = read(&cut(date), "Europe/Bucharest");
        assert!(check(&cut, &whole, date), "{date}: right, and not only reported");
    }
}

macro_rules! shares {
    ($($name:ident, $share:literal, $cut:expr;)*) => {$(
        #[test]
        fn $name() {
            check_share($share, $cut);
        }
    )*};
}

shares! {
    a_cut_from_any_day_on_agrees_with_the_whole_or_is_reported_1, 0, real_from;
    a_cut_from_any_day_on_agrees_with_the_whole_or_is_reported_2, 1, real_from;
    a_cut_from_any_day_on_agrees_with_the_whole_or_is_reported_3, 2, real_from;
    a_cut_from_any_day_on_agrees_with_the_whole_or_is_reported_4, 3, real_from;
    a_cut_until_any_day_agrees_with_the_whole_or_is_reported_1, 0, real_until;
    a_cut_until_any_day_agrees_with_the_whole_or_is_reported_2, 1, real_until;
    a_cut_until_any_day_agrees_with_the_whole_or_is_reported_3, 2, real_until;
    a_cut_until_any_day_agrees_with_the_whole_or_is_reported_4, 3, real_until;
}

#[test]
fn a_cut_that_begins_abroad_says_what_was_taken_and_the_host_can_say_otherwise() {
    let bytes = real_from("2024-05-25");
    let cut = read(&bytes, "Europe/Bucharest");
    assert_eq!(differing(&cut, &whole()), 0);
    let [note] = cut.clock_notes.as_slice() else { panic!("one note: {:?}", cut.clock_notes) };
    assert_eq!((note.at.to_string().as_str(), note.moved_by()), ("2024-06-08 23:16:28", 60));
    assert!(note.open);
    assert_eq!(
        note.to_string(),
        "the device's clock moved by +1 h on 2024-06-08: taken as UTC+02:00 until then and \
         UTC+03:00 from then on, as its last days have the zone's time; if from then on it was \
         UTC+04:00, say so and import again"
    );
    let otherwise = ClockAnswer { at: note.at, offset: note.alternatives[0] };
    let mut stored = Stored::of(&cut);
    let answered = again_with(&bytes, &stored, "Europe/Bucharest", |options| {
        options.with_clock_answers([otherwise])
    });
    assert_eq!(
        stretches(&answered, super::SENSOR),
        [
            "2024-05-24T21:00:23Z..2024-06-08T19:11:29Z +03:00",
            "2024-06-08T19:16:28Z..2024-06-13T03:16:49Z +04:00",
        ]
    );
    assert!(answered.clock_notes.iter().all(|note| !note.open));
    // Every record has moved.
    stored.take(&answered);
    assert_eq!(stored.readings.len(), cut.readings.len());
    assert!(stored.told() == Stored::of(&answered).told());
}

#[test]
fn a_cut_without_a_step_follows_the_zone() {
    let abroad = real_within("2024-05-21".."2024-06-01");
    let cut = read(&abroad, "Europe/Bucharest");
    assert!(cut.readings.len() > 2_500 && follows_the_zone(&cut) && cut.clock_notes.is_empty());

    // Its host may know better.
    let at = NaiveDate::from_ymd_opt(2024, 5, 25).unwrap().and_hms_opt(12, 0, 0).unwrap();
    let answer = ClockAnswer { at, offset: UtcOffset::from_minutes(120).unwrap() };
    let told = again_with(&abroad, &Stored::default(), "Europe/Bucharest", |options| {
        options.with_clock_answers([answer])
    });
    assert_eq!(differing(&told, &whole()), 0);
}

#[test]
fn importing_the_whole_mends_every_cut_that_was_stored() {
    let expected = Stored::of(&REAL_IMPORT).told();
    for (from, until) in [
        ("2024-03-16", "2024-05-15"),
        ("2024-04-25", "2024-05-15"),
        ("2024-05-09T13", "2024-05-09T14"),
        ("2024-05-12", "2024-05-18"),
        ("2024-05-21", "2024-06-01"),
        ("2024-05-25", "2024-06-14"),
        ("2024-06-05", "2024-06-10"),
        ("2024-06-10", "2024-06-14"),
    ] {
        let cut = read(&real_within(from..until), "Europe/Bucharest");
        let mut stored = Stored::of(&cut);
        let whole = again(&REAL_BYTES, &stored, "Europe/Bucharest");
        stored.take(&whole);
        assert_eq!((whole.readings.len(), whole.rejected.len()), (25_340, 0), "{from}..{until}");
        assert!(stored.told() == expected, "{from}..{until}");
    }
}

#[test]
fn what_the_whole_has_settled_stays_when_a_part_is_imported_again() {
    let all: HashSet<_> = told(&REAL_IMPORT).into_iter().collect();
    let stored = Stored::of(&REAL_IMPORT);
    for from in ["2024-04-20", "2024-05-15", "2024-05-25", "2024-06-10"] {
        let part = again(&real_from(from), &stored, "Europe/Bucharest");
        assert!(part.rejected.is_empty() && part.readings.len() > 700, "{from}");
        assert!(part.mended.is_empty(), "{from}");
        assert!(told(&part).iter().all(|reading| all.contains(reading)), "{from}");
    }
    for (from, until) in [("2024-05-12", "2024-05-18"), ("2024-05-21", "2024-06-01")] {
        let part = again(&real_within(from..until), &stored, "Europe/Bucharest");
        assert!(told(&part).iter().all(|reading| all.contains(reading)), "{from}");
    }
}

#[test]
fn a_part_that_shows_a_step_mends_stored_rows_it_does_not_have() {
    // Stored: the first transmitter's days abroad, which alone follow the zone. Then an export that
    // ends on the first of them.
    let abroad = real_within("2024-05-10".."2024-05-19T20");
    let mut stored = Stored::of(&read(&abroad, "Europe/Bucharest"));
    let earlier = again(&real_until("2024-05-11"), &stored, "Europe/Bucharest");
    assert!(earlier.mended.len() > 2_000, "{}", earlier.mended.len());
    stored.take(&earlier);
    let whole: HashSet<_> = told(&REAL_IMPORT).into_iter().collect();
    assert!(stored.told().iter().all(|reading| whole.contains(reading)));
}

#[test]
fn a_journey_that_ends_at_home_mends_what_a_cut_within_it_guessed() {
    let cut = read(&real_within("2024-05-05".."2024-05-18"), "Europe/Bucharest");
    assert!(differing(&cut, &whole()) > 0 && cut.clock_notes.iter().all(|note| note.open));
    let mut stored = Stored::of(&cut);
    stored.take(&again(&real_within("2024-05-05".."2024-06-12"), &stored, "Europe/Bucharest"));
    let whole: HashSet<_> = told(&REAL_IMPORT).into_iter().collect();
    assert!(stored.told().iter().all(|reading| whole.contains(reading)));
}

#[test]
fn weekly_exports_with_a_journey_move_nothing_that_is_stored_right() {
    // At home for 60 days, then away: a journey under way is no reason to move home.
    let start = unix("2024-04-10T00:00:00Z");
    let row = |i: i64| {
        let instant = start + i * 3_600;
        let offset = if i < 60 * 24 { 3 } else { 2 } * 3_600;
        let stamp = utc(instant + offset);
        format!("1,{},EGV,,,,phone,100,,,,,{},TX\n", stamp.trim_end_matches('Z'), i * 3_600)
    };
    let rows: Vec<_> = (0..70 * 24).map(row).collect();
    let export = |until: usize| HEADER.to_owned() + &rows[..until * 24].concat();
    let mut stored = Stored::of(&read(export(58).as_bytes(), "Europe/Bucharest"));
    let home = stored.clone();
    for day in 59..=70 {
        let import = again(export(day).as_bytes(), &stored, "Europe/Bucharest");
        stored.take(&import);
        for (record, reading) in &home.readings {
            assert_eq!(stored.readings[record], *reading, "day {day}");
        }
        assert_eq!(import.clock_notes.iter().any(|note| note.open), day > 60, "day {day}");
    }
}

#[test]
fn doubled_stamps_of_a_journey_west_are_different_readings() {
    let cut = clarity(&[
        ("2024-05-09T13:33:00", "100", "7913174", "TX"),
        ("2024-05-09T14:28:01", "110", "7916474", "TX"),
        ("2024-05-09T13:33:01", "111", "7916774", "TX"),
        ("2024-05-09T14:28:01", "120", "7920074", "TX"),
    ]);
    let found = times(&read(cut.as_bytes(), "Europe/Bucharest"));
    assert_eq!(found.len(), 4);
    let distinct: HashSet<_> = found.iter().collect();
    assert_eq!(distinct.len(), 4);
}
