//! What every fuzz target does with its input, called alike by libFuzzer (`fuzz_targets/`) and by
//! the tests (`tests/it/hostile`).
//!
//! A target reads bytes from outside by the core's public API and asserts what must hold for
//! whatever was accepted. To add one: a function, its line in [`TARGETS`], a file in
//! `fuzz_targets/` and its `[[bin]]` in `Cargo.toml`.

mod fhir;
mod import;
mod orders;
mod smart;

use std::fmt::{Debug, Display};

/// A target's name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("callback", smart::callback),
    ("capability", fhir::capability),
    ("discovery", smart::discovery),
    ("import", import::any),
    ("import_clarity", import::clarity),
    ("import_csv", import::csv),
    ("import_ndjson", import::ndjson),
    ("one_time_order", orders::one_time),
    ("order_search", orders::search),
    ("outcome", fhir::outcome),
    ("patient", fhir::patient),
    ("response", fhir::response),
    ("scopes", smart::scopes),
    ("search_page", fhir::search_page),
    ("token", smart::token),
];

/// Runs the target `name`.
///
/// # Panics
/// Where something does not hold that must, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target");
    target(data);
}

/// Stands in seeds and dictionaries for what must not be repeated: a name, a value, a token.
const MARKER: &str = "Mrk7x";

/// Asserts that an error shows nothing of its input.
fn quotes_nothing(error: &(impl Debug + Display)) {
    shows_nothing(error);
    assert!(!error.to_string().contains(MARKER), "an error quotes its input");
}

/// Asserts that `{:?}` shows nothing of the input.
fn shows_nothing(value: &impl Debug) {
    assert!(!format!("{value:?}").contains(MARKER), "Debug shows the input");
}

/// Asserts that a text is fit for a screen: at most this many characters, none that controls it or
/// turns the direction of writing.
fn is_showable(text: &str, most: usize) {
    assert!(text.chars().count() <= most, "longer than {most} characters");
    let turns = |c: char| {
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(
        !text.chars().any(|c| c.is_control() || turns(c)),
        "a character that controls the screen"
    );
}
