//! The thread that keeps a lease, beside a store, a clock and a subscriber that fail in every way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::memory_store::{EPOCH, MemoryStore, Panics};
use pyflake::lease::{LeaseError, LeaseState, LeasedGenerator};
use pyflake::{Clock, Error, ManualClock, Node};

const NOW: u64 = 1_700_000_000_000;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::sleep(ms(1));
    }
}

fn held<C: Clock + Clone>(generator: &LeasedGenerator<C>) -> bool {
    matches!(generator.state(), LeaseState::Held { .. })
}

fn on_the_keeper() -> bool {
    thread::current().name() == Some("pyflake-lease")
}

#[test]
fn two_hundred_panics_of_a_store_are_retried() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let builder = LeasedGenerator::builder(store.clone()).clock(clock.clone()).window(ms(30));
    let generator = builder.build().unwrap();
    for turn in 0..200 {
        clock.advance(1 + turn % 7);
        store.set_panics(if turn % 2 == 0 { Panics::Before } else { Panics::After });
        eventually("the panic is seen", || matches!(generator.state(), LeaseState::Degraded { .. }));
        // As many turns as chance has it.
        thread::sleep(ms(turn % 5));
        store.set_panics(Panics::Never);
        let (calls, start) = (store.calls(), Instant::now());
        eventually("it is renewed", || held(&generator));
        // A renewal every 8 to 10 ms: there are more where this thread is held up.
        let limit = 2 + u64::try_from(start.elapsed().as_millis()).unwrap() / 8;
        let made = store.calls() - calls;
        assert!(made <= limit, "{made} calls of at most {limit} in turn {turn}");
        assert_eq!(store.0.lost.load(Ordering::SeqCst), 0, "turn {turn}");
        assert!(generator.next_id().is_ok());
        let error = generator.last_error().unwrap().to_string();
        assert_eq!(error, "renewing the lease: the store panicked: a bug in the store");
    }
    generator.release().unwrap();
    assert_eq!(store.row(Node::new(1, 1).unwrap()).holder, None);
}

#[test]
fn a_panic_while_another_node_is_sought_is_retried() {
    let (store, clock) = (MemoryStore::new(&[(1, 1), (2, 2), (3, 3)]), ManualClock::new(NOW));
    let generator = LeasedGenerator::builder(store.clone()).clock(clock).window(ms(90)).build().unwrap();
    let first = generator.next_id().unwrap().node();
    store.set_panics(Panics::Before);
    store.steal(first);
    thread::sleep(ms(100));
    store.set_panics(Panics::Never);
    eventually("another node is held", || matches!(generator.state(), LeaseState::Held { node, .. } if node != first));
}

#[test]
fn a_panic_at_either_end_is_an_error() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let build = || LeasedGenerator::builder(store.clone()).clock(clock.clone()).build();
    store.set_panics(Panics::Before);
    let refused = build().unwrap_err();
    assert_eq!(refused.to_string(), "acquiring a lease: the store panicked: a bug in the store");
    store.set_panics(Panics::Never);
    let generator = build().unwrap();
    store.set_panics(Panics::Before);
    let refused = generator.release().unwrap_err();
    assert_eq!(refused.to_string(), "releasing the lease: the store panicked: a bug in the store");
}

#[test]
fn a_clock_that_panics_is_read_again() {
    let (store, broken) = (MemoryStore::new(&[(1, 1)]), Arc::new(AtomicBool::new(false)));
    let clock = {
        let broken = Arc::clone(&broken);
        move || {
            assert!(!(broken.load(Ordering::SeqCst) && on_the_keeper()), "a bug in the clock");
            NOW
        }
    };
    let generator = LeasedGenerator::builder(store).clock(clock).window(ms(60)).build().unwrap();
    broken.store(true, Ordering::SeqCst);
    let failed = || generator.last_error().is_some_and(|error| error.to_string().contains("a bug in the clock"));
    eventually("it fails", failed);
    assert!(matches!(generator.state(), LeaseState::Degraded { .. }));
    broken.store(false, Ordering::SeqCst);
    eventually("it is renewed", || held(&generator));
    generator.release().unwrap();
}

