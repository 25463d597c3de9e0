//! From bytes to numbered rows, and from a row to its cells.
//!
//! A row is a line, also if a quote in it has no end: a stray quote costs its line, never the rows
//! up to the next quote.

use super::{ImportError, MAX_BYTES, MAX_ROW_BYTES, MAX_ROWS};
use std::borrow::Cow;

/// A UTF-8 byte order mark that was read as Latin-1 and encoded again.
const MARK_TWICE_ENCODED: &str = "\u{ef}\u{bb}\u{bf}";

/// What the first bytes of files that are no text say.
const MAGIC: [(&[u8], &str); 5] = [
    (b"PK\x03\x04", "a spreadsheet or zip archive"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
    (b"SQLite format 3\0", "a SQLite database"),
];

/// One line of a file.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) text: &'a str,
    /// Whether a line end follows: the last line of a file that was cut has none.
    pub(super) ended: bool,
}

impl<'a> Line<'a> {
    /// A line with its end.
    fn of(number: usize, whole: &'a str) -> Self {
        let text = whole.trim_end_matches(['\n', '\r']);
        Self { number, text, ended: text.len() < whole.len() }
    }
}

/// The bytes as text, without byte order marks. A character cut in two at the very end is dropped
/// with its line's end.
pub(super) fn decode(bytes: &[u8]) -> Result<&str, ImportError> {
    if bytes.len() > MAX_BYTES {
        return Err(ImportError::TooLarge);
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(ImportError::Encoding { row: None });
    }
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(ImportError::UnknownFormat { recognised: Some(what) });
    }
    if bytes.contains(&0) {
        return Err(ImportError::UnknownFormat { recognised: Some("binary data") });
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            if error.error_len().is_some() {
                let row = valid.split(|byte| *byte == b'\n').count();
                return Err(ImportError::Encoding { row: Some(row) });
            }
            std::str::from_utf8(valid).unwrap_or_default()
        }
    };
    Ok(text.trim_start_matches('\u{feff}').trim_start_matches(MARK_TWICE_ENCODED))
}

/// The lines, blank ones left out but counted.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> + Clone {
    text.split_inclusive('\n').enumerate().filter_map(|(index, line)| {
        let line = Line::of(index + 1, line);
        (!line.text.trim().is_empty()).then_some(line)
    })
}

/// Refuses a file with too many rows or too long a one, and one whose lines cannot be told.
pub(super) fn check_size(text: &str) -> Result<(), ImportError> {
    let (returns, feeds) = (count(text, b'\r'), count(text, b'\n'));
    if returns > 1 && feeds < returns && text.matches("\r\n").count() * 2 < returns {
        return Err(ImportError::LineEnds);
    }
    for (index, line) in text.split('\n').enumerate() {
        if index > MAX_ROWS {
            return Err(ImportError::TooManyRows);
        }
        if line.len() > MAX_ROW_BYTES {
            return Err(ImportError::RowTooLong { row: index + 1 });
        }
    }
    Ok(())
}

fn count(text: &str, wanted: u8) -> usize {
    text.bytes().filter(|byte| *byte == wanted).count()
}

/// Splits a line into `cells`, quotes taken off. Says whether all quotes stand around whole cells:
/// if not, nobody can tell which cells were meant.
pub(super) fn split<'a>(line: &'a str, delimiter: char, cells: &mut Vec<Cow<'a, str>>) -> bool {
    cells.clear();
    let mut rest = line;
    let (has_quotes, mut in_place) = (line.contains('"'), true);
    loop {
        let (cell, after) = match rest.strip_prefix('"') {
            None => {
                let (cell, after) =
                    rest.split_once(delimiter).map_or((rest, None), |(c, a)| (c, Some(a)));
                in_place &= !(has_quotes && cell.contains('"'));
                (Cow::Borrowed(cell), after)
            }
            Some(quoted) => {
                let Some(end) = closing_quote(quoted) else {
                    cells.push(Cow::Borrowed(quoted));
                    return false;
                };
                let (inner, after) = quoted.split_at(end);
                let cell = if inner.contains('"') {
                    Cow::Owned(inner.replace("\"\"", "\""))
                } else {
                    Cow::Borrowed(inner)
                };
                // Up to the delimiter there is the closing quote and nothing else.
                let (end, after) =
                    after.split_once(delimiter).map_or((after, None), |(e, a)| (e, Some(a)));
                in_place &= end.trim_end() == "\"";
                (cell, after)
            }
        };
        cells.push(cell);
        match after {
            Some(after) => rest = after,
            None => return in_place,
        }
    }
}

