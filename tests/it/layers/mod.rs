//! No arrow points upward: a module uses only what lies below it.

mod architecture;
mod front_door;
mod paths;

use paths::{Source, names};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may use, besides itself. Only `ffi` is not here: it lies on top.
const MAY_USE: &[(&str, &[&str])] = &[
    ("backoff", &[]),
    ("sorting", &[]),
    ("glucose", &[]),
    ("statistics", &["glucose", "sorting"]),
    ("import", &["glucose", "sorting"]),
    ("fhir", &["glucose", "sorting"]),
    ("smart", &["backoff", "fhir"]),
    ("orders", &["glucose", "fhir", "sorting"]),
    ("submission", &["backoff", "fhir", "glucose", "orders", "smart"]),
    ("blocking", &[]),
    ("environment", &["glucose"]),
    ("transport", &["blocking", "environment", "smart"]),
    ("testing", &["environment", "glucose"]),
    ("store", &["blocking", "fhir", "glucose", "smart", "sorting", "submission"]),
    ("connect", &["blocking", "environment", "fhir", "smart", "sorting", "store", "submission"]),
    (
        "error",
        &[
            "connect",
            "environment",
            "fhir",
            "glucose",
            "import",
            "orders",
            "smart",
            "statistics",
            "store",
            "submission",
            "transport",
        ],
    ),
    (
        "delivery",
        &[
            "connect",
            "environment",
            "error",
            "fhir",
            "glucose",
            "smart",
            "sorting",
            "statistics",
            "store",
            "submission",
        ],
    ),
    (
        "submitter",
        &[
            "blocking",
            "connect",
            "delivery",
            "environment",
            "error",
            "fhir",
            "glucose",
            "import",
            "orders",
            "smart",
            "sorting",
            "statistics",
            "store",
            "submission",
            "transport",
        ],
    ),
];

/// What the core must not touch: the disk, the network, threads, clocks, chance.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "rusqlite",
    "hyper",
    "hyper_util",
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
/// The modules that are the core.
const CORE: &[&str] = &[
    "backoff",
    "sorting",
    "glucose",
    "statistics",
    "import",
    "fhir",
    "smart",
    "orders",
    "submission",
];

/// Every file of the library.
fn files() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// Every file of the library, its tests left out, and the names the crate's root passes on:
/// `Submitter` to `submitter`.
fn library() -> (Vec<Source>, BTreeMap<String, String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let source = |path: &PathBuf| {
        Source::new(path.strip_prefix(&root).unwrap(), &fs::read_to_string(path).unwrap())
    };
    let mut sources: Vec<Source> = files().iter().map(source).collect();
    let tests: BTreeSet<Vec<String>> =
        sources.iter().flat_map(|source| source.test_modules.clone()).collect();
    sources.retain(|source| !tests.contains(&source.module));
    let at = sources.iter().position(|source| source.module.is_empty()).unwrap();
    let passed_on = sources.remove(at).paths.into_iter().filter(|path| path.len() > 1);
    (sources, passed_on.map(|path| (path.last().unwrap().clone(), path[0].clone())).collect())
}

fn top(source: &Source) -> &str {
    &source.module[0]
}

#[test]
fn a_module_uses_only_what_lies_below_it() {
    let (sources, passed_on) = library();
    let mut wrong = Vec::new();
    for (module, allowed) in MAY_USE {
        assert!(
            sources.iter().any(|source| top(source) == *module),
            "there is no module {module}: mend the table"
        );
        for source in sources.iter().filter(|source| top(source) == *module) {
            for path in source.paths.iter().filter(|path| path[0] == "crate") {
                // The root itself, or all of it, is everything.
                let name = path.get(1).map_or("*", |name| passed_on.get(name).unwrap_or(name));
                if name != *module && !allowed.contains(&name) {
                    wrong.push(format!("{}: {}", source.file, path.join("::")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "upward or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn the_core_touches_nothing_outside() {
    let outside: Vec<Vec<String>> =
        NOT_IN_CORE.iter().map(|name| name.split("::").map(str::to_owned).collect()).collect();
    let touches = |path: &[String]| {
        outside.iter().any(|name| path.starts_with(name) || name.starts_with(path))
    };
    let (sources, _) = library();
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| CORE.contains(&top(source))) {
        let paths = source.paths.iter().map(|path| names(path)).filter(|path| touches(path));
        wrong.extend(paths.map(|path| format!("{}: {}", source.file, path.join("::"))));
    }
    assert!(wrong.is_empty(), "input or output in the core:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_environment_sleeps() {
    let sleeps = ["tokio::time", "tokio::time::sleep", "std::thread::sleep", "thread::sleep"];
    let (sources, _) = library();
    for source in sources.iter().filter(|source| source.file != "environment/system.rs") {
        let found = source.paths.iter().map(|path| names(path).join("::"));
        let found: Vec<_> = found.filter(|path| sleeps.contains(&path.as_str())).collect();
        assert!(found.is_empty(), "{} sleeps past the timer: {found:?}", source.file);
    }
}

#[test]
fn only_the_border_knows_uniffi() {
    let (sources, _) = library();
    for source in sources.iter().filter(|source| top(source) != "ffi") {
        assert!(
            !source.paths.iter().any(|path| path[0] == "uniffi"),
            "{} names uniffi",
            source.file
        );
    }
}

#[test]
fn every_module_is_in_the_table() {
    let (sources, _) = library();
    let known = |module: &str| module == "ffi" || MAY_USE.iter().any(|(known, _)| *known == module);
    let missing: BTreeSet<&str> = sources.iter().map(top).filter(|module| !known(module)).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}

#[test]
fn the_store_uses_nothing_of_sqlite_that_a_phones_build_lacks() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let build = fs::read_to_string(root.join("scripts/phone-size")).unwrap();
    let lacking: &[(&str, &[&str])] = &[
        (
            "JSON",
            &["json_extract(", "json_each(", "json_set(", "json_array", "json_object(", "->>"],
        ),
        ("DATETIME_FUNCS", &["datetime(", "strftime(", "julianday(", "unixepoch(", "CURRENT_"]),
        ("INTEGRITY_CHECK", &["integrity_check", "quick_check"]),
        ("SCHEMA_PRAGMAS", &["table_info", "index_list", "index_info", "database_list"]),
    ];
    for (omitted, _) in lacking {
        let omitted = format!("-DSQLITE_OMIT_{omitted}");
        assert!(build.contains(&omitted), "a phone's build has it again: {omitted}");
    }
    let mut read = 0;
    for file in files().iter().filter(|file| file.starts_with(root.join("src/store"))) {
        let text = fs::read_to_string(file).unwrap();
        read += 1;
        let words = lacking.iter().flat_map(|(_, words)| words.iter());
        let used = words.copied().find(|word| text.contains(word));
        assert_eq!(used, None, "{}", file.display());
    }
    assert!(read > 20);
}
