//! A sharded generator under leases: the promises of both, also while shards are lost and acquired again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::memory_store::{EPOCH, MemoryStore, Panics};
use pyflake::lease::{LeaseError, LeaseState, LeasedGenerator, OnLost, ShardedLeasedGenerator};
use pyflake::{Clock, Error, ManualClock, Node, Snowflake};

const NOW: u64 = 1_700_000_000_000;
const WINDOW: Duration = Duration::from_millis(300);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn node(pid: u64) -> Node {
    Node::new(pid, 0).unwrap()
}

/// A store with the nodes (1, 0), (2, 0) and so on.
fn store(nodes: u64) -> MemoryStore {
    MemoryStore::new(&(1..=nodes).map(|pid| (pid, 0)).collect::<Vec<_>>())
}

fn sharded(store: &MemoryStore, clock: &ManualClock, shards: usize) -> ShardedLeasedGenerator<ManualClock> {
    let builder = LeasedGenerator::builder(store.clone()).clock(clock.clone()).window(WINDOW);
    builder.max_wait(ms(100)).build_sharded(shards).unwrap()
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::sleep(ms(2));
    }
}

fn held<C: Clock + Clone>(generator: &ShardedLeasedGenerator<C>) -> bool {
    matches!(generator.state(), LeaseState::Held { .. })
}

/// Takes IDs without waiting until there is none.
fn drain(generator: &ShardedLeasedGenerator<ManualClock>) -> (HashMap<Node, Vec<Snowflake>>, Error) {
    let mut ids: HashMap<_, Vec<_>> = HashMap::new();
    loop {
        match generator.try_next_id() {
            Ok(id) => ids.entry(id.node()).or_default().push(id),
            Err(error) => return (ids, error),
        }
    }
}

#[test]
fn all_shards_are_used_up_before_anyone_waits() {
    for shards in [1, 2, 3, 31] {
        let (store, clock) = (store(31), ManualClock::new(NOW));
        let generator = sharded(&store, &clock, shards);
        assert_eq!(generator.shard_count(), shards);
        for _ in 0..3 {
            let (ids, error) = drain(&generator);
            assert_eq!(error, Error::Exhausted { retry_after: ms(1) });
            assert_eq!(ids.len(), shards);
            assert!(ids.values().all(|ids| ids.len() == 4096 && ids.is_sorted_by(|a, b| a < b)));
            clock.advance(1);
        }
        generator.release().unwrap();
        assert!((1..=31).all(|pid| store.row(node(pid)).holder.is_none()));
    }
}

#[test]
fn one_call_renews_all() {
    let (store, clock) = (store(8), ManualClock::new(NOW));
    let generator = sharded(&store, &clock, 8);
    clock.advance(200);
    eventually("all are renewed", || generator.stats().window_left == Some(WINDOW));
    let batches = store.0.batches.lock().unwrap();
    assert!(!batches.is_empty() && batches.iter().all(|&renewals| renewals == 8), "{batches:?}");
}

