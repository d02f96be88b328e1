//! A redaction that came before the event that it takes the content of.

use ruma::OwnedEventId;
use serde::{Deserialize, Serialize};

use crate::{
    key,
    room_no::RoomNo,
    stored::{Key, Stored},
};

/// A redaction in a room of an event that is not here yet: it is looked at when that comes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EarlyRedaction {
    /// The room.
    pub room: RoomNo,
    /// The event that is redacted.
    pub target: OwnedEventId,
    /// The place of the redaction.
    pub pos: i64,
}

impl Stored for EarlyRedaction {
    const TABLE: &'static str = "early_redaction";
    fn key(&self) -> Key {
        key![self.room, self.target.as_str(), self.pos]
    }
}
