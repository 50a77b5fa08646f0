//! The store by itself.

use std::time::Duration;

use pyflake::lease::conformance::assert_conforms;
use pyflake::lease::{LeaseError, LeaseStore, PostgresStore, PostgresStoreBuilder, Renewal};

use crate::fleet::any_store::Realm;
use crate::fleet::{EPOCH, eventually, request, unique};
use crate::pooler::Pooler;
use crate::server::{Server, shared, sql};

#[test]
fn it_conforms_where_isolation_is_strict() {
    let Some(server) = Server::with("default_transaction_isolation = 'serializable'") else { return };
    assert_conforms(|| Realm::at(&server.url()));
}

/// A transaction pooler gives each call another connection, and would mix up whatever a session keeps.
#[test]
fn it_conforms_through_a_transaction_pooler() {
    let Some(server) = Server::start() else { return };
    let settings = "default_pool_size = 3\nserver_reset_query_always = 1\nserver_reset_query = DISCARD ALL\n";
    let Some(pooler) = Pooler::start(&server, settings) else { return };
    PostgresStore::migrate(&pooler.url()).unwrap();
    assert_conforms(|| Realm::at(&pooler.url()));
}

/// A client of the same pooled connection has set another path, on which there are tables too.
#[test]
fn a_search_path_that_leaks_through_a_pooler_changes_nothing() {
    let Some(server) = Server::start() else { return };
    let Some(pooler) = Pooler::start(&server, "default_pool_size = 1\n") else { return };
    sql(&server.url(), "CREATE SCHEMA \"other one\"");
    let other = || PostgresStore::builder(&server.url()).schema("other one");
    other().migrate().unwrap();
    let store = PostgresStore::open(&pooler.url(), EPOCH).unwrap();
    sql(&pooler.url(), "SET search_path = 'other one'");
    let path = sql(&pooler.url(), "SHOW search_path")[0].get(0).unwrap().to_owned();
    assert!(path.contains("other one"), "it did not leak: {path}");
    let grant = store.acquire(&request(60_000)).unwrap();
    store.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap();
    // The tables of the other schema are another store.
    let other = other().open(EPOCH).unwrap();
    assert!(other.nodes().unwrap().is_empty());
    other.acquire(&request(60_000)).unwrap();
    assert_eq!((store.nodes().unwrap().len(), other.nodes().unwrap().len()), (1, 1));
}

#[test]
fn names_that_the_server_would_change_are_refused() {
    let Some(url) = shared() else { return };
    let told = |builder: PostgresStoreBuilder| builder.open(EPOCH).unwrap_err().to_string();
    let builder = || PostgresStore::builder(&url);
    assert!(told(builder().realm("")).contains("the name of the realm is empty"));
    assert!(told(builder().realm("a/b")).contains("contains '/'"));
    assert!(told(builder().realm("a\0")).contains("contains '\\0'"));
    assert!(told(builder().realm("r".repeat(100_000))).contains("has 100000 bytes, and the limit is 100"));
    assert!(told(builder().schema("s".repeat(64))).contains("has 64 bytes, and the limit is 63"));
    let missing = builder().schema("missing").migrate().unwrap_err().to_string();
    assert!(missing.contains("create the schema"), "{missing}");
}

/// Tables of the first version, with a holder in them.
#[test]
fn tables_of_an_earlier_version_are_migrated() {
    let Some(server) = Server::start() else { return };
    let store = PostgresStore::open(&server.url(), EPOCH).unwrap();
    let grant = store.acquire(&request(3000)).unwrap();
    drop(store);
    sql(
        &server.url(),
        "ALTER TABLE pyflake_realms DROP COLUMN generation, DROP COLUMN rest_ms, DROP COLUMN rest_cause; \
         ALTER TABLE pyflake_nodes DROP COLUMN proven_at; \
         UPDATE pyflake_realms SET server = regexp_replace(server, '/[0-9]+/[0-9]+$', '')",
    );
    let error = PostgresStore::open(&server.url(), EPOCH).unwrap_err().to_string();
    assert!(error.contains("PostgresStore::migrate"), "{error}");
    PostgresStore::migrate(&server.url()).unwrap();
    let store = PostgresStore::open(&server.url(), EPOCH).unwrap();
    let next = store.acquire(&request(3000)).unwrap();
    assert!(next.floor >= grant.until, "{next:?} after {grant:?}");
}

