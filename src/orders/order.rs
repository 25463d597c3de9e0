//! A standing order: its schedules, what each asks for, and which dates that is.

use super::content::Content;
use super::occurrence::Occurrence;
use super::period::{PeriodError, UcumPeriod};
use crate::fhir::is_fhir_id;
use crate::glucose::DateRange;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Extensions of an order.
pub(super) const MAX_EXTENSIONS: usize = 1_000;
/// Schedules of an order.
pub(super) const MAX_SCHEDULES: usize = 20;
/// Kinds of data of a schedule, or of a one-time order.
pub(super) const MAX_PROFILES: usize = 50;
/// Characters of a canonical that is shown to the person.
pub(super) const MAX_CANONICAL: usize = 256;

/// Fewer days than this say little about a person's glucose (Battelino 2019).
const MEANINGFUL: UcumPeriod = UcumPeriod::days(14);

/// An order's logical id at its receiver.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct OrderId(String);

impl OrderId {
    /// An id as FHIR allows it.
    ///
    /// # Errors
    /// [`OrderError::Id`].
    pub fn new(id: impl Into<String>) -> Result<Self, OrderError> {
        let id = id.into();
        if is_fhir_id(&id) { Ok(Self(id)) } else { Err(OrderError::Id) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for OrderId {
    type Error = OrderError;

    fn try_from(id: String) -> Result<Self, OrderError> {
        Self::new(id)
    }
}

/// Hides the id: identifiers reach no log.
impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrderId(…)")
    }
}

/// Where an order stands, as FHIR says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderStatus {
    /// Not yet in force.
    Draft,
    /// In force.
    Active,
    /// Paused.
    OnHold,
    /// Withdrawn.
    Revoked,
    /// Fulfilled.
    Completed,
    /// Never meant.
    EnteredInError,
    /// Anything else.
    Unknown,
}

/// In words for a person.
impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draft => "not yet in force",
            Self::Active => "in force",
            Self::OnHold => "on hold",
            Self::Revoked => "withdrawn",
            Self::Completed => "completed",
            Self::EnteredInError => "entered in error",
            Self::Unknown => "in a state this app does not know",
        })
    }
}

impl OrderStatus {
    pub(super) fn from_code(code: &str) -> Self {
        match code {
            "draft" => Self::Draft,
            "active" => Self::Active,
            "on-hold" => Self::OnHold,
            "revoked" => Self::Revoked,
            "completed" => Self::Completed,
            "entered-in-error" => Self::EnteredInError,
            _ => Self::Unknown,
        }
    }
}

/// Why an order, or one of its schedules, is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The order is not one that can be read.
    #[error("the order is not in a form that can be read")]
    Unreadable,
    /// No id, or none that FHIR allows.
    #[error("the order has no valid id")]
    Id,
    /// It is about somebody else.
    #[error("the order is for another patient than the one connected")]
    OtherPatient,
    /// It is about nobody.
    #[error("the order does not say which patient it is for")]
    NoSubject,
    /// It names its patient by an identifier alone, and this app does not know whose that is.
    #[error(
        "the order names its patient by an identifier only: ask the clinic to refer to the record"
    )]
    SubjectByIdentifier,
    /// It looks like an order for glucose data, and its code is not the guide's.
    #[error("the order looks like one for glucose data, but its code is another")]
    Code,
    /// It is written for a guide, or a draft, that this app does not follow.
    #[error("the order is written for a guide that this app does not follow")]
    OtherGuide,
    /// An order for once among the standing ones.
    #[error("the order is for once: it is followed only if it is given to the app itself")]
    OneTime,
    /// Withdrawn, fulfilled, paused, or not yet in force.
    #[error("the order is {0}")]
    NotActive(OrderStatus),
    /// Without a schedule nothing is sent by itself.
    #[error("the order does not say how often it wants data")]
    NoSchedule,
    /// It says when it applies in a way that is not followed.
    #[error("when the order applies cannot be read")]
    Occurrence,
    /// The time in which it applies is over.
    #[error("the time in which the order applies is over")]
    Over,
    /// The time in which it applies has not begun.
    #[error("the time in which the order applies has not begun")]
    NotYet,
    /// A proposal or plan, not an order.
    #[error("the request is not an order: its intent is another")]
    Intent,
    /// It says what must not be done, or changes its own meaning in a way we do not know.
    #[error("the order has a condition this app does not know")]
    Modified,
    /// How often it wants data cannot be followed.
    #[error("how often the order wants data {0}")]
    Period(PeriodError),
    /// How far back it wants data cannot be followed.
    #[error("how far back the order wants data {0}")]
    Lookback(PeriodError),
    /// It names nothing to send.
    #[error("the order does not say which data it wants")]
    NoContent,
    /// It says twice what can be said once: which of the two is meant?
    #[error("the order says its {0} twice")]
    Twice(&'static str),
    /// It names data without saying which.
    #[error("the order names data without saying which")]
    NoCanonical,
    /// More schedules or kinds of data than anybody means.
    #[error(
        "the order has more than {MAX_SCHEDULES} schedules, {MAX_PROFILES} kinds of data in one or {MAX_EXTENSIONS} extensions"
    )]
    TooMany,
}

