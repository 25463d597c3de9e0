//! A receiver that fails again and again: bisecting, isolating, stalling, and limits on the way.

use super::*;
use crate::submission::settlement::entries::wider;
use crate::submission::{Failing, Isolation, Stall, Suspect};

fn failing(case: &mut Case, count: u32, hours: i64) {
    let since = (case.now - TimeDelta::hours(hours)).timestamp();
    case.batch.attempts.failing = Some(Failing { status: 500, count, since, last: since });
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

/// A batch of two readings being taken apart, each in a request of its own.
fn apart_in_two() -> [Case; 2] {
    [0, 1].map(|place| {
        let mut case = Case::readings(2);
        case.batch.manifest.remove(1 - place);
        case.batch.position_after = Position::Readings(Some(i64::try_from(place).unwrap()));
        case.progress.isolation = Some(Isolation::of(Position::Readings(Some(1))));
        case
    })
}

/// How often the first of the two has failed right after the other was accepted, and its last
/// settlement, if the other is accepted `accepted` times, each `pause` before the failure after it.
fn tried(accepted: usize, passes: u32, pause: TimeDelta) -> Settlement {
    let [mut guilty, mut other] = apart_in_two();
    if let Some(isolation) = &mut guilty.progress.isolation {
        (isolation.accepted, isolation.passes) = (true, passes);
    }
    let mut settled = guilty.status(500);
    for _ in 0..accepted {
        (other.progress, other.now) = (settled.progress, guilty.now + TimeDelta::seconds(2));
        let taken = other.entries(&["201"]);
        assert_eq!(taken.progress.unit_limit, Some(1), "the one that failed is tried again alone");
        (guilty.progress, guilty.now) = (taken.progress, other.now + pause);
        settled = guilty.status(500);
    }
    settled
}

#[test]
fn a_unit_is_quarantined_only_if_others_were_accepted_between_its_failures_close_in_time() {
    let soon = TimeDelta::seconds(2);
    assert_eq!(records(&tried(3, 2, soon)), ["refused"]);
    for (accepted, passes, pause) in
        [(2, 2, soon), (3, 1, soon), (0, 9, soon), (3, 2, TimeDelta::minutes(20))]
    {
        let settled = tried(accepted, passes, pause);
        assert_eq!(settled.next, apart(false), "left for a later pass");
        assert!(settled.progress.deferred);
    }
}

#[test]
fn a_unit_that_fails_again_and_again_is_not_to_blame_with_nothing_accepted_between() {
    let [mut guilty, _] = apart_in_two();
    if let Some(isolation) = &mut guilty.progress.isolation {
        (isolation.accepted, isolation.passes) = (true, 2);
        isolation.accepted_at = Some((now() - TimeDelta::seconds(1)).timestamp());
    }
    for _ in 0..8 {
        let settled = guilty.status(500);
        assert_eq!(settled.next, apart(false), "left for a later pass");
        (guilty.progress, guilty.now) = (settled.progress, guilty.now + TimeDelta::seconds(2));
    }
}

#[test]
fn units_that_fail_one_after_another_are_left_for_later_with_waits_that_grow() {
    let (mut waits, [mut case, _]) = (Vec::new(), apart_in_two());
    if let Some(isolation) = &mut case.progress.isolation {
        (isolation.accepted, isolation.accepted_at) = (true, Some(now().timestamp()));
        isolation.until = Position::Readings(Some(99));
    }
    for key in 0..12 {
        case.batch.manifest[0].item = Item::Reading(key, 0, GlucoseUnit::MgPerDl);
        let settled = case.status(500);
        assert_eq!(settled.next, apart(false));
        waits.push((settled.progress.wait.ends(now()).unwrap() - now()).num_seconds());
        case.progress = settled.progress;
    }
    assert!(waits.windows(2).all(|pair| pair[1] >= 2 * pair[0]), "{waits:?}");
}

#[test]
fn units_that_all_fail_are_no_units_fault_and_what_lies_beyond_the_batch_is_no_part_of_it() {
    let mut case = Case::readings(1);
    let until = Position::Readings(Some(8));
    let item = Item::Reading(7, 0, GlucoseUnit::MgPerDl);
    let before = Position::Readings(Some(6));
    let failed_at = Some((now() - TimeDelta::minutes(1)).timestamp());
    let other = Suspect { item, before, failed_at, times: 0 };
    // What it took before says nothing of now.
    case.receiver.accepted_at = Some((now() - TimeDelta::hours(30)).timestamp());
    for (suspects, dropped) in [(vec![other], true), (Vec::new(), false)] {
        case.progress.isolation = Some(Isolation { failed: 2, suspects, ..Isolation::of(until) });
        let settled = case.status(500);
        assert_eq!(settled.progress.isolation.is_none(), dropped, "it fails whatever it is given");
        assert_eq!(
            left_alone(&settled, now()) >= 3 * 3600,
            dropped,
            "a lone one holds up no other"
        );
    }

    case.progress.isolation = Some(Isolation::of(Position::Readings(Some(-1))));
    let settled = case.status(500);
    assert_eq!(settled.next, NextState::Ready, "an outage, for all that is known");
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
    assert_eq!(wider(Some(1), 500), Some(2));
    assert_eq!(wider(Some(249), 500), Some(498));
    assert_eq!(wider(Some(250), 500), None, "as much as without a limit");
    assert_eq!(wider(None, 500), None);
}

#[test]
fn only_a_500_is_counted_towards_isolating() {
    let mut case = Case::readings(8);
    let since = (now() - TimeDelta::days(30)).timestamp();
    case.batch.attempts.failing = Some(Failing { status: 503, count: 99, since, last: since });
    let settled = case.status(503);
    assert_eq!((settled.attempts.failing, settled.progress.isolation), (None, None));
}

#[test]
fn a_redirect_is_waited_out_like_an_outage_and_told_of_as_configuration_only_if_it_lasts() {
    for status in [301, 302, 303, 307, 308] {
        let settled = Case::readings(8).status(status);
        assert_eq!((settled.next.clone(), settled.block), (NextState::Ready, None), "{status}");
        assert_eq!(settled.receiver.waits(now()).unwrap().1, WaitReason::Elsewhere);
        assert_eq!(settled.attempts.unknown, 0, "nothing was stored");
    }
    for (count, hours, lasts) in [(5, 24, true), (4, 24, false), (50, 23, false)] {
        let mut case = Case::readings(8);
        failing(&mut case, count, hours);
        case.batch.attempts.failing.as_mut().unwrap().status = 302;
        let settled = case.status(307);
        assert_eq!(settled.block == Some(BlockReason::Configuration), lasts, "{count} {hours}");
        assert_eq!(settled.receiver.points_elsewhere, lasts);
        assert_eq!(left_alone(&settled, now()) >= 3 * 3600, lasts, "asked rarely then");
    }
}

#[test]
fn the_lone_unit_of_a_submission_is_to_blame_once_others_were_accepted_between_its_failures() {
    for (accepted, refused) in [(true, true), (false, false)] {
        let mut case = Case::readings(1);
        case.progress.isolation = Some(Isolation::of(Position::Readings(Some(1))));
        let mut settled = case.status(500);
        for day in 1..=3 {
            case.now = now() + TimeDelta::days(day);
            case.progress = settled.progress;
            case.progress.isolation.get_or_insert(Isolation::of(Position::Readings(Some(1))));
            case.progress.start_pass(&case.policy, case.now);
            if accepted {
                let before = case.now - TimeDelta::seconds(2);
                case.receiver.accepted_at = Some(before.timestamp());
                let isolation = case.progress.isolation.as_ref().unwrap();
                let (at, now) = (case.receiver.accepted_at, case.now.timestamp());
                assert!(isolation.is_worth_a_try(&case.policy, at, now), "day {day}");
            }
            settled = case.status(500);
        }
        assert_eq!(matches!(settled.next, NextState::Done(_)), refused);
    }
}
