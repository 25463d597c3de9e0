//! The scopes to ask a receiver for: v1 (`.read`, `.write`) and v2 (`.cruds?category=…`) of SMART
//! App Launch. What is asked for stands in the table of the receiver's dialect.

use super::SmartConfiguration;
use crate::fhir::Dialect;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How scopes are written, from the narrowest grant to the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeForm {
    /// v2 with `?category=…`, as the guide has it.
    Granular,
    /// v2 without restrictions.
    V2,
    /// v1.
    V1,
}

/// The scopes to ask a receiver for.
///
/// # Example
/// ```
/// use cgm_submitter::fhir::Dialect;
/// use cgm_submitter::smart::{ScopeForm, ScopeRequest};
///
/// let request = ScopeRequest::new(ScopeForm::V2);
/// assert!(request.text(Dialect::Hl7Cgm).ends_with("patient/Device.cu"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeRequest {
    form: ScopeForm,
    read_back: bool,
}

impl ScopeRequest {
    /// The widest there is to ask for: the guide's scopes with their restrictions, and reading back
    /// what was sent.
    pub const WIDEST: Self = Self { form: ScopeForm::Granular, read_back: true };

    /// The guide's scopes, written in `form`.
    pub fn new(form: ScopeForm) -> Self {
        Self { form, read_back: false }
    }

    /// The same, and searching for what was sent: the guide has no scope for it, and not every
    /// receiver grants it.
    #[must_use]
    pub fn with_read_back(self, read_back: bool) -> Self {
        Self { read_back, ..self }
    }

    /// The narrowest form the server understands. Restrictions are left out if the server lists
    /// resource scopes and none of them has one; a list is not exhaustive, and the wider form
    /// is understood by the same servers.
    pub fn for_server(server: &SmartConfiguration) -> Self {
        if !server.has_capability("permission-v2") {
            return Self::new(ScopeForm::V1);
        }
        let listed = server.scopes_supported();
        let lists_resources = listed.iter().any(|scope| scope.starts_with("patient/"));
        let lists_restrictions = listed.iter().any(|scope| scope.contains('?'));
        Self::new(if lists_resources && !lists_restrictions {
            ScopeForm::V2
        } else {
            ScopeForm::Granular
        })
    }

    /// What may be asked of a server that may be asked for `self` at most and answered
    /// `invalid_scope` to `refused`: first without reading back, then in a simpler form, of
    /// which reading back may be a part again.
    #[must_use]
    pub fn after_refusal_of(self, refused: Self) -> Self {
        if refused.read_back {
            return self.with_read_back(false);
        }
        let simpler = match refused.form {
            ScopeForm::Granular => ScopeForm::V2,
            ScopeForm::V2 | ScopeForm::V1 => ScopeForm::V1,
        };
        Self { form: self.form.max(simpler), read_back: self.read_back || simpler > refused.form }
    }

    /// The same, no wider than `most`.
    #[must_use]
    pub fn at_most(self, most: Self) -> Self {
        Self { form: self.form.max(most.form), read_back: self.read_back && most.read_back }
    }

    /// The scopes asked for that `reason`, the server's own words, names. The words themselves may
    /// be about a person and are repeated to nobody.
    pub fn named_in(self, dialect: Dialect, reason: &str) -> Vec<&'static str> {
        const AROUND: &[char] = &['"', '\'', '`', ',', '.', ';', ':', '(', ')', '[', ']'];
        let words = || reason.split_whitespace().map(|word| word.trim_matches(AROUND));
        self.text(dialect).split(' ').filter(|scope| words().any(|word| word == *scope)).collect()
    }

    /// How they are written.
    pub fn form(self) -> ScopeForm {
        self.form
    }

    /// The `scope` parameter, for a receiver that speaks `dialect`.
    pub const fn text(self, dialect: Dialect) -> &'static str {
        let scopes = dialect.scopes();
        let [sending, reading_back] = match self.form {
            ScopeForm::Granular => scopes.granular,
            ScopeForm::V2 => scopes.v2,
            ScopeForm::V1 => scopes.v1,
        };
        if self.read_back { reading_back } else { sending }
    }
}

/// A server's answer that it does not know, or not allow, scopes that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopesRefused {
    /// Whether the next authorisation asks for simpler ones. If not, it begins anew with all.
    pub simpler_left: bool,
    /// The scopes the server named.
    pub named: Vec<&'static str>,
}

impl fmt::Display for ScopesRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiver refuses the scopes asked for")?;
        if !self.named.is_empty() {
            write!(f, " (it names {})", self.named.join(", "))?;
        }
        f.write_str(if self.simpler_left {
            ": begin the connection again, simpler ones are asked for then"
        } else {
            ", and no simpler ones are left: ask the receiver to allow them for this app"
        })
    }
}

impl std::error::Error for ScopesRefused {}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(capability: &str, scopes: &str) -> SmartConfiguration {
        let scopes: Vec<_> = scopes.split_ascii_whitespace().collect();
        let body = serde_json::json!({
            "authorization_endpoint": "a", "token_endpoint": "t",
            "code_challenge_methods_supported": ["S256"],
            "capabilities": [capability], "scopes_supported": scopes,
        });
        SmartConfiguration::parse(
            &"https://ehr.example/fhir".parse().unwrap(),
            body.to_string().as_bytes(),
        )
        .unwrap()
    }

    #[test]
    fn the_narrowest_form_the_server_knows_is_asked_for() {
        let cases = [
            ("permission-v1", "", ScopeForm::V1),
            ("permission-v2", "", ScopeForm::Granular),
            ("permission-v2", "openid launch/patient", ScopeForm::Granular),
            ("permission-v2", "patient/*.cruds", ScopeForm::V2),
            (
                "permission-v2",
                "patient/Device.cu patient/Observation.cu?category=laboratory",
                ScopeForm::Granular,
            ),
        ];
        for (capability, scopes, form) in cases {
            assert_eq!(
                ScopeRequest::for_server(&server(capability, scopes)).form(),
                form,
                "{capability} {scopes}"
            );
        }
    }

    #[test]
    fn an_invalid_scope_drops_reading_back_restrictions_and_v2_in_turn() {
        let wanted = ScopeRequest::new(ScopeForm::Granular).with_read_back(true);
        let mut most = ScopeRequest::WIDEST;
        let mut asked = Vec::new();
        for _ in 0..7 {
            let request = wanted.at_most(most);
            asked.push((request.form(), request.read_back));
            most = most.after_refusal_of(request);
        }
        assert_eq!(
            asked,
            [
                (ScopeForm::Granular, true),
                (ScopeForm::Granular, false),
                (ScopeForm::V2, true),
                (ScopeForm::V2, false),
                (ScopeForm::V1, true),
                (ScopeForm::V1, false),
                (ScopeForm::V1, false),
            ]
        );
        let refused = ScopeRequest::new(ScopeForm::Granular);
        let most = ScopeRequest::WIDEST.after_refusal_of(refused);
        assert!(wanted.at_most(most).read_back, "reading back was not what was refused");
    }
}
