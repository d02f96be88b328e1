//! What a user says about being there.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId, UserId, presence::PresenceState};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// The presence that a user of this server set last. Whether they are online follows from their
/// clients; the message stays.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#presence)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceRecord {
    /// Whose.
    pub user: OwnedUserId,
    /// What they set.
    pub presence: PresenceState,
    /// What they say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_msg: Option<String>,
    /// When they set it.
    pub set_ts: MilliSecondsSinceUnixEpoch,
}

impl PresenceRecord {
    /// The key of a user's record.
    pub fn key_of(user: &UserId) -> Key {
        key![user.as_str()]
    }
}

impl Stored for PresenceRecord {
    const TABLE: &'static str = "presence";
    fn key(&self) -> Key {
        Self::key_of(&self.user)
    }
}
