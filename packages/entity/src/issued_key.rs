//! A one-time key that was given to somebody: it is never given to anybody else.

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
    token_hash::TokenHash,
};

/// What is left of a one-time key once it is issued.
///
/// Its creation is what makes the claim the only one, also for another process; and a device that
/// uploads the key once more, because the answer to its first upload got lost, does not make it
/// claimable again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedKey {
    /// Whose.
    pub user: OwnedUserId,
    /// The device that uploaded it.
    pub device_id: OwnedDeviceId,
    /// Its algorithm.
    pub algorithm: String,
    /// Its id within the algorithm.
    pub key_id: String,
    /// Its place in the order of uploads.
    pub no: i64,
    /// The hash of the key, to tell it from another that goes by the same id.
    pub hash: TokenHash,
}

impl IssuedKey {
    /// The key of such a record.
    pub fn key_of(user: &UserId, device: &DeviceId, algorithm: &str, key_id: &str) -> Key {
        key![user.as_str(), device.as_str(), algorithm, key_id]
    }
}

impl Stored for IssuedKey {
    const TABLE: &'static str = "issued_key";
    fn key(&self) -> Key {
        Self::key_of(&self.user, &self.device_id, &self.algorithm, &self.key_id)
    }
}
