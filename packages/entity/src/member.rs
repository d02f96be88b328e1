//! A user's membership of a room: a projection of `m.room.member` state, written in the commit
//! of the event that changed it.

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::Position,
    room_no::RoomNo,
    stored::{Key, Stored},
};

/// The membership record of one user in one room. Never deleted: left and banned rows stay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    /// The user.
    pub user: OwnedUserId,
    /// The room.
    pub room: RoomNo,
    /// The room's id.
    pub room_id: OwnedRoomId,
    /// The membership now.
    pub membership: MembershipState,
    /// The `m.room.member` event that says so.
    pub event_id: OwnedEventId,
    /// Who sent that event.
    pub sender: OwnedUserId,
    /// That event's place in the room; zero when it has none (an invite to, or a knock on, a room
    /// that this server is not in).
    pub pos: i64,
    /// When this record last changed.
    pub at: Position,
    /// When the membership itself last changed (a new display name does not count).
    pub since: Position,
    /// The membership over time, oldest first: `(pos, membership)` says what held from the event
    /// at `pos` on. At most [`Member::MAX_SPANS`]; older spans are dropped, and then count as
    /// "not joined".
    pub spans: Vec<(i64, MembershipState)>,
    /// The user asked to forget the room after leaving it.
    #[serde(default)]
    pub forgotten: bool,
    /// Stripped state that came with an invite or a knock: the JSON text of an array of events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripped_state: Option<String>,
}

impl Member {
    /// How many membership changes are remembered per user and room.
    pub const MAX_SPANS: usize = 256;

    /// The membership that held right after the event at `pos`.
    pub fn at_pos(&self, pos: i64) -> MembershipState {
        self.spans
            .iter()
            .rev()
            .find(|(from, _)| *from <= pos)
            .map_or(MembershipState::Leave, |(_, membership)| membership.clone())
    }
}

impl Stored for Member {
    const TABLE: &'static str = "member";
    fn key(&self) -> Key {
        key![self.user.as_str(), self.room]
    }
}
