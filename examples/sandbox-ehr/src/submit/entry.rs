//! One entry on its own: is there a resource of an accepted type, is it valid, is it within the
//! token's scopes, does its condition fit it. Nothing here looks at other entries or at what is
//! stored.

use serde_json::Value;

use crate::{
    fhir::{
        bundle::{BundleEntry, IdentifierKey},
        outcome::Refusal,
        raw::RawObject,
        references::{FoundReference, references_in},
        validate::{ValidResource, validate},
    },
    oauth::scopes::GrantedScopes,
};

/// An entry that is acceptable as far as it can be judged alone.
pub(super) struct Candidate<'a> {
    pub(super) kind: String,
    pub(super) raw: RawObject<'a>,
    pub(super) valid: ValidResource,
    pub(super) references: Vec<FoundReference>,
    pub(super) condition: Option<IdentifierKey>,
}

pub(super) fn examine<'a>(
    entry: &BundleEntry<'a>,
    patient: &str,
    scopes: &GrantedScopes,
    conditional_create: bool,
) -> Result<Candidate<'a>, Refusal> {
    let kind = entry.target.clone()?;
    if let Some(full_url) = &entry.full_url {
        check_full_url(full_url)?;
    }
    let condition = match (&entry.if_none_exist, conditional_create) {
        (None, _) => None,
        (Some(_), false) => {
            let text = "this receiver does not support conditional create";
            return Err(Refusal::new(400, "not-supported", text).at("entry.request.ifNoneExist"));
        }
        (Some(key), true) => Some(key.clone()?),
    };
    let sent = entry
        .resource
        .ok_or_else(|| Refusal::new(400, "required", "entry.resource is required"))?;
    let unreadable =
        |_| Refusal::malformed("the resource is not a JSON object with each field once");
    let raw: RawObject<'a> = serde_json::from_str(sent.get()).map_err(unreadable)?;
    let resource: Value = serde_json::from_str(sent.get()).map_err(unreadable)?;
    if resource["resourceType"] != kind.as_str() {
        return Err(Refusal::new(400, "value", "request.url names another type than the resource")
            .at("entry.request.url"));
    }
    if !["Observation", "DiagnosticReport", "Device"].contains(&kind.as_str()) {
        let text = "this receiver takes Observation, DiagnosticReport and Device";
        return Err(Refusal::new(422, "not-supported", text).at("entry.resource"));
    }
    let valid = validate(&kind, &resource, patient)?;
    if !scopes.allow(&kind, 'c', &valid.codings) {
        let text = format!(
            "the access token has no scope to create this {kind}; scopes may be limited by category"
        );
        return Err(Refusal::forbidden(text).at(kind));
    }
    if let Some(key) = &condition
        && !valid
            .identifiers
            .iter()
            .any(|(system, value)| *system == key.system && *value == key.value)
    {
        let text = "the identifier of ifNoneExist is not on the resource";
        return Err(Refusal::new(422, "invariant", text).at(format!("{kind}.identifier")));
    }
    // Whose resource it is was judged with the resource; all other references have to resolve.
    let owner = if kind == "Device" { "patient" } else { "subject" };
    let references = references_in(&resource)
        .into_iter()
        .filter(|reference| reference.element != owner)
        .collect();
    Ok(Candidate { kind, raw, valid, references, condition })
}

fn check_full_url(full_url: &str) -> Result<(), Refusal> {
    let good = match full_url.strip_prefix("urn:uuid:") {
        Some(uuid) => uuid.len() == 36 && uuid::Uuid::try_parse(uuid).is_ok(),
        None => full_url.starts_with("https://") || full_url.starts_with("http://"),
    };
    if good {
        Ok(())
    } else {
        Err(Refusal::new(400, "value", "fullUrl must be urn:uuid:… or an absolute URL")
            .at("entry.fullUrl"))
    }
}
