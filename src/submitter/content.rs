//! What the [`Submitter`](super::Submitter) puts together from store, orders and files.

use super::order_search::stored_orders;
use super::types::{
    ImportReport, OutcomeStatus, RefusedItem, Stalled, Standing, SubmissionOutcome,
};
use crate::delivery::{Run, entries_to_send, summarise};
use crate::environment::{Entropy, Lock};
use crate::error::Error;
use crate::fhir::EntryKind;
use crate::glucose::{DateRange, GlucoseUnit, Reading, Window, ZoneOffsets};
use crate::import::{ImportOptions, import};
use crate::smart::GrantedScopes;
use crate::store::{ConnectionId, ConnectionRecord, Store, SubmissionId, SubmissionState};
use crate::submission::{
    Circumstances, LeftOut, Plan, Planned, PlanningError, SubmissionRequest, Trigger, plan,
};
use chrono::{DateTime, Utc};
use std::cell::Cell;
use std::path::Path;

/// Opens the database, and gives its own name, with which its entries in the vault begin. Blocks.
///
/// One process at a time, which holds the lock: two that open a new database at once would see it
/// half made, and give it two names.
pub(super) fn open(
    path: &Path,
    entropy: &dyn Entropy,
    _lock: Lock,
) -> Result<(Store, String), Error> {
    let mut store = Store::open(path)?;
    let namespace = namespace(&mut store, entropy)?;
    Ok((store, namespace))
}

fn namespace(store: &mut Store, entropy: &dyn Entropy) -> Result<String, Error> {
    const NAME: &str = "installation";
    if let Some(known) = store.meta(NAME)? {
        return Ok(known);
    }
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes)?;
    let made = uuid::Builder::from_random_bytes(bytes).into_uuid().to_string();
    store.set_meta(NAME, &made)?;
    Ok(made)
}

/// Reads a file and stores what it holds.
pub(super) fn import_into(
    store: &mut Store,
    bytes: &[u8],
    zone: Option<ZoneOffsets>,
    local: &ZoneOffsets,
    now: DateTime<Utc>,
) -> Result<ImportReport, Error> {
    let known = store.sensors()?.into_iter().map(|stored| stored.sensor);
    let fill = zone.clone();
    let failed = Cell::new(None);
    let imported = {
        let recorded = |sensor: &_, key: &_| {
            store.recorded_at(sensor, key).unwrap_or_else(|error| {
                failed.set(Some(error));
                None
            })
        };
        let mut options = ImportOptions::new(now).with_known(known).with_stored(&recorded);
        if let Some(zone) = zone {
            options = options.with_zone(zone);
        }
        import(bytes, &options)?
    };
    if let Some(error) = failed.take() {
        return Err(error.into());
    }
    let (rows, readings): (Vec<usize>, Vec<Reading>) =
        imported.readings.into_iter().map(|found| (found.row, found.reading)).unzip();
    let zone = fill.as_ref().unwrap_or(local);
    let report = store.ingest_from(&imported.sensors, &readings, zone, now)?;
    let mut rejected: Vec<_> =
        imported.rejected.into_iter().map(|row| (row.row, row.reason)).collect();
    let place = |index: usize| rows.get(index).copied().unwrap_or_default();
    rejected
        .extend(report.rejected.iter().map(|refused| (place(refused.row), refused.reason.clone())));
    rejected.sort_by_key(|(row, _)| *row);
    let skipped = imported.skipped;
    Ok(ImportReport {
        format: imported.format,
        stored: report.stored,
        already_there: report.already_there + skipped.repeated,
        replaced: report.replaced,
        corrected: report.corrected,
        skipped: skipped.alerts + skipped.calibrations + skipped.insulin + skipped.other,
        rejected,
        dates: local_dates(&readings, local)?,
    })
}

/// The local dates of readings in the zone that opens a submission's window: a submission of these
/// dates has every one of them.
fn local_dates(readings: &[Reading], zone: &ZoneOffsets) -> Result<Option<DateRange>, Error> {
    let seconds = readings.iter().map(Reading::seconds);
    let edges = seconds.clone().min().zip(seconds.max());
    Ok(edges
        .map(|(first, last)| DateRange::new(zone.date_at(first), zone.date_at(last)))
        .transpose()?)
}