/// Where the quote that ends a quoted cell stands; a doubled one does not.
fn closing_quote(quoted: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + quoted.get(from..)?.find('"')?;
        if quoted.get(at + 1..).is_some_and(|after| after.starts_with('"')) {
            from = at + 2;
        } else {
            return Some(at);
        }
    }
}

/// A header's cell as a plain name, lower case.
pub(super) fn column_name(cell: &str) -> String {
    cell.trim_start_matches('\u{feff}')
        .trim_start_matches(MARK_TWICE_ENCODED)
        .trim_matches(['"', ' ', '\t'])
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(line: &str) -> (Vec<String>, bool) {
        let mut cells = Vec::new();
        let closed = split(line, ',', &mut cells);
        (cells.into_iter().map(Cow::into_owned).collect(), closed)
    }

    #[test]
    fn cells_split_at_delimiters_outside_quotes() {
        for (line, expected, closed) in [
            ("a,b,,", vec!["a", "b", "", ""], true),
            (r#""a","b,c","""d""""#, vec!["a", "b,c", "\"d\""], true),
            (r#""a","b"#, vec!["a", "b"], false),
            (r#""a"x,b"#, vec!["a", "b"], false),
            (r#""a" ,b"#, vec!["a", "b"], true),
            (r#"a",b"#, vec!["a\"", "b"], false),
            (r#"a,6" pump"#, vec!["a", "6\" pump"], false),
            (r#""10".5,"b""#, vec!["10", "b"], false),
            ("", vec![""], true),
        ] {
            assert_eq!(
                cells(line),
                (expected.into_iter().map(str::to_owned).collect(), closed),
                "{line}"
            );
        }
    }

    #[test]
    fn lines_are_counted_with_the_blank_ones() {
        let found: Vec<_> = lines("a\r\n\r\nb\nc").map(|l| (l.number, l.text, l.ended)).collect();
        assert_eq!(found, [(1, "a", true), (3, "b", true), (4, "c", false)]);
    }

    #[test]
    fn byte_order_marks_go_and_other_encodings_are_named() {
        assert_eq!(decode(b"\xef\xbb\xbfa"), Ok("a"));
        assert_eq!(decode("\u{feff}\u{ef}\u{bb}\u{bf}a".as_bytes()), Ok("a"));
        assert_eq!(decode(b"\xff\xfea\0"), Err(ImportError::Encoding { row: None }));
        assert_eq!(decode(b"a\nb\xe4c\n"), Err(ImportError::Encoding { row: Some(2) }));
        assert_eq!(decode(b"a\xc3"), Ok("a"), "cut inside a character");
        assert!(decode(b"PK\x03\x04rest").unwrap_err().to_string().contains("spreadsheet"));
    }

    #[test]
    fn sizes_beyond_the_caps_are_named() {
        assert_eq!(decode(&vec![b'a'; MAX_BYTES + 1]), Err(ImportError::TooLarge));
        let long = format!("a\n{}", "b".repeat(MAX_ROW_BYTES + 1));
        assert_eq!(check_size(&long), Err(ImportError::RowTooLong { row: 2 }));
        assert_eq!(check_size(&"\n".repeat(MAX_ROWS)), Ok(()));
        assert_eq!(check_size(&"\n".repeat(MAX_ROWS + 1)), Err(ImportError::TooManyRows));
        assert!(ImportError::TooLarge.to_string().contains("67108864"));
    }
}
