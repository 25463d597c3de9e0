//! Asking a receiver for what it was sent, and holding its answer against that.
//!
//! Compared are the facts: whose, what, when, how much. What a receiver may add or write
//! differently (ids, versions, narrative, an absolute reference, another offset for the same
//! instant) is not looked at, unless it changes what is said.

use super::codes::{LOINC, URI_SYSTEM, reading_code};
use super::identity::Identifier;
use super::lenient::{Elements, Json, lenient};
use super::searchset::{SearchError, parse_search_page};
use super::subject::{PatientId, is_fhir_id};
use crate::glucose::GlucoseUnit;
use chrono::{DateTime, SecondsFormat};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;
use url::{Url, form_urlencoded};

/// Bytes a receiver may add to a resource: it is held as values to be compared, which takes up to a
/// hundred times as much.
const MAX_ADDED: usize = 256 << 10;
/// One page of what a receiver found.
pub struct Found<'a> {
    /// The resources, each under every identifier by which we could have sent it.
    pub resources: Vec<(Vec<Identifier>, Json<'a>)>,
    /// Whether the receiver said that the search failed in part: then what was not found says
    /// nothing.
    pub failed: bool,
    /// Where the next page is; `None` if this is the last.
    pub next: Option<Url>,
}

#[derive(Default, Deserialize)]
struct Identified<'a> {
    #[serde(default, borrow, deserialize_with = "lenient")]
    identifier: Elements<'a>,
}

#[derive(Deserialize)]
struct IdentifierField {
    #[serde(default, deserialize_with = "lenient")]
    system: String,
    #[serde(default, deserialize_with = "lenient")]
    value: String,
}

/// The form, or query, that asks for resources by their identifiers, as many as `identifiers` has.
pub fn search_form(identifiers: &[Identifier]) -> String {
    let tokens: Vec<String> =
        identifiers.iter().map(|one| format!("{URI_SYSTEM}|{}", one.urn())).collect();
    form_urlencoded::Serializer::new(String::new())
        .append_pair("identifier", &tokens.join(","))
        .append_pair("_count", &identifiers.len().to_string())
        .finish()
}

/// The form, or query, that asks for a patient's readings in a unit by date: from one unix second
/// to another, both included, `count` to a page. `None` if a second is none.
pub fn date_search_form(
    patient: &PatientId,
    unit: GlucoseUnit,
    (first, last): (i64, i64),
    count: usize,
) -> Option<String> {
    let date = |prefix: &str, seconds: i64| {
        let instant = DateTime::from_timestamp(seconds, 0)?;
        Some(format!("{prefix}{}", instant.to_rfc3339_opts(SecondsFormat::Secs, true)))
    };
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("patient", patient.as_str())
        .append_pair("code", &format!("{LOINC}|{}", reading_code(unit)))
        .append_pair("date", &date("ge", first)?)
        .append_pair("date", &date("le", last)?)
        .append_pair("_count", &count.to_string())
        .finish();
    Some(form)
}

/// Reads a page of a search at the receiver whose FHIR base is `base`. What was included beside the
/// matches is left out.
///
/// # Errors
/// [`SearchError`].
pub fn parse_found<'a>(body: &'a [u8], base: &Url) -> Result<Found<'a>, SearchError> {
    let page = parse_search_page(body, base)?;
    let identified = |resource: Json<'a>| {
        let identified: Identified<'_> = serde_json::from_str(resource.get()).ok()?;
        let ours =
            identified.identifier.each().filter(|one: &IdentifierField| one.system == URI_SYSTEM);
        Some((ours.filter_map(|one| Identifier::from_urn(&one.value)).collect(), resource))
    };
    let resources = page.matches.into_iter().filter_map(identified).collect();
    Ok(Found { resources, failed: page.failed, next: page.next })
}

/// The resources of a bundle we wrote, each under its identifier.
pub fn sent_resources(bundle: &[u8]) -> Vec<(Identifier, Json<'_>)> {
    #[derive(Deserialize)]
    struct Bundle<'a> {
        #[serde(borrow)]
        entry: Vec<Sent<'a>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Sent<'a> {
        full_url: String,
        #[serde(borrow)]
        resource: Json<'a>,
    }
    let bundle: Option<Bundle<'_>> = serde_json::from_slice(bundle).ok();
    let entries = bundle.map(|bundle| bundle.entry).unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|one| Some((Identifier::from_urn(&one.full_url)?, one.resource)))
        .collect()
}

