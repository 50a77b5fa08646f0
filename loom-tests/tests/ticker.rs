//! The coarse clock's thread: who starts it, when it stops, and that no time stays behind without it.
#![cfg(pyflake_loom)]

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom_tests::{bounded, every, fork, join};
use pyflake::testing::Ticker;

/// The ticker, and how many threads have been started and have stopped. A thread is modelled by its last turn, which the
/// users' threads take for it.
struct Shared {
    ticker: Ticker,
    started: AtomicU64,
    stopped: AtomicU64,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Shared { ticker: Ticker::new(), started: AtomicU64::new(0), stopped: AtomicU64::new(0) })
    }

    fn enter(&self) {
        if self.ticker.enter() {
            self.started.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A turn of the thread, if there is one.
    fn turn(&self, now: u64) {
        if self.running() > 0 && !self.ticker.tick(now) {
            self.stopped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn running(&self) -> u64 {
        self.started.load(Ordering::Relaxed) - self.stopped.load(Ordering::Relaxed)
    }
}

/// The last user leaves, and its thread takes a turn, while another one comes.
#[test]
fn a_user_that_comes_when_the_last_one_leaves_has_a_thread() {
    every(|| {
        let shared = Shared::new();
        shared.enter();
        shared.turn(1);
        let comes = fork(&shared, Shared::enter);
        shared.ticker.leave();
        shared.turn(2);
        join(comes);
        assert_eq!(shared.running(), 1, "the second user has no thread, or two");
        shared.turn(3);
        assert_eq!(shared.ticker.now(), Some(3));
    });
}

/// A time is never there without a thread that moves it.
#[test]
fn no_time_stays_behind() {
    every(|| {
        let shared = Shared::new();
        shared.enter();
        shared.turn(1);
        let reader = fork(&shared, |shared| {
            // Still a user while it pushes, as every reader is.
            shared.ticker.push(5);
            shared.ticker.leave();
        });
        shared.turn(2);
        join(reader);
        shared.turn(3);
        assert_eq!((shared.running(), shared.ticker.now()), (0, None));
    });
}

#[test]
fn the_time_never_goes_back() {
    bounded(3, || {
        let shared = Shared::new();
        shared.enter();
        shared.turn(1);
        let readers = [(); 2].map(|()| {
            fork(&shared, |shared| {
                let before = shared.ticker.now();
                shared.ticker.push(5);
                let after = shared.ticker.now();
                assert!(after >= before && after >= Some(5), "{after:?} after {before:?}");
            })
        });
        shared.turn(3);
        shared.turn(6);
        for reader in readers {
            join(reader);
        }
        assert_eq!(shared.ticker.now(), Some(6));
    });
}

/// A later time is not lost to an earlier one that is written down at the same moment.
#[test]
fn whoever_writes_a_time_down_reads_it_or_a_later_one() {
    every(|| {
        let shared = Shared::new();
        shared.enter();
        shared.turn(1);
        let other = fork(&shared, |shared| shared.ticker.push(5));
        shared.ticker.push(6);
        assert!(shared.ticker.now() >= Some(6), "{:?}", shared.ticker.now());
        join(other);
    });
}

/// A thread that stops by a plain store after it has found no users: a user that came in between waits for nobody.
#[test]
#[should_panic(expected = "nobody runs for it")]
fn negative_control_a_stop_that_does_not_compare() {
    every(|| {
        const RUNNING: u64 = 1 << 63;
        let users = Arc::new(AtomicU64::new(RUNNING));
        let comes = fork(&users, |users| users.fetch_add(1, Ordering::SeqCst) & RUNNING == 0);
        let mut stopped = false;
        if users.load(Ordering::SeqCst) == RUNNING {
            users.store(0, Ordering::SeqCst);
            stopped = true;
        }
        let starts_one = join(comes);
        assert!(!stopped || starts_one, "nobody runs for it");
    });
}
