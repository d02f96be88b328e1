//! The stored event: one row in a room's timeline, its pointer by id, and the outlier.

use ruma::{OwnedEventId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::Position,
    room_no::RoomNo,
    stored::{Key, Stored},
};

/// An event with a place in its room's timeline.
///
/// `pos` is dense per room: 1, 2, 3 … for live events, −1, −2 … for backfilled ones. The row of
/// the highest `pos` is the room's head: it carries the forward extremities and the state group
/// after it. CREATE of the key is the fence against another process that builds on the same head.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventRow {
    /// The room.
    pub room: RoomNo,
    /// The place in the room.
    pub pos: i64,
    /// When it was committed.
    pub at: Position,
    /// The event's id.
    pub event_id: OwnedEventId,
    /// `type`.
    pub kind: String,
    /// `state_key` of a state event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_key: Option<String>,
    /// `sender`.
    pub sender: OwnedUserId,
    /// `origin_server_ts`, milliseconds since the Unix epoch.
    pub ts: i64,
    /// Failed the auth rules: kept, never shown, never part of the state.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rejected: bool,
    /// Passed the auth rules at its place but not against the current state: kept, not shown.
    #[serde(default, skip_serializing_if = "is_false")]
    pub soft_failed: bool,
    /// The place of the `m.room.redaction` that took this event's content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacted_by: Option<i64>,
    /// The state group after this event.
    pub group: i64,
    /// The place of the state event whose slot in the current state this one took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<i64>,
    /// How the current state changed with this event, where it is not simply "a state event that
    /// is neither rejected nor soft-failed takes its slot".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<Vec<StateChange>>,
    /// The room's forward extremities after this event.
    pub extremities: Vec<OwnedEventId>,
    /// The canonical JSON of the PDU, byte for byte (the redacted form once redacted).
    pub json: String,
}

impl Stored for EventRow {
    const TABLE: &'static str = "event";
    fn key(&self) -> Key {
        key![self.room, self.pos]
    }
}

/// One slot of the current state that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// `type` of the slot.
    pub kind: String,
    /// `state_key` of the slot.
    pub state_key: String,
    /// The place of the event that holds the slot now; none when the slot is empty now.
    pub pos: Option<i64>,
}

/// From an event id to its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventPointer {
    /// The event's id.
    pub event_id: OwnedEventId,
    /// The room.
    pub room: RoomNo,
    /// The place in the room.
    pub pos: i64,
}

impl Stored for EventPointer {
    const TABLE: &'static str = "event_id";
    fn key(&self) -> Key {
        key![self.event_id.as_str()]
    }
}

/// An event without a place in a timeline: part of an auth chain or of a remote state only, or
/// rejected and kept for later judgement. Moves to [`EventRow`] when it gains a place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outlier {
    /// The event's id.
    pub event_id: OwnedEventId,
    /// The room.
    pub room: RoomNo,
    /// Failed the auth rules.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rejected: bool,
    /// The canonical JSON of the PDU.
    pub json: String,
}

impl Stored for Outlier {
    const TABLE: &'static str = "outlier";
    fn key(&self) -> Key {
        key![self.event_id.as_str()]
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}
