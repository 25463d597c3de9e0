//! The consensus summary of a stretch of dates, built in one pass.

use super::canonical::{Canonical, Placed};
use super::days::Days;
use super::interval::Interval;
use super::level::Level;
use super::ranges::TimesInRanges;
use super::totals::Totals;
use crate::glucose::{DateRange, GlucoseUnit, Sample, SensorId, UtcOffset, Window};
use std::fmt;

/// Dates a summary should span to speak for longer ones (Battelino 2019).
const SUFFICIENT_DAYS: i64 = 14;
/// Percent of them a sensor should be active (Battelino 2019).
const SUFFICIENT_ACTIVE_PERCENT: i64 = 70;

/// Why there is no summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// Under two readings with a value: no deviation, so no coefficient of variation, which a
    /// summary must have.
    #[error(
        "{readings} reading(s) with a value in {dates}, a summary needs 2: \
        ingest readings first or choose other dates"
    )]
    TooFewReadings {
        /// Readings with a value, one per instant.
        readings: u64,
        /// The dates asked for.
        dates: DateRange,
    },
    /// A reading came after a later one.
    #[error("the readings of {dates} are not in order of time: sort them")]
    NotInTimeOrder {
        /// The dates asked for.
        dates: DateRange,
    },
}

/// Whether a summary speaks for the person's usual glucose (Battelino 2019: 14 days with 70 % of
/// readings). A short one is still a summary, and is submitted with a note.
#[derive(Clone, Copy, PartialEq)]
pub enum Sufficiency {
    /// At least 14 dates, a sensor active for at least 70 % of them.
    Sufficient,
    /// Less, in one way or both.
    Short {
        /// How many dates, where under 14.
        days: Option<i64>,
        /// How much of them a sensor was active, %, where under 70.
        sensor_active_percent: Option<f64>,
    },
}

/// Says only whether, not how much: it is part of a person's record.
impl fmt::Debug for Sufficiency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sufficient => "Sufficient",
            Self::Short { .. } => "Short(…)",
        })
    }
}

/// Builds a [`Summary`] from readings in order of time, in one pass. Memory grows with sensors and
/// dates, not with readings.
///
/// ```
/// use cgm_submitter::glucose::{
///     GlucoseUnit, GlucoseValue, Measurement, Sample, SensorId, UtcOffset, ZoneOffsets,
/// };
/// use cgm_submitter::statistics::SummaryBuilder;
/// let zone = ZoneOffsets::fixed(UtcOffset::from_minutes(120)?);
/// let dates: cgm_submitter::glucose::DateRange = "2024-05-01..2024-05-14".parse()?;
/// let window = dates.window(&zone)?;
/// let mut builder = SummaryBuilder::new(dates, window, []);
/// for (n, text) in ["101", "110", "187"].into_iter().enumerate() {
///     let seconds = window.start() + 300 * n as i64;
///     let measurement = Measurement::Value(GlucoseValue::parse(text, GlucoseUnit::MgPerDl)?);
///     let (sensor, offset) = (SensorId(1), zone.offset_at(seconds));
///     builder.push(Sample { sensor, seconds, offset, measurement });
/// }
/// let summary = builder.finish()?;
/// assert_eq!(summary.covered_minutes(), 15.0);
/// assert_eq!(summary.ranges().reconciled(2), [0, 0, 6667, 3333, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SummaryBuilder {
    dates: DateRange,
    window: Window,
    day_under_way: Option<i64>,
    reached: i64,
    in_order: bool,
    canonical: Canonical,
    counted: Counted,
}

/// Unix seconds and the UTC offset there and then.
type LocalInstant = (i64, UtcOffset);

/// What has been counted of the readings let through.
struct Counted {
    totals: Totals,
    days: Days,
    end: i64,
    covered_until: i64,
    covered: i64,
    last: Option<LocalInstant>,
}

impl Counted {
    #[inline]
    fn add(&mut self, reading: Placed, interval: Interval) {
        self.totals.add(reading.level, interval);
        let from = reading.seconds.max(self.covered_until);
        let to = reading.seconds.saturating_add(interval.seconds()).min(self.end).max(from);
        self.covered += to - from;
        self.covered_until = to;
        self.last = Some((reading.seconds, reading.offset));
        self.days.add(reading.seconds, reading.offset, from, to);
    }
}

