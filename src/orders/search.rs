//! Reads one page of a receiver's orders: a searchset Bundle of `ServiceRequest`s.
//!
//! Receivers promise to search by patient and code only, so everything else is looked at here.

use super::order::{OrderId, RefusedOrder, StandingOrder};
use super::read::read_order;
use crate::fhir::{OrderVocabulary, PatientId, SearchError, parse_search_page};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fmt::Write as _;
use url::Url;

/// One page of orders.
#[derive(Clone, PartialEq, Eq)]
pub struct OrderSearch {
    /// The orders, whatever their status.
    pub orders: Vec<StandingOrder>,
    /// What is not followed, and why.
    pub refused: Vec<RefusedOrder>,
    /// Every resource that looks like an order for glucose data, followed or not.
    pub sources: Vec<OrderSource>,
    /// Whether the receiver said that the search failed in part: there may be more orders.
    pub failed: bool,
    /// Where the next page is; `None` if this is the last.
    pub next: Option<Url>,
}

/// A resource that looks like an order for glucose data, as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct OrderSource {
    /// Its id; `None` if it has no valid one.
    pub id: Option<OrderId>,
    /// The JSON.
    pub json: String,
}

impl OrderSource {
    /// What it is kept under: its id, or a digest of it if it has no valid one.
    pub fn key(&self) -> String {
        self.id.as_ref().map_or_else(
            || {
                let mut key = "sha256:".to_owned();
                for byte in Sha256::digest(&self.json) {
                    let _ = write!(key, "{byte:02x}");
                }
                key
            },
            |id| id.as_str().to_owned(),
        )
    }
}

/// Hides it: it is the person's.
impl fmt::Debug for OrderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrderSource(…)")
    }
}

/// Says how many, and not where the next page is: its URL may name the patient.
impl fmt::Debug for OrderSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderSearch")
            .field("orders", &self.orders.len())
            .field("refused", &self.refused)
            .field("next", &self.next.is_some())
            .finish_non_exhaustive()
    }
}

/// Reads a page of the orders for `patient` at the receiver whose FHIR base is `base` and whose
/// orders have these words.
///
/// # Errors
/// [`SearchError`]. An order that cannot be followed is no error but [`OrderSearch::refused`].
pub fn parse_order_search(
    body: &[u8],
    words: &OrderVocabulary,
    base: &Url,
    patient: &PatientId,
) -> Result<OrderSearch, SearchError> {
    let page = parse_search_page(body, base)?;
    let mut found = OrderSearch {
        orders: Vec::new(),
        refused: Vec::new(),
        sources: Vec::new(),
        failed: page.failed,
        next: page.next,
    };
    for resource in page.matches {
        let Some(read) = read_order(resource.get(), words, base, patient) else { continue };
        found.orders.extend(read.order);
        found.refused.extend(read.refused);
        found.sources.push(OrderSource { id: read.id, json: resource.get().to_owned() });
    }
    Ok(found)
}

#[cfg(test)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "json! makes values, and tests read better without borrowing them"
)]
mod tests {
    use super::super::content::Content;
    use super::super::error::{OrderError, OrderStatus};
    use super::super::period::PeriodError;
    use super::*;
    use crate::fhir::{CGM_CODE_SYSTEM, PROFILE_BASE, STANDING_ORDER};
    use crate::glucose::GlucoseUnit;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const UCUM: &str = "http://unitsofmeasure.org";

    fn base() -> Url {
        Url::parse("https://ehr.example/fhir").unwrap()
    }

    fn today() -> chrono::NaiveDate {
        "2024-05-15".parse().unwrap()
    }

