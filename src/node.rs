#[cfg(feature = "std")]
mod sources;

use core::fmt;
use core::str::FromStr;

use crate::error::Error;
use crate::layout::{self, MAX_PID, MAX_SEED, PID_BITS};
use crate::parse_error::ParseError;
use crate::text::shown;

#[cfg(feature = "std")]
pub use sources::generate_seed;
#[cfg(feature = "std")]
pub(crate) use sources::random;

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
            .map_err(|reason| Error::InvalidOrdinal { name: name.chars().take(LONGEST_DOMAIN).collect(), reason })
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
    type Err = ParseError;

    /// Reads an index, or a pid and a seed with a slash between them; refuses others with [`ParseError::Node`].
    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).map_err(|reason| ParseError::Node { text: shown(text), reason })
    }
}

/// How long a host name is at most, domain included; an error shows all of it, as the ordinal is towards the end.
const LONGEST_DOMAIN: usize = 253;

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
