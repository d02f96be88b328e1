//! A join of a room of another server that is under way.

use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// A join that somebody asked for and that may take long. It is there from the request to the end
/// of the join, however that ends; what is there when the server starts is taken up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingJoin {
    /// Who joins.
    pub user: OwnedUserId,
    /// Which room.
    pub room_id: OwnedRoomId,
    /// The servers to ask that the client named.
    pub servers: Vec<OwnedServerName>,
    /// The content of the membership event: the JSON text of an object.
    pub content: String,
}

impl PendingJoin {
    /// The key of a user's join of a room.
    pub fn key_of(user: &UserId, room_id: &RoomId) -> Key {
        key![user.as_str(), room_id.as_str()]
    }
}

impl Stored for PendingJoin {
    const TABLE: &'static str = "pending_join";
    fn key(&self) -> Key {
        Self::key_of(&self.user, &self.room_id)
    }
}
