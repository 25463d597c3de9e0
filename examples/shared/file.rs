//! The option `--import`: the bytes of a file of readings.

use cgm_submitter::import::MAX_BYTES;
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads a file, and one byte more than is taken of it at most. A pipe or a device may have no end,
/// and opening one may not even return.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let named = |why: &dyn Display| format!("--import {}: {why}", path.display());
    let found = std::fs::metadata(path).map_err(|error| named(&error))?;
    if found.is_dir() {
        return Err(named(&"it is a folder: name a file"));
    }
    if !found.is_file() {
        return Err(named(&"it is a pipe or a device: save the readings to a file first"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| named(&error))?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| named(&error))?;
    Ok(bytes)
}
