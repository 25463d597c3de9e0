//! What the [`Submitter`](super::Submitter) puts together from store, orders and files.

use super::order_search::stored_orders;
use super::types::{OutcomeStatus, RefusedItem, Stalled, Standing, SubmissionOutcome};
use crate::delivery::{Run, entries_to_send, summarise};
use crate::environment::{Entropy, Lock};
use crate::error::Error;
use crate::fhir::{Dialect, EntryKind};
use crate::glucose::{GlucoseUnit, Window, ZoneOffsets};
use crate::smart::GrantedScopes;
use crate::store::{
    ConnectionId, ConnectionRecord, ConnectionState, Store, SubmissionId, SubmissionState,
};
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
    let dialect = connection.details.dialect.as_deref().and_then(Dialect::from_code);
    let dialect = dialect.unwrap_or_default();
    let circumstances = Circumstances {
        orders: &orders,
        own_unit: own_unit(store)?,
        dialect,
        scopes: &GrantedScopes::parse(&connection.details.scopes),
        zone,
        trigger: Trigger::Person,
        now,
    };
    let failed = Cell::new(None);
    let can_summarise =
        |plan: &Plan| match summarise(store, plan.dates, plan.window, plan.day_under_way) {
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
    if record.state == ConnectionState::Disconnected {
        // Its submissions are gone with it.
        return Err(Error::Blocked(record.state));
    }
    let mut tally = run.others;
    let (mut stopped, mut stall, mut standing) = (Vec::new(), None, Standing::default());
    let mut open = Vec::new();
    for id in &submissions {
        let submission = store.submission(*id)?;
        tally.add(&submission.progress.tally);
        stopped.extend(submission.progress.stopped);
        stall = stall.or(submission.progress.stall);
        let plan = &submission.plan;
        if submission.state != SubmissionState::Cancelled {
            open.push(*plan);
        }
        let set_aside = store.readings_set_aside(connection, plan.wanted.unit, plan.window)?;
        let resources = store.resources_set_aside(connection, plan.dates)?;
        standing.refused += set_aside.refused + resources.refused;
        standing.unknown += set_aside.unknown + resources.unknown;
    }
    standing.open = entries_to_send(store, &record, &open)?;
    Ok(SubmissionOutcome {
        submissions,
        tally,
        refused: refused(store, connection)?,
        left_out,
        stopped,
        standing,
        keeps_no_copies: record.receiver.keeps_no_copies,
        stalled: stall.map(|stall| Stalled {
            since: DateTime::from_timestamp(stall.since, 0).unwrap_or_default(),
            http_status: stall.status,
        }),
        status: OutcomeStatus::of(run.stopped),
    })
}
