//! Events that other servers sent and that can't be judged yet.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedServerName};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    room_no::RoomNo,
    stored::{Key, Stored},
};

/// An event whose past this server does not know: it waits, over a restart as well, until that is
/// fetched, and is then judged. Its sender was told that it is safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedEvent {
    /// The room.
    pub room: RoomNo,
    /// The event's id.
    pub event_id: OwnedEventId,
    /// Who sent it, and is asked first for what is missing.
    pub origin: OwnedServerName,
    /// How often it could not be judged.
    pub attempts: u32,
    /// Not before this is anybody asked again.
    pub next_try_ts: MilliSecondsSinceUnixEpoch,
    /// The verified event: the canonical JSON of the PDU.
    pub json: String,
}

impl Stored for StagedEvent {
    const TABLE: &'static str = "staged_event";
    fn key(&self) -> Key {
        key![self.room, self.event_id.as_str()]
    }
}
