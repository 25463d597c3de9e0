//! What the statuses of single entries come to.

use super::*;
use crate::fhir::EntryKind;

#[test]
fn an_entrys_status_decides_what_is_written_of_it() {
    for (status, expected) in [
        ("201@Observation/1", "delivered"),
        ("201", "delivered"),
        ("200@Observation/1", "delivered"),
        ("200", "delivered"),
        ("400", "refused"),
        ("404", "refused"),
        ("422", "refused"),
        ("412", "refused"),
        ("408", "deferred"),
        ("409", "deferred"),
        ("425", "deferred"),
        ("429", "deferred"),
        ("500", "deferred"),
        ("503", "deferred"),
        ("401", "deferred"),
        ("403", "deferred"),
    ] {
        let settled = Case::readings(2).entries(&["201@Observation/0", status]);
        assert_eq!(records(&settled), ["delivered", expected], "{status}");
        assert_eq!(settled.progress.position, Position::Readings(Some(2)), "{status}");
        let blocked = (status == "401").then_some(BlockReason::Reauthorise);
        assert_eq!(settled.block, blocked, "{status}");
        let stopped = settled.progress.stopped.iter().any(|stopped| stopped.for_consent);
        assert_eq!(stopped, status == "403", "{status}");
    }
}

#[test]
fn several_matches_are_set_aside_as_a_duplicate_at_the_receiver() {
    let settled = Case::readings(1).entries(&["412"]);
    let NextState::Done(records) = &settled.next else { panic!() };
    let EntryRecord::Refused { reason, .. } = &records[0] else { panic!() };
    assert!(reason.starts_with("duplicate at the receiver"), "{reason}");
}

#[test]
fn received_without_a_copy_is_remembered_of_the_receiver() {
    let settled = Case::readings(1).entries(&["200"]);
    assert!(settled.receiver.keeps_no_copies);
    assert_eq!(settled.progress.tally.readings.received, 1);
}

#[test]
fn probes_end_after_three_that_were_refused_for_then_the_content_is_wrong() {
    for (refused, probes) in [(2, true), (3, false)] {
        let mut case = Case::readings(1);
        case.progress.probes_refused = refused;
        let settled = case.entries(&["400"]);
        assert_eq!(settled.progress.probe, probes, "{refused}");
        assert_eq!(settled.receiver.conditional_create, (!probes).then_some(true), "{refused}");
    }
}

#[test]
fn only_more_than_three_readings_refused_alike_and_none_ever_taken_say_something_of_the_receiver() {
    let refused = |count, accepted| {
        let mut case = Case::readings(count);
        case.progress.alike = 2;
        case.progress.tally.readings.accepted = accepted;
        let settled = case.entries(&vec!["422"; count as usize]);
        (settled.progress.alike, settled.progress.stopped.len())
    };
    assert_eq!(refused(3, 0), (0, 0), "three prove nothing");
    assert_eq!(refused(4, 0), (3, 1));
    assert_eq!(refused(4, 1), (3, 0), "it took one");
}

#[test]
fn deferred_devices_are_waited_for_three_times_and_the_fourth_goes_on() {
    for (deferrals, waits) in [(2, true), (3, false)] {
        let mut case = Case::readings(1);
        case.batch.part = Part::Devices;
        case.progress.position = Position::Devices;
        case.progress.deferrals = deferrals;
        let settled = case.entries(&["429"]);
        assert_eq!(settled.progress.position == Position::Devices, waits, "{deferrals}");
    }
}

#[test]
fn entries_refused_for_different_reasons_are_refused_and_nothing_is_probed() {
    let settled = Case::readings(2).entries(&["400", "422"]);
    assert!(!settled.progress.probe);
    assert_eq!(records(&settled), ["refused", "refused"]);
}

