//! The type `Node`: a pid and a seed.

use core::fmt;

use crate::layout::{self, MAX_PID, MAX_SEED, PID_BITS};

/// The issuer of an ID: a pid and a seed of 5 bits each, so 1024 nodes.
///
/// Two processes that issue at the same time must use different nodes. Within a process, any number
/// of generators may share one node (see [`Generator`](crate::Generator)). A `Node` is only a
/// number: it does not detect that another process uses the same one. Each way to get a node can
/// give one node to two processes:
///
/// | a node from | is used twice if |
/// |---|---|
/// | [`new`](Self::new), [`from_index`](Self::from_index), [`from_env`](Self::from_env) | the deployment gives two processes the same value |
/// | [`from_hostname_ordinal`](Self::from_hostname_ordinal) | two sets of hosts count from 0 |
/// | [`random`](Self::random) | two draws coincide: the probability is one half for 38 processes |
///
/// A process may also repeat the IDs of the previous process on its node. This happens if both run
/// at once, or if the clock was set back past the last ID. Only a [lease](crate::lease) prevents
/// all of this.
///
/// `FromStr` reads an index, `519`, or a pid and a seed, `7/16`, in decimal digits without signs or
/// spaces.
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
    /// The first field, because the derived order must be that of the IDs: the seed is above the
    /// pid.
    seed: u8,
    pid: u8,
}

impl Node {
    /// The number of nodes: 1024.
    pub const COUNT: usize = (MAX_PID as usize + 1) * (MAX_SEED as usize + 1);

    /// Makes a node from a pid and a seed that the caller has checked: 0 to 31 each.
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

    /// The index of the node, `seed * 32 + pid`: 0 to 1023, in the order of `Ord`.
    #[must_use]
    pub const fn index(self) -> u16 {
        (self.seed as u16) << PID_BITS | self.pid as u16
    }

    /// Makes a node from an [`index`](Self::index) and ignores its higher bits.
    /// [`from_index`](Self::from_index) rejects them instead.
    #[expect(clippy::cast_possible_truncation, reason = "five bits each, by mask")]
    pub(crate) const fn at(index: u16) -> Self {
        Node { seed: (index >> PID_BITS) as u8 & MAX_SEED, pid: index as u8 & MAX_PID }
    }

    /// The bits of the node at their position in an ID.
    pub(crate) const fn bits(self) -> u64 {
        layout::node_bits(self.pid, self.seed)
    }
}

impl fmt::Display for Node {
    /// Writes the pid and the seed as `7/16`. `FromStr` reads that form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pid, self.seed)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("pid", &self.pid).field("seed", &self.seed).finish()
    }
}
