//! The state of a lease, and what happens when it is lost.

use crate::id::Node;

/// What a [`LeasedGenerator`](crate::lease::LeasedGenerator) does when its lease is lost: another owner has the node, by an operator's hand or because
/// the store took this one for dead.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLost {
    /// Acquires another lease, as soon as the store has one: the default.
    #[default]
    Reacquire,
    /// Stays [`Lost`](LeaseState::Lost).
    Stop,
}

/// How it stands with the lease of a [`LeasedGenerator`](crate::lease::LeasedGenerator), for health checks.
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
    /// The lease is held, but renewing it fails or is overdue: IDs are issued until the window ends, which is
    /// [`Stats::window`](crate::Stats::window) away. [`LeasedGenerator::last_error`](crate::lease::LeasedGenerator::last_error) says why.
    Degraded {
        /// The Unix millisecond of the last renewal that succeeded.
        since: u64,
    },
    /// There is no lease, and no ID is issued.
    Lost,
}
