//! Earlier states of a server that are put back, and copies of a holder: with worker processes that issue meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use pyflake::lease::{
    Grant, Identity, LeaseError, LeaseStore, LeasedGenerator, OnLost, Owner, PostgresStore, PostgresStoreBuilder,
    Renewal, Request,
};
use pyflake::{Epoch, Node, Snowflake};

use crate::fleet::proxy::{Network, Proxy};
use crate::fleet::{EPOCH, eventually, now, request, unique};
use crate::server::{Server, leave_free, sql, url};
use crate::workers::issue;

const URL: &str = "PYFLAKE_TEST_RESTORE_URL";
const OUTPUT: &str = "PYFLAKE_TEST_RESTORE_OUTPUT";
const NAME: &str = "PYFLAKE_TEST_RESTORE_NAME";
const COPIED: &str = "PYFLAKE_TEST_RESTORE_GRANT";

const WINDOW: Duration = Duration::from_secs(4);
const SKEW: Duration = Duration::from_millis(300);

/// A server that is trusted by name is the negative control: it is what the store was before it noticed restores.
fn builder(url: &str, name: &str) -> PostgresStoreBuilder {
    // Patient, as a busy machine is slow.
    let patience = Duration::from_secs(10);
    let builder = PostgresStore::builder(url).max_skew(SKEW).connect_timeout(patience).statement_timeout(patience);
    if name.is_empty() { builder } else { builder.identity(Identity::Named(name.into())) }
}

fn open(url: &str) -> PostgresStore {
    builder(url, "").open(EPOCH).unwrap()
}

/// Not a test by itself: the other tests start this program again as a worker, which runs until it is killed.
#[test]
fn worker() {
    let (Ok(url), Ok(output), Ok(name)) = (std::env::var(URL), std::env::var(OUTPUT), std::env::var(NAME)) else {
        return;
    };
    let output = PathBuf::from(output);
    let generator = loop {
        let built = builder(&url, &name).open(EPOCH).and_then(|store| match std::env::var(COPIED) {
            Err(_) => LeasedGenerator::builder(store).window(WINDOW).build(),
            Ok(copied) => {
                let copied = Copied { store, grant: Mutex::new(Some(read_grant(&copied))) };
                LeasedGenerator::builder(copied).window(WINDOW).on_lost(OnLost::Stop).build()
            }
        });
        match built {
            Ok(generator) => break generator,
            Err(error) => fs::write(output.with_extension("refused"), error.to_string()).unwrap(),
        }
        thread::sleep(Duration::from_millis(20));
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                if let Some(error) = generator.last_error().filter(|error| matches!(**error, LeaseError::Lost { .. })) {
                    fs::write(output.with_extension("lost"), error.to_string()).unwrap();
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        issue(&output, 20, || generator.next_id());
    });
}

/// A store whose first grant is one that another process has too, as after the resume of a copied machine.
#[derive(Debug)]
struct Copied {
    store: PostgresStore,
    grant: Mutex<Option<Grant>>,
}

impl LeaseStore for Copied {
    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    fn acquire(&self, request: &Request) -> Result<Grant, LeaseError> {
        match self.grant.lock().unwrap().take() {
            Some(grant) => Ok(grant),
            None => self.store.acquire(request),
        }
    }

    fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
        self.store.renew(renewal)
    }

    fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
        self.store.release(grant, used_until)
    }
}

fn write_grant(grant: &Grant) -> String {
    let Grant { node, floor, until, token, owner } = grant;
    [u64::from(node.index()), *floor, *until, *token, owner.nonce].map(|number| number.to_string()).join(",")
}

fn read_grant(text: &str) -> Grant {
    let numbers: Vec<u64> = text.split(',').map(|number| number.parse().unwrap()).collect();
    let [index, floor, until, token, nonce] = numbers[..] else { panic!("{text}") };
    let owner = Owner { nonce, label: "copied".into() };
    Grant { node: Node::from_index(index).unwrap(), floor, until, token, owner }
}

/// The workers of a test, and what they have issued.
struct Workers {
    dir: PathBuf,
    name: &'static str,
    running: Vec<(PathBuf, Child)>,
}

