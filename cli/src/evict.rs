//! `pyflake evict`: ends the lease of a holder that is known to be dead.

use clap::Args;
use pyflake::Node;

use crate::failure::Failure;
use crate::store::{Location, StoreArgs};

/// End the lease of a node without its holder
#[derive(Args)]
#[command(after_help = "\
A lease ends by itself once its holder has not renewed it for the length of its window, 10 seconds by default; this is
for one with a long window whose holder is known to be dead. No ID is issued twice by it: the window stands, and the next
holder starts where it ends. But a holder that lives loses its node at its next renewal: it issues nothing until it has
another one, or ever again if it was told to stop when its lease is lost.

A node of a directory is free as soon as its holder's process has ended. There this is for a process that is stopped, or
for a child that keeps its parent's lock.

Examples:
  pyflake evict postgres://app@db.internal/app 7/16 --force
  pyflake evict /var/lib/pyflake 7/16 --force")]
pub(crate) struct Evict {
    #[command(flatten)]
    store: StoreArgs,
    /// The node: its pid and seed, such as 7/16, or its index
    #[arg(value_name = "NODE")]
    node: Node,
    /// Do it, although the holder may live
    #[arg(long)]
    force: bool,
}

const RISK: &str = "a holder that lives loses its node at its next renewal, and issues no ID until it has another";

impl Evict {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let location = self.store.location()?;
        if !self.force {
            return Err(match location {
                Location::Directory(_) => Failure::input(
                    "nothing to do: a node of a directory is free as soon as its holder's process has ended, so end \
                     that; if it cannot be ended, use --force (see --help)",
                ),
                #[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
                _ => Failure::input(format!("{RISK}; if it is dead, say so with --force (see --help)")),
            });
        }
        let holder = location.open_existing()?.evict(self.node).map_err(Failure::lease)?;
        let holder = holder.ok_or_else(|| Failure::input(format!("nobody holds {}", self.node)))?;
        crate::say("warning", RISK);
        crate::print(format_args!("evicted {holder} from {}", self.node))
    }
}
