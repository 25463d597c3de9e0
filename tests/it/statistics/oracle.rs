//! `tests/it/statistics/oracle.py`, running: a case a line goes in, an answer a line comes out.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(crate) struct Oracle {
    process: Child,
    cases: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    pub(crate) fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/statistics/oracle.py");
        let started = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = started.unwrap_or_else(|error| {
            panic!(
                "python3: {error}: install Python 3.8 or newer, which works out the statistics \
                a second time"
            )
        });
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { cases: process.stdin.take(), answers, process }
    }

    /// The answer to a case: see `summary` in the script.
    pub(crate) fn ask(&mut self, case: &Value) -> Value {
        let cases = self.cases.as_mut().unwrap();
        let sent = writeln!(cases, "{case}").and_then(|()| cases.flush());
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer);
        assert!(
            sent.is_ok() && read.is_ok_and(|read| read > 0),
            "the oracle stopped; its own words are above"
        );
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.cases = None;
        let _ = self.process.wait();
    }
}