/// An order, or one schedule of an order, that is not followed, and why: for the person to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedOrder {
    /// Which order; `None` if it has no valid id.
    pub id: Option<OrderId>,
    /// Which of its schedules, from 0; `None` if it is the whole order.
    pub schedule: Option<usize>,
    /// Why.
    pub reason: OrderError,
}

/// What a receiver wants of a patient until it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingOrder {
    /// Its id at the receiver.
    pub id: OrderId,
    /// Where it stands.
    pub status: OrderStatus,
    /// The dates on which it applies.
    #[serde(default)]
    pub occurrence: Occurrence,
    /// Its schedules. Without one nothing is sent by itself.
    pub schedules: Vec<Schedule>,
}

impl StandingOrder {
    /// Whether it makes anything be sent on `today`, a local date: it is active, applies then, and
    /// has a schedule.
    ///
    /// # Errors
    /// [`OrderError`]: the first reason why not.
    pub fn check_on(&self, today: NaiveDate) -> Result<(), OrderError> {
        if self.status != OrderStatus::Active {
            return Err(OrderError::NotActive(self.status));
        }
        self.occurrence.check_on(today)?;
        if self.schedules.is_empty() { Err(OrderError::NoSchedule) } else { Ok(()) }
    }

    /// Whether it makes anything be sent on `today`, a local date.
    pub fn runs_on(&self, today: NaiveDate) -> bool {
        self.check_on(today).is_ok()
    }
}

/// One schedule of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// How often.
    pub period: UcumPeriod,
    /// How far back, if the order says so.
    pub lookback: Option<UcumPeriod>,
    /// What.
    pub content: Vec<Content>,
    /// Canonicals it names that we do not know: not sent, shown to the person.
    pub unknown_profiles: Vec<String>,
}

impl Schedule {
    /// How far back `content` reaches if the order does not say: one period, and for summaries and
    /// reports at least 14 days.
    pub(super) fn usual_lookback(period: UcumPeriod, content: Content) -> UcumPeriod {
        if content.is_summary() && period.is_at_most(MEANINGFUL) { MEANINGFUL } else { period }
    }

    /// The local dates `content` covers when sent on `today`: complete days ending yesterday, or
    /// ending today if the person asked to send now.
    ///
    /// If the order does not say how far back, that is one period, and for summaries and reports at
    /// least 14 days.
    pub fn lookback_dates_of(
        &self,
        content: Content,
        today: NaiveDate,
        include_today: bool,
    ) -> DateRange {
        let end = if include_today { today.succ_opt().unwrap_or(today) } else { today };
        let last = end.pred_opt().unwrap_or(end);
        let mut first = self.lookback.unwrap_or(self.period).start_before(end).unwrap_or(last);
        if self.lookback.is_none() && content.is_summary() {
            first = first.min(MEANINGFUL.start_before(end).unwrap_or(last));
        }
        DateRange::new(first, last).unwrap_or(DateRange::day(last))
    }

