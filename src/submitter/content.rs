//! What the [`Submitter`](super::Submitter) puts together from store, orders and files.

use super::types::{
    ImportReport, LeftOut, Orders, OutcomeStatus, RefusedItem, Stalled, Standing,
    SubmissionOutcome, SubmissionRequest,
};
use crate::delivery::{Run, entries_to_send, summarise};
use crate::environment::{Entropy, Lock};
use crate::error::Error;
use crate::glucose::{DateRange, GlucoseUnit, Reading, Window, ZoneOffsets};
use crate::import::{ImportOptions, import};
use crate::orders::{Content, Schedule, StandingOrder};
use crate::smart::{GrantedScopes, ResourceType, SearchToken};
use crate::store::{
    ConnectionId, ConnectionRecord, Store, StoreError, StoredOrder, SubmissionId, SubmissionState,
};
use crate::submission::{Plan, Wanted};
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

/// The orders as last read.
pub(super) fn orders(store: &Store, connection: ConnectionId) -> Result<Orders, Error> {
    let stored = store.orders(connection)?;
    let read = |order: &StoredOrder| {
        serde_json::from_str(&order.json).map_err(|_| StoreError::Row("order").into())
    };
    let all: Vec<StandingOrder> = stored.iter().map(read).collect::<Result<_, Error>>()?;
    Ok(Orders {
        active: all.into_iter().filter(StandingOrder::runs).collect(),
        refused: Vec::new(),
    })
}

/// Keeps the orders a receiver has now.
pub(super) fn save_orders(
    store: &mut Store,
    connection: ConnectionId,
    orders: &[StandingOrder],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let stored = |order: &StandingOrder| {
        let json = serde_json::to_string(order).map_err(|_| StoreError::Row("order"))?;
        Ok(StoredOrder { id: order.id.as_str().to_owned(), json, fetched_at: now.timestamp() })
    };
    let stored: Vec<StoredOrder> = orders.iter().map(stored).collect::<Result<_, StoreError>>()?;
    Ok(store.save_orders(connection, &stored)?)
}

/// What a request comes to: one plan for each stretch of dates, and what is left out.
pub(super) fn plans(
    store: &Store,
    connection: &ConnectionRecord,
    request: SubmissionRequest,
    zone: &ZoneOffsets,
    now: DateTime<Utc>,
) -> Result<(Vec<Plan>, Vec<LeftOut>), Error> {
    let mut left_out = Vec::new();
    let wishes = match request {
        SubmissionRequest::Own { dates, unit } => {
            vec![(Wanted { devices: true, summary: true, readings: true, unit }, dates)]
        }
        SubmissionRequest::Ordered => {
            let orders = orders(store, connection.id)?;
            if orders.active.is_empty() {
                return Err(Error::NoOrder);
            }
            let own = own_unit(store)?;
            let today = zone.date_at(now.timestamp());
            let schedules = orders.active.iter().flat_map(|order| &order.schedules);
            let mut wishes = Vec::new();
            for schedule in schedules {
                wishes.extend(ordered(schedule, own, today, &mut left_out));
            }
            wishes
        }
    };
    let scopes = GrantedScopes::parse(&connection.details.scopes);
    let mut plans: Vec<Plan> = Vec::new();
    for (wanted, dates) in wishes {
        let wanted = granted(wanted, &scopes, &mut left_out);
        let plan = Plan { wanted, dates, window: dates.window(zone)? };
        if wanted.summary && matches!(summarise(store, dates, plan.window), Err(Error::Summary(_)))
        {
            left_out.push(LeftOut::TooFewReadings);
        }
        if (wanted.devices || wanted.summary || wanted.readings) && !plans.contains(&plan) {
            plans.push(plan);
        }
    }
    left_out.dedup();
    Ok((plans, left_out))
}

/// What one schedule asks for, by dates: a summary may reach further back than readings.
fn ordered(
    schedule: &Schedule,
    own: GlucoseUnit,
    today: chrono::NaiveDate,
    left_out: &mut Vec<LeftOut>,
) -> Vec<(Wanted, DateRange)> {
    let has = |content: Content| schedule.content.contains(&content);
    // The person's own unit where the order lists it, once; otherwise the other one.
    let other =
        if own == GlucoseUnit::MgPerDl { GlucoseUnit::MmolPerL } else { GlucoseUnit::MgPerDl };
    let unit = [own, other].into_iter().find(|unit| has(Content::Readings(*unit)));
    let (summary, devices) = (has(Content::Summary), has(Content::Device));
    if has(Content::SummaryPdf) {
        left_out.push(LeftOut::NotSupported("the report as PDF"));
    }
    if !summary
        && schedule.content.iter().any(|content| matches!(content, Content::SummaryMember(_)))
    {
        left_out.push(LeftOut::NotSupported("single figures without their summary"));
    }
    if !schedule.unknown_profiles.is_empty() {
        left_out.push(LeftOut::NotSupported("content of a profile that is not known"));
    }
    let none =
        Wanted { devices: false, summary: false, readings: false, unit: unit.unwrap_or(own) };
    let summary_dates = schedule.lookback_dates_of(Content::Summary, today, false);
    let data_dates = schedule.lookback_dates_of(Content::Device, today, false);
    let data = Wanted { devices, readings: unit.is_some(), ..none };
    if summary && summary_dates == data_dates {
        return vec![(Wanted { summary, ..data }, summary_dates)];
    }
    let mut wishes = Vec::new();
    if data.devices || data.readings {
        wishes.push((data, data_dates));
    }
    if summary {
        wishes.push((Wanted { summary, ..none }, summary_dates));
    }
    wishes
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

/// What of it the receiver granted.
fn granted(wanted: Wanted, scopes: &GrantedScopes, left_out: &mut Vec<LeftOut>) -> Wanted {
    let observations = scopes.may_create(ResourceType::Observation, Some(SearchToken::LABORATORY));
    let devices = scopes.may_create(ResourceType::Device, None);
    let mut keep = |wanted: bool, granted: bool, what| {
        if wanted && !granted {
            left_out.push(LeftOut::NotGranted(what));
        }
        wanted && granted
    };
    Wanted {
        devices: keep(wanted.devices, devices, "devices"),
        summary: keep(wanted.summary, observations, "the summary"),
        readings: keep(wanted.readings, observations, "readings"),
        unit: wanted.unit,
    }
}

/// What a resource is, without its dates.
pub(super) fn plain(kind: &str) -> String {
    kind.split(' ').next().unwrap_or_default().to_owned()
}

/// What receivers refused and is set aside.
pub(super) fn refused(store: &Store, connection: ConnectionId) -> Result<Vec<RefusedItem>, Error> {
    let resources = store
        .refused_resources(connection)?
        .into_iter()
        .map(|(kind, reason)| RefusedItem { kind: plain(&kind), time: None, reason });
    let readings = store.quarantined(connection)?.into_iter().map(|row| RefusedItem {
        kind: "reading".to_owned(),
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
        let set_aside = store.set_aside(connection, plan.wanted.unit.into(), plan.window)?;
        let of_dates = format!(" {} {}", plan.dates, plan.wanted.unit);
        let resources = store.resources_set_aside(connection, &of_dates)?;
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
