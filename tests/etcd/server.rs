//! Real servers: the one that `ci/etcd.sh` has started, and private ones for the tests that crash theirs.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pyflake::lease::{EtcdStore, LeaseError};
use pyflake::{Epoch, Node};
use serde_json::{Value, json};

use crate::fleet::{now, number, unique};
use crate::skip::needed;

/// The store under test.
pub(crate) type Store = EtcdStore;

/// What is set where nothing may be skipped.
pub(crate) const REQUIRED: &str = "PYFLAKE_REQUIRE_ETCD";

/// What is in every request for a change.
pub(crate) const WRITE: &str = "request_put";

/// How many bare changes a renewal may cost.
pub(crate) const BARE_CHANGES: f64 = 2.5;

/// The key that `Server::change` changes.
const CHANGED: &str = "changed";

/// How much of a core the renewals of 1024 nodes may take, with windows of a minute.
pub(crate) const SHARE_OF_A_CORE: f64 = 0.25;

/// The server that all tests share; `None` to skip the test.
pub(crate) fn shared() -> Option<String> {
    let what = "an etcd server: ci/etcd.sh COMMAND starts one for a command";
    needed(std::env::var("PYFLAKE_ETCD_URL").ok(), REQUIRED, what)
}

/// A server of one test, gone with it.
pub(crate) struct Server {
    root: PathBuf,
    /// For clients; the next one is for its peers.
    port: u16,
    /// What it is told besides, with URL for where it listens.
    options: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl Server {
    /// Starts one; `None` to skip the test.
    pub(crate) fn start() -> Option<Self> {
        Server::with(&[])
    }

    /// Starts one with these options; `None` to skip the test.
    pub(crate) fn with(options: &[&str]) -> Option<Self> {
        shared()?;
        // Ports are free if the server gets them.
        for _ in 0..20 {
            let server = Server::at(free_ports(), options);
            server.spawn();
            if server.comes_up() {
                return Some(server);
            }
            assert!(server.log().contains("address already in use"), "{}", server.log());
        }
        panic!("no port is free")
    }

    /// Starts one without a gateway, which never answers what is asked here; `None` to skip the test.
    pub(crate) fn without_gateway() -> Option<Self> {
        shared()?;
        let server = Server::at(free_ports(), &["--enable-grpc-gateway=false"]);
        server.spawn();
        Some(server)
    }

    /// Starts a cluster of three; `None` to skip the test.
    pub(crate) fn cluster() -> Option<[Self; 3]> {
        shared()?;
        let ports = [(); 3].map(|()| free_ports());
        let cluster = ports.map(|port| format!("m{port}={}", url(port + 1))).join(",");
        let members =
            ports.map(|port| Server::at(port, &["--name", &format!("m{port}"), "--initial-cluster", &cluster]));
        // Each waits for another one.
        members.iter().for_each(Server::spawn);
        assert!(members.iter().all(Server::comes_up), "{}", members.each_ref().map(Server::log).join("\n"));
        Some(members)
    }

    fn at(port: u16, options: &[&str]) -> Self {
        let root = std::env::temp_dir().join(unique("pyflake-etcd-server"));
        fs::create_dir(&root).unwrap();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Server { root, port, options, child: Mutex::new(None) }
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn up(&self) {
        self.spawn();
        assert!(self.comes_up(), "{}", self.log());
    }

    fn spawn(&self) {
        let (url, peer) = (self.url(), url(self.port + 1));
        let log = File::options().create(true).append(true).open(self.root.join("log")).unwrap();
        let child = Command::new(std::env::var("PYFLAKE_ETCD_BIN").expect("ci/etcd.sh sets it"))
            .args(["--name", "test", "--logger", "zap", "--log-level", "warn"])
            .args(["--heartbeat-interval", "30", "--election-timeout", "300"])
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}"), "--data-dir"])
            .arg(self.root.join("data"))
            .args(self.options.iter().map(|option| option.replace("URL", &url)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.child.lock().unwrap() = Some(child);
    }

    /// Waits until it answers, or has ended; whether it answers.
    fn comes_up(&self) -> bool {
        let start = Instant::now();
        while ask(&self.url(), "kv/txn", &json!({})).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "{}", self.log());
            if self.child.lock().unwrap().as_mut().is_none_or(|child| child.try_wait().unwrap().is_some()) {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// A connection for changes of keys of their own.
    pub(crate) fn bare(&self) -> Bare {
        Bare { url: self.url(), agent: agent(), changes: 0 }
    }

    /// The processor time that it has taken.
    pub(crate) fn cpu(&self) -> Duration {
        let id = self.child.lock().unwrap().as_ref().unwrap().id();
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        // After the name: 11 and 12 are the time in user and system mode.
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.root.join("log")).unwrap_or_default();
        let end: Vec<&str> = log.lines().rev().take(20).collect();
        format!("the end of the server's log, last line first:\n{}", end.join("\n"))
    }

    /// Changes it; the revision of the change, which it has acknowledged.
    pub(crate) fn change(&self) -> u64 {
        let answer = ask(&self.url(), "kv/put", &json!({ "key": STANDARD.encode(CHANGED) })).unwrap();
        answer["header"]["revision"].as_str().unwrap().parse().unwrap()
    }

    /// Whether it has kept the latest change and all before it: one that is lost leaves the later ones a lower revision.
    pub(crate) fn keeps(&self, change: u64) -> bool {
        let found = ask(&self.url(), "kv/range", &json!({ "key": STANDARD.encode(CHANGED) })).unwrap();
        found["kvs"][0]["mod_revision"].as_str().is_some_and(|revision| revision.parse() == Ok(change))
    }

    /// Crashes it.
    pub(crate) fn crash(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Keeps what it holds now, for `restore`. It must be down.
    pub(crate) fn back_up(&self) {
        self.copy("data", "backup");
    }

    /// Puts back what it held at the backup. It must be down.
    pub(crate) fn restore(&self) {
        fs::remove_dir_all(self.root.join("data")).unwrap();
        self.copy("backup", "data");
    }

    /// Makes it a cluster of its own with what it holds now, as an operator does with a snapshot.
    pub(crate) fn restore_as(&self, token: &str) {
        let (snapshot, data, peer) = (self.root.join("snapshot"), self.root.join("data"), url(self.port + 1));
        let etcdctl = || {
            let mut command = Command::new("etcdctl");
            command.env("ETCDCTL_API", "3").args(["--endpoints", &self.url(), "snapshot"]);
            command
        };
        assert!(etcdctl().arg("save").arg(&snapshot).output().unwrap().status.success());
        self.crash();
        fs::remove_dir_all(&data).unwrap();
        let restore = etcdctl()
            .arg("restore")
            .arg(snapshot)
            .arg("--data-dir")
            .arg(data)
            .args(["--name", "test", "--initial-cluster-token", token, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}")])
            .output()
            .unwrap();
        assert!(restore.status.success(), "{restore:?}");
        self.up();
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.root.join(from), self.root.join(to));
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
        if thread::panicking() {
            eprintln!("{}", self.log());
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// A connection for bare changes.
pub(crate) struct Bare {
    url: String,
    agent: ureq::Agent,
    changes: u64,
}

impl Bare {
    /// Changes a key.
    pub(crate) fn change(&mut self) {
        self.changes += 1;
        let (node, value) = (self.changes % 1024, format!("{:0200}", self.changes));
        let body = json!({ "key": STANDARD.encode(format!("bare/{node:04}")), "value": STANDARD.encode(value) });
        ask_by(&self.agent, &self.url, "kv/put", &body).unwrap();
    }
}

/// Whether a crash may take changes from the server that it has acknowledged: so it is from 3.5.0 to 3.5.2.
pub(crate) fn loses_changes() -> bool {
    let output = Command::new(std::env::var("PYFLAKE_ETCD_BIN").unwrap()).arg("--version").output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    ["3.5.0", "3.5.1", "3.5.2"].iter().any(|loses| version.contains(&format!("etcd Version: {loses}\n")))
}

/// Where to ask at a port of this machine.
pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

pub(crate) fn port_of(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.parse().unwrap()
}

pub(crate) fn open(url: &str, realm: &str, epoch: Epoch) -> Store {
    EtcdStore::builder(url).realm(realm).open(epoch).unwrap()
}

/// How long a tenure may take in the chaos, all processes together.
pub(crate) const SECONDS_OF_A_TENURE: u64 = 3;

/// Opens it with a timeout of its own.
pub(crate) fn open_within(url: &str, realm: &str, epoch: Epoch, timeout: Duration) -> Result<Store, LeaseError> {
    EtcdStore::builder(url).realm(realm).timeout(timeout).open(epoch)
}

/// A port and the next one. They are below the kernel's own, so that no connection is given one while its server is down.
pub(crate) fn free_ports() -> u16 {
    let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let number = u64::from(std::process::id()) * 31 + number();
        let port = 20_000 + u16::try_from(number % 6000).unwrap() * 2;
        if free(port) && free(port + 1) {
            return port;
        }
    }
}

/// What an operator does by hand.
fn ask(url: &str, what: &str, body: &Value) -> Result<Value, ureq::Error> {
    ask_by(&agent(), url, what, body)
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().proxy(None).timeout_global(Some(Duration::from_secs(5))).build().into()
}

fn ask_by(agent: &ureq::Agent, url: &str, what: &str, body: &Value) -> Result<Value, ureq::Error> {
    let mut answer = agent.post(format!("{url}/v3/{what}")).send(body.to_string())?;
    Ok(serde_json::from_str(&answer.body_mut().read_to_string()?).unwrap())
}

pub(crate) fn get(url: &str, key: &str) -> Value {
    let found = ask(url, "kv/range", &json!({ "key": STANDARD.encode(key) })).unwrap();
    serde_json::from_slice(&STANDARD.decode(found["kvs"][0]["value"].as_str().unwrap()).unwrap()).unwrap()
}

pub(crate) fn put(url: &str, key: &str, value: &str) {
    ask(url, "kv/put", &json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(value) })).unwrap();
}

pub(crate) fn delete(url: &str, key: &str) {
    ask(url, "kv/deleterange", &json!({ "key": STANDARD.encode(key) })).unwrap();
}

/// The cluster that a server is of.
pub(crate) fn cluster_of(url: &str) -> Value {
    ask(url, "kv/range", &json!({ "key": STANDARD.encode("none") })).unwrap()["header"]["cluster_id"].clone()
}

/// Makes a node another owner's.
pub(crate) fn steal(url: &str, realm: &str, node: Node) {
    let key = format!("pyflake/{realm}/node/{:04}", node.index());
    let mut value = get(url, &key);
    value["token"] = json!(value["token"].as_u64().unwrap() + 1);
    value["nonce"] = json!(1);
    value["label"] = json!("thief");
    put(url, &key, &value.to_string());
}

/// Holds all nodes of a realm but the first ones, so that those are used again and again.
pub(crate) fn leave_free(url: &str, realm: &str, free: u16) {
    let nobody = json!({
        "until": now() + 365 * 24 * 3_600_000, "token": 0, "nonce": 1, "label": "nobody", "window": 0, "acquired": 0,
        "renewed": 0, "generation": 1,
    });
    for node in free..1024 {
        put(url, &format!("pyflake/{realm}/node/{node:04}"), &nobody.to_string());
    }
}
