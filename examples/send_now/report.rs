//! What is told about orders, preview and outcome, for people and as JSON.

use crate::refused;
use cgm_submitter::errors::ReadingError;
use cgm_submitter::import::ClockEvent;
use cgm_submitter::order::Orders;
use cgm_submitter::outcome::{Counts, SubmissionPreview, Verification};
use cgm_submitter::statistics::Summary;
use cgm_submitter::{GlucoseUnit, ImportReport, OutcomeStatus, SubmissionOutcome};
use serde_json::{Value, json};
use std::path::Path;

/// What a file gave: refused rows by their reasons.
pub(crate) fn import(file: &Path, report: &ImportReport) {
    say!(
        "Read {}: {} readings new, {} there already",
        file.display(),
        report.stored,
        report.already_there
    );
    if report.replaced + report.corrected > 0 {
        say!("  {} corrected readings", report.replaced + report.corrected);
    }
    for note in &report.clock_notes {
        say!("  {note}");
        if note.event == ClockEvent::NotShown {
            let at = note.at.format("%Y-%m-%dT%H:%M:%S");
            say!("    said with --clock {at}=+02:00, for the time and the offset it was");
        }
        if note.open {
            let at = note.at.format("%Y-%m-%dT%H:%M:%S");
            for other in &note.alternatives {
                say!("    UTC{other} is said with --clock {at}={other}");
            }
        }
    }
    for line in refused::by_reason(report.rejected.iter().map(|(row, reason)| (*row, reason))) {
        say!("  {line}");
    }
    let elsewhere =
        |reason: &ReadingError| matches!(reason, ReadingError::AlreadyImportedElsewhere { .. });
    if report.rejected.iter().any(|(_, reason)| elsewhere(reason)) {
        say!("  give the earlier --time-zone, or --replace to move what is stored");
    }
}

/// The standing orders.
pub(crate) fn orders(orders: &Orders) {
    for order in &orders.active {
        for schedule in &order.schedules {
            let content: Vec<_> =
                schedule.content.iter().map(|content| content.profile()).collect();
            say!(
                "Standing order {}: every {}, {}",
                order.id.as_str(),
                schedule.period,
                content.join(", ")
            );
        }
    }
    for refused in &orders.refused {
        let id = refused.id.as_ref().map_or("without an id", |id| id.as_str());
        say!("Order {id} does not run: {}", refused.reason);
    }
}

/// What would be sent.
pub(crate) fn preview(preview: &SubmissionPreview) {
    for part in &preview.parts {
        say!(
            "To send, {}: {} of {} readings, {} entries in all with devices and summary",
            part.plan.dates,
            part.readings_to_send,
            part.readings,
            part.entries_to_send
        );
        if let Some(summary) = &part.summary {
            print_summary(summary, part.plan.wanted.unit);
        }
    }
    for left_out in &preview.left_out {
        say!("Not sent: {left_out}");
    }
}

fn print_summary(summary: &Summary, unit: GlucoseUnit) {
    let ranges = summary.ranges();
    let mean = match unit {
        GlucoseUnit::MgPerDl => {
            format!("{:.1} mg/dL, SD {:.1}", summary.mean_mg_dl(), summary.sd_mg_dl())
        }
        GlucoseUnit::MmolPerL => format!("{:.2} mmol/L", summary.mean_mmol_l()),
    };
    say!("  mean {mean}, CV {:.1} %, GMI {:.1} %", summary.cv_percent(), summary.gmi_percent());
    say!(
        "  very low {:.2} %, low {:.2} %, in range {:.2} %, high {:.2} %, very high {:.2} %",
        ranges.very_low_percent(),
        ranges.low_percent(),
        ranges.in_range_percent(),
        ranges.high_percent(),
        ranges.very_high_percent()
    );
    say!(
        "  {} days of wear, sensor active {:.1} %",
        summary.days_of_wear(),
        summary.sensor_active_percent()
    );
}

