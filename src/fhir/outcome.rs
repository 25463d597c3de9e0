//! `OperationOutcome`: why a receiver refused something, as a short text for the host to show.
//!
//! The text is the receiver's and may quote the patient's data: it goes to the person, never into an error, a log or `{:?}`.

use super::lenient::{Json, MAX_BYTES, lenient, lenient_list};
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
struct OperationOutcome {
    resource_type: String,
    #[serde(default, deserialize_with = "lenient_list")]
    issue: Vec<Issue>,
}

#[derive(Deserialize)]
struct Issue {
    #[serde(default, deserialize_with = "lenient")]
    severity: String,
    #[serde(default, deserialize_with = "lenient")]
    code: String,
    #[serde(default, deserialize_with = "lenient")]
    details: Details,
    #[serde(default, deserialize_with = "lenient")]
    diagnostics: String,
    #[serde(default, deserialize_with = "lenient_list")]
    expression: Vec<String>,
    #[serde(default, deserialize_with = "lenient_list")]
    location: Vec<String>,
}

impl Issue {
    fn is_error(&self) -> bool {
        matches!(self.severity.as_str(), "error" | "fatal")
    }
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default, deserialize_with = "lenient")]
    text: String,
    #[serde(default, deserialize_with = "lenient_list")]
    coding: Vec<DetailsCoding>,
}

#[derive(Deserialize)]
struct DetailsCoding {
    #[serde(default, deserialize_with = "lenient")]
    display: String,
    #[serde(default, deserialize_with = "lenient")]
    code: String,
}

/// Reads an `OperationOutcome`, as receivers answer a request they refuse as a whole; none where the body is none.
pub fn parse_outcome(body: &[u8]) -> Option<OutcomeText> {
    if body.len() > MAX_BYTES {
        return None;
    }
    read(serde_json::from_slice(body).ok()?)
}

/// Reads the `OperationOutcome` in part of a document.
pub(super) fn read(raw: Json<'_>) -> Option<OutcomeText> {
    let outcome: OperationOutcome = serde_json::from_str(raw.get()).ok()?;
    if outcome.resource_type != "OperationOutcome" {
        return None;
    }
    let issues = || outcome.issue.iter().take(MAX_ISSUES);
    // Warnings and hints are worth showing only where nothing worse is said.
    let any_error = issues().any(Issue::is_error);
    let mut text = String::new();
    for issue in issues().filter(|issue| !any_error || issue.is_error()) {
        if !text.is_empty() {
            text.push_str("; ");
        }
        describe(issue, &mut text);
        if text.len() > 4 * MAX_CHARS {
            break;
        }
    }
    let code = issues().find(|issue| issue.is_error() || !any_error).map(|issue| clean(&issue.code, 64));
    Some(OutcomeText { text: clean(&text, MAX_CHARS), code: code.filter(|code| !code.is_empty()) })
}

fn describe(issue: &Issue, text: &mut String) {
    let coded = issue.details.coding.first();
    let coded = coded.map(|c| if c.display.is_empty() { c.code.as_str() } else { c.display.as_str() });
    let mut said: Vec<&str> = Vec::new();
    for words in [issue.details.text.as_str(), coded.unwrap_or_default(), issue.diagnostics.as_str()] {
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
    if let Some(place) = issue.expression.first().or(issue.location.first()) {
        text.push_str(" (");
        text.push_str(place);
        text.push(')');
    }
}

/// Without what could disturb a screen: control characters, and those that turn the direction of writing.
fn clean(text: &str, most: usize) -> String {
    let harmless = |c: &char| !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let spaced = text.chars().filter(harmless).map(|c| if c.is_control() { ' ' } else { c });
    let mut clean = String::new();
    for (count, letter) in spaced.enumerate() {
        if count + 1 == most {
            clean.push('…');
            break;
        }
        clean.push(letter);
    }
    clean
}
