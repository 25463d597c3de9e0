//! What carries entries to a receiver and its answers back, apart from what the entries say.
//!
//! Another way (a collection, a message, a document, single creates, NDJSON) is another variant:
//! how it begins, wraps an entry and ends, and what reads its answer.

mod response;

pub use response::{EntryOutcome, ResponseError, parse_response};

use super::codes::URI_SYSTEM;
use super::identity::Urn;
use super::reading::append;
use chrono::{DateTime, SecondsFormat, Utc};

/// How entries travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Envelope {
    /// A Bundle whose entries may refer to each other.
    Transaction,
    /// A Bundle of which each entry stands alone.
    Batch,
}

/// How large a bundle may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleLimits {
    /// Entries.
    pub max_entries: usize,
    /// Bytes of JSON.
    pub max_bytes: usize,
}

/// A code and the system it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) system: &'static str,
    pub(super) code: &'static str,
}

impl Envelope {
    /// `Bundle.type`.
    pub const fn bundle_type(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Batch => "batch",
        }
    }

    /// Whether an entry may refer to another by its `fullUrl`. In a batch it may not (R4): what is
    /// referred to goes in an earlier request.
    pub const fn resolves_inside(self) -> bool {
        match self {
            Self::Transaction => true,
            Self::Batch => false,
        }
    }

    /// What stands before the first entry.
    pub(super) fn begin(self, timestamp: DateTime<Utc>, tag: Option<Tag>, out: &mut Vec<u8>) {
        append(out, &[br#"{"resourceType":"Bundle""#]);
        if let Some(Tag { system, code }) = tag {
            append(out, &[br#","meta":{"tag":[{"system":""#, system.as_bytes()]);
            append(out, &[br#"","code":""#, code.as_bytes(), br#""}]}"#]);
        }
        let timestamp = timestamp.to_rfc3339_opts(SecondsFormat::Millis, true);
        append(out, &[br#","type":""#, self.bundle_type().as_bytes()]);
        append(out, &[br#"","timestamp":""#, timestamp.as_bytes(), br#"","entry":["#]);
    }

    /// What stands before an entry's resource.
    pub(super) fn open(self, is_first: bool, urn: &Urn, out: &mut Vec<u8>) {
        let before: &[u8] = if is_first { br#"{"fullUrl":""# } else { br#",{"fullUrl":""# };
        match self {
            Self::Transaction | Self::Batch => {
                append(out, &[before, urn.as_bytes(), br#"","resource":"#]);
            }
        }
    }

    /// What stands behind an entry's resource: a POST, created only if nothing has this identifier
    /// unless `unless_there` is `None`.
    ///
    /// The condition is not percent-encoded: it is a JSON string, FHIR's own examples write `|` and
    /// `:` plainly, and as neither `%` nor `+` can occur it reads the same to a server that
    /// decodes and to one that does not. Nothing in it needs FHIR's `\` escapes.
    pub(super) fn close(self, resource_type: &str, unless_there: Option<&Urn>, out: &mut Vec<u8>) {
        match self {
            Self::Transaction | Self::Batch => {
                let request = br#","request":{"method":"POST","url":""#;
                append(out, &[request, resource_type.as_bytes()]);
                let Some(urn) = unless_there else { return append(out, &[br#""}}"#]) };
                append(out, &[br#"","ifNoneExist":"identifier="#, URI_SYSTEM.as_bytes(), b"|"]);
                append(out, &[urn.as_bytes(), br#""}}"#]);
            }
        }
    }

    /// What stands behind the last entry.
    pub(super) const fn end(self) -> &'static [u8] {
        match self {
            Self::Transaction | Self::Batch => b"]}",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_with_a_tag_says_both() {
        let tag = Tag { system: "http://argo.run/cgm/CodeSystem/cgm", code: "submission" };
        let mut out = Vec::new();
        Envelope::Batch.begin(DateTime::UNIX_EPOCH, Some(tag), &mut out);
        out.extend_from_slice(Envelope::Batch.end());
        let bundle: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let expected = serde_json::json!({
            "resourceType": "Bundle", "type": "batch", "timestamp": "1970-01-01T00:00:00.000Z",
            "meta": {"tag": [{"system": tag.system, "code": tag.code}]}, "entry": [],
        });
        assert_eq!(bundle, expected);
        assert!(Envelope::Transaction.resolves_inside() && !Envelope::Batch.resolves_inside());
    }
}