/// What a request of the person comes to now.
pub(super) fn planned(
    store: &Store,
    connection: &ConnectionRecord,
    request: SubmissionRequest,
    zone: &ZoneOffsets,
    now: DateTime<Utc>,
) -> Result<Planned, Error> {
    let orders = match request {
        SubmissionRequest::Ordered => {
            stored_orders(store, connection, zone.date_at(now.timestamp()))?.active
        }
        SubmissionRequest::Own { .. } => Vec::new(),
    };
    let circumstances = Circumstances {
        orders: &orders,
        own_unit: own_unit(store)?,
        scopes: &GrantedScopes::parse(&connection.details.scopes),
        zone,
        trigger: Trigger::Person,
        now,
    };
    let failed = Cell::new(None);
    let can_summarise = |plan: &Plan| match summarise(store, plan.dates, plan.window) {
        Ok(_) => true,
        Err(Error::Summary(_)) => false,
        Err(error) => {
            failed.set(Some(error));
            false
        }
    };
    let planned = plan(request, &circumstances, can_summarise);
    match (failed.into_inner(), planned) {
        (Some(error), _) => Err(error),
        (None, Ok(planned)) => Ok(planned),
        (None, Err(PlanningError::NoOrder)) => Err(Error::NoOrder),
        (None, Err(PlanningError::Time(error))) => Err(error.into()),
    }
}

/// The unit the person's device shows: the one of the latest reading.
pub(super) fn own_unit(store: &Store) -> Result<GlucoseUnit, Error> {
    let mut unit = GlucoseUnit::MgPerDl;
    if let Some((_, last)) = store.extent()? {
        let day = Window::from_unix(last - 86_400, last + 1)?;
        store.scan(day, |sample| unit = sample.measurement.unit().unwrap_or(unit))?;
    }
    Ok(unit)
}

/// What receivers refused and is set aside.
pub(super) fn refused(store: &Store, connection: ConnectionId) -> Result<Vec<RefusedItem>, Error> {
    let resources = store.refused_resources(connection)?.into_iter();
    let resources = resources.map(|(kind, reason)| RefusedItem { kind, time: None, reason });
    let readings = store.quarantined(connection)?.into_iter().map(|row| RefusedItem {
        kind: EntryKind::Reading,
        time: DateTime::from_timestamp(row.key.seconds(), 0),
        reason: row.outcome,
    });
    Ok(resources.chain(readings).collect())
}

/// How submissions stand, as one.
pub(super) fn outcome(
    store: &Store,
    connection: ConnectionId,
    submissions: Vec<SubmissionId>,
    left_out: Vec<LeftOut>,
    run: Run,
) -> Result<SubmissionOutcome, Error> {
    let record = store.connection(connection)?;
    let mut tally = run.others;
    let (mut stopped, mut stall, mut standing) = (Vec::new(), None, Standing::default());
    for id in &submissions {
        let submission = store.submission(*id)?;
        tally.add(&submission.progress.tally);
        stopped.extend(submission.progress.stopped);
        stall = stall.or(submission.progress.stall);
        let plan = &submission.plan;
        if submission.state != SubmissionState::Cancelled {
            standing.open += entries_to_send(store, &record, plan)?;
        }
        let set_aside = store.readings_set_aside(connection, plan.wanted.unit, plan.window)?;
        let resources = store.resources_set_aside(connection, plan.dates)?;
        standing.refused += set_aside.refused + resources.refused;
        standing.unknown += set_aside.unknown + resources.unknown;
    }
    Ok(SubmissionOutcome {
        submissions,
        tally,
        refused: refused(store, connection)?,
        left_out,
        stopped,
        standing,
        stalled: stall.map(|stall| Stalled {
            since: DateTime::from_timestamp(stall.since, 0).unwrap_or_default(),
            http_status: stall.status,
        }),
        status: OutcomeStatus::of(run.stopped),
    })
}