impl Workers {
    fn new(name: &'static str) -> Self {
        let dir = std::env::temp_dir().join(unique("pyflake-restores"));
        fs::create_dir(&dir).unwrap();
        Workers { dir, name, running: Vec::new() }
    }

    /// Starts one; its output.
    fn start(&mut self, url: &str, copied: Option<&Grant>) -> PathBuf {
        let output = self.dir.join(format!("worker-{}", self.running.len()));
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "restores::worker"])
            .envs([(URL, url), (NAME, self.name), (OUTPUT, output.to_str().unwrap())])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(grant) = copied {
            command.env(COPIED, write_grant(grant));
        }
        self.running.push((output.clone(), command.spawn().unwrap()));
        output
    }

    /// Ends them; how many IDs they have issued, and those that were issued again.
    fn end(mut self) -> (usize, Vec<Snowflake>) {
        self.kill();
        let mut count = BTreeMap::<u64, u32>::new();
        for (output, _) in &self.running {
            for id in ids(output) {
                *count.entry(id).or_default() += 1;
            }
        }
        let issued = count.values().map(|&count| usize::try_from(count).unwrap()).sum();
        (issued, count.into_iter().filter(|(_, count)| *count > 1).map(|(id, _)| Snowflake::from(id)).collect())
    }

    fn kill(&mut self) {
        for (_, child) in &mut self.running {
            let _ = (child.kill(), child.wait());
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn ids(output: &Path) -> Vec<u64> {
    let read = |extension| fs::read(output.with_extension(extension)).unwrap_or_default();
    // A kill may cut the last ID short.
    [read("a"), read("b")].iter().flat_map(|ids| ids.as_chunks().0.iter().map(|&id| u64::from_le_bytes(id))).collect()
}

fn issues(output: &Path) {
    let before = ids(output).len();
    eventually("a worker issues", || ids(output).len() > before + 1000);
}

/// Its data directory is put back while a worker issues, which stays connected or does not; then another one comes.
fn put_back(name: &'static str, connected: bool) -> Option<(usize, Vec<Snowflake>)> {
    let server = Server::start()?;
    drop(builder(&server.url(), name).open(EPOCH).unwrap());
    leave_free(&server.url(), "default", 1);
    server.stop();
    server.back_up();
    server.up();
    let proxy = Proxy::to(server.port());
    let mut workers = Workers::new(name);
    let first = workers.start(&url(proxy.port()), None);
    issues(&first);
    // Renewed, as it is most of the time.
    thread::sleep(WINDOW / 2);
    if !connected {
        proxy.set(Network::Partitioned);
    }
    server.crash();
    server.put_back();
    server.up();
    let second = workers.start(&server.url(), None);
    thread::sleep(WINDOW * 2);
    if !connected {
        issues(&second);
    }
    Some(workers.end())
}

#[test]
fn a_data_directory_put_back_repeats_nothing() {
    // One that knows better lives; and nobody does, as far as the server can tell.
    for connected in [true, false] {
        let Some((issued, again)) = put_back("", connected) else { return };
        println!("connected {connected}: {issued} IDs, {} duplicates", again.len());
        assert!(again.is_empty() && issued > 2000, "{} of {issued}", again.len());
    }
}

#[test]
fn negative_control_a_server_that_is_trusted_by_name_repeats_thousands() {
    // Connected, the first one notices its row at its next renewal, and how many there are is a matter of chance.
    let Some((issued, again)) = put_back("trusted", false) else { return };
    println!("trusted: {issued} IDs, {} duplicates", again.len());
    assert!(again.len() > 1000, "{} of {issued}: the test could not fail", again.len());
}

/// The database is dropped, and made again from a backup, on the same server.
#[test]
fn a_dump_restored_on_the_same_server_repeats_nothing() {
    let Some(server) = Server::start() else { return };
    let app = format!("{}/app", server.url().rsplit_once('/').unwrap().0);
    sql(&server.url(), "CREATE DATABASE app");
    PostgresStore::migrate(&app).unwrap();
    drop(open(&app));
    leave_free(&app, "default", 1);
    sql(&server.url(), "CREATE DATABASE backup TEMPLATE app");
    let mut workers = Workers::new("");
    let first = workers.start(&app, None);
    issues(&first);
    sql(&server.url(), "ALTER DATABASE app ALLOW_CONNECTIONS false");
    sql(
        &server.url(),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app' AND pid <> pg_backend_pid()",
    );
    eventually("the database is dropped", || {
        sql(&server.url(), "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app'")[0].get(0) == Some("0")
    });
    sql(&server.url(), "DROP DATABASE app");
    sql(&server.url(), "CREATE DATABASE app TEMPLATE backup");
    let second = workers.start(&app, None);
    thread::sleep(WINDOW * 2);
    let rows = sql(&app, "SELECT generation, rest_cause FROM pyflake_realms");
    assert_eq!(rows[0].get(0), Some("2"), "fenced once: {:?}", rows[0].get(1));
    assert!(rows[0].get(1).unwrap().contains("a failover or a restore was noticed"));
    assert!(first.with_extension("lost").exists() || ids(&second).is_empty());
    let (issued, again) = workers.end();
    println!("dump: {issued} IDs, {} duplicates", again.len());
    assert!(again.is_empty() && issued > 1000, "{} of {issued}", again.len());
}

/// In another schema the rows of a dump are another store, which fences.
#[test]
fn rows_restored_into_another_schema_rest() {
    let Some(server) = Server::start() else { return };
    let store = open(&server.url());
    let grant = store.acquire(&request(3000)).unwrap();
    sql(&server.url(), "CREATE SCHEMA other");
    let builder = || builder(&server.url(), "").schema("other");
    builder().migrate().unwrap();
    sql(
        &server.url(),
        "INSERT INTO other.pyflake_realms SELECT * FROM pyflake_realms; \
         INSERT INTO other.pyflake_nodes SELECT * FROM pyflake_nodes",
    );
    let before = now();
    let other = builder().open(EPOCH).unwrap();
    let lost = other.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap_err();
    assert!(matches!(lost, LeaseError::Lost { .. }), "{lost}");
    let refused = other.acquire(&Request { max_floor: now() + 1000, ..request(3000) }).unwrap_err();
    let LeaseError::Resting { wait, cause } = &refused else { panic!("{refused}") };
    assert!(*wait <= Duration::from_millis(3600) && *wait > Duration::from_secs(1), "{refused}");
    assert!(cause.contains("a failover or a restore was noticed: the realm was kept by"), "{refused}");
    assert!(other.acquire(&request(3000)).unwrap().floor >= before + 3600);
    store.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap();
}

/// Windows were raised after the backup: the fence rests for the longest one that any caller of it knows.
#[test]
fn a_fence_counts_the_window_of_its_caller() {
    let Some(server) = Server::start() else { return };
    let (knows, url) = (open(&server.url()), server.url());
    let short = knows.acquire(&request(1000)).unwrap();
    server.stop();
    server.back_up();
    server.up();
    let long = knows.acquire(&request(20_000)).unwrap();
    let other = knows.acquire(&request(20_000)).unwrap();
    server.stop();
    server.put_back();
    server.up();
    let before = now();
    let lost = knows.renew(&Renewal::new(long.clone(), long.until)).unwrap_err();
    assert!(matches!(lost, LeaseError::Lost { .. }) && lost.to_string().contains("restore was noticed"), "{lost}");
    assert!(knows.renew(&Renewal::new(short.clone(), short.until)).is_err());
    // By another process, with a window of its own that is short.
    let next = open(&url).acquire(&request(1000)).unwrap();
    assert!(next.floor >= long.until.max(other.until) && next.floor >= before + 20_000 + 600 - 5, "{next:?}");
    assert_eq!(sql(&url, "SELECT generation FROM pyflake_realms")[0].get(0), Some("2"));
}

/// Only rows are put back, on a server that runs: the holder that knows better notices it, and all that notice it at once
/// fence once.
#[test]
fn rows_put_back_by_hand_are_noticed_at_the_next_renewal() {
    let Some(server) = Server::start() else { return };
    let url = server.url();
    let stores: Vec<PostgresStore> = (0..8).map(|_| open(&url)).collect();
    let grants: Vec<Grant> = stores.iter().map(|store| store.acquire(&request(3000)).unwrap()).collect();
    sql(&url, "CREATE TABLE saved AS SELECT * FROM pyflake_nodes");
    let renew = |(store, grant): (&PostgresStore, &Grant)| store.renew(&Renewal::new(grant.clone(), grant.until + 500));
    let grants: Vec<Grant> = stores.iter().zip(&grants).map(|pair| renew(pair).unwrap()).collect();
    sql(
        &url,
        "UPDATE pyflake_nodes n SET token = s.token, owner_nonce = s.owner_nonce, until_ms = s.until_ms, \
         expires_at = s.expires_at FROM saved s WHERE n.realm = s.realm AND n.node = s.node",
    );
    let barrier = Barrier::new(stores.len());
    thread::scope(|scope| {
        for pair in stores.iter().zip(&grants) {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let lost = renew(pair).unwrap_err();
                assert!(matches!(lost, LeaseError::Lost { .. }), "{lost}");
            });
        }
    });
    let rows = sql(&url, "SELECT generation, rest_cause FROM pyflake_realms");
    assert_eq!(rows[0].get(0), Some("2"), "fenced once: {:?}", rows[0].get(1));
    assert!(rows[0].get(1).unwrap().contains("were acknowledged"), "{:?}", rows[0].get(1));
    let next = stores[0].acquire(&request(3000)).unwrap();
    assert!(grants.iter().all(|grant| next.floor >= grant.until), "{next:?}");
}

