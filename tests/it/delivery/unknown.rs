//! Outcomes nobody knows: repeated only where nothing can be stored twice; elsewhere looked up, or
//! left to the person.

use super::receiver::Record;
use super::virtual_time::{End, Phone, Reply, no_search};
use cgm_submitter::delivery::Step;
use cgm_submitter::store::SubmissionState;
use cgm_submitter::submission::{NoAnswer, WaitReason};
use chrono::TimeDelta;
use std::time::Duration;

fn search_offered(phone: &mut Phone) {
    phone
        .store
        .change_receiver(phone.connection, |receiver| receiver.searches_observations = true)
        .unwrap();
}

#[test]
fn a_receiver_that_does_not_look_first_is_searched_twice_before_anything_goes_again() {
    for stored in [true, false] {
        let mut phone = Phone::new(25, "plain");
        search_offered(&mut phone);
        phone.submit();
        let record = std::cell::RefCell::new(Record::default());
        let mut first = true;
        let end = phone.run(
            TimeDelta::hours(1),
            |sent| {
                if !std::mem::take(&mut first) {
                    return record.borrow_mut().take(&sent.body).into();
                }
                if stored {
                    record.borrow_mut().take(&sent.body);
                }
                Reply::None(NoAnswer::Lost)
            },
            |form| record.borrow().search(form).into(),
        );
        assert_eq!(end, End::Idle);
        assert_eq!(record.borrow().len(), 25);
        record.borrow().assert_single();
        assert_eq!(phone.sent.len(), if stored { 1 } else { 2 });
        assert!(phone.searches[0] - phone.sent[0].at >= TimeDelta::seconds(70), "not in the lease");
        if !stored {
            let apart = phone.searches[1] - phone.searches[0];
            assert!(apart >= TimeDelta::minutes(10), "{apart}");
        }
    }
}

#[test]
fn what_cannot_be_looked_up_rests_until_the_person_decides_and_the_rest_goes_on() {
    let mut phone = Phone::new(600, "plain");
    let id = phone.submit();
    let mut record = Record::default();
    let mut first = true;
    let mut receive = |sent: &super::virtual_time::Sent| {
        let taken = record.take(&sent.body);
        if std::mem::take(&mut first) { Reply::None(NoAnswer::Lost) } else { taken.into() }
    };
    assert_eq!(phone.run(TimeDelta::days(9), &mut receive, no_search), End::Idle);
    let progress = phone.submission(id).progress;
    assert_eq!((progress.tally.readings.unknown, progress.tally.readings.accepted), (500, 100));
    assert_eq!(phone.store.unknown_outcomes(phone.connection).unwrap().len(), 500);
    let sent = phone.sent.len();
    assert_eq!(phone.sent[1].entries, 1, "a second outage would cost no more than one");
    phone.submit();
    assert_eq!(phone.run(TimeDelta::days(9), &mut receive, no_search), End::Idle);
    assert_eq!(phone.sent.len(), sent, "nothing of it goes by itself");

    assert_eq!(phone.store.dismiss_unknown(phone.connection).unwrap(), 500);
    assert_eq!(phone.store.unknown_outcomes(phone.connection).unwrap().len(), 0);
    phone.submit();
    phone.run(TimeDelta::days(9), &mut receive, no_search);
    assert_eq!(phone.sent.len(), sent, "nor when it is dismissed");
    assert_eq!(phone.store.retry_unknown(phone.connection).unwrap(), 500);
    phone.submit();
    phone.run(TimeDelta::days(9), &mut receive, no_search);
    assert_eq!(phone.sent.len(), sent + 1, "only if somebody says so");
}

#[test]
fn a_receiver_that_looks_first_gets_the_same_bytes_again_after_the_lease() {
    let mut phone = Phone::new(25, "hl7-cgm");
    phone.submit();
    let mut record = Record::looking_first();
    let mut first = true;
    let end = phone.run(
        TimeDelta::hours(1),
        |sent| {
            let taken = record.take(&sent.body);
            if std::mem::take(&mut first) { Reply::None(NoAnswer::Lost) } else { taken.into() }
        },
        no_search,
    );
    assert_eq!(end, End::Idle);
    record.assert_single();
    assert!(phone.sent[0].body == phone.sent[1].body, "the same bytes");
    assert!(phone.sent[1].at - phone.sent[0].at >= TimeDelta::seconds(70));
}

