//! Feature `tracing`: each event once, with its level and its fields, and none where nothing happens.

#[path = "../util/common.rs"]
mod common;
#[cfg(unix)]
#[path = "../util/forked.rs"]
mod forked;
#[path = "../util/memory_store.rs"]
mod memory_store;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use common::{EPOCH, NOW, ms, node};
use memory_store::MemoryStore;
use pyflake::lease::{LeaseError, LeasedGenerator, LeasedGeneratorBuilder, OnLost};
use pyflake::{Error, Generator, ManualClock};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// An event as it was told.
#[derive(Clone, Debug)]
struct Told {
    level: Level,
    target: String,
    /// Of the fields, `message` among them.
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

impl Told {
    fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    fn number(&self, field: &str) -> u64 {
        self.get(field).parse().unwrap()
    }
}

/// All events of this process. Each test tells its own by their node.
static TOLD: Mutex<Vec<Told>> = Mutex::new(vec![]);

/// What is done within each event of the nodes of a pid.
static WITHIN: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();
const WITHIN_PID: u64 = 30;

/// Keeps what it is told, and does something with the library meanwhile.
struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut told =
            Told { level: *metadata.level(), target: metadata.target().to_owned(), fields: BTreeMap::default() };
        event.record(&mut told);
        let within = told.get("pid") == WITHIN_PID.to_string();
        let depth: Option<u64> = told.get("depth").parse().ok();
        TOLD.lock().unwrap().push(told);
        if let Some(depth) = depth.filter(|&depth| depth < 100) {
            naive(depth + 1);
        }
        if let (true, Some(work)) = (within, WITHIN.get()) {
            work();
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// For all threads, as the lease has one of its own.
fn collect() {
    static SET: LazyLock<()> = LazyLock::new(|| tracing::subscriber::set_global_default(Collector).unwrap());
    LazyLock::force(&SET);
}

/// What was told of a node so far.
fn told(pid: u64, seed: u64) -> Vec<Told> {
    let (pid, seed) = (pid.to_string(), seed.to_string());
    TOLD.lock().unwrap().iter().filter(|told| told.get("pid") == pid && told.get("seed") == seed).cloned().collect()
}

/// The levels and the messages.
fn lines(told: &[Told]) -> Vec<(Level, &str)> {
    told.iter().map(|told| (told.level, told.get("message"))).collect()
}

/// Waits for something that another thread does.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::sleep(ms(5));
    }
}

fn generator(pid: u64, seed: u64, clock: &ManualClock) -> Generator<ManualClock> {
    Generator::builder(EPOCH, node(pid, seed)).clock(clock.clone()).max_wait(ms(20)).build().unwrap()
}

#[test]
fn a_million_ids_that_nobody_waits_for_tell_nothing() {
    collect();
    let clock = ManualClock::new(NOW);
    let generator = generator(1, 1, &clock);
    for i in 0..1_000_000 {
        if i % 4000 == 0 {
            clock.advance(1);
        }
        generator.next_id().unwrap();
    }
    assert_eq!(lines(&told(1, 1)), []);
}

#[test]
fn a_wait_is_told_once_however_often_the_clock_is_looked_at() {
    collect();
    let generator = Generator::new(EPOCH, node(1, 2)).unwrap();
    let start = Instant::now();
    generator.reserve(100 * 4096).unwrap();
    let elapsed = start.elapsed();
    let told = told(1, 2);
    assert_eq!(lines(&told), [(Level::TRACE, "waited for a millisecond")]);
    assert_eq!(told[0].target, "pyflake");
    let wait = told[0].number("wait_us");
    assert!(wait > 1000 && u128::from(wait) <= elapsed.as_micros(), "{wait} µs of {elapsed:?}");
}

