//! Room state as it is stored: the current state, and state groups for any other moment.

use ruma::OwnedEventId;
use serde::{Deserialize, Serialize};

use crate::{
    key,
    room_no::RoomNo,
    stored::{Key, Stored},
};

/// One slot of a room's current state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StateRow {
    /// The room.
    pub room: RoomNo,
    /// `type`.
    pub kind: String,
    /// `state_key`.
    pub state_key: String,
    /// The event that holds the slot.
    pub event_id: OwnedEventId,
    /// That event's place in the room.
    pub pos: i64,
    /// The place of the event with which it came to hold the slot (itself, but after a state
    /// resolution).
    pub since: i64,
}

impl Stored for StateRow {
    const TABLE: &'static str = "state";
    fn key(&self) -> Key {
        key![self.room, self.kind.as_str(), self.state_key.as_str()]
    }
}

/// The state of a room at one moment: a full snapshot, or changes on an earlier group.
///
/// Group numbers derive from positions, so that nobody hands them out: the group after the event
/// at `pos` is `2·pos`; where the room has several forward extremities then, the group of the state
/// that they resolve to is `2·pos + 1`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StateGroup {
    /// The room.
    pub room: RoomNo,
    /// The group's number.
    pub group: i64,
    /// The group that `set` and `unset` change; none for a full snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<i64>,
    /// The full snapshot that the chain of `prev` ends in (itself for a snapshot). Every group of
    /// the chain lies between `base` and `group`, so one range read fetches the chain.
    pub base: i64,
    /// How many groups the chain has after its snapshot; see [`StateGroup::longest_chain`].
    pub length: u16,
    /// Slots that hold another event than in `prev`.
    pub set: Vec<StateGroupSlot>,
    /// Slots of `prev` that are empty here: `(type, state_key)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<(String, String)>,
}

impl StateGroup {
    /// The longest chain of deltas before a full snapshot is written, in a room with `slots` slots
    /// of state.
    ///
    /// It grows with the state: what snapshots cost, spread over the state events between them, is
    /// then the same few slots in a room of any size, and a chain costs less to read than the
    /// snapshot that it begins with.
    pub fn longest_chain(slots: usize) -> u16 {
        u16::try_from((slots / 8).max(100)).unwrap_or(u16::MAX)
    }
}

impl Stored for StateGroup {
    const TABLE: &'static str = "state_group";
    fn key(&self) -> Key {
        key![self.room, self.group]
    }
}

/// One slot of a state group: `(type, state_key, event id)`.
pub type StateGroupSlot = (String, String, OwnedEventId);
