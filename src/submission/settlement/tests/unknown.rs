//! Outcomes nobody knows: lost and unreadable answers, looking up, and what was cancelled.

use super::*;
use crate::submission::LookedUp;

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
    settle_lookup(&case.at(), &LookedUp::Searched(Places(found)))
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
    let failed = LookedUp::Failed(None, Places::default());
    for _ in 1..2 * case.policy.failed_lookups {
        let settled = settle_lookup(&case.at(), &failed);
        assert!(matches!(settled.next, NextState::LookUp(..)), "all within a maintenance");
        assert!(left_alone(&settled, now()) > 0);
        case.then(settled);
    }
    let over = now() + case.policy.failed_lookups_over;
    assert_eq!(
        records(&settle_lookup(&Situation { now: over, ..case.at() }, &failed)),
        ["unknown"]
    );
    case.batch.attempts.failed_lookups = case.policy.failed_lookups - 2;
    let few = settle_lookup(&Situation { now: over, ..case.at() }, &failed);
    assert!(matches!(few.next, NextState::LookUp(..)), "a phone that was off for a day");
    let asked = settle_lookup(
        &Case::unguarded(1).at(),
        &LookedUp::Failed(Some(RetryAfter::Seconds(600)), Places::default()),
    );
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
        let mut sends = 1;
        loop {
            let settled = case.settle(&unreadable[0]);
            if settled.block == Some(BlockReason::Configuration) {
                return sends;
            }
            case.then(settled);
            sends += 1;
            assert!(sends < 100, "it is never blocked");
        }
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

#[test]
fn a_new_unknown_outcome_is_looked_up_from_the_start() {
    let mut case = Case::unguarded(1);
    (case.batch.attempts.lookups, case.batch.attempts.failed_lookups) = (2, 5);
    let settled = case.settle(&Answer::None(NoAnswer::Lost));
    assert_eq!((settled.attempts.lookups, settled.attempts.failed_lookups), (0, 0));
}

#[test]
fn unknown_outcomes_bring_a_batch_down_to_five_and_no_further() {
    for (count, smaller) in [(6, true), (5, false)] {
        let mut case = Case::readings(count);
        case.then(case.settle(&Answer::None(NoAnswer::Lost)));
        let settled = case.settle(&Answer::None(NoAnswer::Lost));
        assert_eq!(settled.next == apart(true), smaller, "{count}");
    }
}

#[test]
fn a_lookup_cut_by_our_own_deadline_keeps_what_it_found_and_counts_as_no_failure() {
    let places = |count| Places(vec![Some("Observation/1".to_owned()); count]);
    let mut case = Case::unguarded(4);
    case.batch.attempts.unknown = 1;
    case.then(settle_lookup(&case.at(), &LookedUp::Failed(None, places(1))));
    assert_eq!((case.batch.attempts.failed_lookups, &case.batch.looked_up), (1, &places(1)));
    case.receiver.wait = None;
    for _ in 0..20 {
        let cut = settle_lookup(&case.at(), &LookedUp::OutOfTime(places(1)));
        assert_eq!(cut.next, NextState::LookUp(Wait::NONE, WaitReason::LookUp));
        assert_eq!((cut.attempts.failed_lookups, cut.receiver.waits(now())), (1, None));
        case.then(cut);
    }
    let further = settle_lookup(&case.at(), &LookedUp::Failed(None, places(2)));
    assert_eq!(further.attempts.failed_lookups, 1, "it came further: the first of a new row");
    case.then(settle_lookup(&case.at(), &LookedUp::Searched(places(4))));
    assert_eq!(case.batch.looked_up, Places::default(), "the next one begins anew");
}

#[test]
fn a_failure_in_the_middle_of_the_work_is_an_unknown_outcome_where_things_could_be_doubled() {
    for status in [500, 503, 505, 507, 520, 599] {
        let mut case = Case::unguarded(2);
        assert_eq!(records(&case.status(status)), ["unknown", "unknown"], "{status}");
        case.searchable = true;
        let settled = case.status(status);
        assert!(matches!(settled.next, NextState::LookUp(..)), "{status}");
        assert!((1..70).contains(&left_alone(&settled, now())), "it was answered: no lease");
        assert_eq!(Case::readings(2).status(status).next, NextState::Ready, "{status}: guarded");
    }
    let wait = RetryAfter::Seconds(9);
    let unprocessed = [said(425, ""), said(429, ""), said(501, ""), said(511, "")];
    for answer in unprocessed.into_iter().chain([asked(503, wait, ""), asked(429, wait, "")]) {
        let settled = Case::unguarded(2).settle(&answer);
        assert_eq!((settled.next, settled.attempts.unknown), (NextState::Ready, 0), "{answer:?}");
    }
}

