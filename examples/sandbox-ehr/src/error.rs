//! What can go wrong in starting, stopping or steering a sandbox. Errors of a FHIR or OAuth request
//! are not here: they are answers, and are built where the request is judged. No variant may carry
//! a token, a name or a value.

/// Why the sandbox could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The port could not be bound.
    #[error("cannot listen on 127.0.0.1:{port}: {source}; choose another port, or 0 for any")]
    Listen {
        /// The port that was asked for.
        port: u16,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The database file could not be opened.
    #[error("the sandbox's database {}: {source}; choose another file", .file.display())]
    Open {
        /// The file that was asked for.
        file: std::path::PathBuf,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
    /// The database could not be read or written.
    #[error("sandbox database: {0}")]
    Database(#[from] rusqlite::Error),
    /// The database file was written by another, incompatible version.
    #[error(
        "sandbox database has layout {found}, this version reads {expected}: delete the file to \
            start afresh"
    )]
    Layout {
        /// The layout number in the file.
        found: i64,
        /// The layout number this version writes.
        expected: i64,
    },
    /// The operating system gave no random numbers.
    #[error("no random numbers from the operating system")]
    Entropy,
    /// A patient id this sandbox does not have.
    #[error("no such patient in the sandbox: {0}; it has amy-shaw and ben-okafor")]
    UnknownPatient(String),
    /// An order that is not a `ServiceRequest` object.
    #[error("order {index} is not a ServiceRequest resource")]
    NotAnOrder {
        /// Its position in the list given.
        index: usize,
    },
    /// Stored JSON could not be read back.
    #[error("sandbox database holds text that is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A status that is not an HTTP status code from 400 to 599.
    #[error("{0} is not an HTTP error status")]
    NotAnErrorStatus(u16),
    /// A server to stand in front of that is not on this machine, or no plain base URL.
    #[error(
        "cannot stand in front of {0}: give the base URL of a FHIR server on this machine, like \
            http://127.0.0.1:8080/fhir"
    )]
    Upstream(String),
    /// A background task of the sandbox ended early.
    #[error("the sandbox server stopped unexpectedly")]
    ServerGone,
}
