//! No arrow points upward: a module uses only what lies below it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may use, besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("glucose", &[]),
    ("statistics", &["glucose"]),
    ("import", &["glucose"]),
    ("fhir", &["glucose"]),
    ("smart", &["fhir"]),
    ("orders", &["glucose", "fhir"]),
    ("submission", &["glucose"]),
    ("environment", &["glucose"]),
    ("transport", &["environment"]),
    ("store", &["glucose", "submission"]),
    ("connect", &["environment", "fhir", "smart", "store"]),
    ("error", &["connect", "environment", "fhir", "glucose", "import", "orders", "statistics", "store", "transport"]),
    ("delivery", &["connect", "environment", "error", "fhir", "glucose", "statistics", "store", "submission"]),
    (
        "submitter",
        &[
            "connect",
            "delivery",
            "environment",
            "error",
            "fhir",
            "glucose",
            "import",
            "orders",
            "smart",
            "statistics",
            "store",
            "submission",
        ],
    ),
];

/// What the core must not touch: the disk, the network, threads, clocks, chance.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "rusqlite",
    "reqwest",
    "oauth2",
    "uniffi",
    "getrandom",
    "std::fs",
    "std::net",
    "std::thread",
    "std::time",
    "std::env",
    "std::process",
];
const CORE: &[&str] = &["glucose", "statistics", "import", "fhir", "smart", "orders", "submission"];

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Every source line of a module that is code and not a test.
fn code() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&source, &mut all);
    let mut modules: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for path in all {
        let below = path.strip_prefix(&source).unwrap();
        let module =
            below.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let without_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = without_tests.lines().filter(|line| !line.trim_start().starts_with("//"));
        modules.entry(module).or_default().extend(lines.map(|line| (below.to_path_buf(), line.to_owned())));
    }
    modules
}

/// The modules a line names as `crate::module`.
fn named(line: &str) -> Vec<String> {
    line.match_indices("crate::")
        .map(|(at, found)| {
            let rest = &line[at + found.len()..];
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
        })
        .collect()
}

#[test]
fn a_module_uses_only_what_lies_below_it() {
    let code = code();
    let known: Vec<&str> = MAY_USE.iter().map(|(module, _)| *module).collect();
    let mut wrong = Vec::new();
    for (module, allowed) in MAY_USE {
        let lines = code.get(*module).unwrap_or_else(|| panic!("there is no module {module}: mend this table"));
        for (path, line) in lines {
            for name in named(line) {
                let upward = known.contains(&name.as_str()) && name != *module && !allowed.contains(&name.as_str());
                // The public error is named from the crate's root.
                if upward || name == "ffi" || (name == "Submitter" && *module != "submitter") {
                    wrong.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "upward or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn the_core_touches_nothing_outside() {
    let code = code();
    let mut wrong = Vec::new();
    for module in CORE {
        for (path, line) in &code[*module] {
            if NOT_IN_CORE
                .iter()
                .any(|name| line.contains(&format!("{name}::")) || line.contains(&format!("use {name}")))
            {
                wrong.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "input or output in the core:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_is_in_the_table() {
    let mut missing: Vec<String> = code().into_keys().collect();
    missing.retain(|module| !["lib", "ffi"].contains(&module.as_str()));
    missing.retain(|module| !MAY_USE.iter().any(|(known, _)| known == module));
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}
