//! A standing order: its schedules, what each asks for, and which dates that is.

use super::content::Content;
use super::error::{OrderError, OrderStatus};
use super::occurrence::Occurrence;
use super::period::UcumPeriod;
use crate::fhir::is_fhir_id;
use crate::glucose::DateRange;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::fmt;

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

/// An order, or one schedule of an order, that is not followed, and why: for the person to see.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
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
#[non_exhaustive]
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
