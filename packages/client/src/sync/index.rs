//! What changed lately, in the order of the log: how an incremental sync finds what it must look
//! at without asking the database.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use matryx_entity::{
    member_delta::MemberDelta,
    position::{NodeNo, Position},
    receipt::Receipt,
    room_no::RoomNo,
    token::SyncToken,
};
use ruma::{OwnedDeviceId, OwnedUserId};

/// How many log entries per node are remembered. A client that is further behind is answered by
/// looking at each of its rooms.
pub(crate) const MAX_CHANGES: usize = 8192;

/// One applied log entry, as far as `/sync` cares.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// An event in a room; the local user whose membership it changed.
    Event {
        room: RoomNo,
        member: Option<OwnedUserId>,
        /// Who came into an encrypted room, or left it.
        delta: Option<Arc<MemberDelta>>,
    },
    /// A membership without an event.
    Member { user: OwnedUserId, room: RoomNo },
    /// A receipt moved.
    Receipt(Arc<Receipt>),
    /// Account data of the account or of a room.
    AccountData { user: OwnedUserId },
    /// A user's devices or cross-signing keys changed.
    Device { user: OwnedUserId },
    /// A user signed others' keys.
    Signed {
        user: OwnedUserId,
        targets: Arc<[OwnedUserId]>,
    },
    /// The keys that a device has left.
    OneTimeKeys {
        user: OwnedUserId,
        device: OwnedDeviceId,
    },
    /// Nothing that `/sync` shows.
    Other,
}

/// The applied prefix of every node's log.
#[derive(Debug, Default)]
pub(crate) struct Index {
    applied: SyncToken,
    recent: BTreeMap<NodeNo, Recent>,
}

/// The newest entries of one node, the last of which has the applied seq.
#[derive(Debug, Default)]
struct Recent(VecDeque<Change>);

/// How an entry relates to what was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is the next one.
    Next,
    /// It was applied before.
    Done,
    /// Others come before it.
    Early,
}

impl Index {
    /// How far every node's log was applied.
    pub(crate) fn applied(&self) -> &SyncToken {
        &self.applied
    }

    /// Takes a node's log as applied up to `at`, without knowing its entries.
    pub(crate) fn adopt(&mut self, at: Position) {
        if at.seq > self.applied.seq(at.node) {
            self.recent.remove(&at.node);
            self.applied.advance(at);
        }
    }

    /// Whether the entry at `at` is the next of its node.
    pub(crate) fn turn(&self, at: Position) -> Turn {
        let applied = self.applied.seq(at.node);
        if at.seq <= applied {
            Turn::Done
        } else if at.seq == applied + 1 {
            Turn::Next
        } else {
            Turn::Early
        }
    }

    /// Notes an entry as applied; it must be the next of its node.
    pub(crate) fn push(&mut self, at: Position, change: Change) {
        let recent = self.recent.entry(at.node).or_default();
        if recent.0.len() == MAX_CHANGES {
            recent.0.pop_front();
        }
        recent.0.push_back(change);
        self.applied.advance(at);
    }

    /// The changes after `since`, up to all that was applied; `None` if they are no longer
    /// remembered.
    pub(crate) fn changes_after(&self, since: &SyncToken) -> Option<Vec<(Position, Change)>> {
        let mut changes = Vec::new();
        for last in self.applied.positions() {
            let from = since.seq(last.node);
            let Some(missing) = last.seq.checked_sub(from).filter(|missing| *missing > 0) else {
                continue;
            };
            let recent = self.recent.get(&last.node)?;
            let missing = usize::try_from(missing).ok()?;
            let skip = recent.0.len().checked_sub(missing)?;
            changes.extend(
                (from + 1..)
                    .zip(recent.0.iter().skip(skip))
                    .map(|(seq, change)| {
                        let node = last.node;
                        (Position { node, seq }, change.clone())
                    }),
            );
        }
        Some(changes)
    }

    /// How many changes are remembered.
    pub(crate) fn len(&self) -> usize {
        self.recent.values().map(|recent| recent.0.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(node: NodeNo, seq: u64) -> Position {
        Position { node, seq }
    }

    fn event(room: i64) -> Change {
        Change::Event {
            room: RoomNo(room),
            member: None,
            delta: None,
        }
    }

    #[test]
    fn entries_have_one_turn_each() {
        let mut index = Index::default();
        index.adopt(at(1, 10));
        assert_eq!(index.turn(at(1, 10)), Turn::Done);
        assert_eq!(index.turn(at(1, 12)), Turn::Early);
        assert_eq!(index.turn(at(1, 11)), Turn::Next);
        index.push(at(1, 11), event(1));
        assert_eq!(index.turn(at(1, 11)), Turn::Done);
        assert_eq!(index.turn(at(2, 1)), Turn::Next);
    }

    #[test]
    fn changes_are_known_back_to_what_was_adopted() {
        let mut index = Index::default();
        index.adopt(at(1, 10));
        for seq in 11..=13 {
            index.push(at(1, seq), event(i64::try_from(seq).unwrap()));
        }
        index.push(at(2, 1), event(2));
        let since = SyncToken::new([at(1, 11)]);
        let seqs: Vec<_> = index
            .changes_after(&since)
            .unwrap()
            .into_iter()
            .map(|(at, _)| (at.node, at.seq))
            .collect();
        assert_eq!(seqs, [(1, 12), (1, 13), (2, 1)]);
        let older = SyncToken::new([at(1, 9)]);
        assert!(index.changes_after(&older).is_none());
        assert!(index.changes_after(index.applied()).unwrap().is_empty());
    }

    #[test]
    fn the_oldest_changes_are_forgotten() {
        let mut index = Index::default();
        for seq in 1..=MAX_CHANGES as u64 + 1 {
            index.push(at(1, seq), Change::Other);
        }
        assert_eq!(index.len(), MAX_CHANGES);
        assert!(index.changes_after(&SyncToken::default()).is_none());
        let since = SyncToken::new([at(1, 1)]);
        assert_eq!(index.changes_after(&since).unwrap().len(), MAX_CHANGES);
    }
}
