//! A `ServiceRequest` as receivers write it, what is checked of every order before it is followed,
//! and how it names the data it wants. Schedules and dates are read elsewhere.

use super::content::Content;
use super::error::{MAX_CANONICAL, MAX_EXTENSIONS, MAX_PROFILES, OrderError};
use super::occurrence::Occurrence;
use super::order::OrderId;
use crate::fhir::{
    Elements, Json, ONE_TIME_ORDER, OrderVocabulary, PatientId, STANDING_ORDER, lenient, shown,
};
use serde::Deserialize;
use url::Url;

/// What the codes, and the profiles, of orders for glucose data are called in any guide and draft.
const ORDER_WORDS: [&str; 6] = [
    STANDING_ORDER,
    ONE_TIME_ORDER,
    "cgm-submission-order",
    "cgm-submission-standing-order",
    "data-submission-standing-order",
    "data-submission-one-time-order",
];
/// The address under which the guide's drafts were written.
const DRAFTS: &str = "http://argo.run/cgm/";

/// What a request is to this app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A standing order of the receiver's guide.
    Standing,
    /// It looks like an order for glucose data, and is none that is followed.
    Alike(OrderError),
    /// Something else: a laboratory order, a referral.
    Other,
}

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
    #[serde(default, borrow, deserialize_with = "lenient")]
    subject: Subject<'a>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    extension: Elements<'a>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    meta: Meta<'a>,
    #[serde(default, borrow)]
    occurrence_period: Option<Json<'a>>,
    #[serde(default, borrow)]
    occurrence_date_time: Option<Json<'a>>,
    #[serde(default, borrow)]
    occurrence_timing: Option<Json<'a>>,
}

#[derive(Default, Deserialize)]
struct Meta<'a> {
    #[serde(default, borrow, deserialize_with = "lenient")]
    profile: Elements<'a>,
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
struct Subject<'a> {
    #[serde(default, borrow)]
    reference: Option<Json<'a>>,
    #[serde(default, borrow)]
    identifier: Option<Json<'a>>,
}

/// An extension; what is within is looked at only if it is one of ours.
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
pub(super) struct InnerExtension<'a> {
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

    /// Whether it has this code of this code system.
    pub(super) fn has_code(&self, system: &str, code: &str) -> bool {
        self.code.coding.each().any(|coding: Coding| coding.system == system && coding.code == code)
    }

    /// What it is to this app, of a receiver whose orders have these words: told by its code, its
    /// extensions and the profiles it claims.
    pub(super) fn kind(&self, words: &OrderVocabulary) -> Kind {
        if !self.is_service_request() {
            return Kind::Other;
        }
        if self.has_code(words.system, words.standing) {
            return Kind::Standing;
        }
        if self.has_code(words.system, words.one_time) {
            return Kind::Alike(OrderError::OneTime);
        }
        let codings = self.code.coding.each().filter(|one: &Coding| is_order_word(&one.code));
        let codes = codings.map(|one: Coding| one.system);
        let extensions = self.extension.each().map(|one: Extension<'_>| one.url);
        let forms = [words.schedule.extension, words.dates.extension];
        let named = |url: &String| forms.contains(&last_part(url));
        let profiles = self.meta.profile.each();
        let claimed = |url: &String| is_order_word(last_part(url));
        let mut signs =
            codes.chain(extensions.filter(named)).chain(profiles.filter(claimed)).peekable();
        if signs.peek().is_none() {
            Kind::Other
        } else if signs.any(|sign| sign.starts_with(DRAFTS)) {
            Kind::Alike(OrderError::OtherGuide)
        } else {
            Kind::Alike(OrderError::Code)
        }
    }

    pub(super) fn id(&self) -> Option<OrderId> {
        OrderId::new(self.id.as_str()).ok()
    }

    /// Whether it is an order, about `patient`, that says only what we know.
    pub(super) fn check(&self, base: &Url, patient: &PatientId) -> Result<(), OrderError> {
        self.subject.check(base, patient)?;
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

    /// When it applies, by its `occurrence`.
    pub(super) fn occurrence(&self) -> Result<Occurrence, OrderError> {
        // One moment, or a timing beside the schedules: which of the two is meant is not ours to
        // guess.
        if self.occurrence_date_time.is_some() || self.occurrence_timing.is_some() {
            return Err(OrderError::Occurrence);
        }
        let period = self.occurrence_period;
        period.map_or(Ok(Occurrence::ALWAYS), |raw| {
            Occurrence::read(raw).ok_or(OrderError::Occurrence)
        })
    }

    /// Its extensions with this name, of whichever guide.
    pub(super) fn extensions(&self, name: &str) -> Result<Vec<Extension<'a>>, OrderError> {
        if self.extension.count > MAX_EXTENSIONS {
            return Err(OrderError::TooMany);
        }
        let named = |one: &Extension<'_>| last_part(&one.url) == name;
        Ok(self.extension.each().filter(named).collect())
    }
}

impl Subject<'_> {
    /// Whether it is `patient`.
    fn check(&self, base: &Url, patient: &PatientId) -> Result<(), OrderError> {
        match (self.reference, self.identifier) {
            (Some(reference), _) => {
                let reference = serde_json::from_str::<String>(reference.get());
                let same = reference.is_ok_and(|reference| is_about(&reference, base, patient));
                if same { Ok(()) } else { Err(OrderError::OtherPatient) }
            }
            // Nothing is known here of the identifiers a patient has.
            (None, Some(_)) => Err(OrderError::SubjectByIdentifier),
            (None, None) => Err(OrderError::NoSubject),
        }
    }
}

impl<'a> Extension<'a> {
    /// Whether it is the guide's own.
    pub(super) fn is_of(&self, words: &OrderVocabulary) -> bool {
        self.url.starts_with(words.canonicals)
    }

    /// What it consists of.
    pub(super) fn parts(&self) -> Result<Vec<InnerExtension<'a>>, OrderError> {
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

/// The one part with this name; `None` if there is none.
pub(super) fn single<'p, 'a>(
    parts: &'p [InnerExtension<'a>],
    url: &'static str,
) -> Result<Option<&'p InnerExtension<'a>>, OrderError> {
    let mut named = parts.iter().filter(|part| part.url == url);
    let first = named.next();
    if named.next().is_some() { Err(OrderError::Twice(url)) } else { Ok(first) }
}

/// The data these parts name, each once, and the canonicals we do not know, as the person may see
/// them.
pub(super) fn read_profiles(
    parts: &[InnerExtension<'_>],
    words: &OrderVocabulary,
) -> Result<(Vec<Content>, Vec<String>), OrderError> {
    let (mut content, mut unknown_profiles) = (Vec::new(), Vec::new());
    for part in parts.iter().filter(|part| part.url == words.profile) {
        if part.value_canonical.trim().is_empty() {
            return Err(OrderError::NoCanonical);
        }
        match Content::from_canonical(&part.value_canonical, words) {
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

/// The last part of a canonical, without its version.
fn last_part(canonical: &str) -> &str {
    let unversioned = canonical.split('|').next().unwrap_or_default();
    unversioned.rsplit('/').next().unwrap_or_default()
}

fn is_order_word(word: &str) -> bool {
    ORDER_WORDS.contains(&word)
}

/// Whether a reference, relative or below the base, versioned or not, is to the patient.
fn is_about(reference: &str, base: &Url, patient: &PatientId) -> bool {
    let base = base.as_str().trim_end_matches('/');
    let relative =
        reference.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).unwrap_or(reference);
    let id = relative.strip_prefix("Patient/").and_then(|rest| rest.split("/_history/").next());
    id == Some(patient.as_str())
}
