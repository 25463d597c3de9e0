//! Which references a resource carries and what each of them points at: an entry of the same Bundle
//! or a resource the clinic already holds. It reads references; whether the target is acceptable is
//! decided by the transaction.

use std::collections::HashMap;

use serde_json::Value;

/// A reference found in a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundReference {
    /// The top-level element it is in: `hasMember`, `result`, `device`, …
    pub(crate) element: String,
    pub(crate) text: String,
}

/// What a reference names, by its form alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pointer {
    /// Position of an entry in the same Bundle.
    Entry(usize),
    /// `Type/id` on this server.
    Stored { kind: String, id: String },
    /// Nothing this server could look up.
    Unresolvable,
}

/// All literal references, however deep.
pub(crate) fn references_in(resource: &Value) -> Vec<FoundReference> {
    let mut found = Vec::new();
    for (element, value) in resource.as_object().into_iter().flatten() {
        collect(element, value, &mut found);
    }
    found
}

fn collect(element: &str, value: &Value, found: &mut Vec<FoundReference>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(element, item, found)),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "reference" => {
                        found.push(FoundReference {
                            element: element.to_owned(),
                            text: text.clone(),
                        });
                    }
                    _ => collect(element, field, found),
                }
            }
        }
        _ => {}
    }
}

/// Resolves by FHIR's rules for Bundles: `fullUrl` first, a relative reference against the fullUrl
/// of its own entry, then this server.
pub(crate) fn point(
    reference: &str,
    own_full_url: Option<&str>,
    full_urls: &HashMap<&str, usize>,
    base: &str,
) -> Pointer {
    if let Some(index) = full_urls.get(reference) {
        return Pointer::Entry(*index);
    }
    if let Some((kind, id)) = type_and_id(reference) {
        let sibling = own_full_url.and_then(url_base).map(|base| format!("{base}/{kind}/{id}"));
        if let Some(index) = sibling.as_deref().and_then(|url| full_urls.get(url)) {
            return Pointer::Entry(*index);
        }
        return Pointer::Stored { kind: kind.to_owned(), id: id.to_owned() };
    }
    match reference.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).and_then(type_and_id)
    {
        Some((kind, id)) => Pointer::Stored { kind: kind.to_owned(), id: id.to_owned() },
        None => Pointer::Unresolvable,
    }
}

/// `Type/id` or `Type/id/_history/1`.
fn type_and_id(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split('/');
    let (kind, id) = (parts.next()?, parts.next()?);
    match (parts.next(), parts.next(), parts.next()) {
        (None, None, None) | (Some("_history"), Some("1"), None) => {}
        _ => return None,
    }
    let is_type = kind.starts_with(|first: char| first.is_ascii_uppercase())
        && kind.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_id = (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    (is_type && is_id).then_some((kind, id))
}

/// `https://example.org` of `https://example.org/Observation/1`.
fn url_base(full_url: &str) -> Option<&str> {
    full_url.starts_with("http").then(|| full_url.rsplitn(3, '/').nth(2))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_an_entry_or_stored_or_nothing() {
        let full_urls =
            HashMap::from([("urn:uuid:a", 0), ("https://example.org/Observation/x", 1)]);
        let stored = |id: &str| Pointer::Stored { kind: "Observation".into(), id: id.into() };
        let base = "http://127.0.0.1:1/fhir";
        for (reference, own, expected) in [
            ("urn:uuid:a", None, Pointer::Entry(0)),
            ("urn:uuid:b", None, Pointer::Unresolvable),
            ("Observation/x", Some("https://example.org/Observation/y"), Pointer::Entry(1)),
            ("Observation/x", Some("urn:uuid:a"), stored("x")),
            ("Observation/7/_history/1", None, stored("7")),
            ("Observation/7/_history/2", None, Pointer::Unresolvable),
            ("http://127.0.0.1:1/fhir/Observation/7", None, stored("7")),
            ("http://elsewhere/fhir/Observation/7", None, Pointer::Unresolvable),
            ("Observation?identifier=a", None, Pointer::Unresolvable),
        ] {
            assert_eq!(point(reference, own, &full_urls, base), expected, "{reference}");
        }
    }
}
