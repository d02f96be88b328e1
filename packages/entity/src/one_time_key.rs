//! A key that is given to one other device and never again.

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// A one-time key that nobody has claimed yet.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#one-time-and-fallback-keys)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeKey {
    /// Whose.
    pub user: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// Its algorithm.
    pub algorithm: String,
    /// Its id, without the algorithm.
    pub key_id: String,
    /// Its number among those of the device, in the order in which they were uploaded and are
    /// given out.
    pub no: i64,
    /// The key as canonical JSON.
    pub json: String,
}

impl OneTimeKey {
    /// What all keys of a device begin with.
    pub fn prefix(user: &UserId, device: &DeviceId) -> Key {
        key![user.as_str(), device.as_str()]
    }
}

impl Stored for OneTimeKey {
    const TABLE: &'static str = "one_time_key";
    fn key(&self) -> Key {
        key![
            self.user.as_str(),
            self.device_id.as_str(),
            self.algorithm.as_str(),
            self.key_id.as_str()
        ]
    }
}
