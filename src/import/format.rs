//! Recognises a file by its content, never by its name.

use super::clarity::Layout;
use super::open::Columns;
use super::text::{self, Line};
use super::{Format, ImportError, foreign};

/// How far into a file a row that tells its format is looked for.
const ROWS_LOOKED_AT: usize = 1_000;
/// How far down a header is looked for that is not the first row.
const HEADER_LOOKED_FOR: usize = 50;

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
    let unknown = || ImportError::UnknownFormat { recognised: foreign::looks_like(text) };
    if first.text.trim_start().starts_with(['{', '[']) {
        let own = super::open::is_object_with_time(first) && !foreign::is_makers_object(first.text);
        return if own { Ok(Recognised::Ndjson) } else { Err(unknown()) };
    }
    if let Some(columns) = Columns::of(first.text, ',') {
        return Ok(Recognised::Csv { columns: columns?, header: first.number });
    }
    if let Some(layout) = clarity(first, lines.clone()) {
        return Ok(Recognised::Clarity { layout: layout?, header: first.number });
    }
    let delimiters = [(';', "semicolons"), ('\t', "tabs")];
    if let Some((_, delimiter)) =
        delimiters.into_iter().find(|(mark, _)| Columns::of(first.text, *mark).is_some())
    {
        return Err(ImportError::Delimiter { delimiter });
    }
    match lines.take(HEADER_LOOKED_FOR).find(|line| is_header(line.text)) {
        Some(line) => Err(ImportError::HeaderBelow { row: line.number }),
        None => Err(unknown()),
    }
}

/// Whether a line is a header that would be taken as the first.
fn is_header(line: &str) -> bool {
    [',', ';', '\t'].into_iter().any(|delimiter| {
        Columns::of(line, delimiter).is_some() || Layout::by_name(line, delimiter).is_some()
    })
}

/// The layout of a Clarity file: by the English column names, else by position if an `EGV` row is
/// found.
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
            ("{\"resourceType\": \"Bundle\"}", "a FHIR document"),
            ("{\"other\": 1}", "a JSON document"),
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
