//! SMART scopes: reading them, deciding which are granted, and asking whether they cover an
//! interaction with a resource. Pure; who asks and for whom is known elsewhere.

use crate::{config::ScopeSupport, store::Coding};

/// What this receiver can ever grant: resource type and the permissions that make sense for it.
const GRANTABLE: [(&str, &str); 5] = [
    ("Patient", "rs"),
    ("ServiceRequest", "rs"),
    ("Observation", "crus"),
    ("DiagnosticReport", "crus"),
    ("Device", "crus"),
];

/// Scopes that are not about a resource type.
const LAUNCH_PATIENT: &str = "launch/patient";
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

/// `patient/Observation.cu?category=laboratory`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceScope {
    kind: String,
    permissions: String,
    pub(crate) restriction: Option<Restriction>,
}

/// The search restriction of a granular scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restriction {
    /// `category` or `code`.
    pub(crate) element: &'static str,
    /// `None` matches any system.
    pub(crate) system: Option<String>,
    pub(crate) code: String,
}

impl Restriction {
    fn covers(&self, codings: &[Coding]) -> bool {
        codings.iter().any(|coding| {
            coding.element == self.element
                && coding.code == self.code
                && self.system.as_ref().is_none_or(|system| *system == coding.system)
        })
    }
}

/// The scopes of one access token.
#[derive(Debug, Clone, Default)]
pub(crate) struct GrantedScopes(Vec<ResourceScope>);

impl GrantedScopes {
    pub(crate) fn parse(scope: &str) -> Self {
        Self(
            scope
                .split_whitespace()
                .filter_map(|text| resource_scope(text).map(|(scope, _)| scope))
                .collect(),
        )
    }

    /// Whether `permission` (c, r, u, d or s) on a resource with these codings is covered.
    pub(crate) fn allow(&self, kind: &str, permission: char, codings: &[Coding]) -> bool {
        self.with(kind, permission)
            .any(|scope| scope.restriction.as_ref().is_none_or(|rule| rule.covers(codings)))
    }

    /// The scopes that give `permission` on a type, restricted or not.
    pub(crate) fn with(
        &self,
        kind: &str,
        permission: char,
    ) -> impl Iterator<Item = &ResourceScope> {
        self.0
            .iter()
            .filter(move |scope| scope.kind == kind && scope.permissions.contains(permission))
    }

    pub(crate) fn create_anything(&self) -> bool {
        self.0.iter().any(|scope| scope.permissions.contains('c'))
    }

    pub(crate) fn search_anything(&self) -> bool {
        self.0.iter().any(|scope| scope.permissions.contains('s'))
    }
}

/// Why no scope is granted: `invalid_scope` with this description.
pub(crate) type InvalidScope = &'static str;

/// The scopes granted of those requested: supported ones, within the ceiling when there is one.
pub(crate) fn grant(
    requested: &str,
    support: ScopeSupport,
    ceiling: Option<&[String]>,
) -> Result<Vec<String>, InvalidScope> {
    let mut granted = Vec::new();
    for text in requested.split_whitespace() {
        match (support, resource_scope(text)) {
            (ScopeSupport::Version1, Some((_, 2))) => {
                return Err("this server understands version 1 scopes only");
            }
            (
                ScopeSupport::ResourceLevel,
                Some((ResourceScope { restriction: Some(_), .. }, _)),
            ) => {
                return Err("this server does not support search restrictions in scopes");
            }
            (ScopeSupport::Granular | ScopeSupport::ResourceLevel, Some((_, 1))) => {}
            (_, Some((scope, _))) if grantable(&scope) => granted.push(text.to_owned()),
            (_, None) if [LAUNCH_PATIENT, OFFLINE_ACCESS].contains(&text) => {
                granted.push(text.to_owned());
            }
            _ => {}
        }
    }
    if let Some(ceiling) = ceiling {
        granted.retain(|scope| ceiling.contains(scope));
    }
    granted.dedup();
    if granted.iter().any(|scope| resource_scope(scope).is_some()) {
        Ok(granted)
    } else {
        Err("none of the requested scopes can be granted")
    }
}

fn grantable(scope: &ResourceScope) -> bool {
    GRANTABLE.iter().any(|(kind, permissions)| {
        // `cu` and `cruds` are granted if part of them is useful, as servers do; what is not
        // supported is not served.
        scope.kind == *kind
            && scope.permissions.chars().any(|permission| permissions.contains(permission))
    })
}

