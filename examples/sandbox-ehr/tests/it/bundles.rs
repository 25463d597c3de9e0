//! Bundles as the guide describes them, for `amy-shaw` unless said otherwise.

use serde_json::{Value, json};

pub const SYSTEM: &str = "urn:ietf:rfc:3986";

pub fn bundle(entries: Vec<Value>) -> Value {
    let mut bundle = json!({ "resourceType": "Bundle", "type": "transaction",
        "timestamp": "2026-05-02T14:30:00Z" });
    bundle["entry"] = Value::Array(entries);
    bundle
}

pub fn entry(resource: Value) -> Value {
    let mut entry = json!({ "request": { "method": "POST", "url": resource["resourceType"] } });
    entry["resource"] = resource;
    entry
}

/// An entry others can refer to.
pub fn named(number: u32, resource: Value) -> Value {
    let mut entry = entry(resource);
    entry["fullUrl"] = json!(urn(number));
    entry
}

pub fn urn(number: u32) -> String {
    format!("urn:uuid:00000000-0000-4000-8000-{number:012}")
}

/// An entry that is created only when nothing with this identifier is there.
pub fn conditional(value: &str, mut resource: Value) -> Value {
    resource["identifier"] = json!([{ "system": SYSTEM, "value": value }]);
    let mut entry = entry(resource);
    entry["request"]["ifNoneExist"] = json!(format!("identifier={SYSTEM}|{value}"));
    entry
}

fn coded(code: &str, unit: Value) -> Value {
    let mut observation = json!({
        "resourceType": "Observation",
        "status": "final",
        "category": [{ "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": "laboratory" }] }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
        "subject": { "reference": "Patient/amy-shaw" },
    });
    if !unit.is_null() {
        observation["valueQuantity"] = unit;
    }
    observation
}

pub fn quantity(value: f64, unit: &str, code: &str) -> Value {
    json!({ "value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": code })
}

pub fn reading(minute: u32) -> Value {
    let mut reading = coded("99504-3", quantity(f64::from(100 + minute % 50), "mg/dl", "mg/dL"));
    let (day, hour, minute) = (1 + minute / 1440, minute / 60 % 24, minute % 60);
    reading["effectiveDateTime"] =
        json!(format!("2026-05-{day:02}T{hour:02}:{minute:02}:00+02:00"));
    reading
}

pub fn molar_reading() -> Value {
    let mut reading = coded("105272-9", quantity(6.7, "mmol/l", "mmol/L"));
    reading["effectiveDateTime"] = json!("2026-05-01T08:00:00Z");
    reading
}

pub fn statistic(code: &str, unit: Value) -> Value {
    let mut member = coded(code, unit);
    member["effectivePeriod"] = json!({ "start": "2026-05-01", "end": "2026-05-14" });
    member
}

pub fn times_in_ranges() -> Value {
    let mut ranges = statistic("106793-3", Value::Null);
    let bands = [
        ("104642-4", 0.5),
        ("104641-6", 2.5),
        ("97510-2", 72.25),
        ("104640-8", 20.0),
        ("104639-0", 4.75),
    ];
    ranges["component"] = bands
        .iter()
        .map(|(code, percent)| {
            let code = json!({ "coding": [{ "system": "http://loinc.org", "code": code }] });
            json!({ "code": code, "valueQuantity": quantity(*percent, "%", "%") })
        })
        .collect();
    ranges
}

/// The six members, as entries 1 to 6.
pub fn members() -> Vec<Value> {
    let percent = |value| quantity(value, "%", "%");
    vec![
        named(1, statistic("97507-8", quantity(154.2, "mg/dl", "mg/dL"))),
        named(2, times_in_ranges()),
        named(3, statistic("97506-0", percent(7.0))),
        named(4, statistic("104638-2", percent(31.5))),
        named(5, statistic("104636-6", quantity(14.0, "days", "d"))),
        named(6, statistic("104637-4", percent(96.25))),
    ]
}

/// The summary, entry 7, with its members by `fullUrl`.
pub fn summary() -> Value {
    let mut summary = statistic("107931-8", Value::Null);
    summary["hasMember"] = (1..=6).map(|number| json!({ "reference": urn(number) })).collect();
    summary
}

/// The report with its PDF.
pub fn report() -> Value {
    json!({
        "resourceType": "DiagnosticReport",
        "status": "final",
        "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v2-0074",
        "code": "LAB" }] }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "107931-8" }] },
        "subject": { "reference": "Patient/amy-shaw" },
        "effectivePeriod": { "start": "2026-05-01", "end": "2026-05-14" },
        "issued": "2026-05-15T14:30:00Z",
        "presentedForm": [{ "contentType": "application/pdf", "data": "JVBERi0xLjcK" }],
        "result": [{ "reference": urn(7) }],
    })
}

pub fn device() -> Value {
    json!({
        "resourceType": "Device",
        "identifier": [{ "system": "http://acme.example/devices", "value": "456789" }],
        "serialNumber": "ABC123",
        "deviceName": [{ "type": "user-friendly-name", "name": "Acme <CGM> System" }],
        "patient": { "reference": "Patient/amy-shaw" },
    })
}

/// Report first, then summary, members, device and a reading made by it: references point forward
/// and backward.
pub fn whole_submission() -> Value {
    let mut entries = vec![named(8, report()), named(7, summary())];
    entries.extend(members());
    entries.push(named(9, device()));
    let mut reading = reading(0);
    reading["device"] = json!({ "reference": urn(9) });
    entries.push(named(10, reading));
    bundle(entries)
}
