//! The database file: opening it without harm, its size, its checkpoint.
//!
//! A file that is not ours is recognised by its first hundred bytes, before SQLite may touch it or
//! put anything beside it.

use super::{Store, StoreError, repack, schema};
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of SQLite's header.
const HEADER: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Looks at a file that changes each time; after them SQLite's own locks decide.
const LOOKS: u32 = 8;
/// Bytes the write-ahead log keeps after it was reset.
const JOURNAL_LIMIT: i64 = 1 << 20;
/// Free pages given back at each checkpoint.
const PAGES_GIVEN_BACK: i64 = 1024;
/// Distinct statements the store has, and some.
const STATEMENTS: usize = 96;

/// The folder of the database's locks, beside it.
pub(crate) const LOCKS: &str = "-locks";

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What a removal came to; there may have been nothing to remove.
fn removed(result: io::Result<()>) -> Result<(), StoreError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::Disk("a file cannot be removed"))
        }
        _ => Ok(()),
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn number<const N: usize>(header: &[u8], at: usize) -> Option<[u8; N]> {
    header.get(at..at + N)?.try_into().ok()
}

/// Whether a file of this length with this header may be opened: offsets are those of SQLite's file
/// format.
fn inspect(header: &[u8], file_length: u64) -> Result<(), StoreError> {
    let field = |at| number(header, at).map(u32::from_be_bytes).ok_or(StoreError::Corrupt);
    if !header.starts_with(MAGIC) {
        return Err(StoreError::Corrupt);
    }
    // SQLite writes the first page, still without a table or our mark, when it is told to vacuum
    // incrementally: all there is if a kill or another process comes right then.
    let (pages, schema_cookie) = (field(28)?, field(40)?);
    if (field(68)?, field(60)?, schema_cookie) == (0, 0, 0) && pages <= 1 {
        return Ok(());
    }
    if field(68)?.cast_signed() != schema::APPLICATION_ID {
        return Err(StoreError::Corrupt);
    }
    let found = field(60)?;
    if found > schema::KNOWN {
        return Err(StoreError::NewerSchema { found, known: schema::KNOWN });
    }
    let page = match number(header, 16).map(u16::from_be_bytes).ok_or(StoreError::Corrupt)? {
        1 => 65_536,
        size => u64::from(size),
    };
    // The page count holds only where the change counter agrees that it is the last writer's.
    let cut = field(24)? == field(92)? && file_length < u64::from(pages) * page;
    if cut { Err(StoreError::Corrupt) } else { Ok(()) }
}

/// Refuses what is not ours, reading only.
///
/// Another process may be making the file meanwhile: length, header and log are not read at one
/// moment. A verdict against the file stands only if a second look finds all as it was.
fn check(path: &Path) -> Result<(), StoreError> {
    let sizes = || ["", "-wal", "-journal"].map(|suffix| length(&beside(path, suffix)));
    for _ in 0..LOOKS {
        let before = sizes();
        match look(path) {
            Err(StoreError::Corrupt) if before != sizes() => {}
            verdict => return verdict,
        }
    }
    Ok(())
}

fn look(path: &Path) -> Result<(), StoreError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => return Err(StoreError::Disk("the file cannot be opened")),
    };
    let unreadable = |_| StoreError::Disk("the file cannot be read");
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(StoreError::Disk("it is not a file"));
    }
    // A log that a kill left behind has the truth about the file beside it: SQLite recovers first,
    // and the schema step checks again.
    if metadata.len() == 0
        || length(&beside(path, "-wal")) > 0
        || length(&beside(path, "-journal")) > 0
    {
        return Ok(());
    }
    let mut header = Vec::with_capacity(HEADER);
    file.by_ref().take(HEADER as u64).read_to_end(&mut header).map_err(unreadable)?;
    inspect(&header, metadata.len())
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    // Without the URI flag: a path is a path, whatever it begins with.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)?;
    set_up(&db)?;
    schema::prepare(&mut db)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // Apple's fsync returns before the disk has the data unless asked otherwise; elsewhere these do
    // nothing.
    db.pragma_update(None, "fullfsync", true)?;
    db.pragma_update(None, "checkpoint_fullfsync", true)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "journal_size_limit", JOURNAL_LIMIT)?;
    // A name or a frozen body that was deleted is overwritten, not just forgotten.
    db.pragma_update(None, "secure_delete", true)?;
    Ok(db)
}

