//! A time that a thread writes down: the words that it shares with its readers, and when it runs.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// The last time that was written down, and who needs it.
///
/// The thread runs while there are users. It stops by itself when it finds none, and whoever comes first after that is
/// told to start another one.
#[derive(Debug)]
pub(crate) struct Ticker {
    /// Unix milliseconds; 0 where no thread writes it. On a line of its own, which is written a thousand times a second.
    now: CachePadded<AtomicU64>,
    /// How many users there are, and RUNNING.
    users: AtomicU64,
}

const RUNNING: u64 = 1 << 63;

impl Ticker {
    pub(crate) fn new() -> Self {
        Ticker { now: CachePadded::new(AtomicU64::new(0)), users: AtomicU64::new(0) }
    }

    /// The time that was written last, if a thread is writing it.
    #[inline]
    pub(crate) fn now(&self) -> Option<u64> {
        // Relaxed: a time is one word, and tells of nothing else.
        match self.now.load(Ordering::Relaxed) {
            0 => None,
            now => Some(now),
        }
    }

    /// Moves the time forward to `now` at least, if a thread is writing it.
    pub(crate) fn push(&self, now: u64) {
        // Relaxed: as in `now`. A thread that stops wipes the time, and nobody but a thread writes a first one.
        let _ =
            self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| (old != 0 && old < now).then_some(now));
    }

    /// One user more; whether it must start a thread that calls [`tick`](Self::tick).
    pub(crate) fn enter(&self) -> bool {
        self.users.fetch_add(1, Ordering::Relaxed);
        // Acquire: with the Release in `tick`, a thread that stops has wiped its time before another one writes.
        self.users.fetch_or(RUNNING, Ordering::Acquire) & RUNNING == 0
    }

    /// The thread could not be started after all.
    pub(crate) fn not_started(&self) {
        self.users.fetch_and(!RUNNING, Ordering::Release);
    }

    /// One user more, beside one whose thread runs; or in the child of a fork, which has none and starts none for a copy.
    pub(crate) fn stay(&self) {
        // Relaxed: the count alone decides.
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// One user less.
    pub(crate) fn leave(&self) {
        // Release: with the Acquire in `tick`, what this user has pushed is wiped.
        self.users.fetch_sub(1, Ordering::Release);
    }

    /// Called by the thread again and again: writes the time down, or answers that the thread must stop.
    pub(crate) fn tick(&self, now: u64) -> bool {
        // Acquire: with the Release in `leave`.
        if self.users.load(Ordering::Acquire) == RUNNING {
            // Wiped before the thread stops, as a time that nobody moves must not be believed.
            self.now.store(0, Ordering::Relaxed);
            // Release: with `enter`. It fails if there is a user again, who was told that a thread runs.
            if self.users.compare_exchange(RUNNING, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
                return false;
            }
        }
        // Relaxed: as in `now`. A reader may have moved it further than this reading.
        self.now.fetch_max(now, Ordering::Relaxed);
        true
    }

    /// The thread is gone: it has panicked, or this is the child of a fork, which has none. Only atomics, so it may call this.
    pub(crate) fn orphan(&self) {
        self.now.store(0, Ordering::Relaxed);
        // Release: as in `tick`, before another thread writes.
        self.users.fetch_and(!RUNNING, Ordering::Release);
    }
}
