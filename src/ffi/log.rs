//! A host's log: each step and decision, in the SDK's own words, counts, numbers of rows, statuses
//! and durations. No data of a person is in it.

use super::host::HostError;
use super::records::count;
use crate::environment;
use std::sync::Arc;
use std::time::Duration;

/// How much an entry matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum LogLevel {
    /// Detail.
    Debug,
    /// A step.
    Info,
    /// Something that needs attention: a wait, a refusal, a stall.
    Warn,
    /// A failure.
    Error,
}

impl From<environment::LogLevel> for LogLevel {
    fn from(level: environment::LogLevel) -> Self {
        match level {
            environment::LogLevel::Debug => Self::Debug,
            environment::LogLevel::Info => Self::Info,
            environment::LogLevel::Warn => Self::Warn,
            environment::LogLevel::Error => Self::Error,
        }
    }
}

/// What a field of an entry says.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum LogValue {
    /// Which one, by its number in this database.
    Id {
        /// The number.
        id: i64,
    },
    /// How many.
    Count {
        /// The count.
        count: i64,
    },
    /// An HTTP status.
    Status {
        /// The status.
        status: i32,
    },
    /// One of the SDK's own words.
    Word {
        /// The word.
        word: String,
    },
    /// How long something took, or is waited for.
    Lasting {
        /// How long.
        duration: Duration,
    },
}

impl From<environment::LogValue> for LogValue {
    fn from(value: environment::LogValue) -> Self {
        match value {
            environment::LogValue::Id(id) => Self::Id { id },
            environment::LogValue::Count(counted) => Self::Count { count: count(counted) },
            environment::LogValue::Status(status) => Self::Status { status: status.into() },
            environment::LogValue::Word(word) => Self::Word { word: word.to_owned() },
            environment::LogValue::Duration(duration) => Self::Lasting { duration },
        }
    }
}

/// One fact of an entry.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct LogField {
    /// Its name.
    pub name: String,
    /// What it says.
    pub value: LogValue,
}

/// One step or decision.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct LogEntry {
    /// How much it matters.
    pub level: LogLevel,
    /// What happened, in a word that stays.
    pub step: String,
    /// The rest.
    pub fields: Vec<LogField>,
    /// All of it in one line: `batch-sent connection=1 batch=7 entries=500`.
    pub line: String,
}

impl From<&environment::LogEntry<'_>> for LogEntry {
    fn from(entry: &environment::LogEntry<'_>) -> Self {
        let field = |(name, value): &(&str, environment::LogValue)| LogField {
            name: (*name).to_owned(),
            value: (*value).into(),
        };
        Self {
            level: entry.level.into(),
            step: entry.step.to_owned(),
            fields: entry.fields.iter().map(field).collect(),
            line: entry.to_string(),
        }
    }
}

/// Takes a log's entries. Called on the SDK's own threads: hand over what takes time.
#[uniffi::export(foreign)]
pub trait HostLogSink: Send + Sync {
    /// Something happened. An error is ignored.
    fn log(&self, entry: LogEntry) -> Result<(), HostError>;
}

pub(super) struct ForeignLog(pub(super) Arc<dyn HostLogSink>);

impl environment::LogSink for ForeignLog {
    fn log(&self, entry: &environment::LogEntry<'_>) {
        // A host that cannot write its log is not worth a failed delivery.
        let _ = self.0.log(entry.into());
    }
}
