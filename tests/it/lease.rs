//! The rules of a lease, on a store in memory that fails on demand.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::memory_store::{EPOCH, MemoryStore, Panics};
use pyflake::lease::{LeaseError, LeaseState, LeaseStore, LeasedGenerator, OnLost, Request};
use pyflake::{Error, Generator, ManualClock, Node, Snowflake};

const NOW: u64 = 1_700_000_000_000;
const WINDOW: Duration = Duration::from_millis(300);

/// A generator on a manual clock: its window is where its clock and the store put it, whatever the real time.
fn leased(store: &MemoryStore, clock: &ManualClock) -> LeasedGenerator<ManualClock> {
    let builder = LeasedGenerator::builder(store.clone()).clock(clock.clone());
    builder.window(WINDOW).max_wait(Duration::from_millis(100)).build().unwrap()
}

fn until(generator: &LeasedGenerator<ManualClock>) -> u64 {
    match generator.state() {
        LeaseState::Held { until, .. } => until,
        state => panic!("{state:?}"),
    }
}

/// Waits for something the keeper's thread does.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_window_moves_only_when_the_store_has_acknowledged() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let generator = leased(&store, &clock);
    assert_eq!(until(&generator), NOW + 300);
    // Stored, but not acknowledged: the generator must not use it.
    store.set_deaf(true);
    clock.advance(200);
    eventually("the store has a longer window", || store.row(Node::new(1, 1).unwrap()).until == NOW + 500);
    eventually("the failure is seen", || matches!(generator.state(), LeaseState::Degraded { since: NOW }));
    clock.set(NOW + 300);
    let past = Error::PastLease { end: NOW + 300, until: NOW + 300 };
    assert_eq!(generator.next_id(), Err(past.clone()));
    assert_eq!(generator.try_next_id(), Err(past));
    // The next renewal mends it.
    store.set_deaf(false);
    eventually("it is renewed", || matches!(generator.state(), LeaseState::Held { until, .. } if until == NOW + 600));
    assert_eq!(generator.next_id().unwrap().timestamp(EPOCH), NOW + 300);
}

#[test]
fn an_outage_is_bridged_to_the_end_of_the_window() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let generator = leased(&store, &clock);
    store.set_down(true);
    eventually("the failure is seen", || matches!(generator.state(), LeaseState::Degraded { .. }));
    clock.set(NOW + 299);
    assert_eq!(generator.next_id().unwrap().timestamp(EPOCH), NOW + 299);
    // A run that would leave the window is refused whole.
    let past = Error::PastLease { end: NOW + 300, until: NOW + 300 };
    assert_eq!(generator.reserve(4096).map(|block| block.len()), Err(past));
    assert_eq!(generator.reserve(4095).map(|block| block.len()), Ok(4095));
    assert_eq!(generator.stats().window_left, Some(Duration::from_millis(1)));
}

#[test]
fn a_store_that_panics_ends_issue_with_the_window_and_not_for_good() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let generator = leased(&store, &clock);
    store.set_panics(Panics::Before);
    eventually("it is seen", || matches!(generator.state(), LeaseState::Degraded { since: NOW }));
    clock.set(NOW + 299);
    assert_eq!(generator.next_id().unwrap().timestamp(EPOCH), NOW + 299);
    clock.set(NOW + 300);
    assert_eq!(generator.next_id(), Err(Error::PastLease { end: NOW + 300, until: NOW + 300 }));
    store.set_panics(Panics::Never);
    eventually("it is renewed", || generator.next_id().is_ok());
    generator.release().unwrap();
}

#[test]
fn a_stolen_node_ends_issue_and_another_one_is_acquired() {
    let (store, clock) = (MemoryStore::new(&[(1, 1), (2, 2)]), ManualClock::new(NOW));
    let generator = leased(&store, &clock);
    let first = generator.next_id().unwrap();
    store.steal(first.node());
    eventually(
        "the other node is held",
        || matches!(generator.state(), LeaseState::Held { node, .. } if (node.pid(), node.seed()) == (2, 2)),
    );
    // From the next millisecond on, so that the IDs of this thread go on increasing.
    assert_eq!(generator.try_next_id(), Err(Error::Exhausted { retry_after: Duration::from_millis(1) }));
    clock.advance(1);
    let second = generator.next_id().unwrap();
    assert!(second > first && second.node() == Node::new(2, 2).unwrap());
}

#[test]
fn a_stolen_node_stays_lost_if_the_user_says_so() {
    let (store, clock) = (MemoryStore::new(&[(1, 1), (2, 2)]), ManualClock::new(NOW));
    let builder = LeasedGenerator::builder(store.clone()).clock(clock).window(WINDOW);
    let generator = builder.on_lost(OnLost::Stop).build().unwrap();
    store.steal(Node::new(1, 1).unwrap());
    eventually("it is lost", || generator.state() == LeaseState::Lost);
    assert_eq!(generator.next_id(), Err(Error::LeaseLost));
    assert_eq!(generator.try_next_id(), Err(Error::LeaseLost));
    // What is not ours is not given back.
    drop(generator);
    assert_eq!(store.row(Node::new(1, 1).unwrap()).holder, Some(0));
}

