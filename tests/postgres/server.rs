//! Real servers: the one that `ci/postgres.sh` has started, and private ones for the tests that stop theirs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use pyflake::lease::{LeaseError, PostgresStore};
use pyflake::{Epoch, Node};

use crate::database::postgres_url;
use crate::fleet::{certify, unique};
use crate::workers::set_wall_clock;

/// The store under test.
pub(crate) type Store = PostgresStore;

/// What is set where nothing may be skipped.
pub(crate) const REQUIRED: &str = "PYFLAKE_REQUIRE_POSTGRES";

/// What is in every request for a change.
pub(crate) const WRITE: &str = "UPDATE";

/// How much of a core the renewals of 1024 nodes may take, with windows of a minute.
pub(crate) const SHARE_OF_A_CORE: f64 = 0.02;

/// How many bare changes a renewal may cost.
pub(crate) const BARE_CHANGES: f64 = 1.7;

/// A server that flushes only what a statement asks for: the rest is lost in a crash.
const LAZY: &str = "synchronous_commit = off\nwal_writer_delay = 10s";

/// The server that all tests share, with the tables in it; `None` to skip the test.
pub(crate) fn shared() -> Option<String> {
    let url = postgres_url()?;
    PostgresStore::migrate(&url).unwrap();
    Some(url)
}

/// A server of one test, gone with it.
pub(crate) struct Server {
    root: PathBuf,
    data: PathBuf,
    port: u16,
    /// libfaketime, if the server's clock is set by the file `offset`.
    clock: Option<PathBuf>,
}

impl Server {
    /// Starts one that flushes no more than it must; `None` to skip the test.
    pub(crate) fn start() -> Option<Self> {
        Server::with(LAZY)
    }

