//! Takes a submission Bundle apart: what makes the whole of it unacceptable is found here, before
//! any entry is looked at. What is wrong with a single entry is carried along in it.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{dates::parse_instant, outcome::Refusal};

/// A Bundle that may be processed entry by entry.
pub(crate) struct SubmissionBundle<'a> {
    pub(crate) entries: Vec<BundleEntry<'a>>,
}

/// One entry as sent.
pub(crate) struct BundleEntry<'a> {
    pub(crate) full_url: Option<String>,
    pub(crate) resource: Option<&'a RawValue>,
    /// The resource type `request.url` names, or why the request cannot be carried out.
    pub(crate) target: Result<String, Refusal>,
    pub(crate) if_none_exist: Option<Result<IdentifierKey, Refusal>>,
}

/// `identifier=system|value` of a conditional create.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct IdentifierKey {
    pub(crate) system: String,
    pub(crate) value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SentBundle<'a> {
    resource_type: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    timestamp: Option<String>,
    #[serde(borrow)]
    entry: Option<Vec<SentEntry<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SentEntry<'a> {
    full_url: Option<String>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    request: Option<SentRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SentRequest {
    method: Option<String>,
    url: Option<String>,
    if_none_exist: Option<String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    if_modified_since: Option<String>,
}

/// Reads a Bundle; an error refuses the whole request.
pub(crate) fn parse_bundle(
    text: &str,
    max_entries: usize,
    over_limit_status: u16,
) -> Result<SubmissionBundle<'_>, Refusal> {
    let sent: SentBundle<'_> = serde_json::from_str(text).map_err(|error| {
        Refusal::malformed(format!(
            "the body is not a Bundle: line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    if sent.resource_type != "Bundle" {
        return Err(Refusal::malformed("the body is not a Bundle").at("Bundle.resourceType"));
    }
    match sent.kind.as_deref() {
        Some("transaction") => {}
        Some(_) => {
            return Err(
                Refusal::new(400, "value", "Bundle.type must be transaction").at("Bundle.type")
            );
        }
        None => {
            return Err(Refusal::new(400, "required", "Bundle.type is required").at("Bundle.type"));
        }
    }
    match sent.timestamp.as_deref() {
        Some(timestamp) if parse_instant(timestamp).is_some() => {}
        Some(_) => {
            let text = "Bundle.timestamp must be an instant with seconds and an offset";
            return Err(Refusal::new(400, "value", text).at("Bundle.timestamp"));
        }
        None => {
            return Err(Refusal::new(400, "required", "Bundle.timestamp is required")
                .at("Bundle.timestamp"));
        }
    }
    let sent_entries = sent.entry.unwrap_or_default();
    if sent_entries.is_empty() {
        return Err(Refusal::new(400, "required", "Bundle.entry is required").at("Bundle.entry"));
    }
    if sent_entries.len() > max_entries {
        let text = format!(
            "the Bundle has {} entries; this receiver takes {max_entries}",
            sent_entries.len()
        );
        return Err(Refusal::new(over_limit_status, "too-long", text).at("Bundle.entry"));
    }
    let entries: Vec<BundleEntry<'_>> = sent_entries.into_iter().map(read_entry).collect();
    refuse_twins(&entries)?;
    Ok(SubmissionBundle { entries })
}

fn read_entry(sent: SentEntry<'_>) -> BundleEntry<'_> {
    let if_none_exist = sent
        .request
        .as_ref()
        .and_then(|request| request.if_none_exist.as_deref())
        .map(parse_if_none_exist);
    BundleEntry {
        target: target_type(sent.request.as_ref()),
        full_url: sent.full_url,
        resource: sent.resource,
        if_none_exist,
    }
}

fn target_type(request: Option<&SentRequest>) -> Result<String, Refusal> {
    let request =
        request.ok_or_else(|| Refusal::new(400, "required", "entry.request is required"))?;
    if request.method.as_deref() != Some("POST") {
        return Err(Refusal::new(400, "not-supported", "only POST entries are processed")
            .at("entry.request.method"));
    }
    if request.if_match.is_some()
        || request.if_none_match.is_some()
        || request.if_modified_since.is_some()
    {
        return Err(Refusal::new(
            400,
            "not-supported",
            "a POST entry takes no condition but ifNoneExist",
        )
        .at("entry.request"));
    }
    let url = request.url.as_deref().unwrap_or_default();
    if url.is_empty() || !url.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(Refusal::new(400, "value", "request.url of a POST must be a resource type")
            .at("entry.request.url"));
    }
    Ok(url.to_owned())
}

fn parse_if_none_exist(criteria: &str) -> Result<IdentifierKey, Refusal> {
    let refusal =
        |text: &str| Refusal::new(400, "not-supported", text).at("entry.request.ifNoneExist");
    let (name, token) = criteria
        .split_once('=')
        .ok_or_else(|| refusal("ifNoneExist must be identifier=system|value"))?;
    if name != "identifier" {
        return Err(refusal(
            "conditional create is supported by the search parameter identifier only",
        ));
    }
    if token.contains('&') {
        return Err(refusal("conditional create takes one search parameter, identifier"));
    }
    let token = percent_decode_str(token)
        .decode_utf8()
        .map_err(|_| refusal("ifNoneExist is not valid UTF-8"))?;
    match token.split_once('|') {
        Some((system, value)) if !system.is_empty() && !value.is_empty() => {
            Ok(IdentifierKey { system: system.to_owned(), value: value.to_owned() })
        }
        _ => Err(refusal("ifNoneExist must be identifier=system|value, with both")),
    }
}

/// Two entries with one identity cannot both be answered: the whole Bundle is refused and both
/// positions are named.
fn refuse_twins(entries: &[BundleEntry<'_>]) -> Result<(), Refusal> {
    let mut by_identity: HashMap<(&str, &IdentifierKey), usize> = HashMap::new();
    let mut by_full_url: HashMap<&str, usize> = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        if let (Ok(kind), Some(Ok(key))) = (&entry.target, &entry.if_none_exist)
            && let Some(first) = by_identity.insert((kind, key), index)
        {
            let text =
                format!("entries {first} and {index} have the same ifNoneExist; send one of them");
            return Err(Refusal::new(400, "duplicate", text)
                .at(format!("Bundle.entry[{index}].request.ifNoneExist")));
        }
        if let Some(full_url) = &entry.full_url
            && let Some(first) = by_full_url.insert(full_url, index)
        {
            let text = format!("entries {first} and {index} have the same fullUrl");
            return Err(
                Refusal::new(400, "duplicate", text).at(format!("Bundle.entry[{index}].fullUrl"))
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails should say where")]
    use super::*;

    #[test]
    fn if_none_exist_is_percent_decoded_once() {
        let expected =
            IdentifierKey { system: "urn:ietf:rfc:3986".into(), value: "urn:uuid:1+2%".into() };
        assert_eq!(
            parse_if_none_exist("identifier=urn:ietf:rfc:3986|urn:uuid:1+2%25").unwrap(),
            expected
        );
        assert_eq!(
            parse_if_none_exist("identifier=urn%3Aietf%3Arfc%3A3986%7Curn%3Auuid%3A1%2B2%25")
                .unwrap(),
            expected
        );
        for wrong in [
            "identifier=value",
            "identifier=|value",
            "identifier=system|",
            "_id=1",
            "identifier=a|b&code=c",
            "",
        ] {
            assert_eq!(parse_if_none_exist(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }
}
