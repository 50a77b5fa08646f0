//! 1024 nodes: what a fleet does to one server.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use pyflake::lease::{Grant, LeaseError, LeaseState, LeaseStore, LeasedGenerator, PostgresStore};
use pyflake::{Error, Node};

use crate::server::{Server, eventually, leave_free, shared, unique};
use crate::{EPOCH, now, own_epoch, request};

/// How many connections the 1024 holders share.
const CONNECTIONS: usize = 32;

/// Acquires every node, all connections at once; the grants, and how long each took, in order.
fn acquire_all(stores: &[PostgresStore], window: u64) -> (Vec<Grant>, Vec<Duration>) {
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
    let open = || PostgresStore::builder(&url).realm(&name).open(EPOCH).unwrap();
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
    let open = || PostgresStore::builder(&url).realm(&name).open(epoch).unwrap();
    let (first, second) = (open(), open());
    leave_free(&url, &name, 1);
    let generator = LeasedGenerator::new(first).unwrap();
    let last = (0..10_000).fold(None, |_, _| Some(generator.next_id().unwrap())).unwrap();
    assert!(matches!(second.acquire(&request(10_000)), Err(LeaseError::NoFreeNode { .. })));
    let start = Instant::now();
    generator.release().unwrap();
    let next = second.acquire(&request(10_000)).unwrap();
    let took = start.elapsed();
    println!("released and acquired again in {took:?}");
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(next.floor, last.timestamp(epoch) + 1, "the last used tick + 1");
}

/// A standby that was promoted without the last windows: what was issued in them is not issued again.
#[test]
fn a_failover_that_loses_windows_repeats_nothing() {
    let Some(primary) = Server::start("") else { return };
    let epoch = own_epoch();
    let open = |server: &Server| PostgresStore::builder(&server.url()).max_skew(Duration::from_secs(1)).open(epoch);
    let store = open(&primary).unwrap();
    leave_free(&primary.url(), "default", 2);
    let builder = || LeasedGenerator::builder(open(&primary).unwrap()).window(Duration::from_secs(3));
    let generator = builder().build().unwrap();
    let LeaseState::Held { node, until } = generator.state() else { panic!("{:?}", generator.state()) };
    drop(store);
    primary.stop();
    // All that the standby will ever know.
    let standby = primary.copy();
    primary.up();
    eventually(
        "it is renewed past what the standby knows",
        || matches!(generator.state(), LeaseState::Held { until: renewed, .. } if renewed > until),
    );
    let renewed = generator.next_id().unwrap();
    // Another takeover that the standby knows nothing of.
    let taken = open(&primary).unwrap().acquire(&request(3000)).unwrap();
    primary.crash();
    let last = loop {
        match generator.next_id() {
            Err(Error::PastLease { .. }) => break now(),
            answer => answer.map(drop).unwrap(),
        }
        thread::sleep(Duration::from_millis(1));
    };
    assert!(last > renewed.timestamp(epoch));

    standby.promote();
    let store = open(&standby).unwrap();
    let before = now();
    let floors: Vec<Grant> = (0..2).map(|_| store.acquire(&request(3000)).unwrap()).collect();
    assert!(floors.iter().any(|grant| grant.node == node) && floors.iter().any(|grant| grant.node == taken.node));
    for grant in &floors {
        // The window and twice the skew.
        assert!(grant.floor >= before + 3000 + 2000 - 5, "{grant:?} at {before}");
        assert!(grant.floor > last.max(taken.until), "{grant:?}");
    }
    // The lease that the standby never heard of, and one that it knows, are lost there.
    assert!(matches!(store.renew(&taken, taken.until), Err(LeaseError::Lost { .. })));
    // It rests once.
    for grant in &floors {
        store.release(grant, grant.floor).unwrap();
    }
    let again = store.acquire(&request(3000)).unwrap();
    assert_eq!(again.floor, floors.iter().map(|grant| grant.floor).min().unwrap());
}

/// What a holder is told that goes on with another server.
#[test]
fn a_lease_ends_at_a_failover() {
    let Some(server) = Server::start("") else { return };
    let store = PostgresStore::open(&server.url(), EPOCH).unwrap();
    let grant = store.acquire(&request(60_000)).unwrap();
    server.stop();
    server.up();
    // The connection is gone, which is noticed before it is used.
    let grant = store.renew(&grant, grant.until + 1).unwrap();
    server.stop();
    server.promote();
    let lost = store.renew(&grant, grant.until + 1).unwrap_err();
    assert!(matches!(lost, LeaseError::Lost { .. }) && lost.to_string().contains("failover"), "{lost}");
    let next = store.acquire(&request(60_000)).unwrap();
    assert!(next.floor > now() + 60_000, "{next:?}");
}

/// Run by hand, on a quiet machine:
/// `ci/postgres.sh cargo test --release --all-features --test postgres -- --ignored --nocapture renewals_of_1024`.
#[test]
#[ignore = "a measurement of half a minute"]
fn renewals_of_1024_nodes_take_little_of_a_core() {
    // So many connections a pooler makes of them.
    const POOLED: usize = 4;
    const TIME: Duration = Duration::from_secs(20);
    let Some(server) = Server::start("shared_buffers = 128MB") else { return };
    for window in [10_000, 60_000] {
        let name = unique("load");
        let open = |_| PostgresStore::builder(&server.url()).realm(&name).open(EPOCH).unwrap();
        let stores: Vec<_> = (0..POOLED).map(open).collect();
        let (grants, times) = acquire_all(&stores, window);
        // As a keeper does: a third of the window, less an eighth on average.
        let period = Duration::from_millis(window / 3 * 7 / 8);
        let (cpu, start) = (server.cpu(), Instant::now());
        thread::scope(|scope| {
            for (index, (store, grants)) in stores.iter().zip(grants.chunks(grants.len() / POOLED)).enumerate() {
                scope.spawn(move || {
                    let pace = period / u32::try_from(grants.len()).unwrap();
                    let mut next = start + pace * u32::try_from(index).unwrap() / u32::try_from(POOLED).unwrap();
                    for grant in grants.iter().cycle() {
                        if start.elapsed() > TIME {
                            break;
                        }
                        thread::sleep(next.saturating_duration_since(Instant::now()));
                        next += pace;
                        store.renew(grant, now() + window).unwrap();
                    }
                });
            }
        });
        let share = server.cpu().abs_diff(cpu).as_secs_f64() / start.elapsed().as_secs_f64();
        println!(
            "window {window} ms: {:.2} % of a core for the renewals of 1024 nodes; acquire p99 {:?}",
            share * 100.0,
            times[1013]
        );
        if window == 60_000 {
            assert!(share < 0.02, "with a window of a minute");
        }
    }
}
