//! A moment of all logs: how far something has come in each.

use std::collections::BTreeMap;

use matryx_entity::position::{NodeNo, Position};

/// Up to which entry of each node's log something holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach(BTreeMap<NodeNo, u64>);

impl Reach {
    pub(super) fn new(positions: impl IntoIterator<Item = Position>) -> Self {
        let mut reach = Self::default();
        for position in positions {
            reach.advance(position);
        }
        reach
    }

    /// The newest entry of a node's log that it covers; zero for none.
    pub(super) fn seq(&self, node: NodeNo) -> u64 {
        self.0.get(&node).copied().unwrap_or_default()
    }

    pub(super) fn positions(&self) -> impl Iterator<Item = Position> {
        self.0.iter().map(|(&node, &seq)| Position { node, seq })
    }

    /// Moves forward so that it covers `position`.
    pub(super) fn advance(&mut self, position: Position) {
        let seq = self.0.entry(position.node).or_default();
        *seq = position.seq.max(*seq);
    }

    /// Moves forward so that it covers everything that `other` covers.
    pub(super) fn merge(&mut self, other: &Self) {
        other
            .positions()
            .for_each(|position| self.advance(position));
    }

    /// Moves back so that it covers nothing from `position` on.
    pub(super) fn end_before(&mut self, position: Position) {
        let before = position.seq.saturating_sub(1);
        if let Some(seq) = self.0.get_mut(&position.node) {
            *seq = before.min(*seq);
        }
    }

    /// Moves back so that it covers nothing that `other` does not.
    pub(super) fn limit(&mut self, other: &Self) {
        for (node, seq) in &mut self.0 {
            *seq = other.seq(*node).min(*seq);
        }
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        other.distance_from(self) == 0
    }

    /// How many entries it covers that `other` does not.
    pub(super) fn distance_from(&self, other: &Self) -> u64 {
        let ahead = |position: Position| position.seq.saturating_sub(other.seq(position.node));
        self.positions().map(ahead).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(positions: &[(NodeNo, u64)]) -> Reach {
        Reach::new(positions.iter().copied().map(Position::from))
    }

    #[test]
    fn moves_forward_and_back_log_by_log() {
        let mut moment = reach(&[(1, 5), (2, 7), (1, 3)]);
        assert_eq!((moment.seq(1), moment.seq(2), moment.seq(3)), (5, 7, 0));
        moment.end_before((1, 4).into());
        moment.end_before((2, 9).into());
        moment.end_before((3, 1).into());
        assert_eq!(moment, reach(&[(1, 3), (2, 7)]));
        moment.limit(&reach(&[(1, 9)]));
        assert_eq!(moment, reach(&[(1, 3), (2, 0)]));
        moment.merge(&reach(&[(2, 1), (3, 2)]));
        assert_eq!(moment, reach(&[(1, 3), (2, 1), (3, 2)]));
    }

    #[test]
    fn knows_what_lies_between() {
        let (early, late) = (reach(&[(1, 3)]), reach(&[(1, 5), (2, 2)]));
        assert!(late.covers(&early) && !early.covers(&late));
        assert_eq!(late.distance_from(&early), 4);
        assert_eq!(early.distance_from(&late), 0);
        assert!(early.covers(&reach(&[(7, 0)])));
    }
}