/// Polls as a thousand tasks would, and returns how many calls the store had.
fn polled(store: &MemoryStore, generator: &LeasedGenerator<ManualClock>, time: Duration) -> u64 {
    let before = store.calls();
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while start.elapsed() < time {
                    for _ in 0..125 {
                        assert!(matches!(generator.try_next_id(), Err(Error::PastLease { .. })));
                    }
                    thread::sleep(ms(1));
                }
            });
        }
    });
    store.calls() - before
}

/// When any caller could hurry the keeper, there were 6000 calls a second.
#[test]
fn a_thousand_pollers_do_not_hurry_a_store_that_fails() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let generator = LeasedGenerator::builder(store.clone()).clock(clock.clone()).build().unwrap();
    store.set_down(true);
    clock.advance(20_000);
    let start = Instant::now();
    let calls = polled(&store, &generator, ms(3000));
    let seconds = start.elapsed().as_secs();
    assert!(calls <= 2 * (seconds + 1), "{calls} calls in {seconds} s");
}

/// It returns `Ok`, and there are still no IDs.
#[test]
fn a_thousand_pollers_do_not_hurry_a_store_that_is_stuck() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let generator = LeasedGenerator::builder(store.clone()).clock(clock.clone()).build().unwrap();
    store.0.stuck.store(true, Ordering::SeqCst);
    clock.advance(20_000);
    let start = Instant::now();
    let calls = polled(&store, &generator, ms(3000));
    let seconds = start.elapsed().as_secs();
    assert!(calls <= 2 * (seconds + 1), "{calls} calls in {seconds} s");
}

#[test]
fn nodes_that_rest_are_not_asked_for() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let generator = LeasedGenerator::builder(store.clone()).clock(clock).window(ms(30)).build().unwrap();
    store.0.resting.store(60_000, Ordering::SeqCst);
    store.steal(Node::new(1, 1).unwrap());
    eventually("it rests", || matches!(generator.last_error().as_deref(), Some(LeaseError::Resting { .. })));
    let calls = store.calls();
    thread::sleep(ms(500));
    assert_eq!(store.calls(), calls);
    // It is woken to end.
    let start = Instant::now();
    drop(generator);
    assert!(start.elapsed() < ms(20_000));
}

#[test]
fn a_window_that_begins_too_late_is_not_asked_for_again_and_again() {
    let (store, clock) = (MemoryStore::new(&[(1, 1), (2, 2)]), ManualClock::new(NOW));
    let builder = LeasedGenerator::builder(store.clone()).clock(clock).window(ms(30)).max_wait(ms(10));
    let generator = builder.build().unwrap();
    store.0.rows.lock().unwrap().entry(Node::new(2, 2).unwrap()).or_default().until = NOW + 60_000;
    store.steal(Node::new(1, 1).unwrap());
    eventually("it rests", || matches!(generator.last_error().as_deref(), Some(LeaseError::ClockBehind { .. })));
    // The release may be still to come.
    thread::sleep(ms(50));
    let calls = store.calls();
    thread::sleep(ms(500));
    assert_eq!(store.calls(), calls);
}

/// The first node's IDs run ahead of the clock; the second node's come after them.
#[test]
fn the_ids_of_a_thread_increase_when_a_lease_is_lost() {
    let (store, clock) = (MemoryStore::new(&[(2, 2), (1, 1)]), ManualClock::new(NOW));
    let builder = LeasedGenerator::builder(store.clone()).clock(clock).window(ms(4000)).max_lead(ms(2000));
    let generator = builder.build().unwrap();
    let mut last = generator.next_id().unwrap();
    for _ in 0..1600 * 4096 {
        last = generator.next_id().unwrap();
    }
    store.steal(last.node());
    eventually(
        "another node is held",
        || matches!(generator.state(), LeaseState::Held { node, .. } if node != last.node()),
    );
    let next = generator.next_id().unwrap();
    let back = last.timestamp(EPOCH).saturating_sub(next.timestamp(EPOCH));
    assert!(next > last, "{back} ms back");
}
