//! The stored event: one row in a room, and its pointer by id.

use ruma::{
    EventId, OwnedEventId, OwnedUserId,
    events::room::{history_visibility::HistoryVisibility, member::MembershipState},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    key,
    position::Position,
    room_no::RoomNo,
    stored::{Key, Stored},
    stretch::{Seam, TIMELINE_START},
};

/// An event at its place in a room.
///
/// `pos` is dense per room: 1, 2, 3 … for live events; those that were fetched as history have
/// places below zero, see [`crate::stretch`]. The row of the highest `pos` is the room's head: it
/// carries the forward extremities and the state group after it. CREATE of the key is the fence
/// against another process that builds on the same head.
///
/// Events that are in no timeline (outliers: part of a state or an auth chain that another server
/// told us of, or rejected and kept for later judgement) lie aside, at a place far below all
/// others that follows from their id: see [`aside_place`].
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
    /// The state group of the room after this event, where that is another: the room has several
    /// forward extremities, or the event is not among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_group: Option<i64>,
    /// The place of the state event whose slot in the current state this one took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<i64>,
    /// How the current state changed with this event, where it is not simply "a state event that
    /// is neither rejected nor soft-failed takes its slot".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<Vec<StateChange>>,
    /// The room's forward extremities after this event. Of the lowest event of a stretch of
    /// history: what comes before it and is not here.
    pub extremities: Vec<OwnedEventId>,
    /// What came right before this event is not all here, or in a stretch of history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seam: Option<Seam>,
    /// What held around an event that was fetched as history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<Box<Past>>,
    /// The canonical JSON of the PDU, byte for byte (the redacted form once redacted).
    pub json: String,
}

/// What held around an event from before this server followed the room: just before it and right
/// after it. Who may see it follows from that, and from nothing that is known of later times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The room's history visibility.
    pub visibility: [HistoryVisibility; 2],
    /// The memberships of this server's users, where they were not simply outside.
    pub members: Vec<(OwnedUserId, [MembershipState; 2])>,
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
    /// The event lay aside before it gained its place, and the row there is kept: others may refer
    /// to it by that place.
    #[serde(default, skip_serializing_if = "is_false")]
    pub was_aside: bool,
}

impl EventPointer {
    /// Does the event still lie aside?
    pub fn is_aside(&self) -> bool {
        is_aside(self.pos)
    }
}

impl Stored for EventPointer {
    const TABLE: &'static str = "event_id";
    fn key(&self) -> Key {
        key![self.event_id.as_str()]
    }
}

/// Is this the place of an event that lies aside?
pub fn is_aside(pos: i64) -> bool {
    pos < TIMELINE_START
}

/// The place aside of an event: it follows from the id, so that nobody hands such places out and
/// an event that is learnt of twice is written once.
pub fn aside_place(event_id: &EventId) -> i64 {
    let hash = Sha256::digest(event_id.as_bytes());
    let bits = hash
        .iter()
        .take(8)
        .fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
    // 60 bits, so that twice the place, the number of its state group, is a number as well.
    let distance = i64::try_from(bits >> 4).unwrap_or(i64::MAX);
    TIMELINE_START - 1 - distance
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use ruma::event_id;

    use super::*;

    #[test]
    fn aside_is_far_below_every_timeline() {
        let (one, other) = (event_id!("$one"), event_id!("$other"));
        assert_ne!(aside_place(one), aside_place(other));
        assert_eq!(aside_place(one), aside_place(one));
        for id in [one, other] {
            assert!(is_aside(aside_place(id)));
            assert!(aside_place(id).checked_mul(2).is_some());
        }
        for pos in [1, 0, -1, -1_000_000_000] {
            assert!(!is_aside(pos));
        }
    }
}
