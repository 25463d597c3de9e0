//! The decisions on a handful of rows each; real files are in the integration tests.

use super::segments::Track;
use super::{Circumstances, ClockAnswer, ClockBasis, ClockEvent, ClockNote, ClockedRow, offsets};
use crate::glucose::{ReadingError, TimeError, UtcOffset, ZoneOffsets};
use chrono::NaiveDateTime;

const DAY: i64 = 86_400;
/// 2024-05-01T00:00:00, as a local stamp.
const MAY: i64 = 1_714_521_600;

/// Bucharest's clocks in 2024.
fn zone() -> ZoneOffsets {
    let changes = [(1_698_541_200, 120), (1_711_846_800, 180), (1_729_990_800, 120)];
    let offsets = changes.map(|(at, minutes)| (at, UtcOffset::from_minutes(minutes).unwrap()));
    ZoneOffsets::new("Europe/Bucharest", offsets.to_vec()).unwrap()
}

/// Hourly rows of one device: for so many days its clock is so many minutes from UTC.
fn rows(start: i64, stretches: &[(i64, i64)]) -> Vec<ClockedRow> {
    let mut rows = Vec::new();
    let mut instant = start;
    for (days, minutes) in stretches {
        for _ in 0..days * 24 {
            rows.push(ClockedRow {
                id: rows.len(),
                tick: instant - start,
                stamp: instant + minutes * 60,
                source: 0,
                stored: None,
                in_file: true,
            });
            instant += 3_600;
        }
    }
    rows
}

/// The offset of the first row of each stretch, in minutes, and the notes.
fn chosen(
    rows: Vec<ClockedRow>,
    stretches: &[(i64, i64)],
    answers: &[ClockAnswer],
) -> (Vec<i64>, Vec<ClockNote>) {
    let zone = zone();
    let found = offsets(vec![rows], &Circumstances { zone: &zone, answers });
    let mut from = 0;
    let first = stretches.iter().map(|(days, _)| {
        let offset = found.of_rows[from].as_ref().unwrap().seconds() / 60;
        from += usize::try_from(days * 24).unwrap();
        offset
    });
    (first.collect(), found.notes)
}

#[test]
fn steps_are_told_from_drift_and_from_a_clock_set_by_minutes() {
    let mut rows = rows(MAY, &[(2, 180), (2, 120), (2, 180)]);
    for (place, row) in rows.iter_mut().enumerate() {
        // 2 s a row, and 11 minutes wrong for a day.
        row.stamp += i64::try_from(place).unwrap() * 2;
        row.stamp += if (60..84).contains(&place) { 660 } else { 0 };
    }
    let track = Track::of(rows).unwrap();
    let steps: Vec<_> =
        track.steps().iter().map(|step| (step.before, step.after, step.by)).collect();
    assert_eq!(steps, [(47, 48, -3_600), (95, 96, 3_600)]);
}

#[test]
fn a_clock_that_steps_all_the_time_places_nothing() {
    let mut rows = rows(MAY, &[(30, 180)]);
    for row in rows.iter_mut().step_by(2) {
        row.stamp += 3_600;
    }
    assert!(Track::of(rows).is_none());
}

#[test]
fn there_and_back_is_a_journey_if_most_of_the_time_was_at_home() {
    let stretches = [(20, 180), (10, 60), (20, 180)];
    let (offsets, notes) = chosen(rows(MAY, &stretches), &stretches, &[]);
    assert_eq!(offsets, [180, 60, 180]);
    let kinds: Vec<_> = notes.iter().map(|note| (note.basis, note.open, note.moved_by())).collect();
    assert_eq!(kinds, [(ClockBasis::Return, false, -120), (ClockBasis::Return, false, 120)]);
}

#[test]
fn there_and_back_says_nothing_of_home_if_most_of_the_time_was_between() {
    let stretches = [(5, 180), (20, 60), (5, 180)];
    let (offsets, notes) = chosen(rows(MAY, &stretches), &stretches, &[]);
    assert_eq!(offsets, [180, 60, 180]);
    let kinds: Vec<_> = notes.iter().map(|note| (note.basis, note.open)).collect();
    assert_eq!(kinds, [(ClockBasis::LastStretch, true); 2]);
}

#[test]
fn a_clock_set_wrong_twice_by_hand_and_taken_back_has_no_step() {
    let mut rows = rows(MAY, &[(10, 180)]);
    for (place, row) in rows.iter_mut().enumerate() {
        row.stamp += if (48..72).contains(&place) { 660 } else { 0 };
        row.stamp += if (120..144).contains(&place) { 1_140 } else { 0 };
    }
    assert!(Track::of(rows).unwrap().steps().is_empty());
}

