//! Nodes that rest: why, and for how long.

use std::time::Duration;

use pyflake::lease::{EtcdStore, LeaseError, LeaseStore, LeasedGenerator, Renewal};
use serde_json::json;

use crate::fleet::{EPOCH, now, own_epoch, request, unique};
use crate::server::{Server, get, leave_free, open, put, shared};

#[test]
fn an_acquire_says_why_every_node_rests_and_writes_nothing() {
    let Some(url) = shared() else { return };
    let (name, epoch) = (unique("resting"), own_epoch());
    let store = open(&url, &name, epoch);
    let (key, start) = (format!("pyflake/{name}/realm"), now());
    store.acquire(&request(60_000)).unwrap();
    let mut realm = get(&url, &key);
    realm["cluster"] = json!("another");
    put(&url, &key, &realm.to_string());
    let error = LeasedGenerator::new(open(&url, &name, epoch)).unwrap_err();
    let told = error.to_string();
    let LeaseError::Resting { wait, .. } = error else { panic!("{told}") };
    assert!(wait > Duration::from_secs(70) && wait < Duration::from_secs(60 + 20 + 10), "{wait:?}");
    assert!(told.contains("the cluster is another one (noticed ") && told.contains("GMT)"), "{told}");
    // What a caller that waits is told is the same.
    let mut patient = request(60_000);
    patient.max_floor = start + 60_000 + 20_000 - 5000;
    assert!(matches!(store.acquire(&patient), Err(LeaseError::Resting { .. })));
    assert_eq!(store.nodes().unwrap().iter().map(|node| node.token).sum::<u64>(), 1, "nothing was taken");
    patient.max_floor = u64::MAX;
    store.acquire(&patient).unwrap();
}

#[test]
fn a_window_that_has_not_ended_is_waited_for() {
    let Some(url) = shared() else { return };
    let name = unique("waiting");
    let store = open(&url, &name, EPOCH);
    leave_free(&url, &name, 1);
    let grant = store.acquire(&request(60_000)).unwrap();
    store.evict(grant.node).unwrap();
    let mut next = request(60_000);
    next.max_floor = grant.until - 1;
    let resting = store.acquire(&next).unwrap_err().to_string();
    assert!(resting.contains("the windows of their last holders have not ended"), "{resting}");
    next.max_floor += 1;
    assert_eq!(store.acquire(&next).unwrap().floor, grant.until);
}

/// The restored state knows of shorter windows than those that it lacks. The store that notices was asked for a longer one
/// itself, or has seen one in the realm's key.
#[test]
fn a_fence_counts_windows_that_were_raised_after_the_backup() {
    for by_another in [false, true] {
        let Some(server) = Server::start() else { return };
        let open = || EtcdStore::builder(&server.url()).max_skew(Duration::from_secs(1)).open(EPOCH).unwrap();
        let store = open();
        let held = store.acquire(&request(3000)).unwrap();
        server.crash();
        server.back_up();
        server.up();
        let another = open();
        let lost = if by_another { &another } else { &store }.acquire(&request(60_000)).unwrap();
        let held = store.renew(&Renewal::new(held.clone(), held.until)).unwrap();
        server.crash();
        server.restore();
        server.up();
        let before = now();
        let error = store.renew(&Renewal::new(held.clone(), held.until)).unwrap_err();
        assert!(matches!(error, LeaseError::Lost { .. }), "{error}");
        let rest = get(&server.url(), "pyflake/default/realm")["rest"].as_u64().unwrap();
        assert!(rest >= before + 60_000 + 2000 - 5 && rest >= lost.until, "{rest}, by another: {by_another}");
        assert!(open().acquire(&request(3000)).unwrap().floor >= lost.until);
    }
}

/// A holder's own window may be longer than all that its store knows.
#[test]
fn a_fence_counts_the_window_of_its_caller() {
    let Some(url) = shared() else { return };
    let name = unique("own");
    let store = open(&url, &name, EPOCH);
    let grant = store.acquire(&request(3000)).unwrap();
    let key = format!("pyflake/{name}/realm");
    let mut far = grant.clone();
    far.until += 600_000;
    let lost = store.renew(&Renewal::new(far.clone(), far.until)).unwrap_err();
    assert!(matches!(lost, LeaseError::Lost { .. }), "{lost}");
    let rest = get(&url, &key)["rest"].as_u64().unwrap();
    assert!(rest >= far.until + 20_000, "{rest}, and the window ends at {}", far.until);
}
