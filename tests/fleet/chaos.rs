//! Chaos: processes that are stopped, killed and continued, with clocks that step, on a network that fails and a server
//! that crashes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::RwLock;
use std::thread;
use std::time::{Duration, Instant};

use pyflake::lease::{LeaseError, LeaseStore, LeasedGenerator, Renewal};
use pyflake::{Generator, Node};

use crate::fleet::proxy::{Network, Proxy};
use crate::fleet::{EPOCH, now, request, unique};
use crate::server::{REQUIRED, SECONDS_OF_A_TENURE, Server, Store, leave_free, open, open_within, url};
use crate::workers::{faketime, issue, set_wall_clock};

/// What a worker is told through its environment.
const ROLE: &str = "PYFLAKE_TEST_ROLE";
const URL: &str = "PYFLAKE_TEST_URL";
const OUTPUT: &str = "PYFLAKE_TEST_OUTPUT";

const WINDOW: Duration = Duration::from_millis(600);
const PROCESSES: u64 = 5;

/// How a worker minds its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// As the library does.
    Windowed,
    /// The same on two nodes at once.
    Sharded,
    /// As it is often done: it has a node as long as no renewal has said otherwise, and looks at no window.
    Unchecked,
}

impl Role {
    /// How many nodes there are: too few for all processes.
    fn nodes(self) -> u16 {
        if self == Role::Sharded { 6 } else { 3 }
    }
}

/// Not a test by itself: the other tests start this program again as a worker, which runs until it is killed.
#[test]
fn worker() {
    let (Ok(role), Ok(url), Ok(output)) = (std::env::var(ROLE), std::env::var(URL), std::env::var(OUTPUT)) else {
        return;
    };
    let output = PathBuf::from(output);
    if role == "Windowed" {
        let generator = persist(|| LeasedGenerator::builder(connect(&url)?).window(WINDOW).build());
        issue(&output, 400, || generator.next_id());
    } else if role == "Sharded" {
        let generator = persist(|| LeasedGenerator::builder(connect(&url)?).window(WINDOW).build_sharded(2));
        issue(&output, 400, || generator.next_id());
    } else {
        let millis = u64::try_from(WINDOW.as_millis()).unwrap();
        let store = persist(|| connect(&url));
        let acquire = || {
            let grant = persist(|| store.acquire(&request(millis)));
            (Generator::builder(EPOCH, grant.node).clock(now).build().unwrap(), grant)
        };
        let (generator, mut grant) = acquire();
        let generator = RwLock::new(generator);
        thread::scope(|scope| {
            scope.spawn(|| {
                loop {
                    thread::sleep(WINDOW / 3);
                    match store.renew(&Renewal::new(grant.clone(), now() + millis)) {
                        Ok(renewed) => grant = renewed,
                        Err(LeaseError::Lost { .. }) => {
                            let next = acquire();
                            grant = next.1;
                            *generator.write().unwrap() = next.0;
                        }
                        Err(_) => {}
                    }
                }
            });
            issue(&output, 400, || generator.read().unwrap().next_id());
        });
    }
}

fn connect(url: &str) -> Result<Store, LeaseError> {
    open_within(url, "default", EPOCH, Duration::from_millis(200))
}

fn persist<T>(attempt: impl Fn() -> Result<T, LeaseError>) -> T {
    loop {
        if let Ok(done) = attempt() {
            return done;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The generator `SplitMix64`: a seed is a run.
struct Random(u64);

impl Random {
    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }
}

/// A worker, and whether it is stopped.
struct Process {
    child: Child,
    stopped: bool,
}

/// All that a run has: a server, a network, a directory.
struct Run<'a> {
    faketime: &'a Path,
    role: Role,
    dir: PathBuf,
    proxy: Proxy,
    lives: u64,
    random: Random,
}

impl Run<'_> {
    fn offset(&self, process: u64) -> PathBuf {
        self.dir.join(format!("offset-{process}"))
    }

    /// Steps the wall clock of a process by up to 3 s to either side.
    fn step(&mut self, process: u64) {
        // Written whole and renamed: a reader never sees half of it.
        let new = self.dir.join("offset-new");
        fs::write(&new, format!("{:+}s", self.random.below(7).cast_signed() - 3)).unwrap();
        fs::rename(new, self.offset(process)).unwrap();
    }

    fn launch(&mut self, process: u64) -> Process {
        self.lives += 1;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "fleet::chaos::worker"])
            .env(ROLE, format!("{:?}", self.role))
            .env(URL, url(self.proxy.port()))
            .env(OUTPUT, self.dir.join(format!("life-{}", self.lives)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        set_wall_clock(&mut command, self.faketime, &self.offset(process));
        Process { child: command.spawn().unwrap(), stopped: false }
    }

    /// How many IDs are in the workers' files, and how many of them are there again.
    fn collect(&self) -> (usize, usize) {
        let mut ids: Vec<u64> = Vec::new();
        for entry in fs::read_dir(&self.dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "a" || extension == "b") {
                // A kill may cut the last ID short.
                ids.extend(fs::read(path).unwrap().as_chunks().0.iter().map(|&bytes| u64::from_le_bytes(bytes)));
            }
        }
        let issued = ids.len();
        ids.sort_unstable();
        ids.dedup();
        (issued, issued - ids.len())
    }
}

