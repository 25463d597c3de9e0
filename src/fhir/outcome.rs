//! `OperationOutcome`: why a receiver refused something, as a short text for the host to show.
//!
//! The text is the receiver's and may quote the patient's data: it goes to the person, never into
//! an error, a log or `{:?}`.

use super::lenient::{Elements, Json, MAX_BYTES, lenient};
use super::shown::shown;
use serde::Deserialize;
use std::fmt;

/// Characters of a text.
const MAX_CHARS: usize = 1000;
/// Issues that are looked at.
const MAX_ISSUES: usize = 50;

/// Why something was refused, in the receiver's words.
#[derive(Clone, PartialEq, Eq)]
pub struct OutcomeText {
    text: String,
    code: Option<String>,
}

impl OutcomeText {
    /// At most 1,000 characters, without control characters. For the person's eyes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first error's code in FHIR's `issue-type`: `too-costly`, `forbidden`, `duplicate`.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

/// Hides the text, which may quote the patient's data.
impl fmt::Debug for OutcomeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutcomeText(…)")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperationOutcome<'a> {
    resource_type: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    issue: Elements<'a>,
}

#[derive(Deserialize)]
struct Issue<'a> {
    #[serde(default, deserialize_with = "lenient")]
    severity: String,
    #[serde(default, deserialize_with = "lenient")]
    code: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    details: Details<'a>,
    #[serde(default, deserialize_with = "lenient")]
    diagnostics: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    expression: Elements<'a>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    location: Elements<'a>,
}

impl Issue<'_> {
    fn is_error(&self) -> bool {
        matches!(self.severity.as_str(), "error" | "fatal")
    }
}

#[derive(Default, Deserialize)]
struct Details<'a> {
    #[serde(default, deserialize_with = "lenient")]
    text: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    coding: Elements<'a>,
}

#[derive(Deserialize)]
struct DetailsCoding {
    #[serde(default, deserialize_with = "lenient")]
    display: String,
    #[serde(default, deserialize_with = "lenient")]
    code: String,
}

/// Reads an `OperationOutcome`, as receivers answer a request they refuse as a whole; none where
/// the body is none.
pub fn parse_outcome(body: &[u8]) -> Option<OutcomeText> {
    if body.len() > MAX_BYTES {
        return None;
    }
    read(serde_json::from_slice(body).ok()?)
}

/// Reads the `OperationOutcome` in part of a document.
pub(super) fn read(raw: Json<'_>) -> Option<OutcomeText> {
    let outcome: OperationOutcome<'_> = serde_json::from_str(raw.get()).ok()?;
    if outcome.resource_type != "OperationOutcome" {
        return None;
    }
    let issues: Vec<Issue<'_>> = outcome.issue.each().take(MAX_ISSUES).collect();
    // Warnings and hints are worth showing only where nothing worse is said.
    let any_error = issues.iter().any(Issue::is_error);
    let mut text = String::new();
    for issue in issues.iter().filter(|issue| !any_error || issue.is_error()) {
        if !text.is_empty() {
            text.push_str("; ");
        }
        describe(issue, &mut text);
        if text.len() > 4 * MAX_CHARS {
            break;
        }
    }
    let code = issues
        .iter()
        .find(|issue| issue.is_error() || !any_error)
        .map(|issue| shown(&issue.code, 64));
    Some(OutcomeText { text: shown(&text, MAX_CHARS), code: code.filter(|code| !code.is_empty()) })
}

fn describe(issue: &Issue<'_>, text: &mut String) {
    let coded = issue.details.coding.each().next();
    let coded = coded
        .map(|c: DetailsCoding| if c.display.is_empty() { c.code } else { c.display })
        .unwrap_or_default();
    let mut said: Vec<&str> = Vec::new();
    for words in [issue.details.text.as_str(), coded.as_str(), issue.diagnostics.as_str()] {
        if !words.is_empty() && !said.contains(&words) {
            said.push(words);
        }
    }
    if said.is_empty() {
        said.push(&issue.code);
    }
    let severity = if issue.severity.is_empty() { "error" } else { issue.severity.as_str() };
    text.push_str(severity);
    text.push_str(": ");
    text.push_str(&said.join(" - "));
    if let Some(place) =
        issue.expression.each::<String>().next().or_else(|| issue.location.each().next())
    {
        text.push_str(" (");
        text.push_str(&place);
        text.push(')');
    }
}
