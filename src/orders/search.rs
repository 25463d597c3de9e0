//! Reads one page of a receiver's orders: a searchset Bundle of `ServiceRequest`s.
//!
//! Receivers promise to search by patient and code only, so everything else is looked at here.
//! Requests that are no standing orders of ours (laboratory orders, referrals) are none of our
//! business and pass without a word.

use super::order::{MAX_SCHEDULES, OrderError, OrderStatus, RefusedOrder, Schedule, StandingOrder};
use super::period::{PeriodError, TimeUnit, UcumPeriod};
use super::request::{Extension, ServiceRequest, read_profiles};
use crate::fhir::{Elements, Json, MAX_BYTES, PatientId, STANDING_ORDER, lenient, next_page};
use serde::Deserialize;
use std::fmt;
use url::Url;

/// Entries, and links, of one page.
const MAX_ENTRIES: usize = 1_000;

const UCUM: &str = "http://unitsofmeasure.org";

/// Why a page of orders cannot be used. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderSearchError {
    /// Another resource than a Bundle, or none.
    #[error("the receiver's answer to the search for orders is not a Bundle")]
    NotABundle,
    /// A Bundle that is no search result.
    #[error("the receiver's answer to the search for orders is not of type searchset")]
    WrongType,
    /// More entries or links than anybody means.
    #[error("the receiver's page of orders has more than {MAX_ENTRIES} entries or links")]
    TooMany,
    /// The next page is at another place. Following it would show the token to a stranger; leaving
    /// it would lose orders.
    #[error("the receiver's next page of orders is not on the receiver's own server")]
    NextElsewhere,
    /// Larger than is read.
    #[error("the receiver's page of orders is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not JSON.
    #[error("the receiver's page of orders is not JSON")]
    Unparsable,
}

/// One page of orders.
#[derive(Clone, PartialEq, Eq)]
pub struct OrderSearch {
    /// The orders, whatever their status.
    pub orders: Vec<StandingOrder>,
    /// What is not followed, and why.
    pub refused: Vec<RefusedOrder>,
    /// Where the next page is.
    pub next: Option<Url>,
}

/// Says how many, and not where the next page is: its URL may name the patient.
impl fmt::Debug for OrderSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderSearch")
            .field("orders", &self.orders.len())
            .field("refused", &self.refused)
            .field("next", &self.next.is_some())
            .finish()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(default, deserialize_with = "lenient")]
    resource_type: String,
    #[serde(default, deserialize_with = "lenient")]
    r#type: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    link: Elements<'a>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    entry: Elements<'a>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(default, borrow)]
    resource: Option<Json<'a>>,
}

#[derive(Deserialize)]
struct Quantity<'a> {
    #[serde(default, borrow)]
    value: Option<Json<'a>>,
    #[serde(default, borrow)]
    comparator: Option<Json<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    system: String,
    #[serde(default, deserialize_with = "lenient")]
    code: String,
}

/// Reads a page of the orders for `patient` at the receiver whose FHIR base is `base`.
///
/// # Errors
/// [`OrderSearchError`]. An order that cannot be followed is no error but [`OrderSearch::refused`].
pub fn parse_order_search(
    body: &[u8],
    base: &Url,
    patient: &PatientId,
) -> Result<OrderSearch, OrderSearchError> {
    if body.len() > MAX_BYTES {
        return Err(OrderSearchError::TooLarge);
    }
    let raw: Json<'_> = serde_json::from_slice(body).map_err(|_| OrderSearchError::Unparsable)?;
    let page: Page<'_> =
        serde_json::from_str(raw.get()).map_err(|_| OrderSearchError::NotABundle)?;
    if page.resource_type != "Bundle" {
        return Err(OrderSearchError::NotABundle);
    }
    if page.r#type != "searchset" {
        return Err(OrderSearchError::WrongType);
    }
    if page.entry.count.max(page.link.count) > MAX_ENTRIES {
        return Err(OrderSearchError::TooMany);
    }
    let next = next_page(&page.link, base).map_err(|_| OrderSearchError::NextElsewhere)?;
    let mut found = OrderSearch { orders: Vec::new(), refused: Vec::new(), next };
    for entry in page.entry.kept {
        let resource =
            serde_json::from_str::<Entry<'_>>(entry.get()).ok().and_then(|entry| entry.resource);
        if let Some(resource) = resource {
            read_order(resource, base, patient, &mut found);
        }
    }
    Ok(found)
}

