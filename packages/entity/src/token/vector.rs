//! How far each log has come.

use super::packing::{BitReader, BitWriter, Reader, put_varint, width};
use crate::position::{NodeNo, Position};

/// The most nodes in a token: far beyond any cluster; bounds the work on a stranger's text.
const MAX_NODES: u64 = 256;

/// The newest position of every node that has one: sorted by node, without zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Vector(Vec<(NodeNo, u64)>);

impl Vector {
    /// The newest position of a node; zero for none.
    pub(super) fn seq(&self, node: NodeNo) -> u64 {
        let place = self.0.binary_search_by_key(&node, |(node, _)| *node);
        place
            .ok()
            .and_then(|index| self.0.get(index))
            .map_or(0, |(_, seq)| *seq)
    }

    pub(super) fn positions(&self) -> impl Iterator<Item = Position> {
        self.0.iter().map(|&(node, seq)| Position { node, seq })
    }

    /// Moves forward so that it covers `position`; never backward.
    pub(super) fn advance(&mut self, Position { node, seq }: Position) {
        if seq == 0 {
            return;
        }
        match self.0.binary_search_by_key(&node, |(node, _)| *node) {
            Ok(index) => {
                if let Some((_, known)) = self.0.get_mut(index) {
                    *known = seq.max(*known);
                }
            }
            Err(index) => self.0.insert(index, (node, seq)),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        let Some((first, _)) = self.0.first() else {
            return;
        };
        put_varint(out, u64::from(*first));
        let gaps = || {
            let pairs = self.0.iter().zip(self.0.iter().skip(1));
            pairs
                .map(|((low, _), (high, _))| u64::from(high.saturating_sub(*low).saturating_sub(1)))
        };
        let seqs = || self.0.iter().map(|(_, seq)| *seq);
        let (gap_width, seq_width) = (width(gaps()), width(seqs()));
        out.push(gap_width);
        out.push(seq_width);
        let mut bits = BitWriter::new(out);
        gaps().for_each(|gap| bits.put(gap, gap_width));
        seqs().for_each(|seq| bits.put(seq, seq_width));
        bits.finish();
    }

    /// Reads what [`Vector::write`] wrote; what it would not write it may read as anything.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let count = reader.varint()?;
        if count > MAX_NODES {
            return None;
        }
        let mut vector = Self(Vec::with_capacity(usize::try_from(count).ok()?));
        if count == 0 {
            return Some(vector);
        }
        let mut node = NodeNo::try_from(reader.varint()?).ok()?;
        let (gap_width, seq_width) = (reader.byte()?, reader.byte()?);
        let mut bits = BitReader::new(reader.bytes);
        let mut nodes = vec![node];
        for _ in 1..count {
            let gap = NodeNo::try_from(bits.take(gap_width)?).ok()?;
            node = node.checked_add(gap)?.checked_add(1)?;
            nodes.push(node);
        }
        for node in nodes {
            let seq = bits.take(seq_width)?;
            vector.advance(Position { node, seq });
        }
        reader.bytes = bits.rest()?;
        Some(vector)
    }
}
