//! From a refresh token to its device.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
    token_hash::TokenHash,
};

/// Leads from the hash of a refresh token to the device that holds it. Valid only while the
/// [`crate::device::Device`] says so. Removed with the device or when the token is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshToken {
    /// The token's hash.
    pub hash: TokenHash,
    /// Whose.
    pub user: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// When it stops being valid; none if it stays valid until it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ts: Option<MilliSecondsSinceUnixEpoch>,
}

impl RefreshToken {
    /// The key of a token.
    pub fn key_of(hash: TokenHash) -> Key {
        key![hash]
    }
}

impl Stored for RefreshToken {
    const TABLE: &'static str = "refresh_token";
    fn key(&self) -> Key {
        Self::key_of(self.hash)
    }
}
