//! Recognises a file by its content, never by its name.

use super::clarity::Layout;
use super::open::Columns;
use super::text::{self, Line};
use super::{Format, ImportError};

/// How far into a file a row that tells its format is looked for.
const ROWS_LOOKED_AT: usize = 1_000;

/// A recognised file: its format, and where its cells stand.
pub(super) enum Recognised {
    Clarity { layout: Layout, header: usize },
    Csv { columns: Columns, header: usize },
    Ndjson,
}

impl Recognised {
    pub(super) const fn format(&self) -> Format {
        match self {
            Self::Clarity { .. } => Format::DexcomClarity,
            Self::Csv { .. } => Format::Csv,
            Self::Ndjson => Format::Ndjson,
        }
    }
}

/// Which format `text` is in.
pub(super) fn recognise(text: &str) -> Result<Recognised, ImportError> {
    let mut lines = text::lines(text);
    let Some(first) = lines.next() else {
        return Err(ImportError::UnknownFormat { recognised: Some("an empty file") });
    };
    let unknown = || ImportError::UnknownFormat { recognised: foreign(text) };
    if first.text.trim_start().starts_with(['{', '[']) {
        return if super::open::is_object_with_time(first) {
            Ok(Recognised::Ndjson)
        } else {
            Err(unknown())
        };
    }
    if let Some(columns) = Columns::of(first.text) {
        return Ok(Recognised::Csv { columns, header: first.number });
    }
    match clarity(first, lines) {
        Some(layout) => layout.map(|layout| Recognised::Clarity { layout, header: first.number }),
        None => Err(unknown()),
    }
}

/// The layout of a Clarity file: by the English column names, else by position where an `EGV` row
/// is found.
fn clarity<'a>(
    header: Line<'a>,
    rows: impl Iterator<Item = Line<'a>>,
) -> Option<Result<Layout, ImportError>> {
    [',', ';', '\t']
        .into_iter()
        .find_map(|delimiter| Layout::by_name(header.text, delimiter))
        .or_else(|| {
            rows.take(ROWS_LOOKED_AT)
                .find_map(|row| {
                    [',', ';', '\t']
                        .into_iter()
                        .find(|delimiter| Layout::is_reading(row.text, *delimiter))
                })
                .and_then(|delimiter| Layout::by_position(header.text, delimiter))
        })
}

/// What a file of another maker looks like.
fn foreign(text: &str) -> Option<&'static str> {
    let head: Vec<_> = text::lines(text).take(12).map(|line| line.text).collect();
    let has = |words: &str| head.iter().any(|line| line.contains(words));
    let starts =
        |words: &str| head.first().is_some_and(|line| line.trim_start().starts_with(words));
    if starts("{") || starts("[") {
        let nightscout = has("\"sgv\"") || has("\"dateString\"");
        return Some(if nightscout { "Nightscout entries" } else { "a JSON document" });
    }
    if starts("Last Name;") || has("-------;") || has("Sensor Glucose (") {
        return Some("a Medtronic CareLink file");
    }
    if starts("Glucose Data")
        || has("FreeStyle Libre")
        || (has("Record Type") && has("Historic Glucose"))
    {
        return Some("a LibreView file");
    }
    if starts("<") {
        return Some("an XML or HTML document");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        recognise(text).err().expect("refused").to_string()
    }

    #[test]
    fn other_formats_are_named_and_the_accepted_ones_said() {
        for (text, name) in [
            ("", "an empty file"),
            ("[\n {\"sgv\": \"112\"}\n]", "Nightscout entries"),
            ("{\"resourceType\": \"Bundle\"}", "a JSON document"),
            ("Last Name;First Name;Patient ID\n", "a Medtronic CareLink file"),
            ("Glucose Data,Generated on,x\nDevice,Serial Number\n", "a LibreView file"),
            ("<?xml version='1.0'?>", "an XML or HTML document"),
        ] {
            let message = refused(text);
            assert!(message.contains(name) && message.contains("Dexcom Clarity CSV"), "{message}");
        }
        assert!(refused("a,b,c\n1,2,3\n").starts_with("not a file"));
    }
}
