//! Who came into an encrypted room, and who left it, with one event.

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::Position,
    room_no::RoomNo,
    stored::{Key, Stored},
};

/// What an event changed in who can read along in an encrypted room. Written in the commit of the
/// event, so that whose devices a client must know does not depend on what is known later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberDelta {
    /// The room.
    pub room: RoomNo,
    /// The event's place.
    pub pos: i64,
    /// When it was committed.
    pub at: Position,
    /// Who is joined from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<OwnedUserId>,
    /// Who no longer is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<OwnedUserId>,
    /// Whether the room is encrypted from now on, if that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
}

impl MemberDelta {
    /// Does it say anything?
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty() && self.encrypted.is_none()
    }
}

impl Stored for MemberDelta {
    const TABLE: &'static str = "member_delta";
    fn key(&self) -> Key {
        key![self.room, self.pos]
    }
}
