//! Receivers that fail for years, for a day, or for one entry: waited for, shown, and outlasted.

use super::receiver::{Record, identifiers};
use super::virtual_time::{End, Phone, Reply, Sent, no_search};
use cgm_submitter::delivery::Step;
use cgm_submitter::store::{ConnectionState, SubmissionState};
use cgm_submitter::submission::{NoAnswer, RetryAfter, WaitReason};
use chrono::TimeDelta;
use std::time::Duration;

#[test]
fn a_receiver_that_answers_500_for_ever_is_asked_ever_more_rarely_and_the_host_sees_the_stall() {
    let mut phone = Phone::new(600, "hl7-cgm");
    let id = phone.submit();
    phone.run(TimeDelta::hours(20), |_| Reply::status(500), no_search);
    assert_eq!(phone.submission(id).progress.stall, None, "an outage, for all that is known");
    phone.run(TimeDelta::days(22), |_| Reply::status(500), no_search);
    let stall = phone.submission(id).progress.stall.expect("the stall is seen");
    assert_eq!(stall.status, 500);
    assert!(phone.sent.len() < 200, "{} requests in 23 days", phone.sent.len());
    let refused = phone.store.quarantined(phone.connection).unwrap();
    assert_eq!(refused, [], "nothing is blamed for an outage");

    let mut record = Record::looking_first();
    let end = phone.run(TimeDelta::days(2), |sent| record.take(&sent.body).into(), no_search);
    assert_eq!(end, End::Idle, "it recovers by itself");
    assert_eq!(record.len(), 600);
    record.assert_single();
    assert_eq!(phone.submission(id).progress.stall, None);
}

#[test]
fn one_reading_for_which_a_receiver_answers_500_is_set_aside_and_the_rest_is_delivered() {
    for poisoned in [0, 137, 499] {
        let mut phone = Phone::new(700, "hl7-cgm");
        let id = phone.submit();
        let mut record = Record::looking_first();
        let mut poison = None;
        let end = phone.run(
            TimeDelta::days(4),
            |sent| {
                let all = identifiers(&sent.body);
                // The batches come in the order of the readings: the first one tells which it is.
                let poison = poison.get_or_insert_with(|| all[poisoned].clone());
                if all.contains(poison) {
                    Reply::status(500)
                } else {
                    record.take(&sent.body).into()
                }
            },
            no_search,
        );
        assert_eq!(end, End::Idle, "reading {poisoned}");
        assert_eq!(record.len(), 699, "reading {poisoned}");
        record.assert_single();
        assert_eq!(phone.submission(id).state, SubmissionState::Done);
        let refused = phone.store.quarantined(phone.connection).unwrap();
        assert_eq!(refused.len(), 1, "and no other is blamed");
    }
}

#[test]
fn gateways_that_fail_for_weeks_never_have_a_batch_taken_apart_by_halves() {
    for status in [503, 429] {
        let mut phone = Phone::new(40, "hl7-cgm");
        phone.submit();
        phone.run(TimeDelta::days(30), |_| Reply::status(status), no_search);
        assert!(phone.sent.iter().all(|sent| sent.entries == 40), "{status}");
    }
}

#[test]
fn a_night_without_a_network_passes_with_waits_of_a_minute_at_most_and_leaves_nothing_behind() {
    let mut phone = Phone::new(3, "hl7-cgm");
    phone.submit();
    let unreachable = |_: &_| Reply::None(NoAnswer::NotArrived);
    let end = phone.run(TimeDelta::hours(8), unreachable, no_search);
    assert!(matches!(end, End::Waits(_, WaitReason::NoConnection)), "{end:?}");
    let tries = phone.sent.len();
    assert!((470..1_000).contains(&tries), "{tries} tries in a night");
    let longest = phone.sent.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
    assert!(longest <= TimeDelta::seconds(62), "{longest}");
    let mut record = Record::looking_first();
    let (mut busy, back) = (true, phone.now);
    let end = phone.run(
        TimeDelta::hours(7),
        |sent| {
            if std::mem::take(&mut busy) {
                return Reply::status(503);
            }
            record.take(&sent.body).into()
        },
        no_search,
    );
    assert_eq!((end, record.len()), (End::Idle, 3));
    let took = phone.now - back;
    assert!(took < TimeDelta::minutes(2), "busy once, and not for the thousandth time: {took}");
}

