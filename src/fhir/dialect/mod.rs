//! Which guide a receiver speaks, and everything that depends on it: each guide is a table.

mod hl7_cgm;
mod plain;

use super::codes::SummaryMember;
use super::envelope::{BundleLimits, Envelope, Tag};
use super::permission::{ResourceType, SearchToken};
use crate::glucose::GlucoseUnit;
use serde::{Deserialize, Serialize};
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

/// What a guide says: data, and nowhere else a question which guide it is.
pub(super) struct Guide {
    /// The stable word for it.
    code: &'static str,
    /// What stands behind the base where bundles are posted.
    operation: &'static str,
    /// How entries travel.
    pub(super) envelope: Envelope,
    /// A mark of every bundle.
    pub(super) tag: Option<Tag>,
    /// Whether a receiver that lacks conditional create refuses entries that ask for it.
    refuses_conditions_it_ignores: bool,
    /// How large a bundle may become at first.
    limits: BundleLimits,
    /// What is sent, in this order: later parts refer to the locations earlier ones got.
    stages: &'static [Part],
    /// What each part writes.
    writes: fn(Part) -> Written,
    /// The scopes to ask for.
    scopes: Scopes,
    /// How orders are found; `None` if they come out of band.
    orders: Option<OrderVocabulary>,
    /// The figures of a summary whose mean is given in a unit.
    pub(super) members: fn(GlucoseUnit) -> &'static [Member],
}

/// 500 entries and 1 MB: what most receivers take.
impl Default for BundleLimits {
    fn default() -> Self {
        Dialect::default().limits()
    }
}

/// A part of what a submission sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Part {
    /// The devices, in requests of their own.
    Devices,
    /// The summary with its members: one unit.
    Summary,
    /// The readings.
    Readings,
}

impl Part {
    /// In a word for a person.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Summary => "the summary",
            Self::Readings => "readings",
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// What the resources of a part are: permission is asked for, given and looked for by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Their type.
    pub resource: ResourceType,
    /// The category they carry.
    pub category: Option<SearchToken>,
}

/// The `scope` parameter in each way scopes are written: for sending alone, and for reading back
/// what was sent, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scopes {
    /// SMART v2 with `?category=…`.
    pub granular: [&'static str; 2],
    /// SMART v2 without restrictions.
    pub v2: [&'static str; 2],
    /// SMART v1.
    pub v1: [&'static str; 2],
}

/// The words by which a guide's orders are known, and in which they say what they want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderVocabulary {
    /// The code system.
    pub system: &'static str,
    /// A standing order's code in it.
    pub standing: &'static str,
    /// A one-time order's code in it.
    pub one_time: &'static str,
    /// What the canonicals of the guide's extensions and profiles begin with.
    pub canonicals: &'static str,
    /// How a standing order says how often data is wanted.
    pub schedule: ScheduleForm,
    /// How a one-time order says of which dates data is wanted.
    pub dates: DatesForm,
    /// The part of either that names, as a canonical, the profile of wanted data.
    pub profile: &'static str,
}

/// An extension that says how often data is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleForm {
    /// The last part of its URL.
    pub extension: &'static str,
    /// The part that says, as a quantity, how often.
    pub period: &'static str,
    /// The part that says, as a quantity, how far back data reaches.
    pub lookback: &'static str,
}

/// An extension that says from when to when data is wanted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatesForm {
    /// The last part of its URL.
    pub extension: &'static str,
    /// The part that says, as a period, from when to when.
    pub period: &'static str,
}

/// A fact of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Mean(GlucoseUnit),
    TimeIn(Range),
    Gmi,
    CoefficientOfVariation,
    DaysOfWear,
    SensorActive,
}

/// The five consensus ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    VeryLow,
    Low,
    Target,
    High,
    VeryHigh,
}

impl Range {
    /// From the lowest.
    pub(super) const ALL: [Self; 5] =
        [Self::VeryLow, Self::Low, Self::Target, Self::High, Self::VeryHigh];
}

