//! The response table, row by row, and what follows from a row of answers.

use super::*;
use crate::fhir::{Dialect, EntryKind};
use crate::glucose::GlucoseUnit;
use crate::submission::{
    Failing, Isolation, Item, LookedUp, ManifestEntry, Position, RetryAfter, Stall,
};
use chrono::TimeDelta;

const MINUTE: TimeDelta = TimeDelta::minutes(1);

fn now() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Everything a decision is made from, to be changed by a test.
struct Case {
    policy: Policy,
    receiver: ReceiverFacts,
    progress: Progress,
    batch: SentBatch,
    open: bool,
    searchable: bool,
    token_refreshed: bool,
    now: DateTime<Utc>,
}

const WANTED: Wanted =
    Wanted { devices: true, summary: true, readings: true, unit: GlucoseUnit::MgPerDl };

impl Case {
    /// So many readings, sent once, conditionally, to a receiver that speaks HL7 CGM.
    fn readings(count: u32) -> Self {
        let manifest = (0..count).map(|unit| ManifestEntry {
            unit,
            item: Item::Reading(i64::from(unit), 0, GlucoseUnit::MgPerDl),
        });
        let position_after = Position::Readings(Some(i64::from(count)));
        let attempts = Attempts { sent: 1, first_sent: Some(0), ..Attempts::default() };
        let progress = Progress { position: Position::Readings(None), ..Progress::start() };
        Self {
            policy: Policy::default(),
            receiver: ReceiverFacts::default(),
            progress,
            batch: SentBatch {
                manifest: manifest.collect(),
                part: Part::Readings,
                dialect: Dialect::Hl7Cgm,
                conditional: true,
                position_after,
                attempts,
                wait: Wait::after(now(), TimeDelta::seconds(70)),
            },
            open: true,
            searchable: false,
            token_refreshed: false,
            now: now(),
        }
    }

    /// The same to a receiver of which nothing is known that guards against a second copy.
    fn unguarded(count: u32) -> Self {
        let mut case = Self::readings(count);
        case.batch.dialect = Dialect::Plain;
        case
    }

    fn at(&self) -> Situation<'_> {
        Situation {
            policy: &self.policy,
            receiver: &self.receiver,
            wanted: WANTED,
            progress: &self.progress,
            batch: &self.batch,
            open: self.open,
            searchable: self.searchable,
            token_refreshed: self.token_refreshed,
            now: self.now,
            jitter: 0,
        }
    }

    fn settle(&self, answer: &Answer) -> Settlement {
        settle(&self.at(), answer)
    }

    fn status(&self, status: u16) -> Settlement {
        self.settle(&said(status, ""))
    }

    /// An answer with these statuses for its entries.
    fn entries(&self, entries: &[&str]) -> Settlement {
        assert_eq!(entries.len(), self.batch.manifest.len());
        self.settle(&said(200, &bundle(entries)))
    }

    /// Takes over what was settled, as the store does, for the next answer.
    fn then(&mut self, settled: Settlement) {
        self.progress = settled.progress;
        self.receiver = settled.receiver;
        self.batch.attempts = settled.attempts;
        self.batch.attempts.sent += 1;
    }
}

fn said(status: u16, body: &str) -> Answer {
    let body = body.as_bytes().to_vec();
    Answer::Response(Response { status, retry_after: None, body, took: TimeDelta::seconds(1) })
}

fn asked(status: u16, retry_after: RetryAfter, body: &str) -> Answer {
    let Answer::Response(response) = said(status, body) else { unreachable!() };
    Answer::Response(Response { retry_after: Some(retry_after), ..response })
}

