//! Every failure's code: a stable word, what kind of failure it is, what it means and what to do.
//!
//! This table is the only place where a failure is judged; `docs/errors.md` is made from it.

use std::fmt;

/// What an app can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The same call can succeed later without anybody doing anything.
    TryAgain,
    /// The person must do something: confirm, authorise, choose.
    NeedsPerson,
    /// What the app gave cannot be used as it is.
    Invalid,
    /// Something outside the app is not as it must be: the receiver's set-up, the disk, the
    /// platform.
    Unavailable,
    /// A fault of this SDK.
    Internal,
}

impl ErrorKind {
    /// In words, as a heading.
    #[cfg(test)]
    const fn heading(self) -> &'static str {
        match self {
            Self::TryAgain => "Try again",
            Self::NeedsPerson => "Needs the person",
            Self::Invalid => "Invalid",
            Self::Unavailable => "Unavailable",
            Self::Internal => "Internal",
        }
    }
}

macro_rules! codes {
    ($($name:ident, $word:literal, $kind:ident, $meaning:literal, $action:literal;)+) => {
        /// A stable name for a failure, for an app's own texts and for support.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $meaning] $name,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable word for it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// What an app can do about it.
            pub const fn kind(self) -> ErrorKind {
                match self { $(Self::$name => ErrorKind::$kind,)+ }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }

            /// What to do about it.
            pub const fn action(self) -> &'static str {
                match self { $(Self::$name => $action,)+ }
            }
        }
    };
}

codes! {
    ReceiverUnreachable, "receiver-unreachable", TryAgain,
        "No connection to the receiver: offline, name not found, refused.",
        "Try again when the network is back.";
    ConnectionBroken, "connection-broken", TryAgain,
        "The connection broke or timed out before the answer was complete.",
        "Try again; what was sent is looked up, not doubled.";
    ReceiverUntrusted, "receiver-untrusted", TryAgain,
        "The receiver's certificate is not trusted on this device.",
        "Try again in another network; add the hospital's own root if it has one.";
    ReceiverUnavailable, "receiver-unavailable", TryAgain,
        "The receiver asks to wait, or fails for now.",
        "Try again, not before `retry_at` if it is given.";
    Busy, "busy", TryAgain,
        "Another part of the app, or another process, works on the same connection.",
        "Try again.";
    Cancelled, "cancelled", TryAgain,
        "The app stopped the call, or dropped the object while it ran.",
        "What is left goes with the next call.";
    Paused, "paused", TryAgain,
        "The object is paused.",
        "Call `resume`, then try again.";
    DatabaseBusy, "database-busy", TryAgain,
        "Another process held the database for more than five seconds.",
        "Try again.";
    VaultUnavailable, "vault-unavailable", TryAgain,
        "The secure storage is locked, as before a phone's first unlock.",
        "Try again after the device was unlocked; never authorise anew for it.";

    PatientUnconfirmed, "patient-unconfirmed", NeedsPerson,
        "The person has not confirmed yet that the connection's patient is them.",
        "Show name and birth date, then call `confirm_patient`.";
    PatientUnknown, "patient-unknown", NeedsPerson,
        "The patient's name and birth date are not known yet: nobody can have confirmed them.",
        "Call `fetch_patient`, show both, then call `confirm_patient`.";
    NeedsReauthorisation, "needs-reauthorisation", NeedsPerson,
        "The receiver no longer accepts the authorisation.",
        "Begin the connection again.";
    NeedsConsent, "needs-consent", NeedsPerson,
        "The authorisation does not cover what is to be sent.",
        "Begin the connection again, and let the person grant it.";
    OtherPatient, "other-patient", NeedsPerson,
        "The receiver authorised another patient's record.",
        "Disconnect, and connect as the right patient.";
    AccessDenied, "access-denied", NeedsPerson,
        "The person, or the receiver, said no in the browser.",
        "Begin the connection again when the person wants to.";
    AuthorisationUnknown, "authorisation-unknown", NeedsPerson,
        "The redirect belongs to no authorisation under way: used, too old, or begun elsewhere.",
        "Begin the connection again.";
    AuthorisationRefused, "authorisation-refused", NeedsPerson,
        "The receiver does not accept the code the browser brought back.",
        "Begin the connection again.";
    AuthorisationLost, "authorisation-lost", NeedsPerson,
        "The code the browser brought back was sent, and no usable answer came. It counts once.",
        "Begin the connection again.";
    ScopesRefused, "scopes-refused", NeedsPerson,
        "The receiver refuses the permissions asked for.",
        "Begin the connection again if the text says that fewer are asked for then; \
        else ask the receiver.";
    Disconnected, "disconnected", NeedsPerson,
        "The connection was ended.",
        "Connect anew.";

    InvalidReceiver, "invalid-receiver", Invalid,
        "The receiver's base URL, redirect URI or client id cannot be used.",
        "Correct what the text names.";
    InsecureUrl, "insecure-url", Invalid,
        "The URL is neither https nor a loopback address.",
        "Use https.";
    InvalidCallback, "invalid-callback", Invalid,
        "The redirect is not the one asked for.",
        "Pass the URL the browser was redirected to, unchanged.";
    InvalidSensor, "invalid-sensor", Invalid,
        "A sensor's key or device name cannot be used.",
        "Correct what the text names.";
    InvalidTime, "invalid-time", Invalid,
        "A date, window or UTC offset cannot be used.",
        "Correct what the text names.";
    FileRefused, "file-refused", Invalid,
        "The file cannot be imported as it is.",
        "Do what the text says.";
    FileNeedsAnswer, "file-needs-answer", Invalid,
        "The file leaves something open: its time zone, or the scale of its device.",
        "Ask the person, and import again with the answer.";
    TooFewReadings, "too-few-readings", Invalid,
        "There are fewer than two readings with a value in these dates.",
        "Ingest readings, or choose other dates.";
    NoOrder, "no-order", Invalid,
        "The receiver has no order that runs.",
        "Read its orders again, or submit what the person chose.";
    NotFound, "not-found", Invalid,
        "There is no such connection, submission or batch.",
        "List them, and use an id of the list.";
    Closed, "closed", Invalid,
        "The object was closed.",
        "Make a new one.";

    ReceiverConfiguration, "receiver-configuration", Unavailable,
        "The receiver is not where or what it was, or its set-up does not allow this.",
        "Check its address; ask the receiver.";
    AppRegistration, "app-registration", Unavailable,
        "The receiver does not accept this app's client id.",
        "Check the app's registration there.";
    ReceiverUnreadable, "receiver-unreadable", Unavailable,
        "The receiver's answer cannot be read.",
        "Ask the receiver; send its maker the text.";
    ReceiverDialect, "receiver-dialect", Unavailable,
        "The receiver speaks no guide this version knows.",
        "Ask it which guide it speaks.";
    DatabaseNewer, "database-newer", Unavailable,
        "A later version of this SDK wrote the database.",
        "Update the app.";
    DatabaseCorrupt, "database-corrupt", Unavailable,
        "The file is no database of this SDK, or a broken one.",
        "Restore it, or choose another place.";
    DatabaseDisk, "database-disk", Unavailable,
        "The database cannot be read or written.",
        "Free some space; check the folder and its permissions.";
    DatabaseRow, "database-row", Unavailable,
        "The database holds what this version cannot read.",
        "Update the app; report it.";
    VaultFailed, "vault-failed", Unavailable,
        "The secure storage failed.",
        "Check the platform's storage; nothing is lost, the call can be made again.";
    Platform, "platform", Unavailable,
        "The platform gives no randomness, time zone, lock or TLS.",
        "Check what the text names; the SDK cannot work without it.";

    Internal, "internal", Internal,
        "A fault of this SDK.",
        "Nothing was changed. Report it.";
}

