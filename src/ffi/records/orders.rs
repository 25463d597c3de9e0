//! What a receiver asks for.

use super::readings::GlucoseUnit;
use super::{count, hidden};
use crate::fhir::SummaryMember;
use crate::orders::{self, OrderError};

hidden!(StandingOrder, RefusedOrder);

/// The orders a receiver has for the patient.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Orders {
    /// Those that run today.
    pub active: Vec<StandingOrder>,
    /// Those that do not, or a schedule of them does not: everything that looks like an order for
    /// glucose data and is not followed.
    pub refused: Vec<RefusedOrder>,
}

impl From<crate::order::Orders> for Orders {
    fn from(orders: crate::order::Orders) -> Self {
        Self {
            active: orders.active.into_iter().map(StandingOrder::from).collect(),
            refused: orders.refused.into_iter().map(RefusedOrder::from).collect(),
        }
    }
}

/// What a receiver wants of the patient until it says otherwise.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct StandingOrder {
    /// Its id at the receiver.
    pub id: String,
    /// The first local date on which it applies, `YYYY-MM-DD`; null if its begin is open.
    pub first_date: Option<String>,
    /// The last local date on which it applies, included; null if its end is open.
    pub last_date: Option<String>,
    /// Its schedules.
    pub schedules: Vec<Schedule>,
}

impl From<orders::StandingOrder> for StandingOrder {
    fn from(order: orders::StandingOrder) -> Self {
        Self {
            id: order.id.as_str().to_owned(),
            first_date: order.occurrence.first().map(|date| date.to_string()),
            last_date: order.occurrence.last().map(|date| date.to_string()),
            schedules: order.schedules.into_iter().map(Schedule::from).collect(),
        }
    }
}

/// One schedule of an order.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Schedule {
    /// How often.
    pub period: Period,
    /// How far back, if the order says so.
    pub lookback: Option<Period>,
    /// What.
    pub content: Vec<OrderedContent>,
    /// Canonicals it names that this version does not know: not sent, to be shown to the person.
    pub unknown_profiles: Vec<String>,
}

impl From<orders::Schedule> for Schedule {
    fn from(schedule: orders::Schedule) -> Self {
        Self {
            period: schedule.period.into(),
            lookback: schedule.lookback.map(Period::from),
            content: schedule.content.into_iter().map(OrderedContent::from).collect(),
            unknown_profiles: schedule.unknown_profiles,
        }
    }
}

/// A length of time as a receiver writes it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Period {
    /// How many, as decimal text: `2`, `1.5`.
    pub value: String,
    /// Of what.
    pub unit: TimeUnit,
}

impl From<orders::UcumPeriod> for Period {
    fn from(period: orders::UcumPeriod) -> Self {
        Self { value: period.value(), unit: period.unit().into() }
    }
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum TimeUnit {
    /// Seconds.
    Second,
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Days.
    Day,
    /// Weeks.
    Week,
    /// Months.
    Month,
    /// Years.
    Year,
}

impl From<orders::TimeUnit> for TimeUnit {
    fn from(unit: orders::TimeUnit) -> Self {
        match unit {
            orders::TimeUnit::Second => Self::Second,
            orders::TimeUnit::Minute => Self::Minute,
            orders::TimeUnit::Hour => Self::Hour,
            orders::TimeUnit::Day => Self::Day,
            orders::TimeUnit::Week => Self::Week,
            orders::TimeUnit::Month => Self::Month,
            orders::TimeUnit::Year => Self::Year,
        }
    }
}

/// One kind of data an order can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum OrderedContent {
    /// The summary with its members.
    Summary,
    /// The report, a PDF.
    SummaryPdf,
    /// Sensor readings.
    Readings {
        /// In this unit.
        unit: GlucoseUnit,
    },
    /// The device.
    Device,
    /// The summary's mean glucose.
    Mean {
        /// In this unit.
        unit: GlucoseUnit,
    },
    /// The summary's five times in ranges.
    TimesInRanges,
    /// The summary's glucose management indicator.
    Gmi,
    /// The summary's coefficient of variation.
    CoefficientOfVariation,
    /// The summary's days with at least one reading.
    DaysOfWear,
    /// The summary's share of the time the sensor was active.
    SensorActive,
}

impl From<orders::Content> for OrderedContent {
    fn from(content: orders::Content) -> Self {
        use orders::Content;
        match content {
            Content::Summary => Self::Summary,
            Content::SummaryPdf => Self::SummaryPdf,
            Content::Readings(unit) => Self::Readings { unit: unit.into() },
            Content::Device => Self::Device,
            Content::SummaryMember(SummaryMember::Mean(unit)) => Self::Mean { unit: unit.into() },
            Content::SummaryMember(SummaryMember::TimesInRanges) => Self::TimesInRanges,
            Content::SummaryMember(SummaryMember::Gmi) => Self::Gmi,
            Content::SummaryMember(SummaryMember::CoefficientOfVariation) => {
                Self::CoefficientOfVariation
            }
            Content::SummaryMember(SummaryMember::DaysOfWear) => Self::DaysOfWear,
            Content::SummaryMember(SummaryMember::SensorActive) => Self::SensorActive,
        }
    }
}

/// An order, or one schedule of an order, that is not followed.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct RefusedOrder {
    /// Which order; null if it has no valid id.
    pub id: Option<String>,
    /// Which of its schedules, from 0; null if it is the whole order.
    pub schedule: Option<i64>,
    /// Why.
    pub reason: OrderRefusal,
    /// The same in English, for the person.
    pub explanation: String,
}

impl From<orders::RefusedOrder> for RefusedOrder {
    fn from(refused: orders::RefusedOrder) -> Self {
        Self {
            id: refused.id.map(|id| id.as_str().to_owned()),
            schedule: refused.schedule.map(count),
            reason: refused.reason.into(),
            explanation: refused.reason.to_string(),
        }
    }
}

/// Why an order is not followed, by what the person can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum OrderRefusal {
    /// It does not run now: withdrawn, on hold, over, or not begun.
    NotInForce,
    /// It is for another patient, or does not say for whom it is: ask the clinic.
    Patient,
    /// It is for once: it is followed only if it is given to the app itself.
    OneTime,
    /// It is written in a way that this version does not follow: ask the clinic.
    NotUnderstood,
}

impl From<OrderError> for OrderRefusal {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NotActive(_) | OrderError::Over | OrderError::NotYet => Self::NotInForce,
            OrderError::OtherPatient | OrderError::NoSubject | OrderError::SubjectByIdentifier => {
                Self::Patient
            }
            OrderError::OneTime => Self::OneTime,
            OrderError::Unreadable
            | OrderError::Id
            | OrderError::Code
            | OrderError::OtherGuide
            | OrderError::NoSchedule
            | OrderError::Occurrence
            | OrderError::Intent
            | OrderError::Modified
            | OrderError::Period(_)
            | OrderError::Lookback(_)
            | OrderError::NoContent
            | OrderError::Twice(_)
            | OrderError::NoCanonical
            | OrderError::TooMany => Self::NotUnderstood,
        }
    }
}