/// A start of the server that lost nothing: holders go on, a node that is given back is free, and others rest.
#[test]
fn a_planned_restart_is_bearable() {
    let Some(server) = Server::start() else { return };
    let store = open(&server.url());
    leave_free(&server.url(), "default", 3);
    let held: Vec<Grant> = (0..2).map(|_| store.acquire(&request(3000)).unwrap()).collect();
    // A start may take long on a busy machine.
    sql(&server.url(), "UPDATE pyflake_nodes SET expires_at = now() + interval '1 hour' WHERE token = 1");
    server.stop();
    server.up();
    let started = now();
    // A renewal never rests.
    let held: Vec<Grant> =
        held.iter().map(|grant| store.renew(&Renewal::new(grant.clone(), now() + 3000)).unwrap()).collect();
    let brief = || Request { max_floor: now(), ..request(3000) };
    // The third node is free, but whether its row is the last one nobody can say.
    let refused = store.acquire(&brief()).unwrap_err();
    let LeaseError::Resting { wait, cause } = &refused else { panic!("{refused}") };
    assert!(*wait <= Duration::from_millis(3600) && cause.contains("the server was started"), "{refused}");
    assert!(store.nodes().unwrap().iter().all(|node| node.token == 1));
    // One that is given back by its holder is free at once.
    store.release(&held[0], held[0].floor).unwrap();
    let next = store.acquire(&brief()).unwrap();
    assert_eq!(next.node, held[0].node);
    eventually("the third node is free too", || store.acquire(&brief()).is_ok());
    let rested = now() - started;
    assert!(rested > 2000, "{rested}");
}

