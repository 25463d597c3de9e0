//! What a plan would send, before anything is sent.

use super::assemble::{Assembly, covered, summarise};
use crate::error::Error;
use crate::glucose::{GlucoseUnit, Window};
use crate::sorting::sort;
use crate::statistics::{Summary, SummaryError};
use crate::store::{ConnectionRecord, Store};
use crate::submission::{Plan, Wanted};
use std::collections::HashSet;

/// What a plan would send.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Preview {
    /// The plan.
    pub plan: Plan,
    /// Readings stored in its window.
    pub readings: u64,
    /// Those the receiver does not have yet, if readings are wanted.
    pub readings_to_send: u64,
    /// Entries in all: readings, devices, the summary and its members.
    pub entries_to_send: u64,
    /// The statistics over its dates; `None` under two readings.
    pub summary: Option<Summary>,
}

/// What a plan would send now.
///
/// # Errors
/// [`Error`] if the store fails.
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

/// Entries the receiver does not have yet, of everything these plans send. What several of them
/// send is counted once.
pub(crate) fn entries_to_send(
    store: &Store,
    connection: &ConnectionRecord,
    plans: &[Plan],
) -> Result<u64, Error> {
    let mut entries = 0;
    for unit in [GlucoseUnit::MgPerDl, GlucoseUnit::MmolPerL] {
        let wanting = plans.iter().filter(|plan| plan.wanted.readings && plan.wanted.unit == unit);
        for window in merged(wanting.map(|plan| plan.window))? {
            entries += store.unsent_count(connection.id, unit, window)?;
        }
    }
    let (mut devices, mut summaries) = (HashSet::new(), Vec::new());
    for plan in plans {
        let assembly = Assembly::new(store, connection, plan)?;
        if plan.wanted.devices {
            let unknown = assembly.unknown_devices()?;
            devices.extend(unknown.iter().map(|sensor| assembly.device(sensor).identifier()));
        }
        if plan.wanted.summary && !summaries.contains(&covered(plan)) {
            summaries.push(covered(plan));
            entries += assembly.summary()?.map_or(0, |body| body.manifest.len()) as u64;
        }
    }
    Ok(entries + devices.len() as u64)
}

/// The same instants in windows that do not overlap.
fn merged(windows: impl Iterator<Item = Window>) -> Result<Vec<Window>, Error> {
    let mut edges: Vec<_> = windows.map(|window| (window.start(), window.end())).collect();
    sort(&mut edges);
    let mut merged: Vec<(i64, i64)> = Vec::with_capacity(edges.len());
    for (start, end) in edges {
        match merged.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => merged.push((start, end)),
        }
    }
    let window = |(start, end)| Window::from_unix(start, end).map_err(Error::from);
    merged.into_iter().map(window).collect()
}

/// Entries that are no readings: devices, the summary and its members.
fn resources_to_send(
    store: &Store,
    connection: &ConnectionRecord,
    plan: &Plan,
) -> Result<u64, Error> {
    let wanted = Wanted { readings: false, ..plan.wanted };
    entries_to_send(store, connection, &[Plan { wanted, ..*plan }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_overlap_or_touch_become_one() {
        let windows = [(50, 60), (0, 10), (5, 20), (20, 30), (6, 7)];
        let windows = windows.map(|(start, end)| Window::from_unix(start, end).unwrap());
        let merged = merged(windows.into_iter()).unwrap();
        let edges: Vec<_> = merged.iter().map(|window| (window.start(), window.end())).collect();
        assert_eq!(edges, [(0, 30), (50, 60)]);
    }
}
