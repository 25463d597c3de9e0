//! The response table: what each answer means for an entry and for a request.

/// What an entry's status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryVerdict {
    /// Created.
    Accepted,
    /// It was there already, and the receiver says where.
    AlreadyThere,
    /// Read but not stored: recorded as such, never sent again.
    Received,
    /// Several resources match its identifier: set aside as a duplicate at the receiver.
    Ambiguous,
    /// Again, later, in a new batch.
    Later,
    /// The authorisation does not hold.
    Reauthorise,
    /// This content is not covered by the consent given.
    Consent,
    /// Refused for good: set aside with the receiver's reason.
    Refused,
    /// Sent, and nobody can tell what became of it. No status says so: it follows from none.
    Unknown,
}

impl EntryVerdict {
    /// Whether the receiver has it, and keeps it.
    pub const fn is_stored(self) -> bool {
        matches!(self, Self::Accepted | Self::AlreadyThere)
    }
}

/// What one entry's status means. `conditional` tells whether the entry was sent with
/// `ifNoneExist`.
pub const fn entry_verdict(status: u16, has_location: bool, conditional: bool) -> EntryVerdict {
    match status {
        201 => EntryVerdict::Accepted,
        200 if has_location => {
            if conditional {
                EntryVerdict::AlreadyThere
            } else {
                EntryVerdict::Accepted
            }
        }
        200 | 202 | 204 => EntryVerdict::Received,
        401 => EntryVerdict::Reauthorise,
        403 => EntryVerdict::Consent,
        412 => EntryVerdict::Ambiguous,
        408 | 409 | 425 | 429 | 500..=599 => EntryVerdict::Later,
        _ => EntryVerdict::Refused,
    }
}

/// What came back for a whole request. No answer is not here: its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFacts {
    /// The HTTP status.
    pub status: u16,
    /// The body was sent with gzip.
    pub gzip: bool,
    /// The receiver's text speaks of size or of a number of entries.
    pub about_size: bool,
    /// The receiver has taken a gzip body before.
    pub gzip_proved: bool,
}

/// Why a connection cannot go on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockReason {
    /// A new authorisation is needed.
    Reauthorise,
    /// The consent does not cover the content.
    Consent,
    /// The receiver is not where or what it was.
    Configuration,
}

/// What a 401 asks for: it is said of the access token. The one place that decides it, for whatever
/// was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// A new access token, and the same request once more.
    Refresh,
    /// A new authorisation: the receiver refuses what it has just given.
    Reauthorise,
}

impl TokenRefusal {
    /// What a 401 asks for to a request that was `repeated` with another token after a 401 before.
    pub const fn of(repeated: bool) -> Self {
        if repeated { Self::Reauthorise } else { Self::Refresh }
    }
}

/// What a request's answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestVerdict {
    /// Read each entry's status.
    ReadEntries,
    /// The same bytes again, later. Unless [`is_unprocessed`] says so, it may have begun with them.
    SameBytesLater,
    /// The same, and the receiver may still be at work on them.
    OutcomeUnknown,
    /// Another place is to be asked: a network's sign-in page, a page that tells of maintenance, or
    /// a receiver that moved. The same bytes again, later, to the receiver itself.
    Elsewhere,
    /// The access token is refused: [`TokenRefusal`].
    TokenRefused,
    /// The same content uncompressed, and remember it.
    Uncompressed,
    /// Half as much; a 413 is remembered.
    Smaller,
    /// Isolate the offending units: half as much; a single one is set aside.
    Bisect,
    /// The connection cannot go on by itself.
    Block(BlockReason),
}

