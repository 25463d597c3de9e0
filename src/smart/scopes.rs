//! The scopes as granted, in every way they are written in the field.
//!
//! A grant may be less or more than what was asked for; a restriction that is not understood grants
//! nothing.

use crate::fhir::{ResourceType, SearchToken};

/// What a grant allows, by resource type.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    /// None for `*`.
    resource: Option<String>,
    create: bool,
    read: bool,
    search: bool,
    /// What the resource must carry, all of it: a parameter and the values of which one must fit.
    restrictions: Vec<(String, Vec<String>)>,
}

/// The scopes as granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantedScopes {
    grants: Vec<Grant>,
    offline: bool,
}

impl GrantedScopes {
    /// More scopes than this are not read: what they would grant is not granted. They are no error,
    /// for which a good token would be thrown away.
    pub const MAX_SCOPES: usize = 1000;

    /// Reads a token's `scope`. What is not understood grants nothing.
    pub fn parse(text: &str) -> Self {
        let mut granted = Self::default();
        for scope in text.split_ascii_whitespace().take(Self::MAX_SCOPES) {
            granted.offline |= matches!(scope, "offline_access" | "online_access");
            granted.grants.extend(Grant::parse(scope));
        }
        granted
    }

    /// Whether a resource that carries `has` (its category) may be created.
    ///
    /// # Example
    /// ```
    /// use cgm_submitter::fhir::{ResourceType, SearchToken};
    /// use cgm_submitter::smart::GrantedScopes;
    ///
    /// let granted = GrantedScopes::parse("patient/Observation.cu?category=laboratory");
    /// assert!(granted.may_create(ResourceType::Observation, Some(SearchToken::LABORATORY)));
    /// assert!(!granted.may_create(ResourceType::Observation, None));
    /// ```
    pub fn may_create(&self, resource: ResourceType, has: Option<SearchToken>) -> bool {
        self.any(resource, has, |grant| grant.create)
    }

    /// Whether a resource that carries `has` may be read by its id.
    pub fn may_read(&self, resource: ResourceType, has: Option<SearchToken>) -> bool {
        self.any(resource, has, |grant| grant.read)
    }

    /// Whether resources that carry `has` may be searched for.
    pub fn may_search(&self, resource: ResourceType, has: Option<SearchToken>) -> bool {
        self.any(resource, has, |grant| grant.search)
    }

    /// Whether a refresh token was to be expected.
    pub fn offline(&self) -> bool {
        self.offline
    }

    fn any(
        &self,
        resource: ResourceType,
        has: Option<SearchToken>,
        allows: impl Fn(&Grant) -> bool,
    ) -> bool {
        self.grants.iter().any(|grant| {
            grant.resource.as_deref().is_none_or(|name| name == resource.name())
                && allows(grant)
                && grant.admits(has)
        })
    }
}

impl Grant {
    /// A scope with more restrictions, or more values in one, is not understood.
    const MAX_RESTRICTIONS: usize = 20;

    fn parse(scope: &str) -> Option<Self> {
        let (context, rest) = scope.split_once('/')?;
        if !matches!(context, "patient" | "user") {
            return None;
        }
        let (what, query) =
            rest.split_once('?').map_or((rest, None), |(what, query)| (what, Some(query)));
        let (resource, permission) = what.split_once('.')?;
        let (create, read, search) = match permission {
            "*" => (true, true, true),
            "read" => (false, true, true),
            "write" => (true, false, false),
            letters
                if !letters.is_empty()
                    && letters.bytes().all(|letter| b"cruds".contains(&letter)) =>
            {
                (letters.contains('c'), letters.contains('r'), letters.contains('s'))
            }
            _ => return None,
        };
        let mut restrictions = Vec::new();
        for (parameter, values) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        {
            if restrictions.len() == Self::MAX_RESTRICTIONS
                || values.matches(',').count() >= Self::MAX_RESTRICTIONS
            {
                return None;
            }
            restrictions
                .push((parameter.into_owned(), values.split(',').map(str::to_owned).collect()));
        }
        let resource = (resource != "*").then(|| resource.to_owned());
        Some(Self { resource, create, read, search, restrictions })
    }

