//! Events of our users in rooms that this server is not in: another server says where they go.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, RoomVersionId, UserId};

use super::{BuildError, Draft, EventSigner, EventTemplate, Placement};
use crate::{
    format::{MAX_AUTH_EVENTS, MAX_DEPTH, MAX_PREV_EVENTS},
    pdu::Pdu,
    room_versions,
};

/// Where another server says that an event goes. None of it is believed: the event is signed for
/// this place and no other, and the rules of the room decide whether it is one.
#[derive(Clone, Debug)]
pub struct ToldPlace {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The room's version.
    pub version: RoomVersionId,
    /// The events before it.
    pub prev_events: Vec<OwnedEventId>,
    /// The events that allow it.
    pub auth_events: Vec<OwnedEventId>,
    /// Its depth.
    pub depth: u64,
}

impl ToldPlace {
    /// Can an event be at this place at all?
    pub fn is_possible(&self) -> bool {
        !self.prev_events.is_empty()
            && self.prev_events.len() <= MAX_PREV_EVENTS
            && self.auth_events.len() <= MAX_AUTH_EVENTS
            && self.depth <= MAX_DEPTH
    }
}

/// Builds and signs an event that goes where another server said.
///
/// # Errors
/// See [`BuildError`].
pub fn build_elsewhere(
    template: EventTemplate,
    place: ToldPlace,
    sender: &UserId,
    ts: MilliSecondsSinceUnixEpoch,
    signer: &EventSigner,
) -> Result<Pdu, BuildError> {
    let rules = room_versions::rules(&place.version)?;
    let draft = Draft::new(template, sender, ts, rules)?;
    let placement = Placement {
        auth_events: place.auth_events,
        prev_events: place.prev_events,
        depth: place.depth,
        room_id: Some(&place.room_id),
    };
    draft.finish(&placement, &place.room_id, signer)
}
