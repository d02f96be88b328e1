//! The processes that write to a database, and how far each one's log has come.

use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::NodeNo,
    stored::{Key, Stored},
};

/// A process: the owner of one commit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its number.
    pub node: NodeNo,
    /// How often it was started.
    pub epoch: u32,
    /// The first log entry that may still be there; older ones were trimmed.
    pub horizon: u64,
}

impl Stored for Node {
    const TABLE: &'static str = "node";
    fn key(&self) -> Key {
        key![i64::from(self.node)]
    }
}

/// How far a node's log has come: the row that rings when something is committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bell {
    /// The node.
    pub node: NodeNo,
    /// Its newest log entry; zero before the first.
    pub seq: u64,
    /// Which start of the node wrote this.
    pub epoch: u32,
    /// Which transaction of that start wrote this: tells after a lost answer whether it was
    /// committed.
    pub batch: u64,
}

impl Stored for Bell {
    const TABLE: &'static str = "bell";
    fn key(&self) -> Key {
        key![i64::from(self.node)]
    }
}
