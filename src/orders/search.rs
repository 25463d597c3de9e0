//! Reads one page of a receiver's orders: a searchset Bundle of `ServiceRequest`s.
//!
//! Receivers promise to search by patient and code only, so everything else is looked at here. Requests that are no standing
//! orders of ours (laboratory orders, referrals) are none of our business and pass without a word.

use super::content::Content;
use super::order::{OrderError, OrderId, OrderStatus, RefusedOrder, Schedule, StandingOrder};
use super::period::{PeriodError, TimeUnit, UcumPeriod};
use crate::fhir::{
    CGM_CODE_SYSTEM, Elements, Json, Link, MAX_BYTES, PROFILE_BASE, PatientId, STANDING_ORDER, lenient, lenient_list,
    next_page,
};
use serde::Deserialize;
use url::Url;

/// Entries of one page.
const MAX_ENTRIES: usize = 1_000;
/// Schedules of an order.
const MAX_SCHEDULES: usize = 20;
/// Profiles of a schedule.
const MAX_PROFILES: usize = 50;
/// Bytes of a canonical that is shown to the person.
const MAX_CANONICAL: usize = 256;

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
    /// More entries than anybody means.
    #[error("the receiver's page of orders has more than {MAX_ENTRIES} entries")]
    TooMany,
    /// The next page is at another place. Following it would show the token to a stranger; leaving it would lose orders.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderSearch {
    /// The orders, whatever their status.
    pub orders: Vec<StandingOrder>,
    /// What is not followed, and why.
    pub refused: Vec<RefusedOrder>,
    /// Where the next page is.
    pub next: Option<Url>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(default, deserialize_with = "lenient")]
    resource_type: String,
    #[serde(default, deserialize_with = "lenient")]
    r#type: String,
    #[serde(default, deserialize_with = "lenient_list")]
    link: Vec<Link>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    entry: Elements<'a>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(default, borrow)]
    resource: Option<Json<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceRequest<'a> {
    #[serde(default, deserialize_with = "lenient")]
    resource_type: String,
    #[serde(default, deserialize_with = "lenient")]
    id: String,
    #[serde(default, deserialize_with = "lenient")]
    status: String,
    #[serde(default, deserialize_with = "lenient")]
    intent: String,
    #[serde(default, borrow)]
    do_not_perform: Option<Json<'a>>,
    #[serde(default, borrow)]
    modifier_extension: Option<Json<'a>>,
    #[serde(default, borrow)]
    implicit_rules: Option<Json<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    code: Code,
    #[serde(default, deserialize_with = "lenient")]
    subject: Subject,
    #[serde(default, borrow, deserialize_with = "lenient_list")]
    extension: Vec<Extension<'a>>,
}

#[derive(Default, Deserialize)]
struct Code {
    #[serde(default, deserialize_with = "lenient_list")]
    coding: Vec<Coding>,
}

#[derive(Deserialize)]
struct Coding {
    #[serde(default, deserialize_with = "lenient")]
    system: String,
    #[serde(default, deserialize_with = "lenient")]
    code: String,
}

#[derive(Default, Deserialize)]
struct Subject {
    #[serde(default, deserialize_with = "lenient")]
    reference: String,
}

/// An extension; those within a schedule are looked at only where the schedule is one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extension<'a> {
    #[serde(default, deserialize_with = "lenient")]
    url: String,
    #[serde(default, borrow)]
    extension: Option<Json<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(default, deserialize_with = "lenient")]
    url: String,
    #[serde(default, borrow)]
    value_quantity: Option<Json<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    value_canonical: String,
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
pub fn parse_order_search(body: &[u8], base: &Url, patient: &PatientId) -> Result<OrderSearch, OrderSearchError> {
    if body.len() > MAX_BYTES {
        return Err(OrderSearchError::TooLarge);
    }
    let raw: Json<'_> = serde_json::from_slice(body).map_err(|_| OrderSearchError::Unparsable)?;
    let page: Page<'_> = serde_json::from_str(raw.get()).map_err(|_| OrderSearchError::NotABundle)?;
    if page.resource_type != "Bundle" {
        return Err(OrderSearchError::NotABundle);
    }
    if page.r#type != "searchset" {
        return Err(OrderSearchError::WrongType);
    }
    if page.entry.count > MAX_ENTRIES {
        return Err(OrderSearchError::TooMany);
    }
    let next = next_page(&page.link, base).map_err(|_| OrderSearchError::NextElsewhere)?;
    let mut found = OrderSearch { orders: Vec::new(), refused: Vec::new(), next };
    for entry in page.entry.kept {
        let resource = serde_json::from_str::<Entry<'_>>(entry.get()).ok().and_then(|entry| entry.resource);
        if let Some(resource) = resource {
            read_order(resource, base, patient, &mut found);
        }
    }
    Ok(found)
}

