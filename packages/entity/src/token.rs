//! The opaque tokens that clients hold: a moment of the server, and a place in a room.
//!
//! A [`SyncToken`] is a vector of positions, one per process whose log has entries, and a cursor
//! for what is not logged (typing). It carries everything, so the server keeps no row per token.
//! A [`PageToken`] is a gap between two events of a room.

mod packing;

use std::{cmp::Ordering, fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use self::packing::{BitReader, BitWriter, Reader, put_varint, width};
use crate::{
    position::{NodeNo, Position},
    room_snapshot::RoomSnapshot,
};

/// The text is no token of ours: 400 `M_INVALID_PARAM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token of this server")]
pub struct InvalidToken;

/// A moment of the whole server.
///
/// The text is `s` and base64url of: a byte with the layout's version (low four bits) and flags
/// (bit 4: an ephemeral cursor follows); that cursor, as two little-endian bytes of epoch and a
/// varint; the number of nodes as a varint; the lowest node as a varint; a byte with the bit width
/// of gaps between nodes and one with that of sequence numbers; then all gaps and all sequence
/// numbers packed at these widths. There is one text for each token; every other text is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SyncToken {
    /// Sorted by node; no zero `seq`.
    seqs: Vec<(NodeNo, u64)>,
    ephemeral: EphemeralCursor,
}

/// How far somebody has read what is not logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EphemeralCursor {
    /// Which start of which process counts. A reader with another epoch has read nothing.
    pub epoch: u16,
    /// Its counter.
    pub counter: u64,
}

const LAYOUT: u8 = 1;
const HAS_EPHEMERAL: u8 = 1 << 4;
/// The most nodes in a token: far beyond any cluster; bounds the work on a stranger's text.
const MAX_NODES: u64 = 256;
/// The longest text of a token with [`MAX_NODES`] nodes.
const MAX_TEXT: usize = 4096;

impl SyncToken {
    /// The moment before everything.
    pub fn start() -> Self {
        Self::default()
    }

    /// The moment given by one position per node; of several for one node the latest counts.
    pub fn new(positions: impl IntoIterator<Item = Position>) -> Self {
        let mut token = Self::start();
        for position in positions {
            token.advance(position);
        }
        token
    }

    /// Up to which entry of a node's log this moment reaches; zero for none.
    pub fn seq(&self, node: NodeNo) -> u64 {
        self.seqs
            .binary_search_by_key(&node, |(node, _)| *node)
            .ok()
            .and_then(|index| self.seqs.get(index))
            .map_or(0, |(_, seq)| *seq)
    }

    /// The newest position of every node that has one.
    pub fn positions(&self) -> impl Iterator<Item = Position> {
        self.seqs.iter().map(|&(node, seq)| Position { node, seq })
    }

    /// Had this entry been committed at this moment?
    pub fn covers(&self, position: Position) -> bool {
        position.seq <= self.seq(position.node)
    }

    /// Moves forward so that it covers `position`; never backward.
    pub fn advance(&mut self, position: Position) {
        if position.seq == 0 {
            return;
        }
        match self
            .seqs
            .binary_search_by_key(&position.node, |(node, _)| *node)
        {
            Ok(index) => {
                if let Some((_, seq)) = self.seqs.get_mut(index) {
                    *seq = position.seq.max(*seq);
                }
            }
            Err(index) => self.seqs.insert(index, (position.node, position.seq)),
        }
    }

    /// Moves forward so that it covers everything that `other` covers.
    pub fn merge(&mut self, other: &Self) {
        for position in other.positions() {
            self.advance(position);
        }
    }

    /// How far the unlogged part has been read.
    pub fn ephemeral(&self) -> EphemeralCursor {
        self.ephemeral
    }

    /// The same moment of the logs with another cursor for the unlogged part.
    #[must_use]
    pub fn with_ephemeral(mut self, cursor: EphemeralCursor) -> Self {
        self.ephemeral = cursor;
        self
    }

