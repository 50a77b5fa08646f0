//! The store by itself.

use std::thread;
use std::time::{Duration, Instant};

use pyflake::Epoch;
use pyflake::Node;
use pyflake::lease::conformance::{Fixture, assert_conforms};
use pyflake::lease::{LeaseError, LeaseStore, LeasedGenerator, Renewal};

use crate::fleet::{EPOCH, now, own_epoch, request, unique};
use crate::server::{Server, Store, leave_free, open, open_within, shared, steal};

/// A realm of its own.
pub(crate) struct Realm {
    url: String,
    name: String,
}

impl Fixture for Realm {
    fn open(&self, epoch: Epoch) -> Result<Box<dyn LeaseStore>, LeaseError> {
        Ok(Box::new(Store::builder(&self.url).realm(&self.name).open(epoch)?))
    }

    fn steal(&self, node: Node) -> bool {
        steal(&self.url, &self.name, node);
        true
    }

    fn max_skew(&self) -> Option<Duration> {
        Some(Duration::from_secs(10))
    }
}

impl Realm {
    pub(crate) fn at(url: &str) -> Self {
        Realm { url: url.into(), name: unique("conformance") }
    }
}

#[test]
fn it_conforms() {
    let Some(url) = shared() else { return };
    assert_conforms(|| Realm::at(&url));
}

/// A thread that drives a runtime, which must not be asked to drive another one.
#[test]
fn it_may_be_used_in_async_code() {
    let Some(url) = shared() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open(&url, &unique("async"), own_epoch());
        let generator = LeasedGenerator::new(store).unwrap();
        generator.next_id().unwrap();
    });
}

#[test]
fn the_forked_child_leaves_the_connection_alone() {
    let Some(url) = shared() else { return };
    let store = open(&url, &unique("fork"), EPOCH);
    let grant = store.acquire(&request(60_000)).unwrap();
    // SAFETY: the child calls what is tested, and `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let renewal = Renewal::new(grant.clone(), grant.until);
        let mut outcomes = store.renew_all(&[renewal.clone(), renewal.clone()]);
        outcomes.extend([store.renew(&renewal), store.acquire(&request(60_000))]);
        let refused = outcomes.len() == 4
            && outcomes.iter().all(|outcome| matches!(outcome, Err(LeaseError::Forked { .. })))
            && matches!(store.release(&grant, grant.floor), Err(LeaseError::Forked { .. }));
        drop(store);
        // SAFETY: nothing of the parent's is run at this exit.
        unsafe { libc::_exit(i32::from(!refused)) }
    }
    let mut status = 0;
    // SAFETY: the child is ours, and the status a place to write to.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0));
    store.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap();
}

#[test]
fn operators_see_who_holds_what_and_can_end_it() {
    let Some(url) = shared() else { return };
    let name = unique("operators");
    let store = open(&url, &name, EPOCH);
    let before = now();
    let held = store.acquire(&request(60_000)).unwrap();
    let returned = store.acquire(&request(60_000)).unwrap();
    store.release(&returned, returned.floor).unwrap();
    let operator = Store::builder(&url).realm(&name).open_existing().unwrap();
    assert_eq!(operator.epoch(), EPOCH);
    let nodes = operator.nodes().unwrap();
    assert_eq!(nodes.len(), 2);
    let of = |node| nodes.iter().find(|status| status.node == node).unwrap();
    let status = of(held.node);
    assert!(status.held && status.until == held.until && status.owner_label == "test" && status.token == 1);
    assert!(status.acquired.unwrap().abs_diff(before) < 5000);
    assert!(!of(returned.node).held);

    assert_eq!(operator.evict(held.node).unwrap().as_deref(), Some("test"));
    assert_eq!(operator.evict(held.node).unwrap(), None);
    assert!(matches!(store.renew(&Renewal::new(held.clone(), held.until)), Err(LeaseError::Lost { .. })));
    // The window stands, so whatever the holder still issues in it is not issued again.
    assert_eq!(operator.nodes().unwrap().iter().find(|status| status.node == held.node).unwrap().until, held.until);
}

/// A holder that renews is not taken for dead, however short its window.
#[test]
fn a_holder_that_renews_stays() {
    let Some(server) = Server::start() else { return };
    let url = server.url();
    let (store, other) = (open(&url, "default", EPOCH), open(&url, "default", EPOCH));
    leave_free(&url, "default", 1);
    let mut grant = store.acquire(&request(1000)).unwrap();
    let (start, held) = (Instant::now(), Duration::from_secs(4));
    thread::scope(|scope| {
        scope.spawn(|| {
            while start.elapsed() < held {
                let refused = other.acquire(&request(1000));
                assert!(matches!(refused, Err(LeaseError::NoFreeNode { .. })), "{refused:?}");
                thread::sleep(Duration::from_millis(20));
            }
        });
        while start.elapsed() < held {
            grant = store.renew(&Renewal::new(grant.clone(), grant.until.max(now() + 1000))).unwrap();
            thread::sleep(Duration::from_millis(300));
        }
    });
    // It is, once it does not.
    let mut next = None;
    super::eventually("it is taken for dead", || {
        next = other.acquire(&request(1000)).ok();
        next.is_some()
    });
    assert_eq!(next.unwrap().floor, grant.until);
}

#[test]
fn a_window_of_more_than_a_day_is_refused() {
    let Some(url) = shared() else { return };
    let (name, day) = (unique("long"), 24 * 3600 * 1000);
    let store = open(&url, &name, EPOCH);
    let refused = store.acquire(&request(day + 1)).unwrap_err().to_string();
    assert!(refused.contains("86400.001s is longer than 86400s: ask for a shorter one"), "{refused}");
    assert!(store.nodes().unwrap().iter().all(|node| node.token == 0));
    store.acquire(&request(day)).unwrap();
}

#[test]
fn a_call_may_take_as_long_as_it_likes() {
    let Some(url) = shared() else { return };
    let store = open_within(&url, &unique("patient"), EPOCH, Duration::MAX).unwrap();
    let grant = store.acquire(&request(60_000)).unwrap();
    store.release(&grant, grant.floor).unwrap();
}