fn read_order(resource: Json<'_>, base: &Url, patient: &PatientId, found: &mut OrderSearch) {
    let Ok(request) = serde_json::from_str::<ServiceRequest<'_>>(resource.get()) else {
        found.refused.push(RefusedOrder { id: None, schedule: None, reason: OrderError::Unreadable });
        return;
    };
    let ours = |coding: &Coding| coding.system == CGM_CODE_SYSTEM && coding.code == STANDING_ORDER;
    if request.resource_type != "ServiceRequest" || !request.code.coding.iter().any(ours) {
        return;
    }
    let id = OrderId::new(request.id.as_str()).ok();
    let mut refuse = |schedule, reason| found.refused.push(RefusedOrder { id: id.clone(), schedule, reason });
    if let Err(reason) = check(&request, base, patient) {
        return refuse(None, reason);
    }
    let Some(order) = id.clone() else { return refuse(None, OrderError::Id) };
    let is_schedule = |one: &&Extension<'_>| {
        one.url.strip_prefix(PROFILE_BASE).is_some_and(|name| name == "data-submission-schedule")
    };
    let stated: Vec<_> = request.extension.iter().filter(is_schedule).collect();
    if stated.len() > MAX_SCHEDULES {
        return refuse(None, OrderError::TooMany);
    }
    let status = OrderStatus::from_code(&request.status);
    let mut schedules = Vec::new();
    for (index, extension) in stated.into_iter().enumerate() {
        match read_schedule(extension) {
            Ok(schedule) => schedules.push(schedule),
            // Nobody needs to know what is wrong with an order that is over.
            Err(_) if status != OrderStatus::Active => {}
            Err(reason) => refuse(Some(index), reason),
        }
    }
    found.orders.push(StandingOrder { id: order, status, schedules });
}

fn check(request: &ServiceRequest<'_>, base: &Url, patient: &PatientId) -> Result<(), OrderError> {
    if !is_about(&request.subject.reference, base, patient) {
        return Err(OrderError::OtherPatient);
    }
    // FHIR: what has an unknown modifier must not be acted on.
    let forbidden = request.do_not_perform.is_some_and(|value| value.get() != "false");
    if forbidden || request.modifier_extension.is_some() || request.implicit_rules.is_some() {
        return Err(OrderError::Modified);
    }
    if request.intent != "order" {
        return Err(OrderError::Intent);
    }
    Ok(())
}

/// Whether a reference, relative or below the base, versioned or not, is to the patient.
fn is_about(reference: &str, base: &Url, patient: &PatientId) -> bool {
    let base = base.as_str().trim_end_matches('/');
    let relative = reference.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).unwrap_or(reference);
    let id = relative.strip_prefix("Patient/").and_then(|rest| rest.split("/_history/").next());
    id == Some(patient.as_str())
}

fn read_schedule(extension: &Extension<'_>) -> Result<Schedule, OrderError> {
    let parts: Elements<'_> =
        extension.extension.and_then(|raw| serde_json::from_str(raw.get()).ok()).ok_or(OrderError::Unreadable)?;
    if parts.count > MAX_PROFILES + 2 {
        return Err(OrderError::TooMany);
    }
    let parts: Vec<Part<'_>> = parts
        .kept
        .into_iter()
        .map(|part| serde_json::from_str(part.get()))
        .collect::<Result<_, _>>()
        .map_err(|_| OrderError::Unreadable)?;
    let quantity = |url: &str| parts.iter().find(|part| part.url == url).map(|part| read_period(part.value_quantity));
    let period = quantity("submissionPeriod").unwrap_or(Err(PeriodError::Missing)).map_err(OrderError::Period)?;
    let lookback = quantity("lookbackPeriod").transpose().map_err(OrderError::Lookback)?;
    let (mut content, mut unknown_profiles) = (Vec::new(), Vec::new());
    for part in parts.iter().filter(|part| part.url == "submissionDataProfile") {
        match Content::from_canonical(&part.value_canonical) {
            Some(known) if content.contains(&known) => {}
            Some(known) => content.push(known),
            None => unknown_profiles.push(shown(&part.value_canonical)),
        }
    }
    if content.is_empty() && unknown_profiles.is_empty() {
        return Err(OrderError::NoContent);
    }
    Ok(Schedule { period, lookback, content, unknown_profiles })
}

