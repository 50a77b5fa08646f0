//! The state of a lease, and what happens when it is lost.

use crate::id::Node;

/// What a [`LeasedGenerator`](crate::lease::LeasedGenerator) does when its lease is lost: another owner has the node, by
/// an operator's hand or because the store took this one for dead.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLost {
    /// Acquires another lease, as soon as the store has one: the default.
    #[default]
    Reacquire,
    /// Stays [`Lost`](LeaseState::Lost).
    Stop,
}

/// The state of a lease.
///
/// A health check asks [`can_issue`](Self::can_issue), which also covers states that are added later.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "state", rename_all = "lowercase"))]
pub enum LeaseState {
    /// The lease is held and was renewed when it was last due.
    Held {
        /// The node.
        node: Node,
        /// The first Unix millisecond past the window.
        until: u64,
    },
    /// The lease is held, but renewing it fails or is overdue: IDs are issued until the window ends.
    ///
    /// [`LeasedGenerator::last_error`](crate::lease::LeasedGenerator::last_error) has the cause.
    Degraded {
        /// The node.
        node: Node,
        /// The first Unix millisecond past the window.
        until: u64,
        /// The Unix millisecond of the last renewal that succeeded.
        since: u64,
    },
    /// The window has ended and renewing it fails or is overdue: no ID is issued until the store answers again.
    Expired {
        /// The node, which nobody else uses before the store takes this holder for dead.
        node: Node,
        /// The first Unix millisecond past the window.
        until: u64,
        /// The Unix millisecond of the last renewal that succeeded.
        since: u64,
    },
    /// There is no lease, and no ID is issued.
    Lost,
}

impl LeaseState {
    /// Returns whether IDs can be issued: `true` for [`Held`](Self::Held) and [`Degraded`](Self::Degraded).
    ///
    /// ```
    /// use pyflake::Node;
    /// use pyflake::lease::LeaseState;
    ///
    /// let (node, until, since) = (Node::from_index(7)?, 1_700_000_010_000, 1_700_000_000_000);
    /// assert!(LeaseState::Degraded { node, until, since }.can_issue());
    /// assert!(!LeaseState::Expired { node, until, since }.can_issue());
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    #[must_use]
    pub fn can_issue(self) -> bool {
        matches!(self, LeaseState::Held { .. } | LeaseState::Degraded { .. })
    }

    /// The node that is held; `None` if it is [`Lost`](Self::Lost).
    #[must_use]
    pub fn node(self) -> Option<Node> {
        match self {
            LeaseState::Held { node, .. } | LeaseState::Degraded { node, .. } | LeaseState::Expired { node, .. } => {
                Some(node)
            }
            LeaseState::Lost => None,
        }
    }
}
