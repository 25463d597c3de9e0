//! What comes from outside may be anything: the inputs that once broke something, inputs made to be
//! costly, inputs at their caps.

mod allocated;
#[cfg(all(feature = "shell", feature = "http-transport"))]
mod calls;
mod caps;
mod large;
#[path = "../../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a library of its own for libFuzzer")]
mod targets;

use large::Large;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
#[cfg(not(unix))]
use std::time::Instant;

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
        assert!((1..=25).contains(&inputs.len()), "{target}: {} inputs", inputs.len());
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
        // Each refused row is told, and a row can be two bytes; there are two million of them at
        // most.
        "import" | "import_clarity" | "import_csv" | "import_ndjson" => 80,
        _ => 20,
    }
}

/// Holds inputs against the same ones eight times smaller: the memory and the time they take.
fn takes_in_proportion(smaller: impl Iterator<Item = Large>, inputs: impl Iterator<Item = Large>) {
    for (smaller, input) in smaller.zip(inputs) {
        let held = allocated::most_held(|| targets::run(input.target, &input.bytes));
        let bound = FIXED + most(input.target) * input.bytes.len();
        assert!(held <= bound, "{}, {}: {held} bytes, not {bound}", input.target, input.name);

        // Eight times as long, or sixty-four if every part is held against every other. Caches can
        // make it look slow, and never fast: once in proportion is enough.
        let in_proportion = || time(&input) <= 24 * time(&smaller).max(Duration::from_micros(50));
        assert!(
            (0..10).any(|_| in_proportion()),
            "{}, {}: its time grows with its square",
            input.target,
            input.name
        );
    }
}

/// Time this thread had a processor: other programs take none of it.
fn time(input: &Large) -> Duration {
    let began = on_processor();
    targets::run(input.target, &input.bytes);
    on_processor().saturating_sub(began)
}

#[cfg(unix)]
fn on_processor() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "how long a parser takes is what is tested")]
fn on_processor() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}

#[test]
fn a_costly_document_takes_memory_and_time_in_proportion_to_its_size() {
    takes_in_proportion(large::documents(4 << 10), large::documents(32 << 10));
}

#[test]
fn a_costly_text_or_file_takes_memory_and_time_in_proportion_to_its_size() {
    let inputs = |size| large::texts(size).chain(large::files(size));
    takes_in_proportion(inputs(64 << 10), inputs(512 << 10));
}
