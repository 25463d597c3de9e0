//! What an app sees at the crate's root: few enough names to read in one look.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names at the root, modules included.
const MOST: usize = 45;

/// The public names at the crate's root: of the features all, without those for our own tests.
fn names() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = fs::read_to_string(root).unwrap();
    let mut names = Vec::new();
    let mut condition = "";
    let mut statements = text.as_str();
    while let Some((line, rest)) = statements.split_once('\n') {
        statements = rest;
        if line.starts_with("#[cfg") {
            condition = line;
            continue;
        }
        let ours = condition.contains("feature = \"internals\"");
        condition = "";
        if let Some(module) = line.strip_prefix("pub mod ") {
            let name = module.trim_end_matches([';', '{', ' ']);
            names.extend((!ours).then(|| name.to_owned()));
        }
        if let Some(begin) = line.strip_prefix("pub use ") {
            let whole = format!("{begin}\n{rest}");
            let (paths, _) = whole.split_once(';').unwrap();
            let list = paths.split_once('{').map_or(paths, |(_, list)| list);
            let of = |path: &str| {
                path.rsplit("::").next().unwrap().trim_matches([' ', '\n', '}']).to_owned()
            };
            names.extend(list.split(',').map(of).filter(|name| !name.is_empty()));
        }
    }
    names
}

#[test]
fn an_app_finds_few_names_at_the_root() {
    let names = names();
    let once: BTreeSet<_> = names.iter().collect();
    assert_eq!(once.len(), names.len());
    for name in ["chrono", "Submitter", "DateRange", "ZoneOffsets", "HttpTransport", "outcome"] {
        assert!(names.iter().any(|found| found == name), "{name} is not found: {names:?}");
    }
    assert!(names.len() <= MOST, "{} names, {MOST} at most: {names:?}", names.len());
}
