//! Each step and decision, for a developer's log. An entry is made of the SDK's own fixed words, of
//! counts, numbers of this database's rows, HTTP statuses and durations. No value of it can hold a
//! text that came from outside, or the time of anything measured.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    /// Which one, by its number in this database.
    Id(i64),
    /// How many.
    Count(u64),
    /// An HTTP status.
    Status(u16),
    /// One of the SDK's own words.
    Word(&'static str),
    /// How long something took, or is waited for.
    Duration(Duration),
}

impl fmt::Display for LogValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Status(status) => write!(f, "{status}"),
            Self::Word(word) if word.contains(' ') => write!(f, "{word:?}"),
            Self::Word(word) => f.write_str(word),
            Self::Duration(duration) => write!(f, "{}ms", duration.as_millis()),
        }
    }
}

impl From<&'static str> for LogValue {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<bool> for LogValue {
    fn from(holds: bool) -> Self {
        Self::Word(if holds { "yes" } else { "no" })
    }
}

impl From<Duration> for LogValue {
    fn from(duration: Duration) -> Self {
        Self::Duration(duration)
    }
}

impl From<u64> for LogValue {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for LogValue {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

/// One step or decision. Printed: `batch-sent connection=1 batch=7 entries=500`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

/// Takes a log's entries.
///
/// It is called on the SDK's own threads, in the middle of its work: hand over what takes time. An
/// entry over which it panics is lost, and nothing else.
///
/// # Example
/// ```
/// use cgm_submitter::environment::{LogEntry, LogLevel, LogSink};
///
/// struct ToTheConsole;
///
/// impl LogSink for ToTheConsole {
///     fn log(&self, entry: &LogEntry<'_>) {
///         if entry.level >= LogLevel::Info {
///             println!("{entry}");
///         }
///     }
/// }
/// ```
pub trait LogSink: Send + Sync {
    /// Something happened.
    fn log(&self, entry: &LogEntry<'_>);
}

/// What an entry says beside its step.
type Fields<'a> = &'a [(&'static str, LogValue)];

impl dyn LogSink + '_ {
    /// Logs a detail.
    pub(crate) fn debug(&self, step: &'static str, fields: Fields<'_>) {
        self.note(LogLevel::Debug, step, fields);
    }

    /// Logs a step.
    pub(crate) fn info(&self, step: &'static str, fields: Fields<'_>) {
        self.note(LogLevel::Info, step, fields);
    }

    /// Logs what needs attention.
    pub(crate) fn warn(&self, step: &'static str, fields: Fields<'_>) {
        self.note(LogLevel::Warn, step, fields);
    }

    /// Logs a failure.
    pub(crate) fn error(&self, step: &'static str, fields: Fields<'_>) {
        self.note(LogLevel::Error, step, fields);
    }

    fn note(&self, level: LogLevel, step: &'static str, fields: Fields<'_>) {
        // An answer that came must be written down, whatever an app's log does.
        let entry = LogEntry { level, step, fields };
        let _ = catch_unwind(AssertUnwindSafe(|| self.log(&entry)));
    }
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Panics over every entry but the first.
    #[derive(Default)]
    struct Failing(AtomicUsize);

    impl LogSink for Failing {
        fn log(&self, _: &LogEntry<'_>) {
            assert_eq!(self.0.fetch_add(1, Ordering::Relaxed), 0, "one entry is enough");
        }
    }

    #[test]
    fn an_entry_prints_as_one_line() {
        let fields = [
            ("batch", LogValue::Id(7)),
            ("entries", 500_usize.into()),
            ("status", LogValue::Status(429)),
            ("again", true.into()),
            ("took", Duration::from_millis(1500).into()),
            ("because", "receiver-asked".into()),
            ("decided", "all refused alike".into()),
        ];
        let entry = LogEntry { level: LogLevel::Warn, step: "answered", fields: &fields };
        assert_eq!(
            entry.to_string(),
            "answered batch=7 entries=500 status=429 again=yes took=1500ms \
             because=receiver-asked decided=\"all refused alike\""
        );
    }

    #[test]
    fn a_sink_that_panics_stops_nothing() {
        let sink = Arc::new(Failing::default());
        let log: Arc<dyn LogSink> = sink.clone();
        log.info("first", &[]);
        log.warn("second", &[]);
        assert_eq!(sink.0.load(Ordering::Relaxed), 2);
    }

    #[cfg(feature = "tracing")]
    mod passed_to_tracing {
        use super::super::*;
        use std::sync::Mutex;
        use tracing::field::{Field, Visit};
        use tracing::span::{Attributes, Id, Record};
        use tracing::{Event, Metadata, Subscriber};

        static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

        /// Writes down what it is told.
        struct Listener;

        impl Subscriber for Listener {
            fn enabled(&self, metadata: &Metadata<'_>) -> bool {
                metadata.target() == "cgm_submitter"
            }

            fn new_span(&self, _: &Attributes<'_>) -> Id {
                Id::from_u64(1)
            }

            fn event(&self, event: &Event<'_>) {
                let mut line = event.metadata().level().to_string();
                event.record(&mut Message(&mut line));
                HEARD.lock().unwrap().push(line);
            }

            fn record(&self, _: &Id, _: &Record<'_>) {}
            fn record_follows_from(&self, _: &Id, _: &Id) {}
            fn enter(&self, _: &Id) {}
            fn exit(&self, _: &Id) {}
        }

        struct Message<'a>(&'a mut String);

        impl Visit for Message<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                use std::fmt::Write as _;
                write!(self.0, " {field}: {value:?}").unwrap();
            }
        }

        #[test]
        fn an_entry_goes_to_the_apps_tracing_at_its_level() {
            tracing::subscriber::set_global_default(Listener).unwrap();
            let log: &dyn LogSink = &TracingLog;
            log.debug("token-needed", &[("connection", LogValue::Id(1))]);
            log.info("sending", &[]);
            log.warn("waiting", &[]);
            log.error("other-patient", &[]);
            let expected = [
                "DEBUG message: token-needed connection=1",
                "INFO message: sending",
                "WARN message: waiting",
                "ERROR message: other-patient",
            ];
            assert_eq!(*HEARD.lock().unwrap(), expected);
        }
    }
}