#[test]
fn the_migration_can_be_run_again() {
    let Some(url) = shared() else { return };
    let store = PostgresStore::builder(&url).realm(unique("again")).open(EPOCH).unwrap();
    let grant = store.acquire(&request(60_000)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| PostgresStore::migrate(&url).unwrap());
        }
    });
    store.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap();
}

#[test]
fn what_is_wrong_is_told_with_the_way_out() {
    let Some(url) = shared() else { return };
    let told = |url: &str| PostgresStore::open(url, EPOCH).unwrap_err().to_string();
    sql(&url, "DROP DATABASE IF EXISTS bare");
    sql(&url, "CREATE DATABASE bare");
    let error = told(&format!("{}/bare", url.rsplit_once('/').unwrap().0));
    assert!(error.contains("PostgresStore::migrate"), "{error}");
    let error = told("postgres://app:s3cret@127.0.0.1:1/app");
    assert!(error.contains("postgres://127.0.0.1:1/app") && error.contains("refused"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
    let error = told("postgres://app:s3cret@[");
    assert!(error.starts_with("reading the PostgreSQL URL: ") && !error.contains("s3cret"), "{error}");
    let error = told(&format!("{url}?sslmode=require"));
    assert!(error.to_lowercase().contains("tls"), "{error}");
    let missing = PostgresStore::builder(&url).realm("nobody's").open_existing().unwrap_err().to_string();
    assert!(missing.contains("the realm \"nobody's\""), "{missing}");
}

#[test]
fn a_server_that_does_not_sync_is_refused() {
    let Some(server) = Server::with("fsync = off") else { return };
    let error = PostgresStore::open(&server.url(), EPOCH).unwrap_err();
    assert!(matches!(error, LeaseError::Corrupt { .. }) && error.to_string().contains("set fsync = on"), "{error}");
}

#[test]
fn a_standby_is_refused() {
    let Some(server) = Server::start() else { return };
    PostgresStore::open(&server.url(), EPOCH).unwrap();
    server.stop();
    server.stand_by();
    let error = PostgresStore::open(&server.url(), EPOCH).unwrap_err().to_string();
    assert!(error.contains("connect to the primary"), "{error}");
}

/// What waits for a lock ends in time, here and on the server.
#[test]
fn a_statement_that_waits_is_given_up() {
    let Some(server) = Server::start() else { return };
    let timeout = Duration::from_millis(300);
    let store = PostgresStore::builder(&server.url()).statement_timeout(timeout).open(EPOCH).unwrap();
    let grant = store.acquire(&request(60_000)).unwrap();
    let url = server.url();
    let locker = std::thread::spawn(move || {
        sql(&url, "BEGIN; LOCK TABLE pyflake_nodes; SELECT pg_sleep(2); COMMIT");
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'UPDATE%' AND wait_event_type = 'Lock'";
    let locks =
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'pyflake_nodes'::regclass";
    let count = |query| sql(&server.url(), query)[0].get(0).unwrap().parse::<u32>().unwrap();
    eventually("the table is locked", || count(locks) == 1);
    let start = std::time::Instant::now();
    let error = store.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(matches!(error, LeaseError::Unavailable { .. }) && error.to_string().contains("no answer within 300ms"));
    eventually("no statement waits on the server", || count(waits) == 0);
    assert!(!locker.is_finished(), "it was given up, and did not get the lock");
    locker.join().unwrap();
    assert_eq!(store.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap().until, grant.until + 1);
}

#[test]
fn it_talks_tls_with_the_connector_of_the_application() {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let Some(server) = Server::start() else { return };
    let certificate = CertificateDer::from_pem_file(server.secure()).unwrap();
    let connector = |roots| {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        tokio_postgres_rustls::MakeRustlsConnect::new(config)
    };
    let mut roots = rustls::RootCertStore::empty();
    let url = server.url() + "?sslmode=require";
    let distrusted = PostgresStore::builder(&url).tls(connector(roots.clone())).open(EPOCH).unwrap_err().to_string();
    assert!(distrusted.contains("certificate"), "{distrusted}");
    roots.add(certificate).unwrap();
    let store = PostgresStore::builder(&url).tls(connector(roots)).open(EPOCH).unwrap();
    let grant = store.acquire(&request(60_000)).unwrap();
    store.release(&grant, grant.floor).unwrap();
    // The server takes nobody without.
    assert!(PostgresStore::open(&server.url(), EPOCH).is_err());
}