/// Where a receiver keeps what was found, `Observation/12`: references between our resources must
/// lead there.
pub struct Addresses {
    /// The receiver's base, with a slash at its end.
    base: String,
    known: HashMap<Identifier, String>,
}

/// Says how many: ids reach no log.
impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Addresses({})", self.known.len())
    }
}

impl Addresses {
    /// None as yet, at the receiver whose FHIR base is `base`.
    pub fn at(base: &Url) -> Self {
        Self { base: format!("{}/", base.as_str().trim_end_matches('/')), known: HashMap::new() }
    }

    /// Notes where a resource was found; nothing where it has no id.
    pub fn note(&mut self, identifier: Identifier, found: Json<'_>) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Resource {
            resource_type: String,
            id: String,
        }
        if let Ok(Resource { resource_type, id }) = serde_json::from_str(found.get())
            && is_fhir_id(&id)
        {
            self.known.insert(identifier, format!("{resource_type}/{id}"));
        }
    }
}

/// What a receiver has of what it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The facts, as they were sent.
    AsSent,
    /// Something else at this element, `valueQuantity.value`.
    Differently(String),
    /// It was marked as entered in error there.
    Withdrawn,
}

/// Holds a resource a receiver returned against the one it was sent. `addresses` are those of
/// resources found before: what was sent with a reference to one of these must point there.
pub fn compare(sent: Json<'_>, found: Json<'_>, addresses: &Addresses) -> Comparison {
    if found.get().len() > sent.get().len() + MAX_ADDED {
        return Comparison::Differently(String::new());
    }
    let parsed = |json: Json<'_>| serde_json::from_str::<Map<String, Value>>(json.get()).ok();
    let Some((mut sent, found)) = parsed(sent).zip(parsed(found)) else {
        return Comparison::Differently(String::new());
    };
    if matches!(found.get("status").and_then(Value::as_str), Some("entered-in-error" | "cancelled"))
    {
        return Comparison::Withdrawn;
    }
    // What a resource replaces and which device it names depends on what else was known when it was
    // sent; a receiver moves its status on.
    for circumstance in ["status", "extension", "device", "note", "interpretation"] {
        sent.remove(circumstance);
    }
    match object(&sent, &found, addresses) {
        None => Comparison::AsSent,
        Some(path) => Comparison::Differently(path),
    }
}

/// Elements that change what the others say: one of these that was not sent makes it something
/// else.
const CHANGES_MEANING: [&str; 4] =
    ["comparator", "dataAbsentReason", "implicitRules", "modifierExtension"];

/// The element of `sent` that `found` lacks or has otherwise, or that it should not have; none
/// where all is well.
fn object(
    sent: &Map<String, Value>,
    found: &Map<String, Value>,
    addresses: &Addresses,
) -> Option<String> {
    let lacking = sent.iter().find_map(|(name, sent)| {
        let inner = match found.get(name) {
            Some(found) if name == "reference" => {
                (!refers(sent, found, addresses)).then(String::new)
            }
            Some(found) => value(sent, found, addresses),
            None => Some(String::new()),
        }?;
        Some(if inner.is_empty() { name.clone() } else { format!("{name}.{inner}") })
    });
    let says_more = |name: &&String| {
        (name.starts_with("value") || CHANGES_MEANING.contains(&name.as_str()))
            && !sent.contains_key(*name)
    };
    lacking.or_else(|| found.keys().find(says_more).cloned())
}

fn value(sent: &Value, found: &Value, addresses: &Addresses) -> Option<String> {
    match (sent, found) {
        (Value::Object(sent), Value::Object(found)) => object(sent, found, addresses),
        // Only some servers keep the order of lists. No two elements of ours are alike, so each
        // looks for its own.
        (Value::Array(sent), Value::Array(found)) if found.len() >= sent.len() => {
            sent.iter().find_map(|sent| {
                let mut differences = found.iter().map(|found| value(sent, found, addresses));
                let first = differences.next()??;
                differences.all(|difference| difference.is_some()).then_some(first)
            })
        }
        (Value::String(sent), Value::String(found)) => (!same_text(sent, found)).then(String::new),
        // What is sent has at most seven digits, of which no two are one double.
        (Value::Number(sent), Value::Number(found)) => {
            (sent.as_f64() != found.as_f64()).then(String::new)
        }
        _ => (sent != found).then(String::new),
    }
}

/// Whether two texts are one, or one instant.
fn same_text(sent: &str, found: &str) -> bool {
    let instant = |text| DateTime::parse_from_rfc3339(text).ok();
    sent == found || instant(sent).is_some_and(|sent| instant(found) == Some(sent))
}