/// What every connection has, before it reads anything.
fn set_up(db: &Connection) -> Result<(), StoreError> {
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.busy_timeout(Duration::from_secs(5))?;
    // Else another value bound to a limit, or beside a partial index, plans a statement anew.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    Ok(())
}

/// Makes a new file readable by its owner alone; SQLite gives its log the same permissions. Best
/// effort: where it fails, opening says why.
fn keep_private(path: &Path) {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path));
}

impl Store {
    /// Opens the database at `path`, making or migrating it.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] and [`StoreError::Corrupt`], which leave the file as it is and
    /// put nothing beside it; [`StoreError::Disk`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        check(path)?;
        keep_private(path);
        Ok(Self { db: connect(path)?, path: path.to_owned() })
    }

    /// Opens a second connection to a database that is open: it reads, and refuses to write.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        // To be able to read the log's index, SQLite wants it writable.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        set_up(&db)?;
        db.pragma_update(None, "query_only", true)?;
        Ok(Self { db, path: path.to_owned() })
    }

    /// Empties the write-ahead log into the file, so that what was deleted is nowhere to be read.
    /// Best effort: if another process reads for long, its checkpoint or the next one does it.
    pub(super) fn empty_log(&self) -> Result<(), StoreError> {
        let _busy: bool =
            self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Ok(())
    }

    /// Removes the database at `path` with its log and its locks. Nobody may have it open.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if a file cannot be removed.
    pub fn remove(path: &Path) -> Result<(), StoreError> {
        // The database last: what is left of a removal cut short is recognised and removed again.
        for file in ["-wal", "-shm", "-journal", ""].map(|suffix| beside(path, suffix)) {
            removed(std::fs::remove_file(file))?;
        }
        removed(std::fs::remove_dir_all(beside(path, LOCKS)))
    }

    /// Removes the file at `path` as [`remove`](Self::remove) does, although it cannot be opened:
    /// a newer version made it, or it is damaged.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is another program's database, which stays; else as `remove`.
    pub fn remove_unreadable(path: &Path) -> Result<(), StoreError> {
        let mut header = Vec::with_capacity(HEADER);
        let file = File::open(path).and_then(|f| f.take(HEADER as u64).read_to_end(&mut header));
        file.map_err(|_| StoreError::Disk("the file cannot be read"))?;
        let mark = number(&header, 68).map(i32::from_be_bytes);
        if header.starts_with(MAGIC) && mark.is_some_and(|mark| mark != schema::APPLICATION_ID) {
            return Err(StoreError::Corrupt);
        }
        Self::remove(path)
    }

    /// Moves the write-ahead log into the file and empties it, and gives freed pages back: before
    /// the app is suspended.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where another process is reading; nothing is lost then.
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        if repack::is_due(&self.db)? {
            let tx = self.write()?;
            repack::repack(&tx)?;
            tx.commit()?;
        }
        {
            let mut statement =
                self.db.prepare(&format!("PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        let busy: bool =
            self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy { Err(StoreError::Busy) } else { Ok(()) }
    }

    /// Bytes the database takes on disk, its log included.
    ///
    /// # Errors
    /// [`StoreError::Disk`] where the file cannot be found.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        let path = &self.path;
        let file =
            std::fs::metadata(path).map_err(|_| StoreError::Disk("the file cannot be found"))?;
        Ok(file.len() + length(&beside(path, "-wal")) + length(&beside(path, "-shm")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Scratch, value};

    /// Everything in the file's folder, byte for byte.
    fn folder(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
        let mut all: Vec<_> = entries
            .map(|e| e.unwrap().path())
            .map(|p| (p.clone(), std::fs::read(p).unwrap()))
            .collect();
        all.sort();
        all
    }

    fn refused(path: &Path) -> StoreError {
        let before = folder(path);
        let error = Store::open(path).expect_err("must be refused");
        assert!(before == folder(path), "the file and its folder stay byte for byte");
        error
    }

    /// A closed database with a few hundred readings.
    fn closed() -> (tempfile::TempDir, PathBuf) {
        let mut scratch = Scratch::new();
        scratch.ingest("s", (0..2_000).map(|i| (i * 300, value(100))));
        let (folder, path) = scratch.close();
        assert!(!beside(&path, "-wal").exists(), "closing removes the log");
        (folder, path)
    }

    #[test]
    fn what_is_no_database_is_refused_and_left_alone() {
        let (_folder, path) = closed();
        let ours = std::fs::read(&path).unwrap();
        let mut other_mark = ours.clone();
        other_mark[68] ^= 1;
        let contents: [&[u8]; 6] = [
            b"x",
            b"some text that is longer than the header of a database, and then some, \
              to be sure of that, yes",
            &ours[..50],
            &ours[..4096],
            &ours[..ours.len() - 1],
            &other_mark,
        ];
        for content in contents {
            std::fs::write(&path, content).unwrap();
            assert!(matches!(refused(&path), StoreError::Corrupt), "{} bytes", content.len());
        }
    }

    #[test]
    fn a_database_whose_tables_are_unreadable_is_refused_and_left_alone() {
        let (_folder, path) = closed();
        let mut content = std::fs::read(&path).unwrap();
        content[100..4096].fill(0xa5);
        std::fs::write(&path, content).unwrap();
        assert!(matches!(refused(&path), StoreError::Corrupt));
    }

    #[test]
    fn another_apps_database_is_refused_and_left_alone() {
        for (mode, tables) in [
            ("DELETE", "CREATE TABLE notes (text)"),
            ("WAL", "CREATE TABLE notes (text)"),
            ("DELETE", "VACUUM"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("cgm.db");
            let db = Connection::open(&path).unwrap();
            db.pragma_update(None, "journal_mode", mode).unwrap();
            db.execute_batch(tables).unwrap();
            db.close().unwrap();
            if std::fs::metadata(&path).unwrap().len() > 0 {
                assert!(matches!(refused(&path), StoreError::Corrupt), "{mode} {tables}");
            }
        }
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let (_folder, path) = closed();
        let db = Connection::open(&path).unwrap();
        db.pragma_update(None, "user_version", schema::KNOWN + 1).unwrap();
        db.close().unwrap();
        let StoreError::NewerSchema { found, known } = refused(&path) else {
            panic!("refused for another reason");
        };
        assert_eq!((found, known), (schema::KNOWN + 1, schema::KNOWN));
    }

    #[test]
    fn an_empty_file_is_a_new_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cgm.db");
        std::fs::write(&path, "").unwrap();
        let store = Store::open(&path).unwrap();
        let pragma =
            |name| store.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("user_version"), i64::from(schema::KNOWN));
        assert_eq!(pragma("application_id"), i64::from(schema::APPLICATION_ID));
        assert_eq!(
            (pragma("auto_vacuum"), pragma("synchronous"), pragma("foreign_keys")),
            (2, 2, 1)
        );
        assert_eq!(store.extent().unwrap(), None);
    }

    #[test]
    fn a_database_whose_making_was_killed_after_its_first_page_is_made_to_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cgm.db");
        let db = Connection::open(&path).unwrap();
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL").unwrap();
        drop(db);
        assert_eq!(length(&path), 4096, "the first page is there");
        assert_eq!(Store::open(&path).unwrap().extent().unwrap(), None);
    }

    #[test]
    fn a_folder_or_a_missing_folder_is_said_to_be_the_disks() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Disk(_))));
        assert!(matches!(
            Store::open(&folder.path().join("none/cgm.db")),
            Err(StoreError::Disk(_))
        ));
    }

    #[test]
    fn two_stores_share_one_file_and_a_checkpoint_empties_the_log() {
        let mut scratch = Scratch::new();
        let other = Store::open(&scratch.path()).unwrap();
        scratch.ingest("s", (0..2_000).map(|i| (i * 300, value(100))));
        assert_eq!(other.extent().unwrap(), scratch.store.extent().unwrap());
        scratch.store.checkpoint().unwrap();
        assert_eq!(length(&beside(&scratch.path(), "-wal")), 0);
        assert!(scratch.store.size_on_disk().unwrap() >= length(&scratch.path()));
    }

    /// Bytes a reading takes if 20,000 are taken in by calls of so many, in order or newest first.
    fn bytes_a_reading(calls_of: usize, newest_first: bool) -> u64 {
        let mut scratch = Scratch::new();
        scratch.register("s");
        let before = length(&scratch.path());
        let said = |at: i64| value(40 + u32::try_from(at % 361).unwrap());
        let mut readings: Vec<_> =
            (0..20_000).map(|i| crate::store::testing::reading("s", i * 300, said(i))).collect();
        if newest_first {
            readings.reverse();
        }
        for call in readings.chunks(calls_of) {
            scratch.take(call);
        }
        scratch.store.checkpoint().unwrap();
        (length(&scratch.path()) - before) / 20_000
    }

    #[test]
    fn a_reading_takes_at_most_20_bytes_whichever_comes_first() {
        for (calls_of, newest_first) in [(20_000, false), (20_000, true), (200, true)] {
            let bytes = bytes_a_reading(calls_of, newest_first);
            assert!(bytes <= 20, "{bytes} bytes a reading in calls of {calls_of}");
        }
    }

    #[test]
    fn writing_the_table_anew_changes_no_reading_and_keeps_records_unique() {
        use crate::store::testing::{reading, with_record};
        let mut scratch = Scratch::new();
        let mut other = Store::open(&scratch.path()).unwrap();
        scratch.register("s");
        for i in (0..1_100_i64).rev() {
            let said = value(40 + u32::try_from(i % 361).unwrap());
            scratch.take(&[with_record(reading("s", i * 300, said), &format!("r{i}"))]);
        }
        let all = crate::glucose::Window::from_unix(0, i64::MAX).unwrap();
        let samples = |store: &Store| {
            let mut samples = Vec::new();
            store.scan(all, |sample| samples.push(sample)).unwrap();
            samples
        };
        let before = samples(&scratch.store);
        assert!(repack::is_due(&scratch.store.db).unwrap());
        scratch.store.checkpoint().unwrap();
        assert!(!repack::is_due(&scratch.store.db).unwrap());
        assert_eq!(samples(&scratch.store), before);
        assert_eq!(samples(&other), before, "also for who has it open");
        other.set_meta("a", "b").unwrap();
        let moved = scratch.take(&[with_record(reading("s", 7, value(40)), "r0")]);
        assert_eq!((moved.replaced, moved.stored), (1, 0), "the record is found");
        let again = "INSERT INTO reading_records (key, record) SELECT key + 1, record
                     FROM reading_records LIMIT 1";
        assert!(scratch.store.db.execute(again, []).is_err(), "and stays unique");
    }

    #[cfg(unix)]
    #[test]
    fn every_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let mut scratch = Scratch::new();
        scratch.ingest("s", [(0, value(100))].into_iter());
        let mut seen = 0;
        for file in std::fs::read_dir(scratch.path().parent().unwrap()).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
            seen += 1;
        }
        assert_eq!(seen, 3, "the database, its log, the log's index");
    }

    #[test]
    fn who_writes_to_a_database_that_has_no_log_yet_is_waited_for() {
        let (_folder, path) = closed();
        let db = Connection::open(&path).unwrap();
        db.pragma_update(None, "journal_mode", "DELETE").unwrap();
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        std::thread::scope(|scope| {
            let opening = scope.spawn(|| Store::open(&path).map(drop));
            std::thread::sleep(Duration::from_millis(300));
            assert!(!opening.is_finished(), "it waits");
            db.execute_batch("COMMIT").unwrap();
            opening.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_new_database_is_opened_by_many_at_once() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("cgm.db");
            let start = std::sync::Barrier::new(6);
            std::thread::scope(|scope| {
                let open = || {
                    start.wait();
                    Store::open(&path).and_then(|mut store| store.set_meta("a", "b"))
                };
                let threads: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
                for thread in threads {
                    thread.join().unwrap().unwrap();
                }
            });
        }
    }
}
