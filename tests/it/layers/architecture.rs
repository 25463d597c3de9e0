//! `ARCHITECTURE.md` names files and tests: each is there.

use std::fs;
use std::path::Path;

/// Questions that take one look at the page, then one file and one test.
const HUNTS: &[&str] = &[
    "a 413 came back",
    "`ifNoneExist`, and when it is absent",
    "a DST change in a Clarity file",
    "a token for another patient",
    "add a dialect",
    "add a file format",
    "a receiver that answers 500 for ever",
    "the vault is locked",
    "a kill between send and answer",
    "why a reading was not sent",
    "where a percentage is rounded",
];

/// What stands between single backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether these words name a file of the repository, from its root.
fn is_path(words: &str) -> bool {
    let folders = ["src/", "tests/", "examples/", "scripts/", "docs/", "benches/", "fuzz/"];
    folders.iter().any(|folder| words.starts_with(folder)) && !words.contains(['*', '<', ' '])
}

/// Whether these words name a test: a sentence of the alphabet of names.
fn is_test(words: &str) -> bool {
    words.matches('_').count() >= 3
        && words.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// What a page names that is not there: files, and tests that the file named before them lacks.
fn lacking(page: &str, root: &Path) -> Vec<String> {
    let mut lacking = Vec::new();
    for line in page.lines() {
        let mut source = None;
        for words in quoted(line) {
            if is_path(words) {
                let path = root.join(words);
                if !path.exists() {
                    lacking.push(words.to_owned());
                }
                source = Some(path);
            } else if is_test(words) {
                let text = source.as_ref().and_then(|path| fs::read_to_string(path).ok());
                if !text.is_some_and(|text| text.contains(&format!("fn {words}("))) {
                    lacking.push(words.to_owned());
                }
            }
        }
    }
    lacking
}

#[test]
fn every_file_and_every_test_that_the_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    assert_eq!(lacking(&page, root), [""; 0], "named in ARCHITECTURE.md and not there");
}

#[test]
fn each_hunt_has_a_row_with_a_file_and_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    for hunt in HUNTS {
        let row = page.lines().find(|line| line.starts_with(&format!("| {hunt} |")));
        let row = row.unwrap_or_else(|| panic!("no row: {hunt}"));
        assert!(quoted(row).any(is_path), "{hunt}: no file");
        assert!(quoted(row).any(is_test), "{hunt}: no test");
    }
}

#[test]
fn a_file_or_a_test_that_is_not_there_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = "`src/lib.rs`, `src/gone.rs`\n\
        `tests/it/layers/architecture.rs`: `a_file_or_a_test_that_is_not_there_is_found`, \
        `no_such_test_here`\n`a_test_without_a_file`";
    let expected = ["src/gone.rs", "no_such_test_here", "a_test_without_a_file"];
    assert_eq!(lacking(page, root), expected);
}
