//! Tests of the server as a process: under load, killed, stopped, and with its lease taken.
//!
//! Some tests set the wall clock by libfaketime (Debian's package `faketime`). Without it they are
//! skipped, or fail if `PYFLAKE_REQUIRE_FAKETIME` is set, as `.ci/run` does.
#![cfg(target_os = "linux")]

#[path = "../../../../tests/util/faketime.rs"]
mod faketime;
mod load;
mod process;
mod routes;
#[path = "../../../../tests/util/skip.rs"]
mod skip;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::pin::pin;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use hyper::StatusCode;
use pyflake::{Node, PyflakeClient, Snowflake};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use faketime::{faketime, set_wall_clock};
use load::{Connection, Load, Tally, duplicates, get, herd};
use process::{EPOCH, Server, occupy_all_but_one, server, status, take};

/// Runs the heavy tests one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn report(what: &str, tally: &mut Tally, time: Duration) {
    tally.latencies.sort_unstable();
    let latencies = &tally.latencies;
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = latencies.len() as f64 / time.as_secs_f64();
    let (requests, slowest) = (latencies.len(), latencies.last().copied().unwrap_or_default());
    println!("{what}: {requests} requests, {rate:.0}/s; p50 {:.1?}, p99 {:.1?}, max {slowest:.1?}", at(50), at(99));
}

#[test]
fn sixty_four_connections_and_thousands_of_requests_at_once() {
    let _alone = alone();
    rlimit::increase_nofile_limit(8192).unwrap();
    let (runtime, dir) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(server(dir.path(), &["--connections", "4000"])).unwrap();

    let start = Instant::now();
    let load = Load::start(&runtime, server.address, 64, "/id");
    thread::sleep(Duration::from_secs(20));
    let mut steady = load.stop(&runtime);
    report("64 connections", &mut steady, start.elapsed());
    assert_eq!(steady.errors, [""; 0]);

    let start = Instant::now();
    let mut herd = herd(&runtime, server.address, 3000);
    report("3000 at once", &mut herd, start.elapsed());
    assert_eq!(herd.errors, [""; 0]);
    assert_eq!(herd.ids.len(), 3000);

    let mut ids = [steady.ids, herd.ids].concat();
    assert_eq!(duplicates(&mut ids), 0);
    let metrics = get(&runtime, server.address, "/metrics").body;
    let issued = format!("\npyflake_ids_total {}\n", ids.len());
    assert!(str::from_utf8(&metrics).unwrap().contains(&issued), "every issued ID reached a caller");
}

