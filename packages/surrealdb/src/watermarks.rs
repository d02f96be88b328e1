//! How far the log of every node has come.

use std::collections::BTreeMap;

use matryx_entity::position::NodeNo;

/// The newest known position of each node's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watermarks(BTreeMap<NodeNo, u64>);

impl Watermarks {
    /// The newest known seq of a node; zero for one that is not known.
    pub fn seq(&self, node: NodeNo) -> u64 {
        self.0.get(&node).copied().unwrap_or_default()
    }

    /// All nodes with their newest seq.
    pub fn iter(&self) -> impl Iterator<Item = (NodeNo, u64)> {
        self.0.iter().map(|(node, seq)| (*node, *seq))
    }

    /// Moves one node forward; tells whether it moved. A watermark never goes back.
    pub(crate) fn raise(&mut self, node: NodeNo, seq: u64) -> bool {
        let known = self.0.entry(node).or_default();
        let raised = seq > *known;
        if raised {
            *known = seq;
        }
        raised
    }
}
