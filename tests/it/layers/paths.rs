//! Finds every path a source file names: in `use` trees, in expressions and types, in macros. It
//! knows no more Rust than that takes, and no names brought in by a `use` need following: the `use`
//! itself is found.

use std::path::Path;

/// A file of the library.
pub(crate) struct Source {
    /// Its place below `src`.
    pub(crate) file: String,
    /// The module it is, from the crate's root.
    pub(crate) module: Vec<String>,
    /// The paths it names outside of tests. One within the crate starts with `crate`, however it
    /// was written.
    pub(crate) paths: Vec<Vec<String>>,
    /// The modules it declares for tests alone.
    pub(crate) test_modules: Vec<Vec<String>>,
}

impl Source {
    pub(crate) fn new(file: &Path, text: &str) -> Self {
        let mut module: Vec<String> = file
            .with_extension("")
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        module.pop_if(|last| last == "mod" || last == "lib");
        let (tokens, tests) = without_tests(&tokens(text));
        let test_modules =
            tests.into_iter().map(|name| [module.clone(), vec![name]].concat()).collect();
        Self {
            file: file.display().to_string(),
            paths: paths(&tokens, &module),
            module,
            test_modules,
        }
    }
}

/// A path without the `*` of a glob: what it names is all below.
pub(crate) fn names(path: &[String]) -> &[String] {
    path.strip_suffix(&["*".to_owned()]).unwrap_or(path)
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, numbers, `::` and single signs. Comments, strings, characters and lifetimes are left out.
fn tokens(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let is = |at: usize, sign: char| text.get(at) == Some(&sign);
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let from = at;
        match text[at] {
            '/' if is(at + 1, '/') => {
                at = (at..text.len()).find(|at| is(*at, '\n')).unwrap_or(text.len());
            }
            '/' if is(at + 1, '*') => {
                let mut depth = 0;
                while at < text.len() {
                    match (text[at], text.get(at + 1)) {
                        ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
                        ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
                        _ => at += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            '"' => at = end_of_string(&text, at + 1, '"'),
            '\'' if is(at + 1, '\\') || is(at + 2, '\'') => at = end_of_string(&text, at + 1, '\''),
            '\'' => at = end_of_word(&text, at + 1),
            ':' if is(at + 1, ':') => {
                found.push("::".to_owned());
                at += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                at = end_of_word(&text, at);
                let hashes = (at..text.len()).take_while(|at| is(*at, '#')).count();
                let raw = matches!(text[from..at], ['r'] | ['b' | 'c', 'r']);
                if raw && is(at + hashes, '"') {
                    let closing =
                        |at: &usize| is(*at, '"') && (1..=hashes).all(|n| is(at + n, '#'));
                    at = (at + hashes + 1..text.len())
                        .find(closing)
                        .map_or(text.len(), |at| at + 1 + hashes);
                } else if raw && hashes == 1 {
                    // `r#type`: the word follows.
                    at += 1;
                } else {
                    found.push(text[from..at].iter().collect());
                }
            }
            c => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                at += 1;
            }
        }
    }
    found
}

fn end_of_word(text: &[char], at: usize) -> usize {
    at + text[at..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count()
}

fn end_of_string(text: &[char], mut at: usize, quote: char) -> usize {
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// After the item or attribute that starts at `at`: behind its `;`, or behind the bracket that
/// closes its first one.
fn end_of_item(tokens: &[String], at: usize) -> usize {
    let mut depth = 0;
    for (n, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "{" | "[" | "(" => depth += 1,
            "}" | "]" | ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(token.as_str(), "}" | "]" | ";") {
            return n + 1;
        }
    }
    tokens.len()
}

/// The tokens without what is compiled for tests alone, and the modules declared so.
fn without_tests(tokens: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let starts = |with: &[&str]| {
            tokens[at..].iter().zip(with).filter(|(a, b)| a == *b).count() == with.len()
        };
        if !starts(&["#", "[", "cfg", "(", "test"])
            && !starts(&["#", "[", "cfg", "(", "all", "(", "test"])
        {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        while tokens.get(at).is_some_and(|token| token == "#") {
            at = end_of_item(tokens, at);
        }
        let end = end_of_item(tokens, at);
        if let [.., keyword, name, semicolon] = &tokens[at..end]
            && (keyword.as_str(), semicolon.as_str()) == ("mod", ";")
        {
            modules.push(name.clone());
        }
        at = end;
    }
    (kept, modules)
}

/// Every path in the tokens of `module`.
fn paths(tokens: &[String], module: &[String]) -> Vec<Vec<String>> {
    let mut scope = module.to_vec();
    let (mut depth, mut inline) = (0, Vec::new());
    let mut found = Vec::new();
    let is = |at: usize, token: &str| tokens.get(at).is_some_and(|found| found == token);
    let mut at = 0;
    while at < tokens.len() {
        let before = |token: &str| at > 0 && is(at - 1, token);
        match tokens[at].as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if inline.pop_if(|opened| *opened == depth).is_some() {
                    scope.pop();
                }
            }
            word if before("mod") && is(at + 1, "{") => {
                scope.push(word.to_owned());
                inline.push(depth);
            }
            // `pub(in path)` gives and does not take.
            word if is_word(word) && (is(at + 1, "::") || before("use")) && !before("in") => {
                let mut written = Vec::new();
                at = expand(tokens, at, &[], &mut written);
                found.extend(written.iter().map(|path| resolved(path, &scope)));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Writes out the path or `use` tree at `at`, and says where it ends.
fn expand(
    tokens: &[String],
    mut at: usize,
    before: &[String],
    found: &mut Vec<Vec<String>>,
) -> usize {
    let is = |at: usize, token: &str| tokens.get(at).is_some_and(|found| found == token);
    if is(at, "{") {
        at += 1;
        while at < tokens.len() && !is(at, "}") {
            if is_word(&tokens[at]) || is(at, "*") || is(at, "{") {
                at = expand(tokens, at, before, found);
                // What follows `as` is a name of this file.
                at += if is(at, "as") { 2 } else { 0 };
            } else {
                at += 1;
            }
        }
        return at + 1;
    }
    let path = [before, &tokens[at..=at]].concat();
    let goes_on =
        tokens.get(at + 2).is_some_and(|next| is_word(next) || next == "{" || next == "*");
    if is(at + 1, "::") && goes_on {
        return expand(tokens, at + 2, &path, found);
    }
    found.push(path);
    at + 1
}

/// A path as it is from the crate's root; one that leads out of the crate stays as it is.
fn resolved(path: &[String], scope: &[String]) -> Vec<String> {
    let mut place = None;
    let mut rest = path.iter().peekable();
    while let Some(word) = rest.next_if(|word| ["crate", "self", "super"].contains(&word.as_str()))
    {
        let mut module: Vec<String> = place.unwrap_or_else(|| scope.to_vec());
        match word.as_str() {
            "crate" => module.clear(),
            "super" => drop(module.pop()),
            _ => {}
        }
        place = Some(module);
    }
    let rest = rest.filter(|word| *word != "self").cloned();
    match place {
        Some(module) => std::iter::once("crate".to_owned()).chain(module).chain(rest).collect(),
        None => rest.collect(),
    }
}

#[test]
fn a_path_is_found_however_it_is_written() {
    let cases: [(&str, &str, &[&str]); 16] = [
        ("a/mod.rs", "use crate::b::C;", &["crate::b::C"]),
        (
            "a/mod.rs",
            "use crate::{b, c::{self, D as E}, *};",
            &["crate::b", "crate::c", "crate::c::D", "crate::*"],
        ),
        ("a.rs", "pub(crate) use super::b::c;", &["crate::b::c"]),
        ("a/x/y.rs", "use super::super::{z, super::b};", &["crate::a::z", "crate::b"]),
        ("a/x.rs", "use self::super::super::b::*;", &["crate::b::*"]),
        ("a/x.rs", "use super::super as root;", &["crate"]),
        ("a/x.rs", "use crate as root;", &["crate"]),
        ("a/x.rs", "fn f(b: &crate::b::C) -> Vec<super::D> {}", &["crate::b::C", "crate::a::D"]),
        ("a/x.rs", "let x = println!(\"{}\", crate::b::f::<u8>(1));", &["crate::b::f"]),
        (
            "a/x.rs",
            "mod m { use super::b; mod n {} fn f() {} use super::c; } use super::d;",
            &["crate::a::x::b", "crate::a::x::c", "crate::a::d"],
        ),
        ("a/x.rs", "macro_rules! m { () => { $crate::b::f() } }", &["crate::b::f"]),
        (
            "a/x.rs",
            "// crate::b\n/* crate::c /* */ crate::d */ r#\"crate::e\"# \"\\\"crate::f\" b'\\'' \
                'a' &'a str::len",
            &["str::len"],
        ),
        (
            "a/x.rs",
            "use tokio; use std::{fs::{self, File}, io as x}; ::std::env::var()",
            &["tokio", "std::fs", "std::fs::File", "std::io", "std::env::var"],
        ),
        (
            "a/x.rs",
            "#[cfg(test)]\n#[expect(clippy::all)]\nmod tests { use crate::b; } #[cfg(not(test))] \
                use crate::c;",
            &["crate::c"],
        ),
        ("a/x.rs", "#[cfg(all(test, unix))] use crate::b::{C, D}; use crate::e;", &["crate::e"]),
        ("a/x.rs", "pub(in crate::b) fn f() { r#try::x() }", &["try::x"]),
    ];
    for (file, text, expected) in cases {
        let found: Vec<String> =
            Source::new(Path::new(file), text).paths.iter().map(|path| path.join("::")).collect();
        assert_eq!(found, expected, "{text}");
    }
    let source = Source::new(Path::new("a/mod.rs"), "#[cfg(test)] mod model; mod b;");
    assert_eq!(
        (source.module, source.test_modules),
        (vec!["a".to_owned()], vec![vec!["a".to_owned(), "model".to_owned()]])
    );
}
