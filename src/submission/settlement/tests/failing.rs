//! A receiver that fails again and again: bisecting, isolating, stalling, and limits on the way.

use super::*;
use crate::submission::settlement::entries::wider;
use crate::submission::{Failing, Isolation, Stall};

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
    assert_eq!(wider(Some(1), 500), Some(2));
    assert_eq!(wider(Some(249), 500), Some(498));
    assert_eq!(wider(Some(250), 500), None, "as much as without a limit");
    assert_eq!(wider(None, 500), None);
}

#[test]
fn only_a_500_is_counted_towards_isolating() {
    let mut case = Case::readings(8);
    let since = (now() - TimeDelta::days(30)).timestamp();
    case.batch.attempts.failing = Some(Failing { status: 503, count: 99, since });
    let settled = case.status(503);
    assert_eq!((settled.attempts.failing, settled.progress.isolation), (None, None));
}
