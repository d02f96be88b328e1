//! From what a client calls a room to the room's id.

use ruma::{OwnedRoomId, RoomOrAliasId};

use super::{RoomError, Rooms};

impl Rooms {
    /// The id of a room that is named by its id or by an alias.
    ///
    /// # Errors
    /// 404 for an alias that leads nowhere.
    pub async fn find(&self, room: &RoomOrAliasId) -> Result<OwnedRoomId, RoomError> {
        match <&ruma::RoomId>::try_from(room) {
            Ok(room_id) => Ok(room_id.to_owned()),
            Err(alias) => Ok(self.resolve_alias(alias).await?.room_id),
        }
    }
}
