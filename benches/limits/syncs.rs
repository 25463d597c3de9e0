//! Counts what SQLite asks of the disk: a VFS that passes everything on to the platform's own.

#![expect(
    unsafe_code,
    reason = "a VFS is a table of C functions; each of these counts and calls the platform's own"
)]

use rusqlite::ffi::{
    SQLITE_OK, sqlite3_file, sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find,
    sqlite3_vfs_register,
};
use std::ffi::{c_char, c_int};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};

static SYNCS: AtomicUsize = AtomicUsize::new(0);

/// The platform's VFS, and each of its tables of file methods with its copy that counts: files that
/// are locked have another table than logs, but all sync alike.
struct Passed {
    vfs: *mut sqlite3_vfs,
    methods: Mutex<Vec<(&'static sqlite3_io_methods, &'static sqlite3_io_methods)>>,
}

impl Passed {
    fn counting(&self, own: &'static sqlite3_io_methods) -> &'static sqlite3_io_methods {
        let mut methods = self.methods.lock().unwrap();
        if let Some((_, copy)) = methods.iter().find(|(known, _)| ptr::eq(*known, own)) {
            return copy;
        }
        let copy = Box::leak(Box::new(sqlite3_io_methods { xSync: Some(sync), ..*own }));
        methods.push((own, copy));
        copy
    }
}

// SAFETY: SQLite's own tables, which live as long as the process and are only read.
unsafe impl Send for Passed {}
// SAFETY: as above.
unsafe impl Sync for Passed {}

static PASSED: OnceLock<Passed> = OnceLock::new();

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    SYNCS.fetch_add(1, Relaxed);
    let own = PASSED.get().unwrap().methods.lock().unwrap()[0].0;
    // SAFETY: the platform's own function for a file that it opened.
    unsafe { own.xSync.unwrap()(file, flags) }
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let passed = PASSED.get().unwrap();
    // SAFETY: the arguments are SQLite's own, passed on; the file it filled in is valid if it says
    // that it opened it, and its methods are a table that is never freed.
    unsafe {
        let opened = (*passed.vfs).xOpen.unwrap()(passed.vfs, name.cast(), file, flags, out);
        if opened == SQLITE_OK {
            let own: &'static sqlite3_io_methods = &*(*file).pMethods;
            let counting = passed.counting(own);
            (*file).pMethods = ptr::from_ref(counting);
        }
        opened
    }
}

/// Makes the counting VFS the one that is used from now on.
pub(crate) fn count() {
    // SAFETY: the platform's VFS lives as long as the process; the copy is leaked, so it does too.
    unsafe {
        let vfs = sqlite3_vfs_find(ptr::null());
        PASSED.get_or_init(|| Passed { vfs, methods: Mutex::default() });
        let copy = sqlite3_vfs {
            zName: c"counting".as_ptr(),
            xOpen: Some(open),
            pNext: ptr::null_mut(),
            ..*vfs
        };
        assert_eq!(sqlite3_vfs_register(Box::into_raw(Box::new(copy)), 1), SQLITE_OK);
    }
}

/// Syncs so far.
pub(crate) fn syncs() -> usize {
    SYNCS.load(Relaxed)
}
