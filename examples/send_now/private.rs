//! Files that hold a person's data: their owner alone may read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The folder a file is to be in. Fails if there is none, or if the file itself is one.
pub(crate) fn folder_of(file: &Path) -> io::Result<&Path> {
    if file.is_dir() {
        return Err(io::Error::other("it is a folder: name a file"));
    }
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let missing = format!("there is no folder {}: make it first", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, missing));
    }
    Ok(folder)
}

/// Makes a folder, and those it is in.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A file to be written later; that it can be is known now.
pub(crate) enum Output {
    /// Takes the place of the file there is, whole or not at all.
    File(NamedTempFile, PathBuf),
    /// A pipe or a device, such as `/dev/stdout`.
    Stream(File),
}

impl Output {
    pub(crate) fn open(file: &Path) -> io::Result<Self> {
        let folder = folder_of(file)?;
        match fs::metadata(file) {
            Ok(found) if !found.is_file() => {
                Ok(Self::Stream(OpenOptions::new().write(true).open(file)?))
            }
            Ok(found) if found.permissions().readonly() => {
                Err(io::ErrorKind::PermissionDenied.into())
            }
            _ => Ok(Self::File(temporary_in(folder)?, file.to_owned())),
        }
    }

    pub(crate) fn write(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(mut temporary, file) => {
                temporary.write_all(bytes)?;
                temporary.persist(file)?;
                Ok(())
            }
            Self::Stream(mut stream) => stream.write_all(bytes),
        }
    }
}

/// A file that only its owner may read, gone when it is dropped. The error names no path: that of a
/// file nobody asked for misleads.
fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    NamedTempFile::new_in(folder).map_err(|error| error.kind().into())
}
