//! Each step and decision, for a developer's log. An entry is made of fixed words, counts and
//! instants of the SDK's own doings: there is no place in it for a person's data or a secret.

use chrono::{DateTime, SecondsFormat, Utc};
use std::fmt;
use std::time::Duration;

/// How much an entry matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
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

/// What a field of an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogValue {
    /// How many, or which by its number in this database.
    Number(i64),
    /// One of the SDK's own words.
    Word(&'static str),
    /// When the SDK does something.
    Instant(DateTime<Utc>),
    /// How long it takes.
    Duration(Duration),
}

impl fmt::Display for LogValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Word(word) => f.write_str(word),
            Self::Instant(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::Secs, true)),
            Self::Duration(duration) => write!(f, "{}ms", duration.as_millis()),
        }
    }
}

impl From<&'static str> for LogValue {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<DateTime<Utc>> for LogValue {
    fn from(at: DateTime<Utc>) -> Self {
        Self::Instant(at)
    }
}

impl From<Duration> for LogValue {
    fn from(duration: Duration) -> Self {
        Self::Duration(duration)
    }
}

impl From<i64> for LogValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for LogValue {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for LogValue {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for LogValue {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for LogValue {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

/// One step or decision. Printed: `batch-sent connection=1 batch=7 entries=500`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEntry<'a> {
    /// How much it matters.
    pub level: LogLevel,
    /// What happened, in a word that stays.
    pub step: &'static str,
    /// The rest, by name.
    pub fields: &'a [(&'static str, LogValue)],
}

impl fmt::Display for LogEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.step)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// Takes a log's entries. It is called on the SDK's own threads: hand over what takes time.
pub trait LogSink: Send + Sync {
    /// Something happened.
    fn log(&self, entry: &LogEntry<'_>);
}

/// Keeps no log.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl LogSink for NoLog {
    fn log(&self, _: &LogEntry<'_>) {}
}

/// Passes entries to `tracing`, under the target `cgm_submitter`.
#[cfg(feature = "tracing")]
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingLog;

#[cfg(feature = "tracing")]
impl LogSink for TracingLog {
    fn log(&self, entry: &LogEntry<'_>) {
        match entry.level {
            LogLevel::Debug => tracing::debug!(target: "cgm_submitter", "{entry}"),
            LogLevel::Info => tracing::info!(target: "cgm_submitter", "{entry}"),
            LogLevel::Warn => tracing::warn!(target: "cgm_submitter", "{entry}"),
            LogLevel::Error => tracing::error!(target: "cgm_submitter", "{entry}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_prints_as_one_line() {
        let at: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        let fields = [
            ("batch", 7_i64.into()),
            ("status", 429_u16.into()),
            ("until", at.into()),
            ("took", Duration::from_millis(1500).into()),
            ("because", "receiver-asked".into()),
        ];
        let entry = LogEntry { level: LogLevel::Warn, step: "answered", fields: &fields };
        assert_eq!(
            entry.to_string(),
            "answered batch=7 status=429 until=2026-03-01T12:00:00Z took=1500ms \
             because=receiver-asked"
        );
    }
}
