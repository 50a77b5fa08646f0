//! The arguments of the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use pyflake::Epoch;

/// Serve 64-bit snowflake IDs over HTTP, unique across restarts and all servers of this machine
#[derive(Parser)]
#[command(
    name = "pyflake-server",
    version,
    after_help = "\
Routes:
  /id               an ID
  /ids?n=100        many
  /inspect/{id}     the fields of an ID
  /health           503 while no ID can be issued
  /metrics          for Prometheus

Examples:
  pyflake-server --lease /var/lib/pyflake
  pyflake-server --lease /var/lib/pyflake --listen 127.0.0.1:0    # a free port, which it prints"
)]
pub(crate) struct Args {
    /// The directory of leases, on a local disk; each server that uses it gets another node
    #[arg(long, value_name = "DIR")]
    pub(crate) lease: PathBuf,
    /// The address; port 0 is any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// The epoch of the IDs, in Unix milliseconds; never change it for IDs that are in use
    #[arg(long, value_name = "MS", default_value_t = 1_555_301_520_000)]
    epoch: u64,
    /// A name of this process, which `pyflake nodes DIR` shows [default: the process's number]
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// How long IDs are issued after the directory fails, and how long the node rests after a crash
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    window: u64,
    /// How many connections are served at once, others wait; keep it below the limit of open files,
    /// as the lease needs some
    #[arg(long, value_name = "NUMBER", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: u32,
    /// How long requests may take after a signal to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    grace: u64,
}

impl Args {
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::from_unix_millis(self.epoch)
    }

    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs(self.window)
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs(self.grace)
    }
}
