//! Who came into an encrypted room, and who left it, with one event.

use ruma::{
    OwnedUserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::{Deserialize, Serialize};

use crate::{
    device_lists::SharedRoom,
    key,
    position::Position,
    room_no::RoomNo,
    room_snapshot::{RoomSnapshot, SlotChange, membership_of},
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
    /// Who no longer is. When the room is no longer encrypted: all who were joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<OwnedUserId>,
    /// Whether the room is encrypted from now on, if that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
}

impl MemberDelta {
    /// What the event at `pos` changes by changing these slots of the room's state; none if the room
    /// is encrypted neither before nor after it, or if nobody comes or goes.
    ///
    /// When it makes the room encrypted, nobody is named: whoever came with the same event shared
    /// nothing before. When it ends that (which only a resolution of the state can do), everybody
    /// is: what follows is not written down.
    pub fn of(room: &RoomSnapshot, changes: &[SlotChange], pos: i64) -> Option<Self> {
        let is_encryption = |change: &&SlotChange| {
            change.kind == StateEventType::RoomEncryption && change.state_key.is_empty()
        };
        let before = room.is_encrypted();
        let after = changes
            .iter()
            .find(is_encryption)
            .map_or(before, |change| change.event.is_some());
        if !before && !after {
            return None;
        }
        let mut delta = Self {
            room: room.no,
            pos,
            at: Position::default(),
            joined: Vec::new(),
            left: Vec::new(),
            encrypted: (before != after).then_some(after),
        };
        if !after {
            delta.left = room.joined();
            return Some(delta);
        }
        let members = changes
            .iter()
            .filter(|change| before && change.kind == StateEventType::RoomMember);
        for change in members {
            let Ok(user) = OwnedUserId::try_from(change.state_key.as_str()) else {
                continue;
            };
            let comes = change
                .event
                .as_ref()
                .is_some_and(|event| membership_of(event) == MembershipState::Join);
            match (room.is_joined(&user), comes) {
                (false, true) => delta.joined.push(user),
                (true, false) => delta.left.push(user),
                _ => {}
            }
        }
        let is_empty =
            delta.joined.is_empty() && delta.left.is_empty() && delta.encrypted.is_none();
        (!is_empty).then_some(delta)
    }
}

impl Stored for MemberDelta {
    const TABLE: &'static str = "member_delta";
    fn key(&self) -> Key {
        key![self.room, self.pos]
    }
}