fn read_period(quantity: Option<Json<'_>>) -> Result<UcumPeriod, PeriodError> {
    let quantity = quantity.ok_or(PeriodError::Missing)?;
    let quantity: Quantity<'_> = serde_json::from_str(quantity.get()).map_err(|_| PeriodError::Missing)?;
    let value = quantity.value.ok_or(PeriodError::Missing)?;
    if quantity.comparator.is_some() {
        return Err(PeriodError::Unreadable);
    }
    let in_ucum = quantity.system.is_empty() || quantity.system == UCUM;
    let unit = TimeUnit::from_ucum(&quantity.code).filter(|_| in_ucum).ok_or(PeriodError::Unit)?;
    UcumPeriod::new(value.get(), unit)
}

/// A canonical as the person may see it.
fn shown(canonical: &str) -> String {
    canonical.chars().filter(|c| !c.is_control()).take(MAX_CANONICAL).collect()
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! makes values, and tests read better without borrowing them")]
mod tests {
    use super::*;
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
        let entries: Vec<_> = resources.iter().map(|resource| json!({"resource": resource})).collect();
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
        quantity("submissionPeriod", json!({"value": 2, "unit": "week", "system": UCUM, "code": "wk"}))
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
        assert!(found.orders.is_empty() || found.refused.is_empty() || found.refused[0].schedule.is_some());
        found.refused.first().map(|refused| refused.reason)
    }

    #[test]
    fn the_guides_example_is_followed() {
        let folder = std::env::var("CGM_IG_DIR").unwrap_or_else(|_| "../shared/ig/hl7.fhir.uv.cgm-1.0.0".into());
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
        let all: Vec<_> = Content::ALL.iter().map(|content| profile(&format!("{}|1.0.0", content.profile()))).collect();
        let mut parts = vec![fortnightly(), quantity("lookbackPeriod", json!({"value": 0.50, "code": "mo"}))];
        parts.extend(all);
        parts.push(profile("cgm-summary"));
        parts.push(json!({"url": "submissionDataProfile", "valueCanonical": "http://example.org/new|2"}));
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
            assert_eq!(found.orders[0].schedules[0].content, [Content::Readings(GlucoseUnit::MgPerDl)]);
            assert_eq!((found.refused.len(), found.refused[0].schedule), (1, Some(0)));
            assert_eq!(found.refused[0].id, Some(found.orders[0].id.clone()));
            found.refused[0].reason
        };
        let every = |value: Value| bad(json!([quantity("submissionPeriod", value), profile("cgm-summary")]));
        assert_eq!(bad(json!([profile("cgm-summary")])), OrderError::Period(PeriodError::Missing));
        assert_eq!(every(json!({"code": "wk"})), OrderError::Period(PeriodError::Missing));
        assert_eq!(every(json!({"value": 0, "code": "wk"})), OrderError::Period(PeriodError::NotPositive));
        assert_eq!(every(json!({"value": -1.5, "code": "d"})), OrderError::Period(PeriodError::NotPositive));
        assert_eq!(every(json!({"value": "2", "code": "d"})), OrderError::Period(PeriodError::Unreadable));
        assert_eq!(
            every(json!({"value": 2, "comparator": "<", "code": "d"})),
            OrderError::Period(PeriodError::Unreadable)
        );
        assert_eq!(every(json!({"value": 2, "unit": "week"})), OrderError::Period(PeriodError::Unit));
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
        assert!(!found(order(json!([]))).orders[0].runs(), "without a schedule nothing is automatic");
    }

    #[test]
    fn what_is_not_to_be_followed_is_refused_and_shown() {
        for (field, value, expected) in [
            ("subject", json!({"reference": "Patient/p-2"}), OrderError::OtherPatient),
            ("subject", json!({"reference": "https://other.example/fhir/Patient/p-1"}), OrderError::OtherPatient),
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
        let other_code = with("code", json!({"coding": [{"system": "http://loinc.org", "code": "4548-4"}]}));
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
            page["link"] = json!([{"relation": "self", "url": "x"}, {"relation": "next", "url": url}]);
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
        let parse = |body: &[u8]| parse_order_search(body, &base(), &PatientId::new("p").unwrap()).unwrap_err();
        assert_eq!(parse(b"<html>"), OrderSearchError::Unparsable);
        assert_eq!(parse(b"[]"), OrderSearchError::NotABundle);
        assert_eq!(parse(br#"{"resourceType":"OperationOutcome"}"#), OrderSearchError::NotABundle);
        assert_eq!(parse(br#"{"resourceType":"Bundle","type":"collection"}"#), OrderSearchError::WrongType);
        assert_eq!(parse(&vec![b' '; MAX_BYTES + 1]), OrderSearchError::TooLarge);
        assert_eq!(search(&page(&vec![json!({}); MAX_ENTRIES + 1])), Err(OrderSearchError::TooMany));
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
