//! The common parts of the shuttle models: the explorer, a clock, and the checks of the issued IDs.
//!
//! A model is a test in `tests/`; `ci/shuttle.sh` runs them all. Without `--cfg pyflake_shuttle` everything here is empty.
//!
//! # What shuttle is for
//!
//! loom tries every interleaving, so its models are small. These are too large for that: four threads and more, with a
//! dozen calls each. shuttle runs a model under many random schedules. Half of them choose the next thread at random at
//! each step. The others are PCT's: a thread with a high priority runs until it ends, but for a few random steps where
//! priorities change, which finds a mistake that takes few switches in a long run.
//!
//! # What shuttle does not see
//!
//! Its atomics are sequentially consistent, whatever their ordering says. So it finds no missing memory fence, such as a
//! `Relaxed` where an `Acquire` must be: that is loom's part. The control
//! `a_missing_memory_fence_is_out_of_reach` in `tests/controls.rs` shows it. A *fence* in the models here is the other
//! kind: the floor below which the next holder of a node issues nothing.
//!
//! As with loom, `OnceBox` and `Mutex` are std's, so no thread is switched inside of them, and all threads of a model have
//! one thread-local home.
#![cfg(pyflake_shuttle)]

pub mod window;

use std::collections::HashSet;
use std::env;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyflake::{Clock, Epoch, Generator, GeneratorBuilder, Node, Snowflake};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread::{JoinHandle, spawn};
use shuttle::{Config, Runner};

/// The epoch of the models: a tick is the clock's own number.
pub const EPOCH: Epoch = Epoch::UNIX;

/// The tick that the clocks begin with.
pub const TICK: u64 = 10;

/// How many times PCT changes priorities in a schedule, and one.
const DEPTH: usize = 3;

/// How many schedules a negative control may take.
const CONTROL: usize = 100_000;

/// Runs a model under as many schedules as `PYFLAKE_SHUTTLE_SCHEDULES` says, by default 1000.
///
/// # Panics
///
/// If the model does in any of them; shuttle prints the schedule. Also if the variable is not a number.
pub fn explore(model: impl Fn() + Send + Sync + 'static) {
    let schedules = env::var("PYFLAKE_SHUTTLE_SCHEDULES").map_or(1000, |number| number.parse().expect("a number"));
    run(schedules, model);
}

/// Runs a model that is wrong, until that is found: it belongs into a test that should panic.
///
/// # Panics
///
/// It should.
pub fn find(model: impl Fn() + Send + Sync + 'static) {
    run(CONTROL, model);
}

fn run(schedules: usize, model: impl Fn() + Send + Sync + 'static) {
    let (model, count) = (Arc::new(model), Count::default());
    for turn in 0..2 {
        let half = schedules.div_ceil(2);
        let scheduler: Box<dyn Scheduler + Send> =
            if turn == 0 { Box::new(RandomScheduler::new(half)) } else { Box::new(PctScheduler::new(DEPTH, half)) };
        let mut config = Config::new();
        config.silence_warnings = true;
        let (model, runs) = (Arc::clone(&model), Arc::clone(&count.runs));
        Runner::new(scheduler, config).run(move || {
            runs.fetch_add(1, Ordering::Relaxed);
            model();
        });
    }
}

/// Counts the schedules, and prints how many there were.
struct Count {
    runs: Arc<AtomicUsize>,
    start: Instant,
}

impl Default for Count {
    fn default() -> Self {
        Count { runs: Arc::default(), start: Instant::now() }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let thread = std::thread::current();
        let kind = if std::thread::panicking() { "control" } else { "model" };
        let (runs, time) = (self.runs.load(Ordering::Relaxed), self.start.elapsed());
        println!("{kind} {}: {runs} schedules in {time:.1?}", thread.name().unwrap_or("?"));
    }
}

/// A clock that goes on by half a millisecond each time it is read on the slow path, so also within a wait. Clones show
/// the same time.
#[derive(Clone)]
pub struct TicksInTheWait {
    half_ticks: Arc<shuttle::sync::atomic::AtomicU64>,
    /// The latest time that anybody was shown. std's: it is for the checks, and no step of the model.
    latest: Arc<AtomicU64>,
}

impl TicksInTheWait {
    /// A clock that begins in a tick.
    #[must_use]
    pub fn new(tick: u64) -> Self {
        TicksInTheWait {
            half_ticks: Arc::new(shuttle::sync::atomic::AtomicU64::new(2 * tick)),
            latest: Arc::new(AtomicU64::new(tick)),
        }
    }

    /// Checks that the time of an ID has come.
    ///
    /// # Panics
    ///
    /// If it has not.
    pub fn assert_due(&self, id: Snowflake) {
        let latest = self.latest.load(Ordering::Relaxed);
        assert!(id.tick() <= latest, "{id} is of tick {}, and the time is {latest}", id.tick());
    }
}

impl Clock for TicksInTheWait {
    fn unix_millis(&self) -> u64 {
        let now = self.half_ticks.load(Ordering::SeqCst) / 2;
        self.latest.fetch_max(now, Ordering::Relaxed);
        now
    }

    fn unix_time(&self) -> Duration {
        let half_ticks = self.half_ticks.fetch_add(1, Ordering::SeqCst);
        self.latest.fetch_max(half_ticks / 2, Ordering::Relaxed);
        Duration::from_micros(500 * half_ticks)
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

/// A builder of generators on a made-up clock. They wait for as long as it takes: the limit is in real time, which a
/// model has none of.
///
/// # Panics
///
/// Never: the node is one.
pub fn builder<C: Clock>(clock: C) -> GeneratorBuilder<C> {
    let node = Node::new(1, 0).expect("in range");
    Generator::builder(EPOCH, node).clock(clock).max_wait(Duration::from_secs(3600))
}

/// A number below `n`, as the schedule has it.
#[must_use]
pub fn below(n: u64) -> u64 {
    use shuttle::rand::Rng;

    shuttle::rand::thread_rng().gen_range(0..n)
}

/// Runs a closure on what is shared in a thread of its own.
pub fn fork<T: Send + Sync + 'static, R: Send + 'static>(
    shared: &Arc<T>,
    run: impl FnOnce(&T) -> R + Send + 'static,
) -> JoinHandle<R> {
    let shared = Arc::clone(shared);
    spawn(move || run(&shared))
}

/// Waits for threads.
///
/// # Panics
///
/// If one panicked.
pub fn join<R>(threads: impl IntoIterator<Item = JoinHandle<R>>) -> Vec<R> {
    threads.into_iter().map(|thread| thread.join().expect("it did not panic")).collect()
}

/// Asks what every model asks: each thread's numbers increase, and none was issued twice.
///
/// # Panics
///
/// If that is not so.
pub fn assert_unique<T: Copy + Ord + Hash + Debug>(threads: &[Vec<T>]) {
    let mut seen = HashSet::new();
    for ids in threads {
        assert!(ids.is_sorted(), "a thread's IDs went back: {threads:?}");
        for id in ids {
            assert!(seen.insert(*id), "{id:?} was issued twice: {threads:?}");
        }
    }
}
