//! Follow-ups of a change of an account that take long and must not get lost.

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use crate::{
    key,
    stored::{Key, Stored},
};

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Carry the profile into the user's rooms.
    CarryProfile,
    /// Leave all rooms.
    LeaveRooms,
    /// Remove the backups of room keys.
    EraseBackups,
}

impl Task {
    /// Its name in keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CarryProfile => "carry_profile",
            Self::LeaveRooms => "leave_rooms",
            Self::EraseBackups => "erase_backups",
        }
    }
}

/// A follow-up that is not done yet, written with the change that asks for it and removed when it
/// is done; what a stopped process leaves is taken up at the next start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chore {
    /// Whose.
    pub user: OwnedUserId,
    /// What to do.
    pub task: Task,
}

impl Stored for Chore {
    const TABLE: &'static str = "chore";
    fn key(&self) -> Key {
        key![self.user.as_str(), self.task.as_str()]
    }
}