#[test]
fn nothing_of_a_cancelled_submission_is_sent_again() {
    for dialect in ["hl7-cgm", "plain"] {
        let mut phone = Phone::new(25, dialect);
        let id = phone.submit();
        let lost = |_: &_| Reply::None(NoAnswer::Lost);
        phone.run(TimeDelta::seconds(5), lost, no_search);
        assert_eq!(phone.sent.len(), 1);
        phone.store.end_submission(id, SubmissionState::Cancelled).unwrap();
        let end = phone.run(TimeDelta::days(9), |_| panic!("cancelled"), no_search);
        assert_eq!(end, End::Idle);
        assert!(phone.store.pending_batch(phone.connection).unwrap().is_none());
        let resting = phone.store.unknown_outcomes(phone.connection).unwrap().len();
        assert_eq!(resting, if dialect == "plain" { 25 } else { 0 }, "{dialect}");
    }
}

#[test]
fn what_was_claimed_and_never_sent_is_an_unknown_outcome_only_after_the_lease() {
    let mut phone = Phone::new(25, "hl7-cgm");
    phone.submit();
    phone.machine.token_ready();
    assert!(matches!(phone.step(Duration::MAX), Step::Send(_)));
    // Killed: the next process finds it half-sent.
    phone.machine = cgm_submitter::delivery::Machine::new(phone.connection);
    let Step::WaitUntil { until, .. } = phone.step(Duration::MAX) else { panic!() };
    assert_eq!(until - phone.now, TimeDelta::seconds(70));
    let mut record = Record::looking_first();
    let end = phone.run(TimeDelta::minutes(5), |sent| record.take(&sent.body).into(), no_search);
    assert_eq!((end, record.len()), (End::Idle, 25));
}

/// What the receiver has of a phone that disconnects while its only batch is under way, and
/// connects again as the same patient; and how many readings rest then.
fn disconnected_meanwhile(dialect: &str, end_of_wait: bool) -> (Record, usize) {
    use cgm_submitter::delivery::{Machine, Step};
    use cgm_submitter::submission::{Answer, Response};
    use std::time::Duration;
    let mut phone = Phone::new(25, dialect);
    let mut record = if dialect == "plain" { Record::default() } else { Record::looking_first() };
    phone.submit();
    phone.machine.token_ready();
    let Step::Send(outgoing) = phone.step(Duration::MAX) else { panic!("a batch is due") };
    let (status, body) = record.take(&outgoing.body);
    if end_of_wait {
        let lost = Answer::None(NoAnswer::Lost);
        phone.machine.apply(&mut phone.store, phone.now, 0, outgoing.batch, &lost).unwrap();
    }
    let details = phone.store.connection(phone.connection).unwrap().details;
    phone.store.remove_connection(phone.connection).unwrap();
    let (body, took) = (body.into_bytes(), TimeDelta::seconds(1));
    let late = Answer::Response(Response { status, retry_after: None, body, took });
    phone.machine.apply(&mut phone.store, phone.now, 0, outgoing.batch, &late).unwrap();

    let active = cgm_submitter::store::ConnectionState::Active;
    let again =
        phone.store.add_connection("https://ehr.example/fhir", "amy", active, &details).unwrap();
    assert_eq!(again, phone.connection);
    phone.machine = Machine::new(again);
    phone.submit();
    let end = phone.run(TimeDelta::days(9), |sent| record.take(&sent.body).into(), no_search);
    assert_eq!(end, End::Idle);
    let resting = phone.store.unknown_outcomes(again).unwrap().len();
    (record, resting)
}