#[test]
fn dropping_gives_the_node_back_from_the_next_millisecond() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let generator = leased(&store, &clock);
    let last = generator.next_id().unwrap();
    generator.release().unwrap();
    assert_eq!(store.row(last.node()).until, NOW + 1);
    // The clock stands still, so the successor cannot issue in a millisecond that its predecessor used.
    let successor = leased(&store, &clock);
    assert_eq!(successor.try_next_id(), Err(Error::Exhausted { retry_after: Duration::from_millis(1) }));
    clock.advance(1);
    assert!(successor.next_id().unwrap() > last);
}

#[test]
fn a_predecessors_window_is_waited_for_or_refused() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    // A holder that dies without a word.
    let request = Request {
        owner: pyflake::lease::Owner { nonce: 7, label: "dead".into() },
        now: NOW,
        window: 300,
        max_floor: u64::MAX,
    };
    store.acquire(&request).unwrap();
    store.0.rows.lock().unwrap().values_mut().for_each(|row| row.holder = None);
    // Its successor's clock is 5 s behind.
    clock.set(NOW - 5000);
    let builder = LeasedGenerator::builder(store.clone()).clock(clock.clone()).window(WINDOW);
    let refused = builder.build().unwrap_err();
    assert!(matches!(refused, LeaseError::ClockBehind { wait, max_wait }
        if wait == Duration::from_millis(5300) && max_wait == Duration::from_secs(1)));
    // The node is free again, and its floor is where it was.
    assert_eq!(store.row(Node::new(1, 1).unwrap()).until, NOW + 300);
    let patient = LeasedGenerator::builder(store).clock(clock.clone()).window(WINDOW);
    let patient = patient.max_wait(Duration::from_secs(10)).build().unwrap();
    assert_eq!(patient.try_next_id(), Err(Error::Exhausted { retry_after: Duration::from_millis(5300) }));
    clock.set(NOW + 300);
    assert_eq!(patient.next_id().unwrap().timestamp(EPOCH), NOW + 300);
}

#[test]
fn a_clock_set_forward_is_followed_by_the_window() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let builder = LeasedGenerator::builder(store).clock(clock.clone()).window(Duration::from_secs(30));
    let generator = builder.build().unwrap();
    clock.advance(24 * 3600 * 1000);
    let id = generator.next_id().unwrap();
    assert_eq!(id.timestamp(EPOCH), NOW + 24 * 3600 * 1000);
}

#[test]
fn no_free_node_is_an_error() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let _holder = leased(&store, &clock);
    let refused = LeasedGenerator::builder(store).clock(clock).build().unwrap_err();
    assert!(matches!(refused, LeaseError::NoFreeNode { nodes: 1 }));
}

#[test]
fn a_node_is_used_with_a_lease_or_without_one_but_never_both() {
    let open = Generator::new(EPOCH, Node::new(21, 21).unwrap()).unwrap();
    let refused = LeasedGenerator::new(MemoryStore::new(&[(21, 21)])).unwrap_err();
    assert!(
        matches!(refused, LeaseError::Generator(Error::NodeInUse { node, leased: false }) if node.index() == 21 * 33)
    );
    drop(open);

    let held = LeasedGenerator::new(MemoryStore::new(&[(22, 22)])).unwrap();
    let node = held.next_id().unwrap().node();
    let in_use = Error::NodeInUse { node: Node::new(22, 22).unwrap(), leased: true };
    assert_eq!(Generator::new(EPOCH, node).unwrap_err(), in_use);
    drop(held);
    assert_eq!(Generator::new(EPOCH, node).unwrap_err(), in_use);
}

/// Two leases of one process on one node, as a store gives them that took the first holder for dead.
#[test]
fn two_leases_of_a_process_never_govern_one_window() {
    let (store, node) = (MemoryStore::new(&[(24, 24)]), Node::new(24, 24).unwrap());
    // Patient, as each attempt finds a window further on.
    let builder = || LeasedGenerator::builder(store.clone()).max_wait(Duration::from_secs(3600));
    // It will not look at its lease for seconds.
    let first = builder().window(Duration::from_secs(30)).on_lost(OnLost::Stop).build().unwrap();
    first.next_id().unwrap();
    store.bury(node);
    // It would open and close the window of the first, and give back a node that the first still issues from.
    let refused = builder().build().unwrap_err();
    assert!(matches!(refused, LeaseError::Generator(Error::NodeInUse { node: other, leased: true }) if other == node));
    assert!(first.next_id().is_ok(), "inside its own window");

    let (store, node) = (MemoryStore::new(&[(25, 25)]), Node::new(25, 25).unwrap());
    let builder = || LeasedGenerator::builder(store.clone()).window(WINDOW).max_wait(Duration::from_secs(5));
    let first = builder().on_lost(OnLost::Stop).build().unwrap();
    store.bury(node);
    eventually("it is lost", || first.state() == LeaseState::Lost);
    let second = builder().build().unwrap();
    let id = second.next_id().unwrap();
    assert_eq!(first.next_id(), Err(Error::LeaseLost));
    // The first issues from the same timeline: a thread of it that is in the middle of a claim finds that closed.
    second.release().unwrap();
    assert_eq!(store.row(node).until, id.timestamp(EPOCH) + 1);
    drop(first);
}

