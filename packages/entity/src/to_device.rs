//! A message for one device, until the device has it.

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::Position,
    stored::{Key, Stored},
};

/// A message for a device of this server. Removed once the device has shown that it got it.
///
/// The log writer adds the position of its log entry to its key.
/// [Spec](https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToDeviceMessage {
    /// For whom.
    pub user: OwnedUserId,
    /// For which device.
    pub device_id: OwnedDeviceId,
    /// When it came.
    pub at: Position,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// `type`.
    pub kind: String,
    /// `content`, as JSON.
    pub content: String,
}

impl ToDeviceMessage {
    /// What the keys of all messages for a device begin with.
    pub fn prefix(user: &UserId, device: &DeviceId) -> Key {
        key![user.as_str(), device.as_str()]
    }
}

impl Stored for ToDeviceMessage {
    const TABLE: &'static str = "to_device";
    fn key(&self) -> Key {
        Self::prefix(&self.user, &self.device_id)
    }
}
