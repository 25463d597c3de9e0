//! Reads a one-time order: data over dates that the order itself gives, asked for once.
//!
//! How such an order reaches the app is between it and the clinic: a scanned code, a message, a
//! link. So it is looked at here as strictly as one from the receiver, and whatever is wrong with
//! it refuses the whole of it.

use super::content::Content;
use super::error::{OrderError, OrderStatus};
use super::occurrence::Occurrence;
use super::order::OrderId;
use super::request::{InnerExtension, ServiceRequest, read_profiles, single};
use crate::fhir::{Json, OrderVocabulary, PatientId, days_of, lenient};
use crate::glucose::DateRange;
use serde::{Deserialize, Serialize};
use url::Url;

/// Bytes of an order: a thousand times what one needs.
const MAX_BYTES: usize = 1 << 20;
/// A hundred years, as for how far back a standing order reaches.
const MAX_DAYS: i64 = 36_525;

/// Why a one-time order is not followed. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OneTimeOrderError {
    /// Larger than is read.
    #[error("the order is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not JSON.
    #[error("the order is not JSON")]
    Unparsable,
    /// Another resource, or another kind of order.
    #[error("this is not a one-time order for glucose data")]
    NotOneTime,
    /// Withdrawn, fulfilled, paused, or not yet in force.
    #[error("the order is not active: ask the clinic for a new one")]
    NotActive,
    /// What is wrong with any order can be wrong with this one.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// No dates, or only one of the two.
    #[error("the order does not say from when to when it wants data")]
    NoDates,
    /// Not dates as FHIR writes them.
    #[error("from when to when the order wants data cannot be read")]
    UnreadableDates,
    /// The end is before the start.
    #[error("the order wants data up to a date before its first")]
    EndBeforeStart,
    /// More than a hundred years.
    #[error("the order wants data of more than {MAX_DAYS} days")]
    TooLong,
}

/// What a clinic wants of a patient once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeOrder {
    /// Its id at the receiver.
    pub id: OrderId,
    /// The dates on which it applies: it must not be followed on others.
    #[serde(default)]
    pub occurrence: Occurrence,
    /// The local dates it wants data of, both included.
    pub dates: DateRange,
    /// What.
    pub content: Vec<Content>,
    /// Canonicals it names that we do not know: not sent, shown to the person.
    pub unknown_profiles: Vec<String>,
}

#[derive(Deserialize)]
struct Period {
    #[serde(default, deserialize_with = "lenient")]
    start: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    end: Option<String>,
}

/// Reads a one-time order for `patient` at the receiver whose FHIR base is `base` and whose orders
/// have these words.
///
/// Its dates are whole local days, both included. Of a month or a year all days count; of a time,
/// the day it falls on by the offset it is written with.
///
/// # Errors
/// [`OneTimeOrderError`]: nothing of such an order is followed.
pub fn parse_one_time_order(
    body: &[u8],
    words: &OrderVocabulary,
    base: &Url,
    patient: &PatientId,
) -> Result<OneTimeOrder, OneTimeOrderError> {
    if body.len() > MAX_BYTES {
        return Err(OneTimeOrderError::TooLarge);
    }
    let raw: Json<'_> = serde_json::from_slice(body).map_err(|_| OneTimeOrderError::Unparsable)?;
    let request: ServiceRequest<'_> =
        serde_json::from_str(raw.get()).map_err(|_| OrderError::Unreadable)?;
    if !request.is_service_request() || !request.has_code(words.system, words.one_time) {
        return Err(OneTimeOrderError::NotOneTime);
    }
    request.check(base, patient)?;
    let id = request.id().ok_or(OrderError::Id)?;
    if OrderStatus::from_code(&request.status) != OrderStatus::Active {
        return Err(OneTimeOrderError::NotActive);
    }
    let occurrence = request.occurrence()?;
    let specs = request.extensions(words.dates.extension)?;
    if specs.iter().any(|spec| !spec.is_of(words)) {
        return Err(OrderError::OtherGuide.into());
    }
    let [spec] = specs.as_slice() else {
        return Err(if specs.is_empty() {
            OneTimeOrderError::NoDates
        } else {
            OrderError::Unreadable.into()
        });
    };
    let parts = spec.parts()?;
    let dates = read_dates(&parts, words)?;
    let (content, unknown_profiles) = read_profiles(&parts, words)?;
    Ok(OneTimeOrder { id, occurrence, dates, content, unknown_profiles })
}

