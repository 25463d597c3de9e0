//! The rows of a file that were refused, in a few lines.

use std::collections::BTreeMap;

/// Lines shown, and rows named in each.
const LINES: usize = 10;
const ROWS: usize = 5;

/// A line for each reason: its first rows, how many more there are, and the reason.
pub(crate) fn by_reason<R: ToString>(refused: impl Iterator<Item = (usize, R)>) -> Vec<String> {
    let mut reasons: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (row, reason) in refused {
        reasons.entry(reason.to_string()).or_default().push(row);
    }
    let unseen: usize = reasons.values().skip(LINES).map(Vec::len).sum();
    let line = |(reason, rows): (String, Vec<usize>)| {
        let first: Vec<String> = rows.iter().take(ROWS).map(ToString::to_string).collect();
        let more = rows.len().saturating_sub(ROWS);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("refused, row {}{more}: {reason}", first.join(", "))
    };
    let mut lines: Vec<String> = reasons.into_iter().take(LINES).map(line).collect();
    if unseen > 0 {
        lines.push(format!("refused, {unseen} more rows for other reasons"));
    }
    lines
}
