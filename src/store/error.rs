//! Why the database did not do as asked.

/// Why the database did not do as asked. Carries no data of a person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A later version of this SDK wrote the file.
    #[error(
        "the database has schema {found}, this version knows {known}: update the app; \
         the file was not touched"
    )]
    NewerSchema {
        /// The file's schema version.
        found: u32,
        /// The newest this version knows.
        known: u32,
    },
    /// The file is no database, or a broken one.
    #[error(
        "the file is not a readable database: restore it or choose another place; \
         the file was not touched"
    )]
    Corrupt,
    /// Another process held the database for more than five seconds.
    #[error("the database is busy in another process: try again")]
    Busy,
    /// The disk is full or cannot be written.
    #[error("the database cannot be written: free some space or check the folder ({0})")]
    Disk(&'static str),
    /// A row holds what this version never wrote.
    #[error("the database holds an unreadable {0}")]
    Row(&'static str),
    /// It was closed.
    #[error("the database is closed: open it again first")]
    Closed,
    /// A fault of this SDK.
    #[error("the SDK failed inside: nothing was changed; please report it")]
    Internal,
    /// There is no such thing.
    #[error("there is no such {0}")]
    Missing(&'static str),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Corrupt,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Disk("the disk is full"),
            Some(ErrorCode::ReadOnly) => Self::Disk("the file is read-only"),
            Some(ErrorCode::CannotOpen) => Self::Disk("the file cannot be opened"),
            Some(_) => Self::Disk("an operation failed"),
            None => Self::Row("row"),
        }
    }
}
