//! 1024 nodes: what a fleet does to one server.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pyflake::Node;
use pyflake::lease::{Grant, LeaseError, LeaseStore, LeasedGenerator, Renewal};

use crate::fleet::{EPOCH, now, own_epoch, request, unique};
use crate::server::{SHARE_OF_A_CORE, Server, Store, leave_free, open, shared};

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

/// Run by hand, on a quiet machine, here with PostgreSQL:
/// `ci/postgres.sh cargo test --release --all-features --test postgres -- --ignored --nocapture renewals_of_1024`.
#[test]
#[ignore = "a measurement of half a minute"]
fn renewals_of_1024_nodes_take_little_of_a_core() {
    // So many connections a pooler makes of them.
    const POOLED: usize = 4;
    const TIME: Duration = Duration::from_secs(20);
    let Some(server) = Server::start() else { return };
    for window in [10_000, 60_000] {
        let name = unique("load");
        let open = |_| open(&server.url(), &name, EPOCH);
        let stores: Vec<_> = (0..POOLED).map(open).collect();
        let (grants, times) = acquire_all(&stores, window);
        // As a keeper does: a third of the window, less an eighth on average.
        let period = Duration::from_millis(window / 3 * 7 / 8);
        let (cpu, start, renewals) = (server.cpu(), Instant::now(), AtomicU32::new(0));
        thread::scope(|scope| {
            for (index, (store, grants)) in stores.iter().zip(grants.chunks(grants.len() / POOLED)).enumerate() {
                let renewals = &renewals;
                scope.spawn(move || {
                    let pace = period / u32::try_from(grants.len()).unwrap();
                    let mut next = start + pace * u32::try_from(index).unwrap() / u32::try_from(POOLED).unwrap();
                    let mut grants: VecDeque<Grant> = grants.iter().cloned().collect();
                    while start.elapsed() < TIME {
                        thread::sleep(next.saturating_duration_since(Instant::now()));
                        next += pace;
                        let grant = grants.pop_front().unwrap();
                        grants.push_back(store.renew(&Renewal::new(grant, now() + window)).unwrap());
                        renewals.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let cpu = server.cpu().abs_diff(cpu);
        let share = cpu.as_secs_f64() / start.elapsed().as_secs_f64();
        println!(
            "window {window} ms: {:.2} % of a core for the renewals of 1024 nodes, {:?} for each; acquire p99 {:?}",
            share * 100.0,
            cpu / renewals.into_inner(),
            times[1013]
        );
        if window == 60_000 {
            assert!(share < SHARE_OF_A_CORE, "with a window of a minute");
        }
    }
}