#[test]
fn a_wait_for_a_clock_that_stands_still_is_told_with_its_error() {
    collect();
    let clock = ManualClock::new(NOW);
    let generator = generator(1, 3, &clock);
    generator.reserve(4096).unwrap();
    assert!(matches!(generator.next_id(), Err(Error::ClockStalled { .. })));
    // A refusal is no wait.
    clock.set(NOW - 1000);
    assert!(matches!(generator.next_id(), Err(Error::WaitTooLong { .. })));
    let told = told(1, 3);
    assert_eq!(lines(&told), [(Level::TRACE, "the wait failed")]);
    assert!(told[0].number("wait_us") >= 20_000 && told[0].get("error").contains("clock"), "{told:?}");
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_wait_that_does_not_block_is_told_too() {
    collect();
    let generator = Generator::new(EPOCH, node(1, 4)).unwrap();
    while told(1, 4).is_empty() {
        generator.next_id_async().await.unwrap();
        // Uses up the millisecond, without a wait.
        while generator.try_next_id().is_ok() {}
    }
    assert_eq!(lines(&told(1, 4)), [(Level::TRACE, "waited for a millisecond")]);
}

/// A lease on one of two nodes, with a window of 300 ms by a clock that stands still.
fn leased(store: &MemoryStore, clock: &ManualClock) -> LeasedGeneratorBuilder<ManualClock> {
    collect();
    LeasedGenerator::builder(store.clone()).clock(clock.clone()).window(ms(300))
}

#[test]
fn a_lease_is_told_from_its_begin_to_its_end() {
    let (store, clock) = (MemoryStore::new(&[(2, 1)]), ManualClock::new(NOW));
    let generator = leased(&store, &clock).build().unwrap();
    let acquired = (Level::INFO, "the lease is acquired");
    assert_eq!(lines(&told(2, 1)), [acquired]);
    assert_eq!(told(2, 1)[0].number("window_ms"), 300);
    clock.advance(200);
    eventually("it is renewed", || generator.stats().window_left == Some(ms(300)));
    assert_eq!(lines(&told(2, 1)), [acquired], "a renewal in time is nothing special");

    // An outage shorter than the window.
    store.set_down(true);
    let degraded = (Level::WARN, "the lease cannot be renewed");
    eventually("the outage is told", || told(2, 1).len() == 2);
    let error = told(2, 1)[1].clone();
    assert_eq!((error.level, error.get("message"), error.number("window_ms")), (degraded.0, degraded.1, 300));
    assert_eq!(error.get("error"), "asking the store: it does not answer");
    // Another ten attempts fail.
    thread::sleep(ms(300));
    store.set_down(false);
    let renewed = (Level::INFO, "the lease is renewed after an outage");
    eventually("it is renewed again", || told(2, 1).len() == 3);
    assert_eq!(lines(&told(2, 1)), [acquired, degraded, renewed]);

    // One that is longer.
    store.set_down(true);
    eventually("the outage is told", || told(2, 1).len() == 4);
    clock.advance(300);
    let ended = (Level::ERROR, "the lease's window has ended: no IDs are issued until it is renewed");
    eventually("the end of the window is told", || told(2, 1).len() == 5);
    thread::sleep(ms(100));
    store.set_down(false);
    eventually("it is renewed again", || told(2, 1).len() == 6);

    generator.release().unwrap();
    let released = (Level::INFO, "the lease is released");
    assert_eq!(lines(&told(2, 1)), [acquired, degraded, renewed, degraded, ended, renewed, released]);
}

#[test]
fn a_lost_lease_and_its_successor_are_told() {
    let (store, clock) = (MemoryStore::new(&[(3, 1), (3, 2)]), ManualClock::new(NOW));
    let generator = leased(&store, &clock).build().unwrap();
    // The other node is taken too, so that none can be had at first.
    store.steal(node(3, 2));
    store.steal(node(3, 1));
    eventually("the loss is told", || told(3, 1).len() == 2);
    let lost = (Level::WARN, "the lease is lost: no IDs are issued until another one is acquired");
    assert_eq!(lines(&told(3, 1)), [(Level::INFO, "the lease is acquired"), lost]);
    assert_eq!(told(3, 1)[1].get("error"), "the lease is lost: another owner");
    let without_node = || {
        let told = TOLD.lock().unwrap();
        let told = told.iter().filter(|told| told.get("message") == "no other lease could be acquired yet");
        told.map(|told| (told.level, told.get("error").to_owned())).collect::<Vec<_>>()
    };
    let error = LeaseError::NoFreeNode { nodes: 2 }.to_string();
    eventually("that there is none is told", || without_node() == [(Level::WARN, error.clone())]);
    thread::sleep(ms(300));
    store.bury(node(3, 2));
    eventually("the other is acquired", || !told(3, 2).is_empty());
    assert_eq!(lines(&told(3, 2)), [(Level::INFO, "the lease is acquired")]);
    assert_eq!(without_node().len(), 1, "once a loss");

    // What the store does not take back is told.
    store.set_down(true);
    eventually("the outage is told", || told(3, 2).len() == 2);
    drop(generator);
    assert_eq!(lines(&told(3, 2)[2..]), [(Level::WARN, "the lease could not be released")]);
}

/// As after a suspension, or by a store that has not answered for so long.
#[test]
fn a_renewal_that_comes_too_late_is_told() {
    let (store, clock) = (MemoryStore::new(&[(2, 2)]), ManualClock::new(NOW));
    let generator = leased(&store, &clock).build().unwrap();
    clock.advance(400);
    eventually("the gap is told", || told(2, 2).len() == 2);
    let late = "the lease was renewed after its window had ended: no IDs were issued in between";
    assert_eq!(lines(&told(2, 2)[1..]), [(Level::WARN, late)]);
    drop(generator);
}

#[test]
fn a_lease_that_is_lost_for_good_is_an_error() {
    let (store, clock) = (MemoryStore::new(&[(4, 1)]), ManualClock::new(NOW));
    let generator = leased(&store, &clock).on_lost(OnLost::Stop).build().unwrap();
    store.steal(node(4, 1));
    eventually("the loss is told", || told(4, 1).len() == 2);
    assert_eq!(lines(&told(4, 1)[1..]), [(Level::ERROR, "the lease is lost: no more IDs are issued")]);
    drop(generator);
    assert_eq!(told(4, 1).len(), 2, "there is nothing to give back");
}

#[test]
fn a_subscriber_may_issue_ids() {
    static GENERATOR: LazyLock<Generator> = LazyLock::new(|| Generator::new(EPOCH, node(WITHIN_PID, 1)).unwrap());
    static ISSUED: Mutex<u64> = Mutex::new(0);

    collect();
    WITHIN.get_or_init(|| {
        Box::new(|| {
            // A lock, as subscribers have: were it told of itself, it would wait for itself.
            let mut issued = ISSUED.try_lock().expect("nothing is told within");
            // More than two milliseconds hold, so there are waits.
            for _ in 0..3 * 4096 {
                GENERATOR.next_id().unwrap();
                *issued += 1;
            }
        })
    });
    GENERATOR.reserve(50 * 4096).unwrap();
    assert_eq!(*ISSUED.lock().unwrap(), 3 * 4096);
    assert_eq!(lines(&told(WITHIN_PID, 1)), [(Level::TRACE, "waited for a millisecond")]);
    // What happens after that is told as ever.
    GENERATOR.reserve(50 * 4096).unwrap();
    assert_eq!(told(WITHIN_PID, 1).len(), 2);
    assert_eq!(*ISSUED.lock().unwrap(), 2 * 3 * 4096);

    // On the thread that keeps a lease it may, too.
    let (store, clock) = (MemoryStore::new(&[(WITHIN_PID, 2)]), ManualClock::new(NOW));
    leased(&store, &clock).build().unwrap().release().unwrap();
    assert_eq!(told(WITHIN_PID, 2).len(), 2);
    assert_eq!(*ISSUED.lock().unwrap(), 4 * 3 * 4096);
}

/// Tells of itself as a library without a guard would.
fn naive(depth: u64) {
    tracing::trace!(target: "naive", depth, "waited");
}

/// The negative control: by itself `tracing` tells a subscriber of what it does, without end.
#[test]
fn the_control_is_told_of_itself() {
    collect();
    naive(1);
    assert_eq!(TOLD.lock().unwrap().iter().filter(|told| told.target == "naive").count(), 100);
}

/// A lock of the subscriber that another thread holds is held in the child for good; `fork` itself must not want it.
#[cfg(unix)]
#[test]
fn nothing_is_told_inside_fork() {
    collect();
    let clock = ManualClock::new(NOW);
    let generator = Generator::new(EPOCH, node(5, 1)).unwrap();
    let waiting = self::generator(5, 2, &clock);
    waiting.reserve(4096).unwrap();
    let held = TOLD.lock().unwrap();
    let child = forked::fork(|| {
        let refused = generator.next_id() == Err(Error::Forked);
        let own = Generator::new(EPOCH, node(5, 3)).unwrap();
        i32::from(!refused || (0..100).any(|_| own.next_id().is_err()))
    });
    assert_eq!(child.wait(), Ok(0));
    // The control: what happens in the child is told there, and waits for that lock.
    let child = forked::fork(|| i32::from(waiting.next_id().is_err()));
    assert!(child.wait_for(ms(1000)).is_err(), "the child does not hang");
    drop(held);
    assert_eq!(lines(&told(5, 1)), []);
}
