//! Vaults that are none: what is in them is not protected.

use crate::environment::{Vault, VaultError};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A vault in memory.
#[derive(Default)]
pub struct MemoryVault(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    entries: BTreeMap<String, SecretString>,
    locked: bool,
}

impl MemoryVault {
    /// Locks it, as a phone's is before the first unlock, or unlocks it.
    pub fn set_locked(&self, locked: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).locked = locked;
    }

    /// The names of its entries.
    pub fn names(&self) -> Vec<String> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.entries.keys().cloned().collect()
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut BTreeMap<String, SecretString>) -> T,
    ) -> Result<T, VaultError> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.locked { Err(VaultError::Unavailable) } else { Ok(work(&mut memory.entries)) }
    }
}

impl Vault for MemoryVault {
    fn load(&self, name: &str) -> Result<Option<SecretString>, VaultError> {
        self.with(|entries| entries.get(name).cloned())
    }

    fn save(&self, name: &str, value: &SecretString) -> Result<(), VaultError> {
        self.with(|entries| drop(entries.insert(name.to_owned(), value.clone())))
    }

    fn delete(&self, name: &str) -> Result<(), VaultError> {
        self.with(|entries| drop(entries.remove(name)))
    }
}

impl std::fmt::Debug for MemoryVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryVault")
    }
}

/// A vault in a file only its owner can read: for a demo on a laptop. An app gives the platform's
/// Keychain or Keystore.
#[derive(Debug)]
pub struct FileVault(PathBuf);

type Entries = BTreeMap<String, String>;

impl FileVault {
    /// A vault in the file at `path`, made when the first entry is saved.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    fn read(&self) -> Result<Entries, VaultError> {
        match fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| VaultError::Failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entries::new()),
            Err(_) => Err(VaultError::Failed),
        }
    }

    /// Replaces the file as a whole: a kill leaves the old one or the new one.
    fn write(&self, entries: &Entries) -> Result<(), VaultError> {
        let bytes = serde_json::to_vec(entries).map_err(|_| VaultError::Failed)?;
        let mut beside = self.0.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let written = private_file(&beside).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &self.0)
        });
        written.map_err(|_| VaultError::Failed)
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    // What a kill left may have other permissions.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl Vault for FileVault {
    fn load(&self, name: &str) -> Result<Option<SecretString>, VaultError> {
        Ok(self.read()?.remove(name).map(SecretString::from))
    }

    fn save(&self, name: &str, value: &SecretString) -> Result<(), VaultError> {
        let mut entries = self.read()?;
        entries.insert(name.to_owned(), value.expose_secret().to_owned());
        self.write(&entries)
    }

    fn delete(&self, name: &str) -> Result<(), VaultError> {
        let mut entries = self.read()?;
        match entries.remove(name) {
            Some(_) => self.write(&entries),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps_and_forgets(vault: &dyn Vault) {
        let load = |name| vault.load(name).unwrap().map(|text| text.expose_secret().to_owned());
        assert_eq!(load("token"), None);
        vault.save("token", &SecretString::from("first")).unwrap();
        vault.save("token", &SecretString::from("second")).unwrap();
        vault.save("other", &SecretString::from("third")).unwrap();
        assert_eq!(load("token").as_deref(), Some("second"));
        vault.delete("token").unwrap();
        vault.delete("token").unwrap();
        assert_eq!((load("token"), load("other").as_deref()), (None, Some("third")));
    }

    #[test]
    fn a_vault_keeps_the_last_value_and_forgets_what_is_deleted() {
        keeps_and_forgets(&MemoryVault::default());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault");
        keeps_and_forgets(&FileVault::new(&path));
        let again = FileVault::new(&path);
        assert_eq!(again.load("other").unwrap().unwrap().expose_secret(), "third");
    }

    #[test]
    fn a_locked_vault_is_unavailable_and_not_empty() {
        let vault = MemoryVault::default();
        vault.save("token", &SecretString::from("first")).unwrap();
        vault.set_locked(true);
        assert_eq!(vault.load("token").unwrap_err(), VaultError::Unavailable);
        assert_eq!(vault.delete("token"), Err(VaultError::Unavailable));
        vault.set_locked(false);
        assert_eq!(vault.names(), ["token"]);
    }

    #[test]
    fn a_malformed_vault_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault");
        fs::write(&path, "no entries").unwrap();
        let vault = FileVault::new(&path);
        assert_eq!(vault.load("token").unwrap_err(), VaultError::Failed);
        assert_eq!(vault.save("token", &SecretString::from("x")), Err(VaultError::Failed));
        assert_eq!(fs::read(&path).unwrap(), b"no entries");
    }

    #[cfg(unix)]
    #[test]
    fn a_vaults_file_is_readable_by_its_owner_only_whatever_a_kill_left() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault");
        fs::write(folder.path().join("vault.new"), "half").unwrap();
        FileVault::new(&path).save("token", &SecretString::from("x")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!folder.path().join("vault.new").exists());
    }
}
