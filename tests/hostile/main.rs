//! What comes from outside may be anything: the inputs that once broke something, inputs made to be costly, inputs at their caps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and what they share")]

mod allocated;
mod caps;
mod large;
#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a library of its own for libFuzzer")]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of an input that is made to be costly.
const SIZE: usize = 32 << 10;

/// Bytes any input may take.
const FIXED: usize = 64 << 10;

/// The files in `fuzz/<folder>/<target>`.
fn files(folder: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(target);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_once_broke_a_parser_does_so_no_more() {
    for (target, _) in targets::TARGETS {
        for input in files("crashes", target) {
            println!("{}", input.display());
            targets::run(target, &fs::read(&input).unwrap());
        }
    }
}

#[test]
fn every_input_of_the_corpus_is_read_or_refused() {
    for (target, _) in targets::TARGETS {
        let inputs = files("corpus", target);
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in inputs {
            println!("{}", input.display());
            targets::run(target, &fs::read(&input).unwrap());
        }
    }
}

/// How many bytes a target may hold for each byte of its input, which is not counted.
fn most(target: &str) -> usize {
    match target {
        // Held as JSON values for a moment, and no larger than 256 KiB.
        "discovery" | "search_page" | "token" => 100,
        // Each refused row is told, and a row can be two bytes; there are two million of them at most.
        "import" | "import_clarity" | "import_csv" | "import_ndjson" => 80,
        _ => 20,
    }
}

/// Time is bounded by the test runner, which ends what takes a minute: a parser that needs the square of its input's length does.
fn holds_in_proportion(inputs: impl Iterator<Item = large::Large>) {
    for input in inputs {
        let held = allocated::most_held(|| targets::run(input.target, &input.bytes));
        let bound = FIXED + most(input.target) * input.bytes.len();
        assert!(held <= bound, "{}, {}: {held} bytes, not {bound}", input.target, input.name);
    }
}

#[test]
fn a_costly_document_takes_memory_in_proportion_to_its_size() {
    holds_in_proportion(large::documents(SIZE));
}

#[test]
fn a_costly_text_or_file_takes_memory_in_proportion_to_its_size() {
    holds_in_proportion(large::texts(SIZE).chain(large::files(SIZE)));
}
