//! Helpers of the loom models: exploring a model, and checking the IDs that it issues.
//!
//! A model is a test in `tests/`; `ci/loom.sh` runs all of them. Without `--cfg pyflake_loom` this
//! crate is empty.
//!
//! # The limits of loom
//!
//! Loom sees the atomics of `sync.rs`. It does not see `OnceBox` and `Mutex`, so it does not know
//! their ordering. If one thread makes an atomic and passes it to another thread through one of
//! them, loom reports a false race. The models avoid this: the main thread makes each generator, or
//! a thread reaches it through the client's word that names it. Two threads share a cache segment
//! only if the main thread made it.
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

/// The epoch of the models: a tick equals the clock's reading.
pub const EPOCH: Epoch = Epoch::UNIX;

/// The first tick of the clocks.
pub const TICK: u64 = 10;

/// Explores every interleaving of a model.
pub fn every(model: impl Fn() + Send + Sync + 'static) {
    explore(None, model);
}

/// Explores the interleavings of a model with at most `preemptions` preemptions.
///
/// With three threads or long calls, all interleavings are too many. Nearly all bugs need three
/// preemptions or fewer.
pub fn bounded(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    explore(Some(preemptions), model);
}

fn explore(preemption_bound: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // Set explicitly, so that no environment variable makes a model smaller.
    builder.preemption_bound = preemption_bound;
    builder.max_permutations = None;
    builder.max_duration = None;
    // An atomic of std, which outlives each run of the model.
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

/// Makes a generator on a simulated clock, so with its own timeline.
///
/// Its `max_wait` is an hour: the limit is in real time, and a model has none.
///
/// # Panics
///
/// If the generator cannot be built.
pub fn generator<C: Clock>(clock: C) -> Arc<Generator<C>> {
    let node = Node::new(1, 2).expect("in range");
    let builder = Generator::builder(EPOCH, node).clock(clock).max_wait(Duration::from_secs(3600));
    Arc::new(builder.build().expect("a clock past the epoch"))
}

/// Issues all IDs of the clock's millisecond except the last `left`.
///
/// The last of them is issued alone, so the next claim is an addition.
///
/// # Panics
///
/// If too few IDs are left.
pub fn leave<C: Clock>(generator: &Generator<C>, left: u64) {
    let block = usize::try_from(IDS_PER_TICK - left - 1).expect("a number of IDs");
    assert_eq!(generator.reserve(block).map(|block| block.len()), Ok(block));
    assert!(generator.next_id().is_ok());
}

/// Runs a closure on a shared value in a new thread.
pub fn start<T: 'static, R: 'static>(shared: &Arc<T>, run: impl FnOnce(&T) -> R + 'static) -> JoinHandle<R> {
    let shared = Arc::clone(shared);
    spawn(move || run(&shared))
}

/// Waits for a thread.
///
/// # Panics
///
/// If the thread panicked.
#[expect(clippy::must_use_candidate, reason = "some callers need no result")]
pub fn join<R>(thread: JoinHandle<R>) -> R {
    thread.join().expect("it did not panic")
}

/// Issues `N` IDs, one by one.
///
/// # Panics
///
/// If a call fails.
pub fn ids<const N: usize, C: Clock>(generator: &Generator<C>) -> [Snowflake; N] {
    core::array::from_fn(|_| generator.next_id().expect("an ID"))
}

/// Checks that each thread's IDs increase, and that no ID was issued twice.
///
/// # Panics
///
/// If a check fails.
pub fn assert_unique<T: Copy + Ord + Hash + Debug>(threads: &[&[T]]) {
    for ids in threads {
        assert!(ids.is_sorted_by(|a, b| a <= b), "a thread's IDs went back: {threads:?}");
    }
    let mut seen = HashSet::new();
    for id in threads.iter().copied().flatten() {
        assert!(seen.insert(*id), "{id:?} was issued twice: {threads:?}");
    }
}
