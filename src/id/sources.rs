//! A node from where a process finds one: its environment, its host's name, or chance.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

use crate::error::{Error, shown};
use crate::id::node::parse;
use crate::layout::node::Node;
use crate::layout::{PID_BITS, SEED_BITS};

impl Node {
    /// Reads a node from an environment variable: an index of 0 to 1023, or `pid/seed` of 0 to 31 each.
    ///
    /// For deployments that set a number for each process, such as Nomad (`NOMAD_ALLOC_INDEX`), Slurm (`SLURM_PROCID`),
    /// indexed Kubernetes jobs (`JOB_COMPLETION_INDEX`), or a systemd template (`Environment=PYFLAKE_NODE=%i`). There
    /// is no default: without the variable a fleet would run on one node.
    ///
    /// It does not protect from a value that two processes share: an image or a unit file that sets it for all its
    /// copies, two jobs that both count from 0, a new process that starts while the old one still runs.
    ///
    /// ```
    /// use pyflake::{Epoch, Generator, Node};
    ///
    /// // PYFLAKE_NODE=519, or PYFLAKE_NODE=7/16
    /// match Node::from_env("PYFLAKE_NODE").and_then(|node| Generator::new(Epoch::TWITTER, node)) {
    ///     Ok(generator) => println!("{}", generator.next_id()?),
    ///     Err(error) => eprintln!("{error}"), // names the variable, its value, and what it should be
    /// }
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidNodeVariable`] if the variable is not set, is not Unicode, or is no node.
    pub fn from_env(name: &str) -> Result<Self, Error> {
        let invalid = |value: Option<&str>, reason| Error::InvalidNodeVariable {
            name: name.into(),
            value: value.map(shown),
            reason,
        };
        let value = env::var_os(name).ok_or_else(|| invalid(None, "it is not set"))?;
        let value = value.to_str().ok_or_else(|| invalid(Some(&value.to_string_lossy()), "it is not valid Unicode"))?;
        parse(value).map_err(|reason| invalid(Some(value), reason))
    }

    /// Takes the node from the host name, for the pods of a Kubernetes `StatefulSet`: `web-7` is the node of index 7.
    ///
    /// The pid is `ordinal % 32` and the seed `ordinal / 32`, as in [`from_index`](Self::from_index), so there may be
    /// 1024 pods. The name is the kernel's (`/proc/sys/kernel/hostname`); where there is none, as outside of Linux, it
    /// is the variable `HOSTNAME`. The rest is [`from_ordinal`](Self::from_ordinal)'s.
    ///
    /// It does not protect from
    ///
    /// - two sets, namespaces or clusters that issue IDs of one epoch: each has an ordinal 0 (give them ranges of their
    ///   own with `.spec.ordinals.start`);
    /// - two pods of one name: one that was force-deleted while its machine was cut off runs on beside its successor;
    /// - pods with `hostNetwork`, which bear the name of their machine: pass the pod's name to
    ///   [`from_ordinal`](Self::from_ordinal) instead;
    /// - other hosts whose names happen to end in a number, such as `ip-10-0-3-7`: any such name is taken.
    ///
    /// ```
    /// use pyflake::Node;
    ///
    /// match Node::from_hostname_ordinal() {
    ///     Ok(node) => println!("this is node {}", node.index()),
    ///     Err(error) => eprintln!("{error}"),
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOrdinal`] if the host name is not known, or as for [`from_ordinal`](Self::from_ordinal).
    pub fn from_hostname_ordinal() -> Result<Self, Error> {
        let name = hostname().ok_or_else(|| Error::InvalidOrdinal {
            name: Box::default(),
            reason: "the host name is not known, as there is neither /proc/sys/kernel/hostname nor HOSTNAME",
        })?;
        Node::from_ordinal(&name)
    }

    /// Draws a node at random, uniform over all 1024.
    ///
    /// It does not protect from chance: two of `n` processes that run at the same time share a node with a probability
    /// of 1 % for 5 processes, 4 % for 10, and one half for 38. For trials and single processes, then, not for a fleet.
    /// A process that restarts draws again, and so does a forked child that calls this. See [`generate_seed`] for where
    /// the randomness is from.
    ///
    /// ```
    /// use pyflake::{Epoch, Generator, Node};
    ///
    /// let generator = Generator::new(Epoch::TWITTER, Node::random())?;
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    #[must_use]
    pub fn random() -> Self {
        Node::at((entropy() >> (u64::BITS - PID_BITS - SEED_BITS)) as u16)
    }
}

/// The name of this host.
fn hostname() -> Option<String> {
    // The kernel first: HOSTNAME is a variable like any other, which an image may set and a shell may pass on from
    // somewhere else.
    if let Ok(name) = fs::read("/proc/sys/kernel/hostname") {
        return Some(String::from_utf8_lossy(&name).trim_end_matches('\n').into());
    }
    env::var_os("HOSTNAME").map(|name| name.to_string_lossy().into())
}

/// Draws a random number of at most `bits` bits, uniform in `1..=2^bits - 1`, for a pid, a seed, or anything else.
///
/// Five bits make a pid or a seed. The numbers come from the operating system's entropy by way of the standard
/// library's hash keys, mixed with the process and the time so that a forked child draws others than its parent; they
/// are not for secrets. Random nodes collide: of 37 processes that draw a pid and a seed like this, never 0, two share
/// a node with a probability of one half. [`Node::random`] draws from all 1024.
///
/// ```
/// use pyflake::{Node, generate_seed};
///
/// let node = Node::new(generate_seed(5)?, generate_seed(5)?)?;
/// assert!((1..=31).contains(&node.pid()) && (1..=31).contains(&node.seed()));
/// # Ok::<(), pyflake::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::BitsOutOfRange`] unless `bits` is 1 to 64.
pub fn generate_seed(bits: u32) -> Result<u64, Error> {
    if !(1..=64).contains(&bits) {
        return Err(Error::BitsOutOfRange { bits });
    }
    loop {
        let seed = entropy() >> (u64::BITS - bits);
        // Drawing again keeps the rest uniform; one draw in two at worst (bits = 1).
        if seed != 0 {
            return Ok(seed);
        }
    }
}

/// A random number other than 0.
///
/// The clock goes into it, so two copies of one process (a cloned machine) draw different numbers.
pub(crate) fn random() -> u64 {
    entropy().max(1)
}

/// 64 random bits.
fn entropy() -> u64 {
    // Each `RandomState` has keys of its own; a fork copies them, so the process and the time go in too.
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map(|now| now.as_nanos());
    RandomState::new().hash_one((std::process::id(), time.ok()))
}
