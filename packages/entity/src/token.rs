//! The opaque tokens that clients hold: a moment of the server, and a place in a room.
//!
//! A [`SyncToken`] is a vector of positions, one per process whose log has entries, and a cursor
//! for what is not logged (typing); a second vector says how far a device has its messages, if that
//! is less far. It carries everything, so the server keeps no row per token.
//! A [`PageToken`] is a gap between two events of a room.

mod packing;
mod vector;

use std::{cmp::Ordering, fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use self::{
    packing::{Reader, put_varint},
    vector::Vector,
};
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
/// (bit 4: an ephemeral cursor follows; bit 5: a vector of messages follows); that cursor, as two
/// little-endian bytes of epoch and a varint; the vector of the moment; that of messages.
///
/// A vector is the number of nodes as a varint; the lowest node as a varint; a byte with the bit
/// width of gaps between nodes and one with that of sequence numbers; then all gaps and all sequence
/// numbers packed at these widths. There is one text for each token; every other text is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SyncToken {
    seqs: Vector,
    ephemeral: EphemeralCursor,
    /// Up to where the device has its messages; none if that is the moment itself. Nowhere beyond
    /// the moment, and not equal to it.
    messages: Option<Vector>,
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
const HAS_MESSAGES: u8 = 1 << 5;
/// The longest text of a token with two vectors of the most nodes.
const MAX_TEXT: usize = 8192;

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
        self.seqs.seq(node)
    }

    /// The newest position of every node that has one.
    pub fn positions(&self) -> impl Iterator<Item = Position> {
        self.seqs.positions()
    }

    /// Had this entry been committed at this moment?
    pub fn covers(&self, position: Position) -> bool {
        position.seq <= self.seq(position.node)
    }

    /// Moves forward so that it covers `position`; never backward.
    pub fn advance(&mut self, position: Position) {
        self.seqs.advance(position);
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

    /// Does a device with this token have the messages of this position?
    pub fn has_messages(&self, position: Position) -> bool {
        position.seq <= self.messages_seq(position.node)
    }

    /// Up to which entry of a node's log a device with this token has its messages.
    pub fn messages_seq(&self, node: NodeNo) -> u64 {
        self.messages.as_ref().unwrap_or(&self.seqs).seq(node)
    }

    /// The same moment for a device that has its messages only up to these positions.
    #[must_use]
    pub fn with_messages(mut self, positions: impl IntoIterator<Item = Position>) -> Self {
        let mut messages = Vector::default();
        for position in positions {
            let seq = position.seq.min(self.seq(position.node));
            messages.advance(Position { seq, ..position });
        }
        self.messages = Some(messages).filter(|messages| *messages != self.seqs);
        self
    }

    /// The raw bytes beneath the text.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![LAYOUT];
        let mut flags = 0;
        if self.ephemeral != EphemeralCursor::default() {
            flags |= HAS_EPHEMERAL;
            out.extend_from_slice(&self.ephemeral.epoch.to_le_bytes());
            put_varint(&mut out, self.ephemeral.counter);
        }
        self.seqs.write(&mut out);
        if let Some(messages) = &self.messages {
            flags |= HAS_MESSAGES;
            messages.write(&mut out);
        }
        if let Some(head) = out.first_mut() {
            *head |= flags;
        }
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes };
        let head = reader.byte()?;
        if head & !(HAS_EPHEMERAL | HAS_MESSAGES) != LAYOUT {
            return None;
        }
        let mut token = Self::default();
        if head & HAS_EPHEMERAL != 0 {
            token.ephemeral = EphemeralCursor {
                epoch: u16::from_le_bytes([reader.byte()?, reader.byte()?]),
                counter: reader.varint()?,
            };
        }
        token.seqs = Vector::read(&mut reader)?;
        if head & HAS_MESSAGES != 0 {
            let messages = Vector::read(&mut reader)?;
            token = token.with_messages(messages.positions());
        }
        Some(token)
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
        let nodes = self.positions().chain(other.positions());
        for node in nodes.map(|position| position.node) {
            let moment = self.seq(node).cmp(&other.seq(node));
            let messages = self.messages_seq(node).cmp(&other.messages_seq(node));
            for next in [moment, messages] {
                if order == Ordering::Equal {
                    order = next;
                } else if next != Ordering::Equal && next != order {
                    return None;
                }
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
        (token.to_bytes() == bytes)
            .then_some(token)
            .ok_or(InvalidToken)
    }
}

/// A place in a room where a page begins or ends.
///
/// Clients pass tokens of `/sync`, `/messages` and `/context` as `from` and `to` alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PageToken {
    /// The gap right after the event at this place. A page backward from it begins with that
    /// event, a page forward with the next one; so the end of a page backward that ended with the
    /// event at `pos` is `Gap(pos − 1)` (or the top of what came before that event, where history
    /// is missing there), of a page forward `Gap(pos)`. Text: `t` and the number.
    Gap(i64),
    /// The gap after the last event of the room at this moment.
    Moment(SyncToken),
}

impl PageToken {
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