fn read_order(resource: Json<'_>, base: &Url, patient: &PatientId, found: &mut OrderSearch) {
    let Ok(request) = serde_json::from_str::<ServiceRequest<'_>>(resource.get()) else {
        found.refused.push(RefusedOrder {
            id: None,
            schedule: None,
            reason: OrderError::Unreadable,
        });
        return;
    };
    if !request.is_service_request() || !request.has_code(STANDING_ORDER) {
        return;
    }
    let id = request.id();
    let mut refuse =
        |schedule, reason| found.refused.push(RefusedOrder { id: id.clone(), schedule, reason });
    if let Err(reason) = request.check(base, patient) {
        return refuse(None, reason);
    }
    let Some(order) = id.clone() else { return refuse(None, OrderError::Id) };
    let stated = match request.extensions("data-submission-schedule") {
        Ok(stated) if stated.len() <= MAX_SCHEDULES => stated,
        Ok(_) => return refuse(None, OrderError::TooMany),
        Err(reason) => return refuse(None, reason),
    };
    let status = OrderStatus::from_code(&request.status);
    let mut schedules = Vec::new();
    for (index, extension) in stated.into_iter().enumerate() {
        match read_schedule(&extension) {
            Ok(schedule) => schedules.push(schedule),
            // Nobody needs to know what is wrong with an order that is over.
            Err(_) if status != OrderStatus::Active => {}
            Err(reason) => refuse(Some(index), reason),
        }
    }
    found.orders.push(StandingOrder { id: order, status, schedules });
}

fn read_schedule(extension: &Extension<'_>) -> Result<Schedule, OrderError> {
    let parts = extension.parts()?;
    let quantity = |url: &str| {
        parts.iter().find(|part| part.url == url).map(|part| read_period(part.value_quantity))
    };
    let period = quantity("submissionPeriod")
        .unwrap_or(Err(PeriodError::Missing))
        .map_err(OrderError::Period)?;
    let lookback = quantity("lookbackPeriod").transpose().map_err(OrderError::Lookback)?;
    let (content, unknown_profiles) = read_profiles(&parts)?;
    Ok(Schedule { period, lookback, content, unknown_profiles })
}

fn read_period(quantity: Option<Json<'_>>) -> Result<UcumPeriod, PeriodError> {
    let quantity = quantity.ok_or(PeriodError::Missing)?;
    let quantity: Quantity<'_> =
        serde_json::from_str(quantity.get()).map_err(|_| PeriodError::Missing)?;
    let value = quantity.value.ok_or(PeriodError::Missing)?;
    if quantity.comparator.is_some() {
        return Err(PeriodError::Unreadable);
    }
    let in_ucum = quantity.system.is_empty() || quantity.system == UCUM;
    let unit = TimeUnit::from_ucum(&quantity.code).filter(|_| in_ucum).ok_or(PeriodError::Unit)?;
    UcumPeriod::new(value.get(), unit)
}

#[cfg(test)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "json! makes values, and tests read better without borrowing them"
)]
mod tests {
    use super::super::content::Content;
    use super::*;
    use crate::fhir::{CGM_CODE_SYSTEM, PROFILE_BASE};
    use crate::glucose::GlucoseUnit;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn base() -> Url {
        Url::parse("https://ehr.example/fhir").unwrap()
    }

    fn search(body: &Value) -> Result<OrderSearch, OrderSearchError> {
        parse_order_search(body.to_string().as_bytes(), &base(), &PatientId::new("p-1").unwrap())
    }

    fn page(resources: &[Value]) -> Value {
        let entries: Vec<_> =
            resources.iter().map(|resource| json!({"resource": resource})).collect();
        json!({"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": entries})
    }

    fn found(resource: Value) -> OrderSearch {
        search(&page(&[resource])).unwrap()
    }

    fn schedule(parts: Value) -> Value {
        json!({"url": format!("{PROFILE_BASE}data-submission-schedule"), "extension": parts})
    }

    fn quantity(url: &str, quantity: Value) -> Value {
        json!({"url": url, "valueQuantity": quantity})
    }

    fn profile(name: &str) -> Value {
        json!({"url": "submissionDataProfile", "valueCanonical": format!("{PROFILE_BASE}{name}")})
    }

    fn fortnightly() -> Value {
        quantity(
            "submissionPeriod",
            json!({"value": 2, "unit": "week", "system": UCUM, "code": "wk"}),
        )
    }

