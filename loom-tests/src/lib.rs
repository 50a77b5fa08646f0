//! What the loom models share: how a model is explored, and what is asked of the IDs it issues.
//!
//! A model is a test in `tests/`; `ci/loom.sh` runs them all. Without `--cfg pyflake_loom` everything here is empty.
//!
//! # What loom sees
//!
//! Atomics that come from `sync.rs`. It does not see `OnceBox` and `Mutex`, so it knows of no order that these
//! establish, and would report a false race where a thread uses an atomic that another made and handed on through one
//! of them. The models keep clear of that: a generator is made by the main thread, or reached through the client's
//! word that names it, and two threads share a cache segment only if the main thread made it.
#![cfg(pyflake_loom)]

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use loom::thread::{JoinHandle, spawn};
use pyflake::layout::IDS_PER_TICK;
use pyflake::{Clock, Epoch, Generator, Node, Snowflake};

/// The epoch of the models: a tick is the clock's own number.
pub const EPOCH: Epoch = Epoch::UNIX;

/// The tick that the clocks begin with.
pub const TICK: u64 = 10;

/// Explores every interleaving of the model.
pub fn every(model: impl Fn() + Send + Sync + 'static) {
    explore(None, model);
}

/// Explores the interleavings with at most so many preemptions: nearly all bugs need three or fewer, and with three
/// threads or long calls there are too many to try every one.
pub fn bounded(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    explore(Some(preemptions), model);
}

fn explore(preemption_bound: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // Set here, so that no variable of the environment makes a model smaller than it says.
    builder.preemption_bound = preemption_bound;
    builder.max_permutations = None;
    builder.max_duration = None;
    // The count is std's: it outlives each run of the model.
    let runs = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&runs);
    let start = Instant::now();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let thread = std::thread::current();
    println!(
        "model {}: {} interleavings in {:.1?}",
        thread.name().unwrap_or("?"),
        runs.load(Ordering::Relaxed),
        start.elapsed()
    );
}

/// A generator on a made-up clock, so with a timeline of its own. It waits for as long as it takes: the limit is in
/// real time, which a model has none of.
///
/// # Panics
///
/// If it cannot be built.
pub fn generator<C: Clock>(clock: C) -> Arc<Generator<C>> {
    let node = Node::new(1, 2).expect("in range");
    let builder = Generator::builder(EPOCH, node).clock(clock).max_wait(Duration::from_secs(3600));
    Arc::new(builder.build().expect("a clock past the epoch"))
}

/// Issues all IDs of the clock's millisecond but `left`, the last one by itself: the next claim is an addition.
///
/// # Panics
///
/// If there are not so many left.
pub fn leave<C: Clock>(generator: &Generator<C>, left: u64) {
    let block = usize::try_from(IDS_PER_TICK - left - 1).expect("a number of IDs");
    assert_eq!(generator.reserve(block).map(|block| block.len()), Ok(block));
    assert!(generator.next_id().is_ok());
}

/// Runs a closure on what is shared in a thread of its own.
pub fn fork<T: 'static, R: 'static>(shared: &Arc<T>, run: impl FnOnce(&T) -> R + 'static) -> JoinHandle<R> {
    let shared = Arc::clone(shared);
    spawn(move || run(&shared))
}

/// Waits for a thread.
///
/// # Panics
///
/// If it panicked.
#[expect(clippy::must_use_candidate, reason = "a thread may be waited for without a result")]
pub fn join<R>(thread: JoinHandle<R>) -> R {
    thread.join().expect("it did not panic")
}

/// Issues `N` IDs, one by one.
///
/// # Panics
///
/// If there is none.
pub fn ids<const N: usize, C: Clock>(generator: &Generator<C>) -> [Snowflake; N] {
    core::array::from_fn(|_| generator.next_id().expect("an ID"))
}

/// Asks what every model asks: each thread's IDs increase, and no ID was issued twice.
///
/// # Panics
///
/// If that is not so.
pub fn assert_unique<T: Copy + Ord + Hash + Debug>(threads: &[&[T]]) {
    for ids in threads {
        assert!(ids.is_sorted_by(|a, b| a <= b), "a thread's IDs went back: {threads:?}");
    }
    let mut seen = HashSet::new();
    for id in threads.iter().copied().flatten() {
        assert!(seen.insert(*id), "{id:?} was issued twice: {threads:?}");
    }
}
