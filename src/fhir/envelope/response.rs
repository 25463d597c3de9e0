//! What a receiver answered to a bundle: one outcome for each entry, matched by position.
//!
//! A 2xx for the request says nothing about its entries. An answer that has more or fewer entries
//! than the request, or an entry without a status, is no answer: the caller treats the outcome as
//! unknown and sends the same bytes again.

use super::super::lenient::{Elements, Json, MAX_BYTES, lenient};
use super::super::outcome::{self, OutcomeText};
use super::super::subject::is_fhir_id;
use serde::Deserialize;
use std::collections::HashSet;
use std::fmt;

/// Characters of a location.
const MAX_LOCATION: usize = 2048;

/// Why an answer cannot be used. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Another resource than a Bundle, or none.
    #[error("the receiver's answer is not a Bundle")]
    NotABundle,
    /// A Bundle that is no answer.
    #[error(
        "the receiver's answer is a Bundle, but not of type transaction-response or batch-response"
    )]
    WrongType,
    /// Not one entry for each that was sent.
    #[error("the receiver answered {found} entries where {expected} were sent")]
    WrongLength {
        /// Entries sent.
        expected: usize,
        /// Entries answered.
        found: usize,
    },
    /// An entry without a readable status.
    #[error("the receiver's answer has no status for entry {0}")]
    MissingStatus(usize),
    /// Two entries that were created at one place: one of them was not.
    #[error("the receiver's answer puts entry {0} where another was put")]
    SamePlace(usize),
    /// Larger than is read.
    #[error("the receiver's answer is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not JSON.
    #[error("the receiver's answer is not JSON")]
    Unparsable,
}

/// What became of one entry.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryOutcome {
    /// The HTTP status, 100 to 599.
    pub status: u16,
    /// Where it was put.
    pub location: Option<String>,
    /// What the receiver said about it.
    pub outcome: Option<OutcomeText>,
}

impl EntryOutcome {
    /// The location as a reference for later bundles, `Observation/12`: without the receiver's base
    /// and the version.
    pub fn reference(&self) -> Option<&str> {
        let location = self.location.as_deref()?;
        let end = location.find("/_history").unwrap_or(location.len());
        let unversioned = location.get(..end)?;
        let id_at = unversioned.rfind('/')?;
        let type_at = unversioned.get(..id_at)?.rfind('/').map_or(0, |slash| slash + 1);
        let (kind, id) = (unversioned.get(type_at..id_at)?, unversioned.get(id_at + 1..)?);
        let is_type = kind.starts_with(|c: char| c.is_ascii_uppercase())
            && kind.bytes().all(|b| b.is_ascii_alphabetic());
        if is_type && is_fhir_id(id) { unversioned.get(type_at..) } else { None }
    }
}

/// Says only the status.
impl fmt::Debug for EntryOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryOutcome").field("status", &self.status).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(default, deserialize_with = "lenient")]
    resource_type: String,
    #[serde(default, deserialize_with = "lenient")]
    r#type: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    entry: Elements<'a>,
}

#[derive(Default, Deserialize)]
struct Entry<'a> {
    #[serde(default, borrow, deserialize_with = "lenient")]
    response: Option<Response<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(default, borrow)]
    status: Option<Json<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    location: Option<String>,
    #[serde(default, borrow)]
    outcome: Option<Json<'a>>,
}

/// Reads the answer to a bundle of `expected_entries` entries.
///
/// # Errors
/// [`ResponseError`]: the outcome of every entry is unknown then.
pub fn parse_response(
    body: &[u8],
    expected_entries: usize,
) -> Result<Vec<EntryOutcome>, ResponseError> {
    if body.len() > MAX_BYTES {
        return Err(ResponseError::TooLarge);
    }
    let raw: Json<'_> = serde_json::from_slice(body).map_err(|_| ResponseError::Unparsable)?;
    let answer: Answer<'_> =
        serde_json::from_str(raw.get()).map_err(|_| ResponseError::NotABundle)?;
    if answer.resource_type != "Bundle" {
        return Err(ResponseError::NotABundle);
    }
    // A receiver that takes a subset of a transaction has in effect run a batch, and some say so.
    if !matches!(answer.r#type.as_str(), "transaction-response" | "batch-response") {
        return Err(ResponseError::WrongType);
    }
    let entries = &answer.entry;
    if entries.count != expected_entries || entries.kept.len() != entries.count {
        return Err(ResponseError::WrongLength {
            expected: expected_entries,
            found: entries.count,
        });
    }
    let entries = answer.entry.kept.into_iter().enumerate();
    let outcomes: Vec<_> =
        entries.map(|(index, entry)| entry_outcome(index, entry)).collect::<Result<_, _>>()?;
    let mut places = HashSet::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        if let (201, Some(place)) = (outcome.status, outcome.reference())
            && !places.insert(place)
        {
            return Err(ResponseError::SamePlace(index));
        }
    }
    Ok(outcomes)
}

fn entry_outcome(index: usize, entry: Json<'_>) -> Result<EntryOutcome, ResponseError> {
    let missing = ResponseError::MissingStatus(index);
    let entry: Entry<'_> = serde_json::from_str(entry.get()).map_err(|_| missing)?;
    let response = entry.response.ok_or(missing)?;
    let status = response.status.and_then(status).ok_or(missing)?;
    let location =
        response.location.filter(|location| !location.is_empty() && location.len() <= MAX_LOCATION);
    Ok(EntryOutcome { status, location, outcome: response.outcome.and_then(outcome::read) })
}

/// The number in `"201 Created"`, `"201"` or `201`.
fn status(raw: Json<'_>) -> Option<u16> {
    let text = raw.get();
    let text = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
    let number = text.split_whitespace().next()?;
    if number.len() != 3 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    number.parse().ok().filter(|status| (100..600).contains(status))
}
