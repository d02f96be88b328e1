//! The interned number of a room, which stands for the room id in record keys.

use serde::{Deserialize, Serialize};

use crate::stored::KeyPart;

/// A room's short number: unique over all processes, given by the one that first saw the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoomNo(pub i64);

impl From<RoomNo> for KeyPart {
    fn from(room: RoomNo) -> Self {
        Self::Int(room.0)
    }
}
