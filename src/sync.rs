//! Atomics and waiting, from std, loom or shuttle. Only this file and `testing` know the two checkers.

#[cfg(not(any(pyflake_loom, pyflake_shuttle)))]
mod imp {
    pub(crate) use core::hint::spin_loop;
    pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    pub(crate) use crossbeam_utils::Backoff;

    #[cfg(feature = "std")]
    pub(crate) use std::thread::sleep;

    /// Without std there is no sleep, so this spins once and returns.
    #[cfg(not(feature = "std"))]
    pub(crate) fn sleep(_: core::time::Duration) {
        spin_loop();
    }
}

#[cfg(any(pyflake_loom, pyflake_shuttle))]
mod imp {
    use core::time::Duration;

    #[cfg(pyflake_loom)]
    use loom as checker;
    #[cfg(pyflake_shuttle)]
    use shuttle as checker;

    #[cfg(pyflake_loom)]
    pub(crate) use checker::hint::spin_loop;
    pub(crate) use checker::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    // Shuttle's `spin_loop` is the one of std, which lets no other thread run.
    #[cfg(pyflake_shuttle)]
    pub(crate) use checker::thread::yield_now as spin_loop;

    /// Replaces crossbeam's `Backoff`. That one yields to the system, where only the checker can
    /// switch threads.
    pub(crate) struct Backoff;

    #[expect(clippy::unused_self, reason = "crossbeam's `Backoff` has a state")]
    impl Backoff {
        pub(crate) fn new() -> Self {
            Backoff
        }

        pub(crate) fn snooze(&self) {
            checker::thread::yield_now();
        }
    }

    /// Lets the other threads run: a model has no wall clock.
    pub(crate) fn sleep(_: Duration) {
        checker::thread::yield_now();
    }
}

/// Whether this is the build of the models.
pub(crate) const MODEL: bool = cfg!(any(pyflake_loom, pyflake_shuttle));

/// A counter for statistics. It is never part of a loom model.
#[derive(Debug, Default)]
pub(crate) struct Counter(core::sync::atomic::AtomicU64);

impl Counter {
    pub(crate) const fn new(count: u64) -> Self {
        Counter(core::sync::atomic::AtomicU64::new(count))
    }

    pub(crate) fn add(&self, count: u64) {
        // Relaxed, here and in `get`: no other data depends on the count.
        self.0.fetch_add(count, core::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(core::sync::atomic::Ordering::Relaxed)
    }
}

pub(crate) use imp::{AtomicU32, AtomicU64, Backoff, Ordering, sleep, spin_loop};
