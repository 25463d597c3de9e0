//! A summary, and what goes on the wire of it, held against what the definitions give.

use cgm_submitter::statistics::{Sufficiency, Summary, SummaryError};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// How far a figure may lie from the exact one, as a share of it: a few roundings of doubles.
const NOISE: f64 = 1e-12;
/// A deviation may lie this far from the exact one, in mg/dL, however small it is: sums are kept in
/// such units.
const DEVIATION_NOISE: f64 = 1e-11;

type Difference = Result<(), String>;

fn same<T: PartialEq + std::fmt::Debug>(what: &str, actual: &T, expected: &T) -> Difference {
    if actual == expected {
        Ok(())
    } else {
        Err(format!("{what}: {actual:?} instead of {expected:?}"))
    }
}

fn close(what: &str, actual: f64, expected: f64, floor: f64) -> Difference {
    let within = (NOISE * expected.abs()).max(floor);
    // Nothing is exactly nothing.
    if (actual - expected).abs() <= within && (expected != 0.0 || actual == 0.0) {
        return Ok(());
    }
    Err(format!("{what}: {actual} instead of {expected}"))
}

/// Every figure of a summary, unrounded: counts, seconds and reconciled percentages the same, the
/// others but for double's noise.
pub(crate) fn figures(summary: &Result<Summary, SummaryError>, expected: &Value) -> Difference {
    let whole =
        |key: &str| expected[key].as_u64().ok_or_else(|| format!("no {key} to compare with"));
    let figure =
        |key: &str| expected[key].as_f64().ok_or_else(|| format!("no {key} to compare with"));
    let summary = match summary {
        Ok(summary) => summary,
        Err(SummaryError::TooFewReadings { readings, .. }) => {
            same("a summary", &false, &expected.get("mean_mg_dl").is_some())?;
            return same("readings", readings, &whole("readings")?);
        }
        Err(other) => return Err(other.to_string()),
    };
    for (key, actual) in [
        ("readings", summary.readings()),
        ("clipped", summary.clipped()),
        ("days_of_wear", summary.days_of_wear().into()),
        ("days_well_covered", summary.days_well_covered().into()),
    ] {
        same(key, &actual, &whole(key)?)?;
    }
    for (key, actual) in [
        ("covered_minutes", summary.covered_minutes()),
        ("elapsed_minutes", summary.elapsed_minutes()),
    ] {
        same(key, &(actual * 60.0).round(), &(figure(key)? * 60.0).round())?;
    }
    for (key, actual, floor) in [
        ("mean_mg_dl", summary.mean_mg_dl(), 0.0),
        ("mean_mmol_l", summary.mean_mmol_l(), 0.0),
        ("sd_mg_dl", summary.sd_mg_dl(), DEVIATION_NOISE),
        ("cv_percent", summary.cv_percent(), 100.0 * DEVIATION_NOISE / summary.mean_mg_dl()),
        ("gmi_percent", summary.gmi_percent(), 0.0),
        ("gmi_mmol_mol", summary.gmi_mmol_mol(), 0.0),
        ("sensor_active_percent", summary.sensor_active_percent(), 0.0),
    ] {
        close(key, actual, figure(key)?, floor)?;
    }
    for (range, actual) in summary.ranges().percentages().into_iter().enumerate() {
        let exact =
            expected["percentages"][range].as_f64().ok_or("no percentages to compare with")?;
        close(&format!("range {range}"), actual, exact, 0.0)?;
    }
    for (key, decimals) in [("reconciled_whole", 0), ("reconciled_hundredths", 2)] {
        same(key, &Value::from(summary.ranges().reconciled(decimals).to_vec()), &expected[key])?;
    }
    let short = match summary.sufficiency() {
        Sufficiency::Sufficient => (false, false),
        Sufficiency::Short { days, sensor_active_percent } => {
            (days.is_some(), sensor_active_percent.is_some())
        }
    };
    same("short of days", &Some(short.0), &expected["short_of_days"].as_bool())?;
    same("short of wear", &Some(short.1), &expected["short_of_wear"].as_bool())
}

/// A bundle, as far as figures go, each with its digits as written.
#[derive(Deserialize)]
struct Bundle<'a> {
    #[serde(borrow)]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    resource: Observation<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Observation<'a> {
    code: Code<'a>,
    #[serde(borrow)]
    value_quantity: Option<Quantity<'a>>,
    #[serde(borrow, default)]
    component: Vec<Component<'a>>,
    note: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Component<'a> {
    code: Code<'a>,
    #[serde(borrow)]
    value_quantity: Quantity<'a>,
}

#[derive(Deserialize)]
struct Code<'a> {
    #[serde(borrow)]
    coding: Vec<Coding<'a>>,
}

#[derive(Deserialize)]
struct Coding<'a> {
    code: &'a str,
}

#[derive(Deserialize)]
struct Quantity<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
}

/// The members of HL7 CGM STU1's summary, by LOINC code, and what the oracle calls them.
const MEMBERS: [(&str, &str); 6] = [
    ("97507-8", "mean_mg_dl"),
    ("105273-7", "mean_mmol_l"),
    ("97506-0", "gmi"),
    ("104638-2", "cv"),
    ("104636-6", "days"),
    ("104637-4", "active"),
];
/// The times in ranges, and their components from very low to very high.
const TIMES_IN_RANGES: &str = "106793-3";
const RANGES: [&str; 5] = ["104642-4", "104641-6", "97510-2", "104640-8", "104639-0"];
const SUMMARY: &str = "107931-8";

/// The digits a bundle with a summary is written with.
pub(crate) fn wire(json: &[u8], expected: &Value) -> Difference {
    let bundle: Bundle<'_> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    same("entries", &bundle.entry.len(), &7)?;
    for Entry { resource } in &bundle.entry {
        same("a note", &Some(resource.note.is_some()), &expected["note"].as_bool())?;
        match resource.code.coding[0].code {
            SUMMARY => {}
            TIMES_IN_RANGES => {
                let of = |part: &Component<'_>| {
                    (part.code.coding[0].code.to_owned(), digits(&part.value_quantity))
                };
                let written: Vec<_> = resource.component.iter().map(of).collect();
                let exact: Vec<_> = RANGES
                    .iter()
                    .enumerate()
                    .map(|(n, code)| {
                        (
                            (*code).to_owned(),
                            expected["ranges"][n].as_str().unwrap_or_default().to_owned(),
                        )
                    })
                    .collect();
                same("times in ranges", &written, &exact)?;
            }
            code => {
                let name = MEMBERS.iter().find(|(loinc, _)| *loinc == code).map(|(_, name)| *name);
                let name = name.ok_or_else(|| format!("no member {code}"))?;
                let written = resource.value_quantity.as_ref().map(digits).unwrap_or_default();
                let may_be = expected[name].as_array().ok_or("no such figure to compare with")?;
                if !may_be.iter().any(|text| *text == *written) {
                    return Err(format!("{name} on the wire: {written} instead of {may_be:?}"));
                }
            }
        }
    }
    Ok(())
}

fn digits(quantity: &Quantity<'_>) -> String {
    quantity.value.get().to_owned()
}