#[test]
fn no_request_leaves_before_a_retry_after_ends() {
    let mut phone = Phone::new(30, "hl7-cgm");
    phone.submit();
    let mut times = 0;
    phone.run(
        TimeDelta::days(9),
        |_| {
            times += 1;
            let retry_after = Some(RetryAfter::Seconds(600 * times));
            Reply::Answer {
                status: 503,
                body: String::new(),
                retry_after,
                after: TimeDelta::zero(),
            }
        },
        no_search,
    );
    assert!(phone.sent.len() > 20);
    for (n, pair) in (1_i64..).zip(phone.sent.windows(2)) {
        assert!(pair[1].at - pair[0].at >= TimeDelta::seconds(600 * n), "request {n}");
    }
}

#[test]
fn unreadable_answers_end_in_a_blocked_connection_after_a_few_requests() {
    for (status, body) in [(202, ""), (200, ""), (200, "<html>")] {
        let mut phone = Phone::new(3, "hl7-cgm");
        phone.submit();
        let answer = |_: &_| (status, body.to_owned()).into();
        let end = phone.run(TimeDelta::days(30), answer, no_search);
        assert_eq!(end, End::Blocked(ConnectionState::Misconfigured), "{status} {body}");
        assert_eq!(phone.sent.len(), 5, "{status} {body}");
    }
}

#[test]
fn the_instant_that_getting_a_token_names_is_kept_not_spread_again_and_outlasts_the_process() {
    let mut phone = Phone::new(3, "hl7-cgm");
    phone.submit();
    assert!(matches!(phone.step(Duration::MAX), Step::Token { .. }));
    let named = phone.now + TimeDelta::seconds(112);
    phone.machine.no_token(&mut phone.store, phone.now, named).unwrap();
    // Another process finds the wait.
    phone.machine = cgm_submitter::delivery::Machine::new(phone.connection);
    let Step::WaitUntil { until, reason } = phone.step(Duration::MAX) else { panic!() };
    assert_eq!((until, reason), (named, WaitReason::TokenEndpoint));
    let mut record = Record::looking_first();
    phone.run(TimeDelta::hours(1), |sent| record.take(&sent.body).into(), no_search);
    assert_eq!(record.len(), 3);
}

#[test]
fn the_address_is_the_one_the_batch_was_frozen_for() {
    let mut phone = Phone::new(3, "hl7-cgm");
    phone.submit();
    phone.run(TimeDelta::seconds(1), |_| Reply::status(503), no_search);
    let plain = |details: &mut cgm_submitter::store::ConnectionDetails| {
        details.dialect = Some("plain".to_owned());
    };
    phone.store.change_connection(phone.connection, plain).unwrap();
    phone.run(TimeDelta::minutes(5), |_| Reply::status(503), no_search);
    assert!(phone.sent.len() > 1);
    assert!(phone.sent.iter().all(|sent| sent.url.ends_with("/$submit-cgm-bundle")));
}

#[test]
fn a_redirect_that_was_followed_blocks_the_connection_at_the_first_request() {
    for dialect in ["hl7-cgm", "plain"] {
        let mut phone = Phone::new(3, dialect);
        phone.submit();
        let redirected = |_: &_| Reply::None(NoAnswer::Redirected);
        let end = phone.run(TimeDelta::days(30), redirected, no_search);
        assert_eq!(end, End::Blocked(ConnectionState::Misconfigured), "{dialect}");
        assert_eq!(phone.sent.len(), 1, "{dialect}: nothing more goes to the other place");
    }
}

#[test]
fn a_lookup_that_was_redirected_blocks_the_connection_and_stays_to_be_made() {
    let mut phone = Phone::new(3, "plain");
    let offered = |receiver: &mut cgm_submitter::submission::ReceiverFacts| {
        receiver.searches_observations = true;
    };
    phone.store.change_receiver(phone.connection, offered).unwrap();
    let id = phone.submit();
    let lost = |_: &_| Reply::None(NoAnswer::Lost);
    let end = phone.run(TimeDelta::days(30), lost, |_| Reply::None(NoAnswer::Redirected));
    assert_eq!(end, End::Blocked(ConnectionState::Misconfigured));
    assert_eq!((phone.sent.len(), phone.searches.len()), (1, 1));
    assert!(phone.store.pending_batch(phone.connection).unwrap().is_some());
    assert_eq!(phone.submission(id).progress.tally.readings.unknown, 0);
}

/// For readings among these positions of the first batch, the receiver answers 500, alone or not.
struct Poison {
    places: Vec<usize>,
    poisoned: Vec<String>,
}

impl Poison {
    fn at(places: &[usize]) -> Self {
        Self { places: places.to_vec(), poisoned: Vec::new() }
    }

