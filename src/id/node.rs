//! Constructors of `Node` from numbers and from texts.

use core::str::FromStr;

use crate::error::{Error, ParseError, shown};
use crate::layout::node::Node;
use crate::layout::{MAX_PID, MAX_SEED};

impl Node {
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
        Ok(Node::of_parts(pid as u8, seed as u8))
    }

    /// Makes a node from its index, 0 to 1023, for deployments that number their processes.
    ///
    /// The index is `seed * 32 + pid`, so the pid is `index % 32` and the seed is `index / 32`.
    ///
    /// ```
    /// use pyflake::Node;
    ///
    /// assert_eq!(Node::from_index(7)?, Node::new(7, 0)?);
    /// assert_eq!(Node::from_index(1023)?, Node::new(31, 31)?);
    /// assert!(Node::from_index(1024).is_err());
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NodeOutOfRange`] for an index above 1023.
    #[expect(clippy::cast_possible_truncation, reason = "checked to be at most 1023")]
    pub const fn from_index(index: u64) -> Result<Self, Error> {
        if index >= Node::COUNT as u64 {
            return Err(Error::NodeOutOfRange { index });
        }
        Ok(Node::at(index as u16))
    }

    /// Makes a node from the ordinal at the end of a name: `web-7` gives index 7.
    ///
    /// Use it for a pod's name from the Kubernetes downward API (`metadata.name`), or for any other
    /// numbered name. If the name has a domain, as in `web-7.web.default.svc`, only the first label
    /// counts. Names with the same ordinal give the same node, whatever the rest of the name: see
    /// [`from_hostname_ordinal`](Self::from_hostname_ordinal).
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
    /// [`Error::InvalidOrdinal`] unless the name ends in a hyphen and a number from 0 to 1023.
    /// Leading zeros are rejected: no `StatefulSet` makes them, and `web-07` would be the node of
    /// `web-7`.
    pub fn from_ordinal(name: &str) -> Result<Self, Error> {
        ordinal(name)
            .and_then(|ordinal| Node::from_index(ordinal).map_err(|_| "its ordinal is above 1023"))
            .map_err(|reason| Error::InvalidOrdinal { name: name.chars().take(LONGEST_DOMAIN).collect(), reason })
    }
}

impl FromStr for Node {
    type Err = ParseError;

    /// Reads an index, or a pid and a seed with a slash in between. Other texts are a
    /// [`ParseError::Node`].
    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).map_err(|reason| ParseError::Node { text: shown(text), reason })
    }
}

/// The longest host name, domain included. An error shows all of it, because the ordinal is near
/// the end.
const LONGEST_DOMAIN: usize = 253;

/// The node in a text, or the defect of the text.
pub(crate) fn parse(text: &str) -> Result<Node, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let number = |text| number(text).ok_or("it has a character that is not a digit");
    match text.split_once('/') {
        None => Node::from_index(number(text)?).map_err(|_| "its index is above 1023"),
        Some((pid, seed)) => Node::new(number(pid)?, number(seed)?).map_err(|error| match error {
            Error::PidOutOfRange { .. } => "its pid is above 31",
            _ => "its seed is above 31",
        }),
    }
}

/// The ordinal in the name of a host, or the defect of the name.
fn ordinal(name: &str) -> Result<u64, &'static str> {
    let label = name.split_once('.').map_or(name, |(label, _domain)| label);
    let digits = label.rsplit_once('-').filter(|(stem, _)| !stem.is_empty()).map(|(_, digits)| digits);
    let ordinal = digits.and_then(number).ok_or("it does not end in a hyphen and an ordinal")?;
    match digits {
        Some(digits) if digits.len() > 1 && digits.starts_with('0') => Err("its ordinal has leading zeros"),
        _ => Ok(ordinal),
    }
}

/// The number in a text of digits; `None` for other texts.
///
/// A number past 64 bits becomes `u64::MAX`: it is past every limit of this file.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}
