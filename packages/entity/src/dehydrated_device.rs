//! A device that receives keys while its user is logged in nowhere.

use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// What a user's next login needs to take up the user's dehydrated device.
/// [Proposal](https://github.com/matrix-org/matrix-spec-proposals/pull/3814)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DehydratedDevice {
    /// Whose.
    pub user: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// What its client wrote, as JSON.
    pub device_data: String,
}

impl DehydratedDevice {
    /// The key of a user's dehydrated device.
    pub fn key_of(user: &UserId) -> Key {
        key![user.as_str()]
    }
}

impl Stored for DehydratedDevice {
    const TABLE: &'static str = "dehydrated_device";
    fn key(&self) -> Key {
        Self::key_of(&self.user)
    }
}
