//! The key that a device gives out when it has no one-time keys left.

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// The fallback key of a device for one algorithm.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#one-time-and-fallback-keys)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackKey {
    /// Whose.
    pub user: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// Its algorithm.
    pub algorithm: String,
    /// Its id, without the algorithm.
    pub key_id: String,
    /// The key as canonical JSON.
    pub json: String,
    /// Was it given out?
    pub used: bool,
}

impl FallbackKey {
    /// What all keys of a device begin with.
    pub fn prefix(user: &UserId, device: &DeviceId) -> Key {
        key![user.as_str(), device.as_str()]
    }
}

impl Stored for FallbackKey {
    const TABLE: &'static str = "fallback_key";
    fn key(&self) -> Key {
        key![
            self.user.as_str(),
            self.device_id.as_str(),
            self.algorithm.as_str()
        ]
    }
}