    fn is_in(&mut self, body: &[u8]) -> bool {
        let all = identifiers(body);
        // The batches come in the order of the readings: the first one tells which they are.
        if self.poisoned.is_empty() {
            self.poisoned = self.places.iter().map(|place| all[*place].clone()).collect();
        }
        all.iter().any(|identifier| self.poisoned.contains(identifier))
    }
}

#[test]
fn an_outage_right_after_a_reading_was_set_aside_blames_no_other() {
    for minutes in [1, 30, 300] {
        let mut phone = Phone::new(700, "hl7-cgm");
        let id = phone.submit();
        let (mut record, mut poison) = (Record::looking_first(), Poison::at(&[137]));
        let (mut outage, mut known) = (None, None);
        let mut receive = |sent: &Sent| {
            let guilty = poison.is_in(&sent.body);
            let new = |known: &Record| identifiers(&sent.body).iter().any(|one| !known.has(one));
            if !guilty && known.as_ref().is_some_and(new) {
                let begun = *outage.get_or_insert(sent.at);
                if sent.at - begun < TimeDelta::minutes(minutes) {
                    return Reply::status(500);
                }
            }
            if guilty {
                return Reply::status(500);
            }
            let taken = record.take(&sent.body);
            if record.len() == 699 && known.is_none() {
                known = Some(record.clone());
            }
            taken.into()
        };
        for _ in 0..60 {
            phone.run(TimeDelta::hours(1), &mut receive, no_search);
            if phone
                .submission(id)
                .progress
                .isolation
                .as_ref()
                .is_some_and(|found| found.passes == 2)
            {
                break;
            }
        }
        phone.ingest(700, 712);
        let end = phone.run(TimeDelta::days(9), &mut receive, no_search);
        assert_eq!(end, End::Idle, "{minutes} minutes");
        assert!(outage.is_some(), "the new readings met the outage");
        assert_eq!(record.len(), 711, "{minutes} minutes");
        let refused = phone.store.quarantined(phone.connection).unwrap();
        assert_eq!(refused.len(), 1, "{minutes} minutes: only the guilty one");
    }
}

#[test]
fn an_outage_that_begins_while_a_batch_is_taken_apart_blames_nothing_and_is_asked_rarely() {
    for hours in [2, 5, 50] {
        let mut phone = Phone::new(400, "hl7-cgm");
        phone.submit();
        let mut record = Record::looking_first();
        let (mut accepted, mut during) = (None, 0);
        let end = phone.run(
            TimeDelta::days(40),
            |sent| {
                // All fails for a day, one small batch passes, all fails again, and then nothing.
                match accepted {
                    None if sent.entries > 25 => return Reply::status(500),
                    None => accepted = Some(sent.at),
                    Some(at) if sent.at - at < TimeDelta::hours(hours) => {
                        during += 1;
                        return Reply::status(500);
                    }
                    Some(_) => {}
                }
                record.take(&sent.body).into()
            },
            no_search,
        );
        let refused = phone.store.quarantined(phone.connection).unwrap();
        assert_eq!(refused.len(), 0, "{hours} hours");
        assert_eq!((end, record.len()), (End::Idle, 400), "{hours} hours");
        record.assert_single();
        assert!(during < 60, "{during} requests in {hours} hours");
    }
}

#[test]
fn several_readings_for_which_a_receiver_answers_500_are_all_set_aside_and_no_other() {
    for places in [vec![3, 4, 5, 6, 7], vec![0, 20, 21, 100, 250]] {
        let mut phone = Phone::new(300, "hl7-cgm");
        phone.submit();
        let (mut record, mut poison) = (Record::looking_first(), Poison::at(&places));
        let receive = |sent: &Sent| {
            if poison.is_in(&sent.body) {
                Reply::status(500)
            } else {
                record.take(&sent.body).into()
            }
        };
        let end = phone.run(TimeDelta::days(20), receive, no_search);
        assert_eq!((end, record.len()), (End::Idle, 295), "{places:?}");
        let refused = phone.store.quarantined(phone.connection).unwrap();
        assert_eq!(refused.len(), 5, "{places:?}");
    }
}

