//! The identity keys of a device.

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// The identity keys of a device of this server, or of one of another server whose list is kept
/// here.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#device-keys)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceKeys {
    /// Whose.
    pub user: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// The signed keys as canonical JSON, without `unsigned`.
    pub json: String,
    /// What the other server calls the device; that of a device of this server is with the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

impl DeviceKeys {
    /// The key of a device's keys.
    pub fn key_of(user: &UserId, device: &DeviceId) -> Key {
        key![user.as_str(), device.as_str()]
    }
}

impl Stored for DeviceKeys {
    const TABLE: &'static str = "device_keys";
    fn key(&self) -> Key {
        Self::key_of(&self.user, &self.device_id)
    }
}
