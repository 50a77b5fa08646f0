//! What is measured: a call that issues one ID, and what must be known of it to compare it fairly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quanta::Clock;

/// A call that issues one ID, in loops that the compiler sees whole: one virtual call a loop, not one an ID.
pub(crate) trait Issue: Send + Sync {
    /// Calls `n` times.
    fn run(&self, n: u64);

    /// Calls until told to stop, and says how often.
    fn run_until(&self, stop: &AtomicBool) -> u64;

    /// Calls `n` times and adds the time of each, in units of the clock's counter.
    fn time_each(&self, n: u64, clock: &Clock, times: &mut Vec<u64>);
}

impl<F: Fn() + Send + Sync> Issue for F {
    fn run(&self, n: u64) {
        for _ in 0..n {
            self();
        }
    }

    fn run_until(&self, stop: &AtomicBool) -> u64 {
        let mut calls = 0;
        while !stop.load(Ordering::Relaxed) {
            self();
            calls += 1;
        }
        calls
    }

    fn time_each(&self, n: u64, clock: &Clock, times: &mut Vec<u64>) {
        for _ in 0..n {
            let start = clock.raw();
            self();
            times.push(clock.raw().saturating_sub(start));
        }
    }
}

/// Where the time in an ID comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// Read for each ID.
    True,
    /// Written down by a thread once a millisecond.
    Late,
    /// Counted, not read.
    Invented,
    /// There is none: a floor.
    None,
}

/// How threads may share a generator.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// By `&self`, without a lock.
    LockFree,
    /// By `&self`, with a lock inside.
    LockInside,
    /// Not at all: `&mut self`. The bench puts it behind a `Mutex` where threads share it.
    Mutex,
}

/// One row of the tables.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) time: Time,
    pub(crate) sharing: Sharing,
    /// Calls `n` times on one thread.
    pub(crate) single: Box<dyn FnMut(u64)>,
    /// The same for several threads; none where that says nothing.
    pub(crate) shared: Option<Arc<dyn Issue>>,
}

impl Subject {
    /// A call on a generator that threads share without a lock, on a true clock.
    pub(crate) fn new(name: &'static str, call: impl Fn() + Send + Sync + 'static) -> Self {
        let shared = Arc::new(call);
        let single = Arc::clone(&shared);
        Subject {
            name,
            time: Time::True,
            sharing: Sharing::LockFree,
            single: Box::new(move |n| single.run(n)),
            shared: Some(shared),
        }
    }

    /// A call for one thread alone.
    pub(crate) fn single(name: &'static str, mut call: impl FnMut() + 'static) -> Self {
        let single = move |n| (0..n).for_each(|_| call());
        Subject { single: Box::new(single), shared: None, ..Subject::new(name, || {}) }
    }

    pub(crate) fn time(self, time: Time) -> Self {
        Subject { time, ..self }
    }
}
