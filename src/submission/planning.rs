//! What a request comes to: one plan for each stretch of dates, and what is left out and why.
//!
//! Pure: the orders, the person's zone and unit, what the receiver granted and the time come in as
//! arguments; what is stored is asked for through a function.

use super::plan::{Plan, Wanted};
use crate::fhir::{Dialect, Part};
use crate::glucose::{DateRange, GlucoseUnit, TimeError, ZoneOffsets};
use crate::orders::{Content, Schedule, StandingOrder};
use crate::smart::GrantedScopes;
use chrono::{DateTime, NaiveDate, Utc};

/// What is to be submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmissionRequest {
    /// What the receiver's standing orders ask for, up to now.
    Ordered,
    /// What the person chose, readings included, over these local dates.
    Own {
        /// The local dates, both included.
        dates: DateRange,
        /// The unit of readings and of the summary's mean.
        unit: GlucoseUnit,
    },
}

/// Content that is not sent, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftOut {
    /// The receiver granted no permission for it.
    NotGranted(Part),
    /// The order asks for it, and this version does not make it.
    NotSupported(Unsupported),
    /// The order asks for readings in both units: they are sent once, in this one.
    OtherUnit {
        /// The unit they are sent in, the one of the person's device.
        sent: GlucoseUnit,
    },
    /// Fewer than two readings: there is nothing to summarise.
    TooFewReadings,
}

/// Content that an order may ask for and this version does not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsupported {
    /// The report as PDF.
    Report,
    /// Single figures without their summary.
    SingleFigures,
    /// Content of a profile that is not known.
    UnknownProfile,
}

/// In words for a person.
impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Report => "the report as PDF",
            Self::SingleFigures => "single figures without their summary",
            Self::UnknownProfile => "content of a profile that is not known",
        })
    }
}

/// In words for a person.
impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotGranted(what) => write!(f, "{what}: the receiver granted no permission"),
            Self::NotSupported(what) => write!(f, "{what}: this version does not make it"),
            Self::OtherUnit { sent } => {
                let other = other_unit(*sent);
                write!(f, "readings in {other}: they are sent once, in the device's unit, {sent}")
            }
            Self::TooFewReadings => f.write_str("the summary: fewer than two readings"),
        }
    }
}

/// Who makes an order be followed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The person: today is included, up to now.
    Person,
    /// The order's schedule: complete days, up to yesterday.
    Schedule,
}

/// What a request is planned with.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The orders that run.
    pub orders: &'a [StandingOrder],
    /// The unit of the person's device.
    pub own_unit: GlucoseUnit,
    /// What the receiver speaks.
    pub dialect: Dialect,
    /// What it granted.
    pub scopes: &'a GrantedScopes,
    /// The person's zone.
    pub zone: &'a ZoneOffsets,
    /// What made it be planned.
    pub trigger: Trigger,
    /// Now.
    pub now: DateTime<Utc>,
}

/// What a request comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// One plan for each stretch of dates, none twice.
    pub plans: Vec<Plan>,
    /// What is not sent, and why, each once.
    pub left_out: Vec<LeftOut>,
}

/// Why nothing can be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanningError {
    /// No order runs.
    #[error("no order runs")]
    NoOrder,
    /// The dates are at the end of the calendar.
    #[error(transparent)]
    Time(#[from] TimeError),
}

/// Plans a request. `can_summarise` tells whether the stored readings make a summary of a plan's
/// dates.
///
/// # Errors
/// [`PlanningError`].
pub fn plan(
    request: SubmissionRequest,
    circumstances: &Circumstances<'_>,
    can_summarise: impl Fn(&Plan) -> bool,
) -> Result<Planned, PlanningError> {
    let mut planned = Planned::default();
    for (wanted, dates) in wishes(request, circumstances, &mut planned)? {
        let wanted = granted(wanted, circumstances, &mut planned);
        let window = dates.window(circumstances.zone)?;
        let now = circumstances.now.timestamp();
        let day_under_way = dates.day_under_way(circumstances.zone, now)?;
        let plan = Plan { wanted, dates, window, day_under_way };
        if wanted.summary && !can_summarise(&plan) {
            planned.leave_out(LeftOut::TooFewReadings);
        }
        let anything = wanted.devices || wanted.summary || wanted.readings;
        if anything && !planned.plans.contains(&plan) {
            planned.plans.push(plan);
        }
    }
    Ok(planned)
}

