//! Reading other people's JSON: bounded in size, and a field of an unexpected shape is absent rather than the end of the document.
//!
//! Nesting needs no bound of its own: what is not looked at is skipped without recursion, what is looked at has a fixed depth.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The largest document that is read.
pub(crate) const MAX_BYTES: usize = 16 << 20;

/// A part of a document, not yet looked at.
pub(crate) type Json<'a> = &'a RawValue;

/// A field that counts as absent where it has another shape than expected.
///
/// # Errors
/// Only where the JSON itself is broken.
pub(crate) fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    let raw: Json<'de> = Deserialize::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// A list of which only the elements of the expected shape are taken.
///
/// # Errors
/// Only where the JSON itself is broken.
pub(crate) fn lenient_list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let raw: Json<'de> = Deserialize::deserialize(deserializer)?;
    let elements: Vec<Json<'de>> = serde_json::from_str(raw.get()).unwrap_or_default();
    Ok(elements.into_iter().filter_map(|element| serde_json::from_str(element.get()).ok()).collect())
}