impl SummaryBuilder {
    /// A summary of `dates`, whose instants are `window`. `sensor_starts` are the unix seconds of
    /// the sensors' first readings ever: where sensors overlap, the one started last counts. A
    /// sensor not named starts at its first value in the window.
    pub fn new(
        dates: DateRange,
        window: Window,
        sensor_starts: impl IntoIterator<Item = (SensorId, i64)>,
    ) -> Self {
        Self {
            dates,
            window,
            day_under_way: None,
            reached: i64::MIN,
            in_order: true,
            canonical: Canonical::new(sensor_starts.into_iter().collect()),
            counted: Counted {
                totals: Totals::default(),
                days: Days::new(dates),
                end: window.end(),
                covered_until: window.start(),
                covered: 0,
                last: None,
            },
        }
    }

    /// For dates of which the last is not over: the unix second at which it began. What is still to
    /// come does not count as missing: elapsed time ends with the last reading's interval, though
    /// not before that day. So the same readings give the same summary at whatever time of the day.
    #[must_use]
    pub const fn with_day_under_way(mut self, began: Option<i64>) -> Self {
        self.day_under_way = began;
        self
    }

    /// Adds a reading, not earlier than the one before. Readings outside the window are ignored,
    /// and those without a value: they count neither in a mean nor as coverage. Of two of one
    /// sensor in one second the first counts.
    #[inline]
    pub fn push(&mut self, sample: Sample) {
        if !self.window.contains(sample.seconds) {
            return;
        }
        self.in_order &= self.reached <= sample.seconds;
        self.reached = sample.seconds;
        let Some(level) = Level::of(sample.measurement) else { return };
        if self.in_order {
            let reading = Placed { seconds: sample.seconds, offset: sample.offset, level };
            let counted = &mut self.counted;
            self.canonical
                .push(sample.sensor, reading, |reading, interval| counted.add(reading, interval));
        }
    }

    /// The summary of all readings pushed.
    ///
    /// # Errors
    /// [`SummaryError::TooFewReadings`] under two readings with a value,
    /// [`SummaryError::NotInTimeOrder`].
    pub fn finish(self) -> Result<Summary, SummaryError> {
        let Self { dates, window, day_under_way, in_order, canonical, mut counted, .. } = self;
        if !in_order {
            return Err(SummaryError::NotInTimeOrder { dates });
        }
        canonical.finish(|reading, interval| counted.add(reading, interval));
        let Counted { totals, days, covered, covered_until, last, .. } = counted;
        let end = day_under_way.map_or(window.end(), |began| began.max(covered_until));
        let readings = totals.readings();
        let (mean_mg_dl, sd_mg_dl) =
            totals.mean_and_sd().ok_or(SummaryError::TooFewReadings { readings, dates })?;
        let (days_of_wear, days_well_covered) = days.finish();
        Ok(Summary {
            dates,
            window,
            readings,
            clipped: totals.clipped(),
            mean_mg_dl,
            sd_mg_dl,
            ranges: TimesInRanges::new(totals.band_minutes()),
            days_of_wear,
            days_well_covered,
            covered_seconds: covered,
            elapsed_seconds: end.min(window.end()).saturating_sub(window.start()).max(1),
            until: last.filter(|_| day_under_way.is_some()),
        })
    }
}

impl fmt::Debug for SummaryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SummaryBuilder").field("dates", &self.dates).finish_non_exhaustive()
    }
}

/// The consensus statistics of a stretch of dates (Danne 2017, Battelino 2019), unrounded. Built by
/// [`SummaryBuilder`].
///
/// Each reading counts for its sensor's nominal interval of 1, 3, 5, 10 or 15 minutes, learned from
/// the gaps between its readings; with one interval throughout that is plain counting. "Low" and
/// "High" count 1 mg/dL beyond the device's limit.
#[derive(Clone, PartialEq)]
pub struct Summary {
    dates: DateRange,
    window: Window,
    readings: u64,
    clipped: u64,
    mean_mg_dl: f64,
    sd_mg_dl: f64,
    ranges: TimesInRanges,
    days_of_wear: u32,
    days_well_covered: u32,
    covered_seconds: i64,
    elapsed_seconds: i64,
    until: Option<LocalInstant>,
}

