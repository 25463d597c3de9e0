//! A summary of some days: an Observation 107931-8 and the six figures it refers to.
//!
//! Figures are rounded here, once, to the decimals they are sent with: 1 for mg/dL, 2 for mmol/L
//! and percentages. Identifiers are made of the rounded figures, so a summary counts as changed
//! when, and only when, what a receiver would see has changed.

use super::codes::{DAYS, PERCENT, SUMMARY, SummaryMember, Unit, glucose_unit};
use super::datetime::FhirDateTime;
use super::decimal::Decimal;
use super::dialect::{Content, Dialect, Figure, Member, Range};
use super::identity::{Identifier, Name, Succession};
use super::kind::EntryKind;
use super::reading::Replaced;
use super::resource::{Annotation, CodeableConcept, Component, Observation, Quantity, Reference};
use super::subject::SubjectReference;
use crate::glucose::{DateRange, GlucoseUnit};
use std::fmt;

/// Why a summary cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// A figure is no number that can be sent.
    #[error(
        "the summary's {0} is not a number from 0 to 999999: there are too few readings, leave the \
        summary out"
    )]
    Figure(&'static str),
    /// The times in ranges do not cover all of the time.
    #[error("the summary's times in ranges do not add up to 100 %")]
    Ranges,
    /// A date outside the years 1 to 9999.
    #[error("the summary's dates are outside the years 1 to 9999")]
    Dates,
}

/// What is known of some days, in no particular form.
#[derive(Clone, PartialEq)]
pub struct SummaryFacts {
    /// The local dates it covers.
    pub dates: DateRange,
    /// Mean glucose, mg/dL.
    pub mean_mg_dl: f64,
    /// Glucose management indicator, %.
    pub gmi_percent: f64,
    /// Coefficient of variation, %.
    pub cv_percent: f64,
    /// Times in the very low, low, target, high and very high range, in hundredths of a percent,
    /// each rounded by itself: they add up to 10000 but for that.
    pub ranges_hundredths: [u32; 5],
    /// Days with at least one reading.
    pub days_of_wear: u32,
    /// Share of the time the sensor was active, %.
    pub sensor_active_percent: f64,
    /// What a reader must know, in plain words: that there is too little data to judge by.
    pub note: Option<String>,
}

/// Says only the dates.
impl fmt::Debug for SummaryFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SummaryFacts").field("dates", &self.dates).finish_non_exhaustive()
    }
}

/// A summary or figure of the same dates that a receiver has: what a later one of its kind takes
/// the place of.
#[derive(Clone, Copy)]
pub struct EarlierResource<'a> {
    /// What it is.
    pub kind: EntryKind,
    /// The identifier it was sent with.
    pub identifier: Identifier,
    /// Where the receiver put it, if it said so.
    pub location: Option<&'a str>,
    /// Whether it is, or may be, still there.
    pub is_there: bool,
}

/// Says only what it is.
impl fmt::Debug for EarlierResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EarlierResource").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What an entry is called, and what it takes the place of.
#[derive(Clone, Copy)]
struct Named<'a> {
    identifier: Identifier,
    replaces: Option<Replaced<'a>>,
    /// The very same, if the receiver has or may have it.
    stands: Option<Replaced<'a>>,
}

impl<'a> Named<'a> {
    /// By what the receiver has of this kind, oldest first.
    fn after(kind: EntryKind, name: &Name, earlier: &[EarlierResource<'a>]) -> Self {
        let of_kind = || earlier.iter().filter(|one| one.kind == kind);
        let sent: Vec<Identifier> = of_kind().map(|one| one.identifier).collect();
        let Succession { identifier, replaces } = name.succession(&sent);
        let at = |identifier| {
            let known = of_kind().find(|one| one.identifier == identifier);
            known
                .and_then(|one| one.location)
                .map_or(Replaced::Identifier(identifier), Replaced::Location)
        };
        let stands = of_kind().any(|one| one.is_there && one.identifier == identifier);
        let (replaces, stands) = (replaces.map(at), stands.then(|| at(identifier)));
        Self { identifier, replaces, stands }
    }
}

/// A summary, as it is sent.
#[derive(Clone)]
pub struct SummaryEntry<'a> {
    subject: &'a SubjectReference,
    unit: GlucoseUnit,
    start: FhirDateTime,
    end: FhirDateTime,
    note: Option<&'a str>,
    summary: Named<'a>,
    members: Vec<MemberEntry<'a>>,
}

