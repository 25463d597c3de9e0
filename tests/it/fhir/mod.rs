//! Bundles as receivers see them: each resource's shape, the guide's own codes, identity, limits,
//! and answers read back.

mod answers;
mod bundles;
mod identity;
mod receivers;
mod resources;
mod the_guide;

use cgm_submitter::fhir::{
    BundleError, BundleLimits, BundleWriter, DeviceEntry, DeviceReference, Dialect,
    EarlierResource, EntryKind, Fit, Identifier, PatientId, ReadingEntry, ResponseError,
    SubjectReference, SummaryEntry, SummaryFacts, SummaryMember, parse_capability, parse_outcome,
    parse_patient, parse_response,
};
use cgm_submitter::glucose::{
    AbsentReason, Device, EarlierReading, GlucoseUnit, GlucoseValue, Measurement, SensorKey,
    UtcOffset,
};
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

const MG: GlucoseUnit = GlucoseUnit::MgPerDl;
const MMOL: GlucoseUnit = GlucoseUnit::MmolPerL;
/// 2024-05-02T10:15:00+03:00
const SECONDS: i64 = 1_714_634_100;

fn subject() -> SubjectReference {
    SubjectReference::new(PatientId::new("p-1").unwrap())
}

fn sensor() -> SensorKey {
    SensorKey::new("dexcom:82AJ0D").unwrap()
}

fn value(text: &str, unit: GlucoseUnit) -> Measurement {
    Measurement::Value(GlucoseValue::parse(text, unit).unwrap())
}

fn limit(text: &str) -> GlucoseValue {
    GlucoseValue::parse(text, MG).unwrap()
}

/// A reading at 10:15 on 2 May 2024 in Bucharest, sent in `unit`.
struct Example {
    subject: SubjectReference,
    sensor: SensorKey,
}

impl Example {
    fn new() -> Self {
        Self { subject: subject(), sensor: sensor() }
    }

    fn reading(&self, measurement: Measurement, unit: GlucoseUnit) -> ReadingEntry<'_> {
        ReadingEntry {
            subject: &self.subject,
            sensor: &self.sensor,
            seconds: SECONDS,
            offset: UtcOffset::from_minutes(180).unwrap(),
            measurement,
            unit,
            device: None,
            history: &[],
        }
    }
}

fn facts() -> SummaryFacts {
    SummaryFacts {
        dates: "2024-05-01..2024-05-14".parse().unwrap(),
        mean_mg_dl: 145.25,
        gmi_percent: 6.784_58,
        cv_percent: 35.999,
        ranges_hundredths: [301, 799, 6500, 2000, 400],
        days_of_wear: 14,
        sensor_active_percent: 95.0,
        note: None,
    }
}

fn writer() -> BundleWriter {
    BundleWriter::new(
        "2024-05-15T06:00:00Z".parse::<DateTime<Utc>>().unwrap(),
        BundleLimits::default(),
    )
}

fn parsed(bundle: BundleWriter) -> Value {
    serde_json::from_slice(&bundle.finish().unwrap().json).unwrap()
}

fn check(name: &str, bundle: BundleWriter) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // As written, not as parsed: the digits are part of what is checked.
    let text = String::from_utf8(bundle.finish().unwrap().json).unwrap();
    settings.bind(|| insta::assert_snapshot!(name, indented(&text)));
}

/// The same JSON on many lines, every token as it was.
fn indented(json: &str) -> String {
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    for letter in json.chars() {
        if quoted {
            quoted = escaped || letter != '"';
            escaped = letter == '\\' && !escaped;
            out.push(letter);
            continue;
        }
        match letter {
            '{' | '[' => {
                depth += 1;
                out.push(letter);
                line(&mut out, depth);
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                line(&mut out, depth);
            }
            _ => {
                quoted = letter == '"';
                out.push(letter);
                if letter == ':' {
                    out.push(' ');
                }
            }
        }
    }
    out
}
