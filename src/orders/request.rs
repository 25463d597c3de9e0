//! A `ServiceRequest` as receivers write it, what is checked of every order before it is followed,
//! and how it names the data it wants. Schedules and dates are read elsewhere.

use super::content::Content;
use super::order::{MAX_CANONICAL, MAX_EXTENSIONS, MAX_PROFILES, OrderError, OrderId};
use crate::fhir::{CGM_CODE_SYSTEM, Elements, Json, PROFILE_BASE, PatientId, lenient, shown};
use serde::Deserialize;
use url::Url;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceRequest<'a> {
    #[serde(default, deserialize_with = "lenient")]
    resource_type: String,
    #[serde(default, deserialize_with = "lenient")]
    id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) status: String,
    #[serde(default, deserialize_with = "lenient")]
    intent: String,
    #[serde(default, borrow)]
    do_not_perform: Option<Json<'a>>,
    #[serde(default, borrow)]
    modifier_extension: Option<Json<'a>>,
    #[serde(default, borrow)]
    implicit_rules: Option<Json<'a>>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    code: Code<'a>,
    #[serde(default, deserialize_with = "lenient")]
    subject: Subject,
    #[serde(default, borrow, deserialize_with = "lenient")]
    extension: Elements<'a>,
}

#[derive(Default, Deserialize)]
struct Code<'a> {
    #[serde(default, borrow, deserialize_with = "lenient")]
    coding: Elements<'a>,
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

/// An extension; what is within is looked at only where it is one of ours.
#[derive(Deserialize)]
pub(super) struct Extension<'a> {
    #[serde(default, deserialize_with = "lenient")]
    url: String,
    #[serde(default, borrow)]
    extension: Option<Json<'a>>,
}

/// An extension within an extension of ours.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) url: String,
    #[serde(default, borrow)]
    pub(super) value_quantity: Option<Json<'a>>,
    #[serde(default, borrow)]
    pub(super) value_period: Option<Json<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    value_canonical: String,
}

impl<'a> ServiceRequest<'a> {
    pub(super) fn is_service_request(&self) -> bool {
        self.resource_type == "ServiceRequest"
    }

    /// Whether it is an order of this code of the guide's own code system.
    pub(super) fn has_code(&self, code: &str) -> bool {
        self.code
            .coding
            .each()
            .any(|coding: Coding| coding.system == CGM_CODE_SYSTEM && coding.code == code)
    }

    pub(super) fn id(&self) -> Option<OrderId> {
        OrderId::new(self.id.as_str()).ok()
    }

    /// Whether it is an order, about `patient`, that says only what we know.
    pub(super) fn check(&self, base: &Url, patient: &PatientId) -> Result<(), OrderError> {
        if !is_about(&self.subject.reference, base, patient) {
            return Err(OrderError::OtherPatient);
        }
        // FHIR: what has an unknown modifier must not be acted on.
        let forbidden = self.do_not_perform.is_some_and(|value| value.get() != "false");
        if forbidden || self.modifier_extension.is_some() || self.implicit_rules.is_some() {
            return Err(OrderError::Modified);
        }
        if self.intent != "order" {
            return Err(OrderError::Intent);
        }
        Ok(())
    }

    /// Its extensions with this name in the guide.
    pub(super) fn extensions(&self, name: &str) -> Result<Vec<Extension<'a>>, OrderError> {
        if self.extension.count > MAX_EXTENSIONS {
            return Err(OrderError::TooMany);
        }
        let named = |one: &Extension<'_>| one.url.strip_prefix(PROFILE_BASE) == Some(name);
        Ok(self.extension.each().filter(named).collect())
    }
}

impl<'a> Extension<'a> {
    /// What it consists of.
    pub(super) fn parts(&self) -> Result<Vec<Part<'a>>, OrderError> {
        let parts: Elements<'a> = self
            .extension
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .ok_or(OrderError::Unreadable)?;
        // A schedule has two more: how often, and how far back.
        if parts.count > MAX_PROFILES + 2 {
            return Err(OrderError::TooMany);
        }
        let read = parts.kept.into_iter().map(|part| serde_json::from_str(part.get()));
        read.collect::<Result<_, _>>().map_err(|_| OrderError::Unreadable)
    }
}

/// The data these parts name, each once, and the canonicals we do not know, as the person may see
/// them.
pub(super) fn read_profiles(parts: &[Part<'_>]) -> Result<(Vec<Content>, Vec<String>), OrderError> {
    let (mut content, mut unknown_profiles) = (Vec::new(), Vec::new());
    for part in parts.iter().filter(|part| part.url == "submissionDataProfile") {
        match Content::from_canonical(&part.value_canonical) {
            Some(known) if content.contains(&known) => {}
            Some(known) => content.push(known),
            None => unknown_profiles.push(shown(&part.value_canonical, MAX_CANONICAL)),
        }
    }
    if content.is_empty() && unknown_profiles.is_empty() {
        return Err(OrderError::NoContent);
    }
    Ok((content, unknown_profiles))
}

/// Whether a reference, relative or below the base, versioned or not, is to the patient.
fn is_about(reference: &str, base: &Url, patient: &PatientId) -> bool {
    let base = base.as_str().trim_end_matches('/');
    let relative =
        reference.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).unwrap_or(reference);
    let id = relative.strip_prefix("Patient/").and_then(|rest| rest.split("/_history/").next());
    id == Some(patient.as_str())
}
