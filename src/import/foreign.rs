//! What a file of another maker or program looks like, for the one sentence that refuses it.

use super::text;

/// What a CSV or text file looks like, by words in its first lines.
const BY_WORDS: [(&[&str], &str); 10] = [
    (&["-------;"], "a Medtronic CareLink file"),
    (&["Sensor Glucose ("], "a Medtronic CareLink file"),
    (&["Glucose Data,"], "a LibreView file"),
    (&["FreeStyle Libre"], "a LibreView file"),
    (&["Record Type", "Historic Glucose"], "a LibreView file"),
    (&["CGM Glucose Value (", "Timestamp"], "a Glooko file"),
    (&["UDT_CGMS"], "an xDrip file"),
    (&["deviceTime", "conversionOffset"], "a Tidepool file"),
    (&["<HealthData"], "an Apple Health export"),
    (&["<?xml"], "an XML or HTML document"),
];

/// What a JSON file looks like, by words in its first lines.
const BY_JSON_WORDS: [(&[&str], &str); 7] = [
    (&["\"sgv\""], "Nightscout entries"),
    (&["\"dateString\""], "Nightscout entries"),
    (&["\"deviceTime\""], "Tidepool data"),
    (&["\"type\":\"cbg\""], "Tidepool data"),
    (&["\"type\": \"cbg\""], "Tidepool data"),
    (&["\"recordType\"", "egv"], "an answer of Dexcom's interface for apps"),
    (&["\"resourceType\""], "a FHIR document"),
];

/// What a file of another maker looks like; `None` if that cannot be told.
pub(super) fn looks_like(text: &str) -> Option<&'static str> {
    let head: Vec<_> = text::lines(text).take(12).map(|line| line.text).collect();
    let starts =
        |words: &str| head.first().is_some_and(|line| line.trim_start().starts_with(words));
    let has =
        |words: &[&str]| words.iter().all(|words| head.iter().any(|line| line.contains(words)));
    let by = |words: &[(&[&str], &'static str)]| {
        words.iter().find(|(words, _)| has(words)).map(|(_, what)| *what)
    };
    if starts("{") || starts("[") {
        return by(&BY_JSON_WORDS).or(Some("a JSON document"));
    }
    if starts("Last Name;") {
        return Some("a Medtronic CareLink file");
    }
    by(&BY_WORDS).or_else(|| starts("<").then_some("an XML or HTML document"))
}

/// Whether one JSON object is another maker's entry, which may have a time and a value as well.
pub(super) fn is_makers_object(line: &str) -> bool {
    BY_JSON_WORDS.iter().any(|(words, _)| words.iter().all(|words| line.contains(words)))
}