/// A transaction's answer. `201@Observation/1` has a location.
fn bundle(entries: &[&str]) -> String {
    let entry = |text: &&str| {
        let (status, location) = text.split_once('@').unwrap_or((text, ""));
        if location.is_empty() {
            format!(r#"{{"response":{{"status":"{status}"}}}}"#)
        } else {
            format!(r#"{{"response":{{"status":"{status}","location":"{location}"}}}}"#)
        }
    };
    let entries: Vec<String> = entries.iter().map(entry).collect();
    format!(
        r#"{{"resourceType":"Bundle","type":"transaction-response","entry":[{}]}}"#,
        entries.join(",")
    )
}

fn records(settled: &Settlement) -> Vec<&'static str> {
    let NextState::Done(records) = &settled.next else { panic!("{:?}", settled.next) };
    records
        .iter()
        .map(|record| match record {
            EntryRecord::Delivered { .. } => "delivered",
            EntryRecord::Refused { .. } => "refused",
            EntryRecord::Deferred => "deferred",
            EntryRecord::Unknown => "unknown",
        })
        .collect()
}

/// How long the receiver is left alone.
fn left_alone(settled: &Settlement, now: DateTime<Utc>) -> i64 {
    settled.receiver.waits(now).map_or(0, |(until, _)| (until - now).num_seconds())
}

const fn apart(may_be_stored: bool) -> NextState {
    NextState::TakenApart { may_be_stored }
}

// ---- entries ----

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
    let EntryRecord::Refused { reason } = &records[0] else { panic!() };
    assert!(reason.starts_with("duplicate at the receiver"), "{reason}");
}

