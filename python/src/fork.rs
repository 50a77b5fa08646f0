//! Which process of a line of forks this is.

use std::process;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How many forks lie between this process and the one that imported the module.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// The process that counted last.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Tells this process from its ancestors: the child of a fork gets another number.
///
/// It compares the process's ID, so it needs no hook: also a `fork` by C code is counted.
pub(crate) fn count() -> u64 {
    let process = process::id();
    // Relaxed, all: a child has one thread until it has counted, and inherits what its parent has stored.
    match PROCESS.swap(process, Ordering::Relaxed) {
        0 => FORKS.load(Ordering::Relaxed),
        counted if counted == process => FORKS.load(Ordering::Relaxed),
        _ => FORKS.fetch_add(1, Ordering::Relaxed) + 1,
    }
}
