//! The store by itself.

use std::time::Duration;

use pyflake::Epoch;
use pyflake::Node;
use pyflake::lease::conformance::{Fixture, assert_conforms};
use pyflake::lease::{LeaseError, LeaseStore, LeasedGenerator};

use crate::fleet::{EPOCH, now, own_epoch, request, unique};
use crate::server::{Store, open, shared, steal};

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
        let refused = matches!(store.renew(&grant, grant.until), Err(LeaseError::Unavailable { .. }));
        drop(store);
        // SAFETY: nothing of the parent's is run at this exit.
        unsafe { libc::_exit(i32::from(!refused)) }
    }
    let mut status = 0;
    // SAFETY: the child is ours, and the status a place to write to.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0));
    store.renew(&grant, grant.until + 1).unwrap();
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
    assert!(matches!(store.renew(&held, held.until), Err(LeaseError::Lost { .. })));
    // The window stands, so whatever the holder still issues in it is not issued again.
    assert_eq!(operator.nodes().unwrap().iter().find(|status| status.node == held.node).unwrap().until, held.until);
}