/// A fact with the decimals it is sent with.
#[derive(Clone, Copy)]
struct Fact {
    figure: Figure,
    value: Decimal,
    unit: Unit,
}

/// The facts, rounded.
fn rounded(facts: &SummaryFacts, unit: GlucoseUnit) -> Result<Vec<Fact>, SummaryError> {
    let sum = facts.ranges_hundredths.iter().try_fold(0_u32, |sum, part| sum.checked_add(*part));
    // Five roundings by at most half a hundredth each.
    if !sum.is_some_and(|sum| (9_998..=10_002).contains(&sum)) {
        return Err(SummaryError::Ranges);
    }
    let decimals = match unit {
        GlucoseUnit::MgPerDl => 1,
        GlucoseUnit::MmolPerL => 2,
    };
    let value =
        |value, scale, name| Decimal::rounded(value, scale).ok_or(SummaryError::Figure(name));
    let mean = value(facts.mean_mg_dl / unit.in_mg_dl(), decimals, "mean")?;
    let gmi = value(facts.gmi_percent, 2, "GMI")?;
    let cv = value(facts.cv_percent, 2, "coefficient of variation")?;
    let active = value(facts.sensor_active_percent, 2, "share of active time")?;
    let days = Decimal::whole(facts.days_of_wear);
    let ranges = Range::ALL.into_iter().zip(facts.ranges_hundredths).map(|(range, hundredths)| {
        (Figure::TimeIn(range), Decimal::hundredths(hundredths), PERCENT)
    });
    let others = [
        (Figure::Mean(unit), mean, glucose_unit(unit)),
        (Figure::Gmi, gmi, PERCENT),
        (Figure::CoefficientOfVariation, cv, PERCENT),
        (Figure::DaysOfWear, days, DAYS),
        (Figure::SensorActive, active, PERCENT),
    ];
    let all = ranges.chain(others);
    Ok(all.map(|(figure, value, unit)| Fact { figure, value, unit }).collect())
}

/// A member of a summary, with the facts it says.
#[derive(Clone)]
struct MemberEntry<'a> {
    member: SummaryMember,
    code: &'static str,
    content: Content,
    facts: Vec<Fact>,
    named: Named<'a>,
}

impl<'a> SummaryEntry<'a> {
    /// The summary of `facts`, its mean in `unit`, at a receiver that has no other of its dates.
    ///
    /// # Errors
    /// [`SummaryError`] if a figure cannot be sent.
    pub fn new(
        subject: &'a SubjectReference,
        facts: &'a SummaryFacts,
        unit: GlucoseUnit,
    ) -> Result<Self, SummaryError> {
        Self::after(Dialect::default(), &[], subject, facts, unit)
    }

