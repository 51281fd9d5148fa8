//! The system's allocator, which counts what each thread asks of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has asked for memory so far.
pub(super) fn count() -> u64 {
    COUNT.with(Cell::get)
}

/// Counts, and leaves the rest to the system.
#[derive(Debug)]
pub(super) struct Counting;

#[expect(unsafe_code, reason = "an allocator cannot be had without; it hands everything on")]
// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add();
        // SAFETY: the caller keeps the rules of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the rules of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        add();
        // SAFETY: the caller keeps the rules of `realloc`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// One more; a thread that ends may allocate when its counter is gone.
fn add() {
    COUNT.try_with(|count| count.set(count.get() + 1)).unwrap_or_default();
}
