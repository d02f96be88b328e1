//! The room record and its neighbours: pointer by id, alias, directory entry.

use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomVersionId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    room_no::RoomNo,
    stored::{Key, Stored},
    stretch::FIRST_POS,
};

/// A room this server knows. Written when the room is created, or first heard of, and when this
/// server comes into it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Room {
    /// The room's number.
    pub no: RoomNo,
    /// The room's id.
    pub room_id: OwnedRoomId,
    /// The room's version.
    pub version: RoomVersionId,
    /// The place of the event with which this server came into the room the last time.
    #[serde(default = "first_pos", skip_serializing_if = "is_first_pos")]
    pub entered: i64,
}

fn first_pos() -> i64 {
    FIRST_POS
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_first_pos(pos: &i64) -> bool {
    *pos == FIRST_POS
}

impl Stored for Room {
    const TABLE: &'static str = "room";
    fn key(&self) -> Key {
        key![self.no]
    }
}

/// From a room id to its number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoomPointer {
    /// The room's id.
    pub room_id: OwnedRoomId,
    /// Its number.
    pub no: RoomNo,
}

impl Stored for RoomPointer {
    const TABLE: &'static str = "room_id";
    fn key(&self) -> Key {
        key![self.room_id.as_str()]
    }
}

/// A local room alias.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#room-aliases)
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alias {
    /// The alias.
    pub alias: OwnedRoomAliasId,
    /// The room it leads to.
    pub room_id: OwnedRoomId,
    /// That room's number.
    pub room: RoomNo,
    /// Who made it: may delete it.
    pub creator: OwnedUserId,
}

impl Stored for Alias {
    const TABLE: &'static str = "alias";
    fn key(&self) -> Key {
        key![self.alias.as_str()]
    }
}

/// A room that is listed in the public room directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublishedRoom {
    /// The room.
    pub room: RoomNo,
    /// Its id.
    pub room_id: OwnedRoomId,
}

impl Stored for PublishedRoom {
    const TABLE: &'static str = "published_room";
    fn key(&self) -> Key {
        key![self.room]
    }
}
