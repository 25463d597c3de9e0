//! The summary a submission sends: the figures, their unit of entries, and what it replaces.

use super::{Assembly, Body, resources};
use crate::error::Error;
use crate::fhir::{Covered, EarlierResource, EntryKind, Identifier, SummaryEntry, SummaryFacts};
use crate::glucose::{DateRange, Window};
use crate::statistics::{Sufficiency, Summary, SummaryBuilder, SummaryError};
use crate::store::{SentResource, SentStatus, Store};
use crate::submission::{Plan, Position};
use chrono::{DateTime, FixedOffset, SecondsFormat};

impl Assembly<'_> {
    /// The summary and its members, one unit, if `is_meant` says so of their sent records, the
    /// summary's last.
    pub(super) fn summary_where(
        &self,
        is_meant: impl Fn(&[Option<SentResource>]) -> bool,
    ) -> Result<Option<Body>, Error> {
        let Plan { dates, window, day_under_way, .. } = *self.plan;
        let summary = match summarise(self.store, dates, window, day_under_way) {
            Ok(summary) => summary,
            Err(Error::Summary(SummaryError::TooFewReadings { .. })) => return Ok(None),
            Err(error) => return Err(error),
        };
        let unit = self.plan.wanted.unit;
        let facts = facts(&summary);
        let covered = covered(self.plan);
        let sent = self.store.resources_over(self.connection.id, covered.dates)?;
        let earlier: Vec<EarlierResource<'_>> =
            sent.iter().filter_map(|sent| earlier(sent, covered)).collect();
        let entry = SummaryEntry::after(self.dialect, &earlier, &self.subject, &facts, unit)
            .map_err(|_| Error::Assembly("a figure cannot be sent"))?;
        let record = |one: Identifier| self.store.resource(self.connection.id, &one.urn());
        let records: Result<Vec<_>, _> = entry.identifiers().map(record).collect();
        if !is_meant(&records?) {
            return Ok(None);
        }
        let mut bundle = self.writer();
        let _ = bundle.try_unit(|unit| unit.summary(&entry).map(drop)).map_err(Error::bundle)?;
        Ok(bundle
            .finish()
            .map(|done| resources(done, self.after(Position::Summary), Some(covered))))
    }

    /// What the receiver lacks: the summary and its members, unless it was told of them all.
    pub(in crate::delivery) fn summary(&self) -> Result<Option<Body>, Error> {
        let settled =
            |sent: &Option<SentResource>| sent.as_ref().is_some_and(SentResource::is_settled);
        self.summary_where(|records| !records.iter().all(settled))
    }
}

/// What the receiver has of the same dates, which a changed summary and its changed figures take
/// the place of. A figure is the same in a summary of either unit.
fn earlier(sent: &SentResource, covered: Covered) -> Option<EarlierResource<'_>> {
    let of_other_unit = sent.kind == EntryKind::Summary && sent.covered != Some(covered);
    let is_lacking = matches!(sent.status, SentStatus::Refused(_)) && sent.location.is_none();
    if of_other_unit || is_lacking {
        return None;
    }
    Some(EarlierResource {
        kind: sent.kind,
        identifier: Identifier::from_urn(&sent.identifier)?,
        location: sent.location.as_deref().filter(|_| sent.is_settled()),
        is_there: sent.is_settled(),
    })
}

/// The summary in the form it is sent.
fn facts(summary: &Summary) -> SummaryFacts {
    SummaryFacts {
        dates: summary.dates(),
        mean_mg_dl: summary.mean_mg_dl(),
        gmi_percent: summary.gmi_percent(),
        cv_percent: summary.cv_percent(),
        ranges_hundredths: summary.ranges().rounded(2),
        days_of_wear: summary.days_of_wear(),
        sensor_active_percent: summary.sensor_active_percent(),
        note: note(summary),
    }
}

/// What a reader must know of a summary.
fn note(summary: &Summary) -> Option<String> {
    let until = summary.until().and_then(|(seconds, offset)| {
        let last = DateTime::from_timestamp(seconds, 0)?;
        let offset = FixedOffset::east_opt(i32::try_from(offset.seconds()).ok()?)?;
        let last = last.with_timezone(&offset).to_rfc3339_opts(SecondsFormat::Secs, true);
        Some(format!("The last day is not complete: readings until {last}."))
    });
    let short = match summary.sufficiency() {
        Sufficiency::Sufficient => None,
        Sufficiency::Short { .. } => Some(SHORT.to_owned()),
    };
    let sentences: Vec<String> = until.into_iter().chain(short).collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// Too little data to judge by (Battelino 2019).
const SHORT: &str = "Fewer data than the consensus asks for (at least 14 days, sensor active at \
    least 70 % of the time): interpret with care.";

/// What a plan's summary covers.
pub(in crate::delivery) const fn covered(plan: &Plan) -> Covered {
    Covered { dates: plan.dates, unit: plan.wanted.unit }
}

/// The consensus statistics of the stored readings over some dates. `day_under_way` is the unix
/// second at which the last of them began, if it is not over.
///
/// # Errors
/// [`Error`] under two readings, or if the store fails.
pub fn summarise(
    store: &Store,
    dates: DateRange,
    window: Window,
    day_under_way: Option<i64>,
) -> Result<Summary, Error> {
    let starts = store.sensors()?.into_iter().filter_map(|sensor| Some((sensor.id, sensor.first?)));
    let mut builder = SummaryBuilder::new(dates, window, starts).with_day_under_way(day_under_way);
    store.scan(window, |sample| builder.push(sample))?;
    Ok(builder.finish()?)
}
