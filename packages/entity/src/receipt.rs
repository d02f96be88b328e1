//! Read receipts: how far a user has read a room, or one thread of it.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, events::receipt::ReceiptType};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::Position,
    room_no::RoomNo,
    stored::{Key, Stored},
};

/// The newest receipt of one user, one kind and one thread in a room. Moves forward only; kept as
/// long as the room.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#receipts)
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// The room.
    pub room: RoomNo,
    /// Who read.
    pub user: OwnedUserId,
    /// `m.read` or `m.read.private`.
    pub kind: ReceiptType,
    /// The thread's root event id, `main`, or none for an unthreaded receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The event up to which the user has read.
    pub event_id: OwnedEventId,
    /// That event's place in the room.
    pub pos: i64,
    /// When the user said so.
    pub ts: MilliSecondsSinceUnixEpoch,
    /// When it was committed.
    pub at: Position,
}

impl Receipt {
    /// The key of a receipt.
    pub fn key_of(
        room: RoomNo,
        user: &ruma::UserId,
        kind: &ReceiptType,
        thread: Option<&str>,
    ) -> Key {
        // An empty thread id is refused at the edge, so it can stand for "unthreaded".
        key![room, user.as_str(), kind.as_str(), thread.unwrap_or("")]
    }

    /// May only its owner see it?
    pub fn is_private(&self) -> bool {
        self.kind == ReceiptType::ReadPrivate
    }

    /// Does it say more than `earlier`, the receipt that is stored under the same key?
    pub fn advances(&self, earlier: Option<&Self>) -> bool {
        earlier.is_none_or(|earlier| self.pos > earlier.pos)
    }
}

impl Stored for Receipt {
    const TABLE: &'static str = "receipt";
    fn key(&self) -> Key {
        Self::key_of(self.room, &self.user, &self.kind, self.thread.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, uint, user_id};

    use super::*;

    fn receipt(pos: i64) -> Receipt {
        Receipt {
            room: RoomNo(1),
            user: user_id!("@a:x").to_owned(),
            kind: ReceiptType::Read,
            thread: None,
            event_id: event_id!("$e").to_owned(),
            pos,
            ts: MilliSecondsSinceUnixEpoch(uint!(1)),
            at: Position::default(),
        }
    }

    #[test]
    fn a_receipt_moves_forward_only() {
        assert!(receipt(3).advances(None));
        assert!(receipt(3).advances(Some(&receipt(2))));
        assert!(!receipt(3).advances(Some(&receipt(3))));
        assert!(!receipt(2).advances(Some(&receipt(3))));
    }

    #[test]
    fn threads_and_kinds_have_records_of_their_own() {
        let plain = receipt(1);
        let threaded = Receipt {
            thread: Some("main".to_owned()),
            ..plain.clone()
        };
        let private = Receipt {
            kind: ReceiptType::ReadPrivate,
            ..plain.clone()
        };
        assert_ne!(plain.key(), threaded.key());
        assert_ne!(plain.key(), private.key());
        assert!(private.is_private() && !plain.is_private());
    }
}