    /// The summary of `facts` at a receiver that has these `earlier` ones of the same dates and
    /// unit, oldest first: it says which it replaces, and so do its figures that changed.
    ///
    /// # Errors
    /// [`SummaryError`] if a figure cannot be sent.
    pub fn after(
        dialect: Dialect,
        earlier: &[EarlierResource<'a>],
        subject: &'a SubjectReference,
        facts: &'a SummaryFacts,
        unit: GlucoseUnit,
    ) -> Result<Self, SummaryError> {
        let all = rounded(facts, unit)?;
        let dates = (facts.dates.first(), facts.dates.last());
        let (start, end) = FhirDateTime::date(dates.0)
            .zip(FhirDateTime::date(dates.1))
            .ok_or(SummaryError::Dates)?;
        let named = |kind, word, loinc, unit, facts: &[Fact]| {
            let values: Vec<String> =
                facts.iter().map(|fact| fact.value.digits().as_str().to_owned()).collect();
            let values = values.iter().map(String::as_str);
            let name = Name::period(word, subject.patient(), loinc, dates, unit, values);
            Named::after(kind, &name, earlier)
        };
        let of = |figure| all.iter().find(|fact| fact.figure == figure).copied();
        let members =
            (dialect.guide().members)(unit).iter().map(|Member { kind: member, code, content }| {
                let facts: Vec<Fact> = content.figures().filter_map(of).collect();
                let kind = EntryKind::SummaryMember(*member);
                let unit = facts.first().map_or("", |fact| fact.unit.code);
                let named = named(kind, "member", code, unit, &facts);
                MemberEntry { member: *member, code, content: *content, facts, named }
            });
        let members: Vec<MemberEntry<'_>> = members.collect();
        let said: Vec<Fact> = members.iter().flat_map(|one| one.facts.iter().copied()).collect();
        let summary = named(EntryKind::Summary, "summary", SUMMARY, unit.ucum(), &said);
        let note = facts.note.as_deref();
        Ok(Self { subject, unit, start, end, note, summary, members })
    }

    /// Its members, in the order they are sent.
    pub(super) fn members(&self) -> impl Iterator<Item = SummaryMember> + use<'a, '_> {
        self.members.iter().map(|one| one.member)
    }

    /// The identifiers of its members, then its own.
    pub(crate) fn identifiers(&self) -> impl Iterator<Item = Identifier> + use<'a, '_> {
        let members = self.members.iter().map(|one| one.named.identifier);
        members.chain([self.summary.identifier])
    }

    /// The summary's identifier at the receiver.
    pub const fn identifier(&self) -> Identifier {
        self.summary.identifier
    }

    /// A member's identifier at the receiver; `None` for a mean in the other unit.
    pub fn member_identifier(&self, member: SummaryMember) -> Option<Identifier> {
        self.find(member).map(|one| one.named.identifier)
    }

    fn find(&self, member: SummaryMember) -> Option<&MemberEntry<'a>> {
        self.members.iter().find(|one| one.member == member)
    }

    /// Whether the receiver has or may have this very summary.
    pub(super) const fn stands(&self) -> bool {
        self.summary.stands.is_some()
    }

    /// Whether the receiver has or may have this very figure.
    pub(super) fn member_stands(&self, member: SummaryMember) -> bool {
        self.find(member).is_some_and(|one| one.named.stands.is_some())
    }

    /// What holds the members together: all of them entries of the same bundle, or only those that
    /// the receiver does not have.
    pub(super) fn observation(&self, all_entries: bool) -> Observation<'_> {
        let mut observation = self.blank(self.summary, SUMMARY);
        observation.note = self.note.map(|text| [Annotation { text }]);
        let reference = |one: &MemberEntry<'a>| match one.named.stands.filter(|_| !all_entries) {
            Some(stands) => stands.reference(),
            None => Reference::Entry { reference: one.named.identifier },
        };
        observation.has_member = Some(self.members.iter().map(reference).collect());
        observation
    }

    /// A member's Observation; `None` for a mean in the other unit.
    pub(super) fn member(&self, member: SummaryMember) -> Option<Observation<'_>> {
        let MemberEntry { code, content, facts, named, .. } = self.find(member)?;
        let mut observation = self.blank(*named, code);
        let quantity = |fact: &Fact| Quantity::new(fact.value, fact.unit);
        match content {
            Content::Value(_) => observation.value_quantity = facts.first().map(quantity),
            Content::Components(codes) => {
                let component = |((_, code), fact): (&(Figure, &'static str), &Fact)| Component {
                    code: CodeableConcept::loinc(code),
                    value_quantity: quantity(fact),
                };
                observation.component = Some(codes.iter().zip(facts).map(component).collect());
            }
        }
        observation.note = self.note.map(|text| [Annotation { text }]);
        Some(observation)
    }

    /// One without its content as yet.
    fn blank(&self, named: Named<'a>, loinc: &'static str) -> Observation<'_> {
        let period = (self.start, self.end);
        let mut blank = Observation::new(named.identifier, loinc, self.subject.as_str(), period);
        blank.extension = named.replaces.map(Replaced::extension);
        blank
    }
}

/// Says only the unit of the mean.
impl fmt::Debug for SummaryEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SummaryEntry").field("unit", &self.unit).finish_non_exhaustive()
    }
}