    fn order(extensions: Value) -> Value {
        json!({
            "resourceType": "ServiceRequest", "id": "o-1", "status": "active", "intent": "order",
            "code": {"coding": [{"system": CGM_CODE_SYSTEM, "code": STANDING_ORDER}]},
            "subject": {"reference": "Patient/p-1"}, "extension": extensions,
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut order = order(json!([schedule(json!([fortnightly(), profile("cgm-summary")]))]));
        order[field] = value;
        order
    }

    fn reason(resource: Value) -> Option<OrderError> {
        let found = found(resource);
        assert!(
            found.orders.is_empty()
                || found.refused.is_empty()
                || found.refused[0].schedule.is_some()
        );
        found.refused.first().map(|refused| refused.reason)
    }

    #[test]
    fn the_guides_example_is_followed() {
        let folder = std::env::var("CGM_IG_DIR")
            .unwrap_or_else(|_| "../shared/ig/hl7.fhir.uv.cgm-1.0.0".into());
        let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join(folder)
            .join("ServiceRequest-cgmDataSubmissionStandingOrderExample.json");
        let example: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let body = page(&[example]).to_string();
        let patient = PatientId::new("patientExample").unwrap();
        let found = parse_order_search(body.as_bytes(), &base(), &patient).unwrap();
        assert_eq!((found.refused.len(), found.next), (0, None));
        let [order] = found.orders.as_slice() else { panic!("one order") };
        assert!(order.runs());
        let [schedule] = order.schedules.as_slice() else { panic!("one schedule") };
        assert_eq!((schedule.period.to_string().as_str(), schedule.lookback), ("2 wk", None));
        assert_eq!(schedule.content, [Content::Summary, Content::SummaryPdf]);
    }

    #[test]
    fn every_profile_of_the_guide_is_known_with_or_without_version() {
        let all: Vec<_> = Content::ALL
            .iter()
            .map(|content| profile(&format!("{}|1.0.0", content.profile())))
            .collect();
        let mut parts =
            vec![fortnightly(), quantity("lookbackPeriod", json!({"value": 0.50, "code": "mo"}))];
        parts.extend(all);
        parts.push(profile("cgm-summary"));
        parts.push(
            json!({"url": "submissionDataProfile", "valueCanonical": "http://example.org/new|2"}),
        );
        let found = found(order(json!([schedule(json!(parts))])));
        let schedule = &found.orders[0].schedules[0];
        assert_eq!(schedule.content, Content::ALL);
        assert_eq!(schedule.unknown_profiles, ["http://example.org/new|2"]);
        assert_eq!(schedule.lookback.unwrap().to_string(), "0.5 mo");
    }

    #[test]
    fn one_bad_schedule_does_not_stop_the_others() {
        let good = schedule(json!([fortnightly(), profile("cgm-sensor-reading-mass-per-volume")]));
        let bad = |parts: Value| {
            let found = found(order(json!([schedule(parts), good])));
            assert_eq!(
                found.orders[0].schedules[0].content,
                [Content::Readings(GlucoseUnit::MgPerDl)]
            );
            assert_eq!((found.refused.len(), found.refused[0].schedule), (1, Some(0)));
            assert_eq!(found.refused[0].id, Some(found.orders[0].id.clone()));
            found.refused[0].reason
        };
        let every = |value: Value| {
            bad(json!([quantity("submissionPeriod", value), profile("cgm-summary")]))
        };
        assert_eq!(bad(json!([profile("cgm-summary")])), OrderError::Period(PeriodError::Missing));
        assert_eq!(every(json!({"code": "wk"})), OrderError::Period(PeriodError::Missing));
        assert_eq!(
            every(json!({"value": 0, "code": "wk"})),
            OrderError::Period(PeriodError::NotPositive)
        );
        assert_eq!(
            every(json!({"value": -1.5, "code": "d"})),
            OrderError::Period(PeriodError::NotPositive)
        );
        assert_eq!(
            every(json!({"value": "2", "code": "d"})),
            OrderError::Period(PeriodError::Unreadable)
        );
        assert_eq!(
            every(json!({"value": 2, "comparator": "<", "code": "d"})),
            OrderError::Period(PeriodError::Unreadable)
        );
        assert_eq!(
            every(json!({"value": 2, "unit": "week"})),
            OrderError::Period(PeriodError::Unit)
        );
        assert_eq!(
            every(json!({"value": 2, "system": "http://x", "code": "d"})),
            OrderError::Period(PeriodError::Unit)
        );
        assert_eq!(bad(json!([fortnightly()])), OrderError::NoContent);
        let lookback = quantity("lookbackPeriod", json!({"value": 0, "code": "d"}));
        assert_eq!(
            bad(json!([fortnightly(), lookback, profile("cgm-summary")])),
            OrderError::Lookback(PeriodError::NotPositive)
        );
        assert_eq!(bad(json!("none")), OrderError::Unreadable);
        let many = vec![profile("cgm-summary"); 100];
        assert_eq!(bad(json!(many)), OrderError::TooMany);
    }

    #[test]
    fn an_order_that_is_over_is_listed_and_does_not_run() {
        for (code, status) in [
            ("revoked", OrderStatus::Revoked),
            ("completed", OrderStatus::Completed),
            ("on-hold", OrderStatus::OnHold),
            ("entered-in-error", OrderStatus::EnteredInError),
            ("draft", OrderStatus::Draft),
            ("unheard-of", OrderStatus::Unknown),
        ] {
            let found = found(with("status", json!(code)));
            assert_eq!((found.orders[0].status, found.orders[0].runs()), (status, false));
        }
        assert!(
            !found(order(json!([]))).orders[0].runs(),
            "without a schedule nothing is automatic"
        );
    }

    #[test]
    fn what_is_not_to_be_followed_is_refused_and_shown() {
        for (field, value, expected) in [
            ("subject", json!({"reference": "Patient/p-2"}), OrderError::OtherPatient),
            (
                "subject",
                json!({"reference": "https://other.example/fhir/Patient/p-1"}),
                OrderError::OtherPatient,
            ),
            ("subject", json!({"reference": "Group/p-1"}), OrderError::OtherPatient),
            ("subject", json!(null), OrderError::OtherPatient),
            ("intent", json!("plan"), OrderError::Intent),
            ("intent", json!(null), OrderError::Intent),
            ("doNotPerform", json!(true), OrderError::Modified),
            ("modifierExtension", json!([{"url": "http://x"}]), OrderError::Modified),
            ("implicitRules", json!("http://x"), OrderError::Modified),
            ("id", json!("a b"), OrderError::Id),
            ("extension", json!(vec![schedule(json!([])); 21]), OrderError::TooMany),
        ] {
            assert_eq!(reason(with(field, value.clone())), Some(expected), "{field} {value}");
        }
        for (field, value) in [
            ("subject", json!({"reference": "https://ehr.example/fhir/Patient/p-1"})),
            ("subject", json!({"reference": "Patient/p-1/_history/3"})),
            ("doNotPerform", json!(false)),
        ] {
            assert_eq!(reason(with(field, value.clone())), None, "{field} {value}");
        }
    }

    #[test]
    fn other_requests_are_none_of_our_business() {
        let other_code =
            with("code", json!({"coding": [{"system": "http://loinc.org", "code": "4548-4"}]}));
        let one_time = with(
            "code",
            json!({"coding": [{"system": CGM_CODE_SYSTEM, "code": "cgm-data-submission-one-time-order"}]}),
        );
        let outcome = json!({"resourceType": "OperationOutcome", "issue": []});
        let found = search(&page(&[other_code, one_time, outcome, json!({})])).unwrap();
        assert_eq!((found.orders.len(), found.refused.len()), (0, 0));
    }

    #[test]
    fn the_next_page_is_followed_on_the_receivers_own_server_only() {
        let next = |url: &str| {
            let mut page = page(&[]);
            page["link"] =
                json!([{"relation": "self", "url": "x"}, {"relation": "next", "url": url}]);
            search(&page).map(|found| found.next.map(String::from))
        };
        for (url, resolved) in [
            ("https://ehr.example/fhir?page=2", "https://ehr.example/fhir?page=2"),
            ("?page=2", "https://ehr.example/fhir/?page=2"),
            ("ServiceRequest?page=2", "https://ehr.example/fhir/ServiceRequest?page=2"),
            ("/other?page=2", "https://ehr.example/other?page=2"),
        ] {
            assert_eq!(next(url), Ok(Some(resolved.to_owned())));
        }
        for url in [
            "http://ehr.example/fhir?page=2",
            "https://ehr.example:8443/fhir",
            "https://ehr.example.evil/fhir",
            "//evil.example/fhir",
            "https://u:p@ehr.example/fhir",
            "file:///etc/passwd",
            "https://[",
        ] {
            assert_eq!(next(url), Err(OrderSearchError::NextElsewhere), "{url}");
        }
    }

    #[test]
    fn what_is_no_page_of_orders_is_an_error() {
        let parse = |body: &[u8]| {
            parse_order_search(body, &base(), &PatientId::new("p").unwrap()).unwrap_err()
        };
        assert_eq!(parse(b"<html>"), OrderSearchError::Unparsable);
        assert_eq!(parse(b"[]"), OrderSearchError::NotABundle);
        assert_eq!(parse(br#"{"resourceType":"OperationOutcome"}"#), OrderSearchError::NotABundle);
        assert_eq!(
            parse(br#"{"resourceType":"Bundle","type":"collection"}"#),
            OrderSearchError::WrongType
        );
        assert_eq!(parse(&vec![b' '; MAX_BYTES + 1]), OrderSearchError::TooLarge);
        assert_eq!(
            search(&page(&vec![json!({}); MAX_ENTRIES + 1])),
            Err(OrderSearchError::TooMany)
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_order_search(&bytes, &base(), &PatientId::new("p").unwrap());
        }

        #[test]
        fn a_damaged_page_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut body = page(&[with("x", json!(1))]).to_string().into_bytes();
            let at = at.index(body.len());
            body[at] = byte;
            let _ = parse_order_search(&body, &base(), &PatientId::new("p-1").unwrap());
        }
    }
}