fn read_dates(
    parts: &[InnerExtension<'_>],
    words: &OrderVocabulary,
) -> Result<DateRange, OneTimeOrderError> {
    let stated =
        single(parts, words.dates.period).map_err(|_| OneTimeOrderError::UnreadableDates)?;
    let period = stated.and_then(|part| part.value_period).ok_or(OneTimeOrderError::NoDates)?;
    let period: Period =
        serde_json::from_str(period.get()).map_err(|_| OneTimeOrderError::UnreadableDates)?;
    let (start, end) = period.start.zip(period.end).ok_or(OneTimeOrderError::NoDates)?;
    let (first, _) = days_of(&start).ok_or(OneTimeOrderError::UnreadableDates)?;
    let (_, last) = days_of(&end).ok_or(OneTimeOrderError::UnreadableDates)?;
    let dates = DateRange::new(first, last).map_err(|_| OneTimeOrderError::EndBeforeStart)?;
    if dates.days() > MAX_DAYS { Err(OneTimeOrderError::TooLong) } else { Ok(dates) }
}

#[cfg(test)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "json! makes values, and tests read better without borrowing them"
)]
mod tests {
    use super::super::error::MAX_PROFILES;
    use super::*;
    use crate::fhir::{CGM_CODE_SYSTEM, ONE_TIME_ORDER, PROFILE_BASE, STANDING_ORDER};
    use crate::glucose::GlucoseUnit;
    use serde_json::{Value, json};

    fn parse(body: &Value) -> Result<OneTimeOrder, OneTimeOrderError> {
        let base = Url::parse("https://ehr.example/fhir").unwrap();
        parse_one_time_order(
            body.to_string().as_bytes(),
            &OrderVocabulary::HL7_CGM,
            &base,
            &PatientId::new("p-1").unwrap(),
        )
    }

    fn spec(parts: Value) -> Value {
        json!({"url": format!("{PROFILE_BASE}data-submission-one-time-spec"), "extension": parts})
    }

    fn period(start: Value, end: Value) -> Value {
        json!({"url": "timePeriod", "valuePeriod": {"start": start, "end": end}})
    }

    fn profile(name: &str) -> Value {
        json!({"url": "submissionDataProfile", "valueCanonical": format!("{PROFILE_BASE}{name}")})
    }

    fn may() -> Value {
        period(json!("2024-05-01"), json!("2024-05-14"))
    }

