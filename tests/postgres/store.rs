//! The store by itself.

use std::process::{Command, Stdio};
use std::time::Duration;

use pyflake::lease::conformance::assert_conforms;
use pyflake::lease::{LeaseError, LeaseStore, PostgresStore, Renewal};

use crate::fleet::store::Realm;
use crate::fleet::{EPOCH, eventually, request, unique};
use crate::server::{Server, as_user, free_port, shared, sql};

#[test]
fn it_conforms_where_isolation_is_strict() {
    let Some(server) = Server::with("default_transaction_isolation = 'serializable'") else { return };
    assert_conforms(|| Realm::at(&server.url()));
}

/// A transaction pooler gives each call another connection, and would mix up whatever a session keeps.
#[test]
fn it_conforms_through_a_transaction_pooler() {
    let Some(server) = Server::start() else { return };
    if !std::path::Path::new("/usr/sbin/pgbouncer").exists() {
        assert!(std::env::var_os("PYFLAKE_REQUIRE_POSTGRES").is_none(), "pgbouncer is required and not installed");
        eprintln!("skipped: install Debian's package pgbouncer to run it");
        return;
    }
    let (port, ini) = (free_port(), std::env::temp_dir().join(unique("pgbouncer")));
    let (to, users) = (server.port(), ini.with_extension("users"));
    std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
    let text = format!(
        "[databases]\npostgres = host=127.0.0.1 port={to}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\n\
         default_pool_size = 3\nserver_reset_query_always = 1\nserver_reset_query = DISCARD ALL\n",
        users.display()
    );
    std::fs::write(&ini, text).unwrap();
    let mut command = as_user("/usr/sbin/pgbouncer".as_ref());
    let mut pooler = command.arg("-q").arg(&ini).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("the pooler listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    let outcome = std::panic::catch_unwind(|| {
        PostgresStore::migrate(&url).unwrap();
        assert_conforms(|| Realm::at(&url));
    });
    // Its child runs the pooler where it was started as another user; it passes the signal on.
    assert!(Command::new("kill").arg(pooler.id().to_string()).status().unwrap().success());
    pooler.wait().unwrap();
    let _ = (std::fs::remove_file(&ini), std::fs::remove_file(&users));
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
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
