//! JSON kept as the text it came in. Numbers are never parsed and printed again: 100.10 keeps its
//! zero. Rewriting is limited to what a server owns (id, meta) and to references, which become the
//! stored locations.

use std::{collections::HashMap, fmt, fmt::Write as _};

use serde::{
    Deserialize,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A JSON object with its fields in their order and each value as sent.
pub(crate) struct RawObject<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'a> RawObject<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find_map(|(field, value)| (field == name).then_some(*value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = RawObject<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Vec<(String, &'de RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if fields.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom("an object has the same field twice"));
                    }
                    fields.push((name, value));
                }
                Ok(RawObject(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The text a resource is stored as: the server's id and meta in front, what was sent after it,
/// references resolved.
pub(crate) fn stored_text(
    resource: &RawObject<'_>,
    kind: &str,
    id: &str,
    updated: &str,
    locations: &HashMap<String, String>,
) -> String {
    let mut text = format!(
        r#"{{"resourceType":"{kind}","id":"{id}","meta":{}"#,
        stored_meta(resource.get("meta").map(RawValue::get), updated)
    );
    for (name, value) in &resource.0 {
        if matches!(name.as_str(), "resourceType" | "id" | "meta") {
            continue;
        }
        let name = serde_json::Value::from(name.as_str());
        let _ = write!(text, ",{name}:{}", resolve_references(value.get(), locations));
    }
    text.push('}');
    text
}

/// The meta sent (profile, tag, security) with the server's own version and time.
fn stored_meta(sent: Option<&str>, updated: &str) -> serde_json::Value {
    let mut meta = sent
        .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
        .filter(serde_json::Value::is_object)
        .unwrap_or_else(|| serde_json::json!({}));
    meta["versionId"] = "1".into();
    meta["lastUpdated"] = updated.into();
    meta
}

/// Replaces the value of every `"reference"` field that has an entry in `locations`; all else stays
/// byte for byte. `json` must be valid JSON.
fn resolve_references(json: &str, locations: &HashMap<String, String>) -> String {
    let mut result = String::with_capacity(json.len());
    let mut rest = json;
    let mut after_reference_key = false;
    while let Some(start) = rest.find('"') {
        let end = start + string_length(&rest[start..]);
        let (between, string) = (&rest[..start], &rest[start..end]);
        let is_value = after_reference_key && between.trim() == ":";
        let location = is_value
            .then(|| serde_json::from_str::<String>(string).ok())
            .flatten()
            .and_then(|reference| locations.get(&reference));
        result.push_str(between);
        match location {
            Some(location) => {
                let _ = write!(result, "{}", serde_json::Value::from(location.as_str()));
            }
            None => result.push_str(string),
        }
        after_reference_key = string == r#""reference""#;
        rest = &rest[end..];
    }
    result.push_str(rest);
    result
}

/// Length of the JSON string literal that `text` starts with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails should say where")]
    use super::*;

    fn locations() -> HashMap<String, String> {
        HashMap::from([("urn:uuid:a".to_owned(), "Observation/7".to_owned())])
    }

    #[test]
    fn only_reference_values_are_rewritten_and_numbers_keep_their_digits() {
        let sent = r#"{"resourceType":"Observation","id":"mine",
            "identifier":[{"value":"urn:uuid:a"}],
            "hasMember":[{"reference" : "urn:uuid:a"}],
            "note":[{"text":"\"reference\":\"urn:uuid:a\""}],
            "valueQuantity":{"value":100.10}}"#;
        let stored = stored_text(
            &serde_json::from_str(sent).unwrap(),
            "Observation",
            "9",
            "now",
            &locations(),
        );
        assert!(stored.starts_with(r#"{"resourceType":"Observation","id":"9","meta":{"#));
        assert!(stored.contains(r#""identifier":[{"value":"urn:uuid:a"}]"#));
        assert!(stored.contains(r#""reference" : "Observation/7""#));
        assert!(stored.contains(r#""text":"\"reference\":\"urn:uuid:a\"""#));
        assert!(stored.contains(r#""value":100.10"#));
        assert!(!stored.contains("mine"));
    }

    #[test]
    fn a_field_given_twice_is_refused() {
        assert!(
            serde_json::from_str::<RawObject<'_>>(r#"{"status":"final","status":"final"}"#)
                .is_err()
        );
    }
}
