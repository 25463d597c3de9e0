//! From bytes to numbered rows, and from a row to its cells.
//!
//! A row is a line, unless a quoted cell of it goes on over the next ones. Only a whole row makes
//! it so: as many cells as the header has, each quote in its place, and no line of it a row by
//! itself. Otherwise a stray quote costs its line, never the rest of the file.

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

/// How many lines a row may have whose quoted cells hold line ends.
const MOST_LINES_OF_A_ROW: usize = 20;

/// One line of a file, or several of one row.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// That of the first line, counted from 1.
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

/// The rows of a file of cells, `columns` of them: [`lines`], put together if a quoted cell goes on
/// over several.
pub(super) fn rows(text: &str, delimiter: char, columns: usize) -> impl Iterator<Item = Line<'_>> {
    let mut lines = text.split_inclusive('\n').scan((0, 0), |(number, start), line| {
        *number += 1;
        *start += line.len();
        Some((*number, *start - line.len(), line))
    });
    std::iter::from_fn(move || {
        loop {
            let (number, start, line) = lines.next()?;
            let alone = Line::of(number, line);
            if alone.text.trim().is_empty() {
                continue;
            }
            let rest = text.get(start..).unwrap_or_default();
            let Some(more) = lines_that_go_on(rest, delimiter, columns) else {
                return Some(alone);
            };
            // `nth` counts from 0.
            let (_, last, line) = lines.nth(more - 1)?;
            let whole = text.get(start..last + line.len()).unwrap_or_default();
            return Some(Line::of(number, whole));
        }
    })
}

/// How many lines more the first row of `text` has, if its first line ends within quotes; `None` if
/// it does not, or no whole row comes of it.
fn lines_that_go_on(text: &str, delimiter: char, columns: usize) -> Option<usize> {
    let mut cells = Vec::new();
    let (mut end, mut open) = (0, false);
    for (more, line) in text.split_inclusive('\n').take(MOST_LINES_OF_A_ROW).enumerate() {
        // Within quotes every quote is doubled, so that an odd number opens or closes a cell.
        open ^= count(line, b'"') % 2 == 1;
        end += line.len();
        if more == 0 && !open || end > MAX_ROW_BYTES {
            return None;
        }
        if more == 0 {
            continue;
        }
        if split(line.trim_end(), delimiter, &mut cells) && cells.len() >= columns {
            return None;
        }
        if !open {
            let whole = text.get(..end)?.trim_end_matches(['\n', '\r']);
            let fits = split(whole, delimiter, &mut cells) && cells.len() == columns;
            return (fits && quotes_are_in_place(whole, delimiter)).then_some(more);
        }
    }
    None
}

/// Whether quotes stand around whole cells only.
fn quotes_are_in_place(row: &str, delimiter: char) -> bool {
    let mut rest = row;
    loop {
        let after = match rest.strip_prefix('"') {
            None => {
                let (cell, after) =
                    rest.split_once(delimiter).map_or((rest, None), |(c, a)| (c, Some(a)));
                if cell.contains('"') {
                    return false;
                }
                after
            }
            Some(quoted) => {
                let Some(end) = closing_quote(quoted) else { return false };
                let after = quoted.get(end + 1..).unwrap_or_default();
                if !after.is_empty() && !after.starts_with(delimiter) {
                    return false;
                }
                after.strip_prefix(delimiter)
            }
        };
        match after {
            Some(after) => rest = after,
            None => return true,
        }
    }
}

/// Splits a line into `cells`, quotes taken off. Says whether every quote was closed.
pub(super) fn split<'a>(line: &'a str, delimiter: char, cells: &mut Vec<Cow<'a, str>>) -> bool {
    cells.clear();
    let mut rest = line;
    loop {
        let (cell, after) = match rest.strip_prefix('"') {
            None => match rest.split_once(delimiter) {
                Some((cell, after)) => (Cow::Borrowed(cell), Some(after)),
                None => (Cow::Borrowed(rest), None),
            },
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
                (cell, after.split_once(delimiter).map(|(_, after)| after))
            }
        };
        cells.push(cell);
        match after {
            Some(after) => rest = after,
            None => return true,
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
            (r#""a"x,b"#, vec!["a", "b"], true),
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
    fn a_quoted_cell_goes_on_over_lines_only_if_a_whole_row_comes_of_it() {
        let rows = |text: &'static str| -> Vec<(usize, &str)> {
            rows(text, ',', 3).map(|row| (row.number, row.text)).collect()
        };
        for (text, expected) in [
            ("a,\"b\r\n\r\nb\",c\r\nd,e,f\n", vec![(1, "a,\"b\r\n\r\nb\",c"), (4, "d,e,f")]),
            ("a,b,\"c\nc\"", vec![(1, "a,b,\"c\nc\"")]),
            // A stray quote costs its line.
            ("\"a,b,c\nd,e,f\n", vec![(1, "\"a,b,c"), (2, "d,e,f")]),
            ("\"a,b,c\nd,e,f\ng,\",h\n", vec![(1, "\"a,b,c"), (2, "d,e,f"), (3, "g,\",h")]),
            (
                "\"a\",\"b\",\"c\n\"d\",\"e\",\"f\"\n",
                vec![(1, "\"a\",\"b\",\"c"), (2, "\"d\",\"e\",\"f\"")],
            ),
            // Too few cells, too many, and a quote within a cell.
            ("a,\"b\nb\"\nd,e,f\n", vec![(1, "a,\"b"), (2, "b\""), (3, "d,e,f")]),
            ("a,\"b\nb\",c,d\n", vec![(1, "a,\"b"), (2, "b\",c,d")]),
            ("a,\"b\nb\"x,c\n", vec![(1, "a,\"b"), (2, "b\"x,c")]),
        ] {
            assert_eq!(rows(text), expected, "{text}");
        }
        let long = format!("a,\"b{}b\",c\nd,e,f\n", "\n".repeat(MOST_LINES_OF_A_ROW));
        let found: Vec<_> = super::rows(&long, ',', 3).map(|row| row.number).collect();
        assert_eq!(found, [1, 21, 22], "no row is longer than so many lines");
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
