//! Reading other people's JSON: bounded in size and in number, and a field of an unexpected shape
//! is absent rather than the end of the document.
//!
//! Nesting needs no bound of its own: what is not looked at is skipped without recursion, what is
//! looked at has a fixed depth.

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;

/// The largest document that is read.
pub(crate) const MAX_BYTES: usize = 16 << 20;

/// The most elements of a list that are looked at: a small document can hold millions.
pub(crate) const MAX_ELEMENTS: usize = 20_000;

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

/// A list's elements, not yet looked at.
#[derive(Default)]
pub(crate) struct Elements<'a> {
    /// The first of them.
    pub(crate) kept: Vec<Json<'a>>,
    /// How many there are.
    pub(crate) count: usize,
}

impl<'a> Elements<'a> {
    /// Those of the expected shape, each read when it is its turn: one read is many times larger
    /// than its text.
    pub(crate) fn each<T: Deserialize<'a>>(&self) -> impl Iterator<Item = T> {
        self.kept.iter().filter_map(|element| serde_json::from_str(element.get()).ok())
    }
}

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Counting)
    }
}

struct Counting;

impl<'de> Visitor<'de> for Counting {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Elements::default();
        while elements.kept.len() < MAX_ELEMENTS {
            let Some(element) = list.next_element()? else { break };
            elements.kept.push(element);
        }
        elements.count = elements.kept.len();
        if elements.count == MAX_ELEMENTS {
            while list.next_element::<IgnoredAny>()?.is_some() {
                elements.count += 1;
            }
        }
        Ok(elements)
    }
}
