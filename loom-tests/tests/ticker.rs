//! Models of the thread of the coarse clock: its start, its stop, and the clearing of its time.
#![cfg(pyflake_loom)]

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom_tests::{bounded, every, join, start};
use pyflake::testing::Ticker;

/// A ticker, and the numbers of threads that started and stopped.
///
/// The users' threads take the turns of the ticker's thread; only its last turn matters.
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

    /// Takes a turn of the thread, if one runs.
    fn turn(&self, now: u64) {
        if self.running() > 0 && !self.ticker.tick(now) {
            self.stopped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn running(&self) -> u64 {
        self.started.load(Ordering::Relaxed) - self.stopped.load(Ordering::Relaxed)
    }
}

/// The last user leaves and its thread takes a turn, while another user enters.
#[test]
fn a_user_that_enters_while_the_last_one_leaves_has_a_thread() {
    every(|| {
        let shared = Shared::new();
        shared.enter();
        shared.turn(1);
        let enters = start(&shared, Shared::enter);
        shared.ticker.leave();
        shared.turn(2);
        join(enters);
        assert_eq!(shared.running(), 1, "the second user must have one thread");
        shared.turn(3);
        assert_eq!(shared.ticker.now(), Some(3));
    });
}

/// A time is never present without a thread that updates it.
#[test]
fn no_time_stays_behind() {
    every(|| {
        let shared = Shared::new();
        shared.enter();
        shared.turn(1);
        let reader = start(&shared, |shared| {
            // Each reader is a user while it pushes.
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
            start(&shared, |shared| {
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

/// Two users push at once: the earlier time does not replace the later one.
#[test]
fn a_user_that_pushes_a_time_reads_it_or_a_later_one() {
    every(|| {
        let shared = Shared::new();
        shared.enter();
        shared.turn(1);
        let other = start(&shared, |shared| shared.ticker.push(5));
        shared.ticker.push(6);
        assert!(shared.ticker.now() >= Some(6), "{:?}", shared.ticker.now());
        join(other);
    });
}

/// A thread that finds no users and stops with a plain store: a user that enters in between has no
/// thread.
#[test]
#[should_panic(expected = "the user has no thread")]
fn negative_control_a_stop_that_does_not_compare() {
    every(|| {
        const RUNNING: u64 = 1 << 63;
        let users = Arc::new(AtomicU64::new(RUNNING));
        let enters = start(&users, |users| users.fetch_add(1, Ordering::SeqCst) & RUNNING == 0);
        let mut stopped = false;
        if users.load(Ordering::SeqCst) == RUNNING {
            users.store(0, Ordering::SeqCst);
            stopped = true;
        }
        let starts_one = join(enters);
        assert!(!stopped || starts_one, "the user has no thread");
    });
}
