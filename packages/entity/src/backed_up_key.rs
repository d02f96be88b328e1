//! A room key in a backup.

use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// The key of one session of a room, encrypted by the user's client.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUpKey {
    /// Whose.
    pub user: OwnedUserId,
    /// In which version of the backup.
    pub version: i64,
    /// The room.
    pub room_id: OwnedRoomId,
    /// The session.
    pub session_id: String,
    /// The first message that it decrypts.
    pub first_message_index: u64,
    /// How often it was forwarded.
    pub forwarded_count: u64,
    /// Did the device that backed it up verify the device that it came from?
    pub is_verified: bool,
    /// The encrypted key, as JSON.
    pub session_data: String,
}

impl Stored for BackedUpKey {
    const TABLE: &'static str = "backed_up_key";
    fn key(&self) -> Key {
        key![
            self.user.as_str(),
            self.version,
            self.room_id.as_str(),
            self.session_id.as_str()
        ]
    }
}
