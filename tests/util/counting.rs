//! A global allocator that counts, for each thread by itself: other threads do not disturb a measurement.

#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this")]
#![expect(unsafe_code, reason = "an allocator cannot be written without")]

use core::cell::Cell;
use std::alloc::{GlobalAlloc, Layout, System};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Calls that asked for memory.
    pub(crate) allocations: u64,
    /// Bytes allocated and not freed.
    pub(crate) live: i64,
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { allocations: 0, live: 0 }) };
}

/// What this thread has allocated in all.
pub(crate) fn count() -> Count {
    COUNT.get()
}

/// What this thread allocates in `work`.
pub(crate) fn count_in<T>(work: impl FnOnce() -> T) -> (Count, T) {
    let before = count();
    let answer = work();
    let after = count();
    let allocations = after.allocations - before.allocations;
    (Count { allocations, live: after.live - before.live }, answer)
}

fn add(allocations: u64, bytes: usize, freed: usize) {
    // Past the end of the thread there is nothing to count for.
    let _ = COUNT.try_with(|count| {
        let old = count.get();
        let live = old.live + i64::try_from(bytes).unwrap_or(0) - i64::try_from(freed).unwrap_or(0);
        count.set(Count { allocations: old.allocations + allocations, live });
    });
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size(), 0);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        add(0, 0, layout.size());
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size(), 0);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(1, size, layout.size());
        // SAFETY: the caller's promise is the same.
        unsafe { System.realloc(memory, layout, size) }
    }
}
