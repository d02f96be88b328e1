//! Positions in the commit log: who wrote, and how far it had come.
//!
//! Every process owns one log. A position names one entry of one log; a vector of positions (a
//! [`crate::token::SyncToken`]) names a moment of the whole server.

use serde::{Deserialize, Serialize};

/// The number of a process, which is the owner of one commit log.
pub type NodeNo = u16;

/// One entry of one commit log. Ordered within a node only.
///
/// Serialized as `[node, seq]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "(NodeNo, u64)", into = "(NodeNo, u64)")]
pub struct Position {
    /// The log's owner.
    pub node: NodeNo,
    /// Gap-free, in commit order, starting at 1. Zero is "before the first".
    pub seq: u64,
}

impl From<(NodeNo, u64)> for Position {
    fn from((node, seq): (NodeNo, u64)) -> Self {
        Self { node, seq }
    }
}

impl From<Position> for (NodeNo, u64) {
    fn from(position: Position) -> Self {
        (position.node, position.seq)
    }
}
