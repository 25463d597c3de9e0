//! Locks that no file stands for.

use crate::environment::{EnvironmentError, Lock, Locks};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Locks in memory, shared by its clones: two submitters over clones exclude each other as two
/// processes do.
#[derive(Clone, Debug, Default)]
pub struct MemoryLocks(Arc<Mutex<HashSet<PathBuf>>>);

impl MemoryLocks {
    fn with<T>(&self, change: impl FnOnce(&mut HashSet<PathBuf>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Locks for MemoryLocks {
    fn try_lock(&self, path: &Path) -> Result<Option<Lock>, EnvironmentError> {
        let taken = self.with(|held| held.insert(path.to_owned()));
        Ok(taken.then(|| Lock::new(Held { locks: self.clone(), path: path.to_owned() })))
    }
}

struct Held {
    locks: MemoryLocks,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.locks.with(|held| held.remove(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_in_memory_excludes_others_until_it_is_dropped() {
        let (locks, path) = (MemoryLocks::default(), Path::new("open"));
        let held = locks.try_lock(path).unwrap();
        assert!(held.is_some() && locks.clone().try_lock(path).unwrap().is_none());
        assert!(locks.try_lock(Path::new("other")).unwrap().is_some());
        drop(held);
        assert!(locks.try_lock(path).unwrap().is_some());
    }
}
