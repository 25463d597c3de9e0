//! What the status of a whole request comes to.

use super::*;

#[test]
fn a_requests_status_decides_what_happens_to_the_batch() {
    let again = [425, 429, 500, 501, 503, 507];
    let unknown = [408, 409, 502, 504];
    let blocked = [404, 405, 406, 410];
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
        case.progress.stopped.push(StoppedPart { part, for_consent: true, reason: String::new() });
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

#[test]
fn a_500_that_speaks_of_size_to_a_small_request_means_something_else() {
    for (count, halved) in [(50, true), (49, false)] {
        let settled = Case::readings(count).settle(&said(500, "too large"));
        assert_eq!(settled.progress.size_suspected, halved, "{count}");
        assert_eq!(settled.next == apart(false), halved, "{count}");
    }
}
