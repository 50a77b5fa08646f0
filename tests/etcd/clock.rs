//! A server's clock that is wrong, and a holder's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use pyflake::lease::{EtcdStore, LeaseError, LeaseState, LeaseStore, LeasedGenerator, Renewal};

use crate::fleet::{EPOCH, eventually, now, own_epoch, request, unique};
use crate::gateway::{Change, gateway};
use crate::server::{leave_free, open, shared};

const FIVE_YEARS: u64 = 5 * 365 * 24 * 3_600_000;

/// A clock that is set, in seconds ahead of the server's.
#[derive(Default)]
struct Offset(AtomicI64);

impl Change for Offset {
    fn clock(&self, clock: SystemTime) -> SystemTime {
        let offset = self.0.load(Ordering::SeqCst);
        let by = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 { clock - by } else { clock + by }
    }
}

/// Steps of 11 s are more than hosts' clocks may be apart.
#[test]
fn a_step_of_the_servers_clock_ends_no_lease() {
    const WINDOW: Duration = Duration::from_secs(3);
    let Some(url) = shared() else { return };
    let offset = Arc::new(Offset::default());
    let (name, epoch) = (unique("steps"), own_epoch());
    let store = open(&gateway(&url, Arc::clone(&offset)), &name, epoch);
    let generator = LeasedGenerator::builder(store).window(WINDOW).build().unwrap();
    let node = generator.next_id().unwrap().node();
    for step in [-11, 0, 11, -3600, 0] {
        offset.0.store(step, Ordering::SeqCst);
        let (start, stepped) = (Instant::now(), now());
        while start.elapsed() < WINDOW + WINDOW / 3 {
            let id = generator.next_id().unwrap_or_else(|error| panic!("at {step} s: {error}"));
            assert_eq!(id.node(), node);
            thread::sleep(Duration::from_millis(1));
        }
        let renewed = |until| until > stepped + u64::try_from(WINDOW.as_millis()).unwrap();
        eventually("it is renewed", || matches!(generator.state(), LeaseState::Held { until, .. } if renewed(until)));
    }
}

/// Another caller sees a server that is ahead, and the holders' windows too: it takes no node of theirs.
#[test]
fn a_server_that_is_ahead_gives_out_no_node_twice() {
    let Some(url) = shared() else { return };
    let (offset, name) = (Arc::new(Offset::default()), unique("ahead"));
    let direct = open(&url, &name, EPOCH);
    leave_free(&url, &name, 1);
    let grant = direct.acquire(&request(8000)).unwrap();
    let other = open(&gateway(&url, Arc::clone(&offset)), &name, EPOCH);
    offset.0.store(9, Ordering::SeqCst);
    let refused = other.acquire(&request(8000)).unwrap_err();
    assert!(matches!(refused, LeaseError::NoFreeNode { .. } | LeaseError::ClockSkewed { .. }), "{refused}");
    direct.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap();
}

#[test]
fn a_dead_holder_is_noticed_after_the_servers_clock_was_set_back() {
    let Some(url) = shared() else { return };
    let (offset, name) = (Arc::new(Offset::default()), unique("back"));
    offset.0.store(9, Ordering::SeqCst);
    let ahead = EtcdStore::builder(&gateway(&url, Arc::clone(&offset))).realm(&name);
    let ahead = ahead.max_skew(Duration::from_secs(3700)).open(EPOCH).unwrap();
    leave_free(&url, &name, 1);
    offset.0.store(3600, Ordering::SeqCst);
    let dead = ahead.acquire(&request(300)).unwrap();
    let other = open(&url, &name, EPOCH);
    let mut next = None;
    eventually("it is taken for dead", || {
        next = other.acquire(&request(300)).ok();
        next.is_some()
    });
    assert_eq!(next.unwrap().floor, dead.until);
}

/// It would take its node with it.
#[test]
fn a_host_years_ahead_is_refused() {
    let Some(url) = shared() else { return };
    let store = open(&url, &unique("years"), EPOCH);
    let mut far = request(10_000);
    far.now += FIVE_YEARS;
    assert!(matches!(store.acquire(&far), Err(LeaseError::ClockSkewed { .. })));
    let grant = store.acquire(&request(10_000)).unwrap();
    // From memory, and by a store that has none.
    for store in [&store, &open(&url, "none", EPOCH)] {
        let refused = store.renew(&Renewal::new(grant.clone(), grant.until + FIVE_YEARS));
        assert!(matches!(refused, Err(LeaseError::ClockSkewed { .. } | LeaseError::Lost { .. })), "{refused:?}");
    }
    // A clock that is set right by what clocks may be apart is not.
    let renewed = store.renew(&Renewal::new(grant.clone(), grant.until + 20_000)).unwrap();
    assert_eq!(renewed.until, grant.until + 20_000);
}
