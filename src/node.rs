use core::fmt;
use core::str::FromStr;
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

use crate::error::Error;
use crate::layout::{self, MAX_PID, MAX_SEED, PID_BITS, SEED_BITS};

/// Who issues an ID: a pid and a seed of 5 bits each, checked once, so 1024 nodes in all.
///
/// Two processes that issue at the same time must use different nodes; within a process any number of generators may
/// share one (see [`Generator`](crate::Generator)). A node is only a number: nothing in it notices that another process
/// has the same one, and each way to get a node has its own way to get it twice:
///
/// | a node from | is in use twice when |
/// |---|---|
/// | [`new`](Self::new), [`with_index`](Self::with_index), [`from_env`](Self::from_env) | the deployment gives two processes the same value |
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
/// assert_eq!(Node::with_index(519)?, node);
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

    /// Makes a node from its index, 0 to 1023: for deployments that number their processes.
    ///
    /// The index is `seed * 32 + pid`, so the pid is `index % 32` and the seed `index / 32`.
    ///
    /// ```
    /// use pyflake::Node;
    ///
    /// assert_eq!(Node::with_index(7)?, Node::new(7, 0)?);
    /// assert_eq!(Node::with_index(1023)?, Node::new(31, 31)?);
    /// assert!(Node::with_index(1024).is_err());
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NodeOutOfRange`] for an index above 1023.
    #[expect(clippy::cast_possible_truncation, reason = "checked to be at most 1023")]
    pub const fn with_index(index: u64) -> Result<Self, Error> {
        if index >= Node::COUNT as u64 {
            return Err(Error::NodeOutOfRange { index });
        }
        Ok(Node::from_index(index as u16))
    }

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
            value: value.map(|value| shorten(value, SHOWN)),
            reason,
        };
        let value = env::var_os(name).ok_or_else(|| invalid(None, "it is not set"))?;
        let value = value.to_str().ok_or_else(|| invalid(Some(&value.to_string_lossy()), "it is not valid Unicode"))?;
        parse(value).map_err(|reason| invalid(Some(value), reason))
    }

    /// Takes the node from the host name, for the pods of a Kubernetes `StatefulSet`: `web-7` is the node of index 7.
    ///
    /// The pid is `ordinal % 32` and the seed `ordinal / 32`, as in [`with_index`](Self::with_index), so there may be
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

    /// Takes the node from the ordinal at the end of a name: `web-7` is the node of index 7.
    ///
    /// For a pod's name from the Kubernetes downward API (`metadata.name`), or any other numbered name. Of a name with
    /// a domain, `web-7.web.default.svc`, the first label counts. Names with the same ordinal get the same node,
    /// whatever is before it: see [`from_hostname_ordinal`](Self::from_hostname_ordinal).
    ///
    /// ```
    /// use pyflake::Node;
    ///
    /// assert_eq!(Node::from_ordinal("web-7")?, Node::new(7, 0)?);
    /// assert_eq!(Node::from_ordinal("web-70")?, Node::new(6, 2)?); // 70 = 2 * 32 + 6
    /// assert_eq!(Node::from_ordinal("api-7.api.default.svc")?, Node::from_ordinal("web-7")?);
    /// assert!(Node::from_ordinal("web-1024").is_err());
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOrdinal`] unless the name ends in a hyphen and a number from 0 to 1023. One with leading zeros
    /// is refused, as no `StatefulSet` makes it, and `web-07` would be `web-7` once more.
    pub fn from_ordinal(name: &str) -> Result<Self, Error> {
        ordinal(name)
            .and_then(|ordinal| Node::with_index(ordinal).map_err(|_| "its ordinal is above 1023"))
            .map_err(|reason| Error::InvalidOrdinal { name: shorten(name, LONGEST_DOMAIN), reason })
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
        Node::from_index((entropy() >> (u64::BITS - PID_BITS - SEED_BITS)) as u16)
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

    /// The node with an index from [`index`](Self::index); bits above the ten of an index are not looked at, which
    /// [`with_index`](Self::with_index) checks.
    #[expect(clippy::cast_possible_truncation, reason = "five bits each, by mask")]
    pub(crate) const fn from_index(index: u16) -> Self {
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

impl FromStr for Node {
    type Err = Error;

    /// Reads an index, or a pid and a seed with a slash between them; refuses others with [`Error::InvalidNode`].
    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|reason| Error::InvalidNode { text: shorten(text, SHOWN), reason })
    }
}

/// How much of a text an error shows.
const SHOWN: usize = 32;
/// How long a host name is at most, domain included; an error shows all of it, as the ordinal is towards the end.
const LONGEST_DOMAIN: usize = 253;

fn shorten(text: &str, chars: usize) -> Box<str> {
    text.chars().take(chars).collect()
}

/// The node in a text, or what is wrong with the text.
fn parse(text: &str) -> Result<Node, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let number = |text| number(text).ok_or("it has something else than digits");
    match text.split_once('/') {
        None => Node::with_index(number(text)?).map_err(|_| "its index is above 1023"),
        Some((pid, seed)) => Node::new(number(pid)?, number(seed)?).map_err(|error| match error {
            Error::PidOutOfRange { .. } => "its pid is above 31",
            _ => "its seed is above 31",
        }),
    }
}

/// The ordinal in the name of a host, or what is wrong with the name.
fn ordinal(name: &str) -> Result<u64, &'static str> {
    let label = name.split_once('.').map_or(name, |(label, _domain)| label);
    let digits = label.rsplit_once('-').filter(|(stem, _)| !stem.is_empty()).map(|(_, digits)| digits);
    let ordinal = digits.and_then(number).ok_or("it does not end in a hyphen and an ordinal")?;
    match digits {
        Some(digits) if digits.len() > 1 && digits.starts_with('0') => Err("its ordinal has leading zeros"),
        _ => Ok(ordinal),
    }
}

/// The number that a text of digits alone is. One past 64 bits is past every limit here, so any large one will do.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
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

/// 64 random bits.
fn entropy() -> u64 {
    // Each `RandomState` has keys of its own; a fork copies them, so the process and the time go in too.
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map(|now| now.as_nanos());
    RandomState::new().hash_one((std::process::id(), time.ok()))
}
