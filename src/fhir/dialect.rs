//! Which guide a receiver speaks, and everything about a bundle that depends on it.

use url::Url;

/// A guide for submitting CGM data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// HL7 CGM STU1, <http://hl7.org/fhir/uv/cgm>.
    #[default]
    Hl7Cgm,
    /// No guide: any FHIR R4 server that takes transactions. The resources are HL7 CGM's.
    Plain,
}

/// What in a `CapabilityStatement` tells guides apart.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent signs, each read on its own")]
pub(super) struct Signs {
    /// It instantiates HL7 CGM's data receiver.
    pub(super) cgm_receiver: bool,
    /// It lists HL7 CGM's operation.
    pub(super) cgm_operation: bool,
    /// It lists the operation of a guide that is not spoken here.
    pub(super) other_guide: bool,
    /// It is FHIR R4.
    pub(super) fhir_r4: bool,
    /// It takes transactions at its base.
    pub(super) transaction: bool,
}

impl Dialect {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Hl7Cgm, Self::Plain];

    /// What to speak to a receiver that shows these signs; none where it would understand nothing
    /// of it.
    pub(super) const fn recognise(signs: Signs) -> Option<Self> {
        if signs.cgm_receiver || signs.cgm_operation {
            Some(Self::Hl7Cgm)
        } else if signs.fhir_r4 && signs.transaction && !signs.other_guide {
            Some(Self::Plain)
        } else {
            None
        }
    }

    /// The stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Hl7Cgm => "hl7-cgm",
            Self::Plain => "plain",
        }
    }

    /// The dialect of a [`Dialect::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.code() == code)
    }

    /// Where a bundle is posted, at the receiver whose FHIR base is `base`.
    ///
    /// ```
    /// use cgm_submitter::fhir::Dialect;
    /// let base = url::Url::parse("https://ehr.example/fhir/r4")?;
    /// assert_eq!(Dialect::Hl7Cgm.endpoint(&base).as_str(), "https://ehr.example/fhir/r4/$submit-cgm-bundle");
    /// assert_eq!(Dialect::Plain.endpoint(&base).as_str(), "https://ehr.example/fhir/r4");
    /// # Ok::<(), url::ParseError>(())
    /// ```
    pub fn endpoint(self, base: &Url) -> Url {
        let mut endpoint = base.clone();
        let operation = match self {
            Self::Hl7Cgm => "/$submit-cgm-bundle",
            Self::Plain => "",
        };
        endpoint.set_path(&format!("{}{operation}", base.path().trim_end_matches('/')));
        endpoint.set_query(None);
        endpoint.set_fragment(None);
        endpoint
    }

    /// Whether a receiver that speaks this guide and lacks conditional create refuses entries that
    /// ask for it, and stores none of them.
    pub const fn refuses_conditions_it_ignores(self) -> bool {
        match self {
            Self::Hl7Cgm => true,
            Self::Plain => false,
        }
    }

    /// `Bundle.type` of what is sent.
    pub(super) const fn bundle_type(self) -> &'static str {
        match self {
            Self::Hl7Cgm | Self::Plain => "transaction",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operation_is_called_on_the_base_whatever_its_slashes() {
        for (base, operation, plain) in [
            ("https://a.example", "https://a.example/$submit-cgm-bundle", "https://a.example/"),
            (
                "https://a.example/fhir/",
                "https://a.example/fhir/$submit-cgm-bundle",
                "https://a.example/fhir",
            ),
            (
                "http://127.0.0.1:8080/x%20y?tenant=1",
                "http://127.0.0.1:8080/x%20y/$submit-cgm-bundle",
                "http://127.0.0.1:8080/x%20y",
            ),
        ] {
            let base = Url::parse(base).unwrap();
            assert_eq!(Dialect::Hl7Cgm.endpoint(&base).as_str(), operation);
            assert_eq!(Dialect::Plain.endpoint(&base).as_str(), plain);
        }
    }

    #[test]
    fn a_code_stands_for_one_dialect() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::from_code(dialect.code()), Some(dialect));
        }
        assert_eq!(Dialect::from_code("other"), None);
    }

    #[test]
    fn a_guide_is_preferred_to_none_and_a_foreign_one_is_not_taken_for_none() {
        let plain = Signs { fhir_r4: true, transaction: true, ..Signs::default() };
        assert_eq!(Dialect::recognise(plain), Some(Dialect::Plain));
        assert_eq!(
            Dialect::recognise(Signs { cgm_operation: true, ..plain }),
            Some(Dialect::Hl7Cgm)
        );
        assert_eq!(
            Dialect::recognise(Signs { cgm_receiver: true, ..Signs::default() }),
            Some(Dialect::Hl7Cgm)
        );
        for not_enough in [
            Signs { other_guide: true, ..plain },
            Signs { transaction: false, ..plain },
            Signs { fhir_r4: false, ..plain },
            Signs::default(),
        ] {
            assert_eq!(Dialect::recognise(not_enough), None, "{not_enough:?}");
        }
    }
}