#[test]
fn what_was_under_way_when_a_connection_ended_is_not_stored_twice_by_the_next() {
    for lost in [false, true] {
        let (record, resting) = disconnected_meanwhile("plain", lost);
        record.assert_single();
        assert_eq!(record.len(), 25);
        assert_eq!(resting, if lost { 25 } else { 0 }, "a late answer is read all the same");
        let (record, resting) = disconnected_meanwhile("hl7-cgm", lost);
        record.assert_single();
        assert_eq!((record.len(), resting), (25, 0), "it looks before it creates");
    }
}

#[test]
fn a_request_still_at_work_when_its_connection_ends_is_waited_out_by_the_next() {
    use cgm_submitter::delivery::{Machine, Step};
    for dialect in ["plain", "hl7-cgm"] {
        let mut phone = Phone::new(25, dialect);
        phone.submit();
        phone.machine.token_ready();
        assert!(matches!(phone.step(std::time::Duration::MAX), Step::Send(_)));
        let details = phone.store.connection(phone.connection).unwrap().details;
        phone.store.remove_connection(phone.connection).unwrap();

        phone.ingest(25, 30);
        let active = cgm_submitter::store::ConnectionState::Active;
        let base = "https://ehr.example/fhir";
        let again = phone.store.add_connection(base, "amy", active, &details).unwrap();
        phone.machine = Machine::new(again);
        phone.submit();
        let Step::WaitUntil { until, .. } = phone.step(std::time::Duration::MAX) else {
            panic!("{dialect}: two requests at once")
        };
        assert_eq!(until - phone.now, TimeDelta::seconds(70), "{dialect}");
    }
}

#[test]
fn a_submission_that_cannot_be_read_ends_with_its_batch_and_the_connection_goes_on() {
    for column in ["plan", "progress", "origin"] {
        for claimed in [false, true] {
            let mut phone = Phone::new(25, "plain");
            let id = phone.submit();
            assert!(matches!(phone.step(Duration::MAX), Step::Token { .. }));
            if claimed {
                phone.machine.token_ready();
                assert!(matches!(phone.step(Duration::MAX), Step::Send(_)));
            }
            phone.break_submission(id, column);
            phone.ingest(25, 30);
            phone.submit();
            let mut record = Record::default();
            let began = phone.now;
            let end =
                phone.run(TimeDelta::days(1), |sent| record.take(&sent.body).into(), no_search);
            assert_eq!(end, End::Idle, "{column} {claimed}");
            record.assert_single();
            let unknown = phone.store.unknown_outcomes(phone.connection).unwrap().len();
            assert_eq!((record.len(), unknown), if claimed { (5, 25) } else { (30, 0) });
            let in_lease = phone.sent[0].at - began < TimeDelta::seconds(60);
            assert_eq!(in_lease, !claimed, "what was sent may still be at work");
        }
    }
}

#[test]
fn a_search_that_failed_in_part_finds_nothing_out_and_nothing_goes_again() {
    let failed = serde_json::json!({"resourceType": "Bundle", "type": "searchset", "entry": [
        {"search": {"mode": "outcome"}, "resource": {"resourceType": "OperationOutcome",
            "issue": [{"severity": "error", "code": "timeout"}]}}]})
    .to_string();
    for recovers in [true, false] {
        let mut phone = Phone::new(25, "plain");
        search_offered(&mut phone);
        let id = phone.submit();
        let record = std::cell::RefCell::new(Record::default());
        let mut searches = 0;
        let end = phone.run(
            TimeDelta::days(2),
            |sent| {
                record.borrow_mut().take(&sent.body);
                Reply::None(NoAnswer::Lost)
            },
            |form| {
                searches += 1;
                if recovers && searches > 4 {
                    return record.borrow().search(form).into();
                }
                (200, failed.clone()).into()
            },
        );
        assert_eq!((end, phone.sent.len()), (End::Idle, 1), "recovers: {recovers}");
        record.borrow().assert_single();
        let readings = phone.submission(id).progress.tally.readings;
        let expected = if recovers { (25, 0) } else { (0, 25) };
        assert_eq!((readings.already_there, readings.unknown), expected);
    }
}