    fn order(parts: Value) -> Value {
        json!({
            "resourceType": "ServiceRequest", "id": "o-1", "status": "active", "intent": "order",
            "code": {"coding": [{"system": CGM_CODE_SYSTEM, "code": ONE_TIME_ORDER}]},
            "subject": {"reference": "Patient/p-1"}, "extension": [spec(parts)],
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut order = order(json!([may(), profile("cgm-summary")]));
        order[field] = value;
        order
    }

    fn dates(start: Value, end: Value) -> Result<String, OneTimeOrderError> {
        parse(&order(json!([period(start, end), profile("cgm-summary")])))
            .map(|order| order.dates.to_string())
    }

    #[test]
    fn the_guides_examples_are_followed() {
        let folder = std::env::var("CGM_IG_DIR")
            .unwrap_or_else(|_| "../shared/ig/hl7.fhir.uv.cgm-1.0.0".into());
        let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
        let base = Url::parse("https://ehr.example/fhir").unwrap();
        let patient = PatientId::new("patientExample").unwrap();
        for (name, dates, content) in [
            (
                "OneTimeOrderExample",
                "2024-01-01..2024-12-31",
                Content::Readings(GlucoseUnit::MgPerDl),
            ),
            ("OneTimeOrder30DayExample", "2024-12-17..2025-01-16", Content::Summary),
        ] {
            let path = folder.join(format!("ServiceRequest-cgmDataSubmission{name}.json"));
            let order = parse_one_time_order(
                &std::fs::read(path).unwrap(),
                &OrderVocabulary::HL7_CGM,
                &base,
                &patient,
            )
            .unwrap();
            assert_eq!(
                (order.dates.to_string().as_str(), order.content.as_slice()),
                (dates, &[content][..]),
                "{name}"
            );
            assert_eq!(
                (order.id.as_str(), order.unknown_profiles.len()),
                (&*format!("cgmDataSubmission{name}"), 0)
            );
        }
    }

    #[test]
    fn both_ends_belong_to_the_period_however_precise_they_are() {
        for (start, end, expected) in [
            ("2024-05-01", "2024-05-14", "2024-05-01..2024-05-14"),
            ("2024-05-01", "2024-05-01", "2024-05-01..2024-05-01"),
            ("2024", "2024", "2024-01-01..2024-12-31"),
            ("2024-01", "2024-02", "2024-01-01..2024-02-29"),
            ("2023-12", "2024", "2023-12-01..2024-12-31"),
            (
                "2024-05-01T00:00:00+02:00",
                "2024-05-14T23:59:59.999+02:00",
                "2024-05-01..2024-05-14",
            ),
            // The day as it is written, not as it is in UTC.
            ("2024-05-01T01:00:00+05:00", "2024-05-14T23:00:00-08:00", "2024-05-01..2024-05-14"),
            ("2024-05-01T08:00:00Z", "2024-06", "2024-05-01..2024-06-30"),
            ("2016-12-31T23:59:60Z", "2017-01-01", "2016-12-31..2017-01-01"),
            ("1925-01-01", "2024-12-31", "1925-01-01..2024-12-31"),
        ] {
            assert_eq!(dates(json!(start), json!(end)).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_period_that_says_no_dates_is_refused() {
        use OneTimeOrderError::{EndBeforeStart, NoDates, TooLong, UnreadableDates};
        for (start, end, expected) in [
            (json!(null), json!("2024"), NoDates),
            (json!("2024"), json!(null), NoDates),
            (json!("2024"), json!(2024), NoDates),
            (json!("2024-05-02"), json!("2024-05-01"), EndBeforeStart),
            (json!("2025"), json!("2024"), EndBeforeStart),
            (json!("0001"), json!("9999"), TooLong),
            (json!("1925-01-01"), json!("2025-01-01"), TooLong),
            (json!(""), json!("2024"), UnreadableDates),
            (json!("2024-13"), json!("2024"), UnreadableDates),
            (json!("2024-02-30"), json!("2024"), UnreadableDates),
            (json!("0000"), json!("2024"), UnreadableDates),
            (json!("+2024"), json!("2024"), UnreadableDates),
            (json!("24-05-01"), json!("2024"), UnreadableDates),
            (json!("2024-5-1"), json!("2024"), UnreadableDates),
            (json!(" 2024"), json!("2024"), UnreadableDates),
            (json!("2024-05-01T08:00:00"), json!("2025"), UnreadableDates),
            (json!("2024-05-01T24:00:00Z"), json!("2025"), UnreadableDates),
            (json!("2024-05-01 08:00:00Z"), json!("2025"), UnreadableDates),
            (json!("２０２４"), json!("2025"), UnreadableDates),
        ] {
            assert_eq!(dates(start.clone(), end.clone()), Err(expected), "{start} {end}");
        }
        let parts = |parts: Value| parse(&order(parts)).unwrap_err();
        assert_eq!(parts(json!([profile("cgm-summary")])), NoDates);
        assert_eq!(parts(json!([{"url": "timePeriod"}, profile("cgm-summary")])), NoDates);
        assert_eq!(
            parts(json!([{"url": "timePeriod", "valuePeriod": 1}, profile("cgm-summary")])),
            UnreadableDates
        );
        assert_eq!(
            parts(json!([may(), may(), profile("cgm-summary")])),
            UnreadableDates,
            "which of the two?"
        );
    }

    #[test]
    fn what_is_not_to_be_followed_is_refused() {
        use OneTimeOrderError::{NoDates, NotActive, NotOneTime, Order};
        let coded = |code: &str| json!({"coding": [{"system": CGM_CODE_SYSTEM, "code": code}]});
        let twice = vec![spec(json!([may(), profile("cgm-summary")])); 2];
        let cases = [
            ("resourceType", json!("Observation"), NotOneTime),
            ("code", coded(STANDING_ORDER), NotOneTime),
            ("code", json!(null), NotOneTime),
            ("status", json!("revoked"), NotActive),
            ("status", json!("draft"), NotActive),
            ("status", json!(null), NotActive),
            ("intent", json!("plan"), Order(OrderError::Intent)),
            ("subject", json!({"reference": "Patient/p-2"}), Order(OrderError::OtherPatient)),
            (
                "subject",
                json!({"reference": "https://other.example/fhir/Patient/p-1"}),
                Order(OrderError::OtherPatient),
            ),
            ("subject", json!(null), Order(OrderError::NoSubject)),
            (
                "subject",
                json!({"identifier": {"value": "7"}}),
                Order(OrderError::SubjectByIdentifier),
            ),
            ("occurrencePeriod", json!({"end": 7}), Order(OrderError::Occurrence)),
            ("doNotPerform", json!(true), Order(OrderError::Modified)),
            ("modifierExtension", json!([]), Order(OrderError::Modified)),
            ("id", json!("a b"), Order(OrderError::Id)),
            ("extension", json!([]), NoDates),
            ("extension", json!([spec(json!("x"))]), Order(OrderError::Unreadable)),
            ("extension", json!([spec(json!([may()]))]), Order(OrderError::NoContent)),
            ("extension", json!(twice), Order(OrderError::Unreadable)),
        ];
        for (field, value, expected) in cases {
            assert_eq!(parse(&with(field, value.clone())), Err(expected), "{field} {value}");
        }
        assert!(
            parse(&with("subject", json!({"reference": "https://ehr.example/fhir/Patient/p-1"})))
                .is_ok()
        );
    }

    #[test]
    fn what_it_wants_is_taken_once_and_what_we_do_not_know_is_shown() {
        let canonical = "http://example.org/n\u{7}ew|2";
        let unknown = json!({"url": "submissionDataProfile", "valueCanonical": canonical});
        let order = parse(&order(json!([
            may(),
            profile("cgm-device"),
            profile("cgm-device|1.0.0"),
            unknown
        ])))
        .unwrap();
        assert_eq!(order.content, [Content::Device]);
        assert_eq!(order.unknown_profiles, ["http://example.org/n ew|2"]);
        let stored = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<OneTimeOrder>(&stored).unwrap(), order);
    }

    #[test]
    fn an_order_beyond_the_caps_is_refused_by_their_names() {
        let parts = |count: usize| {
            let mut parts = vec![profile("cgm-device"); count - 1];
            parts.push(may());
            parse(&order(json!(parts)))
        };
        assert!(parts(MAX_PROFILES + 2).is_ok());
        let error = parts(MAX_PROFILES + 3).unwrap_err();
        assert_eq!(error, OneTimeOrderError::Order(OrderError::TooMany));
        assert!(error.to_string().contains("50"), "{error}");
        let (base, patient) =
            (Url::parse("https://a.example").unwrap(), PatientId::new("p").unwrap());
        let spaces = |count| {
            parse_one_time_order(&vec![b' '; count], &OrderVocabulary::HL7_CGM, &base, &patient)
                .unwrap_err()
        };
        assert_eq!(spaces(MAX_BYTES), OneTimeOrderError::Unparsable);
        assert_eq!(spaces(MAX_BYTES + 1), OneTimeOrderError::TooLarge);
        assert!(OneTimeOrderError::TooLarge.to_string().contains("1048576"));
        assert!(OneTimeOrderError::TooLong.to_string().contains("36525"));
    }
}