#[test]
fn what_was_stopped_for_consent_goes_once_the_person_authorises_anew() {
    let mut phone = Phone::new(40, "hl7-cgm");
    let id = phone.submit();
    let end = phone.run(TimeDelta::days(1), |_| Reply::status(403), no_search);
    assert_eq!(end, End::Blocked(ConnectionState::NeedsConsent));
    let renew = |record: &mut cgm_submitter::store::ConnectionRecord| {
        record.state = ConnectionState::Active;
    };
    phone.store.renew_connection(phone.connection, renew).unwrap();
    assert_eq!(phone.submit(), id, "it is still the same");
    assert_eq!(phone.submission(id).progress.stopped, [], "the old refusal is gone");
    let mut record = Record::looking_first();
    let end = phone.run(TimeDelta::days(1), |sent| record.take(&sent.body).into(), no_search);
    assert_eq!((end, record.len()), (End::Idle, 40));
}

#[test]
fn a_sign_in_page_for_some_hours_holds_up_and_blocks_nothing() {
    for hours in [1, 12, 23] {
        let mut phone = Phone::new(30, "hl7-cgm");
        phone.submit();
        let (mut record, begun) = (Record::looking_first(), phone.now);
        let end = phone.run(
            TimeDelta::days(2),
            |sent| {
                if sent.at - begun < TimeDelta::hours(hours) {
                    return Reply::status(302);
                }
                record.take(&sent.body).into()
            },
            no_search,
        );
        assert_eq!((end, record.len()), (End::Idle, 30), "{hours} hours");
        assert!(phone.now - begun < TimeDelta::hours(2 * hours + 9), "{hours} hours");
    }
}

#[test]
fn a_redirect_that_lasts_blocks_the_connection_which_recovers_by_itself() {
    let mut phone = Phone::new(30, "hl7-cgm");
    phone.submit();
    let end = phone.run(TimeDelta::days(9), |_| Reply::status(301), no_search);
    assert_eq!(end, End::Blocked(ConnectionState::Misconfigured));
    let asked = phone.sent.len();
    for _ in 0..48 {
        phone.pass(TimeDelta::hours(1));
        let end = phone.run(TimeDelta::minutes(9), |_| Reply::status(301), no_search);
        assert_eq!(end, End::Blocked(ConnectionState::Misconfigured), "it says so all the while");
    }
    let more = phone.sent.len() - asked;
    assert!((3..24).contains(&more), "{more} requests in two days");

    phone.pass(TimeDelta::hours(12));
    let mut record = Record::looking_first();
    let end = phone.run(TimeDelta::days(1), |sent| record.take(&sent.body).into(), no_search);
    assert_eq!((end, record.len()), (End::Idle, 30));
    let connection = phone.store.connection(phone.connection).unwrap();
    assert_eq!(connection.state, ConnectionState::Active);
    assert!(!connection.is_tried_again());
}

#[test]
fn the_only_reading_of_a_submission_is_set_aside_once_others_were_accepted_between_its_failures() {
    let mut phone = Phone::new(1, "hl7-cgm");
    let id = phone.submit_dates("2024-05-01..2024-05-02");
    let (mut record, mut poison) = (Record::looking_first(), Poison::at(&[0]));
    let mut receive = |sent: &Sent| {
        if poison.is_in(&sent.body) { Reply::status(500) } else { record.take(&sent.body).into() }
    };
    for day in 0..30 {
        phone.run(TimeDelta::days(1), &mut receive, no_search);
        let refused = phone.store.quarantined(phone.connection).unwrap().len();
        assert_eq!(refused, 0, "day {day}: for all that is known, nothing works there");
    }
    for day in 0..30 {
        phone.ingest(9_000 + day, 9_001 + day);
        phone.submit_dates("2024-05-30..2024-06-20");
        phone.run(TimeDelta::days(1), &mut receive, no_search);
    }
    assert_eq!(record.len(), 30, "the others went");
    assert_eq!(phone.store.quarantined(phone.connection).unwrap().len(), 1);
    assert_eq!(phone.submission(id).state, SubmissionState::Done);
}

#[test]
fn the_history_tells_with_which_status_an_entry_was_refused() {
    let mut phone = Phone::new(3, "hl7-cgm");
    phone.submit();
    let mut record = Record::looking_first();
    phone.run(
        TimeDelta::days(1),
        |sent| {
            let (status, answer) = record.take(&sent.body);
            let mut answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            answer["entry"][1] = serde_json::json!({"response": {"status": "422"}});
            (status, answer.to_string()).into()
        },
        no_search,
    );
    let history = phone.store.history(phone.connection, 1).unwrap();
    let refused: Vec<_> = history[0].refused.iter().map(|entry| entry.status).collect();
    assert_eq!((history[0].accepted, refused), (2, vec![Some(422)]));
}