#[test]
fn a_lookup_longer_than_a_wake_goes_on_where_it_was_and_is_no_failure_of_the_receiver() {
    let wake = TimeDelta::seconds(25);
    for (stored, milliseconds) in [(true, 600), (true, 3_000), (false, 600), (false, 3_000)] {
        let mut phone = Phone::new(500, "plain");
        search_offered(&mut phone);
        let id = phone.submit();
        let record = std::cell::RefCell::new(Record::default());
        let lost = |sent: &super::virtual_time::Sent| {
            if stored {
                record.borrow_mut().take(&sent.body);
            }
            Reply::None(NoAnswer::Lost)
        };
        phone.wake(wake, lost, no_search);
        let (mut asked, mut cut) = (Vec::new(), 0);
        for _ in 0..20 {
            phone.pass(TimeDelta::minutes(15));
            let end = phone.wake(
                wake,
                |sent| record.borrow_mut().take(&sent.body).into(),
                |form| {
                    asked.push(form.to_vec());
                    let (status, body) = record.borrow().search(form);
                    let after = TimeDelta::milliseconds(milliseconds);
                    Reply::Answer { status, body, retry_after: None, after }
                },
            );
            if end == End::Idle {
                break;
            }
            let receiver = phone.store.connection(phone.connection).unwrap().receiver;
            assert_eq!(receiver.waits(phone.now), None, "nobody asked for a pause");
            let batch = phone.store.pending_batch(phone.connection).unwrap();
            let failed = batch.map(|batch| batch.content.attempts.failed_lookups);
            assert_eq!(failed.unwrap_or_default(), 0);
            cut += usize::from(matches!(end, End::Waits(_, WaitReason::OutOfTime)));
        }
        let readings = phone.submission(id).progress.tally.readings;
        let expected = if stored { (500, 0, 0) } else { (0, 500, 0) };
        assert_eq!((readings.already_there, readings.accepted, readings.unknown), expected);
        record.borrow().assert_single();
        assert_eq!(phone.sent.len(), if stored { 1 } else { 2 });
        assert!(cut > 0, "no wake was long enough for a lookup of fifty requests");
        let lookups = if stored { 1 } else { 2 };
        let spare = if milliseconds == 600 { 0 } else { cut };
        assert!(asked.len() <= lookups * 50 + spare, "{}: what was answered stays so", asked.len());
    }
}

#[test]
fn a_receiver_that_crashes_in_the_middle_of_a_batch_has_nothing_twice() {
    for (status, searchable) in [(500, true), (503, true), (500, false), (503, false)] {
        let mut phone = Phone::new(60, "plain");
        if searchable {
            search_offered(&mut phone);
        }
        let id = phone.submit();
        let record = std::cell::RefCell::new(Record::default());
        let mut first = true;
        let end = phone.run(
            TimeDelta::days(2),
            |sent| {
                if std::mem::take(&mut first) {
                    record.borrow_mut().take_some(&sent.body, 20);
                    return Reply::status(status);
                }
                record.borrow_mut().take(&sent.body).into()
            },
            |form| record.borrow().search(form).into(),
        );
        assert_eq!(end, End::Idle, "{status}");
        record.borrow().assert_single();
        let readings = phone.submission(id).progress.tally.readings;
        let counted = (readings.already_there, readings.accepted, readings.unknown);
        assert_eq!(counted, if searchable { (20, 40, 0) } else { (0, 0, 60) }, "{status}");
    }
}