#[test]
fn a_lease_that_was_lost_is_not_given_back() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let generator = LeasedGenerator::builder(store.clone()).clock(clock).window(WINDOW).build().unwrap();
    store.steal(Node::new(1, 1).unwrap());
    eventually("it is lost", || generator.state() == LeaseState::Lost);
    assert_eq!(generator.stats().window_left, Some(Duration::ZERO));
    assert!(generator.last_error().is_some());
    assert!(matches!(generator.release(), Err(LeaseError::Lost { .. })));
}

#[test]
fn the_longest_window_is_a_day() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let generator = LeasedGenerator::builder(store).clock(clock).window(Duration::MAX).build().unwrap();
    assert_eq!(until(&generator), NOW + 24 * 3600 * 1000);
}

#[test]
fn an_id_that_lies_ahead_is_refused_at_the_door() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let known = Snowflake::from_parts(EPOCH, NOW + 60_000, Node::new(1, 1).unwrap(), 0).unwrap();
    let builder = LeasedGenerator::builder(store.clone()).clock(clock).resume_after(known);
    let refused = builder.build().unwrap_err();
    assert!(matches!(refused, LeaseError::ClockBehind { wait, .. } if wait == Duration::from_millis(60_001)));
    assert_eq!(store.row(known.node()).holder, None, "given back");
}

#[test]
fn a_run_that_no_window_can_hold_is_refused_at_once() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let builder = LeasedGenerator::builder(store).clock(clock).window(WINDOW);
    let generator = builder.max_wait(Duration::from_secs(60)).build().unwrap();
    let start = Instant::now();
    assert!(matches!(generator.reserve(4096 * 301).map(drop), Err(Error::PastLease { .. })));
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_node_may_be_held_again_and_again() {
    let store = MemoryStore::new(&[(23, 23)]);
    let mut last = Snowflake::default();
    for _ in 0..20 {
        let generator = LeasedGenerator::builder(store.clone()).window(WINDOW).build().unwrap();
        for _ in 0..100 {
            let id = generator.next_id().unwrap();
            assert!(id > last);
            last = id;
        }
    }
}

#[test]
fn records_and_batches() {
    let (store, clock) = (MemoryStore::new(&[(1, 1)]), ManualClock::new(NOW));
    let generator = leased(&store, &clock);
    let idx: Vec<_> = generator.records().take(3).map(|record| record.unwrap().idx).collect();
    assert_eq!(idx, [1, 2, 3]);
    let mut ids = [Snowflake::default(); 10];
    generator.fill(&mut ids).unwrap();
    assert!(ids.is_sorted());
}

#[test]
fn nothing_at_or_below_a_known_id_is_issued() {
    let clock = ManualClock::new(NOW);
    let node = Node::new(1, 1).unwrap();
    let known = Snowflake::from_parts(EPOCH, NOW + 2, Node::new(31, 31).unwrap(), 7).unwrap();
    let generator = Generator::builder(EPOCH, node).clock(clock.clone()).resume_after(known).build().unwrap();
    assert_eq!(generator.try_next_id(), Err(Error::Exhausted { retry_after: Duration::from_millis(3) }));
    clock.set(NOW + 3);
    assert!(generator.next_id().unwrap() > known);
    // The negative control: without it, the clock alone decides.
    clock.set(NOW);
    let naive = Generator::builder(EPOCH, node).clock(clock).build().unwrap();
    assert!(naive.next_id().unwrap() < known);
}

#[test]
fn a_process_may_keep_its_store() {
    let store = Arc::new(MemoryStore::new(&[(1, 1), (2, 2)]));
    let boxed: Box<dyn LeaseStore> = Box::new(Arc::clone(&store));
    let clock = ManualClock::new(NOW);
    let build = |store: Box<dyn LeaseStore>| LeasedGenerator::builder(store).clock(clock.clone()).build().unwrap();
    let generator = build(boxed);
    let node = generator.next_id().unwrap().node();
    assert!(store.row(node).holder.is_some());
    generator.release().unwrap();
    assert!(store.row(node).holder.is_none());
}