/// What became of it.
pub(crate) fn outcome(outcome: &SubmissionOutcome) {
    let entries = outcome.tally.entries;
    if outcome.tally.requests == 0 && outcome.status == OutcomeStatus::Done {
        let what = if outcome.keeps_no_copies { "was sent" } else { "has" };
        say!("Nothing to send: the clinic {what} every reading already");
    } else {
        say!(
            "{} accepted, {} already there, {} received without a copy, {} refused, in {} requests",
            entries.accepted,
            entries.already_there,
            entries.received,
            entries.refused,
            outcome.tally.requests
        );
    }
    if outcome.keeps_no_copies {
        say!("The clinic read some of it and did not say that it keeps a copy: ask it what it has");
    }
    for item in outcome.refused.iter().take(20) {
        say!("  refused {}: {}", item.kind, item.reason);
    }
    for left_out in &outcome.left_out {
        say!("Not sent: {left_out}");
    }
    for stopped in &outcome.stopped {
        say!(
            "The clinic takes no {}: {}",
            stopped.part.word().trim_start_matches("the "),
            stopped.reason
        );
    }
    let standing = outcome.standing;
    if outcome.status == OutcomeStatus::Done && standing.open > 0 {
        say!("{} entries over these dates are still to be sent", standing.open);
    }
    if standing.refused > entries.refused {
        say!("{} entries over these dates were refused, also earlier", standing.refused);
    }
    if standing.unknown > 0 {
        say!("{} entries were sent, and nobody can tell what became of them", standing.unknown);
    }
    if let Some(stalled) = outcome.stalled {
        say!("The clinic answers {} again and again, since {}", stalled.http_status, stalled.since);
    }
    match outcome.status {
        OutcomeStatus::Done => {}
        OutcomeStatus::Waiting { until, reason } => {
            say!("The rest waits until {until} ({reason}): run again");
        }
        OutcomeStatus::Blocked(state) => {
            say!("Stopped: the connection needs you ({})", state.code());
        }
        _ => say!("Not everything is done: run again"),
    }
}

/// What the clinic has, when asked.
pub(crate) fn verification(verification: &Verification) {
    if verification.confirmed > 0 || verification.not_verified.is_empty() {
        say!("Verified: the clinic has {} entries as they were sent", verification.confirmed);
    }
    if verification.to_send_again > 0 {
        say!(
            "  {} it accepted and does not have: run again to send them",
            verification.to_send_again
        );
    }
    if verification.missing > 0 {
        say!("  {} it accepted were not found, and are not sent again", verification.missing);
    }
    if verification.different > 0 {
        say!("  {} it has otherwise than they were sent", verification.different);
    }
    for part in &verification.not_verified {
        say!("Cannot verify {}: {}", part.part, part.why);
    }
}

/// The same as JSON.
pub(crate) fn verification_json(verification: &Verification) -> Value {
    let cannot = |part: &cgm_submitter::outcome::NotVerified| {
        json!({"part": part.part.word(),
        "why": part.why.to_string()})
    };
    json!({
        "confirmed": verification.confirmed,
        "to_send_again": verification.to_send_again,
        "missing": verification.missing,
        "different": verification.different,
        "not_verified": verification.not_verified.iter().map(cannot).collect::<Vec<_>>(),
    })
}

/// The same as JSON.
pub(crate) fn outcome_json(outcome: &SubmissionOutcome) -> Value {
    let counts = |counts: &Counts| {
        json!({
            "accepted": counts.accepted,
            "already_there": counts.already_there,
            "received_without_copy": counts.received,
            "refused": counts.refused,
        })
    };
    let tally = &outcome.tally;
    let refused: Vec<Value> = outcome
        .refused
        .iter()
        .map(|item| json!({"kind": item.kind.word(), "time": item.time, "reason": item.reason}))
        .collect();
    json!({
        "requests": tally.requests,
        "bytes": tally.bytes,
        "accepted": tally.entries.accepted,
        "already_there": tally.entries.already_there,
        "received_without_copy": tally.entries.received,
        "refused": tally.entries.refused,
        "refusals": refused,
        "readings": counts(&tally.readings),
        "stopped": outcome.stopped.iter().map(|s| json!({"part": s.part.word(),
        "reason": s.reason})).collect::<Vec<_>>(),
        "left_out": outcome.left_out.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "complete": outcome.is_complete(),
    })
}