    /// Starts one with these lines in its configuration; `None` to skip the test.
    pub(crate) fn with(settings: &str) -> Option<Self> {
        shared()?;
        let root = std::env::temp_dir().join(unique("pyflake-server"));
        fs::create_dir(&root).unwrap();
        if let Some(user) = user() {
            assert!(Command::new("chown").arg(&user).arg(&root).status().unwrap().success());
        }
        let server = Server { data: root.join("data"), root, port: free_port(), clock: None };
        server.run("initdb", &["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let socket = server.root.display();
        server.configure(&format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{socket}'\nmax_connections = 100\n\
             shared_buffers = 16MB\nmax_wal_size = 256MB\n{settings}\n",
            server.port
        ));
        server.up();
        PostgresStore::migrate(&server.url()).unwrap();
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn configure(&self, lines: &str) {
        use std::io::Write;
        let mut file = fs::OpenOptions::new().append(true).open(self.data.join("postgresql.conf")).unwrap();
        file.write_all(lines.as_bytes()).unwrap();
    }

    /// Gives it a certificate of its own, for 127.0.0.1, and takes connections with TLS alone; answers the certificate.
    pub(crate) fn secure(&self) -> PathBuf {
        let (certificate, _) = certify(as_user("openssl".as_ref()), &self.data);
        self.configure("ssl = on\n");
        let hba = "printf 'hostssl all all 127.0.0.1/32 trust\\n' > \"$1\"";
        let hba = as_user("sh".as_ref()).args(["-c", hba, "sh"]).arg(self.data.join("pg_hba.conf")).status().unwrap();
        assert!(hba.success());
        self.stop();
        self.up();
        certificate
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn up(&self) {
        let log = self.root.join("log");
        self.run("pg_ctl", &["start", "-w", "-t", "60", "-l", log.to_str().unwrap()]);
    }

    /// Crashes it: all its processes end at once, with what they had not written.
    pub(crate) fn crash(&self) {
        self.run("pg_ctl", &["stop", "-m", "immediate", "-w"]);
    }

    /// Changes it; where the WAL ends then, which it has acknowledged.
    pub(crate) fn change(&self) -> u64 {
        sql(
            &self.url(),
            "SET synchronous_commit = on; CREATE TABLE IF NOT EXISTS changed (); INSERT INTO changed DEFAULT VALUES",
        );
        self.position()
    }

    /// Whether it has kept a change, and all before it.
    pub(crate) fn keeps(&self, change: u64) -> bool {
        self.position() >= change
    }

    fn position(&self) -> u64 {
        let rows = sql(&self.url(), "SELECT pg_current_wal_flush_lsn() - '0/0'");
        rows[0].get(0).unwrap().parse().unwrap()
    }

    pub(crate) fn stop(&self) {
        self.run("pg_ctl", &["stop", "-m", "fast", "-w"]);
    }

    /// Another server with what this one holds now. This one must be stopped.
    pub(crate) fn copy(&self) -> Server {
        let root = std::env::temp_dir().join(unique("pyflake-server"));
        assert!(Command::new("cp").arg("-a").args([&self.root, &root]).status().unwrap().success());
        let server = Server { data: root.join("data"), root, port: free_port(), clock: None };
        server.configure(&format!("port = {}\n", server.port));
        server
    }

    /// Keeps a copy of its data directory, as a snapshot of its volume does. It must be stopped.
    pub(crate) fn back_up(&self) {
        assert!(Command::new("cp").arg("-a").args([&self.data, &self.backup()]).status().unwrap().success());
    }

    /// Puts the copy back. It must be stopped.
    pub(crate) fn put_back(&self) {
        fs::remove_dir_all(&self.data).unwrap();
        assert!(Command::new("cp").arg("-a").args([&self.backup(), &self.data]).status().unwrap().success());
    }

    fn backup(&self) -> PathBuf {
        self.root.join("backup")
    }

    /// Starts it again with a clock that `set_clock` sets.
    pub(crate) fn fake_clock(&mut self, faketime: PathBuf) {
        // A process with the number of a dead one would find what libfaketime has left of that, under another user.
        for entry in fs::read_dir("/dev/shm").unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let dead = |pid: &str| !pid.is_empty() && !Path::new("/proc").join(pid).exists();
            if name.contains("faketime_") && name.rsplit_once('_').is_some_and(|(_, pid)| dead(pid)) {
                let _ = fs::remove_file(entry.path());
            }
        }
        self.set_clock(0);
        self.clock = Some(faketime);
        self.stop();
        self.up();
    }

    /// Sets how many seconds its clock is off.
    pub(crate) fn set_clock(&self, seconds: i32) {
        // Written whole and renamed: a reader never sees half of it.
        let new = self.root.join("offset-new");
        fs::write(&new, format!("{seconds:+}s")).unwrap();
        assert!(Command::new("chmod").arg("a+r").arg(&new).status().unwrap().success());
        fs::rename(new, self.root.join("offset")).unwrap();
    }

    /// Starts it as a standby, which reads and does not write.
    pub(crate) fn stand_by(&self) {
        fs::write(self.data.join("standby.signal"), "").unwrap();
        if let Some(user) = user() {
            assert!(Command::new("chown").arg(&user).arg(self.data.join("standby.signal")).status().unwrap().success());
        }
        self.up();
    }

    /// Starts it as a standby, and promotes it: it goes on alone, on a timeline of its own.
    pub(crate) fn promote(&self) {
        self.stand_by();
        self.run("pg_ctl", &["promote", "-w"]);
    }

    /// A connection for changes of a table that has what a renewal must have: a key, a nonce and the window's end.
    pub(crate) fn bare(&self) -> Bare {
        sql(
            &self.url(),
            "CREATE TABLE IF NOT EXISTS bare (realm text, node bigint, nonce bigint, until_ms bigint, \
             PRIMARY KEY (realm, node)) WITH (fillfactor = 30); \
             INSERT INTO bare SELECT 'default', node, 0, 0 FROM generate_series(0, 1023) node ON CONFLICT DO NOTHING",
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            // As each statement of a store has it.
            client.batch_execute("SET synchronous_commit = on").await.unwrap();
            client
        });
        Bare { runtime, client, changes: 0 }
    }

    /// The processor time that its processes have taken.
    pub(crate) fn cpu(&self) -> Duration {
        let postmaster = fs::read_to_string(self.data.join("postmaster.pid")).unwrap();
        let postmaster = postmaster.lines().next().unwrap();
        let mut time = 0;
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
            // From the parent's number on: 1 is the parent. Each process is one thread, and its time is in nanoseconds.
            if fields[1] == postmaster || entry.file_name() == *postmaster {
                let Ok(times) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
                time += times.split(' ').next().unwrap().parse::<u64>().unwrap();
            }
        }
        Duration::from_nanos(time)
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let bin = PathBuf::from(std::env::var("PYFLAKE_POSTGRES_BIN").expect("ci/postgres.sh sets it"));
        let mut command = as_user(&bin.join(program));
        if let Some(faketime) = &self.clock {
            set_wall_clock(&mut command, faketime, &self.root.join("offset"));
        }
        let out = fs::File::create(self.root.join("out")).unwrap();
        let (stdout, stderr) = (out.try_clone().unwrap(), out);
        let status = command
            .args(arguments)
            .arg("-D")
            .arg(&self.data)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .status()
            .unwrap();
        let said = || fs::read_to_string(self.root.join("out")).unwrap();
        assert!(status.success(), "{program}: {}{}", said(), self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let end: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("the end of the server's log, last line first:\n{}", end.join("\n"));
        }
        if self.data.join("postmaster.pid").exists() {
            self.crash();
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// A connection for bare changes, sent as a store sends its statements.
pub(crate) struct Bare {
    runtime: tokio::runtime::Runtime,
    client: tokio_postgres::Client,
    changes: i64,
}

impl Bare {
    /// Changes a row by its key.
    pub(crate) fn change(&mut self) {
        use tokio_postgres::types::{ToSql, Type};
        self.changes += 1;
        let (node, until) = (self.changes % 1024, self.changes);
        let update = "UPDATE bare SET nonce = $3, until_ms = $4 WHERE realm = $1 AND node = $2 RETURNING until_ms";
        let values: [(&(dyn ToSql + Sync), Type); 4] =
            [(&"default", Type::TEXT), (&node, Type::INT8), (&until, Type::INT8), (&until, Type::INT8)];
        assert_eq!(self.runtime.block_on(self.client.query_typed(update, &values)).unwrap().len(), 1);
    }
}

/// The user that servers run as, as they refuse to be root.
fn user() -> Option<String> {
    std::env::var("PYFLAKE_POSTGRES_USER").ok().filter(|user| !user.is_empty())
}

/// A command as the servers' user.
pub(crate) fn as_user(program: &Path) -> Command {
    match user() {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("runuser");
            command.args(["-u", &user, "--"]).arg(program);
            command
        }
    }
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Whether a crash may take changes from the server that it has acknowledged.
pub(crate) fn loses_changes() -> bool {
    false
}

/// Where to connect to a port of this machine.
pub(crate) fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

pub(crate) fn port_of(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.split_once('/').unwrap().0.parse().unwrap()
}

pub(crate) fn open(url: &str, realm: &str, epoch: Epoch) -> Store {
    PostgresStore::builder(url).realm(realm).open(epoch).unwrap()
}

/// How long a tenure may take in the chaos, all processes together. A node may rest after each crash, as its lease is shorter
/// than a start of the server.
pub(crate) const SECONDS_OF_A_TENURE: u64 = 6;

/// Opens it with a timeout of its own, for hosts whose clocks are up to 3 s off.
pub(crate) fn open_within(url: &str, realm: &str, epoch: Epoch, timeout: Duration) -> Result<Store, LeaseError> {
    let builder = PostgresStore::builder(url).realm(realm).max_skew(Duration::from_secs(4));
    builder.connect_timeout(timeout).statement_timeout(timeout).open(epoch)
}

/// What an operator does by hand.
pub(crate) fn sql(url: &str, text: &str) -> Vec<tokio_postgres::SimpleQueryRow> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let messages = client.simple_query(text).await.unwrap();
        messages
            .into_iter()
            .filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .collect()
    })
}

/// Holds all nodes of a realm but the first ones, so that those are used again and again.
///
/// Those that were never used do not rest after this start of the server, as on a new cluster. A busy machine may take longer
/// from `initdb` to the start than a cluster counts as new.
pub(crate) fn leave_free(url: &str, realm: &str, free: u16) {
    sql(
        url,
        &format!(
            "UPDATE pyflake_nodes SET expires_at = 'infinity', owner_nonce = 0, owner_label = 'test' \
             WHERE realm = '{realm}' AND node >= {free}; \
             UPDATE pyflake_nodes SET proven_at = pg_postmaster_start_time() \
             WHERE realm = '{realm}' AND node < {free} AND token = 0"
        ),
    );
}

/// Makes a node another owner's, as an operator does by hand.
pub(crate) fn steal(url: &str, realm: &str, node: Node) {
    sql(
        url,
        &format!(
            "UPDATE pyflake_nodes SET token = token + 1, owner_nonce = 1, owner_label = 'thief' \
             WHERE realm = '{realm}' AND node = {}",
            node.index()
        ),
    );
}