#[test]
fn conditional_entries_refused_with_400_are_probed_and_a_201_to_the_probe_proves_the_lack() {
    let mut case = Case::readings(3);
    let settled = case.entries(&["400", "400", "400"]);
    assert!(settled.progress.probe);
    assert_eq!(settled.next, apart(false));
    case = Case { progress: settled.progress, ..Case::readings(1) };
    case.batch.conditional = false;
    let proved = case.entries(&["201"]);
    assert_eq!(proved.receiver.conditional_create, Some(false));
    assert!(!proved.progress.probe);
    let refused = case.entries(&["400"]);
    assert_eq!(refused.receiver.conditional_create, None, "the content is wrong");
    assert_eq!(refused.progress.probes_refused, 1);
}

#[test]
fn a_wait_asked_for_an_entry_binds_the_receiver_and_not_one_submission() {
    let answer = asked(200, RetryAfter::Seconds(120), &bundle(&["201", "429"]));
    let settled = Case::readings(2).settle(&answer);
    assert_eq!(left_alone(&settled, now()), 120);
    let reason = settled.receiver.waits(now()).unwrap().1;
    assert_eq!(reason, WaitReason::ReceiverAsked);
    let own = Case::readings(2).entries(&["201", "429"]);
    assert_eq!(left_alone(&own, now()), 0, "it did not ask");
    assert!(own.progress.wait.ends(now()).is_some(), "the submission waits all the same");
}

/// Makes a batch one summary.
fn summary(case: &mut Case) {
    for listed in &mut case.batch.manifest {
        listed.item = Item::Resource("urn:uuid:1".to_owned(), EntryKind::Summary, None);
        listed.unit = 0;
    }
    case.batch.part = Part::Summary;
}

#[test]
fn one_refused_entry_refuses_its_unit_and_what_is_stored_of_it_keeps_its_place() {
    let mut case = Case::readings(4);
    summary(&mut case);
    let settled = case.entries(&["201@Observation/1", "424", "422", "200"]);
    assert_eq!(settled.progress.tally.entries.refused, 4);
    assert!(!settled.progress.deferred, "nothing of it goes again by itself");
    let NextState::Done(records) = settled.next else { panic!() };
    let kept: Vec<_> = records
        .into_iter()
        .map(|record| match record {
            EntryRecord::Refused { reason, status, location } => (status, location, reason),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kept[0].1.as_deref(), Some("Observation/1"));
    assert_eq!(kept.iter().map(|(status, ..)| *status).collect::<Vec<_>>(), [201, 424, 422, 200]);
    assert!(kept.iter().skip(1).all(|(_, location, _)| location.is_none()));
    for (place, (.., reason)) in kept.iter().enumerate() {
        let by_itself = [1, 2].contains(&place);
        assert_eq!(reason.starts_with("refused with what it belongs to"), !by_itself, "{reason}");
    }
    let other = Case::readings(2).entries(&["201", "422"]);
    assert_eq!(self::records(&other), ["delivered", "refused"], "readings stand alone");
}

#[test]
fn what_goes_later_takes_its_unit_along_whatever_else_was_said_of_it() {
    for status in ["401", "403", "503"] {
        let mut case = Case::readings(2);
        summary(&mut case);
        assert_eq!(records(&case.entries(&["422", status])), ["deferred", "deferred"], "{status}");
    }
}

#[test]
fn a_413_to_a_single_unit_is_said_to_be_about_its_size() {
    let mut case = Case::readings(1);
    case.receiver = ReceiverFacts { gzip: Some(true), ..ReceiverFacts::default() };
    let settled = case.settle(&said(413, "value of an entry is wrong"));
    let NextState::Done(records) = &settled.next else { panic!() };
    let EntryRecord::Refused { reason, status, .. } = &records[0] else { panic!() };
    assert!(reason.starts_with("too large for the receiver"), "{reason}");
    assert_eq!(*status, 413);
}

#[test]
fn a_unit_stays_together_and_is_not_doubled() {
    let mut case = Case::readings(2);
    summary(&mut case);
    assert_eq!(records(&case.entries(&["201", "503"])), ["deferred", "deferred"]);
    let mut case = Case::unguarded(2);
    summary(&mut case);
    case.batch.conditional = false;
    let settled = case.entries(&["201", "503"]);
    assert_eq!(records(&settled), ["delivered", "unknown"], "sent again, it would be there twice");
    assert_eq!(settled.progress.tally.entries.unknown, 1);
}
