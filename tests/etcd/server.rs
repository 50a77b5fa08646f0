//! Real servers: the one that `ci/etcd.sh` has started, and private ones for the tests that crash theirs.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pyflake::Node;
use serde_json::{Value, json};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A name of its own.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The server that all tests share; `None` to skip the test.
pub(crate) fn shared() -> Option<String> {
    let url = std::env::var("PYFLAKE_ETCD_URL").ok();
    if url.is_none() {
        assert!(std::env::var_os("PYFLAKE_REQUIRE_ETCD").is_none(), "an etcd server is required");
        eprintln!("skipped: this test needs an etcd server; run it with ci/etcd.sh");
    }
    url
}

/// A server of one test, gone with it.
pub(crate) struct Server {
    root: PathBuf,
    ports: (u16, u16),
    child: Mutex<Option<Child>>,
}

impl Server {
    /// Starts one; `None` to skip the test.
    pub(crate) fn start() -> Option<Self> {
        shared()?;
        let root = std::env::temp_dir().join(unique("pyflake-etcd-server"));
        fs::create_dir(&root).unwrap();
        let server = Server { root, ports: (free_port(), free_port()), child: Mutex::new(None) };
        server.up();
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.ports.0
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn up(&self) {
        let (url, peer) = (self.url(), format!("http://127.0.0.1:{}", self.ports.1));
        let log = File::options().create(true).append(true).open(self.root.join("log")).unwrap();
        let child = Command::new(std::env::var("PYFLAKE_ETCD_BIN").expect("ci/etcd.sh sets it"))
            .args(["--name", "test", "--logger", "zap", "--log-level", "warn"])
            .args(["--heartbeat-interval", "30", "--election-timeout", "300"])
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}"), "--data-dir"])
            .arg(self.root.join("data"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.child.lock().unwrap() = Some(child);
        eventually("the server answers", || ask(&self.url(), "kv/txn", &json!({})).is_ok());
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

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.root.join(from), self.root.join(to));
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
        if thread::panicking() {
            let log = fs::read_to_string(self.root.join("log")).unwrap_or_default();
            let end: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("the end of the server's log, last line first:\n{}", end.join("\n"));
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Below the kernel's own, so that no connection is given it while its server is down.
fn free_port() -> u16 {
    let start = u16::try_from(std::process::id() % 6000).unwrap();
    loop {
        let step = u16::try_from(NUMBER.fetch_add(1, Ordering::Relaxed) % 6000).unwrap();
        let port = 20_000 + (start + step * 7) % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits for something that happens elsewhere; how long it took.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

/// What an operator does by hand.
pub(crate) fn ask(url: &str, what: &str, body: &Value) -> Result<Value, ureq::Error> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().proxy(None).timeout_global(Some(Duration::from_secs(5))).build().into();
    let mut answer = agent.post(format!("{url}/v3/{what}")).send(body.to_string())?;
    Ok(serde_json::from_str(&answer.body_mut().read_to_string()?).unwrap())
}

pub(crate) fn put(url: &str, key: &str, value: &str) {
    ask(url, "kv/put", &json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(value) })).unwrap();
}

/// Makes a node another owner's.
pub(crate) fn steal(url: &str, realm: &str, node: Node) {
    let key = format!("pyflake/{realm}/node/{:04}", node.index());
    let found = ask(url, "kv/range", &json!({ "key": STANDARD.encode(&key) })).unwrap();
    let value = STANDARD.decode(found["kvs"][0]["value"].as_str().unwrap()).unwrap();
    let mut value: Value = serde_json::from_slice(&value).unwrap();
    value["token"] = json!(value["token"].as_u64().unwrap() + 1);
    value["nonce"] = json!(1);
    value["label"] = json!("thief");
    put(url, &key, &value.to_string());
}

/// Holds all nodes of a realm but the first ones, so that those are used again and again.
pub(crate) fn leave_free(url: &str, realm: &str, free: u16) {
    for node in free..1024 {
        put(url, &format!("pyflake/{realm}/live/{node:04}"), "1");
    }
}
