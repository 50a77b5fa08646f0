//! The status of a node, for operators.

use crate::id::Node;

/// The status of a node of a store, for operators.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// The node.
    pub node: Node,
    /// Whether it is held now.
    pub held: bool,
    /// The first Unix millisecond that was not given out: where the next holder may start. Zero if it cannot be read.
    pub until: u64,
    /// The number of the last tenure. Zero if it cannot be read.
    pub token: u64,
    /// The label of the last owner, cut to 128 characters, with those escaped that are not printable.
    pub owner_label: String,
    /// The Unix millisecond at which the last owner acquired it, by the store's clock, where the store keeps that.
    pub acquired: Option<u64>,
    /// Why the node is passed over, and what can be done, if a record of it cannot be relied on.
    pub problem: Option<String>,
}
