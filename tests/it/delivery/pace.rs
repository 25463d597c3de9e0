//! Batches follow the receiver's pace, and the time there is.

use super::receiver::Record;
use super::virtual_time::{End, Phone, Reply, no_search};
use cgm_submitter::delivery::Step;
use cgm_submitter::submission::{NoAnswer, Policy, WaitReason};
use chrono::TimeDelta;
use std::time::Duration;

/// A receiver that takes this long for each entry, and stores them all the same if nobody waits.
fn slow(
    record: &mut Record,
    milliseconds: i64,
) -> impl FnMut(&super::virtual_time::Sent) -> Reply + '_ {
    move |sent| {
        let after = TimeDelta::milliseconds(milliseconds) * i32::try_from(sent.entries).unwrap();
        let (status, body) = record.take(&sent.body);
        Reply::Answer { status, body, retry_after: None, after }
    }
}

#[test]
fn a_receiver_that_needs_minutes_for_a_full_batch_gets_smaller_ones_and_everything_once() {
    let mut phone = Phone::new(1_100, "hl7-cgm");
    phone.submit();
    let mut record = Record::looking_first();
    let end = phone.run(TimeDelta::hours(6), slow(&mut record, 400), no_search);
    assert_eq!(end, End::Idle);
    assert_eq!(record.len(), 1_100);
    record.assert_single();
    let last = &phone.sent[phone.sent.len() - 2];
    assert!((15..=30).contains(&last.entries), "{} entries in about ten seconds", last.entries);
    assert!(phone.sent.len() < 80, "{} requests", phone.sent.len());
}

#[test]
fn the_pace_is_remembered_by_the_next_submission() {
    let mut phone = Phone::new(600, "hl7-cgm");
    phone.submit();
    let mut record = Record::looking_first();
    phone.run(TimeDelta::hours(6), slow(&mut record, 100), no_search);
    phone.ingest(600, 1_200);
    phone.submit();
    let before = phone.sent.len();
    phone.run(TimeDelta::hours(6), slow(&mut record, 100), no_search);
    assert_eq!(phone.sent[before].entries, 100);
    assert_eq!(record.len(), 1_200);
}

#[test]
fn nothing_is_claimed_that_cannot_be_answered_before_the_deadline() {
    let mut phone = Phone::new(1_200, "hl7-cgm");
    let id = phone.submit();
    let mut record = Record::looking_first();
    // A receiver of known pace: 100 entries in ten seconds.
    phone.run(TimeDelta::seconds(70), slow(&mut record, 100), no_search);
    assert!(matches!(
        phone.step(Duration::from_millis(900)),
        Step::WaitUntil { reason: WaitReason::OutOfTime, .. }
    ));
    let sent = |phone: &Phone| phone.submission(id).progress.tally.requests;
    let before = sent(&phone);
    assert!(matches!(phone.step(Duration::from_secs(4)), Step::Token { .. }));
    phone.machine.token_ready();
    let Step::Send(outgoing) = phone.step(Duration::from_secs(4)) else { panic!() };
    assert!((20..=40).contains(&outgoing.entries), "{}: as many as fit", outgoing.entries);
    assert!(outgoing.timeout <= Duration::from_secs(4), "cut at the deadline");
    assert_eq!(sent(&phone), before + 1);
}

/// A phone whose receiver twice gave no answer to ten entries.
fn thought_slow(readings: usize) -> Phone {
    let mut phone = Phone::new(readings, "hl7-cgm");
    let too_slow = |receiver: &mut cgm_submitter::submission::ReceiverFacts| {
        receiver.too_slow(&Policy::default(), 10);
    };
    phone.store.change_receiver(phone.connection, too_slow).unwrap();
    phone
}

#[test]
fn a_unit_that_cannot_get_smaller_is_tried_first_in_a_short_wake_however_slow_the_receiver_seems() {
    for (seconds, tried) in [(30, true), (5, true), (4, false)] {
        for summary in [false, true] {
            let mut phone = thought_slow(864);
            if summary {
                phone.submit_summary();
            } else {
                phone.submit();
            }
            let budget = Duration::from_secs(seconds);
            let step = phone.step(budget);
            if !tried {
                assert!(matches!(step, Step::WaitUntil { reason: WaitReason::OutOfTime, .. }));
                continue;
            }
            assert!(matches!(step, Step::Token { .. }), "{seconds} {summary}: {step:?}");
            phone.machine.token_ready();
            let step = phone.step(budget);
            assert!(matches!(step, Step::Send(_)), "{seconds} {summary}: {step:?}");
        }
    }
}

#[test]
fn what_was_sent_before_is_tried_again_first_in_a_short_wake() {
    let mut phone = Phone::new(400, "hl7-cgm");
    phone.submit();
    let mut record = Record::looking_first();
    phone.run(TimeDelta::seconds(10), |_| Reply::None(NoAnswer::Lost), no_search);
    let slow_once = |receiver: &mut cgm_submitter::submission::ReceiverFacts| {
        receiver.answered(&Policy::default(), 400, TimeDelta::seconds(40));
    };
    phone.store.change_receiver(phone.connection, slow_once).unwrap();
    for _ in 0..200 {
        let end = phone.wake(TimeDelta::seconds(30), slow(&mut record, 100), no_search);
        if end == End::Idle {
            break;
        }
        phone.pass(TimeDelta::minutes(15));
    }
    assert_eq!(record.len(), 400);
    record.assert_single();
    assert!(phone.store.open_submissions(phone.connection).unwrap().is_empty());
}
