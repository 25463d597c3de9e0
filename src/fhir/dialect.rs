//! Which guide a receiver speaks, and everything about a bundle that depends on it.

use url::Url;

/// A guide for submitting CGM data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// HL7 CGM STU1, <http://hl7.org/fhir/uv/cgm>.
    #[default]
    Hl7Cgm,
}

impl Dialect {
    /// The stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Hl7Cgm => "hl7-cgm",
        }
    }

    /// The dialect of a [`Dialect::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        (code == Self::Hl7Cgm.code()).then_some(Self::Hl7Cgm)
    }

    /// Where a bundle is posted, at the receiver whose FHIR base is `base`.
    ///
    /// ```
    /// use cgm_submitter::fhir::Dialect;
    /// let base = url::Url::parse("https://ehr.example/fhir/r4")?;
    /// assert_eq!(Dialect::Hl7Cgm.endpoint(&base).as_str(), "https://ehr.example/fhir/r4/$submit-cgm-bundle");
    /// # Ok::<(), url::ParseError>(())
    /// ```
    pub fn endpoint(self, base: &Url) -> Url {
        let mut endpoint = base.clone();
        let operation = match self {
            Self::Hl7Cgm => "$submit-cgm-bundle",
        };
        endpoint.set_path(&format!("{}/{operation}", base.path().trim_end_matches('/')));
        endpoint.set_query(None);
        endpoint.set_fragment(None);
        endpoint
    }

    /// `Bundle.type` of what is sent.
    pub(super) const fn bundle_type(self) -> &'static str {
        match self {
            Self::Hl7Cgm => "transaction",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operation_is_called_on_the_base_whatever_its_slashes() {
        for (base, endpoint) in [
            ("https://a.example", "https://a.example/$submit-cgm-bundle"),
            ("https://a.example/fhir/", "https://a.example/fhir/$submit-cgm-bundle"),
            ("http://127.0.0.1:8080/x%20y?tenant=1", "http://127.0.0.1:8080/x%20y/$submit-cgm-bundle"),
        ] {
            assert_eq!(Dialect::Hl7Cgm.endpoint(&Url::parse(base).unwrap()).as_str(), endpoint);
        }
        assert_eq!(Dialect::from_code(Dialect::Hl7Cgm.code()), Some(Dialect::Hl7Cgm));
        assert_eq!(Dialect::from_code("other"), None);
    }
}
