//! The node in an ID: a pid and a seed.

use core::fmt;

use crate::layout::{self, MAX_PID, MAX_SEED, PID_BITS};

/// Who issues an ID: a pid and a seed of 5 bits each, checked once, so 1024 nodes in all.
///
/// Two processes that issue at the same time must use different nodes; within a process any number of generators may
/// share one (see [`Generator`](crate::Generator)). A node is only a number: nothing in it notices that another process
/// has the same one, and each way to get a node has its own way to get it twice:
///
/// | a node from | is in use twice when |
/// |---|---|
/// | [`new`](Self::new), [`from_index`](Self::from_index), [`from_env`](Self::from_env) | the deployment gives two processes the same value |
/// | [`from_hostname_ordinal`](Self::from_hostname_ordinal) | two sets of hosts count from 0 |
/// | [`random`](Self::random) | chance has it: as likely as not among 38 processes |
///
/// On a node that was used before, a process that starts while its predecessor still runs, or with the clock set back
/// past its predecessor's last ID, may repeat IDs. Only a [lease](crate::lease) rules all of this out.
///
/// `FromStr` reads an index, `519`, or a pid and a seed, `7/16`: decimal digits without a sign or spaces.
///
/// ```
/// use pyflake::Node;
///
/// let node = Node::new(7, 16)?;
/// assert_eq!((node.pid(), node.seed(), node.index()), (7, 16, 519));
/// assert_eq!(Node::from_index(519)?, node);
/// assert_eq!("519".parse::<Node>()?, node);
/// assert_eq!("7/16".parse::<Node>()?, node);
/// assert!(Node::new(7, 32).is_err());
/// # Ok::<(), pyflake::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Above the pid in an ID, so first in the order too.
    seed: u8,
    pid: u8,
}

impl Node {
    /// How many nodes there are: 1024.
    pub const COUNT: usize = (MAX_PID as usize + 1) * (MAX_SEED as usize + 1);

    /// The node of a pid and a seed that are 0 to 31 each.
    pub(crate) const fn of_parts(pid: u8, seed: u8) -> Self {
        Node { seed, pid }
    }

    /// The pid, 0 to 31.
    #[must_use]
    pub const fn pid(self) -> u8 {
        self.pid
    }

    /// The seed, 0 to 31.
    #[must_use]
    pub const fn seed(self) -> u8 {
        self.seed
    }

    /// The node of an ID.
    pub(crate) const fn of(id: u64) -> Self {
        Node { seed: layout::seed(id), pid: layout::pid(id) }
    }

    /// The node as one number, `seed * 32 + pid`: 0 to 1023, in the order of `Ord`.
    #[must_use]
    pub const fn index(self) -> u16 {
        (self.seed as u16) << PID_BITS | self.pid as u16
    }

    /// The node with an index from [`index`](Self::index). Higher bits are ignored; [`from_index`](Self::from_index)
    /// rejects them.
    #[expect(clippy::cast_possible_truncation, reason = "five bits each, by mask")]
    pub(crate) const fn at(index: u16) -> Self {
        Node { seed: (index >> PID_BITS) as u8 & MAX_SEED, pid: index as u8 & MAX_PID }
    }

    /// The node's bits in their place inside an ID.
    pub(crate) const fn bits(self) -> u64 {
        layout::node_bits(self.pid, self.seed)
    }
}

impl fmt::Display for Node {
    /// Writes the pid and the seed as `7/16`, which `FromStr` reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pid, self.seed)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("pid", &self.pid).field("seed", &self.seed).finish()
    }
}
