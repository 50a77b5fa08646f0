//! What is asked of a server: one request for a renewal, and for those of a whole process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyflake::lease::{Grant, LeaseError, LeaseStore, Renewal};
use serde_json::Value;

use crate::fleet::{EPOCH, request, unique};
use crate::gateway::{Change, gateway};
use crate::server::{open, shared, steal};

#[derive(Default)]
struct Count(AtomicUsize);

impl Change for Count {
    fn request(&self, _transaction: &mut Value) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    /// How many there were since the last call.
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

fn longer(grant: &Grant) -> Renewal {
    Renewal::new(grant.clone(), grant.until + 1000)
}

#[test]
fn a_renewal_is_one_request() {
    let Some(url) = shared() else { return };
    let (count, name) = (Arc::new(Count::default()), unique("one"));
    let store = open(&gateway(&url, Arc::clone(&count)), &name, EPOCH);
    let mut grant = store.acquire(&request(60_000)).unwrap();
    count.take();
    for _ in 0..3 {
        grant = store.renew(&longer(&grant)).unwrap();
        assert_eq!(count.take(), 1);
    }
    // Another one has told the realm of a longer window: it is compared, and read.
    open(&url, &name, EPOCH).acquire(&request(61_000)).unwrap();
    grant = store.renew(&longer(&grant)).unwrap();
    assert_eq!(count.take(), 2);
    // A store that remembers nothing.
    grant = open(&gateway(&url, Arc::clone(&count)), &name, EPOCH).renew(&longer(&grant)).unwrap();
    // It was opened with one.
    assert_eq!(count.take(), 3);
    // What the first one remembers is out of date.
    grant = store.renew(&longer(&grant)).unwrap();
    assert_eq!(count.take(), 2);
    store.release(&grant, grant.floor).unwrap();
    assert_eq!(count.take(), 1);
}

#[test]
fn renewals_of_a_process_are_one_request_with_an_outcome_for_each() {
    let Some(url) = shared() else { return };
    let (count, name) = (Arc::new(Count::default()), unique("all"));
    let store = open(&gateway(&url, Arc::clone(&count)), &name, EPOCH);
    let mut grants: Vec<Grant> = (0..101).map(|_| store.acquire(&request(60_000)).unwrap()).collect();
    let last = grants.pop().unwrap();
    count.take();
    let renewals: Vec<Renewal> = grants.iter().map(longer).collect();
    let renewed: Vec<Grant> = store.renew_all(&renewals).into_iter().map(Result::unwrap).collect();
    assert_eq!(count.take(), 1);
    for (renewed, renewal) in renewed.iter().zip(&renewals) {
        assert_eq!(renewed, &renewal.granted(renewal.until));
    }
    // One was stolen, one is sent again, one asks for too much.
    steal(&url, &name, renewed[3].node);
    let mut renewals: Vec<Renewal> = renewed.iter().map(longer).collect();
    store.renew(&renewals[5]).unwrap();
    renewals[7].until += 24 * 3_600_000;
    count.take();
    let outcomes = store.renew_all(&renewals);
    // Each comparison that failed has read its node.
    assert_eq!(count.take(), 1);
    for (index, (outcome, renewal)) in outcomes.iter().zip(&renewals).enumerate() {
        match (index, outcome) {
            (3, Err(LeaseError::Lost { .. })) | (7, Err(LeaseError::ClockSkewed { .. })) => {}
            (_, Ok(grant)) if index != 3 && index != 7 => assert_eq!(grant, &renewal.granted(renewal.until)),
            _ => panic!("{index}: {outcome:?}"),
        }
    }
    // More than fit into one; and none.
    grants = outcomes.into_iter().flatten().collect();
    grants.push(last);
    grants.extend((0..20).map(|_| store.acquire(&request(60_000)).unwrap()));
    count.take();
    let renewals: Vec<Renewal> = grants.iter().map(longer).collect();
    assert!(store.renew_all(&renewals).iter().all(Result::is_ok));
    assert_eq!(count.take(), 2);
    assert!(store.renew_all(&[]).is_empty());
    // The same node twice: the second renewal has the nonce of neither.
    let two = [longer(&grants[0]), longer(&grants[0])];
    assert!(store.renew_all(&two).iter().all(|outcome| matches!(outcome, Err(LeaseError::Lost { .. }))));
}