#[test]
fn one_reading_for_which_a_receiver_without_conditions_answers_500_is_set_aside_and_no_other() {
    let mut phone = Phone::new(40, "plain");
    search_offered(&mut phone);
    let id = phone.submit();
    let record = std::cell::RefCell::new(Record::default());
    let mut poison = None;
    let end = phone.run(
        TimeDelta::days(30),
        |sent| {
            let all = super::receiver::identifiers(&sent.body);
            let poison = poison.get_or_insert_with(|| all[13].clone());
            if all.contains(poison) {
                return Reply::status(500);
            }
            record.borrow_mut().take(&sent.body).into()
        },
        |form| record.borrow().search(form).into(),
    );
    assert_eq!(end, End::Idle);
    record.borrow().assert_single();
    assert_eq!(record.borrow().len(), 39);
    assert_eq!(phone.submission(id).state, SubmissionState::Done);
    assert_eq!(phone.store.quarantined(phone.connection).unwrap().len(), 1);
}

#[test]
fn a_batch_that_cannot_be_read_ends_with_its_submission_and_the_connection_goes_on() {
    for column in ["manifest", "attempts", "wait", "state", "part", "dialect", "position_after"] {
        for claimed in [false, true] {
            let mut phone = Phone::new(25, "plain");
            let id = phone.submit_dates("2024-05-01..2024-05-02");
            assert!(matches!(phone.step(Duration::MAX), Step::Token { .. }));
            phone.machine.token_ready();
            assert!(matches!(phone.step(Duration::MAX), Step::Send(_)));
            if !claimed {
                // It never arrived, and stays to be sent.
                let batch = phone.store.pending_batch(phone.connection).unwrap().unwrap().id;
                let not_arrived = cgm_submitter::submission::Answer::None(NoAnswer::NotArrived);
                let now = phone.now;
                phone.machine.apply(&mut phone.store, now, 0, batch, &not_arrived).unwrap();
            }
            phone.break_batch(column);
            phone.ingest(9_000, 9_005);
            phone.submit_dates("2024-05-30..2024-06-02");
            let (mut record, began) = (Record::default(), phone.now);
            let end =
                phone.run(TimeDelta::days(1), |sent| record.take(&sent.body).into(), no_search);
            assert_eq!((end, record.len()), (End::Idle, 5), "{column}: others go on");
            assert!(phone.sent[0].at - began >= TimeDelta::seconds(60), "not beside what was sent");
            assert_eq!(phone.submission(id).state, SubmissionState::Cancelled);
            let resting = phone.store.unknown_outcomes(phone.connection).unwrap().len();
            let is_known = !claimed && !["attempts", "state"].contains(&column);
            assert_eq!(resting, if is_known { 0 } else { 25 }, "{column} {claimed}");

            // Asked for again, nothing is there twice.
            phone.submit_dates("2024-05-01..2024-05-02");
            phone.run(TimeDelta::days(1), |sent| record.take(&sent.body).into(), no_search);
            assert_eq!(record.len(), if is_known { 30 } else { 5 });
            record.assert_single();
        }
    }
}

#[test]
fn a_lookup_whose_answer_takes_longer_than_a_wake_asks_for_less_and_ends() {
    let mut phone = Phone::new(40, "plain");
    search_offered(&mut phone);
    let id = phone.submit();
    let record = std::cell::RefCell::new(Record::default());
    let wake = TimeDelta::seconds(25);
    let lost = |sent: &super::virtual_time::Sent| {
        record.borrow_mut().take(&sent.body);
        Reply::None(NoAnswer::Lost)
    };
    phone.wake(wake, lost, no_search);
    for _ in 0..40 {
        phone.pass(TimeDelta::minutes(15));
        let end = phone.wake(
            wake,
            |sent| record.borrow_mut().take(&sent.body).into(),
            |form| {
                // Three seconds for each identifier: ten at once never come in time.
                let asked = String::from_utf8(form.to_vec()).unwrap();
                let count =
                    asked.matches("urn%3Auuid%3A").count().max(asked.matches("urn:uuid:").count());
                let (status, body) = record.borrow().search(form);
                let after = TimeDelta::seconds(3) * i32::try_from(count).unwrap();
                Reply::Answer { status, body, retry_after: None, after }
            },
        );
        if end == End::Idle {
            break;
        }
    }
    let readings = phone.submission(id).progress.tally.readings;
    assert_eq!((readings.already_there, readings.unknown), (40, 0));
    record.borrow().assert_single();
}