    fn search(body: &Value) -> Result<OrderSearch, SearchError> {
        parse_order_search(
            body.to_string().as_bytes(),
            &OrderVocabulary::HL7_CGM,
            &base(),
            &PatientId::new("p-1").unwrap(),
        )
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
        let found =
            parse_order_search(body.as_bytes(), &OrderVocabulary::HL7_CGM, &base(), &patient)
                .unwrap();
        assert_eq!((found.refused.len(), found.next), (0, None));
        let [order] = found.orders.as_slice() else { panic!("one order") };
        assert!(order.runs_on(today()));
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
        for unit in [json!({"value": 2, "system": 7, "code": "d"}), json!({"value": 2, "code": 7})]
        {
            assert_eq!(every(unit), OrderError::Period(PeriodError::Unit));
        }
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
            let mut over = order(json!([schedule(json!([])), schedule(json!([fortnightly()]))]));
            over["status"] = json!(code);
            let found = found(over);
            assert_eq!(found.orders[0].status, status);
            let reason = OrderError::NotActive(status);
            assert_eq!(found.orders[0].check_on(today()), Err(reason));
            // What is wrong with the schedules of an order that is over is nobody's business.
            let said: Vec<_> = found.refused.iter().map(|one| (one.schedule, one.reason)).collect();
            assert_eq!(said, [(None, reason)], "{code}");
        }
        let bare = found(order(json!([])));
        assert!(!bare.orders[0].runs_on(today()), "without a schedule nothing is automatic");
        assert_eq!(bare.refused[0].reason, OrderError::NoSchedule);
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
            ("subject", json!({"reference": 7}), OrderError::OtherPatient),
            (
                "subject",
                json!({"identifier": {"system": "urn:x", "value": "7"}}),
                OrderError::SubjectByIdentifier,
            ),
            ("subject", json!({"display": "Amy"}), OrderError::NoSubject),
            ("subject", json!(null), OrderError::NoSubject),
            ("occurrencePeriod", json!({"end": "soon"}), OrderError::Occurrence),
            ("occurrencePeriod", json!({}), OrderError::Occurrence),
            ("occurrenceDateTime", json!("2020-01-01"), OrderError::Occurrence),
            ("occurrenceTiming", json!({}), OrderError::Occurrence),
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
            ("subject", json!({"reference": "Patient/p-1", "identifier": {"value": "7"}})),
            ("occurrencePeriod", json!({"start": "2024-05-01", "end": "2024-05-15"})),
            ("doNotPerform", json!(false)),
        ] {
            assert_eq!(reason(with(field, value.clone())), None, "{field} {value}");
        }
    }

    #[test]
    fn other_requests_are_none_of_our_business() {
        let other_code =
            with("code", json!({"coding": [{"system": "http://loinc.org", "code": "4548-4"}]}));
        let mut other_code = other_code;
        other_code["extension"] = json!([{"url": "http://example.org/other"}]);
        other_code["meta"] = json!({"profile": ["http://hl7.org/fhir/us/core/x|1"]});
        let outcome = json!({"resourceType": "OperationOutcome", "issue": []});
        let found = search(&page(&[other_code, outcome, json!({})])).unwrap();
        assert_eq!((found.orders.len(), found.refused.len(), found.sources.len()), (0, 0, 0));
    }

    #[test]
    fn what_looks_like_a_submission_order_and_is_none_that_is_followed_is_reported() {
        let coded = |system: &str, code: &str| {
            with("code", json!({"coding": [{"system": system, "code": code}]}))
        };
        let other = |field: &str, value: Value| {
            let mut order = order(json!([]));
            order["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "4548-4"}]});
            order[field] = value;
            order
        };
        let draft = "http://argo.run/cgm/StructureDefinition";
        let claims = |profile: String| other("meta", json!({"profile": [profile]}));
        let extended = |url: String| other("extension", json!([{"url": url}]));
        for (resource, reason) in [
            (coded(CGM_CODE_SYSTEM, crate::fhir::ONE_TIME_ORDER), OrderError::OneTime),
            (coded("", STANDING_ORDER), OrderError::Code),
            (coded("http://example.org", "cgm-submission-order"), OrderError::Code),
            (
                coded("http://argo.run/cgm/CodeSystem/cgm", "cgm-submission-order"),
                OrderError::OtherGuide,
            ),
            (with("code", json!({"text": "CGM data"})), OrderError::Code),
            (extended(format!("{PROFILE_BASE}data-submission-schedule")), OrderError::Code),
            (extended(format!("{PROFILE_BASE}data-submission-one-time-spec")), OrderError::Code),
            (extended(format!("{draft}/data-submission-schedule")), OrderError::OtherGuide),
            (claims(format!("{PROFILE_BASE}{STANDING_ORDER}|1.0.0")), OrderError::Code),
            (claims(format!("{draft}/{STANDING_ORDER}")), OrderError::OtherGuide),
        ] {
            let found = found(resource.clone());
            let said: Vec<_> = found.refused.iter().map(|one| (one.schedule, one.reason)).collect();
            assert_eq!((found.orders.len(), said), (0, vec![(None, reason)]), "{resource}");
            assert_eq!(found.refused[0].id.as_ref().unwrap().as_str(), "o-1");
            assert_eq!(found.sources.len(), 1, "it is kept");
        }
    }

    #[test]
    fn what_can_be_said_once_is_not_taken_when_it_is_said_twice() {
        let lookback = || quantity("lookbackPeriod", json!({"value": 3, "code": "d"}));
        let of = |parts: Value| reason(order(json!([schedule(parts)])));
        let summary = || profile("cgm-summary");
        assert_eq!(
            of(json!([fortnightly(), fortnightly(), summary()])),
            Some(OrderError::Twice("submissionPeriod"))
        );
        assert_eq!(
            of(json!([fortnightly(), lookback(), lookback(), summary()])),
            Some(OrderError::Twice("lookbackPeriod"))
        );
        for nameless in [
            json!({"url": "submissionDataProfile"}),
            json!({"url": "submissionDataProfile", "valueCanonical": " "}),
            json!({
                "url": "submissionDataProfile",
                "valueUri": format!("{PROFILE_BASE}cgm-summary"),
            }),
        ] {
            assert_eq!(
                of(json!([fortnightly(), summary(), nameless])),
                Some(OrderError::NoCanonical)
            );
        }
        let draft =
            json!({"url": "http://argo.run/cgm/StructureDefinition/data-submission-schedule"});
        let good = schedule(json!([fortnightly(), summary()]));
        let found = found(order(json!([good, draft])));
        assert_eq!(found.orders[0].schedules.len(), 1);
        let said = &found.refused[0];
        assert_eq!((said.schedule, said.reason), (Some(1), OrderError::OtherGuide));
    }

    #[test]
    fn an_order_does_not_run_outside_the_time_in_which_it_applies() {
        for (period, expected) in [
            (json!({"start": "2020", "end": "2023-12-31"}), Err(OrderError::Over)),
            (json!({"end": "2024-05-14T23:00:00Z"}), Err(OrderError::Over)),
            (json!({"end": "2024-05-15"}), Ok(())),
            (json!({"start": "2024-05-16"}), Err(OrderError::NotYet)),
        ] {
            let found = found(with("occurrencePeriod", period.clone()));
            assert_eq!(found.orders[0].check_on(today()), expected, "{period}");
            assert_eq!(found.refused, [], "it is told by the day");
        }
    }

    #[test]
    fn every_order_is_given_as_it_came_under_a_key_of_its_own() {
        let good = with("note", json!([{"text": "  as  it came "}]));
        let nameless = with("id", json!("a b"));
        let found = search(&page(&[good.clone(), nameless, json!(7)])).unwrap();
        assert_eq!(found.sources[0].json, good.to_string());
        let keys: Vec<String> = found.sources.iter().map(OrderSource::key).collect();
        assert_eq!(keys[0], "o-1");
        assert!(keys[1].starts_with("sha256:") && keys[1].len() == 71 && keys[1] != keys[2]);
        assert!(!format!("{found:?} {:?}", found.sources).contains("came"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let patient = PatientId::new("p").unwrap();
            let _ = parse_order_search(&bytes, &OrderVocabulary::HL7_CGM, &base(), &patient);
        }

        #[test]
        fn a_damaged_page_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut body = page(&[with("x", json!(1))]).to_string().into_bytes();
            let at = at.index(body.len());
            body[at] = byte;
            let patient = PatientId::new("p-1").unwrap();
            let _ = parse_order_search(&body, &OrderVocabulary::HL7_CGM, &base(), &patient);
        }
    }
}