#[test]
fn an_outage_costs_a_receiver_that_cannot_be_searched_single_readings_more_and_more_rarely() {
    let (mut case, mut waits) = (Case::unguarded(500), Vec::new());
    for _ in 0..8 {
        let settled = case.status(500);
        assert_eq!(settled.progress.unit_limit, Some(1), "the next batch is one reading");
        waits.push(left_alone(&settled, now()));
        let progress = settled.progress;
        case = Case { progress, ..Case::unguarded(1) };
    }
    assert!(waits.windows(2).all(|pair| pair[1] >= 2 * pair[0] - 1), "{waits:?}");
}

#[test]
fn a_500_that_was_looked_up_in_vain_is_bisected_after_as_long_as_any_other() {
    use crate::submission::Failing;
    for (count, bisected) in [(6, true), (5, false)] {
        let mut case = Case::unguarded(8);
        case.searchable = true;
        (case.batch.attempts.unknown, case.batch.attempts.lookups) = (count, 1);
        let (since, last) = ((now() - TimeDelta::days(1)).timestamp(), now().timestamp());
        case.batch.attempts.failing = Some(Failing { status: 500, count, since, last });
        let settled = looked_up(&case, &[None; 8]);
        assert_eq!(settled.next == apart(true), bisected, "{count}");
        assert_eq!(settled.progress.stall.is_some(), bisected);
    }
}

#[test]
fn what_a_lookup_found_before_it_failed_for_good_is_there() {
    let places = Places(vec![Some("Observation/1".to_owned()), None]);
    let mut case = Case::unguarded(4);
    case.batch.attempts.unknown = 1;
    case.batch.attempts.failed_lookups = case.policy.failed_lookups - 1;
    case.batch.attempts.lookups_fail_since = Some(0);
    case.batch.looked_up = places.clone();
    for end in [LookedUp::Failed(None, places), LookedUp::Impossible] {
        let settled = settle_lookup(&case.at(), &end);
        assert_eq!(records(&settled), ["delivered", "unknown", "unknown", "unknown"], "{end:?}");
        assert_eq!(settled.progress.tally.readings.already_there, 1);
    }
}

#[test]
fn a_search_refused_also_after_a_new_authorisation_leaves_an_outcome_that_rests() {
    let mut case = Case::unguarded(1);
    case.batch.attempts.unknown = 1;
    for blocks in [true, false] {
        case.token_refreshed = false;
        let first = settle_lookup(&case.at(), &LookedUp::TokenRefused);
        assert!(first.refresh && first.block.is_none());
        case.token_refreshed = true;
        let again = settle_lookup(&case.at(), &LookedUp::TokenRefused);
        assert_eq!(again.block, blocks.then_some(BlockReason::Reauthorise));
        if blocks {
            assert!(matches!(again.next, NextState::LookUp(..)));
        } else {
            assert_eq!(records(&again), ["unknown"]);
        }
        case.then(again);
    }
}

#[test]
fn a_lookup_that_comes_no_further_asks_for_less_at_once() {
    let mut case = Case::unguarded(4);
    for stuck in 1..4 {
        let settled = settle_lookup(&case.at(), &LookedUp::OutOfTime(Places::default()));
        assert_eq!(settled.attempts.stuck_lookups, stuck);
        case.then(settled);
    }
    let further = LookedUp::OutOfTime(Places(vec![None]));
    assert_eq!(settle_lookup(&case.at(), &further).attempts.stuck_lookups, 0);
}

#[test]
fn a_late_answer_proves_what_is_stored_and_nothing_else() {
    let case = Case::readings(4);
    let late = |answer| settle_late(&case.batch, &answer);
    let entries = bundle(&["201@Observation/1", "422", "200", "200@Observation/2"]);
    let proved = late(said(200, &entries));
    let at = |place: &str| EntryRecord::Delivered { location: Some(place.to_owned()) };
    let nothing = EntryRecord::Deferred;
    assert_eq!(proved, [at("Observation/1"), nothing.clone(), nothing, at("Observation/2")]);
    for answer in [said(500, &entries), said(200, "<html>"), Answer::None(NoAnswer::Lost)] {
        assert!(late(answer).is_empty());
    }
}