#[test]
fn a_lost_shard_leaves_the_others_issuing_and_is_acquired_again() {
    let (store, clock) = (store(3), ManualClock::new(NOW));
    let generator = sharded(&store, &clock, 3);
    store.steal(node(2));
    eventually("the loss is seen", || matches!(generator.state(), LeaseState::Degraded { .. }));
    assert!(matches!(generator.last_error().as_deref(), Some(LeaseError::Lost { .. } | LeaseError::NoFreeNode { .. })));
    clock.advance(1);
    for _ in 0..10 {
        let (ids, error) = drain(&generator);
        assert_eq!(error, Error::Exhausted { retry_after: ms(1) });
        assert_eq!(ids.keys().copied().collect::<HashSet<_>>(), HashSet::from([node(1), node(3)]));
        let mut all = vec![Snowflake::default(); 100];
        clock.advance(1);
        generator.fill(&mut all).unwrap();
        assert_eq!(generator.reserve(50).unwrap().len(), 50);
    }
    // The others are renewed all the while.
    clock.advance(250);
    eventually("they are renewed", || generator.stats().window_left == Some(WINDOW));
    store.bury(node(2));
    eventually("it is acquired again", || held(&generator));
    clock.set(NOW + 2000);
    eventually("the windows are renewed", || generator.next_id().is_ok());
    clock.advance(1);
    let (ids, _) = drain(&generator);
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_lost_shard_stays_lost_if_the_user_says_so() {
    let (store, clock) = (store(4), ManualClock::new(NOW));
    let builder = LeasedGenerator::builder(store.clone()).clock(clock).window(WINDOW).on_lost(OnLost::Stop);
    let generator = builder.build_sharded(3).unwrap();
    store.steal(node(1));
    eventually("the loss is seen", || matches!(generator.state(), LeaseState::Degraded { .. }));
    assert!(generator.next_id().is_ok());
    store.steal(node(2));
    store.steal(node(3));
    eventually("all are lost", || generator.state() == LeaseState::Lost);
    assert_eq!(generator.next_id(), Err(Error::LeaseLost));
    assert_eq!(generator.try_next_id(), Err(Error::LeaseLost));
    assert_eq!(generator.reserve(7).map(|block| block.len()), Err(Error::LeaseLost));
    assert_eq!(generator.fill(&mut [Snowflake::default(); 9]), Err(Error::LeaseLost));
    assert_eq!(generator.stats().window_left, Some(Duration::ZERO));
    assert_eq!(store.row(node(4)).token, 0, "no other is acquired");
    assert!(matches!(generator.release(), Err(LeaseError::Lost { .. })));
}

#[test]
fn the_windows_end_and_are_renewed_by_the_call_that_finds_it() {
    let (store, clock) = (store(4), ManualClock::new(NOW));
    let builder = LeasedGenerator::builder(store.clone()).clock(clock.clone()).window(Duration::from_secs(30));
    let generator = builder.build_sharded(4).unwrap();
    clock.advance(24 * 3600 * 1000);
    assert_eq!(generator.next_id().unwrap().timestamp(EPOCH), NOW + 24 * 3600 * 1000);
    store.set_down(true);
    clock.advance(24 * 3600 * 1000);
    assert!(matches!(generator.next_id(), Err(Error::PastLease { .. })));
}

#[test]
fn too_few_nodes_are_given_back() {
    let (store, clock) = (store(3), ManualClock::new(NOW));
    let builder = || LeasedGenerator::builder(store.clone()).clock(clock.clone());
    assert!(matches!(builder().build_sharded(4), Err(LeaseError::NoFreeNode { nodes: 3 })));
    assert!((1..=3).all(|pid| store.row(node(pid)).holder.is_none()));
    for shards in [0, 33, usize::MAX] {
        let refused = builder().build_sharded(shards).unwrap_err();
        assert_eq!(refused.to_string(), format!("{shards} shards are out of range: use 1 to 32"));
    }
    let ahead = builder().max_lead(ms(1)).build_sharded(2).unwrap_err();
    assert!(matches!(ahead, LeaseError::Generator(Error::LeadOutOfRange { limit: Duration::ZERO, .. })));
}

#[test]
fn outcomes_that_are_missing_are_unknown() {
    let (store, clock) = (store(3), ManualClock::new(NOW));
    let generator = sharded(&store, &clock, 3);
    store.0.short.store(true, Ordering::SeqCst);
    eventually("it is seen", || matches!(generator.state(), LeaseState::Degraded { .. }));
    let error = generator.last_error().unwrap().to_string();
    assert_eq!(error, "renewing the leases: the store returned 2 outcomes for 3 renewals");
    store.0.short.store(false, Ordering::SeqCst);
    eventually("all are held", || held(&generator));
    assert_eq!(store.0.lost.load(Ordering::SeqCst), 0);
}

/// A host's clock: the wall's, with a step; simulated, so that each host has timelines of its own, as processes do.
#[derive(Clone)]
struct Host(Arc<AtomicI64>);

impl Clock for Host {
    fn unix_millis(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        u64::try_from(now).unwrap().saturating_add_signed(self.0.load(Ordering::Relaxed))
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

/// A call that begins after another has returned gets no ID of an earlier millisecond, while shards come and go.
#[test]
fn ids_are_sorted_by_millisecond() {
    let (store, latest) = (store(6), AtomicU64::new(0));
    let host = Host(Arc::default());
    let generator = LeasedGenerator::builder(store.clone()).clock(host).window(ms(60)).build_sharded(4).unwrap();
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while start.elapsed() < ms(1500) {
                    let before = latest.load(Ordering::SeqCst);
                    if let Ok(id) = generator.next_id() {
                        assert!(id.timestamp(EPOCH) >= before);
                        latest.fetch_max(id.timestamp(EPOCH), Ordering::SeqCst);
                    }
                }
            });
        }
        for turn in 0..20 {
            thread::sleep(ms(70));
            store.bury(node(turn % 6 + 1));
        }
    });
    assert!(store.0.lost.load(Ordering::SeqCst) > 0);
}

