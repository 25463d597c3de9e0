//! What a plan would send, before anything is sent.

use super::assemble::{Assembly, summarise};
use crate::error::Error;
use crate::statistics::{Summary, SummaryError};
use crate::store::{ConnectionRecord, Store};
use crate::submission::Plan;

/// What a plan would send.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Preview {
    /// The plan.
    pub plan: Plan,
    /// Readings stored in its window.
    pub readings: u64,
    /// Those the receiver does not have yet, where readings are wanted.
    pub readings_to_send: u64,
    /// Entries in all: readings, devices, the summary and its members.
    pub entries_to_send: u64,
    /// The statistics over its dates; none under two readings.
    pub summary: Option<Summary>,
}

/// What a plan would send now.
///
/// # Errors
/// [`Error`] where the store fails.
pub fn preview(
    store: &Store,
    connection: &ConnectionRecord,
    plan: &Plan,
) -> Result<Preview, Error> {
    let readings = store.count(plan.window)?;
    let readings_to_send = if plan.wanted.readings {
        store.unsent_count(connection.id, plan.wanted.unit, plan.window)?
    } else {
        0
    };
    let summary = match summarise(store, plan.dates, plan.window, plan.day_under_way) {
        Ok(summary) => Some(summary),
        Err(Error::Summary(SummaryError::TooFewReadings { .. })) => None,
        Err(error) => return Err(error),
    };
    let entries_to_send = readings_to_send + resources_to_send(store, connection, plan)?;
    Ok(Preview { plan: *plan, readings, readings_to_send, entries_to_send, summary })
}

/// Entries the receiver does not have yet, of everything a plan sends.
pub(crate) fn entries_to_send(
    store: &Store,
    connection: &ConnectionRecord,
    plan: &Plan,
) -> Result<u64, Error> {
    let unit = plan.wanted.unit;
    let readings = if plan.wanted.readings {
        store.unsent_count(connection.id, unit, plan.window)?
    } else {
        0
    };
    Ok(readings + resources_to_send(store, connection, plan)?)
}

/// Entries that are no readings: devices, the summary and its members.
fn resources_to_send(
    store: &Store,
    connection: &ConnectionRecord,
    plan: &Plan,
) -> Result<u64, Error> {
    let assembly = Assembly::new(store, connection, plan)?;
    let devices = if plan.wanted.devices { assembly.unknown_devices()?.len() } else { 0 };
    let summaries = if plan.wanted.summary {
        assembly.summary()?.map_or(0, |batch| batch.manifest.len())
    } else {
        0
    };
    Ok((devices + summaries) as u64)
}