/// Holders pause until their leases expire; a backup is taken; another holder takes their nodes; the backup is put back.
#[test]
fn a_lease_that_had_expired_before_a_restore_is_lost() {
    let Some(server) = Server::start() else { return };
    let (url, paused) = (server.url(), open(&server.url()));
    leave_free(&url, "default", 4);
    let held: Vec<Grant> = (0..4).map(|_| paused.acquire(&request(3000)).unwrap()).collect();
    thread::sleep(Duration::from_millis(3100));
    server.stop();
    server.back_up();
    server.up();
    // As if the server had not been stopped for the backup.
    sql(&url, "UPDATE pyflake_nodes SET proven_at = pg_postmaster_start_time() WHERE node < 4");
    let later: Vec<Grant> = (0..4).map(|_| open(&url).acquire(&request(3000)).unwrap()).collect();
    server.stop();
    server.put_back();
    server.up();

    let longer = |grant: &Grant| Renewal::new(grant.clone(), now() + 3000);
    let mut outcomes = vec![paused.renew(&longer(&held[0]))];
    outcomes.extend(paused.renew_all(&[longer(&held[1]), longer(&held[2])]));
    for (outcome, held) in outcomes.iter().zip(&held) {
        if let Ok(renewed) = outcome {
            let later = later.iter().find(|later| later.node == held.node).unwrap();
            let twice = renewed.until.min(later.until).saturating_sub(now().max(later.floor));
            println!("{twice} ms of pid {} have two holders", held.node.pid());
        }
    }
    let released = paused.release(&held[3], held[3].floor);
    for lost in outcomes.into_iter().map(|outcome| outcome.map(drop)).chain([released]) {
        let lost = lost.map_err(|error| (matches!(error, LeaseError::Lost { .. }), error.to_string()));
        assert!(lost.as_ref().is_err_and(|(lost, why)| *lost && why.contains("expired before the server")), "{lost:?}");
    }
    for _ in 0..4 {
        let next = open(&url).acquire(&request(3000)).unwrap();
        assert!(later.iter().all(|later| next.floor >= later.until), "{next:?} after {later:?}");
    }
}