fn signal(process: &Process, name: &str) {
    assert!(Command::new("kill").args([name, &process.child.id().to_string()]).status().unwrap().success());
}

/// A run of a seed; how many IDs were issued, and how many of them again.
fn chaos(faketime: &Path, role: Role, seed: u64, time: Duration) -> Option<(usize, usize)> {
    let server = Server::start()?;
    let dir = std::env::temp_dir().join(unique("pyflake-chaos"));
    fs::create_dir(&dir).unwrap();
    let operator = open(&server.url(), "default", EPOCH);
    leave_free(&server.url(), "default", role.nodes());
    let mut run = Run { faketime, role, dir, proxy: Proxy::to(server.port()), lives: 0, random: Random(seed) };
    let mut processes = Vec::new();
    for process in 0..PROCESSES {
        run.step(process);
        processes.push(run.launch(process));
    }
    let end = Instant::now() + time;
    let (mut crashes, mut partitions, mut slowest) = (0, 0, Duration::ZERO);
    // When the network works again, if it does not.
    let mut heal = None;
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(run.random.below(60)));
        if heal.is_some_and(|heal| Instant::now() >= heal) {
            run.proxy.set(Network::Works);
            heal = None;
        }
        let index = run.random.below(PROCESSES);
        let process = &mut processes[usize::try_from(index).unwrap()];
        match run.random.below(80) {
            0..16 => run.step(index),
            16..22 => {
                process.child.kill().unwrap();
                process.child.wait().unwrap();
                *process = run.launch(index);
            }
            22..44 => {
                signal(process, if process.stopped { "-CONT" } else { "-STOP" });
                process.stopped = !process.stopped;
            }
            44..48 if heal.is_none() => {
                let lost = [Network::Partitioned, Network::LosesAcknowledgements];
                run.proxy.set(lost[usize::try_from(run.random.below(2)).unwrap()]);
                heal = Some(Instant::now() + Duration::from_millis(run.random.below(1000)));
                partitions += 1;
            }
            48 => {
                let start = Instant::now();
                server.crash();
                thread::sleep(Duration::from_millis(run.random.below(500)));
                server.up();
                slowest = slowest.max(start.elapsed());
                crashes += 1;
            }
            // An operator takes a holder that may live for dead.
            49..53 => {
                let node = Node::from_index(run.random.below(role.nodes().into())).unwrap();
                // A server that has just restarted elects a leader before it changes anything.
                match operator.evict(node) {
                    Ok(_) | Err(LeaseError::Unavailable { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            _ => {}
        }
    }
    for process in &mut processes {
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }
    let (issued, duplicates) = run.collect();
    // It may have crashed by itself: etcd 3.5.1 panics now and then in a transaction while its clients are killed.
    server.crash();
    server.up();
    let tenures: u64 = operator.nodes().unwrap().iter().map(|node| node.token).sum();
    println!(
        "{role:?}, seed {seed}: {issued} IDs, {duplicates} duplicates; {tenures} tenures, {} lives, {crashes} crashes of \
         up to {slowest:?}, {partitions} partitions",
        run.lives
    );
    assert!(tenures > time.as_secs() / SECONDS_OF_A_TENURE, "{tenures}: hardly a node was taken over");
    fs::remove_dir_all(&run.dir).unwrap();
    Some((issued, duplicates))
}

/// All of it where it is required, as by `.ci/run`; a third elsewhere.
fn time() -> Duration {
    Duration::from_secs(if std::env::var_os(REQUIRED).is_some() { 35 } else { 12 })
}

#[test]
fn no_id_twice_in_chaos() {
    let Some(faketime) = faketime() else { return };
    let run = |(seed, role)| chaos(&faketime, role, seed, time());
    let roles = [(1, Role::Windowed), (2, Role::Windowed), (3, Role::Windowed), (4, Role::Sharded)];
    let runs: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = roles.map(|role| scope.spawn(move || run(role))).into();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    for (issued, duplicates) in runs {
        assert!(issued > 100_000, "{issued}: the workers hardly ran");
        assert_eq!(duplicates, 0);
    }
}

#[test]
fn negative_control_without_the_window_there_are_duplicates() {
    let Some(faketime) = faketime() else { return };
    let Some((issued, duplicates)) = chaos(&faketime, Role::Unchecked, 1, time()) else { return };
    assert!(duplicates > 0, "{issued} IDs and no duplicate: the test could not fail");
}