/// The requests ask for more IDs than a second has, and a second is the longest wait for an ID. So
/// the callers must take turns. Meanwhile the process is stopped for longer than that.
#[test]
fn large_batches_at_once_are_all_answered() {
    let _alone = alone();
    let (runtime, leases) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(server(leases.path(), &[])).unwrap();
    let (address, start) = (server.address, Instant::now());
    let callers: Vec<_> = (0..500)
        .map(|_| {
            runtime.spawn(async move {
                let answer = Connection::open(address).await?.get("/ids?n=10000").await?;
                if answer.status == StatusCode::OK { Ok(()) } else { Err(format!("{answer:?}")) }
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    server.signal("-STOP");
    thread::sleep(Duration::from_millis(1500));
    server.signal("-CONT");
    let refused: Vec<String> =
        callers.into_iter().filter_map(|caller| runtime.block_on(caller).unwrap().err()).collect();
    println!("500 batches of 10000 IDs at once: {:.1?}", start.elapsed());
    assert_eq!(refused, [""; 0]);
}

/// A silent connection takes one place.
#[test]
fn connections_beyond_the_limit_wait_for_a_place() {
    let (runtime, leases) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(server(leases.path(), &["--connections", "4"])).unwrap();
    let mut silent: Vec<_> = (0..4).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    runtime.block_on(async {
        let mut late = Connection::open(server.address).await.unwrap();
        let mut answer = pin!(late.ids("/id"));
        assert!(timeout(Duration::from_millis(500), &mut answer).await.is_err(), "a fifth place");
        silent.pop();
        assert_eq!(timeout(Duration::from_secs(20), answer).await.unwrap().unwrap().len(), 1);
    });
}

/// The result of a kill under load.
struct Killed {
    before: Vec<Snowflake>,
    after: Vec<Snowflake>,
    /// From the kill to the first ID.
    down: Duration,
}

impl Killed {
    fn duplicates(&self) -> usize {
        duplicates(&mut [&self.before[..], &self.after[..]].concat())
    }
}

/// The length of a load before and after the kill. If the wall clock is set back by 5 s in between,
/// the two loads share half a second.
const SHARED: Duration = Duration::from_millis(2800);

/// Kills a server under load, and starts it again at once with the wall clock set back by 5 s.
fn kill(faketime: &Path, what: &str, time: Duration, command: impl Fn() -> Command) -> Killed {
    let (runtime, dir) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let offset = dir.path().join("offset");
    let command = || {
        let mut command = command();
        set_wall_clock(&mut command, faketime, &offset);
        command
    };
    fs::write(&offset, "+0s").unwrap();
    let server = Server::start(command()).unwrap();
    let load = Load::start(&runtime, server.address, 8, "/ids?n=20");
    thread::sleep(time);
    server.kill();
    let killed = Instant::now();
    let before = load.stop(&runtime).ids;

    fs::write(&offset, "-5s").unwrap();
    let server = Server::start_in_the_end(command);
    let first = get(&runtime, server.address, "/id");
    let down = killed.elapsed();
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    let load = Load::start(&runtime, server.address, 8, "/ids?n=20");
    thread::sleep(time);
    let Tally { ids: after, errors, .. } = load.stop(&runtime);
    assert_eq!(errors, [""; 0]);
    let killed = Killed { before, after, down };
    let (before, after) = (killed.before.len(), killed.after.len());
    println!(
        "{what}: {before} IDs, killed, serves again after {down:.1?}, {after} IDs, {} duplicates",
        killed.duplicates()
    );
    assert!(before.min(after) > 5000, "the server hardly ran");
    killed
}

#[test]
fn killed_under_load_with_the_wall_set_back() {
    let Some(faketime) = faketime() else { return };
    let _alone = alone();
    let leases = TempDir::new().unwrap();
    let killed = kill(&faketime, "another node", Duration::from_secs(1), || server(leases.path(), &[]));
    assert_eq!(killed.duplicates(), 0);
    assert_ne!(killed.before[0].node(), killed.after[0].node(), "the first node rests");
    assert!(killed.down < Duration::from_secs(5), "{:?}", killed.down);
}

#[test]
fn killed_under_load_with_the_wall_set_back_and_no_other_node() {
    let Some(faketime) = faketime() else { return };
    let _alone = alone();
    let leases = TempDir::new().unwrap();
    let _occupied = occupy_all_but_one(leases.path());
    let killed = kill(&faketime, "the same node", SHARED, || server(leases.path(), &["--window", "1"]));
    assert_eq!(killed.duplicates(), 0);
    assert_eq!(killed.before[0].node(), killed.after[0].node());
    // The clock reaches the end of the window after 5 s and the rest of the window.
    assert!(killed.down > Duration::from_secs(4), "{:?}", killed.down);
    assert!(killed.before.iter().max() < killed.after.iter().min());
}

/// The variable that makes this program run as a server.
const BARE: &str = "PYFLAKE_TEST_BARE";

/// Not a test: the control below starts this program again as a server without a lease.
#[test]
fn bare_server() {
    if env::var_os(BARE).is_none() {
        return;
    }
    let client = PyflakeClient::new(EPOCH);
    client.create_generator(3, 3).unwrap();
    Runtime::new().unwrap().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening on http://{}", listener.local_addr().unwrap());
        axum::serve(listener, pyflake_server_example::router(Arc::new(client))).await.unwrap();
    });
}

#[test]
fn negative_control_killed_under_load_without_a_lease() {
    let Some(faketime) = faketime() else { return };
    let _alone = alone();
    let killed = kill(&faketime, "no lease", SHARED, || {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "bare_server", "--nocapture"]).env(BARE, "1");
        command
    });
    assert!(killed.duplicates() > 0, "no duplicate: the test could not fail");
}

