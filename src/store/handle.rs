//! The store as async code reaches it: one writer, one reader beside it, off the executor's
//! threads. A read does not wait behind a long write.

use super::{Store, StoreError};
use crate::blocking::{Blocking, Lost, blocking};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store shared by the SDK's tasks. Work runs on tokio's blocking threads.
#[derive(Clone, Debug)]
pub struct StoreHandle(Arc<Shared>);

/// Whoever holds both locks took the writer's first.
#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// `None` while closed.
    writer: Mutex<Option<Store>>,
    reader: Mutex<Reader>,
}

#[derive(Debug)]
enum Reader {
    /// Opened by the first read.
    Wanted,
    Closed,
    Open(Store),
}

/// A panic in earlier work does not poison a store: every method is a transaction of its own.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Blocking<Result<T, E>>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    blocking(work, |lost| match lost {
        Lost::Panicked => Err(StoreError::Internal.into()),
        Lost::Stopped => Err(StoreError::Busy.into()),
    })
}

impl StoreHandle {
    /// Shares `store`.
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Shared {
            path: store.path().to_owned(),
            writer: Mutex::new(Some(store)),
            reader: Mutex::new(Reader::Wanted),
        }))
    }

    /// Runs `work` with the store.
    ///
    /// # Errors
    /// What `work` returns, [`StoreError::Closed`] after [`close`](Self::close),
    /// [`StoreError::Internal`] if it panicked, [`StoreError::Busy`] if the runtime is shutting
    /// down.
    pub fn call<T, E>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, E> + Send + 'static,
    ) -> Blocking<Result<T, E>>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let shared = Arc::clone(&self.0);
        run(move || work(lock(&shared.writer).as_mut().ok_or(StoreError::Closed)?))
    }

    /// Runs `work` that only reads, on a connection of its own: it sees the last finished write.
    ///
    /// # Errors
    /// As [`call`](Self::call), and [`StoreError`] if `work` writes.
    pub fn read<T, E>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, E> + Send + 'static,
    ) -> Blocking<Result<T, E>>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let shared = Arc::clone(&self.0);
        run(move || {
            let mut reader = lock(&shared.reader);
            if matches!(*reader, Reader::Wanted) {
                *reader = Reader::Open(Store::open_to_read(&shared.path)?);
            }
            match &*reader {
                Reader::Open(store) => work(store),
                Reader::Closed | Reader::Wanted => Err(StoreError::Closed.into()),
            }
        })
    }

    /// Waits for the work under way, empties the log into the file, and closes it: nothing is open
    /// afterwards. Closing again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the log could not be emptied; the store is closed all the same, and
    /// nothing is lost.
    pub async fn close(&self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.0);
        run(move || {
            let mut writer = lock(&shared.writer);
            *lock(&shared.reader) = Reader::Closed;
            let Some(mut store) = writer.take() else { return Ok(()) };
            match store.checkpoint() {
                // Another process reads: its own checkpoint, or the next, empties the log.
                Err(StoreError::Busy) => Ok(()),
                done => done,
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Scratch, value};
    use std::sync::mpsc;

    fn handle() -> (tempfile::TempDir, StoreHandle) {
        let mut scratch = Scratch::new();
        scratch.ingest("s", (0..10).map(|i| (i * 300, value(100))));
        let (folder, path) = scratch.close();
        (folder, StoreHandle::new(Store::open(&path).unwrap()))
    }

    #[tokio::test]
    async fn a_read_does_not_wait_behind_a_long_write() {
        let (_folder, handle) = handle();
        let (at_work, seen) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let writer = handle.clone();
        let write = tokio::spawn(async move {
            writer
                .call(move |store| {
                    let tx = store.write()?;
                    tx.execute("DELETE FROM readings", [])?;
                    at_work.send(()).unwrap();
                    ended.recv().unwrap();
                    tx.commit().map_err(StoreError::from)
                })
                .await
        });
        tokio::task::spawn_blocking(move || seen.recv().unwrap()).await.unwrap();
        let all = crate::glucose::Window::from_unix(0, i64::MAX).unwrap();
        let count = handle.read(move |store| store.count(all)).await;
        assert_eq!(count.unwrap(), 10, "as it was before the write");
        end.send(()).unwrap();
        write.await.unwrap().unwrap();
        assert_eq!(handle.read(move |store| store.count(all)).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn closed_it_says_so_and_no_file_of_it_is_open() {
        let (folder, handle) = handle();
        handle.read(Store::extent).await.unwrap();
        handle.close().await.unwrap();
        handle.close().await.unwrap();
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names(), 1, "the database alone, without a log");
        assert!(matches!(handle.read(Store::extent).await, Err(StoreError::Closed)));
        assert!(matches!(handle.call(|s| s.extent()).await, Err(StoreError::Closed)));
    }

    #[tokio::test]
    async fn the_reader_refuses_to_write() {
        let (_folder, handle) = handle();
        let sql = "DELETE FROM readings";
        let refused = handle.read(move |store| Ok(store.db.execute(sql, [])?)).await;
        assert!(matches!(refused, Err(StoreError::Disk(_))));
    }
}
