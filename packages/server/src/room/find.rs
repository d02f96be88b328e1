//! From what a client calls a room to the room's id.

use ruma::{OwnedServerName, RoomId, RoomOrAliasId};

use super::{AliasTarget, RoomError, Rooms};

impl Rooms {
    /// The id of a room that is named by its id or by an alias, and the servers that can help to
    /// get there: `via`, and those that the alias gives.
    ///
    /// # Errors
    /// 404 for an alias that leads nowhere.
    pub async fn find(
        &self,
        room: &RoomOrAliasId,
        via: Vec<OwnedServerName>,
    ) -> Result<AliasTarget, RoomError> {
        let mut servers = via;
        match <&RoomId>::try_from(room) {
            Ok(room_id) => Ok(AliasTarget {
                room_id: room_id.to_owned(),
                servers,
            }),
            Err(alias) => {
                let target = self.resolve_alias(alias).await?;
                servers.extend(target.servers);
                Ok(AliasTarget {
                    room_id: target.room_id,
                    servers,
                })
            }
        }
    }
}
