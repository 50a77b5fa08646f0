//! The cached time of the coarse clock, and the protocol of the thread that updates it.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// A cached time, and the number of its users.
///
/// The thread runs while there are users. It stops when it finds none. The next user to enter
/// starts another thread.
#[derive(Debug)]
pub(crate) struct Ticker {
    /// Unix milliseconds; 0 while no thread updates it. It is written a thousand times a second, so
    /// it has its own cache line.
    now: CachePadded<AtomicU64>,
    /// The number of users, and the flag RUNNING: a thread runs, or is about to.
    users: AtomicU64,
}

const RUNNING: u64 = 1 << 63;

impl Ticker {
    pub(crate) fn new() -> Self {
        Ticker { now: CachePadded::new(AtomicU64::new(0)), users: AtomicU64::new(0) }
    }

    /// The cached time; `None` if no thread updates it.
    #[inline]
    pub(crate) fn now(&self) -> Option<u64> {
        // Relaxed: the time is one word, and it publishes no other data.
        match self.now.load(Ordering::Relaxed) {
            0 => None,
            now => Some(now),
        }
    }

    /// Moves the cached time forward to at least `now`. Does nothing if no thread updates it.
    pub(crate) fn push(&self, now: u64) {
        // Relaxed: as in `now`. The time stays 0 after a thread has stopped: only a thread stores a
        // first time.
        let _ =
            self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| (old != 0 && old < now).then_some(now));
    }

    /// Adds a user. Returns whether the caller must start the thread that calls
    /// [`tick`](Self::tick).
    pub(crate) fn enter(&self) -> bool {
        // Relaxed: the next operation is on the same word.
        self.users.fetch_add(1, Ordering::Relaxed);
        // Acquire: pairs with the Release operations in `tick`, `not_started` and `orphan`. A
        // thread that stops has cleared its time before a new thread stores one.
        self.users.fetch_or(RUNNING, Ordering::Acquire) & RUNNING == 0
    }

    /// Clears RUNNING after a failure to start the thread.
    pub(crate) fn not_started(&self) {
        // Release: pairs with the Acquire in `enter`. No thread ran, so there is no time to clear.
        self.users.fetch_and(!RUNNING, Ordering::Release);
    }

    /// Adds a user without starting a thread, for a clone of a clock.
    ///
    /// The thread of the original runs. In the child of a fork there is none, and a clone starts
    /// none.
    pub(crate) fn enter_clone(&self) {
        // Relaxed: a user publishes nothing when it enters.
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes a user.
    pub(crate) fn leave(&self) {
        // Release: pairs with the Acquire load in `tick`. So the thread clears a time that this
        // user has pushed.
        self.users.fetch_sub(1, Ordering::Release);
    }

    /// Stores `now`; the thread calls this once a millisecond. Returns `false` if the thread must
    /// stop.
    pub(crate) fn tick(&self, now: u64) -> bool {
        // Acquire: pairs with the Release in `leave`; every push of the former users is visible.
        if self.users.load(Ordering::Acquire) == RUNNING {
            // Clear the time before stopping: a time that no thread updates must not be read.
            // Relaxed: the Release swap below publishes it.
            self.now.store(0, Ordering::Relaxed);
            // Release: pairs with the Acquire in `enter`; publishes the cleared time. Fails if a
            // user has entered meanwhile: that user relies on this thread.
            if self.users.compare_exchange(RUNNING, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
                return false;
            }
        }
        // Relaxed: as in `now`. `fetch_max`, because a user may have pushed a later time.
        self.now.fetch_max(now, Ordering::Relaxed);
        true
    }

    /// Clears the time and RUNNING after the thread is gone.
    ///
    /// Called after a panic of the thread, and in the child of a fork, which has no such thread. It
    /// uses atomic operations alone, so it may run inside `fork`.
    pub(crate) fn orphan(&self) {
        // Relaxed: the Release below publishes it.
        self.now.store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `enter`, as in `tick`.
        self.users.fetch_and(!RUNNING, Ordering::Release);
    }
}
