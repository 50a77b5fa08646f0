//! Leases among real processes, which are killed, stopped and restarted while their wall clocks are set.
//!
//! The wall clock is libfaketime's (Debian's package `faketime`). Without it these tests are skipped, unless
//! `PYFLAKE_REQUIRE_FAKETIME` is set, as `.ci/run` does.
#![cfg(target_os = "linux")]

#[path = "../util/skip.rs"]
mod skip;
#[path = "../util/workers.rs"]
mod workers;

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use pyflake::lease::{FileStore, LeaseError, LeaseStore, LeasedGenerator, Owner, Request};
use pyflake::{Epoch, Generator, Node};
use workers::{faketime, issue, set_wall_clock};

const EPOCH: Epoch = Epoch::from_unix_millis(1_555_301_520_000);

/// One at a time: each takes the machine to itself.
static ALONE: Mutex<()> = Mutex::new(());

/// What a worker is told through its environment.
const ROLE: &str = "PYFLAKE_TEST_ROLE";
const OUTPUT: &str = "PYFLAKE_TEST_OUTPUT";

/// How a worker gets its node.
enum Role {
    /// A lease from this directory.
    Lease(PathBuf),
    /// This node, without a lease: the negative control.
    Bare(Node),
}

/// Not a test by itself: the other tests start this program again as a worker, which runs until it is killed.
#[test]
fn worker() {
    let (Some(role), Some(output)) = (std::env::var_os(ROLE), std::env::var_os(OUTPUT)) else { return };
    let (role, output) = (role.into_string().unwrap(), PathBuf::from(output));
    if let Some(dir) = role.strip_prefix("hold:") {
        return hold(dir, &output);
    }
    if let Some(dir) = role.strip_prefix("lease:") {
        let generator = loop {
            let builder = FileStore::open(dir, EPOCH).map(LeasedGenerator::builder);
            // A short window, so that holders live long enough to renew it; what is refused is tried again.
            if let Ok(generator) = builder.and_then(|builder| builder.window(Duration::from_millis(300)).build()) {
                break generator;
            }
            thread::sleep(Duration::from_millis(20));
        };
        issue(&output, 20, || generator.next_id());
    } else {
        let (pid, seed) = role.strip_prefix("bare:").unwrap().split_once('/').unwrap();
        let node = Node::new(pid.parse().unwrap(), seed.parse().unwrap()).unwrap();
        let generator = Generator::new(EPOCH, node).unwrap();
        issue(&output, 20, || generator.next_id());
    }
}

/// How many nodes a holder takes: 32 of them have them all.
const HELD: u64 = 32;

/// Takes nodes, writes them down, and holds them until it is killed.
fn hold(dir: &str, output: &Path) {
    let store = FileStore::open(dir, EPOCH).unwrap();
    let mut nodes = Vec::new();
    for nonce in 0..HELD {
        let request = Request {
            owner: Owner { nonce, label: "holder".into() },
            now: 1_700_000_000_000,
            window: 1000,
            max_floor: u64::MAX,
        };
        nodes.push(store.acquire(&request).unwrap().node.index().to_string());
    }
    // Renamed, so that it is there whole or not at all.
    fs::write(output.with_extension("part"), nodes.join("\n")).unwrap();
    fs::rename(output.with_extension("part"), output).unwrap();
    loop {
        thread::park();
    }
}

/// Starts a worker whose wall clock is off by what a file says, such as `-3s`. Its other clocks are the machine's.
fn start(faketime: &Path, offset: &Path, role: &Role, output: &Path) -> Child {
    let role = match role {
        Role::Lease(dir) => format!("lease:{}", dir.display()),
        Role::Bare(node) => format!("bare:{}/{}", node.pid(), node.seed()),
    };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "worker"]).env(ROLE, role).env(OUTPUT, output).stdout(Stdio::null()).stderr(Stdio::null());
    set_wall_clock(&mut command, faketime, offset);
    command.spawn().unwrap()
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// How many IDs are in the workers' files, and how many of them are there again.
fn collect(dir: &Path) -> (usize, usize) {
    let mut ids = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "a" || extension == "b") {
            // A kill may cut the last ID short.
            ids.extend(fs::read(path).unwrap().as_chunks().0.iter().map(|&bytes| u64::from_le_bytes(bytes)));
        }
    }
    ids.sort_unstable();
    let duplicates = ids.windows(2).filter(|pair| pair[0] == pair[1]).count();
    println!("{} IDs, {duplicates} duplicates", ids.len());
    (ids.len(), duplicates)
}

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pyflake-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A random number below `n`.
fn random(n: u64) -> u64 {
    RandomState::new().hash_one(0) % n
}

/// Takes all but `free` nodes, so that those are used again and again; dropping the store gives them back.
fn occupy(dir: &Path, free: usize) -> FileStore {
    let store = FileStore::open(dir, EPOCH).unwrap();
    for nonce in 0..(Node::COUNT - free) as u64 {
        // A window long past: it is the locks that count.
        let request = Request { owner: Owner { nonce, label: "test".into() }, now: 0, window: 1, max_floor: u64::MAX };
        store.acquire(&request).unwrap();
    }
    store
}