/// A renewal is sent again, and raises the window; the server goes back to before that; the holder gives its node back.
#[test]
fn a_release_after_a_restore_gives_nothing_back_that_was_used() {
    let Some(server) = Server::start() else { return };
    let (url, store) = (server.url(), open(&server.url()));
    leave_free(&url, "default", 1);
    let grant = store.acquire(&request(60_000)).unwrap();
    let sent = Renewal::new(grant.clone(), grant.until + 1000);
    store.renew(&sent).unwrap();
    server.stop();
    server.back_up();
    server.up();
    let renewed = store.renew(&Renewal { until: grant.until + 5000, ..sent }).unwrap();
    let used = grant.until + 4000;
    server.stop();
    server.put_back();
    server.up();
    // By a store that has seen no later position of the WAL, which may have grown past it since.
    let other = open(&url);
    other.release(&renewed, used).unwrap();
    let next = other.acquire(&request(60_000)).unwrap();
    let again = used.saturating_sub(next.floor);
    assert_eq!((next.floor, again), (used, 0), "{again} ms of the used window are given out again");
}

/// The realm was founded and used after the backup: founded again, it rests as well.
#[test]
fn a_realm_that_is_created_again_rests() {
    let Some(server) = Server::start() else { return };
    let start = Instant::now();
    server.stop();
    server.back_up();
    server.up();
    let lost = open(&server.url()).acquire(&request(20_000)).unwrap();
    // A cluster this young is taken for a new one.
    thread::sleep(Duration::from_secs(11).saturating_sub(start.elapsed()));
    server.stop();
    server.put_back();
    server.up();
    let again = open(&server.url()).acquire(&request(20_000)).unwrap();
    assert_eq!(again.token, 1, "nobody remembers");
    assert!(again.floor >= lost.until, "{again:?} after {lost:?}");
}

/// Of two copies of a holder one goes on, and the other one is lost, each at its first renewal.
#[test]
fn of_two_copies_of_a_holder_one_is_lost() {
    let Some(server) = Server::start() else { return };
    // Long, so that neither comes too late for it on a busy machine.
    let grant = open(&server.url()).acquire(&request(60_000)).unwrap();
    let mut workers = Workers::new("");
    let copies = [0, 1].map(|_| workers.start(&server.url(), Some(&grant)));
    let lost = |copy: &PathBuf| copy.with_extension("lost").exists();
    eventually("one is lost", || copies.iter().any(lost));
    thread::sleep(WINDOW);
    assert_eq!(copies.iter().filter(|copy| lost(copy)).count(), 1, "one of them alone");
    issues(copies.iter().find(|copy| !lost(copy)).unwrap());
    let (issued, again) = workers.end();
    let times: Vec<u64> = again.iter().map(|id| id.timestamp(EPOCH)).collect();
    let (first, last) = (times.iter().min().copied(), times.iter().max().copied());
    let span = last.zip(first).map(|(last, first)| Duration::from_millis(last - first));
    println!("copies: {issued} IDs, {} duplicates over {span:?} of a window of {WINDOW:?}", again.len());
    // A third of the window; the rest is for a busy machine.
    assert!(span.is_none_or(|span| span < WINDOW), "{span:?}");
}
