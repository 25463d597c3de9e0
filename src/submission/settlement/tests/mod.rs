//! The response table, row by row, and what follows from a row of answers.

mod entries;
mod failing;
mod request;
mod unknown;

use super::*;
use crate::fhir::Dialect;
use crate::glucose::GlucoseUnit;
use crate::submission::{Item, ManifestEntry, Places, Position, RetryAfter};
use chrono::TimeDelta;

const MINUTE: TimeDelta = TimeDelta::minutes(1);

fn now() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Everything a decision is made from, to be changed by a test.
struct Case {
    policy: Policy,
    receiver: ReceiverFacts,
    progress: Progress,
    batch: SentBatch,
    open: bool,
    searchable: bool,
    token_refreshed: bool,
    now: DateTime<Utc>,
}

const WANTED: Wanted =
    Wanted { devices: true, summary: true, readings: true, unit: GlucoseUnit::MgPerDl };

impl Case {
    /// So many readings, sent once, conditionally, to a receiver that speaks HL7 CGM.
    fn readings(count: u32) -> Self {
        let manifest = (0..count).map(|unit| ManifestEntry {
            unit,
            item: Item::Reading(i64::from(unit), 0, GlucoseUnit::MgPerDl),
        });
        let position_after = Position::Readings(Some(i64::from(count)));
        let attempts = Attempts { sent: 1, first_sent: Some(0), ..Attempts::default() };
        let progress = Progress { position: Position::Readings(None), ..Progress::start() };
        Self {
            policy: Policy::default(),
            receiver: ReceiverFacts::default(),
            progress,
            batch: SentBatch {
                manifest: manifest.collect(),
                part: Part::Readings,
                dialect: Dialect::Hl7Cgm,
                conditional: true,
                position_after,
                attempts,
                looked_up: Places::default(),
                wait: Wait::after(now(), TimeDelta::seconds(70)),
            },
            open: true,
            searchable: false,
            token_refreshed: false,
            now: now(),
        }
    }

    /// The same to a receiver of which nothing is known that guards against a second copy.
    fn unguarded(count: u32) -> Self {
        let mut case = Self::readings(count);
        case.batch.dialect = Dialect::Plain;
        case
    }

    fn at(&self) -> Situation<'_> {
        Situation {
            policy: &self.policy,
            receiver: &self.receiver,
            wanted: WANTED,
            progress: &self.progress,
            batch: &self.batch,
            open: self.open,
            searchable: self.searchable,
            token_refreshed: self.token_refreshed,
            now: self.now,
            jitter: 0,
        }
    }

    fn settle(&self, answer: &Answer) -> Settlement {
        settle(&self.at(), answer)
    }

    fn status(&self, status: u16) -> Settlement {
        self.settle(&said(status, ""))
    }

    /// An answer with these statuses for its entries.
    fn entries(&self, entries: &[&str]) -> Settlement {
        assert_eq!(entries.len(), self.batch.manifest.len());
        self.settle(&said(200, &bundle(entries)))
    }

    /// Takes over what was settled, as the store does, for the next answer.
    fn then(&mut self, settled: Settlement) {
        self.progress = settled.progress;
        self.receiver = settled.receiver;
        self.batch.attempts = settled.attempts;
        self.batch.looked_up = settled.looked_up;
        self.batch.attempts.sent += 1;
    }
}

fn response(status: u16, body: &str) -> Response {
    let body = body.as_bytes().to_vec();
    Response { status, retry_after: None, body, took: TimeDelta::seconds(1) }
}

fn said(status: u16, body: &str) -> Answer {
    Answer::Response(response(status, body))
}

fn asked(status: u16, retry_after: RetryAfter, body: &str) -> Answer {
    Answer::Response(Response { retry_after: Some(retry_after), ..response(status, body) })
}

/// A transaction's answer. `201@Observation/1` has a location.
fn bundle(entries: &[&str]) -> String {
    let entry = |text: &&str| {
        let (status, location) = text.split_once('@').unwrap_or((text, ""));
        if location.is_empty() {
            format!(r#"{{"response":{{"status":"{status}"}}}}"#)
        } else {
            format!(r#"{{"response":{{"status":"{status}","location":"{location}"}}}}"#)
        }
    };
    let entries: Vec<String> = entries.iter().map(entry).collect();
    format!(
        r#"{{"resourceType":"Bundle","type":"transaction-response","entry":[{}]}}"#,
        entries.join(",")
    )
}

fn records(settled: &Settlement) -> Vec<&'static str> {
    let NextState::Done(records) = &settled.next else { panic!("{:?}", settled.next) };
    records
        .iter()
        .map(|record| match record {
            EntryRecord::Delivered { .. } => "delivered",
            EntryRecord::Refused { .. } => "refused",
            EntryRecord::Deferred => "deferred",
            EntryRecord::Unknown => "unknown",
        })
        .collect()
}

/// How long the receiver is left alone.
fn left_alone(settled: &Settlement, now: DateTime<Utc>) -> i64 {
    settled.receiver.waits(now).map_or(0, |(until, _)| (until - now).num_seconds())
}

const fn apart(may_be_stored: bool) -> NextState {
    NextState::TakenApart { may_be_stored }
}
