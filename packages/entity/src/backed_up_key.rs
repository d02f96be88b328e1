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

impl BackedUpKey {
    /// Does this key replace the one that is known of the same session? One of a verified device
    /// does, then one that decrypts more, then one that took a shorter way. Of equals the first
    /// stays.
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#backup-algorithm-mmegolm_backupv1curve25519-aes-sha2)
    pub fn is_better_than(&self, known: &Self) -> bool {
        let rank = |key: &Self| {
            (
                !key.is_verified,
                key.first_message_index,
                key.forwarded_count,
            )
        };
        rank(self) < rank(known)
    }

    /// How much of the backup it takes, in bytes.
    pub fn size(&self) -> i64 {
        let bytes = self.room_id.as_str().len() + self.session_id.len() + self.session_data.len();
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }
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

#[cfg(test)]
mod tests {
    use ruma::{room_id, user_id};

    use super::*;

    fn backed_up(is_verified: bool, first_message_index: u64, forwarded_count: u64) -> BackedUpKey {
        BackedUpKey {
            user: user_id!("@alice:a.example").to_owned(),
            version: 1,
            room_id: room_id!("!room:a.example").to_owned(),
            session_id: "session".to_owned(),
            first_message_index,
            forwarded_count,
            is_verified,
            session_data: "{}".to_owned(),
        }
    }

    #[test]
    fn prefers_verified_then_more_messages_then_the_shorter_way() {
        let from_best_to_worst = [
            (true, 0, 0),
            (true, 0, 1),
            (true, 1, 0),
            (false, 0, 0),
            (false, 0, 1),
            (false, 1, 0),
        ]
        .map(|(verified, index, forwarded)| backed_up(verified, index, forwarded));
        for (place, key) in from_best_to_worst.iter().enumerate() {
            for (other_place, other) in from_best_to_worst.iter().enumerate() {
                assert_eq!(key.is_better_than(other), place < other_place);
            }
        }
    }
}
