//! When and from where a device was last used.

use std::net::IpAddr;

use ruma::{DeviceId, MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// The last use of a device, written from time to time and not with every request. A record of
/// its own, so that writing it never undoes a change of the device. Removed with the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceActivity {
    /// Whose.
    pub user: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// When.
    pub last_seen_ts: MilliSecondsSinceUnixEpoch,
    /// From where.
    pub last_seen_ip: IpAddr,
}

impl DeviceActivity {
    /// The key of a device's activity.
    pub fn key_of(user: &UserId, device: &DeviceId) -> Key {
        key![user.as_str(), device.as_str()]
    }
}

impl Stored for DeviceActivity {
    const TABLE: &'static str = "device_activity";
    fn key(&self) -> Key {
        Self::key_of(&self.user, &self.device_id)
    }
}