/// Hosts issue on shards while the store fails in every way, nodes are given to others, and clocks step.
fn chaos(store: &MemoryStore, time: Duration, ids_of_a_thread: usize) -> Vec<Snowflake> {
    let hosts: Vec<_> = (0..4)
        .map(|_| {
            let clock = Host(Arc::default());
            let builder = LeasedGenerator::builder(store.clone()).clock(clock.clone()).window(ms(200));
            (builder.max_wait(ms(400)).build_sharded(3).unwrap(), clock)
        })
        .collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let issuers: Vec<_> = hosts
            .iter()
            .flat_map(|(generator, _)| [(generator, 1), (generator, 512)])
            .map(|(generator, piece)| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut ids = Vec::with_capacity(ids_of_a_thread);
                    let mut batch = vec![Snowflake::default(); piece];
                    while !stop.load(Ordering::Relaxed) && ids.len() < ids_of_a_thread {
                        // In bursts that need all shards, and paced so that it goes on to the end.
                        thread::sleep(ms(10));
                        for _ in 0..12_288 / piece {
                            if piece == 1 {
                                ids.extend(generator.next_id().ok());
                            } else if generator.fill(&mut batch).is_ok() {
                                ids.extend_from_slice(&batch);
                            }
                        }
                    }
                    ids
                })
            })
            .collect();
        let start = Instant::now();
        let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
        while start.elapsed() < time {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (kind, value) = (dice >> 61, dice >> 32 & 0xffff);
            match kind {
                0 => store.set_panics(if value % 2 == 0 { Panics::Before } else { Panics::After }),
                1 => store.set_down(true),
                2 => store.set_deaf(true),
                // The holders of two nodes find others in their places.
                3 | 4 | 6 => [value, value / 12].map(|pid| pid % 12 + 1).iter().for_each(|&pid| store.bury(node(pid))),
                5 => hosts[(value % 4) as usize].1.0.store((value % 300).cast_signed() - 150, Ordering::Relaxed),
                _ => {}
            }
            thread::sleep(ms(value % 20));
            store.set_panics(Panics::Never);
            store.set_down(false);
            store.set_deaf(false);
            thread::sleep(ms(value % 30));
        }
        stop.store(true, Ordering::Relaxed);
        issuers.into_iter().flat_map(|issuer| issuer.join().unwrap()).collect()
    })
}

fn duplicates(mut ids: Vec<Snowflake>) -> (usize, usize) {
    let issued = ids.len();
    ids.sort_unstable();
    ids.dedup();
    (issued, issued - ids.len())
}

#[test]
fn no_id_twice_in_chaos() {
    let store = store(12);
    let (issued, twice) = duplicates(chaos(&store, ms(4000), 6_000_000));
    println!("{issued} IDs, {twice} twice, {} losses", store.0.lost.load(Ordering::SeqCst));
    assert_eq!(twice, 0);
    assert!(issued > 100_000 && store.0.lost.load(Ordering::SeqCst) > 0);
}

/// A store that forgets the floors, which are all that keeps holders apart.
#[test]
fn negative_control_a_store_that_forgets_floors() {
    let store = store(12);
    store.0.forgetful.store(true, Ordering::SeqCst);
    let (issued, twice) = duplicates(chaos(&store, ms(3000), 6_000_000));
    println!("{issued} IDs, {twice} twice");
    assert!(twice > 0);
}
