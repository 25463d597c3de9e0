//! `cargo run -p uniffi-bindgen -- generate …`: writes the foreign sources of a built library.

mod python;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Ends the process if it fails.
    uniffi::uniffi_bindgen_main();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let Some(folder) = python_folder(&arguments) else { return ExitCode::SUCCESS };
    match python::complete(&folder.join("cgm_submitter.py")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// Where Python's module was written, if it was.
fn python_folder(arguments: &[OsString]) -> Option<PathBuf> {
    let value = |long: &str, short: &str| {
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if argument == long || argument == short {
                return rest.next().cloned();
            }
            let text = argument.to_str().unwrap_or_default();
            if let Some(value) = text.strip_prefix(long).and_then(|rest| rest.strip_prefix('=')) {
                return Some(value.into());
            }
        }
        None
    };
    let is_python = value("--language", "-l")? == "python";
    let folder = value("--out-dir", "-o")?;
    is_python.then(|| folder.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_pythons_module_is_where_it_was_written() {
        for (line, expected) in [
            ("generate --language python --out-dir out lib.so", Some("out")),
            ("generate -l python -o out lib.so", Some("out")),
            ("generate --language=python --out-dir=out lib.so", Some("out")),
            ("generate --language kotlin --out-dir out lib.so", None),
        ] {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(python_folder(&arguments), expected.map(PathBuf::from), "{line}");
        }
    }
}