impl Planned {
    fn leave_out(&mut self, what: LeftOut) {
        if !self.left_out.contains(&what) {
            self.left_out.push(what);
        }
    }
}

fn wishes(
    request: SubmissionRequest,
    circumstances: &Circumstances<'_>,
    planned: &mut Planned,
) -> Result<Vec<(Wanted, DateRange)>, PlanningError> {
    let (dates, unit) = match request {
        SubmissionRequest::Own { dates, unit } => (dates, unit),
        SubmissionRequest::Ordered if circumstances.orders.is_empty() => {
            return Err(PlanningError::NoOrder);
        }
        SubmissionRequest::Ordered => {
            let schedules = circumstances.orders.iter().flat_map(|order| &order.schedules);
            return Ok(schedules.flat_map(|one| ordered(one, circumstances, planned)).collect());
        }
    };
    Ok(vec![(Wanted { devices: true, summary: true, readings: true, unit }, dates)])
}

/// What one schedule asks for, by dates: a summary may reach further back than readings.
fn ordered(
    schedule: &Schedule,
    circumstances: &Circumstances<'_>,
    planned: &mut Planned,
) -> Vec<(Wanted, DateRange)> {
    let has = |content: Content| schedule.content.contains(&content);
    let own = circumstances.own_unit;
    // The person's own unit if the order lists it, once; otherwise converted to the other one.
    let units: Vec<GlucoseUnit> =
        [own, other_unit(own)].into_iter().filter(|unit| has(Content::Readings(*unit))).collect();
    if units.len() > 1 {
        planned.leave_out(LeftOut::OtherUnit { sent: own });
    }
    let unit = units.first().copied();
    let (summary, devices) = (has(Content::Summary), has(Content::Device));
    for what in unsupported(schedule) {
        planned.leave_out(LeftOut::NotSupported(what));
    }
    let today = circumstances.zone.date_at(circumstances.now.timestamp());
    let dates_of = |content| dates_of(schedule, content, today, circumstances.trigger);
    let (summary_dates, data_dates) = (dates_of(Content::Summary), dates_of(Content::Device));
    let nothing =
        Wanted { devices: false, summary: false, readings: false, unit: unit.unwrap_or(own) };
    let data = Wanted { devices, readings: unit.is_some(), ..nothing };
    if summary && summary_dates == data_dates {
        return vec![(Wanted { summary, ..data }, summary_dates)];
    }
    let mut wishes = Vec::new();
    if data.devices || data.readings {
        wishes.push((data, data_dates));
    }
    if summary {
        wishes.push((Wanted { summary, ..nothing }, summary_dates));
    }
    wishes
}

fn dates_of(
    schedule: &Schedule,
    content: Content,
    today: NaiveDate,
    trigger: Trigger,
) -> DateRange {
    schedule.lookback_dates_of(content, today, trigger == Trigger::Person)
}

/// What a schedule asks for and this version does not make.
fn unsupported(schedule: &Schedule) -> impl Iterator<Item = Unsupported> {
    let has = |content: Content| schedule.content.contains(&content);
    let is_figure = |content: &Content| matches!(content, Content::SummaryMember(_));
    let figures = !has(Content::Summary) && schedule.content.iter().any(is_figure);
    let all = [
        (has(Content::SummaryPdf), Unsupported::Report),
        (figures, Unsupported::SingleFigures),
        (!schedule.unknown_profiles.is_empty(), Unsupported::UnknownProfile),
    ];
    all.into_iter().filter_map(|(asked, what)| asked.then_some(what))
}