#[test]
fn received_without_a_copy_is_remembered_of_the_receiver() {
    let settled = Case::readings(1).entries(&["200"]);
    assert!(settled.receiver.keeps_no_copies);
    assert_eq!(settled.progress.tally.readings.received, 1);
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

#[test]
fn a_unit_stays_together_and_is_not_doubled() {
    let summary = |case: &mut Case| {
        let item = || Item::Resource("urn:uuid:1".to_owned(), EntryKind::Summary, None);
        case.batch.manifest =
            vec![ManifestEntry { unit: 0, item: item() }, ManifestEntry { unit: 0, item: item() }];
        case.batch.part = Part::Summary;
    };
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

// ---- the request ----

#[test]
fn a_requests_status_decides_what_happens_to_the_batch() {
    let again = [425, 429, 500, 501, 503, 507];
    let unknown = [408, 409, 502, 504];
    let blocked = [302, 404, 405, 406, 410];
    let bisected = [400, 412, 415, 418, 422];
    for status in again.into_iter().chain(unknown) {
        let settled = Case::readings(8).status(status);
        assert_eq!(settled.next, NextState::Ready, "{status}");
        assert_eq!(settled.block, None, "{status}");
        assert!(left_alone(&settled, now()) > 0, "{status}: the wait is the receiver's");
        let is_unknown = settled.attempts.unknown == 1;
        assert_eq!(is_unknown, unknown.contains(&status), "{status}");
    }
    for status in blocked {
        let settled = Case::readings(8).status(status);
        assert_eq!(settled.next, NextState::Ready, "{status}: nothing is lost");
        assert_eq!(settled.block, Some(BlockReason::Configuration), "{status}");
    }
    for status in bisected {
        let mut case = Case::readings(8);
        // It takes gzip: what it refuses is not the compression.
        case.receiver.gzip = Some(status != 415);
        let settled = case.status(status);
        assert_eq!(
            (settled.next, settled.progress.unit_limit),
            (apart(false), Some(4)),
            "{status}"
        );
    }
}

#[test]
fn a_refused_token_is_refreshed_once() {
    let mut case = Case::readings(1);
    let settled = case.status(401);
    assert!(settled.refresh);
    assert_eq!((settled.next, settled.block), (NextState::Ready, None));
    case.token_refreshed = true;
    let settled = case.status(401);
    assert_eq!((settled.refresh, settled.block), (false, Some(BlockReason::Reauthorise)));
}

#[test]
fn without_permission_that_part_stops_and_only_when_all_parts_did_the_person_is_asked() {
    let mut case = Case::readings(4);
    let settled = case.status(403);
    assert_eq!((settled.next, settled.block), (apart(false), None));
    assert_eq!(settled.progress.stopped[0].part, Part::Readings);
    for part in [Part::Devices, Part::Summary] {
        case.progress.stopped.push(Stopped { part, for_consent: true, reason: String::new() });
    }
    assert_eq!(case.status(403).block, Some(BlockReason::Consent));
}

#[test]
fn a_compressed_body_that_is_refused_goes_plain_and_that_is_remembered() {
    let mut case = Case::readings(4);
    for status in [415, 400] {
        let settled = case.status(status);
        assert_eq!((settled.next, settled.receiver.gzip), (NextState::Ready, Some(false)));
    }
    case.receiver.gzip = Some(true);
    assert_eq!(case.status(400).receiver.gzip, Some(true), "it took one before");
}

#[test]
fn a_413_is_remembered_also_when_the_limit_is_8_or_25() {
    for (sent, limit) in [(500, 250), (50, 25), (16, 8), (2, 1)] {
        let mut case = Case::readings(sent);
        case.receiver.gzip = Some(true);
        let settled = case.status(413);
        assert_eq!(settled.next, apart(false));
        assert_eq!(settled.receiver.entry_limit.map(|known| known.entries), Some(limit), "{sent}");
    }
}

#[test]
fn a_word_about_size_shrinks_nothing_for_good_unless_the_half_passes() {
    let mut case = Case::readings(16);
    case.receiver.gzip = Some(true);
    let settled = case.settle(&said(400, "value exceeds the maximum of this field"));
    assert_eq!((settled.next.clone(), settled.progress.unit_limit), (apart(false), Some(8)));
    assert_eq!(settled.receiver.entry_limit, None);
    let mut half = Case::readings(8);
    half.then(settled);
    let passed = half.entries(&["201"; 8]);
    assert_eq!(passed.receiver.entry_limit.map(|limit| limit.entries), Some(8));
    let mut refused = half;
    refused.receiver.gzip = Some(true);
    let settled = refused.settle(&said(422, "no such field"));
    assert_eq!(settled.receiver.entry_limit, None);
    let small = Case::readings(40).settle(&said(500, "the answer exceeds the memory"));
    assert_eq!(small.next, NextState::Ready, "a receiver that breaks says all kinds of things");
}

#[test]
fn three_single_units_refused_alike_in_a_row_block_the_connection() {
    let mut case = Case::readings(1);
    case.receiver = ReceiverFacts { gzip: Some(true), ..ReceiverFacts::default() };
    case.receiver.conditional_create = Some(true);
    for _ in 0..2 {
        let settled = case.status(422);
        assert_eq!(records(&settled), ["refused"]);
        case.then(settled);
    }
    let settled = case.status(422);
    assert_eq!((settled.next, settled.block), (NextState::Ready, Some(BlockReason::Configuration)));
    for _ in 0..5 {
        let duplicate = case.status(412);
        assert_eq!((records(&duplicate), duplicate.block), (vec!["refused"], None));
        case.then(duplicate);
    }
}

#[test]
fn what_did_not_arrive_goes_again_and_is_not_an_unknown_outcome() {
    let settled = Case::unguarded(4).settle(&Answer::None(NoAnswer::NotArrived));
    assert_eq!((settled.next.clone(), settled.attempts.unknown), (NextState::Ready, 0));
    assert_eq!(settled.receiver.waits(now()).unwrap().1, WaitReason::NoConnection);
}

#[test]
fn a_wait_asked_for_is_obeyed_and_spread_upwards_only() {
    let answer = asked(503, RetryAfter::Seconds(120), "");
    let case = Case::readings(1);
    let waits = [0, u32::MAX / 2, u32::MAX].map(|jitter| {
        let settled = settle(&Situation { jitter, ..case.at() }, &answer);
        left_alone(&settled, now())
    });
    assert_eq!(waits, [120, 135, 150]);
}

// ---- unknown outcomes ----

#[test]
fn an_unknown_outcome_is_not_repeated_before_the_lease_ends() {
    let settled = Case::readings(4).settle(&Answer::None(NoAnswer::Lost));
    assert_eq!(settled.next, NextState::Ready);
    assert_eq!(left_alone(&settled, now()), 70);
    let mut case = Case::readings(4);
    case.now = now() + MINUTE * 2;
    let settled = case.settle(&Answer::None(NoAnswer::SenderDied));
    assert_eq!(left_alone(&settled, case.now), 0, "the lease is over");
}

#[test]
fn after_a_second_unknown_outcome_smaller_batches_go_under_the_same_identifiers() {
    let mut case = Case::readings(500);
    case.then(case.settle(&Answer::None(NoAnswer::Lost)));
    let settled = case.settle(&Answer::None(NoAnswer::Lost));
    assert_eq!(settled.next, apart(true));
    assert_eq!(settled.receiver.batch_size(&case.policy), 250);
    assert!(left_alone(&settled, now()) >= 70, "the first may still be under way");
    let read = case.entries(&["201"; 500]);
    assert_eq!(read.progress.unknowns, 0, "an answer ends the row");
}

#[test]
fn what_cannot_be_repeated_safely_is_looked_up_or_rests() {
    let lost = Answer::None(NoAnswer::Lost);
    let mut case = Case::unguarded(2);
    let rests = case.settle(&lost);
    assert_eq!(records(&rests), ["unknown", "unknown"]);
    assert_eq!(rests.progress.tally.readings.unknown, 2);
    case.searchable = true;
    assert!(matches!(case.settle(&lost).next, NextState::LookUp(..)));
    // Known to look before it creates: the same bytes again.
    for declare in [true, false] {
        case.receiver.declares_conditional_create = declare;
        case.receiver.finds_again = !declare;
        assert_eq!(case.settle(&lost).next, NextState::Ready);
    }
    case.receiver.conditional_create = Some(false);
    assert!(matches!(case.settle(&lost).next, NextState::LookUp(..)), "shown to lack it after all");
    // A probe has no condition.
    let mut probe = Case::readings(1);
    probe.batch.conditional = false;
    assert_eq!(records(&probe.settle(&lost)), ["unknown"]);
}

fn looked_up(case: &Case, found: &[Option<&str>]) -> Settlement {
    let found = found.iter().map(|place| place.map(str::to_owned)).collect();
    settle_lookup(&case.at(), &LookedUp::Searched(found))
}

#[test]
fn it_is_looked_up_twice_ten_minutes_apart_before_it_goes_again() {
    let mut case = Case::unguarded(2);
    case.searchable = true;
    case.batch.attempts.unknown = 1;
    let first = looked_up(&case, &[None, None]);
    let NextState::LookUp(wait, reason) = first.next else { panic!("{:?}", first.next) };
    assert_eq!((wait.ends(now()), reason), (Some(now() + MINUTE * 10), WaitReason::LookUp));
    case.then(first);
    assert_eq!(looked_up(&case, &[None, None]).next, NextState::Ready, "not there: again");
    let some = looked_up(&case, &[Some("Observation/1"), None]);
    assert_eq!(records(&some), ["delivered", "deferred"], "the rest in a new batch");
    assert!(some.progress.deferred);
    let all = looked_up(&case, &[Some("Observation/1"), Some("")]);
    assert_eq!(records(&all), ["delivered", "delivered"]);
    assert_eq!(all.progress.tally.readings.already_there, 2);
    case.open = false;
    assert_eq!(looked_up(&case, &[None, None]).next, apart(true), "cancelled: not again");
}

#[test]
fn a_search_that_never_answers_ends_in_an_outcome_that_rests() {
    let mut case = Case::unguarded(1);
    case.batch.attempts.unknown = 1;
    assert_eq!(records(&settle_lookup(&case.at(), &LookedUp::Impossible)), ["unknown"]);
    for _ in 1..case.policy.failed_lookups {
        let settled = settle_lookup(&case.at(), &LookedUp::Failed(None));
        assert!(matches!(settled.next, NextState::LookUp(..)));
        assert!(left_alone(&settled, now()) > 0);
        case.then(settled);
    }
    assert_eq!(records(&settle_lookup(&case.at(), &LookedUp::Failed(None))), ["unknown"]);
    let asked =
        settle_lookup(&Case::unguarded(1).at(), &LookedUp::Failed(Some(RetryAfter::Seconds(600))));
    assert_eq!(left_alone(&asked, now()), 600, "searches obey as well");
}

#[test]
fn unreadable_answers_are_an_unknown_outcome_and_end_in_a_blocked_connection() {
    let one_of_two = bundle(&["201"]);
    let unreadable = [
        said(202, ""),
        said(200, ""),
        said(204, ""),
        said(200, "<html>"),
        said(200, &one_of_two),
        Answer::None(NoAnswer::TooLarge),
    ];
    for answer in &unreadable {
        let settled = Case::readings(2).settle(answer);
        assert_eq!((settled.next.clone(), settled.attempts.unknown), (NextState::Ready, 1));
        assert_eq!(settled.block, None);
    }
    let until_blocked = |mut case: Case| {
        for sends in 1.. {
            let settled = case.settle(&unreadable[0]);
            if settled.block == Some(BlockReason::Configuration) {
                return sends;
            }
            case.then(settled);
        }
        unreachable!()
    };
    assert_eq!(until_blocked(Case::readings(1)), 5);
    let mut unconditional = Case::unguarded(1);
    unconditional.batch.conditional = false;
    assert_eq!(until_blocked(unconditional), 2, "each may be stored twice");
}

#[test]
fn of_a_cancelled_submission_nothing_goes_and_what_may_be_doubled_rests() {
    let mut case = Case::readings(2);
    assert_eq!(settle_given_up(&case.at()).next, apart(false));
    case.batch.attempts.unknown = 1;
    assert_eq!(settle_given_up(&case.at()).next, apart(true), "a later one may send it safely");
    let mut case = Case::unguarded(2);
    case.batch.attempts.unknown = 1;
    assert_eq!(records(&settle_given_up(&case.at())), ["unknown", "unknown"]);
    case.searchable = true;
    assert!(matches!(settle_given_up(&case.at()).next, NextState::LookUp(..)));
}

// ---- a receiver that fails again and again ----

fn failing(case: &mut Case, count: u32, hours: i64) {
    let since = (case.now - TimeDelta::hours(hours)).timestamp();
    case.batch.attempts.failing = Some(Failing { status: 500, count, since });
}

#[test]
fn a_500_is_bisected_after_six_times_alike_over_a_day_and_no_other_failure_is() {
    for (count, hours, bisected) in [(5, 24, true), (4, 24, false), (50, 23, false)] {
        let mut case = Case::readings(8);
        failing(&mut case, count, hours);
        let settled = case.status(500);
        assert_eq!(settled.next == apart(false), bisected, "{count} times over {hours} h");
        assert_eq!(settled.progress.stall.is_some(), bisected, "and the host sees it");
    }
    for status in [502, 503, 504, 429] {
        let mut case = Case::readings(8);
        failing(&mut case, 99, 99);
        let settled = case.status(status);
        assert_eq!((settled.next, settled.progress.stall), (NextState::Ready, None), "{status}");
    }
}

#[test]
fn a_unit_is_quarantined_only_if_others_of_its_batch_were_accepted_and_it_fails_every_time() {
    let until = Position::Readings(Some(8));
    let isolation = |accepted, passes| {
        let mut case = Case::readings(1);
        case.progress.isolation = Some(Isolation { accepted, passes, ..Isolation::of(until) });
        case.status(500)
    };
    assert_eq!(records(&isolation(true, 2)), ["refused"]);
    for (accepted, passes) in [(true, 1), (false, 2), (false, 0)] {
        let settled = isolation(accepted, passes);
        assert_eq!(settled.next, apart(false), "left for a later pass");
        assert!(settled.progress.deferred);
        assert_eq!(settled.progress.position, Position::Readings(Some(1)), "the others go on");
    }
    let mut case = Case::readings(1);
    case.progress.isolation = Some(Isolation { failed: 2, ..Isolation::of(until) });
    let settled = case.status(500);
    assert_eq!(settled.progress.isolation, None, "it fails whatever it is given");
    assert!(left_alone(&settled, now()) >= 3 * 3600);
}

#[test]
fn a_stalled_receiver_is_asked_rarely_and_isolated_more_and_more_rarely() {
    let mut case = Case::readings(8);
    case.progress.stall = Some(Stall { since: 0, status: 500, isolations: 1 });
    failing(&mut case, 5, 48);
    let settled = case.status(500);
    assert_eq!(settled.next, NextState::Ready, "four days, the second time");
    assert!(left_alone(&settled, now()) >= 3 * 3600);
    failing(&mut case, 5, 96);
    assert_eq!(case.status(500).next, apart(false));
    let accepted = case.entries(&["201"; 8]);
    assert_eq!(accepted.progress.stall, None, "it recovered");
}

#[test]
fn a_limit_on_units_widens_by_doubling_up_to_the_normal_one() {
    use super::entries::wider;
    assert_eq!(wider(Some(1), 500), Some(2));
    assert_eq!(wider(Some(249), 500), Some(498));
    assert_eq!(wider(Some(250), 500), None, "as much as without a limit");
    assert_eq!(wider(None, 500), None);
}
