//! The consensus statistics.

use super::dates::DateRange;
use super::{count, hidden};
use crate::statistics::{self, Sufficiency};
use chrono::DateTime;
use std::time::SystemTime;

hidden!(Summary, TimesInRanges);

/// The consensus statistics over local dates. Round for display only.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct Summary {
    /// The local dates summarised.
    pub dates: DateRange,
    /// Readings counted: with a value, one per instant. At least two.
    pub readings: i64,
    /// Those of them the device clipped to "Low" or "High".
    pub clipped: i64,
    /// Mean glucose, mg/dL.
    pub mean_mg_dl: f64,
    /// Mean glucose, mmol/L.
    pub mean_mmol_l: f64,
    /// Standard deviation, mg/dL.
    pub sd_mg_dl: f64,
    /// Coefficient of variation, %.
    pub cv_percent: f64,
    /// Glucose management indicator, %.
    pub gmi_percent: f64,
    /// Glucose management indicator, mmol/mol.
    pub gmi_mmol_mol: f64,
    /// The time in each of the five consensus ranges.
    pub ranges: TimesInRanges,
    /// Local dates with a reading.
    pub days_of_wear: i64,
    /// Local dates covered for at least 70 % of 24 hours.
    pub days_well_covered: i64,
    /// Minutes within a reading's interval.
    pub covered_minutes: f64,
    /// Minutes of the dates; of a day under way up to the last reading's interval.
    pub elapsed_minutes: f64,
    /// Covered of elapsed minutes, %; at most 100.
    pub sensor_active_percent: f64,
    /// When the last reading was measured, if the last date is not over.
    pub until: Option<SystemTime>,
    /// Whether it speaks for the person's usual glucose: at least 14 dates, and a sensor active for
    /// at least 70 % of them (Battelino 2019).
    pub sufficient: bool,
}

/// How much of the time measured glucose was in each range, %.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct TimesInRanges {
    /// Below 54 mg/dL (3.0 mmol/L).
    pub very_low: f64,
    /// 54–69 mg/dL (3.0–3.8 mmol/L).
    pub low: f64,
    /// 70–180 mg/dL (3.9–10.0 mmol/L): "time in range".
    pub in_range: f64,
    /// 181–250 mg/dL (10.1–13.9 mmol/L).
    pub high: f64,
    /// Above 250 mg/dL (13.9 mmol/L).
    pub very_high: f64,
}

impl From<statistics::TimesInRanges> for TimesInRanges {
    fn from(ranges: statistics::TimesInRanges) -> Self {
        let [very_low, low, in_range, high, very_high] = ranges.percentages();
        Self { very_low, low, in_range, high, very_high }
    }
}

impl From<crate::statistics::Summary> for Summary {
    fn from(summary: crate::statistics::Summary) -> Self {
        let until = summary.until().and_then(|(second, _)| DateTime::from_timestamp(second, 0));
        Self {
            dates: summary.dates().into(),
            readings: count(summary.readings()),
            clipped: count(summary.clipped()),
            mean_mg_dl: summary.mean_mg_dl(),
            mean_mmol_l: summary.mean_mmol_l(),
            sd_mg_dl: summary.sd_mg_dl(),
            cv_percent: summary.cv_percent(),
            gmi_percent: summary.gmi_percent(),
            gmi_mmol_mol: summary.gmi_mmol_mol(),
            ranges: summary.ranges().into(),
            days_of_wear: summary.days_of_wear().into(),
            days_well_covered: summary.days_well_covered().into(),
            covered_minutes: summary.covered_minutes(),
            elapsed_minutes: summary.elapsed_minutes(),
            sensor_active_percent: summary.sensor_active_percent(),
            until: until.map(SystemTime::from),
            sufficient: summary.sufficiency() == Sufficiency::Sufficient,
        }
    }
}
