//! A server that forgets: what is lost in a crash or a failover, and what is not.

use std::thread;
use std::time::Duration;

use pyflake::lease::{Grant, LeaseError, LeaseState, LeaseStore, LeasedGenerator, PostgresStore, Renewal};
use pyflake::{Error, Node};

use crate::fleet::{EPOCH, eventually, now, own_epoch, request};
use crate::server::{Server, leave_free, sql};

#[test]
fn what_was_acknowledged_outlasts_a_crash() {
    let Some(server) = Server::start() else { return };
    let epoch = own_epoch();
    let store = PostgresStore::open(&server.url(), epoch).unwrap();
    let crash = |what: &str, node: Node, until: u64| {
        server.crash();
        server.up();
        let rows = store.nodes().unwrap();
        let row = rows.iter().find(|row| row.node == node);
        assert!(row.is_some_and(|row| row.until == until), "{what}: {row:?}, not {until}");
    };
    let grant = store.acquire(&request(60_000)).unwrap();
    crash("acquired", grant.node, grant.until);
    let grant = store.renew(&Renewal::new(grant.clone(), grant.until + 1000)).unwrap();
    crash("renewed", grant.node, grant.until);
    store.release(&grant, grant.floor + 1).unwrap();
    crash("released", grant.node, grant.floor + 1);
    // The control: what asks for nothing is lost, so the server is as lazy as it should be.
    sql(&server.url(), "UPDATE pyflake_nodes SET until_ms = 1 WHERE token > 0");
    crash("by hand", grant.node, grant.floor + 1);
}

/// A standby that was promoted without the last windows: what was issued in them is not issued again.
#[test]
fn a_failover_that_loses_windows_repeats_nothing() {
    let Some(primary) = Server::start() else { return };
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
    let before = now();
    let store = open(&standby).unwrap();
    // The fence has ended all tenures, and those of the test's own holders.
    leave_free(&standby.url(), "default", 2);
    let floors: Vec<Grant> = (0..2).map(|_| store.acquire(&request(3000)).unwrap()).collect();
    assert!(floors.iter().any(|grant| grant.node == node) && floors.iter().any(|grant| grant.node == taken.node));
    for grant in &floors {
        // The window and twice the skew.
        assert!(grant.floor >= before + 3000 + 2000 - 5, "{grant:?} at {before}");
        assert!(grant.floor > last.max(taken.until), "{grant:?}");
    }
    // The lease that the standby never heard of, and one that it knows, are lost there.
    assert!(matches!(store.renew(&Renewal::new(taken.clone(), taken.until)), Err(LeaseError::Lost { .. })));
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
    let Some(server) = Server::start() else { return };
    let store = PostgresStore::open(&server.url(), EPOCH).unwrap();
    let grant = store.acquire(&request(60_000)).unwrap();
    server.stop();
    server.up();
    // The connection is gone, which is noticed before it is used.
    let grant = store.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap();
    server.stop();
    server.promote();
    let lost = store.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap_err();
    assert!(matches!(lost, LeaseError::Lost { .. }) && lost.to_string().contains("failover"), "{lost}");
    let next = store.acquire(&request(60_000)).unwrap();
    assert!(next.floor > now() + 60_000, "{next:?}");
}