/// Whether the token response names the patient.
pub(crate) fn gives_patient(scope: &str) -> bool {
    scope.split_whitespace().any(|text| text == LAUNCH_PATIENT)
}

pub(crate) fn gives_refresh(scope: &str) -> bool {
    scope.split_whitespace().any(|text| text == OFFLINE_ACCESS)
}

/// Whether every scope of `narrower` is in `granted`, word for word.
pub(crate) fn within(narrower: &str, granted: &str) -> bool {
    narrower.split_whitespace().all(|scope| granted.split_whitespace().any(|known| known == scope))
}

/// Reads one `patient/…` scope and says whether it is of version 1 or 2.
fn resource_scope(text: &str) -> Option<(ResourceScope, u8)> {
    let (kind, rest) = text.strip_prefix("patient/")?.split_once('.')?;
    let (permissions, restriction) = match rest.split_once('?') {
        Some((permissions, restriction)) => (permissions, Some(parse_restriction(restriction)?)),
        None => (rest, None),
    };
    let (permissions, version) = match permissions {
        "read" => ("rs", 1),
        "write" => ("cud", 1),
        "*" => ("cruds", 1),
        other if in_order(other) => (other, 2),
        _ => return None,
    };
    Some((
        ResourceScope { kind: kind.to_owned(), permissions: permissions.to_owned(), restriction },
        version,
    ))
}

/// `cruds`, or some of it in this order.
fn in_order(permissions: &str) -> bool {
    let mut rest = "cruds".chars();
    !permissions.is_empty()
        && permissions.chars().all(|permission| rest.any(|known| known == permission))
}

fn parse_restriction(text: &str) -> Option<Restriction> {
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    let (name, token) = pairs.next()?;
    let element = match &*name {
        "category" => "category",
        "code" => "code",
        _ => return None,
    };
    if pairs.next().is_some() || token.is_empty() {
        return None;
    }
    let (system, code) = match token.split_once('|') {
        Some((system, code)) => (Some(system.to_owned()), code.to_owned()),
        None => (None, token.into_owned()),
    };
    Some(Restriction { element, system, code })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laboratory() -> Vec<Coding> {
        let system = "http://terminology.hl7.org/CodeSystem/observation-category".to_owned();
        vec![Coding { element: "category", system, code: "laboratory".into() }]
    }

    #[test]
    fn a_restricted_scope_covers_only_its_category() {
        for scope in [
            "patient/Observation.cu?category=laboratory",
            "patient/Observation.cu?\
            category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
        ] {
            let scopes = GrantedScopes::parse(scope);
            assert!(scopes.allow("Observation", 'c', &laboratory()), "{scope}");
            assert!(!scopes.allow("Observation", 'c', &[]), "{scope}");
            assert!(!scopes.allow("Observation", 'r', &laboratory()), "{scope}");
            assert!(!scopes.allow("DiagnosticReport", 'c', &laboratory()), "{scope}");
        }
        let elsewhere =
            GrantedScopes::parse("patient/Observation.c?category=http://elsewhere|laboratory");
        assert!(!elsewhere.allow("Observation", 'c', &laboratory()));
    }

    #[test]
    fn what_is_granted_depends_on_the_syntax_the_server_understands() {
        let requested = "launch/patient offline_access openid patient/Patient.r \
            patient/Observation.cu?category=laboratory";
        assert_eq!(
            grant(requested, ScopeSupport::Granular, None),
            Ok([
                "launch/patient",
                "offline_access",
                "patient/Patient.r",
                "patient/Observation.cu?category=laboratory"
            ]
            .map(str::to_owned)
            .to_vec())
        );
        assert!(grant(requested, ScopeSupport::ResourceLevel, None).is_err());
        assert!(grant("patient/Observation.cu", ScopeSupport::Version1, None).is_err());
        assert!(grant("patient/Observation.write", ScopeSupport::Version1, None).is_ok());
        assert!(grant("patient/Observation.write", ScopeSupport::Granular, None).is_err());
        assert!(grant("patient/Observation.uc", ScopeSupport::Granular, None).is_err());
        let ceiling = ["patient/Patient.r".to_owned()];
        assert_eq!(grant(requested, ScopeSupport::Granular, Some(&ceiling)), Ok(ceiling.to_vec()));
    }
}