impl Summary {
    /// The local dates summarised.
    pub const fn dates(&self) -> DateRange {
        self.dates
    }

    /// Their instants.
    pub const fn window(&self) -> Window {
        self.window
    }

    /// Readings counted: with a value, one per instant. At least two.
    pub const fn readings(&self) -> u64 {
        self.readings
    }

    /// Those of them the device clipped to "Low" or "High".
    pub const fn clipped(&self) -> u64 {
        self.clipped
    }

    /// Mean glucose, mg/dL.
    pub const fn mean_mg_dl(&self) -> f64 {
        self.mean_mg_dl
    }

    /// Mean glucose, mmol/L.
    pub const fn mean_mmol_l(&self) -> f64 {
        self.mean_mg_dl / GlucoseUnit::MmolPerL.in_mg_dl()
    }

    /// Standard deviation, mg/dL: weighted, and over n − 1 where weights are equal.
    pub const fn sd_mg_dl(&self) -> f64 {
        self.sd_mg_dl
    }

    /// Coefficient of variation: 100 · SD / mean, %.
    pub const fn cv_percent(&self) -> f64 {
        100.0 * self.sd_mg_dl / self.mean_mg_dl
    }

    /// Glucose management indicator, %: 3.31 + 0.02392 · mean mg/dL (Bergenstal 2018).
    pub const fn gmi_percent(&self) -> f64 {
        3.31 + 0.023_92 * self.mean_mg_dl
    }

    /// Glucose management indicator, mmol/mol, for display: 12.71 + 4.70587 · mean mmol/L
    /// (Bergenstal 2018).
    pub const fn gmi_mmol_mol(&self) -> f64 {
        12.71 + 4.705_87 * self.mean_mmol_l()
    }

    /// Times in the five consensus ranges.
    pub const fn ranges(&self) -> TimesInRanges {
        self.ranges
    }

    /// Local dates with a reading, by the offset stored with each.
    pub const fn days_of_wear(&self) -> u32 {
        self.days_of_wear
    }

    /// Local dates covered for at least 70 % of 24 hours, also where clocks made the date shorter
    /// or longer.
    pub const fn days_well_covered(&self) -> u32 {
        self.days_well_covered
    }

    /// Minutes of the window within a reading's interval: the union of [t, t + interval) over the
    /// readings counted.
    pub const fn covered_minutes(&self) -> f64 {
        self.covered_seconds as f64 / 60.0
    }

    /// Minutes of the window: days of 23 and 25 hours as they are, and a day under way up to the
    /// last reading's interval.
    pub const fn elapsed_minutes(&self) -> f64 {
        self.elapsed_seconds as f64 / 60.0
    }

    /// The last reading, if the last date is not over: unix seconds and the UTC offset there and
    /// then.
    pub const fn until(&self) -> Option<(i64, UtcOffset)> {
        self.until
    }

    /// Covered of elapsed minutes, %; at most 100.
    pub const fn sensor_active_percent(&self) -> f64 {
        100.0 * self.covered_seconds as f64 / self.elapsed_seconds as f64
    }

    /// Whether this speaks for the person's usual glucose.
    pub fn sufficiency(&self) -> Sufficiency {
        let days = Some(self.dates.days()).filter(|days| *days < SUFFICIENT_DAYS);
        let short = self.covered_seconds.saturating_mul(100)
            < self.elapsed_seconds.saturating_mul(SUFFICIENT_ACTIVE_PERCENT);
        match (days, short.then(|| self.sensor_active_percent())) {
            (None, None) => Sufficiency::Sufficient,
            (days, sensor_active_percent) => Sufficiency::Short { days, sensor_active_percent },
        }
    }
}

/// Says only the dates: statistics never reach a log through `{:?}`.
impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summary").field("dates", &self.dates).finish_non_exhaustive()
    }
}
