use core::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::layout::{self, MAX_PID, MAX_SEED, PID_BITS};

/// Who issues an ID: a pid and a seed of 5 bits each, checked once, so 1024 nodes in all.
///
/// Two processes that issue at the same time must use different nodes; within a process any number of generators may
/// share one (see [`Generator`](crate::Generator)).
///
/// ```
/// use pyflake::Node;
///
/// let node = Node::new(6, 17)?;
/// assert_eq!((node.pid(), node.seed()), (6, 17));
/// assert!(Node::new(6, 32).is_err());
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

    /// Makes a node from a pid and a seed of 0 to 31 each.
    ///
    /// # Errors
    ///
    /// [`Error::PidOutOfRange`] or [`Error::SeedOutOfRange`] for a value above 31.
    #[expect(clippy::cast_possible_truncation, reason = "checked to be at most 31")]
    pub const fn new(pid: u64, seed: u64) -> Result<Self, Error> {
        if pid > MAX_PID as u64 {
            return Err(Error::PidOutOfRange { pid });
        }
        if seed > MAX_SEED as u64 {
            return Err(Error::SeedOutOfRange { seed });
        }
        Ok(Node { seed: seed as u8, pid: pid as u8 })
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

    /// The node as one number, 0 to 1023, in the order of `Ord`.
    pub(crate) const fn index(self) -> u16 {
        (self.seed as u16) << PID_BITS | self.pid as u16
    }

    /// The node with an index from [`index`](Self::index); bits above the ten of an index are not looked at.
    #[expect(clippy::cast_possible_truncation, reason = "five bits each, by mask")]
    pub(crate) const fn from_index(index: u16) -> Self {
        Node { seed: (index >> PID_BITS) as u8 & MAX_SEED, pid: index as u8 & MAX_PID }
    }

    /// The node's bits in their place inside an ID.
    pub(crate) const fn bits(self) -> u64 {
        layout::node_bits(self.pid, self.seed)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("pid", &self.pid).field("seed", &self.seed).finish()
    }
}

/// Draws a random number of at most `bits` bits, uniform in `1..=2^bits - 1`, for a pid, a seed, or anything else.
///
/// Five bits make a pid or a seed. The numbers come from the operating system's entropy by way of the standard
/// library's hash keys, mixed with the process and the time so that a forked child draws others than its parent; they
/// are not for secrets. Random nodes collide: among 37 processes two share a node with a probability of one half.
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
        // Each `RandomState` has keys of its own; a fork copies them, so the process and the time go in too.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map(|now| now.as_nanos());
        let random = RandomState::new().hash_one((std::process::id(), time.ok()));
        let seed = random >> (64 - bits);
        // Drawing again keeps the rest uniform; one draw in two at worst (bits = 1).
        if seed != 0 {
            return Ok(seed);
        }
    }
}
