//! Account data: what a user's clients keep on the server, per account and per room.

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::Position,
    stored::{Key, Stored},
};

/// One event type of a user's account data. Kept until the account is erased; the client replaces
/// it, nobody else does.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#client-config)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountData {
    /// Whose.
    pub user: OwnedUserId,
    /// The room it belongs to; none for global account data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<OwnedRoomId>,
    /// The event type.
    pub kind: String,
    /// The event's `content`: the JSON text of an object.
    pub content: String,
    /// When it was committed.
    pub at: Position,
}

impl AccountData {
    /// The key of one event type.
    pub fn key_of(user: &UserId, room: Option<&RoomId>, kind: &str) -> Key {
        key![user.as_str(), room.map_or("", RoomId::as_str), kind]
    }
}

impl Stored for AccountData {
    const TABLE: &'static str = "account_data";
    fn key(&self) -> Key {
        Self::key_of(&self.user, self.room.as_deref(), &self.kind)
    }
}