    /// Whether what carries `has` fits all restrictions. A bare code fits in any system,
    /// `system|code` only in its own.
    fn admits(&self, has: Option<SearchToken>) -> bool {
        self.restrictions.iter().all(|(parameter, values)| {
            has.is_some_and(|has| {
                has.parameter == parameter
                    && values.iter().any(|value| match value.split_once('|') {
                        None => value == has.code,
                        Some((system, code)) => {
                            system == has.system && (code == has.code || code.is_empty())
                        }
                    })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ScopeForm, ScopeRequest};
    use super::*;
    use crate::fhir::Dialect;
    use proptest::prelude::*;

    #[test]
    fn every_form_asked_for_covers_what_is_sent_once_granted() {
        for form in [ScopeForm::Granular, ScopeForm::V2, ScopeForm::V1] {
            let granted = GrantedScopes::parse(ScopeRequest::new(form).text(Dialect::Hl7Cgm));
            assert!(
                granted.may_create(ResourceType::Observation, Some(SearchToken::LABORATORY)),
                "{form:?}"
            );
            assert!(
                granted.may_create(ResourceType::DiagnosticReport, Some(SearchToken::LAB)),
                "{form:?}"
            );
            assert!(granted.may_create(ResourceType::Device, None), "{form:?}");
            assert!(granted.may_read(ResourceType::Patient, None), "{form:?}");
            assert!(
                granted.may_search(ResourceType::ServiceRequest, Some(SearchToken::STANDING_ORDER)),
                "{form:?}"
            );
            assert!(
                !granted.may_read(ResourceType::Observation, Some(SearchToken::LABORATORY)),
                "{form:?}"
            );
            assert!(!granted.may_create(ResourceType::Patient, None), "{form:?}");
            assert!(granted.offline());

            let granted = GrantedScopes::parse(
                ScopeRequest::new(form).with_read_back(true).text(Dialect::Hl7Cgm),
            );
            assert!(
                granted.may_create(ResourceType::Observation, Some(SearchToken::LABORATORY)),
                "{form:?}"
            );
            assert!(
                granted.may_search(ResourceType::Observation, Some(SearchToken::LABORATORY)),
                "{form:?}"
            );
            assert!(granted.may_create(ResourceType::Device, None), "{form:?}");
            assert!(granted.may_search(ResourceType::Device, None), "{form:?}");
            assert!(!granted.may_create(ResourceType::Patient, None), "{form:?}");
        }
    }

    #[test]
    fn grants_are_read_in_every_form_of_the_field() {
        let system = "http://terminology.hl7.org/CodeSystem/observation-category";
        let create = [
            ("patient/*.*", true),
            ("patient/*.cu", true),
            ("patient/*.write", true),
            ("user/Observation.cruds", true),
            ("patient/Observation.c", true),
            ("patient/Observation.rs", false),
            ("patient/Observation.read", false),
            ("patient/Device.cu", false),
            ("system/Observation.cu", false),
            ("patient/Observation.cu?category=laboratory", true),
            ("patient/Observation.cu?category=vital-signs,laboratory", true),
            ("patient/Observation.cu?category=vital-signs", false),
            (&format!("patient/Observation.cu?category={system}|laboratory"), true),
            (&format!("patient/Observation.cu?category={system}|"), true),
            ("patient/Observation.cu?category=http%3A%2F%2Fother%7Claboratory", false),
            ("patient/Observation.cu?category=laboratory&status=final", false),
            ("patient/Observation.cu?category:in=x", false),
            ("patient/Observation.", false),
            ("patient/Observation", false),
            ("patient/Observation.xyz", false),
            ("launch/patient", false),
        ];
        for (scope, expected) in create {
            let granted = GrantedScopes::parse(scope);
            let may = granted.may_create(ResourceType::Observation, Some(SearchToken::LABORATORY));
            assert_eq!(may, expected, "{scope}");
        }
    }

    #[test]
    fn more_scopes_or_restrictions_than_are_read_grant_nothing() {
        let may = |text: &str| {
            GrantedScopes::parse(text).may_create(ResourceType::Device, Some(SearchToken::LAB))
        };
        let all = |count| format!("patient/Device.c?{}", vec!["category=LAB"; count].join("&"));
        assert!(may(&all(Grant::MAX_RESTRICTIONS)) && !may(&all(Grant::MAX_RESTRICTIONS + 1)));
        let one_of = |count| format!("patient/Device.c?category={}", vec!["LAB"; count].join(","));
        assert!(
            may(&one_of(Grant::MAX_RESTRICTIONS)) && !may(&one_of(Grant::MAX_RESTRICTIONS + 1))
        );
        let last_of = |count| format!("{} patient/Device.c", vec!["openid"; count - 1].join(" "));
        assert!(
            may(&last_of(GrantedScopes::MAX_SCOPES))
                && !may(&last_of(GrantedScopes::MAX_SCOPES + 1))
        );
    }

    #[test]
    fn a_restricted_grant_does_not_cover_what_carries_nothing() {
        let granted = GrantedScopes::parse("patient/Observation.cu?category=laboratory");
        assert!(!granted.may_create(ResourceType::Observation, None));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(patient/|user/|[a-z*./?=&|, ]){0,40}.{0,40}") {
            let _ = GrantedScopes::parse(&text).may_create(ResourceType::Device, None);
        }
    }
}
