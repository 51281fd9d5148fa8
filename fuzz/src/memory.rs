//! How much memory is in use, for the targets that check that something is bounded.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static IN_USE: Cell<usize> = const { Cell::new(0) };
}

/// The bytes that this thread has asked for and not given back, where [`Counted`] is in place.
#[must_use]
pub fn in_use() -> usize {
    IN_USE.get()
}

/// The system's allocator, and a count of what is asked of it.
#[derive(Debug)]
pub struct Counted;

// SAFETY: all is done by the system's allocator, of whose memory the count is no part.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.set(IN_USE.get().wrapping_add(layout.size()));
        // SAFETY: the caller keeps to what this trait demands.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.set(IN_USE.get().wrapping_sub(layout.size()));
        // SAFETY: the caller keeps to what this trait demands.
        unsafe { System.dealloc(at, layout) }
    }
}