/// Whether a reference as found is the one that was sent: relative or absolute, versioned or not,
/// or resolved by the receiver.
fn refers(sent: &Value, found: &Value, addresses: &Addresses) -> bool {
    let (Some(sent), Some(found)) = (sent.as_str(), found.as_str()) else { return false };
    let address = found.split("/_history/").next().unwrap_or(found);
    let is = |address: &str, wanted: &str| {
        address.strip_prefix(&addresses.base).unwrap_or(address) == wanted
    };
    match Identifier::from_urn(sent) {
        Some(entry) => addresses.known.get(&entry).is_none_or(|known| is(address, known)),
        None => is(address, sent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, value::RawValue};

    fn raw(value: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(value).unwrap()
    }

    fn nowhere() -> Addresses {
        Addresses::at(&Url::parse("https://ehr.example/fhir").unwrap())
    }

    fn compared(sent: &Value, found: &Value) -> Comparison {
        compare(&raw(sent), &raw(found), &nowhere())
    }

    fn reading() -> Value {
        json!({
            "resourceType": "Observation", "status": "final",
            "identifier": [{"system": URI_SYSTEM, "value": "urn:uuid:1"}],
            "code": {"coding": [{"system": "http://loinc.org", "code": "99504-3"}]},
            "subject": {"reference": "Patient/7"},
            "effectiveDateTime": "2026-03-01T10:00:00+01:00",
            "valueQuantity": {
                "value": 100.10, "unit": "mg/dl", "system": "http://unitsofmeasure.org",
                "code": "mg/dL",
            },
            "device": {"reference": "Device/1"},
        })
    }

    #[test]
    fn what_a_receiver_adds_or_writes_otherwise_is_no_difference() {
        let mut found = reading();
        found["id"] = json!("12");
        found["meta"] = json!({"versionId": "3"});
        found["status"] = json!("amended");
        found["issued"] = json!("2026-03-01T10:00:00Z");
        found["effectiveDateTime"] = json!("2026-03-01T09:00:00.000Z");
        found["subject"] =
            json!({"reference": "https://ehr.example/fhir/Patient/7/_history/2", "display": "Amy"});
        found["identifier"]
            .as_array_mut()
            .unwrap()
            .insert(0, json!({"system": "urn:x", "value": "1"}));
        found["code"]["coding"][0]["display"] = json!("Glucose");
        found["device"] = json!({"reference": "Device/99"});
        assert_eq!(compared(&reading(), &found), Comparison::AsSent);
    }

    #[test]
    fn every_fact_that_changed_is_named() {
        for (pointer, changed, path) in [
            ("/valueQuantity/value", json!(100.1001), "valueQuantity.value"),
            ("/valueQuantity/value", json!("100.10"), "valueQuantity.value"),
            ("/valueQuantity/code", json!("mmol/L"), "valueQuantity.code"),
            ("/valueQuantity", json!(null), "valueQuantity"),
            ("/effectiveDateTime", json!("2026-03-01T10:00:00Z"), "effectiveDateTime"),
            ("/subject/reference", json!("Patient/77"), "subject.reference"),
            ("/subject/reference", json!("xPatient/7"), "subject.reference"),
            (
                "/subject/reference",
                json!("https://other.example/fhir/Patient/7"),
                "subject.reference",
            ),
            ("/code/coding/0/code", json!("105272-9"), "code.coding.code"),
            ("/code/coding", json!([]), "code.coding"),
            ("/resourceType", json!("Device"), "resourceType"),
        ] {
            let mut found = reading();
            *found.pointer_mut(pointer).unwrap() = changed;
            assert_eq!(
                compared(&reading(), &found),
                Comparison::Differently(path.to_owned()),
                "{pointer}"
            );
        }
        for (at, name, more, path) in [
            ("/valueQuantity", "comparator", json!("<"), "valueQuantity.comparator"),
            ("", "dataAbsentReason", json!({"text": "unknown"}), "dataAbsentReason"),
            ("", "modifierExtension", json!([{"url": "urn:not"}]), "modifierExtension"),
            ("", "valueString", json!("high"), "valueString"),
        ] {
            let mut found = reading();
            found.pointer_mut(at).unwrap()[name] = more;
            assert_eq!(
                compared(&reading(), &found),
                Comparison::Differently(path.to_owned()),
                "{name} was not sent"
            );
        }
        let mut withdrawn = reading();
        withdrawn["status"] = json!("entered-in-error");
        assert_eq!(compared(&reading(), &withdrawn), Comparison::Withdrawn);
        assert_eq!(compared(&reading(), &json!([])), Comparison::Differently(String::new()));
    }

    #[test]
    fn a_list_may_be_longer_and_in_another_order_and_must_have_every_element() {
        let sent = json!({"component": [{"code": "a", "value": 1}, {"code": "b", "value": 2}]});
        let longer = json!({
            "component": [{"code": "c"}, {"code": "b", "value": 2}, {"code": "a", "value": 1}],
        });
        let swapped = json!({"component": [{"code": "a", "value": 2}, {"code": "b", "value": 1}]});
        let shorter = json!({"component": [{"code": "a", "value": 1}]});
        assert_eq!(compared(&sent, &longer), Comparison::AsSent);
        assert_eq!(
            compared(&sent, &swapped),
            Comparison::Differently("component.value".to_owned())
        );
        assert_eq!(compared(&sent, &shorter), Comparison::Differently("component".to_owned()));
        assert_eq!(
            compared(&json!({"a": [1]}), &json!({"a": []})),
            Comparison::Differently("a".to_owned())
        );
    }

    #[test]
    fn a_reference_within_a_bundle_leads_to_what_was_found_there() {
        let member = Identifier::from_urn("urn:uuid:16d937dd-3dd2-4935-85b5-98d2b1f0d4f6").unwrap();
        let sent = raw(&json!({"hasMember": [{"reference": member.urn()}]}));
        let found = raw(&json!({"hasMember": [{"reference": "Observation/4"}]}));
        let known = |id: &str| {
            let mut addresses = nowhere();
            addresses.note(member, &raw(&json!({"resourceType": "Observation", "id": id})));
            addresses
        };
        assert_eq!(compare(&sent, &found, &nowhere()), Comparison::AsSent);
        assert_eq!(compare(&sent, &found, &known("4")), Comparison::AsSent);
        assert_eq!(
            compare(&sent, &found, &known("5")),
            Comparison::Differently("hasMember.reference".to_owned())
        );
    }

    #[test]
    fn only_matches_are_read_and_only_our_identifiers() {
        let base = Url::parse("https://ehr.example/fhir").unwrap();
        let ours = "urn:uuid:16d937dd-3dd2-4935-85b5-98d2b1f0d4f6";
        let resource = json!({"resourceType": "Observation", "id": "4", "identifier": [
            {"system": "urn:x", "value": ours}, {"system": URI_SYSTEM, "value": ours},
            {"system": URI_SYSTEM, "value": "7"}, 1]});
        let page = json!({"resourceType": "Bundle", "type": "searchset",
            "link": [{"relation": "next", "url": "?page=2"}],
            "entry": [{"resource": resource, "search": {"mode": "match"}},
                      {"resource": resource, "search": {"mode": "include"}},
                      {"resource": {"resourceType": "OperationOutcome"},
                       "search": {"mode": "outcome"}},
                      {}, 7]});
        let body = page.to_string();
        let found = parse_found(body.as_bytes(), &base).unwrap();
        assert_eq!(found.resources.len(), 1);
        assert_eq!(found.resources[0].0, [Identifier::from_urn(ours).unwrap()]);
        assert_eq!(found.next.unwrap().as_str(), "https://ehr.example/fhir/?page=2");
    }

    #[test]
    fn identifiers_are_asked_for_in_one_parameter() {
        let one = Identifier::from_urn("urn:uuid:16d937dd-3dd2-4935-85b5-98d2b1f0d4f6").unwrap();
        let form: Vec<_> =
            form_urlencoded::parse(search_form(&[one, one]).as_bytes()).into_owned().collect();
        let token = format!("urn:ietf:rfc:3986|{}", one.urn());
        assert_eq!(form[0], ("identifier".to_owned(), format!("{token},{token}")));
        assert_eq!(form[1], ("_count".to_owned(), "2".to_owned()));
    }

    #[test]
    fn readings_are_asked_for_by_patient_code_and_dates() {
        let patient = PatientId::new("p-1").unwrap();
        let span = (1_714_521_600, 1_714_525_199);
        let form = date_search_form(&patient, GlucoseUnit::MmolPerL, span, 1_000).unwrap();
        let form: Vec<_> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        let expected = [
            ("patient", "p-1"),
            ("code", "http://loinc.org|105272-9"),
            ("date", "ge2024-05-01T00:00:00Z"),
            ("date", "le2024-05-01T00:59:59Z"),
            ("_count", "1000"),
        ];
        assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(date_search_form(&patient, GlucoseUnit::MgPerDl, (0, i64::MAX), 1), None);
    }
}
