//! Reads a file and stores what it holds, together with what it shows about what is stored.

use super::types::{ImportChoices, ImportReport};
use crate::error::Error;
use crate::glucose::{Reading, SensorKey, UtcOffset, Window, ZoneOffsets};
use crate::import::{ClockAnswer, Import, ImportOptions, import};
use crate::sorting::sort_by_key;
use crate::store::{ImportSource, Store, StoreError};
use chrono::{DateTime, NaiveDateTime, Utc};
use sha2::{Digest, Sha256};
use std::cell::Cell;

/// Where the host's answers about the device's clock are kept: a later import must not undo them.
const ANSWERS: &str = "clock-answers";
/// How many answers are kept: the newest.
const MOST_ANSWERS: usize = 1_000;

/// Reads a file and stores what it holds.
pub(super) fn import_into(
    store: &mut Store,
    bytes: &[u8],
    choices: ImportChoices,
    local: &ZoneOffsets,
    now: DateTime<Utc>,
) -> Result<ImportReport, Error> {
    let answers = merged(answers(store)?, &choices.clock_answers);
    let has_new_answers = !choices.clock_answers.is_empty();
    let fill = choices.zone.clone();
    let imported = read(store, bytes, choices, &answers, now)?;
    if has_new_answers {
        store.set_meta(ANSWERS, &written(&answers)?)?;
    }
    let (rows, mut readings): (Vec<usize>, Vec<Reading>) =
        imported.readings.into_iter().map(|found| (found.row, found.reading)).unzip();
    let dates = local.dates_of(readings.iter().map(Reading::seconds));
    readings.extend(imported.mended);
    let zone = fill.as_ref().unwrap_or(local);
    let format = imported.format.to_string();
    let skipped = imported.skipped;
    let source = ImportSource {
        format: &format,
        digest: Sha256::digest(bytes).into(),
        repeated: skipped.repeated,
        rejected: imported.rejected.len(),
    };
    let report = store.ingest_import(source, &imported.sensors, &readings, zone, now)?;
    let mut rejected: Vec<_> =
        imported.rejected.into_iter().map(|row| (row.row, row.reason)).collect();
    let place = |index: usize| rows.get(index).copied().unwrap_or_default();
    rejected
        .extend(report.rejected.iter().map(|refused| (place(refused.row), refused.reason.clone())));
    sort_by_key(&mut rejected, |(row, _)| *row);
    Ok(ImportReport {
        format: imported.format,
        stored: report.stored,
        already_there: report.already_there + skipped.repeated,
        replaced: report.replaced,
        corrected: report.corrected,
        skipped: skipped.alerts + skipped.calibrations + skipped.insulin + skipped.other,
        rejected,
        dates,
        clock_notes: imported.clock_notes,
    })
}

/// What a file holds, read beside what is stored.
fn read(
    store: &Store,
    bytes: &[u8],
    choices: ImportChoices,
    answers: &[ClockAnswer],
    now: DateTime<Utc>,
) -> Result<Import, Error> {
    let known = store.sensors()?.into_iter().map(|stored| stored.sensor);
    let failed = Cell::new(None);
    let stored = |sensor: &SensorKey, from: i64, to: i64| {
        let window = Window::from_unix(from, to.saturating_add(1));
        let window = window.map_err(|_| StoreError::Row("reading"));
        let readings = window.and_then(|window| store.readings_within(sensor, window));
        readings.unwrap_or_else(|error| {
            failed.set(Some(error));
            Vec::new()
        })
    };
    let mut options = ImportOptions::new(now)
        .with_known(known)
        .with_stored(&stored)
        .with_clock_answers(answers.iter().copied())
        .replacing(choices.replace);
    if let Some(zone) = choices.zone {
        options = options.with_zone(zone);
    }
    if let Some(scale) = choices.scale {
        options = options.with_scale(scale);
    }
    let imported = import(bytes, &options)?;
    match failed.take() {
        Some(error) => Err(error.into()),
        None => Ok(imported),
    }
}

/// What the host said of the device's clock, as it is stored: local time and minutes.
fn answers(store: &Store) -> Result<Vec<ClockAnswer>, Error> {
    let Some(text) = store.meta(ANSWERS)? else { return Ok(Vec::new()) };
    let unreadable = || StoreError::Row("clock answers");
    let stored: Vec<(NaiveDateTime, i32)> =
        serde_json::from_str(&text).map_err(|_| unreadable())?;
    let answer = |(at, minutes)| {
        let offset = UtcOffset::from_minutes(minutes).map_err(|_| unreadable())?;
        Ok(ClockAnswer { at, offset })
    };
    stored.into_iter().map(answer).collect()
}

fn written(answers: &[ClockAnswer]) -> Result<String, Error> {
    let stored: Vec<_> =
        answers.iter().map(|answer| (answer.at, answer.offset.minutes())).collect();
    Ok(serde_json::to_string(&stored).map_err(|_| StoreError::Row("clock answers"))?)
}

/// The stored answers and the new ones, which stand for what they say of the same time.
fn merged(stored: Vec<ClockAnswer>, new: &[ClockAnswer]) -> Vec<ClockAnswer> {
    let stands = |old: &ClockAnswer| new.iter().all(|new| new.at != old.at);
    let mut all: Vec<_> = stored.into_iter().filter(stands).chain(new.iter().copied()).collect();
    all.drain(..all.len().saturating_sub(MOST_ANSWERS));
    all
}