/// The number of callers, and of IDs for each. Together they take more than 300 ms.
const CALLERS: usize = 128;
const EACH: usize = 10_000;

type Asked = JoinHandle<Result<Vec<Snowflake>, String>>;

/// Sends a server a signal during requests; returns the requests and how many were under way.
///
/// The requests are sent 100 ms before, on open connections, so all of them have arrived. (HTTP
/// loses a request that arrives while the server closes an idle connection.)
fn signal_under_way(runtime: &Runtime, server: &Server) -> (Vec<Asked>, usize) {
    let (address, ready) = (server.address, Arc::new(Barrier::new(CALLERS + 1)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let ready = Arc::clone(&ready);
            runtime.spawn(async move {
                let mut connection = Connection::open(address).await?;
                connection.get("/health").await?;
                ready.wait().await;
                connection.ids(&format!("/ids?n={EACH}")).await
            })
        })
        .collect();
    runtime.block_on(ready.wait());
    thread::sleep(Duration::from_millis(100));
    let under_way = callers.iter().filter(|caller| !caller.is_finished()).count();
    server.signal("-TERM");
    (callers, under_way)
}

#[test]
fn a_sigterm_finishes_open_requests_and_gives_the_node_back() {
    let _alone = alone();
    let (runtime, leases) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let _occupied = occupy_all_but_one(leases.path());
    let first = Server::start(server(leases.path(), &[])).unwrap();
    let address = first.address;

    let (callers, under_way) = signal_under_way(&runtime, &first);
    let signalled = Instant::now();
    assert!(under_way > 0, "none was under way: the test could not fail");
    let mut ids = Vec::new();
    for caller in callers {
        let got = runtime.block_on(caller).unwrap().expect("it was under way");
        assert_eq!(got.len(), EACH);
        ids.extend(got);
    }
    let (exit, said) = first.end();
    assert!(exit.success(), "{said}");
    println!("{under_way} requests under way, the server ended {:.1?} after the signal", signalled.elapsed());
    assert!(runtime.block_on(Connection::open(address)).is_err(), "it accepts no more");

    // The node is free from the millisecond after the last ID, although the window had ten seconds
    // left.
    let last = ids.iter().max().unwrap();
    let node = status(leases.path(), last.node());
    assert_eq!((node.held, node.until), (false, last.timestamp(EPOCH) + 1));
    let start = Instant::now();
    let second = Server::start(server(leases.path(), &[])).unwrap();
    let id: Snowflake = get(&runtime, second.address, "/id").json()["id"].as_str().unwrap().parse().unwrap();
    println!("the next one served its first ID after {:.1?}", start.elapsed());
    assert!(id > *last && id.node() == last.node());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    ids.push(id);
    assert_eq!(duplicates(&mut ids), 0);
}

/// Without a grace period requests are cut off.
#[test]
fn negative_control_a_sigterm_without_grace() {
    let _alone = alone();
    let (runtime, leases) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(server(leases.path(), &["--grace", "0"])).unwrap();
    let (callers, _) = signal_under_way(&runtime, &server);
    let cut_off = callers.into_iter().filter_map(|caller| runtime.block_on(caller).unwrap().err()).count();
    println!("{cut_off} requests cut off");
    assert!(cut_off > 0, "none was cut off: the test could not fail");
    assert!(server.end().0.success());
}

