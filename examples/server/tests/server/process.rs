//! The server as a process, and its directory of leases.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use pyflake::lease::{FileStore, NodeStatus};
use pyflake::{Epoch, Node};

pub(crate) const EPOCH: Epoch = Epoch::from_unix_millis(1_555_301_520_000);

/// A running server. Dropping it kills the process.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// The command of a server on a free port, with a directory of leases and more arguments.
pub(crate) fn server(leases: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyflake-server"));
    command.args(["--listen", "127.0.0.1:0", "--lease"]).arg(leases).args(args);
    command
}

impl Server {
    /// Starts the server and waits until it serves. If it ends before that, the error is its
    /// stderr.
    pub(crate) fn start(mut command: Command) -> Result<Self, String> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let address = stdout.lines().map_while(Result::ok).find_map(|line| {
            let (_, address) = line.split_once("listening on http://")?;
            Some(address.parse().unwrap())
        });
        if let Some(address) = address {
            return Ok(Server { child, address });
        }
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        child.wait().unwrap();
        Err(said)
    }

    /// Restarts the server, as a supervisor does, until the clock has passed the last window of its
    /// node.
    pub(crate) fn start_in_the_end(command: impl Fn() -> Command) -> Self {
        let start = Instant::now();
        loop {
            match Server::start(command()) {
                Ok(server) => return server,
                Err(said) => assert!(said.contains("behind the windows already given out"), "{said}"),
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the server does not start");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the server by `SIGKILL`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Waits for the end of the process, and returns its status and its stderr.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Locks all nodes of a directory but one, as a holder does, until the locks are dropped.
pub(crate) fn occupy_all_but_one(leases: &Path) -> Vec<File> {
    rlimit::increase_nofile_limit(8192).unwrap();
    FileStore::open(leases, EPOCH).unwrap();
    (1..Node::COUNT as u64)
        .map(|index| {
            let node = Node::from_index(index).unwrap();
            let lock = File::create(leases.join(format!("node-{:02}-{:02}.lock", node.pid(), node.seed()))).unwrap();
            lock.try_lock().unwrap();
            lock
        })
        .collect()
}

pub(crate) fn status(leases: &Path, node: Node) -> NodeStatus {
    let nodes = FileStore::open_existing(leases).unwrap().nodes().unwrap();
    nodes.into_iter().find(|status| status.node == node).unwrap()
}

/// Takes a node from its holder: writes the record of a later tenure by hand.
pub(crate) fn take(leases: &Path, node: Node) {
    let record = |token| leases.join(format!("node-{:02}-{:02}.{token}", node.pid(), node.seed()));
    let token = status(leases, node).token;
    fs::copy(record(token), record(token + 1)).unwrap();
}
