//! Orders: a page of standing orders, and a one-time order.

use super::{is_showable, quotes_nothing, shows_nothing};
use cgm_submitter::fhir::{OrderVocabulary, PatientId};
use cgm_submitter::orders::{
    Content, OneTimeOrder, OrderId, StandingOrder, parse_one_time_order, parse_order_search,
};
use chrono::{Datelike, NaiveDate};
use std::sync::LazyLock;
use url::Url;

static BASE: LazyLock<Url> = LazyLock::new(|| Url::parse("https://ehr.example/fhir").unwrap());
static PATIENT: LazyLock<PatientId> = LazyLock::new(|| PatientId::new("p-1").unwrap());

/// Orders are bounded, ask for dates of this world, and come back from the store as they were.
pub(super) fn search(data: &[u8]) {
    let found = match parse_order_search(data, &OrderVocabulary::HL7_CGM, &BASE, &PATIENT) {
        Ok(found) => found,
        Err(error) => return quotes_nothing(&error),
    };
    shows_nothing(&found);
    if let Some(next) = &found.next {
        assert_eq!(next.origin(), BASE.origin());
        assert!(next.username().is_empty() && next.password().is_none());
    }
    assert!(found.orders.len() <= found.sources.len() && found.sources.len() <= 2_000);
    assert!(found.refused.len() <= 2_000 * 21);
    for refused in &found.refused {
        quotes_nothing(&refused.reason);
    }
    let today = NaiveDate::from_ymd_opt(2024, 5, 15).unwrap();
    for order in &found.orders {
        assert!(OrderId::new(order.id.as_str()).is_ok());
        assert!(order.schedules.len() <= 20);
        for schedule in &order.schedules {
            check_content(&schedule.content, &schedule.unknown_profiles);
            let dates = schedule.lookback_dates(today, false);
            assert!((1..=36_600).contains(&dates.days()) && dates.last() < today);
        }
        let kept: StandingOrder =
            serde_json::from_str(&serde_json::to_string(order).unwrap()).expect("kept");
        assert_eq!(kept, *order);
    }
}

/// An order asks for known dates, and comes back from the store as it was.
pub(super) fn one_time(data: &[u8]) {
    let order = match parse_one_time_order(data, &OrderVocabulary::HL7_CGM, &BASE, &PATIENT) {
        Ok(order) => order,
        Err(error) => return quotes_nothing(&error),
    };
    assert!(OrderId::new(order.id.as_str()).is_ok());
    assert!(
        (1..=36_525).contains(&order.dates.days())
            && (1..=9_999).contains(&order.dates.first().year())
    );
    check_content(&order.content, &order.unknown_profiles);
    let kept: OneTimeOrder =
        serde_json::from_str(&serde_json::to_string(&order).unwrap()).expect("kept");
    assert_eq!(kept, order);
}

fn check_content(content: &[Content], unknown: &[String]) {
    assert!(
        content.len() <= Content::ALL.len()
            && unknown.len() <= 52
            && content.len() + unknown.len() > 0
    );
    assert!(
        content.iter().enumerate().all(|(at, one)| !content[..at].contains(one)),
        "a kind of data twice"
    );
    for canonical in unknown {
        is_showable(canonical, 256);
    }
}
