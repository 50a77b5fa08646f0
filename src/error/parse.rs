//! The enum `ParseError`: a text that is not an ID or not a node.

use alloc::boxed::Box;
use core::fmt;

use crate::layout::{MAX_PID, MAX_SEED, PID_BITS};

/// The reason why a text could not be parsed.
///
/// `FromStr`, [`from_base32`](crate::Snowflake::from_base32) and the other readers of texts return
/// it. It converts into [`Error`](crate::Error), so `?` works in functions that return one. New
/// variants may be added, so a `match` needs a `_` arm.
///
/// ```
/// use pyflake::{ParseError, Snowflake};
///
/// let error = "12x".parse::<Snowflake>().unwrap_err();
/// assert!(matches!(error, ParseError::Id { position: 2, .. }));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The text is not an ID in the requested form.
    Id {
        /// The text, cut after 32 characters.
        text: Box<str>,
        /// The position of the first defect, in characters from 0.
        position: usize,
        /// The defect at that position.
        reason: &'static str,
        /// A description of the expected form.
        expected: &'static str,
    },
    /// The text is not a node.
    Node {
        /// The text, cut after 32 characters.
        text: Box<str>,
        /// The defect of the text.
        reason: &'static str,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::Id { text, position, reason, expected } => write!(
                f,
                "{text:?} is not a snowflake ID: {reason}, at position {position} counted from 0; expected {expected}"
            ),
            ParseError::Node { text, reason } => {
                write!(f, "{text:?} is not a node: {reason}; expected {NodeForms}")
            }
        }
    }
}

impl core::error::Error for ParseError {}

/// The largest index of a node: 1023.
pub(crate) const MAX_INDEX: u16 = (MAX_SEED as u16) << PID_BITS | MAX_PID as u16;

/// Writes the two forms of a node's text.
pub(crate) struct NodeForms;

impl fmt::Display for NodeForms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an index from 0 to {MAX_INDEX}, or a pid/seed of 0 to {MAX_PID} and 0 to {MAX_SEED}")
    }
}

/// The first 32 characters of a text, for an error. The text may be of any length.
pub(crate) fn shown(text: &str) -> Box<str> {
    text.chars().take(32).collect()
}
