//! The store by itself.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use pyflake::lease::conformance::{Fixture, assert_conforms};
use pyflake::lease::{EtcdStore, Grant, LeaseError, LeaseStore, LeasedGenerator};
use pyflake::{Epoch, Node};

use crate::server::{Server, leave_free, shared, steal, unique};
use crate::{EPOCH, now, own_epoch, request};

/// A realm of its own.
struct Realm {
    url: String,
    name: String,
}

impl Fixture for Realm {
    fn open(&self, epoch: Epoch) -> Result<Box<dyn LeaseStore>, LeaseError> {
        Ok(Box::new(EtcdStore::builder(&self.url).realm(&self.name).open(epoch)?))
    }

    fn steal(&self, node: Node) -> bool {
        steal(&self.url, &self.name, node);
        true
    }

    fn max_skew(&self) -> Option<Duration> {
        Some(Duration::from_secs(10))
    }
}

#[test]
fn it_conforms() {
    let Some(url) = shared() else { return };
    assert_conforms(|| Realm { url: url.clone(), name: unique("conformance") });
}

#[test]
fn acquires_at_once_get_1024_nodes_and_no_more() {
    const THREADS: usize = 32;
    let Some(server) = Server::start() else { return };
    let open = || EtcdStore::open(&server.url(), EPOCH).unwrap();
    let (stores, barrier) = ((0..THREADS).map(|_| open()).collect::<Vec<_>>(), Barrier::new(THREADS));
    let mut all: Vec<(Grant, Duration)> = thread::scope(|scope| {
        let work = |store| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let acquire = |_| {
                    let start = Instant::now();
                    (LeaseStore::acquire(store, &request(600_000)).unwrap(), start.elapsed())
                };
                (0..Node::COUNT / THREADS).map(acquire).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = stores.iter().map(work).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_unstable_by_key(|(_, time)| *time);
    println!("acquire: median {:?}, p99 {:?}, most {:?}", all[512].1, all[1013].1, all[1023].1);
    assert_eq!(all.iter().map(|(grant, _)| grant.node).collect::<BTreeSet<_>>().len(), Node::COUNT);
    let start = Instant::now();
    let refused = LeasedGenerator::new(open()).unwrap_err();
    assert!(matches!(refused, LeaseError::NoFreeNode { nodes: 1024 }), "{refused}");
    assert!(start.elapsed() < Duration::from_secs(2), "within its timeout: {:?}", start.elapsed());
}

#[test]
fn a_graceful_release_frees_the_node_at_once() {
    let Some(url) = shared() else { return };
    let (name, epoch) = (unique("release"), own_epoch());
    let open = || EtcdStore::builder(&url).realm(&name).open(epoch).unwrap();
    let (first, second) = (open(), open());
    leave_free(&url, &name, 1);
    let generator = LeasedGenerator::new(first).unwrap();
    let last = (0..10_000).fold(None, |_, _| Some(generator.next_id().unwrap())).unwrap();
    assert!(matches!(second.acquire(&request(10_000)), Err(LeaseError::NoFreeNode { .. })));
    let start = Instant::now();
    generator.release().unwrap();
    let released = start.elapsed();
    let next = second.acquire(&request(10_000)).unwrap();
    println!("released in {released:?}, and acquired again after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    assert_eq!(next.floor, last.timestamp(epoch) + 1, "the last used tick + 1");
}

#[test]
fn an_evicted_holder_loses_its_lease_and_its_window_stands() {
    let Some(url) = shared() else { return };
    let store = EtcdStore::builder(&url).realm(unique("evict")).open(EPOCH).unwrap();
    let grant = store.acquire(&request(60_000)).unwrap();
    assert_eq!(store.evict(grant.node).unwrap(), Some("test".into()));
    assert_eq!(store.evict(grant.node).unwrap(), None);
    let status = &store.nodes().unwrap()[0];
    assert_eq!((status.node, status.held, status.until), (grant.node, false, grant.until));
    assert!(matches!(store.renew(&grant, grant.until), Err(LeaseError::Lost { .. })));
}

/// A store that is put back to what it held before: the one that has seen more says so for all.
#[test]
fn a_restored_backup_ends_every_lease() {
    let Some(server) = Server::start() else { return };
    let open = || EtcdStore::builder(&server.url()).max_skew(Duration::from_secs(1)).open(EPOCH).unwrap();
    let store = open();
    let grant = store.acquire(&request(3000)).unwrap();
    server.crash();
    server.back_up();
    server.up();
    let renewed = (1..=5).map(|n| store.renew(&grant, grant.until + n).unwrap()).last().unwrap();
    let unheard = store.acquire(&request(3000)).unwrap();
    server.crash();
    server.restore();
    server.up();
    let before = now();
    let lost = store.renew(&renewed, renewed.until).unwrap_err();
    assert!(matches!(lost, LeaseError::Lost { .. }), "{lost}");
    assert!(matches!(store.renew(&unheard, unheard.until), Err(LeaseError::Lost { .. })));
    // Also for those that have seen nothing.
    let next = open().acquire(&request(3000)).unwrap();
    assert!(next.floor >= before + 3000 + 2000 - 5 && next.floor > renewed.until.max(unheard.until), "{next:?}");
    // It rests once.
    assert_eq!(store.acquire(&request(3000)).unwrap().floor, next.floor);
}
