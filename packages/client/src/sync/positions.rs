//! How far each node's log has come: a moment of the whole server.

use matryx_entity::position::{NodeNo, Position};

/// One position per node, sorted by node. A node that is not in it stands at zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(Vec<Position>);

impl Positions {
    /// How far one node's log has come.
    pub fn seq(&self, node: NodeNo) -> u64 {
        self.0
            .iter()
            .find(|at| at.node == node)
            .map_or(0, |at| at.seq)
    }

    /// Does this moment include the commit at `at`? Position zero is before everything.
    pub fn includes(&self, at: Position) -> bool {
        at.seq <= self.seq(at.node)
    }

    /// Does this moment include everything that `other` includes?
    pub fn includes_all(&self, other: &Self) -> bool {
        other.0.iter().all(|at| self.includes(*at))
    }

    /// Moves one node forward; never back.
    pub fn raise(&mut self, at: Position) {
        match self.0.iter_mut().find(|known| known.node == at.node) {
            Some(known) => known.seq = known.seq.max(at.seq),
            None if at.seq > 0 => {
                self.0.push(at);
                self.0.sort_unstable_by_key(|at| at.node);
            }
            None => {}
        }
    }

    /// The nodes and how far they have come.
    pub fn iter(&self) -> impl Iterator<Item = Position> {
        self.0.iter().copied()
    }
}

impl FromIterator<Position> for Positions {
    fn from_iter<I: IntoIterator<Item = Position>>(positions: I) -> Self {
        let mut all = Self::default();
        for at in positions {
            all.raise(at);
        }
        all
    }
}