/// What a whole request's answer means.
pub const fn request_verdict(facts: ResponseFacts) -> RequestVerdict {
    use RequestVerdict::{
        Bisect, Block, Elsewhere, OutcomeUnknown, ReadEntries, SameBytesLater, Smaller,
        TokenRefused, Uncompressed,
    };
    let ResponseFacts { status, gzip, about_size, gzip_proved } = facts;
    match status {
        200..=299 => ReadEntries,
        401 => TokenRefused,
        403 => Block(BlockReason::Consent),
        413 => Smaller,
        415 if gzip => Uncompressed,
        // A server that cannot inflate reads garbage: 400, before it ever took a compressed body.
        400 if gzip && !gzip_proved => Uncompressed,
        400 | 422 | 500 if about_size => Smaller,
        300..=399 => Elsewhere,
        404 | 405 | 406 | 410 => Block(BlockReason::Configuration),
        // A proxy gave up waiting, or the same request is being worked on.
        408 | 409 | 502 | 504 => OutcomeUnknown,
        425 | 429 | 500..=599 => SameBytesLater,
        _ => Bisect,
    }
}

/// Whether a failure says that nothing of the request was begun. 425 and 429 turn a request away
/// (RFC 8470, RFC 6585), 501 does not know it, 511 comes from the network before the receiver, and
/// a 503 that names a time comes from whoever keeps requests away meanwhile. Any other failure may
/// come in the middle of the work.
pub const fn is_unprocessed(status: u16, asks_to_wait: bool) -> bool {
    match status {
        425 | 429 | 501 | 511 => true,
        503 => asks_to_wait,
        _ => false,
    }
}

/// Whether a refusal speaks of size: receivers answer 400, 422 and 500 to bodies that are merely
/// too large.
pub fn about_size(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&body[..body.len().min(4096)]).to_ascii_lowercase();
    // `too-long` and `too-costly` are FHIR's own codes for it.
    [
        "too large",
        "too many",
        "toolarge",
        "exceeds",
        "too-costly",
        "too-long",
        "too long",
        "entity size",
        "maximum number",
    ]
    .iter()
    .any(|phrase| text.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_by_the_table() {
        use EntryVerdict::*;
        let table = [
            (201, true, true, Accepted),
            (201, false, true, Accepted),
            (200, true, true, AlreadyThere),
            (200, true, false, Accepted),
            (200, false, true, Received),
            (401, false, true, Reauthorise),
            (403, false, true, Consent),
            (408, false, true, Later),
            (409, false, true, Later),
            (412, false, true, Ambiguous),
            (425, false, true, Later),
            (429, false, true, Later),
            (400, false, true, Refused),
            (404, false, true, Refused),
            (422, false, true, Refused),
            (500, false, true, Later),
            (503, true, true, Later),
            (304, false, true, Refused),
        ];
        for (status, location, conditional, expected) in table {
            assert_eq!(
                entry_verdict(status, location, conditional),
                expected,
                "{status} {location} {conditional}"
            );
        }
    }

    #[test]
    fn requests_by_the_table() {
        use RequestVerdict::*;
        let plain =
            |status| ResponseFacts { status, gzip: false, about_size: false, gzip_proved: false };
        for (status, expected) in [
            (200, ReadEntries),
            (302, Elsewhere),
            (400, Bisect),
            (401, TokenRefused),
            (403, Block(BlockReason::Consent)),
            (404, Block(BlockReason::Configuration)),
            (405, Block(BlockReason::Configuration)),
            (406, Block(BlockReason::Configuration)),
            (408, OutcomeUnknown),
            (409, OutcomeUnknown),
            (410, Block(BlockReason::Configuration)),
            (412, Bisect),
            (413, Smaller),
            (415, Bisect),
            (422, Bisect),
            (425, SameBytesLater),
            (429, SameBytesLater),
            (500, SameBytesLater),
            (502, OutcomeUnknown),
            (503, SameBytesLater),
            (504, OutcomeUnknown),
            (507, SameBytesLater),
        ] {
            assert_eq!(request_verdict(plain(status)), expected, "{status}");
        }
        let said = |status, gzip, about_size, gzip_proved| {
            request_verdict(ResponseFacts { status, gzip, about_size, gzip_proved })
        };
        assert_eq!(said(415, true, false, true), Uncompressed);
        assert_eq!(said(400, true, false, false), Uncompressed);
        assert_eq!(said(400, true, false, true), Bisect);
        assert_eq!(said(500, false, true, false), Smaller);
        assert_eq!(said(400, false, true, false), Smaller);
    }
}