#[test]
fn half_a_request_holds_the_node_for_the_grace_period_only() {
    let _alone = alone();
    let leases = TempDir::new().unwrap();
    let server = Server::start(server(leases.path(), &["--grace", "1"])).unwrap();
    let mut half = TcpStream::connect(server.address).unwrap();
    half.write_all(b"GET /id HTTP/1.1\r\nHost: ").unwrap();
    thread::sleep(Duration::from_millis(200));
    server.signal("-INT");
    let signalled = Instant::now();
    let (exit, said) = server.end();
    assert!(exit.success() && said.starts_with("note: "), "{said}");
    assert!(signalled.elapsed() < Duration::from_secs(5), "{:?}", signalled.elapsed());
    let nodes = pyflake::lease::FileStore::open_existing(leases.path()).unwrap().nodes().unwrap();
    assert!(nodes.len() == 1 && !nodes[0].held, "{nodes:?}");
    assert_eq!(half.read(&mut [0]).unwrap_or(0), 0);
}

/// Requests a path until the response has `status`.
fn await_status(runtime: &Runtime, server: &Server, path: &str, status: StatusCode) -> load::Answer {
    let start = Instant::now();
    loop {
        let answer = get(runtime, server.address, path);
        if answer.status == status {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "never {status}: {answer:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Both routes return a 503, and `/health` returns the reason.
fn assert_unavailable(runtime: &Runtime, server: &Server, state: &str) {
    let health = await_status(runtime, server, "/health", StatusCode::SERVICE_UNAVAILABLE).json();
    assert_eq!((&health["status"], &health["lease"]["state"]), (&"unavailable".into(), &state.into()), "{health}");
    assert_eq!(health["lease"]["window_millis"], 0);
    assert!(health["lease"]["last_error"].is_string());
    for path in ["/id", "/ids?n=3"] {
        let refused = get(runtime, server.address, path);
        assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
        assert!(refused.json()["error"].as_str().unwrap().contains("lease"));
    }
}

#[test]
fn health_is_503_while_the_lease_is_lost() {
    let _alone = alone();
    let (runtime, leases) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let occupied = occupy_all_but_one(leases.path());
    let server = Server::start(server(leases.path(), &["--window", "1"])).unwrap();
    let health = get(&runtime, server.address, "/health");
    assert_eq!((health.status, &health.json()["status"]), (StatusCode::OK, &"ok".into()));
    let node: Node = health.json()["lease"]["node"].as_str().unwrap().parse().unwrap();

    take(leases.path(), node);
    assert_unavailable(&runtime, &server, "lost");

    // The server acquires a free node by itself.
    drop(occupied);
    let health = await_status(&runtime, &server, "/health", StatusCode::OK).json();
    assert_eq!(health["lease"]["state"], "held");
    assert_ne!(health["lease"]["node"], node.to_string());
    assert_eq!(get(&runtime, server.address, "/id").status, StatusCode::OK);
}

#[test]
fn health_is_503_when_the_window_has_ended() {
    let _alone = alone();
    let (runtime, dir) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let leases = dir.path().join("leases");
    let server = Server::start(server(&leases, &["--window", "3"])).unwrap();
    fs::rename(&leases, dir.path().join("gone")).unwrap();
    // First the status is a warning, and IDs are still issued.
    let start = Instant::now();
    while get(&runtime, server.address, "/health").json()["status"] != "degraded" {
        assert!(start.elapsed() < Duration::from_secs(10), "no warning");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(get(&runtime, server.address, "/id").status, StatusCode::OK);
    assert_unavailable(&runtime, &server, "expired");
    // With the directory back, IDs are issued again.
    fs::rename(dir.path().join("gone"), &leases).unwrap();
    await_status(&runtime, &server, "/health", StatusCode::OK);
    assert_eq!(get(&runtime, server.address, "/id").status, StatusCode::OK);
}