#[test]
fn a_short_last_stretch_is_a_journey_and_a_long_one_is_home() {
    for (last, expected, basis) in
        [(2, [180, 60], ClockBasis::LongestStretch), (4, [300, 180], ClockBasis::LastStretch)]
    {
        let stretches = [(20, 180), (last, 60)];
        let (offsets, notes) = chosen(rows(MAY, &stretches), &stretches, &[]);
        assert_eq!(offsets, expected, "{last} days");
        let [note] = notes.as_slice() else { panic!("{notes:?}") };
        assert_eq!((note.basis, note.open, note.alternatives.len()), (basis, true, 1));
    }
}

#[test]
fn what_is_stored_stands_against_a_guess_but_not_against_rows_from_further_back() {
    let stretches = [(20, 180), (4, 60)];
    let stored = |from: usize| {
        let mut rows = rows(MAY, &stretches);
        for row in rows.iter_mut().skip(from) {
            row.stored = Some(if row.tick < 20 * DAY { 3 * 3_600 } else { 3_600 });
        }
        chosen(rows, &stretches, &[])
    };
    assert_eq!(stored(0).0, [180, 60], "the guess would be 300, 180");
    assert_eq!(stored(0).1[0].basis, ClockBasis::Stored);
    assert_eq!(stored(10 * 24).0, [300, 180]);
}

#[test]
fn a_change_of_the_zones_clocks_at_its_instant_shows_where_home_is() {
    // Five days around 2024-03-31T01:00:00Z, then weeks away.
    let stretches = [(2, 120), (3, 180), (30, 60)];
    let (offsets, notes) = chosen(rows(1_711_846_800 - 2 * DAY, &stretches), &stretches, &[]);
    assert_eq!(offsets, [120, 180, 60]);
    let kinds: Vec<_> = notes.iter().map(|note| (note.event, note.basis, note.open)).collect();
    assert_eq!(kinds, [(ClockEvent::Moved, ClockBasis::ZoneChange, false)]);
}

#[test]
fn a_clock_that_does_not_follow_the_zones_change_is_noted() {
    let stretches = [(2, 120), (3, 120)];
    let (offsets, notes) = chosen(rows(1_711_846_800 - 2 * DAY, &stretches), &stretches, &[]);
    let [note] = notes.as_slice() else { panic!("{notes:?}") };
    assert_eq!(note.event, ClockEvent::DidNotFollow);
    // Most rows are after the change: they have the zone's time.
    assert_eq!((offsets, note.open), (vec![180, 180], true));
    let text = note.to_string();
    assert!(text.contains("did not follow") && text.contains("UTC+02:00"), "{text}");
}

#[test]
fn what_the_host_said_stands_before_everything() {
    let stretches = [(2, 120), (3, 180), (30, 60)];
    let rows = rows(1_711_846_800 - 2 * DAY, &stretches);
    let at: NaiveDateTime = "2024-04-02T12:00:00".parse().unwrap();
    let answer = |minutes| ClockAnswer { at, offset: UtcOffset::from_minutes(minutes).unwrap() };
    let (offsets, notes) = chosen(rows.clone(), &stretches, &[answer(60), answer(300)]);
    assert_eq!(offsets, [240, 300, 180], "of two answers the last");
    assert!(notes.iter().all(|note| !note.open && note.basis == ClockBasis::Told));
    // An answer about another time says nothing of this transmitter.
    let elsewhere = ClockAnswer { at: at + chrono::TimeDelta::days(400), ..answer(300) };
    assert_eq!(chosen(rows, &stretches, &[elsewhere]).0, [120, 180, 60]);
}

#[test]
fn rows_within_a_gap_or_a_fold_alone_are_reported() {
    for (stamp, reason) in
        [("2024-03-31T03:30:00", TimeError::Skipped), ("2024-10-27T03:30:00", TimeError::Ambiguous)]
    {
        let stamp = stamp.parse::<NaiveDateTime>().unwrap().and_utc().timestamp();
        let row = ClockedRow { id: 0, tick: 7, stamp, source: 0, stored: None, in_file: true };
        let zone = zone();
        let found = offsets(vec![vec![row]], &Circumstances { zone: &zone, answers: &[] });
        assert_eq!(found.of_rows, [Err(ReadingError::Time(reason))]);
    }
}
