//! How a realm identifies its server, and what a renewal and a search are bound by.

use std::thread;
use std::time::{Duration, Instant};

use pyflake::lease::{
    Identity, LeaseError, LeaseState, LeaseStore, LeasedGenerator, PostgresStore, PostgresStoreBuilder, Renewal,
};
use pyflake::{Generator, Node};

use crate::fleet::{EPOCH, now, own_epoch, request, unique};
use crate::server::{Server, shared, sql};
use crate::workers::faketime;

fn named(url: &str, name: &str) -> PostgresStoreBuilder {
    PostgresStore::builder(url).identity(Identity::Named(name.into()))
}

/// A role that may not call the functions, as on a server that hides them.
#[test]
fn a_server_that_hides_its_wal_is_used_by_name() {
    let Some(server) = Server::start() else { return };
    sql(
        &server.url(),
        "CREATE ROLE app LOGIN; GRANT SELECT, INSERT, UPDATE ON pyflake_realms, pyflake_nodes TO app; \
         REVOKE EXECUTE ON FUNCTION pg_control_system(), pg_walfile_name(pg_lsn), pg_current_wal_insert_lsn(), \
         pg_current_wal_flush_lsn(), pg_postmaster_start_time() FROM PUBLIC",
    );
    let url = server.url().replace("postgres@", "app@");
    let error = PostgresStore::open(&url, EPOCH).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, LeaseError::Unsafe { .. }), "{error:?}");
    assert!(text.contains("permission denied for function") && text.contains("Identity::Named(..)"), "{text}");
    let store = named(&url, "orders-prod").open(EPOCH).unwrap();
    let grant = store.acquire(&request(60_000)).unwrap();
    let renewed = store.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap();
    store.release(&renewed, renewed.floor).unwrap();
}

/// Two that identify the server differently would fence each other for ever.
#[test]
fn a_fleet_uses_one_identity() {
    let Some(server) = Server::start() else { return };
    let url = server.url();
    let refused = |builder: PostgresStoreBuilder, words: &str| {
        let error = builder.open_existing().unwrap_err();
        assert!(matches!(error, LeaseError::RealmMismatch { .. }) && error.to_string().contains(words), "{error}");
    };
    let store = PostgresStore::open(&url, EPOCH).unwrap();
    let grant = store.acquire(&request(3000)).unwrap();
    refused(named(&url, "a"), "identity Server, not for identity Named(\"a\")");
    assert!(matches!(named(&url, "a").open(EPOCH), Err(LeaseError::RealmMismatch { .. })));
    let grant = store.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap();
    // As its documentation says: the realm is fenced, once.
    sql(&url, "UPDATE pyflake_realms SET server = ''");
    let other = named(&url, "a").open(EPOCH).unwrap();
    assert!(other.acquire(&request(3000)).unwrap().floor > grant.until);
    assert!(store.renew(&Renewal::new(grant.clone(), grant.until)).is_err());
    refused(named(&url, "b"), "identity Named(\"a\"), not for identity Named(\"b\")");
    refused(PostgresStore::builder(&url), "identity Named(\"a\"), not for identity Server");
}

/// The clock of the server is set back by more than the skew and a window: whoever holds a node goes on.
#[test]
fn a_server_whose_clock_is_set_back_ends_no_ids() {
    let Some(faketime) = faketime() else { return };
    let Some(mut server) = Server::start() else { return };
    server.fake_clock(faketime);
    let epoch = own_epoch();
    let store = PostgresStore::builder(&server.url()).max_skew(Duration::from_secs(1)).open(epoch).unwrap();
    let window = Duration::from_secs(3);
    let generator = LeasedGenerator::builder(store).window(window).max_wait(Duration::from_secs(10)).build().unwrap();
    generator.next_id().unwrap();
    let clock = || sql(&server.url(), "SELECT extract(epoch FROM now())")[0].get(0).unwrap().parse::<f64>().unwrap();
    server.set_clock(-11);
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let behind = now() as f64 / 1000.0 - clock();
    assert!((10.0..13.0).contains(&behind), "{behind}");
    let start = Instant::now();
    while start.elapsed() < 4 * window {
        generator.next_id().unwrap();
        thread::sleep(Duration::from_millis(5));
    }
    assert!(matches!(generator.state(), LeaseState::Held { .. }), "{:?}", generator.last_error());
    // Another process does not get a node meanwhile.
    let other = PostgresStore::builder(&server.url()).max_skew(Duration::from_secs(1)).open(epoch).unwrap();
    assert!(matches!(other.acquire(&request(3000)), Err(LeaseError::ClockSkewed { .. })));
}

/// A host whose clock jumps is refused; it took its node with it otherwise.
#[test]
fn a_holder_that_jumps_five_years_is_refused() {
    const FIVE_YEARS: u64 = 5 * 365 * 24 * 3600 * 1000;
    let Some(url) = shared() else { return };
    let store = PostgresStore::builder(&url).realm(unique("jump")).open(EPOCH).unwrap();
    let grant = store.acquire(&request(60_000)).unwrap();
    let jump = Renewal::new(grant.clone(), now() + FIVE_YEARS);
    assert!(matches!(store.renew(&jump), Err(LeaseError::ClockSkewed { .. })));
    let fair = Renewal::new(grant.clone(), grant.until + 60_000);
    let outcomes = store.renew_all(&[fair.clone(), jump]);
    assert!(outcomes[0].is_ok() && outcomes[1].is_err(), "{outcomes:?}");
    assert_eq!(outcomes[0].as_ref().unwrap(), &fair.granted(grant.until + 60_000));
}

/// An outcome for each, in their order, from one statement.
#[test]
fn several_are_renewed_at_once() {
    let Some(url) = shared() else { return };
    let store = PostgresStore::builder(&url).realm(unique("several")).open(EPOCH).unwrap();
    let grants: Vec<_> = (0..100).map(|_| store.acquire(&request(60_000)).unwrap()).collect();
    store.release(&grants[7], grants[7].floor).unwrap();
    let renewals: Vec<_> = grants.iter().map(|grant| Renewal::new(grant.clone(), grant.until + 1000)).collect();
    for _ in 0..2 {
        // The second time as after an answer that was lost.
        for (index, (outcome, renewal)) in store.renew_all(&renewals).iter().zip(&renewals).enumerate() {
            match outcome {
                Ok(grant) => assert_eq!((index != 7, grant), (true, &renewal.granted(renewal.until))),
                Err(error) => assert!(index == 7 && matches!(error, LeaseError::Lost { .. }), "{error}"),
            }
        }
    }
    assert!(store.renew_all(&[]).is_empty());
}

/// Nodes that this process uses without a lease do not keep it from getting another one.
#[test]
fn nodes_in_use_without_a_lease_are_passed_over() {
    let Some(url) = shared() else { return };
    let epoch = own_epoch();
    let used: Vec<_> = (0..100).map(|index| Generator::new(epoch, Node::from_index(index).unwrap()).unwrap()).collect();
    for _ in 0..3 {
        let store = PostgresStore::builder(&url).realm(unique("in-use")).open(epoch).unwrap();
        let generator = LeasedGenerator::new(store).unwrap();
        assert!(generator.next_id().unwrap().node().index() >= 100);
    }
    drop(used);
}