/// What of it the receiver granted.
fn granted(wanted: Wanted, circumstances: &Circumstances<'_>, planned: &mut Planned) -> Wanted {
    let mut keep = |part| {
        let written = circumstances.dialect.writes(part);
        let granted = circumstances.scopes.may_create(written.resource, written.category);
        if wanted.has(part) && !granted {
            planned.leave_out(LeftOut::NotGranted(part));
        }
        wanted.has(part) && granted
    };
    Wanted {
        devices: keep(Part::Devices),
        summary: keep(Part::Summary),
        readings: keep(Part::Readings),
        unit: wanted.unit,
    }
}

const fn other_unit(unit: GlucoseUnit) -> GlucoseUnit {
    match unit {
        GlucoseUnit::MgPerDl => GlucoseUnit::MmolPerL,
        GlucoseUnit::MmolPerL => GlucoseUnit::MgPerDl,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::SummaryMember;
    use crate::glucose::UtcOffset;
    use crate::orders::{Occurrence, OrderId, OrderStatus};
    use GlucoseUnit::{MgPerDl, MmolPerL};

    const MASS: Content = Content::Readings(MgPerDl);
    const MOLAR: Content = Content::Readings(MmolPerL);
    const ALL: &str = "patient/Observation.c patient/Device.c";

    fn schedule(period: &str, lookback: &str, content: &[Content]) -> Schedule {
        Schedule {
            period: period.parse().unwrap(),
            lookback: (!lookback.is_empty()).then(|| lookback.parse().unwrap()),
            content: content.to_vec(),
            unknown_profiles: Vec::new(),
        }
    }

    fn order(schedules: Vec<Schedule>) -> StandingOrder {
        StandingOrder {
            id: OrderId::new("o").unwrap(),
            status: OrderStatus::Active,
            occurrence: Occurrence::ALWAYS,
            schedules,
        }
    }

    /// What is planned at 10:00 on 15 May at +02:00, in a line for each plan.
    fn planned(
        orders: &[StandingOrder],
        own_unit: GlucoseUnit,
        scopes: &str,
        trigger: Trigger,
    ) -> (Vec<String>, Vec<LeftOut>) {
        let circumstances = Circumstances {
            orders,
            own_unit,
            dialect: Dialect::Hl7Cgm,
            scopes: &GrantedScopes::parse(scopes),
            zone: &ZoneOffsets::fixed(UtcOffset::from_minutes(120).unwrap()),
            trigger,
            now: "2024-05-15T08:00:00Z".parse().unwrap(),
        };
        let request = SubmissionRequest::Ordered;
        let planned = plan(request, &circumstances, |_| true).unwrap();
        (planned.plans.iter().map(line).collect(), planned.left_out)
    }

    fn line(plan: &Plan) -> String {
        let Wanted { devices, summary, readings, unit } = plan.wanted;
        let named = [(devices, "devices "), (summary, "summary "), (readings, "readings ")];
        let named: String = named.iter().filter(|(wanted, _)| *wanted).map(|(_, n)| *n).collect();
        format!("{named}{unit} {}", plan.dates)
    }

    fn by_person(orders: &[Schedule]) -> (Vec<String>, Vec<LeftOut>) {
        planned(&[order(orders.to_vec())], MgPerDl, ALL, Trigger::Person)
    }

    #[test]
    fn what_a_person_sends_includes_today_and_what_a_schedule_sends_ends_yesterday() {
        let cases = [
            ("2 wk", "", "2024-05-02..2024-05-15", "2024-05-01..2024-05-14"),
            ("1 d", "7 d", "2024-05-09..2024-05-15", "2024-05-08..2024-05-14"),
            ("1 d", "1 d", "2024-05-15..2024-05-15", "2024-05-14..2024-05-14"),
        ];
        for (period, lookback, person, scheduled) in cases {
            let orders = [order(vec![schedule(period, lookback, &[MASS, Content::Summary])])];
            for (trigger, dates) in [(Trigger::Person, person), (Trigger::Schedule, scheduled)] {
                let (plans, left_out) = planned(&orders, MgPerDl, ALL, trigger);
                assert_eq!(plans, [format!("summary readings mg/dL {dates}")], "{trigger:?}");
                assert_eq!(left_out, []);
            }
        }
    }

    #[test]
    fn of_two_units_asked_for_the_persons_own_is_sent_once_and_the_other_is_said() {
        for own in [MgPerDl, MmolPerL] {
            let both = [order(vec![schedule("1 d", "1 d", &[MASS, MOLAR])])];
            let (plans, left_out) = planned(&both, own, ALL, Trigger::Person);
            assert_eq!(plans, [format!("readings {own} 2024-05-15..2024-05-15")]);
            assert_eq!(left_out, [LeftOut::OtherUnit { sent: own }]);
            for (one, unit) in [(MASS, MgPerDl), (MOLAR, MmolPerL)] {
                let single = [order(vec![schedule("1 d", "1 d", &[one])])];
                let (plans, left_out) = planned(&single, own, ALL, Trigger::Person);
                assert_eq!(plans, [format!("readings {unit} 2024-05-15..2024-05-15")]);
                assert_eq!(left_out, []);
            }
        }
        let said = LeftOut::OtherUnit { sent: MmolPerL }.to_string();
        assert_eq!(said, "readings in mg/dL: they are sent once, in the device's unit, mmol/L");
    }

    #[test]
    fn a_summary_may_reach_further_back_than_the_data_and_nothing_is_planned_twice() {
        let both = schedule("1 d", "", &[MASS, Content::Device, Content::Summary]);
        let (plans, left_out) = by_person(&[both.clone(), both]);
        assert_eq!(
            plans,
            [
                "devices readings mg/dL 2024-05-15..2024-05-15",
                "summary mg/dL 2024-05-02..2024-05-15"
            ]
        );
        assert_eq!(left_out, []);
    }

    #[test]
    fn what_is_not_made_or_not_granted_is_said_once_and_the_rest_goes() {
        let figure = Content::SummaryMember(SummaryMember::Gmi);
        let mut odd = schedule("1 d", "1 d", &[Content::SummaryPdf, figure, MASS]);
        odd.unknown_profiles.push("http://example.org/new".into());
        let orders = [order(vec![odd.clone(), odd])];
        let scopes = "patient/Observation.c?category=laboratory";
        let (plans, left_out) = planned(&orders, MgPerDl, scopes, Trigger::Person);
        assert_eq!(plans, ["readings mg/dL 2024-05-15..2024-05-15"]);
        let unsupported =
            [Unsupported::Report, Unsupported::SingleFigures, Unsupported::UnknownProfile];
        assert_eq!(left_out, unsupported.map(LeftOut::NotSupported));

        let all = [order(vec![schedule("1 d", "1 d", &[Content::Summary, Content::Device, MASS])])];
        let (plans, left_out) = planned(&all, MgPerDl, "patient/Device.c", Trigger::Person);
        assert_eq!(plans, ["devices mg/dL 2024-05-15..2024-05-15"]);
        assert_eq!(left_out, [Part::Summary, Part::Readings].map(LeftOut::NotGranted));
        assert_eq!(planned(&all, MgPerDl, "", Trigger::Person).0, [""; 0]);
    }

    #[test]
    fn the_persons_own_request_takes_everything_and_says_if_nothing_can_be_summarised() {
        let zone = ZoneOffsets::fixed(UtcOffset::UTC);
        let circumstances = Circumstances {
            orders: &[],
            own_unit: MgPerDl,
            dialect: Dialect::Hl7Cgm,
            scopes: &GrantedScopes::parse(ALL),
            zone: &zone,
            trigger: Trigger::Person,
            now: "2024-05-15T08:00:00Z".parse().unwrap(),
        };
        let dates = "2024-05-01..2024-05-15".parse().unwrap();
        let own = SubmissionRequest::Own { dates, unit: MmolPerL };
        let none = plan(own, &circumstances, |_| false).unwrap();
        let lines: Vec<_> = none.plans.iter().map(line).collect();
        assert_eq!(lines, ["devices summary readings mmol/L 2024-05-01..2024-05-15"]);
        assert_eq!(none.left_out, [LeftOut::TooFewReadings]);

        let ordered = SubmissionRequest::Ordered;
        let error = plan(ordered, &circumstances, |_| true).unwrap_err();
        assert_eq!(error, PlanningError::NoOrder);
    }
}