    /// The dates that all of the schedule's content together covers.
    pub fn lookback_dates(&self, today: NaiveDate, include_today: bool) -> DateRange {
        let of = |content| self.lookback_dates_of(content, today, include_today);
        let widest =
            self.content.iter().map(|content| of(*content)).max_by_key(|dates| dates.days());
        widest.unwrap_or_else(|| of(Content::Device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glucose::GlucoseUnit;

    const READINGS: Content = Content::Readings(GlucoseUnit::MgPerDl);

    fn dates(
        period: &str,
        lookback: Option<&str>,
        content: &[Content],
        include_today: bool,
    ) -> String {
        let schedule = Schedule {
            period: period.parse().unwrap(),
            lookback: lookback.map(|text| text.parse().unwrap()),
            content: content.to_vec(),
            unknown_profiles: Vec::new(),
        };
        schedule.lookback_dates("2024-05-15".parse().unwrap(), include_today).to_string()
    }

    #[test]
    fn a_schedule_covers_complete_days_ending_yesterday() {
        for (period, lookback, content, expected) in [
            ("2 wk", None, Content::Summary, "2024-05-01..2024-05-14"),
            ("1 wk", None, Content::Summary, "2024-05-01..2024-05-14"),
            ("1 wk", None, READINGS, "2024-05-08..2024-05-14"),
            ("1 h", None, READINGS, "2024-05-14..2024-05-14"),
            ("1 d", Some("3 d"), Content::Summary, "2024-05-12..2024-05-14"),
            ("1 mo", None, Content::SummaryPdf, "2024-04-15..2024-05-14"),
            ("1 wk", Some("1 a"), READINGS, "2023-05-15..2024-05-14"),
        ] {
            assert_eq!(
                dates(period, lookback, &[content], false),
                expected,
                "{period} {lookback:?}"
            );
        }
    }

    #[test]
    fn sending_now_may_include_today() {
        assert_eq!(dates("2 wk", None, &[Content::Summary], true), "2024-05-02..2024-05-15");
    }

    #[test]
    fn each_content_reaches_back_as_far_as_its_own_rule_says() {
        assert_eq!(
            dates("1 d", None, &[READINGS, Content::Summary], false),
            "2024-05-01..2024-05-14"
        );
        let schedule = Schedule {
            period: UcumPeriod::days(1),
            lookback: None,
            content: vec![READINGS, Content::Summary],
            unknown_profiles: Vec::new(),
        };
        let today = "2024-05-15".parse().unwrap();
        assert_eq!(
            schedule.lookback_dates_of(READINGS, today, false).to_string(),
            "2024-05-14..2024-05-14"
        );
    }

    #[test]
    fn the_edges_of_the_calendar_do_not_panic() {
        let schedule = Schedule {
            period: "100 a".parse().unwrap(),
            lookback: None,
            content: vec![Content::Summary],
            unknown_profiles: Vec::new(),
        };
        for today in [NaiveDate::MIN, NaiveDate::MAX] {
            for include_today in [true, false] {
                assert!(schedule.lookback_dates(today, include_today).days() >= 1);
            }
        }
    }

    #[test]
    fn an_order_is_stored_and_read_back_unchanged() {
        let order = StandingOrder {
            id: OrderId::new("o-1").unwrap(),
            status: OrderStatus::OnHold,
            occurrence: Occurrence::ALWAYS,
            schedules: vec![Schedule {
                period: "0.5 wk".parse().unwrap(),
                lookback: Some("3 mo".parse().unwrap()),
                content: Content::ALL.to_vec(),
                unknown_profiles: vec!["http://example.org/other".into()],
            }],
        };
        let stored = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<StandingOrder>(&stored).unwrap(), order);
        assert!(!order.runs_on("2024-05-15".parse().unwrap()));
    }
}