    /// The raw bytes beneath the text.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        if self.ephemeral == EphemeralCursor::default() {
            out.push(LAYOUT);
        } else {
            out.push(LAYOUT | HAS_EPHEMERAL);
            out.extend_from_slice(&self.ephemeral.epoch.to_le_bytes());
            put_varint(&mut out, self.ephemeral.counter);
        }
        put_varint(&mut out, self.seqs.len() as u64);
        let Some((first, _)) = self.seqs.first() else {
            return out;
        };
        put_varint(&mut out, u64::from(*first));
        let gaps = || {
            self.seqs
                .iter()
                .zip(self.seqs.iter().skip(1))
                .map(|((low, _), (high, _))| u64::from(high.saturating_sub(*low).saturating_sub(1)))
        };
        let seqs = || self.seqs.iter().map(|(_, seq)| *seq);
        let (gap_width, seq_width) = (width(gaps()), width(seqs()));
        out.push(gap_width);
        out.push(seq_width);
        let mut bits = BitWriter::new(&mut out);
        gaps().for_each(|gap| bits.put(gap, gap_width));
        seqs().for_each(|seq| bits.put(seq, seq_width));
        bits.finish();
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes };
        let head = reader.byte()?;
        let ephemeral = match head {
            LAYOUT => EphemeralCursor::default(),
            _ if head == LAYOUT | HAS_EPHEMERAL => EphemeralCursor {
                epoch: u16::from_le_bytes([reader.byte()?, reader.byte()?]),
                counter: reader.varint()?,
            },
            _ => return None,
        };
        let count = reader.varint()?;
        if count > MAX_NODES {
            return None;
        }
        let mut seqs = Vec::with_capacity(usize::try_from(count).ok()?);
        if count > 0 {
            let mut node = NodeNo::try_from(reader.varint()?).ok()?;
            let (gap_width, seq_width) = (reader.byte()?, reader.byte()?);
            let mut bits = BitReader::new(reader.bytes);
            seqs.push((node, 0));
            for _ in 1..count {
                let gap = NodeNo::try_from(bits.take(gap_width)?).ok()?;
                node = node.checked_add(gap)?.checked_add(1)?;
                seqs.push((node, 0));
            }
            for (_, seq) in &mut seqs {
                *seq = bits.take(seq_width)?;
            }
        }
        Some(Self { seqs, ephemeral })
    }
}

/// Later in time is greater; two moments of which neither contains the other are not ordered.
impl PartialOrd for SyncToken {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let mut order = if self.ephemeral.epoch == other.ephemeral.epoch {
            self.ephemeral.counter.cmp(&other.ephemeral.counter)
        } else {
            return None;
        };
        let nodes = self.seqs.iter().chain(&other.seqs).map(|(node, _)| *node);
        for node in nodes {
            let next = self.seq(node).cmp(&other.seq(node));
            if order == Ordering::Equal {
                order = next;
            } else if next != Ordering::Equal && next != order {
                return None;
            }
        }
        Some(order)
    }
}

impl fmt::Display for SyncToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "s{}", URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }
}

impl FromStr for SyncToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let body = text.strip_prefix('s').ok_or(InvalidToken)?;
        if body.len() > MAX_TEXT {
            return Err(InvalidToken);
        }
        let bytes = URL_SAFE_NO_PAD.decode(body).or(Err(InvalidToken))?;
        let token = Self::from_bytes(&bytes).ok_or(InvalidToken)?;
        // One text per token: refuses zero sequence numbers, wasted bits and trailing bytes.
        let exact = token.seqs.iter().all(|(_, seq)| *seq > 0) && token.to_bytes() == bytes;
        exact.then_some(token).ok_or(InvalidToken)
    }
}

/// A place in a room where a page begins or ends.
///
/// Clients pass tokens of `/sync`, `/messages` and `/context` as `from` and `to` alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PageToken {
    /// The gap right after the event at this place. A page backward from it begins with that
    /// event, a page forward with the next one; so the end of a page backward that ended with the
    /// event at `pos` is `Gap(pos − 1)`, of a page forward `Gap(pos)`. Text: `t` and the number.
    Gap(i64),
    /// The gap after the last event of the room at this moment.
    Moment(SyncToken),
}

impl PageToken {
    /// The gap before the event at `pos`.
    pub fn before(pos: i64) -> Self {
        Self::Gap(pos.saturating_sub(1))
    }

    /// The gap after the event at `pos`.
    pub fn after(pos: i64) -> Self {
        Self::Gap(pos)
    }

    /// The gap's place in a room: the `pos` of the event before it.
    ///
    /// `None` when a moment lies before the room's cached events; the caller then reads which the
    /// last event is that the moment covers.
    pub fn gap(&self, room: &RoomSnapshot) -> Option<i64> {
        match self {
            Self::Gap(pos) => Some(*pos),
            Self::Moment(token) => {
                // An event on its way to the database is at no moment yet.
                let covered = |at: &Position| token.covers(*at);
                let last = room
                    .recent
                    .iter()
                    .rev()
                    .find(|event| event.at.get().is_some_and(covered));
                match last {
                    Some(event) => Some(event.pos),
                    // The cache reaches back to the first event, and the moment is before it.
                    None if room.recent.front().is_none_or(|first| first.pos <= 1) => Some(0),
                    None => None,
                }
            }
        }
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap(pos) => write!(formatter, "t{pos}"),
            Self::Moment(token) => token.fmt(formatter),
        }
    }
}

impl FromStr for PageToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let Some(number) = text.strip_prefix('t') else {
            return text.parse().map(Self::Moment);
        };
        let pos: i64 = number.parse().or(Err(InvalidToken))?;
        // One text per token: no plus sign, no leading zeros.
        let token = Self::Gap(pos);
        (token.to_string() == text)
            .then_some(token)
            .ok_or(InvalidToken)
    }
}