#[test]
fn processes_share_1024_nodes_and_no_more() {
    let _alone = ALONE.lock();
    let dir = Directory::new("holders");
    let leases = dir.join("leases");
    let output = |holder| dir.join(format!("nodes-{holder}"));
    let mut holders: Vec<Child> = (0..Node::COUNT as u64 / HELD)
        .map(|holder| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "worker"])
                .env(ROLE, format!("hold:{}", leases.display()))
                .env(OUTPUT, output(holder))
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut nodes: Vec<u16> = Vec::new();
    for (holder, number) in holders.iter_mut().zip(0..) {
        while !output(number).exists() {
            assert!(holder.try_wait().unwrap().is_none(), "holder {number} ended");
            thread::sleep(Duration::from_millis(5));
        }
        nodes.extend(fs::read_to_string(output(number)).unwrap().lines().map(|node| node.parse::<u16>().unwrap()));
    }
    nodes.sort_unstable();
    nodes.dedup();
    assert_eq!(nodes.len(), Node::COUNT, "different ones");

    let store = FileStore::open(&leases, EPOCH).unwrap();
    let request = Request {
        owner: Owner { nonce: 0, label: "late".into() },
        now: 1_700_000_000_000,
        window: 1000,
        max_floor: u64::MAX,
    };
    assert!(matches!(store.acquire(&request), Err(LeaseError::NoFreeNode { nodes: 1024 })));
    // A death frees its nodes at once.
    kill(&mut holders[0]);
    let freed = store.acquire(&request).unwrap();
    assert_eq!(freed.floor, 1_700_000_001_000, "from where its window ended");
    holders.iter_mut().skip(1).for_each(kill);
}

/// Kills a worker 200 times, and starts the next at once with the wall clock set back by 5 s every other time.
fn lives(faketime: &Path, name: &str, role: &Role) -> (usize, usize) {
    let dir = Directory::new(name);
    let offset = dir.join("offset");
    for life in 0..200 {
        fs::write(&offset, if life % 2 == 0 { "+0s" } else { "-5s" }).unwrap();
        let mut child = start(faketime, &offset, role, &dir.join(format!("life-{life}")));
        thread::sleep(Duration::from_millis(40 + random(80)));
        kill(&mut child);
    }
    collect(&dir.0)
}

#[test]
fn killed_200_times_with_the_wall_set_back() {
    let Some(faketime) = faketime() else { return };
    let _alone = ALONE.lock();
    // 64 free nodes: each is used by three lives or so.
    let leases = Directory::new("leases");
    let _held = occupy(&leases.0, 64);
    let (ids, duplicates) = lives(&faketime, "lives", &Role::Lease(leases.0.clone()));
    assert!(ids > 10_000, "{ids}: the workers hardly ran");
    assert_eq!(duplicates, 0);
}

#[test]
fn negative_control_killed_200_times_without_a_lease() {
    let Some(faketime) = faketime() else { return };
    let _alone = ALONE.lock();
    let (ids, duplicates) = lives(&faketime, "bare-lives", &Role::Bare(Node::new(3, 3).unwrap()));
    assert!(duplicates > 0, "{ids} IDs and no duplicate: the test could not fail");
}

/// Eight processes of two threads for a while: stopped, continued, killed and restarted at random, each with a wall
/// clock that is set by up to 3 s to either side.
fn chaos(faketime: &Path, name: &str, time: Duration, role: impl Fn(&Directory, u64) -> Role) -> (usize, usize) {
    let dir = Directory::new(name);
    let offset = |process: u64| dir.join(format!("offset-{process}"));
    let mut lives = 0;
    let mut launch = |process: u64| {
        lives += 1;
        start(faketime, &offset(process), &role(&dir, process), &dir.join(format!("life-{process}-{lives}")))
    };
    let set = |process: u64| {
        // Written whole and renamed: a reader never sees half of it.
        let new = dir.join("offset-new");
        fs::write(&new, format!("{:+}s", random(7).cast_signed() - 3)).unwrap();
        fs::rename(new, offset(process)).unwrap();
    };
    let mut processes: Vec<(Child, bool)> = (0..8)
        .map(|process| {
            set(process);
            (launch(process), false)
        })
        .collect();
    let end = Instant::now() + time;
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(random(30)));
        let process = random(8);
        let (child, stopped) = &mut processes[usize::try_from(process).unwrap()];
        match random(5) {
            0 | 1 => set(process),
            2 => {
                kill(child);
                (*child, *stopped) = (launch(process), false);
            }
            _ => {
                signal(child, if *stopped { "-CONT" } else { "-STOP" });
                *stopped = !*stopped;
            }
        }
    }
    for (child, _) in &mut processes {
        kill(child);
    }
    collect(&dir.0)
}

#[test]
fn eight_processes_stopped_killed_and_stepped() {
    let Some(faketime) = faketime() else { return };
    let _alone = ALONE.lock();
    // 16 free nodes: every node has many holders.
    let leases = Directory::new("chaos-leases");
    let _held = occupy(&leases.0, 16);
    let role = |_: &Directory, _| Role::Lease(leases.0.clone());
    let (ids, duplicates) = chaos(&faketime, "chaos", Duration::from_secs(30), role);
    assert!(ids > 100_000, "{ids}: the workers hardly ran");
    assert_eq!(duplicates, 0);
}

#[test]
fn negative_control_eight_processes_without_leases() {
    let Some(faketime) = faketime() else { return };
    let _alone = ALONE.lock();
    // Every process has a node of its own, as a careful operator sets them up, and it does not help.
    let role = |_: &Directory, process| Role::Bare(Node::new(process, 4).unwrap());
    let (ids, duplicates) = chaos(&faketime, "bare-chaos", Duration::from_secs(10), role);
    assert!(duplicates > 0, "{ids} IDs and no duplicate: the test could not fail");
}
