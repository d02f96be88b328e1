//! Events that other servers sent and that can't be judged yet.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedServerName};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    room_no::RoomNo,
    stored::{Key, Stored},
};

/// An event whose past, or whose signers' keys, this server does not know: it waits, over a restart
/// as well, until that is fetched, and is then judged. Its sender was told that it is safe.
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
    /// What it waits for.
    #[serde(default)]
    pub lacks: Lacks,
    /// The canonical JSON of the PDU. It is verified (once more) before it is judged.
    pub json: String,
}

/// What an event waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lacks {
    /// It is verified; events before it are unknown.
    #[default]
    Past,
    /// Keys of those who must have signed it: nobody vouches for it yet.
    Keys,
}

impl Stored for StagedEvent {
    const TABLE: &'static str = "staged_event";
    fn key(&self) -> Key {
        key![self.room, self.event_id.as_str()]
    }
}