/// An Observation a summary refers to, and the facts it says.
pub(super) struct Member {
    pub(super) kind: SummaryMember,
    /// Its LOINC code.
    pub(super) code: &'static str,
    pub(super) content: Content,
}

/// Where facts stand in an Observation.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// As its value.
    Value(Figure),
    /// As components, each with its LOINC code.
    Components(&'static [(Figure, &'static str)]),
}

impl Content {
    /// The facts, in the order they stand there.
    pub(super) fn figures(self) -> impl Iterator<Item = Figure> {
        let (value, components) = match self {
            Self::Value(figure) => (Some(figure), &[][..]),
            Self::Components(components) => (None, components),
        };
        value.into_iter().chain(components.iter().map(|(figure, _)| *figure))
    }
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

    /// What to speak to a receiver that shows these signs; `None` if it would understand nothing of
    /// it.
    pub(super) const fn recognise(signs: Signs) -> Option<Self> {
        if signs.cgm_receiver || signs.cgm_operation {
            Some(Self::Hl7Cgm)
        } else if signs.fhir_r4 && signs.transaction && !signs.other_guide {
            Some(Self::Plain)
        } else {
            None
        }
    }

    /// What the guide says.
    pub(super) const fn guide(self) -> &'static Guide {
        match self {
            Self::Hl7Cgm => &hl7_cgm::GUIDE,
            Self::Plain => &plain::GUIDE,
        }
    }

    /// The stable word for it.
    pub const fn code(self) -> &'static str {
        self.guide().code
    }

    /// How entries travel.
    pub(crate) const fn envelope(self) -> Envelope {
        self.guide().envelope
    }

    /// Whether a receiver that speaks this guide and lacks conditional create refuses entries that
    /// ask for it, and stores none of them.
    pub const fn refuses_conditions_it_ignores(self) -> bool {
        self.guide().refuses_conditions_it_ignores
    }

    /// How large a bundle may become before more is known of the receiver.
    pub(crate) const fn limits(self) -> BundleLimits {
        self.guide().limits
    }

    /// What is sent, in this order.
    pub(crate) const fn stages(self) -> &'static [Part] {
        self.guide().stages
    }

    /// What a part writes.
    pub(crate) fn writes(self, part: Part) -> Written {
        (self.guide().writes)(part)
    }

    /// The scopes to ask for.
    pub(crate) const fn scopes(self) -> &'static Scopes {
        &self.guide().scopes
    }

    /// How orders are found; `None` if they come out of band.
    pub(crate) const fn orders(self) -> Option<OrderVocabulary> {
        self.guide().orders
    }

    /// Entries of a summary: itself and its members.
    pub(crate) fn summary_entries(self, unit: GlucoseUnit) -> usize {
        (self.guide().members)(unit).len() + 1
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
    /// let operation = "https://ehr.example/fhir/r4/$submit-cgm-bundle";
    /// assert_eq!(Dialect::Hl7Cgm.endpoint(&base).as_str(), operation);
    /// assert_eq!(Dialect::Plain.endpoint(&base).as_str(), "https://ehr.example/fhir/r4");
    /// # Ok::<(), url::ParseError>(())
    /// ```
    pub fn endpoint(self, base: &Url) -> Url {
        let mut endpoint = base.clone();
        let operation = self.guide().operation;
        endpoint.set_path(&format!("{}{operation}", base.path().trim_end_matches('/')));
        endpoint.set_query(None);
        endpoint.set_fragment(None);
        endpoint
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

    /// What refers to another entry must travel where that resolves.
    #[test]
    fn a_summary_goes_in_one_request_only_where_references_inside_it_resolve() {
        for dialect in Dialect::ALL {
            let together = dialect.stages().contains(&Part::Summary);
            assert!(!together || dialect.envelope().resolves_inside(), "{dialect:?}");
            for unit in [GlucoseUnit::MgPerDl, GlucoseUnit::MmolPerL] {
                assert!(dialect.summary_entries(unit) <= dialect.limits().max_entries);
            }
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
