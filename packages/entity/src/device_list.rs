//! How far a user's list of devices has come: the newest change of the user's devices and
//! cross-signing keys.

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    key,
    position::Position,
    room_no::RoomNo,
    stored::{Key, Stored},
};

/// The device list of a user, of this server or of another; written in the commit of every change
/// of it.
/// [Spec](https://spec.matrix.org/v1.19/server-server-api/#device-management)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceList {
    /// Whose.
    pub user: OwnedUserId,
    /// When it last changed.
    pub at: Position,
    /// The number of the newest change: counted by the user's server.
    pub stream_id: i64,
    /// What this server knows of it.
    pub state: DeviceListState,
}

/// What this server knows of a device list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceListState {
    /// Everything: the user is of this server.
    Local,
    /// All of it, up to the change that it names, for as long as a room proves that changes are
    /// told: the user and somebody of this server have been in it without a break.
    Fresh {
        /// The room.
        room: RoomNo,
        /// The place of its newest event when the list was asked for.
        place: i64,
    },
    /// It may have changed since: it is to be asked for before it is used.
    Stale,
}

impl DeviceList {
    /// The key of a user's list.
    pub fn key_of(user: &UserId) -> Key {
        key![user.as_str()]
    }
}

impl Stored for DeviceList {
    const TABLE: &'static str = "device_list";
    fn key(&self) -> Key {
        Self::key_of(&self.user)
    }
}
