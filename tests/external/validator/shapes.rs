//! The shapes a resource can have on the wire. A new kind of entry fails here until its shape is
//! listed.

use cgm_submitter::fhir::{EntryKind, SummaryMember};
use cgm_submitter::glucose::GlucoseUnit;
use serde_json::Value;

const MASS: GlucoseUnit = GlucoseUnit::MgPerDl;
const MOLAR: GlucoseUnit = GlucoseUnit::MmolPerL;

/// The type, or the LOINC code, of every kind of entry.
fn signs(kind: EntryKind) -> &'static [&'static str] {
    match kind {
        EntryKind::Reading => &["99504-3", "105272-9"],
        EntryKind::Device => &["Device"],
        EntryKind::Summary => &["107931-8"],
        EntryKind::SummaryMember(member) => match member {
            SummaryMember::Mean(MASS) => &["97507-8"],
            SummaryMember::Mean(MOLAR) => &["105273-7"],
            SummaryMember::TimesInRanges => &["106793-3"],
            SummaryMember::Gmi => &["97506-0"],
            SummaryMember::CoefficientOfVariation => &["104638-2"],
            SummaryMember::DaysOfWear => &["104636-6"],
            SummaryMember::SensorActive => &["104637-4"],
        },
        _ => panic!("list the shape of {kind:?}"),
    }
}

fn code(resource: &Value) -> &str {
    resource["code"]["coding"][0]["code"].as_str().unwrap_or_default()
}

fn is_reading(resource: &Value) -> bool {
    signs(EntryKind::Reading).contains(&code(resource))
}

fn replaces<'a>(resource: &'a Value, by: &str) -> &'a Value {
    &resource["extension"][0]["valueReference"][by]
}

/// How a resource can look, and whether this one does.
type Shape = (&'static str, fn(&Value) -> bool);

const SHAPES: [Shape; 25] = [
    ("a value below the scale", |r| r["valueQuantity"]["comparator"] == "<"),
    ("a value above the scale", |r| r["valueQuantity"]["comparator"] == ">"),
    ("an interpretation below the scale", |r| interpretation(r) == "<"),
    ("an interpretation above the scale", |r| interpretation(r) == ">"),
    ("an unknown value", |r| absent(r) == "unknown"),
    ("a sensor's error", |r| absent(r) == "error"),
    ("a sensor that did not measure", |r| absent(r) == "not-performed"),
    ("a masked value", |r| absent(r) == "masked"),
    ("a device by location", |r| device(r).starts_with("Device/")),
    ("a device by entry", |r| device(r).starts_with("urn:uuid:")),
    ("a reading without a device", |r| is_reading(r) && r["device"].is_null()),
    ("a reading that replaces by identifier", |r| {
        is_reading(r) && replaces(r, "identifier").is_object()
    }),
    ("a summary that replaces by identifier", |r| {
        r["hasMember"].is_array() && replaces(r, "identifier").is_object()
    }),
    ("a summary that replaces by location", |r| {
        r["hasMember"].is_array() && replaces(r, "reference").is_string()
    }),
    ("a figure that replaces by location", |r| {
        !is_reading(r) && r["hasMember"].is_null() && replaces(r, "reference").is_string()
    }),
    ("a summary with a note", |r| r["note"][0]["text"].is_string()),
    ("a summary without a note", |r| r["hasMember"].is_array() && r["note"].is_null()),
    ("a device with a serial number", |r| r["serialNumber"].is_string()),
    ("a device without a serial number", |r| {
        r["deviceName"].is_array() && r["serialNumber"].is_null()
    }),
    ("an offset of 14 hours east", |r| time(r).ends_with("+14:00")),
    ("an offset of 14 hours west", |r| time(r).ends_with("-14:00")),
    ("an offset of half an hour", |r| time(r).ends_with("-02:30")),
    ("UTC", |r| time(r).ends_with('Z')),
    ("a leap day", |r| time(r).starts_with("2024-02-29")),
    ("the last day of a year", |r| time(r).starts_with("2023-12-31")),
];

/// Numbers as they stand there: read as JSON, they lose their zeros.
const DIGITS: [&str; 4] =
    [r#""value":100.10,"#, r#""value":6.70,"#, r#""value":180.000001,"#, r#""value":100.00,"#];

fn absent(resource: &Value) -> &str {
    resource["dataAbsentReason"]["coding"][0]["code"].as_str().unwrap_or_default()
}

fn interpretation(resource: &Value) -> &str {
    resource["interpretation"][0]["coding"][0]["code"].as_str().unwrap_or_default()
}

fn device(resource: &Value) -> &str {
    resource["device"]["reference"].as_str().unwrap_or_default()
}

fn time(resource: &Value) -> &str {
    resource["effectiveDateTime"].as_str().unwrap_or_default()
}

/// What none of the bundles has.
pub(crate) fn lacking(texts: &[&str]) -> Vec<&'static str> {
    let bundles: Vec<Value> =
        texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let resources = || {
        bundles
            .iter()
            .flat_map(|bundle| bundle["entry"].as_array().unwrap())
            .map(|e| &e["resource"])
    };
    let is =
        |sign: &str, resource: &Value| resource["resourceType"] == sign || code(resource) == sign;
    let kinds = EntryKind::ALL.into_iter().flat_map(signs).copied();
    let kinds = kinds.filter(|sign| !resources().any(|resource| is(sign, resource)));
    let shapes = SHAPES.iter().filter(|(_, has)| !resources().any(has)).map(|(name, _)| *name);
    let digits =
        DIGITS.into_iter().filter(|digits| !texts.iter().any(|text| text.contains(digits)));
    kinds.chain(shapes).chain(digits).collect()
}