impl ErrorCode {
    /// The page `docs/errors.md`.
    #[cfg(test)]
    fn page() -> String {
        use fmt::Write as _;
        let mut page = String::from(
            "# Errors\n\nMade from `src/error/code.rs` by its test; do not edit.\n\n\
             Every failure has one code. Its kind says what an app can do about it. The text of an \
             error is\nEnglish, for developers and logs, and holds no data of a person.\n",
        );
        let kinds = [
            ErrorKind::TryAgain,
            ErrorKind::NeedsPerson,
            ErrorKind::Invalid,
            ErrorKind::Unavailable,
            ErrorKind::Internal,
        ];
        for kind in kinds {
            let _ = write!(
                page,
                "\n## {}\n\n| code | means | do |\n| --- | --- | --- |\n",
                kind.heading()
            );
            for code in Self::ALL.iter().filter(|code| code.kind() == kind) {
                let _ = writeln!(
                    page,
                    "| `{}` | {} | {} |",
                    code.word(),
                    code.meaning(),
                    code.action()
                );
            }
        }
        page
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_code_has_one_word_and_one_verdict() {
        let words: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.word()).collect();
        assert_eq!(words.len(), ErrorCode::ALL.len());
    }

    /// `CGM_WRITE_DOCS=1` writes the page.
    #[test]
    fn the_page_of_errors_is_made_from_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
        if std::env::var_os("CGM_WRITE_DOCS").is_some() {
            std::fs::write(path, ErrorCode::page()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == ErrorCode::page(), "run this test with CGM_WRITE_DOCS=1, and commit");
    }
}
