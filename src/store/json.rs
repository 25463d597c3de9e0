//! JSON columns, each with the version of its form: `{"v":1,"is":…}`. A row that this version of
//! the SDK cannot read fails alone.

use super::StoreError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Serialize)]
struct Written<'a, T> {
    v: u32,
    is: &'a T,
}

#[derive(Deserialize)]
struct Read<'a> {
    v: u32,
    #[serde(borrow)]
    is: &'a RawValue,
}

/// A value as a column keeps it.
pub(super) fn encode(
    value: &impl Serialize,
    version: u32,
    what: &'static str,
) -> Result<String, StoreError> {
    serde_json::to_string(&Written { v: version, is: value }).map_err(|_| StoreError::Row(what))
}

/// The value of a column.
pub(super) fn decode<T: DeserializeOwned>(
    text: &str,
    version: u32,
    what: &'static str,
) -> Result<T, StoreError> {
    let read: Read<'_> = serde_json::from_str(text).map_err(|_| StoreError::Row(what))?;
    if read.v != version {
        return Err(StoreError::Row(what));
    }
    serde_json::from_str(read.is.get()).map_err(|_| StoreError::Row(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_or_no_json_is_an_unreadable_row() {
        let text = encode(&vec![1, 2], 3, "list").unwrap();
        assert_eq!(text, r#"{"v":3,"is":[1,2]}"#);
        assert_eq!(decode::<Vec<u8>>(&text, 3, "list").unwrap(), [1, 2]);
        for (text, version) in [(text.as_str(), 2), ("[1,2]", 3), (r#"{"v":3,"is":"x"}"#, 3)] {
            let refused = decode::<Vec<u8>>(text, version, "list");
            assert!(matches!(refused, Err(StoreError::Row("list"))), "{text}");
        }
    }
}
