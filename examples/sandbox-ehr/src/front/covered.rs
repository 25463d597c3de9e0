//! Which scope a FHIR request needs, and whether a token has it. Pure.
//!
//! Reading and searching need the permission for the type; a restriction to a category is asked of
//! what is written only. Whose data a search finds is not looked at.

use serde_json::Value;

use crate::{fhir::validate::all_codings, oauth::scopes::GrantedScopes};

/// Whether `scopes`, granted for `patient`, cover a request below the base. `body` is its resource,
/// if it has one.
pub(super) fn covered(
    scopes: &GrantedScopes,
    patient: &str,
    method: &str,
    below_base: &str,
    body: Option<&Value>,
) -> bool {
    let writes = |kind: &str, permission| {
        let codings = body.map(all_codings).unwrap_or_default();
        body.is_some_and(|resource| resource["resourceType"] == *kind)
            && scopes.allow(kind, permission, &codings)
    };
    let has = |kind: &str, permission| scopes.with(kind, permission).next().is_some();
    let segments: Vec<&str> = below_base.trim_end_matches('/').split('/').collect();
    if segments != [""] && !segments.iter().all(|segment| is_plain(segment)) {
        return false;
    }
    match (method, segments.as_slice()) {
        // A Bundle, at the base or for an operation; an entry is no Bundle again.
        ("POST", [""]) => bundle_covered(scopes, patient, body),
        ("POST", [operation]) if operation.starts_with(['$', '%']) => {
            bundle_covered(scopes, patient, body)
        }
        // The next page of a search.
        ("GET", [""]) => scopes.search_anything(),
        ("GET", [kind]) | ("GET" | "POST", [kind, "_search"]) => has(kind, 's'),
        ("GET", ["Patient", id, ..]) => has("Patient", 'r') && *id == patient,
        ("GET", [kind, ..]) => has(kind, 'r'),
        ("POST", [kind]) => writes(kind, 'c'),
        ("PUT", [kind] | [kind, _]) => writes(kind, 'u'),
        ("DELETE", [kind, _]) => scopes.allow(kind, 'd', &[]),
        _ => false,
    }
}

/// Whether every server reads it as it stands: nothing is encoded but the `$` of an operation, and
/// nothing leads elsewhere.
fn is_plain(segment: &str) -> bool {
    let written = segment.strip_prefix("%24").unwrap_or(segment);
    !["", ".", ".."].contains(&written)
        && written.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._$".contains(&byte))
}

fn bundle_covered(scopes: &GrantedScopes, patient: &str, bundle: Option<&Value>) -> bool {
    let entries =
        bundle.and_then(|bundle| bundle["entry"].as_array()).map(Vec::as_slice).unwrap_or_default();
    !entries.is_empty()
        && entries.iter().all(|entry| {
            let request = &entry["request"];
            let (Some(method), Some(url)) = (request["method"].as_str(), request["url"].as_str())
            else {
                return false;
            };
            let path = url.split('?').next().unwrap_or_default();
            let nested = path.is_empty() || path.starts_with(['$', '%']);
            !nested && covered(scopes, patient, method, path, entry.get("resource"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

    fn observation(category: &str) -> Value {
        let category = json!([{ "coding": [{ "system": SYSTEM, "code": category }] }]);
        json!({ "resourceType": "Observation", "category": category })
    }

    fn bundle(entries: &[(&str, &str, Value)]) -> Value {
        let entry = |(method, url, resource): &(&str, &str, Value)| {
            json!({ "resource": resource,
            "request": { "method": method, "url": url } })
        };
        json!({ "resourceType": "Bundle", "entry": entries.iter().map(entry).collect::<Vec<_>>() })
    }

    #[test]
    fn each_interaction_needs_its_permission() {
        let laboratory = observation("laboratory");
        for (scope, method, path, expected) in [
            ("patient/Observation.s", "GET", "Observation", true),
            ("patient/Observation.s", "POST", "Observation/_search", true),
            ("patient/Observation.s", "GET", "", true),
            ("patient/Observation.s", "GET", "Observation/7", false),
            ("patient/Observation.r", "GET", "Observation/7/_history/1", true),
            ("patient/Observation.r", "GET", "", false),
            ("patient/Observation.r", "GET", "Device/7", false),
            ("patient/Observation.c", "POST", "Observation", true),
            ("patient/Observation.c", "PUT", "Observation/7", false),
            ("patient/Observation.u", "PUT", "Observation/7", true),
            ("patient/Observation.d", "DELETE", "Observation/7", true),
            ("patient/Observation.c", "POST", "Device", false),
            ("patient/Device.c", "POST", "Device", false),
            ("patient/Patient.r", "GET", "Patient/amy", true),
            ("patient/Patient.r", "GET", "Patient/ben", false),
            ("patient/Observation.r", "GET", "Observation/../Device/7", false),
            ("patient/Observation.cruds", "PATCH", "Observation/7", false),
            ("patient/Observation.cruds", "POST", "Observation/7/$meta", false),
        ] {
            let scopes = GrantedScopes::parse(scope);
            assert_eq!(
                covered(&scopes, "amy", method, path, Some(&laboratory)),
                expected,
                "{scope} {method} {path}"
            );
        }
    }

    #[test]
    fn a_path_that_a_server_may_read_as_another_is_refused() {
        let scopes = GrantedScopes::parse("patient/Observation.r patient/Patient.r");
        let check = |path| covered(&scopes, "amy", "GET", path, None);
        for path in
            ["Observation/cgm-1.2_3", "Patient/amy/$everything", "Patient/amy/%24everything"]
        {
            assert!(check(path), "{path}");
        }
        for path in [
            "Observation/%2e%2e/Patient/ben",
            "Observation/.%2E/Patient/ben",
            "Observation/..%5CPatient/ben",
            "Observation/7%2f..%2F..%2FPatient/ben",
            "Observation/..\\Patient/ben",
            "Observation/..;/Patient/ben",
            "Observation/;v=1",
            "Observation/%252e%252e/Patient/ben",
            "Observation/%5Fsearch",
            "Observation//Patient/ben",
        ] {
            assert!(!check(path), "{path}");
            let entry = json!({ "resourceType": "Bundle", "entry": [{ "request": { "method": "GET",
                "url": path } }] });
            assert!(!covered(&scopes, "amy", "POST", "", Some(&entry)), "{path} in a bundle");
        }
    }

    #[test]
    fn a_bundle_is_covered_when_each_of_its_entries_is() {
        let scopes = GrantedScopes::parse("patient/Observation.cu?category=laboratory");
        let check = |method, path, entries: &[_]| {
            covered(&scopes, "amy", method, path, Some(&bundle(entries)))
        };
        let laboratory = || ("POST", "Observation", observation("laboratory"));
        assert!(check("POST", "", &[laboratory(), laboratory()]));
        assert!(check("POST", "$submit-cgm-bundle", &[laboratory()]));
        assert!(!check("PUT", "", &[laboratory()]));
        assert!(!check(
            "POST",
            "",
            &[laboratory(), ("POST", "Observation", observation("vital-signs"))]
        ));
        assert!(!check(
            "POST",
            "",
            &[laboratory(), ("POST", "Device", json!({ "resourceType": "Device" }))]
        ));
        assert!(!check("POST", "", &[laboratory(), ("POST", "Device", observation("laboratory"))]));
        assert!(!check("POST", "", &[("DELETE", "Observation?code=1", Value::Null)]));
        assert!(!check("POST", "", &[("POST", "", bundle(&[laboratory()]))]));
        assert!(!check("POST", "", &[]));
    }
}
