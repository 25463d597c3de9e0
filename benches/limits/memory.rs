//! An allocator that counts: how much is in use, and the most that ever was.

#![expect(
    unsafe_code,
    reason = "a global allocator is unsafe by nature; it only counts and passes on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static CURRENT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
pub(crate) struct Counting;

impl Counting {
    /// Forgets the peak.
    pub(crate) fn restart() {
        PEAK.store(CURRENT.load(Relaxed), Relaxed);
    }

    /// Bytes in use.
    pub(crate) fn current() -> usize {
        CURRENT.load(Relaxed)
    }

    /// The most bytes in use since the restart.
    pub(crate) fn peak() -> usize {
        PEAK.load(Relaxed)
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(CURRENT.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CURRENT.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
