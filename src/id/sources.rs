//! Nodes from the environment, the host name and chance; random numbers.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

use crate::error::{Error, shown};
use crate::id::node::parse;
use crate::layout::node::Node;
use crate::layout::{PID_BITS, SEED_BITS};

impl Node {
    /// Reads a node from an environment variable: `519`, or `7/16` as pid and seed.
    ///
    /// Use it for deployments that set a number for each process: Nomad (`NOMAD_ALLOC_INDEX`),
    /// Slurm (`SLURM_PROCID`), indexed Kubernetes jobs (`JOB_COMPLETION_INDEX`), or a systemd
    /// template (`Environment=PYFLAKE_NODE=%i`). There is no default: without the variable a fleet
    /// would run on one node.
    ///
    /// It does not detect a value that two processes share. Examples: an image or a unit file that
    /// sets one value for all copies, two jobs that both count from 0, a new process that starts
    /// while the old one still runs.
    ///
    /// ```
    /// use pyflake::{Epoch, Generator, Node};
    ///
    /// // PYFLAKE_NODE=519, or PYFLAKE_NODE=7/16
    /// match Node::from_env("PYFLAKE_NODE").and_then(|node| Generator::new(Epoch::TWITTER, node)) {
    ///     Ok(generator) => println!("{}", generator.next_id()?),
    ///     Err(error) => eprintln!("{error}"), // names the variable and its value
    /// }
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidNodeVariable`] if the variable is not set, is not Unicode, or is not a node.
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

    /// Makes a node from the ordinal in the host name: `web-7` gives index 7.
    ///
    /// Use it for the pods of a Kubernetes `StatefulSet`, of which 1024 get a node. The pid is
    /// `ordinal % 32` and the seed is `ordinal / 32`, as in [`from_index`](Self::from_index). The
    /// name is the kernel's (`/proc/sys/kernel/hostname`). Where that file is missing, as outside
    /// of Linux, it is the variable `HOSTNAME`. The name is read as in
    /// [`from_ordinal`](Self::from_ordinal).
    ///
    /// It does not protect from:
    ///
    /// - two sets, namespaces or clusters that issue IDs of one epoch: each has an ordinal 0, so
    ///   give each its own range with `.spec.ordinals.start`;
    /// - two pods of one name: a pod that was force-deleted while its machine was cut off runs on
    ///   beside its successor;
    /// - pods with `hostNetwork`: they have the name of their machine, so pass the pod's name to
    ///   [`from_ordinal`](Self::from_ordinal) instead;
    /// - other hosts with a number at the end of their names, such as `ip-10-0-3-7`: the number
    ///   counts as an ordinal.
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
    /// [`Error::InvalidOrdinal`] if the host name is unknown, or as for
    /// [`from_ordinal`](Self::from_ordinal).
    pub fn from_hostname_ordinal() -> Result<Self, Error> {
        let name = hostname().ok_or_else(|| Error::InvalidOrdinal {
            name: Box::default(),
            reason: "the host name is not known, as there is neither /proc/sys/kernel/hostname nor HOSTNAME",
        })?;
        Node::from_ordinal(&name)
    }

    /// Draws a random node, uniform over all 1024.
    ///
    /// Random nodes collide. Two of `n` processes that run at the same time share a node with a
    /// probability of 1 % for 5 processes, 4 % for 10, and one half for 38. So use it for trials
    /// and single processes, not for a fleet. A process that restarts draws again, and so does a
    /// forked child that calls this. [`generate_seed`] names the source of the randomness.
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
    // The kernel's name comes first. An image may set HOSTNAME, and a shell may pass on the
    // HOSTNAME of another host.
    if let Ok(name) = fs::read("/proc/sys/kernel/hostname") {
        return Some(String::from_utf8_lossy(&name).trim_end_matches('\n').into());
    }
    env::var_os("HOSTNAME").map(|name| name.to_string_lossy().into())
}

/// Draws a random number of at most `bits` bits, uniform in `1..=2^bits - 1`.
///
/// Five bits make a pid or a seed. The numbers come from the operating system's entropy, through
/// the hash keys of the standard library. The process ID and the time are mixed in, so a forked
/// child draws other numbers than its parent. The numbers are not for secrets. Random nodes
/// collide: if 37 processes draw a pid and a seed with this function, two share a node with a
/// probability of one half. [`Node::random`] draws from all 1024 nodes.
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
        // A zero is drawn again, so the rest stays uniform. At worst (`bits` is 1) that is one draw
        // in two.
        if seed != 0 {
            return Ok(seed);
        }
    }
}

/// Draws a random number other than 0.
///
/// The time is mixed in, so two copies of one process (a cloned machine) draw different numbers.
pub(crate) fn random() -> u64 {
    entropy().max(1)
}

/// Draws 64 random bits.
fn entropy() -> u64 {
    // Each `RandomState` has its own keys. A fork copies them, so the process ID and the time are
    // hashed too.
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map(|now| now.as_nanos());
    RandomState::new().hash_one((std::process::id(), time.ok()))
}
