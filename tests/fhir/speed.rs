//! Assembly against plain `serde_json` writing the very same bytes. A measurement, so not run by default:
//! `cargo test --release --no-default-features --test fhir speed -- --ignored --nocapture`.

use crate::{Example, MG, value};
use cgm_submitter::fhir::{BundleLimits, BundleWriter, DeviceReference, Fit, ReadingEntry, ReadingKey};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The readings of 88 days at 5 minutes.
const READINGS: i64 = 25_340;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bundle {
    resource_type: String,
    r#type: String,
    timestamp: String,
    entry: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    full_url: String,
    resource: Observation,
    request: Request,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Observation {
    resource_type: String,
    identifier: Vec<Identifier>,
    status: String,
    category: Vec<Concept>,
    code: Concept,
    subject: Reference,
    effective_date_time: String,
    value_quantity: Quantity,
    device: Reference,
}

#[derive(Serialize, Deserialize)]
struct Identifier {
    system: String,
    value: String,
}

#[derive(Serialize, Deserialize)]
struct Concept {
    coding: Vec<Coding>,
}

#[derive(Serialize, Deserialize)]
struct Coding {
    system: String,
    code: String,
}

#[derive(Serialize, Deserialize)]
struct Reference {
    reference: String,
}

#[derive(Serialize, Deserialize)]
struct Quantity {
    value: u32,
    unit: String,
    system: String,
    code: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    if_none_exist: String,
}

/// Hands every bundle to `take`.
fn assemble(mut take: impl FnMut(Vec<u8>)) {
    let example = Example::new();
    let new = || BundleWriter::new(DateTime::UNIX_EPOCH, BundleLimits::default());
    let mut bundle = new();
    for number in 0..READINGS {
        let seconds = 1_700_000_000 + number * 300;
        let reading = ReadingEntry {
            key: ReadingKey::Second(seconds),
            seconds,
            device: Some(DeviceReference::Location("Device/12")),
            ..example.reading(value(["97", "121", "180"][usize::try_from(number % 3).unwrap()], MG), MG)
        };
        while bundle.try_unit(|unit| unit.reading(&reading).map(drop)).unwrap() == Fit::Full {
            take(std::mem::replace(&mut bundle, new()).finish().unwrap().json);
        }
    }
    take(bundle.finish().unwrap().json);
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn fastest(mut work: impl FnMut()) -> Duration {
    let run = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..15).map(|_| run(&mut work)).min().unwrap_or_default()
}

#[test]
#[ignore = "a measurement: meaningful in a release build only"]
fn assembly_takes_at_most_half_as_long_again_as_plain_json() {
    let mut bundles = Vec::new();
    assemble(|json| bundles.push(json));
    let plain: Vec<Bundle> = bundles.iter().map(|json| serde_json::from_slice(json).unwrap()).collect();
    for (ours, plain) in bundles.iter().zip(&plain) {
        assert!(*ours == serde_json::to_vec(plain).unwrap(), "not the same bytes");
    }
    let ours = fastest(|| assemble(|json| drop(std::hint::black_box(json))));
    let theirs = fastest(|| {
        for bundle in &plain {
            drop(std::hint::black_box(serde_json::to_vec(bundle).unwrap()));
        }
    });
    let bytes: usize = bundles.iter().map(Vec::len).sum();
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!("{} bundles, {bytes} bytes: {ours:?} assembled, {theirs:?} plain, ratio {ratio:.2}", bundles.len());
    assert!(ratio <= 1.5, "ratio {ratio:.2}");
}
