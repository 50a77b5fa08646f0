//! 1024 nodes: what a fleet does to one server.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pyflake::Node;
use pyflake::lease::{Grant, LeaseError, LeaseStore, LeasedGenerator, Renewal};

use crate::fleet::{EPOCH, now, own_epoch, request, unique};
use crate::server::{BARE_CHANGES, Bare, SHARE_OF_A_CORE, Server, Store, leave_free, open, shared};

/// How many connections the 1024 holders share.
const CONNECTIONS: usize = 32;

/// Acquires every node, all connections at once; the grants, and how long each took, in order.
fn acquire_all(stores: &[Store], window: u64) -> (Vec<Grant>, Vec<Duration>) {
    let (barrier, share) = (Barrier::new(stores.len()), Node::COUNT / stores.len());
    let all: Vec<(Grant, Duration)> = thread::scope(|scope| {
        let work = |store| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let acquire = |_| {
                    let start = Instant::now();
                    (LeaseStore::acquire(store, &request(window)).unwrap(), start.elapsed())
                };
                (0..share).map(acquire).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = stores.iter().map(work).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let (grants, mut times): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    times.sort_unstable();
    (grants, times)
}

#[test]
fn acquires_at_once_get_1024_nodes_and_no_more() {
    let Some(url) = shared() else { return };
    let name = unique("at-once");
    let open = || open(&url, &name, EPOCH);
    let stores: Vec<_> = (0..CONNECTIONS).map(|_| open()).collect();
    let (grants, times) = acquire_all(&stores, 600_000);
    println!("acquire: median {:?}, p99 {:?}, most {:?}", times[512], times[1013], times[1023]);
    assert_eq!(grants.iter().map(|grant| grant.node).collect::<BTreeSet<_>>().len(), Node::COUNT);
    let start = Instant::now();
    let refused = LeasedGenerator::new(open()).unwrap_err();
    assert!(matches!(refused, LeaseError::NoFreeNode { nodes: 1024 }), "{refused}");
    assert!(start.elapsed() < Duration::from_secs(2), "within its timeout: {:?}", start.elapsed());
}

#[test]
fn a_graceful_release_frees_the_node_at_once() {
    let Some(url) = shared() else { return };
    let (name, epoch) = (unique("release"), own_epoch());
    let (second, mut times) = (open(&url, &name, epoch), Vec::new());
    leave_free(&url, &name, 1);
    for _ in 0..5 {
        let generator = LeasedGenerator::new(open(&url, &name, epoch)).unwrap();
        let last = (0..10_000).fold(None, |_, _| Some(generator.next_id().unwrap())).unwrap();
        assert!(matches!(second.acquire(&request(10_000)), Err(LeaseError::NoFreeNode { .. })));
        let start = Instant::now();
        generator.release().unwrap();
        let next = second.acquire(&request(10_000)).unwrap();
        times.push(start.elapsed());
        assert_eq!(next.floor, last.timestamp(epoch) + 1, "the last used tick + 1");
        second.release(&next, next.floor).unwrap();
    }
    println!("released and acquired again in {times:?}");
    // The quickest, as other tests keep the machine busy.
    assert!(times.iter().min().unwrap() < &Duration::from_millis(100), "{times:?}");
}

/// Does something on each connection at a pace for all of them together; how often it was done.
fn paced<T: Send>(connections: &mut [T], pace: Duration, time: Duration, work: impl Fn(&mut T) + Sync) -> u32 {
    let (start, done, count) = (Instant::now(), AtomicU32::new(0), u32::try_from(connections.len()).unwrap());
    thread::scope(|scope| {
        for (number, connection) in (0..).zip(connections) {
            let (done, work) = (&done, &work);
            scope.spawn(move || {
                let mut next = start + pace * number;
                while next < start + time {
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                    work(connection);
                    done.fetch_add(1, Ordering::Relaxed);
                    next += pace * count;
                }
            });
        }
    });
    done.into_inner()
}

/// The renewals of a fleet, and as many of the cheapest changes that last: one key, found by its index, and flushed. They
/// take turns, so that both have the same machine.
///
/// Run by hand, here with PostgreSQL:
/// `ci/postgres.sh cargo test --release --all-features --test postgres -- --ignored --nocapture renewals_of_1024`.
#[test]
#[ignore = "a measurement of a minute and a half"]
fn renewals_of_1024_nodes_take_little_of_a_core() {
    // So many connections a pooler makes of them.
    const POOLED: usize = 4;
    const TURNS: u32 = 10;
    const TURN: Duration = Duration::from_secs(2);
    let Some(server) = Server::start() else { return };
    let mut bare: Vec<_> = (0..POOLED).map(|_| server.bare()).collect();
    for window in [10_000, 60_000] {
        let name = unique("load");
        let open = |_| open(&server.url(), &name, EPOCH);
        let stores: Vec<_> = (0..POOLED).map(open).collect();
        let (grants, times) = acquire_all(&stores, window);
        let grants = grants.chunks(grants.len() / POOLED).map(|grants| grants.iter().cloned().collect());
        let mut holders: Vec<(Store, VecDeque<Grant>)> = stores.into_iter().zip(grants).collect();
        // As a keeper does: a third of the window, less an eighth on average.
        let pace = Duration::from_millis(window / 3 * 7 / 8) / u32::try_from(Node::COUNT).unwrap();
        let mut costs = [Duration::ZERO; 2];
        let mut counts = [0; 2];
        for _ in 0..TURNS {
            let before = server.cpu();
            counts[0] += paced(&mut holders, pace, TURN, |(store, grants)| {
                let grant = grants.pop_front().unwrap();
                grants.push_back(store.renew(&Renewal::new(grant, now() + window)).unwrap());
            });
            let between = server.cpu();
            counts[1] += paced(&mut bare, pace, TURN, Bare::change);
            costs[0] += between.abs_diff(before);
            costs[1] += server.cpu().abs_diff(between);
        }
        let share = costs[0].as_secs_f64() / (TURN * TURNS).as_secs_f64();
        let [renewal, floor] = [0, 1].map(|kind| costs[kind] / counts[kind]);
        let ratio = renewal.as_secs_f64() / floor.as_secs_f64();
        println!(
            "window {window} ms: {:.2} % of a core for the renewals of 1024 nodes, {renewal:?} for each; a bare change takes \
             {floor:?}, so a renewal is {ratio:.2} of them; acquire p99 {:?}",
            share * 100.0,
            times[1013]
        );
        if window == 60_000 {
            assert!(share < SHARE_OF_A_CORE, "with a window of a minute");
        } else {
            assert!(ratio < BARE_CHANGES, "a renewal takes as much as {ratio} bare changes");
        }
    }
}
